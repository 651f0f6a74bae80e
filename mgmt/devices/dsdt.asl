// SPDX-License-Identifier: Apache-2.0
// ACPI namespace of a guest: what the machine of mgmt/devices/machine.h has besides processors and I/O APIC.
//
// Compiled at build time by tools/gen_aml.py. COMS is a buffer with one byte per serial port, set before the
// guest starts: 1 present, 0 absent.
DefinitionBlock ("", "DSDT", 2, "KEELSN", "KEELSONG", 1)
{
    Name (COMS, Buffer (2) { 0xC0, 0xC1 })

    // S5 through the sleep control register of the FADT.
    Name (\_S5, Package () { 5, 0, 0, 0 })

    Scope (\_SB)
    {
        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 1)
            Method (_STA) { If (DerefOf (\COMS [0])) { Return (0x0F) } Return (0) }
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03F8, 0x03F8, 0x00, 0x08)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 4 }
            })
        }

        Device (COM2)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 2)
            Method (_STA) { If (DerefOf (\COMS [1])) { Return (0x0F) } Return (0) }
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x02F8, 0x02F8, 0x00, 0x08)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 3 }
            })
        }

        Device (RTC0)
        {
            Name (_HID, EisaId ("PNP0B00"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0070, 0x0070, 0x00, 0x02)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 8 }
            })
        }

        Device (PWRB)
        {
            Name (_HID, EisaId ("PNP0C0C"))
        }

        Device (GED0)
        {
            Name (_HID, "ACPI0013")
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive) { 9 }
            })
            OperationRegion (EVTS, SystemIO, 0x0602, 1)
            Field (EVTS, ByteAcc, NoLock, WriteAsZeros)
            {
                STAT, 8
            }
            Method (_EVT, 1, Serialized)
            {
                Local0 = STAT
                STAT = Local0 // write 1 to clear: the line goes low before the listeners run
                If (Local0 & 1)
                {
                    Notify (\_SB.PWRB, 0x80)
                }
            }
        }

        // The port block of sleep control, sleep status and events, so that nobody else is given it.
        Device (PMIO)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0600, 0x0600, 0x00, 0x04)
                IO (Decode16, 0x0CF9, 0x0CF9, 0x00, 0x01)
            })
        }
    }
}
