// SPDX-License-Identifier: Apache-2.0
// A PCI device for driver tests: configuration space with BARs that can be sized, and register callbacks.
#ifndef TESTS_UNIT_FAKE_PCI_H
#define TESTS_UNIT_FAKE_PCI_H

#include "mgmt/drivers/pci.h"

#define FAKE_PCI_MAX 8

struct fake_device {
    struct pci_address at;
    uint8_t config[256];
    uint64_t bar_size[6]; // 0: none. A 64-bit BAR has its size in the lower one
    bool bar_wide[6];
    // Registers behind `bar`, by offset and size in bytes (1, 2, 4).
    uint32_t (*read)(struct fake_device *d, unsigned bar, uint32_t offset, unsigned size);
    void (*write)(struct fake_device *d, unsigned bar, uint32_t offset, unsigned size, uint32_t value);
};

void fake_pci_reset(void);
void fake_pci_add(struct fake_device *d);
void fake_pci_set(struct fake_device *d, unsigned offset, unsigned size, uint32_t value);
uint32_t fake_pci_get(const struct fake_device *d, unsigned offset, unsigned size);
// Identity, class and one memory BAR.
void fake_pci_describe(struct fake_device *d, struct pci_address at, uint16_t vendor, uint16_t device,
                       uint32_t class_code, unsigned bar, uint64_t base, uint64_t size, bool wide);

#endif
