// SPDX-License-Identifier: Apache-2.0
// PCI as a guest sees it: one bus, a host bridge in slot 0, single-function devices with one memory BAR.
//
// Sources: PCI Local Bus 3.0 chapter 6 (configuration space, MSI-X in 6.8.2), PCI Firmware 3.3 (ECAM).
// Configuration space is reached through ECAM and through ports 0xCF8 and 0xCFC. Message interrupts leave by
// HvCallAssertVirtualInterrupt; INTA of slot n drives I/O APIC input MACHINE_PCI_GSI + n % 4, shared by level.
// BARs have a place at reset; a guest may move them within the window of machine.h, elsewhere they decode nothing.
// Data plane, apart from the functions of set-up.
#ifndef MGMT_DEVICES_VPCI_H
#define MGMT_DEVICES_VPCI_H

#include "mgmt/devices/bus.h"
#include "mgmt/devices/ioapic.h"
#include "mgmt/devices/machine.h"

#define VPCI_CONFIG_SIZE 256u
#define VPCI_MSIX_MAX 8u
#define VPCI_NO_VECTOR 0xffffu

struct vpci_bus;

struct vpci_function {
    struct vpci_bus *bus;
    uint8_t slot;
    uint8_t config[VPCI_CONFIG_SIZE];
    uint8_t writable[VPCI_CONFIG_SIZE]; // bits that a guest may change
    uint8_t next_cap;                   // where the next capability goes
    uint8_t last_cap;                   // 0: none yet
    bool intx;                          // INTA is asserted

    uint32_t bar_size; // BAR 0: a power of two; 0: no BAR
    const struct mmio_ops *ops;
    void *dev;
    void (*moved)(void *dev); // after the guest has written the command or the BAR; NULL: nobody minds

    uint8_t msix_cap; // offset of the capability; 0: none
    uint16_t msix_count;
    uint32_t msix_table, msix_pba; // offsets in the BAR
    uint32_t msix_pending;         // bit a vector
    struct vpci_msix_entry {
        uint32_t address, address_high, data, control;
    } msix[VPCI_MSIX_MAX];

    uint8_t window_cap; // virtio 1.2, 4.1.4.9 "PCI configuration access capability"; 0: none
};

struct vpci_bus {
    uint64_t partition; // where messages go
    struct ioapic *ioapic;
    uint32_t address; // last written to port 0xCF8
    struct vpci_function *slot[MACHINE_PCI_SLOTS];
    struct vpci_function bridge;
    uint64_t messages, dropped_messages;
};

extern const struct port_ops vpci_port_ops;   // MACHINE_PCI_PORT
extern const struct mmio_ops vpci_ecam_ops;   // MACHINE_ECAM_BASE
extern const struct mmio_ops vpci_window_ops; // MACHINE_PCI_WINDOW_BASE

// --- set-up ---
void vpci_bus_init(struct vpci_bus *bus, struct ioapic *ioapic, uint64_t partition);

struct vpci_identity {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code; // 24 bits
    uint8_t revision;
};
// Puts a function into a free slot, with all registers in their reset state.
void vpci_add(struct vpci_bus *bus, uint8_t slot, struct vpci_function *f, const struct vpci_identity *id);
// BAR 0 is `size` bytes of memory, a power of two up to 64 KiB, answered by ops.
void vpci_set_bar(struct vpci_function *f, uint32_t size, const struct mmio_ops *ops, void *dev);
// Where BAR 0 is; 0: nowhere, as its decoding is off or it lies outside the window.
uint64_t vpci_bar(const struct vpci_function *f);
// Appends a capability of `length` bytes, id and next pointer included; returns its offset. What the caller
// writes behind the first two bytes of config and writable is its content. There is room for six of 20 bytes.
uint8_t vpci_add_capability(struct vpci_function *f, uint8_t id, uint8_t length);
// MSI-X with `count` vectors; table and PBA lie in BAR 0 and are answered by vpci_msix_read() and _write().
void vpci_add_msix(struct vpci_function *f, uint16_t count, uint32_t table, uint32_t pba);

// --- interrupts ---
bool vpci_msix_enabled(const struct vpci_function *f);
// Sends vector's message, or remembers it while it is masked. VPCI_NO_VECTOR and others out of range: nothing.
void vpci_msix_raise(struct vpci_function *f, uint16_t vector);
void vpci_intx_set(struct vpci_function *f, bool high);

// Accesses to BAR offsets from table or PBA on; offset + size within VPCI_MSIX_MAX entries.
bool vpci_msix_claims(const struct vpci_function *f, uint64_t offset);
uint64_t vpci_msix_read(struct vpci_function *f, uint64_t offset, uint8_t size);
void vpci_msix_write(struct vpci_function *f, uint64_t offset, uint8_t size, uint64_t value);

// Little-endian fields of configuration space.
static inline uint32_t vpci_get(const uint8_t *config, uint32_t offset, uint8_t size)
{
    uint32_t value = 0;

    for (uint8_t i = 0; i < size; i++) {
        value |= (uint32_t)config[offset + i] << (i * 8);
    }
    return value;
}

static inline void vpci_put(uint8_t *config, uint32_t offset, uint8_t size, uint32_t value)
{
    for (uint8_t i = 0; i < size; i++) {
        config[offset + i] = (uint8_t)(value >> (i * 8));
    }
}

#endif
