// SPDX-License-Identifier: Apache-2.0
// PCI: configuration space, enumeration, BARs, capabilities (PCI Local Bus 3.0, PCI-to-PCI Bridge 1.2).
//
// Configuration mechanism #1 (ports CF8/CFC) is enough for the first 256 bytes and exists everywhere.
// Control plane, while it starts; a driver in the data plane keeps what it needs.
#ifndef MGMT_DRIVERS_PCI_H
#define MGMT_DRIVERS_PCI_H

#include "mgmt/drivers/mmio.h"

#define PCI_MAX_DEVICES 64

struct pci_address {
    uint8_t bus, device, function;
};

struct pci_device {
    struct pci_address at;
    uint16_t vendor, device;
    uint8_t class_code, subclass, interface;
    uint8_t irq_line; // what firmware routed: the IOAPIC input; 0xff none
    uint8_t irq_pin;  // 0 none, 1 INTA# ..
};

// Raw configuration space, provided by pci_port.c or a test. `offset` is a multiple of 4.
uint32_t pci_config_read(struct pci_address at, uint8_t offset);
void pci_config_write(struct pci_address at, uint8_t offset, uint32_t value);

uint16_t pci_read16(const struct pci_device *dev, uint8_t offset);
uint8_t pci_read8(const struct pci_device *dev, uint8_t offset);

// Finds devices on all buses behind bus 0, in the order of their addresses. Returns how many.
size_t pci_enumerate(struct pci_device *devices, size_t cap);

// Address and size of a memory BAR (0..5). False for an I/O BAR, an absent one, one without address, or the
// upper half of a 64-bit one.
MUST_CHECK bool pci_bar(const struct pci_device *dev, unsigned bar, uint64_t *base, uint64_t *size);

// First port of an I/O BAR (0..5). False for a memory BAR or one without address.
MUST_CHECK bool pci_io_bar(const struct pci_device *dev, unsigned bar, uint16_t *port);
// I/O decoding and bus mastering on, INTx allowed: for IDE.
void pci_enable_io(const struct pci_device *dev);

// Memory decoding and bus mastering on; the INTx line as asked.
void pci_enable(const struct pci_device *dev, bool intx);
// For devices without a driver: no DMA and no interrupt on a line that another device may share.
void pci_quiesce(const struct pci_device *dev);

// Offset of the first capability with this id after `after` (0: from the start); 0 if there is none.
uint8_t pci_find_capability(const struct pci_device *dev, uint8_t id, uint8_t after);
#define PCI_MAX_CAPABILITIES 48 // more would not fit: a longer list is a loop
#define PCI_CAP_MSI 0x05
#define PCI_CAP_VENDOR 0x09
#define PCI_CAP_MSIX 0x11

// Lets the device send message `entry` to address/data and enables MSI-X as a whole. False if the device
// has no such entry.
MUST_CHECK bool pci_msix_set(const struct pci_device *dev, unsigned entry, uint64_t address, uint32_t data);

// The same by MSI, for devices without MSI-X: one message for everything. False if the device has no MSI.
MUST_CHECK bool pci_msi_set(const struct pci_device *dev, uint64_t address, uint32_t data);

// "network", "storage", "display" ...; NULL for classes that need no driver of ours (bridges and such).
const char *pci_class_name(const struct pci_device *dev);

#endif
