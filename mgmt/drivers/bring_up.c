// SPDX-License-Identifier: Apache-2.0
// Devices at boot: who has a driver, who has not, and whose interrupt goes where.
#include "mgmt/drivers/bring_up.h"

#include "mgmt/hvif/hvif.h"
#include "mgmt/plat.h"
#include "mgmt/rt/cpu.h"
#include "mgmt/rt/interrupt.h"

#define CLASS_BRIDGE 0x06
#define LINE_NONE 0xff

enum { SOURCE_LEVEL = 0, SOURCE_MSI = 2 }; // struct hv_x_map_interrupt_in

static struct pci_device devices[PCI_MAX_DEVICES];
static struct frame_rings rings; // of the one NIC

static void report(const struct pci_device *dev, const char *problem)
{
    plat_log(LOG_WARN, "%s: %s %04x:%04x at %02x:%02x.%x", pci_class_name(dev), problem, dev->vendor,
             dev->device, dev->at.bus, dev->at.device, dev->at.function);
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

static hv_status_t map_message(uint8_t vector, struct nic_msi *msi)
{
    const struct hv_x_map_interrupt_in in = {.source = SOURCE_MSI, .vp_index = RT_VP_DATA, .vector = vector};
    struct hv_x_map_interrupt_out out;
    hv_status_t status = hvif_map_interrupt(&in, &out);

    if (status == HV_STATUS_SUCCESS) {
        *msi = (struct nic_msi){.available = true, .address = out.msi_address, .data = out.msi_data};
    }
    return status;
}

static hv_status_t map_line(const struct pci_device *dev, uint8_t vector)
{
    const struct hv_x_map_interrupt_in in = {
        .source = SOURCE_LEVEL,
        .gsi = dev->irq_line,
        .vp_index = RT_VP_DATA,
        .vector = vector,
    };
    struct hv_x_map_interrupt_out out;

    if (dev->irq_pin == 0 || dev->irq_line == LINE_NONE) {
        return HV_STATUS_NOT_FOUND;
    }
    return hvif_map_interrupt(&in, &out);
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
    struct nic_msi msi = {0};
    uint8_t vector = rt_vector_alloc();
    const char *why;
    gpa_t chunk;
    struct nic *nic;
    hv_status_t status;

    if (vector == 0 || !plat_pool_alloc(1, &chunk)) {
        return fail(dev, "no vector or memory left");
    }
    _Static_assert(FRAME_MEMORY + NIC_DMA_SIZE <= PAGE_SIZE_2M, "one chunk");
    frames = (struct nic_memory){plat_pool_va(chunk), chunk.v};
    dma = (struct nic_memory){frames.va + FRAME_MEMORY, chunk.v + FRAME_MEMORY};
    status = pci_find_capability(dev, PCI_CAP_MSIX, 0) != 0 ? map_message(vector, &msi) : HV_STATUS_NOT_FOUND;
    nic = nic_probe(dev, &rings, frames, dma, &msi, &why);
    if (nic == NULL) {
        plat_pool_free(chunk, 1);
        return fail(dev, why);
    }
    rt_vector_set(vector, nic_interrupt, nic);
    if (!nic->uses_msi) {
        status = map_line(dev, vector);
    }
    if (status != HV_STATUS_SUCCESS) {
        return fail(dev, hvif_status_text(status)); // its memory stays with it: it may still write there
    }
    nic_enable(nic, dev);
    plat_log(LOG_INFO, "network: %s at %02x:%02x.%x, %02x:%02x:%02x:%02x:%02x:%02x, %s %u", nic->ops->name,
             dev->at.bus, dev->at.device, dev->at.function, nic->mac[0], nic->mac[1], nic->mac[2],
             nic->mac[3], nic->mac[4], nic->mac[5],
             nic->uses_msi ? "message interrupt, vector" : "interrupt line",
             nic->uses_msi ? vector : dev->irq_line);
    plat_entropy_add(nic->mac, sizeof(nic->mac));
    return nic;
}

struct nic *drivers_bring_up(void)
{
    size_t count = pci_enumerate(devices, ARRAY_LEN(devices));
    struct nic *nic = NULL;

    // Silence first: a device that firmware left interrupting may share the NIC's line.
    for (size_t i = 0; i < count; i++) {
        if (!nic_known(&devices[i])) {
            leave_alone(&devices[i]);
        }
    }
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
