// SPDX-License-Identifier: Apache-2.0
// The table of NIC drivers.
#include "mgmt/drivers/nic.h"

#include "mgmt/drivers/e1000.h"
#include "mgmt/drivers/virtio_net.h"

typedef struct nic *probe_fn(const struct pci_device *dev, struct frame_rings *rings,
                             struct nic_memory frames, struct nic_memory dma, const struct nic_msi *msi,
                             const char **why);

static const struct {
    uint16_t vendor, device;
    probe_fn *probe;
} drivers[] = {
    {0x8086, 0x100e, e1000_probe},      // 82540EM
    {0x8086, 0x100f, e1000_probe},      // 82545EM
    {0x8086, 0x10d3, e1000e_probe},     // 82574L
    {0x1af4, 0x1000, virtio_net_probe}, // transitional: used in its modern form
    {0x1af4, 0x1041, virtio_net_probe},
};

static probe_fn *find(const struct pci_device *dev)
{
    for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
        if (drivers[i].vendor == dev->vendor && drivers[i].device == dev->device) {
            return drivers[i].probe;
        }
    }
    return NULL;
}

bool nic_known(const struct pci_device *dev)
{
    return find(dev) != NULL;
}

struct nic *nic_probe(const struct pci_device *dev, struct frame_rings *rings, struct nic_memory frames,
                      struct nic_memory dma, const struct nic_msi *msi, const char **why)
{
    probe_fn *probe = find(dev);

    *why = NULL;
    return probe == NULL ? NULL : probe(dev, rings, frames, dma, msi, why);
}

void nic_enable(struct nic *nic, const struct pci_device *dev)
{
    pci_enable(dev, !nic->uses_msi);
    if (nic->ops->enable != NULL) {
        nic->ops->enable(nic);
    }
}

void nic_interrupt(void *arg)
{
    struct nic *nic = arg;

    nic->interrupts++;
    nic->ops->interrupt(nic);
}
