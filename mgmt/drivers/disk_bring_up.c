// SPDX-License-Identifier: Apache-2.0
// From a PCI function to named disks with partitions.
//
// Partition tables are read by polling, before the controller may interrupt: an interrupt handler would run on the
// other VP beside the driver.
#include "mgmt/drivers/disk_bring_up.h"

#include "mgmt/block/disks.h"
#include "mgmt/drivers/disk.h"
#include "mgmt/hvif/hvif.h"
#include "mgmt/plat.h"

#include <string.h>

#define POLL_US 20u

static void report(const struct pci_device *dev, const struct disk_driver *driver, const char *why)
{
    plat_log(LOG_ERROR, "storage: %s %04x:%04x at %02x:%02x.%x cannot be used: %s", driver->name, dev->vendor,
             dev->device, dev->at.bus, dev->at.device, dev->at.function, why);
}

// --- partition tables ---

struct reader {
    struct block_device *dev;
    uint64_t buffer_gpa;
    struct block_request request;
    bool done;
};

static void read_done(struct block_request *request)
{
    struct reader *r = request->context;

    r->done = true;
}

static bool read_sectors(struct reader *r, uint64_t sector, uint32_t sectors, uint32_t offset)
{
    r->done = false;
    r->request = (struct block_request){
        .op = BLOCK_READ,
        .sector = sector,
        .sectors = sectors,
        .segment_count = 1,
        .segments = {{.gpa = r->buffer_gpa + offset, .length = sectors * BLOCK_SECTOR}},
        .done = read_done,
        .context = r,
    };
    block_submit(r->dev, &r->request);
    while (!r->done) { // the driver's time-outs see to it
        (void)block_service(r->dev);
        mmio_delay_us(POLL_US);
    }
    return r->request.status == BLOCK_OK;
}

static bool read_blocks(void *context, uint64_t block, uint32_t count)
{
    struct reader *r = context;
    uint32_t unit = r->dev->logical_block / BLOCK_SECTOR, left = count * unit, at = 0;

    if ((uint64_t)left * BLOCK_SECTOR > GPT_BUFFER_SIZE) {
        return false;
    }
    while (left > 0) {
        uint32_t n = MIN(left, r->dev->max_sectors - r->dev->max_sectors % unit);

        if (!read_sectors(r, block * unit + at, n, at * BLOCK_SECTOR)) {
            return false;
        }
        at += n;
        left -= n;
    }
    return true;
}

static void log_partitions(const struct node_disk *disk)
{
    for (uint32_t i = 0; i < disk->partition_count; i++) {
        const struct node_partition *p = &disk->partitions[i];

        plat_log(LOG_INFO, "%s: %s, %llu MiB", p->dev.name, p->entry.label,
                 (unsigned long long)(p->dev.sectors >> 11));
    }
}

static void read_partitions(struct node_disk *disk)
{
    static struct gpt gpt;
    static struct reader reader;
    struct gpt_disk source = {.read = read_blocks, .context = &reader};
    bool damaged;
    gpa_t chunk;

    if (!plat_pool_alloc(1, &chunk)) {
        plat_log(LOG_ERROR, "%s: no memory to read its partition table", disk->dev->name);
        return;
    }
    reader.dev = disk->dev;
    reader.buffer_gpa = chunk.v;
    source.buffer = plat_pool_va(chunk);
    source.block_size = disk->dev->logical_block;
    source.blocks = disk->dev->sectors / (disk->dev->logical_block / BLOCK_SECTOR);
    gpt_read(&source, &gpt, &damaged);
    plat_pool_free(chunk, 1);
    disks_set_partitions(disk, &gpt, damaged);
    if (damaged) {
        plat_log(LOG_WARN, "%s: its %spartition table is damaged%s", disk->dev->name,
                 gpt.source == GPT_BACKUP ? "first " : "",
                 gpt.source == GPT_BACKUP ? ", the backup is used" : " and so is the backup");
    }
    log_partitions(disk);
}

// --- controllers ---

static void enter_disk(struct block_device *dev, const struct pci_device *pci)
{
    struct node_disk *disk = disks_add(dev);

    if (disk == NULL) {
        plat_log(LOG_WARN, "storage: more than %u disks, '%s' is left out", DISKS_MAX, dev->model);
        return;
    }
    plat_log(LOG_INFO, "%s: %s, %llu MiB, %s at %02x:%02x.%x%s%s", dev->name, dev->model,
             (unsigned long long)(dev->sectors >> 11), dev->ops->name, pci->at.bus, pci->at.device,
             pci->at.function, dev->serial[0] != '\0' ? ", serial " : "", dev->serial);
    read_partitions(disk);
}

static hv_status_t route(const struct disk_setup *s, const struct disk_controller *c)
{
    hv_status_t status = HV_STATUS_SUCCESS;

    switch (c->irq) {
    case DISK_IRQ_MESSAGE:
        irq_message_set(s->message, c->interrupt, c->arg);
        break;
    case DISK_IRQ_EDGE:
        status = irq_edge_add(c->edge_gsi, c->interrupt, c->arg);
        break;
    case DISK_IRQ_LINE:
        status = irq_line_add(&s->pci, c->interrupt, c->arg);
        if (status == HV_STATUS_SUCCESS) {
            pci_enable(&s->pci, true);
        }
        break;
    }
    if (status == HV_STATUS_SUCCESS && c->enable != NULL) {
        c->enable(c->arg);
    }
    return status;
}

static bool has_messages(const struct pci_device *dev)
{
    return pci_find_capability(dev, PCI_CAP_MSIX, 0) != 0 || pci_find_capability(dev, PCI_CAP_MSI, 0) != 0;
}

// Without a route for its interrupts a controller is of no use: its disks go as failed ones.
static void give_up(const struct disk_controller *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        c->devices[i]->failed = true;
    }
}

// One controller, of `driver->units` in the function. True: it has disks.
static bool start_controller(const struct pci_device *dev, const struct disk_driver *driver, uint32_t unit)
{
    struct disk_setup setup = {.pci = *dev, .unit = unit};
    struct disk_controller controller = {0};
    struct irq_message message;
    const char *why = "no memory left";
    hv_status_t status;
    gpa_t chunk;

    if (!plat_pool_alloc(1, &chunk)) {
        report(dev, driver, why);
        return false;
    }
    setup.memory = (struct disk_memory){plat_pool_va(chunk), chunk.v};
    memset(setup.memory.va, 0, DISK_MEMORY_SIZE);
    if (has_messages(dev) && irq_message_map(&message) == HV_STATUS_SUCCESS) {
        setup.message = &message;
    }
    if (!driver->probe(&setup, &controller, &why)) {
        report(dev, driver, why);
        controller.count = 0;
    }
    if (controller.count == 0) {
        if (driver->units == 1) {
            pci_quiesce(dev); // before its memory goes back
        }
        plat_pool_free(chunk, 1);
        return false;
    }
    for (uint32_t i = 0; i < controller.count; i++) {
        enter_disk(controller.devices[i], dev);
    }
    status = route(&setup, &controller);
    if (status != HV_STATUS_SUCCESS) {
        report(dev, driver, hvif_status_text(status));
        give_up(&controller);
    }
    return true;
}

void disks_bring_up(const struct pci_device *devices, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct disk_driver *driver = disk_driver_find(&devices[i]);
        bool used = false;

        for (uint32_t unit = 0; driver != NULL && unit < driver->units; unit++) {
            used |= start_controller(&devices[i], driver, unit);
        }
        if (driver != NULL && !used) {
            pci_quiesce(&devices[i]);
        }
    }
}
