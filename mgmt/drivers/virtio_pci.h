// SPDX-License-Identifier: Apache-2.0
// Modern virtio devices on PCI (virtio 1.1, 4.1): their structures, status, features, queues.
#ifndef MGMT_DRIVERS_VIRTIO_PCI_H
#define MGMT_DRIVERS_VIRTIO_PCI_H

#include "mgmt/drivers/pci.h"

#define VIRTIO_F_VERSION_1 BIT(32)

#define VIRTIO_NO_VECTOR 0xffff

struct virtio_pci {
    mmio_t common, notify, isr, config;
    uint32_t notify_multiplier;
    uint32_t notify_length, config_length; // bytes
};

// Finds the structures; `config_size`: what the device's own configuration has at least. False: not modern.
MUST_CHECK bool virtio_pci_map(struct virtio_pci *v, const struct pci_device *dev, uint32_t config_size);

// A reset has begun; it is over when virtio_pci_is_reset().
void virtio_pci_reset(const struct virtio_pci *v);
bool virtio_pci_is_reset(const struct virtio_pci *v);

uint64_t virtio_pci_features(const struct virtio_pci *v); // what the device offers
// After a reset: says that there is a driver that wants these. False: the device refuses.
MUST_CHECK bool virtio_pci_negotiate(const struct virtio_pci *v, uint64_t features);

// Entries that a queue may have, a power of two, at most `limit`; 0: there is none.
uint16_t virtio_pci_queue_size(const struct virtio_pci *v, uint16_t index, uint16_t limit);

struct virtio_pci_queue {
    uint16_t size;
    uint64_t descriptors, driver, device; // addresses as the device sees them
    uint16_t vector;                      // entry of the MSI-X table, VIRTIO_NO_VECTOR
};
// Sets a queue up. *notify is where to write its index when there is work. False: the device refuses.
MUST_CHECK bool virtio_pci_queue_start(const struct virtio_pci *v, uint16_t index,
                                       const struct virtio_pci_queue *q, mmio_t *notify);
// The message for changes of the configuration. False: the device refuses.
MUST_CHECK bool virtio_pci_config_vector(const struct virtio_pci *v, uint16_t vector);

// The driver is ready.
void virtio_pci_ready(const struct virtio_pci *v);
// The driver gives up.
void virtio_pci_failed(const struct virtio_pci *v);

#endif
