// SPDX-License-Identifier: Apache-2.0
// ACPI tables of a guest, written to guest memory (control plane).
//
// They describe exactly the machine of machine.h: a hardware-reduced ACPI platform (no PIT, no 8259, no
// 8042, no VGA), its processors, one I/O APIC, the serial ports that exist, the clock, a power button behind a
// generic event device, and PCI if there are PCI devices. RSDP, XSDT, FADT, MADT, MCFG, DSDT, SSDT lie between MACHINE_ACPI_BASE and
// MACHINE_ACPI_END, the RSDP first, where the BIOS scan of ACPI 6.4 "Finding the RSDP on IA-PC Systems"
// finds it too.
#ifndef MGMT_DEVICES_ACPI_TABLES_H
#define MGMT_DEVICES_ACPI_TABLES_H

#include "mgmt/devices/guest_mem.h"
#include "mgmt/devices/machine.h"

// Writes all tables; the RSDP is at MACHINE_ACPI_BASE. False: the guest has less than 1 MiB of RAM or the
// configuration is out of range.
MUST_CHECK bool acpi_tables_write(const struct guest_mem *mem, const struct machine_config *config);

#endif
