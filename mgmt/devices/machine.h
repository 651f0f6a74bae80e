// SPDX-License-Identifier: Apache-2.0
// The machine that a guest sees: addresses, ports, interrupts. One place for devices, tables and loader.
//
// docs/guest-platform.md describes the same for readers; tests/unit/test_acpi_tables.c compares the two
// that a guest compares (ACPI tables against this header).
#ifndef MGMT_DEVICES_MACHINE_H
#define MGMT_DEVICES_MACHINE_H

#include <keelson/types.h>

#define MACHINE_MAX_VPS 8
#define MACHINE_COM_PORTS 2

// --- memory map ---
#define MACHINE_RAM_LOW_MAX 0xC0000000ull    // RAM stops here; devices live below 4 GiB
#define MACHINE_RAM_HIGH_BASE 0x100000000ull // and goes on here
#define MACHINE_IOAPIC_BASE 0xFEC00000ull
#define MACHINE_IOAPIC_SIZE 0x1000ull
#define MACHINE_PCI_WINDOW_BASE 0xC0000000ull // where BARs may lie
#define MACHINE_PCI_WINDOW_SIZE 0x20000000ull
#define MACHINE_ECAM_BASE 0xE0000000ull // configuration space of bus 0 (PCI Firmware 3.3 "MCFG")
#define MACHINE_ECAM_SIZE 0x100000ull
#define MACHINE_LAPIC_BASE 0xFEE00000ull // answered by the hypervisor
#define MACHINE_ACPI_BASE 0xE0000ull     // RSDP and tables, in guest RAM
#define MACHINE_ACPI_END 0x100000ull
#define MACHINE_RESET_VECTOR 0xFFFF0ull // code that writes MACHINE_RESET_PORT; behind the tables

// --- ports ---
#define MACHINE_COM1_PORT 0x3F8
#define MACHINE_COM2_PORT 0x2F8
#define MACHINE_RTC_PORT 0x70
#define MACHINE_RESET_PORT 0xCF9 // FADT RESET_REG
#define MACHINE_RESET_VALUE 0x06
#define MACHINE_PCI_PORT 0xCF8 // block of eight: address, data; the reset port lies within
#define MACHINE_PCI_PORTS 8
#define MACHINE_PM_PORT 0x600 // block of four: sleep control, sleep status, event status, reserved
#define MACHINE_SLEEP_CONTROL_PORT (MACHINE_PM_PORT + 0)
#define MACHINE_SLEEP_STATUS_PORT (MACHINE_PM_PORT + 1)
#define MACHINE_GED_STATUS_PORT (MACHINE_PM_PORT + 2) // read: pending events; write 1 to clear
#define MACHINE_PM_PORTS 4
#define MACHINE_GED_POWER_BUTTON 0x01
#define MACHINE_SLEEP_TYPE_S5 5

// --- interrupts: IOAPIC inputs, which are the GSIs ---
#define MACHINE_IOAPIC_PINS 24
#define MACHINE_COM1_GSI 4 // edge
#define MACHINE_COM2_GSI 3 // edge
#define MACHINE_RTC_GSI 8  // edge
#define MACHINE_GED_GSI 9  // level, active high
#define MACHINE_PCI_GSI 16 // and the three that follow: INTA of slot n is wired to 16 + n % 4, level
#define MACHINE_PCI_GSIS 4

// --- slots of PCI bus 0; 0 is the host bridge ---
#define MACHINE_PCI_SLOTS 16
#define MACHINE_SLOT_RNG 1
#define MACHINE_SLOT_CONSOLE 2
#define MACHINE_SLOT_NIC 4 // and those that follow
#define MACHINE_SLOT_DISK 8
#define MACHINE_MAX_NICS 4
#define MACHINE_MAX_DISKS 8

// What differs between two guests.
struct machine_config {
    uint32_t vp_count;           // 1..MACHINE_MAX_VPS; VP n has APIC id n
    bool com[MACHINE_COM_PORTS]; // serial ports that exist
    bool virtio_console;         // PCI devices that exist
    uint8_t nics;                // 0..MACHINE_MAX_NICS
    uint8_t disks;               // 0..MACHINE_MAX_DISKS
};

// A guest without PCI devices has no PCI at all: nothing in its tables, nothing to probe. One with any also
// has a random number generator.
static inline bool machine_has_pci(const struct machine_config *config)
{
    return config->virtio_console || config->nics > 0 || config->disks > 0;
}

#endif
