// SPDX-License-Identifier: Apache-2.0
// The table of disk drivers.
#include "mgmt/drivers/disk.h"

#include "mgmt/drivers/ahci.h"
#include "mgmt/drivers/ide.h"
#include "mgmt/drivers/nvme.h"
#include "mgmt/drivers/virtio_blk.h"

#define ANY 0xffff
#define INTERFACE_ANY 0xff

static const struct {
    uint16_t vendor, device;
    uint8_t class_code, subclass, interface;
    struct disk_driver driver;
} drivers[] = {
    {0x1af4, 0x1001, 0x01, 0x00, INTERFACE_ANY, {"virtio-blk", virtio_blk_probe, 1}}, // transitional
    {0x1af4, 0x1042, 0x01, 0x00, INTERFACE_ANY, {"virtio-blk", virtio_blk_probe, 1}},
    {ANY, ANY, 0x01, 0x08, 0x02, {"nvme", nvme_probe, 1}},
    {ANY, ANY, 0x01, 0x06, 0x01, {"ahci", ahci_probe, 1}},
    {ANY, ANY, 0x01, 0x01, INTERFACE_ANY, {"ide", ide_probe, IDE_CHANNELS}},
};

const struct disk_driver *disk_driver_find(const struct pci_device *dev)
{
    for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
        bool named = drivers[i].vendor == ANY ||
                     (drivers[i].vendor == dev->vendor && drivers[i].device == dev->device);

        if (named && drivers[i].class_code == dev->class_code && drivers[i].subclass == dev->subclass &&
            (drivers[i].interface == INTERFACE_ANY || drivers[i].interface == dev->interface)) {
            return &drivers[i].driver;
        }
    }
    return NULL;
}

void disk_copy_text(char *out, size_t cap, const uint8_t *text, size_t length, bool swapped)
{
    size_t n = 0;

    for (size_t i = 0; i < length && n < cap - 1; i++) {
        uint8_t c = text[swapped ? i ^ 1 : i];

        if (c > ' ' && c < 0x7f) {
            out[n++] = (char)c;
        } else if (n > 0) {
            out[n++] = ' ';
        }
    }
    while (n > 0 && out[n - 1] == ' ') {
        n--;
    }
    out[n] = '\0';
}
