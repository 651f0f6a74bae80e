// SPDX-License-Identifier: Apache-2.0
// Structures and registers that modern virtio devices have in common.
#include "mgmt/drivers/virtio_pci.h"

// Vendor capabilities, 4.1.4: configuration type at +3, BAR at +4, offset, length.
#define CFG_COMMON 1
#define CFG_NOTIFY 2
#define CFG_ISR 3
#define CFG_DEVICE 4

// Common configuration, 4.1.4.3.
#define DEVICE_FEATURE_SELECT 0x00
#define DEVICE_FEATURE 0x04
#define DRIVER_FEATURE_SELECT 0x08
#define DRIVER_FEATURE 0x0c
#define MSIX_CONFIG 0x10
#define DEVICE_STATUS 0x14
#define QUEUE_SELECT 0x16
#define QUEUE_SIZE 0x18
#define QUEUE_MSIX_VECTOR 0x1a
#define QUEUE_ENABLE 0x1c
#define QUEUE_NOTIFY_OFF 0x1e
#define QUEUE_DESC 0x20
#define QUEUE_DRIVER 0x28
#define QUEUE_DEVICE 0x30
#define COMMON_SIZE 56

// Device status, 2.1.
#define ST_ACKNOWLEDGE 1
#define ST_DRIVER 2
#define ST_DRIVER_OK 4
#define ST_FEATURES_OK 8
#define ST_FAILED 128

// Maps the structure of this type, which has at least `min` bytes, and says how many it has. Returns where its
// capability is, 0 if there is none. The list of a broken device may be a loop.
static uint8_t map_structure(const struct pci_device *dev, uint8_t type, uint32_t min, mmio_t *out,
                             uint32_t *found_length)
{
    uint8_t cap = pci_find_capability(dev, PCI_CAP_VENDOR, 0);

    for (unsigned n = 0; n < PCI_MAX_CAPABILITIES && cap != 0;
         n++, cap = pci_find_capability(dev, PCI_CAP_VENDOR, cap)) {
        uint32_t offset = pci_config_read(dev->at, (uint8_t)(cap + 8));
        uint32_t length = pci_config_read(dev->at, (uint8_t)(cap + 12));
        uint64_t base, size;

        if (pci_read8(dev, (uint8_t)(cap + 3)) != type || length < min) {
            continue;
        }
        if (pci_bar(dev, pci_read8(dev, (uint8_t)(cap + 4)), &base, &size) && offset < size &&
            length <= size - offset) {
            *out = mmio_map(base + offset);
            *found_length = length;
            return cap;
        }
    }
    return 0;
}

bool virtio_pci_map(struct virtio_pci *v, const struct pci_device *dev, uint32_t config_size)
{
    uint8_t notify = map_structure(dev, CFG_NOTIFY, 2, &v->notify, &v->notify_length);
    uint32_t length;

    if (notify == 0) {
        return false;
    }
    v->notify_multiplier = pci_config_read(dev->at, (uint8_t)(notify + 16));
    return map_structure(dev, CFG_COMMON, COMMON_SIZE, &v->common, &length) != 0 &&
           map_structure(dev, CFG_ISR, 1, &v->isr, &length) != 0 &&
           map_structure(dev, CFG_DEVICE, config_size, &v->config, &v->config_length) != 0;
}

static void add_status(const struct virtio_pci *v, uint8_t bits)
{
    mmio_write8(v->common, DEVICE_STATUS, mmio_read8(v->common, DEVICE_STATUS) | bits);
}

void virtio_pci_reset(const struct virtio_pci *v)
{
    mmio_write8(v->common, DEVICE_STATUS, 0);
}

bool virtio_pci_is_reset(const struct virtio_pci *v)
{
    return mmio_read8(v->common, DEVICE_STATUS) == 0;
}

uint64_t virtio_pci_features(const struct virtio_pci *v)
{
    uint64_t offered;

    mmio_write32(v->common, DEVICE_FEATURE_SELECT, 0);
    offered = mmio_read32(v->common, DEVICE_FEATURE);
    mmio_write32(v->common, DEVICE_FEATURE_SELECT, 1);
    return offered | (uint64_t)mmio_read32(v->common, DEVICE_FEATURE) << 32;
}

bool virtio_pci_negotiate(const struct virtio_pci *v, uint64_t features)
{
    add_status(v, ST_ACKNOWLEDGE);
    add_status(v, ST_DRIVER);
    mmio_write32(v->common, DRIVER_FEATURE_SELECT, 0);
    mmio_write32(v->common, DRIVER_FEATURE, (uint32_t)features);
    mmio_write32(v->common, DRIVER_FEATURE_SELECT, 1);
    mmio_write32(v->common, DRIVER_FEATURE, (uint32_t)(features >> 32));
    add_status(v, ST_FEATURES_OK);
    return (mmio_read8(v->common, DEVICE_STATUS) & ST_FEATURES_OK) != 0;
}

static void write64(mmio_t m, uint32_t offset, uint64_t value)
{
    mmio_write32(m, offset, (uint32_t)value);
    mmio_write32(m, offset + 4, (uint32_t)(value >> 32));
}

uint16_t virtio_pci_queue_size(const struct virtio_pci *v, uint16_t index, uint16_t limit)
{
    uint16_t size;

    mmio_write16(v->common, QUEUE_SELECT, index);
    size = mmio_read16(v->common, QUEUE_SIZE); // once: a broken device may answer differently the next time
    size = MIN(size, limit);
    while ((size & (size - 1)) != 0) {
        size &= (uint16_t)(size - 1);
    }
    return size;
}

bool virtio_pci_queue_start(const struct virtio_pci *v, uint16_t index, const struct virtio_pci_queue *q,
                            mmio_t *notify)
{
    uint64_t offset;

    mmio_write16(v->common, QUEUE_SELECT, index);
    offset = (uint64_t)mmio_read16(v->common, QUEUE_NOTIFY_OFF) * v->notify_multiplier;
    if (offset + 2 > v->notify_length) {
        return false;
    }
    *notify = (mmio_t){v->notify.base + offset};
    mmio_write16(v->common, QUEUE_SIZE, q->size);
    write64(v->common, QUEUE_DESC, q->descriptors);
    write64(v->common, QUEUE_DRIVER, q->driver);
    write64(v->common, QUEUE_DEVICE, q->device);
    mmio_write16(v->common, QUEUE_MSIX_VECTOR, q->vector);
    if (mmio_read16(v->common, QUEUE_MSIX_VECTOR) != q->vector) {
        return false;
    }
    mmio_write16(v->common, QUEUE_ENABLE, 1);
    return true;
}

bool virtio_pci_config_vector(const struct virtio_pci *v, uint16_t vector)
{
    mmio_write16(v->common, MSIX_CONFIG, vector);
    return mmio_read16(v->common, MSIX_CONFIG) == vector;
}

void virtio_pci_ready(const struct virtio_pci *v)
{
    add_status(v, ST_DRIVER_OK);
}

void virtio_pci_failed(const struct virtio_pci *v)
{
    mmio_write8(v->common, DEVICE_STATUS, ST_FAILED);
}
