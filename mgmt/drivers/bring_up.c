// SPDX-License-Identifier: Apache-2.0
// Devices at boot: who has a driver, who has not, and whose interrupt goes where.
#include "mgmt/drivers/bring_up.h"

#include "mgmt/drivers/disk.h"
#include "mgmt/drivers/disk_bring_up.h"
#include "mgmt/drivers/irq.h"
#include "mgmt/hvif/hvif.h"
#include "mgmt/plat.h"

#define CLASS_BRIDGE 0x06

static struct pci_device devices[PCI_MAX_DEVICES];
static struct frame_rings rings; // of the one NIC

static void report(const struct pci_device *dev, const char *problem)
{
    plat_log(LOG_WARN, "%s: %s %04x:%04x at %02x:%02x.%x", pci_class_name(dev), problem, dev->vendor,
             dev->device, dev->at.bus, dev->at.device, dev->at.function);
}

static bool known(const struct pci_device *dev)
{
    return nic_known(dev) || disk_driver_find(dev) != NULL;
}

static void leave_alone(const struct pci_device *dev)
{
    if (dev->class_code == CLASS_BRIDGE) {
        return; // what is behind it needs its bus mastering
    }
    pci_quiesce(dev);
    if (pci_class_name(dev) != NULL) {
        report(dev, nic_known(dev) ? "not used:" : "no driver for");
    }
}

static struct nic *fail(const struct pci_device *dev, const char *why)
{
    plat_log(LOG_ERROR, "network: %04x:%04x at %02x:%02x.%x cannot be used: %s", dev->vendor, dev->device,
             dev->at.bus, dev->at.device, dev->at.function, why);
    pci_quiesce(dev);
    return NULL;
}

static struct nic *start_nic(const struct pci_device *dev)
{
    struct nic_memory frames, dma;
    struct irq_message message = {0};
    struct nic_msi msi = {0};
    const char *why;
    gpa_t chunk;
    struct nic *nic;
    hv_status_t status = HV_STATUS_NOT_FOUND;

    if (!plat_pool_alloc(1, &chunk)) {
        return fail(dev, "no memory left");
    }
    _Static_assert(FRAME_MEMORY + NIC_DMA_SIZE <= PAGE_SIZE_2M, "one chunk");
    frames = (struct nic_memory){plat_pool_va(chunk), chunk.v};
    dma = (struct nic_memory){frames.va + FRAME_MEMORY, chunk.v + FRAME_MEMORY};
    if (pci_find_capability(dev, PCI_CAP_MSIX, 0) != 0) {
        status = irq_message_map(&message);
        msi = (struct nic_msi){status == HV_STATUS_SUCCESS, message.address, message.data};
    }
    nic = nic_probe(dev, &rings, frames, dma, &msi, &why);
    if (nic == NULL) {
        plat_pool_free(chunk, 1);
        return fail(dev, why);
    }
    if (nic->uses_msi) {
        irq_message_set(&message, nic_interrupt, nic);
    } else {
        status = irq_line_add(dev, nic_interrupt, nic);
    }
    if (status != HV_STATUS_SUCCESS) {
        return fail(dev, hvif_status_text(status)); // its memory stays with it: it may still write there
    }
    nic_enable(nic, dev);
    plat_log(LOG_INFO, "network: %s at %02x:%02x.%x, %02x:%02x:%02x:%02x:%02x:%02x, %s %u", nic->ops->name,
             dev->at.bus, dev->at.device, dev->at.function, nic->mac[0], nic->mac[1], nic->mac[2],
             nic->mac[3], nic->mac[4], nic->mac[5],
             nic->uses_msi ? "message interrupt, vector" : "interrupt line",
             nic->uses_msi ? message.vector : dev->irq_line);
    plat_entropy_add(nic->mac, sizeof(nic->mac));
    return nic;
}

struct nic *drivers_bring_up(void)
{
    size_t count = pci_enumerate(devices, ARRAY_LEN(devices));
    struct nic *nic = NULL;

    // Silence first: a device that firmware left interrupting may share the NIC's line.
    for (size_t i = 0; i < count; i++) {
        if (!known(&devices[i])) {
            leave_alone(&devices[i]);
        }
    }
    disks_bring_up(devices, count);
    for (size_t i = 0; i < count; i++) {
        if (nic_known(&devices[i]) && nic == NULL) {
            nic = start_nic(&devices[i]);
        } else if (nic_known(&devices[i])) {
            leave_alone(&devices[i]);
        }
    }
    if (nic == NULL) {
        plat_log(LOG_ERROR, "network: no usable adapter among %zu PCI devices", count);
    }
    return nic;
}
