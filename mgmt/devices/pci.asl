// SPDX-License-Identifier: Apache-2.0
// ACPI namespace of a guest with PCI devices: host bridge, its windows and interrupt routing, and ECAM.
//
// Compiled at build time by tools/gen_aml.py; guests without PCI devices do not get this table.
DefinitionBlock ("", "SSDT", 2, "KEELSN", "KEELSPCI", 1)
{
    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A08"))
            Name (_CID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (_SEG, 0)
            Name (_BBN, 0)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
                IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0, 0xC0000000, 0xDFFFFFFF, 0, 0x20000000)
            })

            // PCI Firmware 3.3 "_OSC": nothing is granted, since no device has anything to be controlled.
            Method (_OSC, 4)
            {
                CreateDWordField (Arg3, 0, CDW1)
                If (Arg0 == ToUUID ("33DB4D5B-1FF7-401C-9657-7441C03DD766"))
                {
                    If (Arg2 > 2)
                    {
                        CreateDWordField (Arg3, 8, CDW3)
                        CDW3 = 0
                    }
                }
                Else
                {
                    CDW1 |= 4 // unknown UUID
                }
                Return (Arg3)
            }

            // INTA of slot n: GSI 16 + n % 4. There are no functions beyond 0 and no other pins.
            Name (_PRT, Package ()
            {
                Package () { 0x0001FFFF, 0, 0, 17 },
                Package () { 0x0002FFFF, 0, 0, 18 },
                Package () { 0x0003FFFF, 0, 0, 19 },
                Package () { 0x0004FFFF, 0, 0, 16 },
                Package () { 0x0005FFFF, 0, 0, 17 },
                Package () { 0x0006FFFF, 0, 0, 18 },
                Package () { 0x0007FFFF, 0, 0, 19 },
                Package () { 0x0008FFFF, 0, 0, 16 },
                Package () { 0x0009FFFF, 0, 0, 17 },
                Package () { 0x000AFFFF, 0, 0, 18 },
                Package () { 0x000BFFFF, 0, 0, 19 },
                Package () { 0x000CFFFF, 0, 0, 16 },
                Package () { 0x000DFFFF, 0, 0, 17 },
                Package () { 0x000EFFFF, 0, 0, 18 },
                Package () { 0x000FFFFF, 0, 0, 19 },
            })
        }

        // PCI Firmware 3.3 "MCFG": the ECAM range must be reserved by a motherboard resource.
        Device (ECAM)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xE0000000, 0x00100000)
            })
        }
    }
}
