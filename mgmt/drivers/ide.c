// SPDX-License-Identifier: Apache-2.0
// IDE: one command at a time on a channel, which two disks share; data by bus-master DMA, 32-bit addresses.
#include "mgmt/drivers/ide.h"

#include "mgmt/drivers/ata.h"
#include "mgmt/drivers/disk_unit.h"
#include "mgmt/drivers/port.h"
#include "mgmt/plat.h"

#include <string.h>

#define DISKS 2u

// Command block (offsets from the first port) and control block.
#define DATA 0
#define FEATURES 1 // read: error
#define COUNT 2
#define LBA_LOW 3
#define LBA_MID 4
#define LBA_HIGH 5
#define DEVICE 6
#define COMMAND 7 // read: status, which ends the interrupt
#define DEVICE_SECOND 0x10
#define DEVICE_OBSOLETE 0xa0 // ones in old devices
#define CONTROL_RESET 0x04
#define NOTHING_THERE 0xff // a channel without pull-ups answering

// Bus master, eight ports a channel.
#define BM_COMMAND 0
#define BM_STATUS 2
#define BM_TABLE 4
#define BM_START 0x01
#define BM_TO_MEMORY 0x08
#define BM_ACTIVE 0x01
#define BM_ERROR 0x02
#define BM_INTERRUPT 0x04 // both: cleared by writing ones
#define BM_CAPABLE 0x60   // kept

#define INTERFACE_NATIVE(channel) (1u << (2 * (channel)))
#define INTERFACE_BUS_MASTER 0x80u
#define BAR_BUS_MASTER 4

#define PRD_LAST 0x8000
#define PRD_LIMIT 0x10000ull // a region crosses no multiple of 64 KiB
#define PRDS 256u            // 64 segments, 16 crossings by size, one more for each segment: 144
#define REACH (1ull << 32)

#define STATE_OFFSET 0u
#define PRD_OFFSET 0x10000u
#define TRIM_OFFSET 0x11000u

#define SELECT_READS 4 // of the status: 400 ns
#define RESET_HOLD_NS 10000u
#define RESET_QUIET_NS 2000000u
#define RESET_POLL_NS 5000000u
#define RESET_LIMIT_NS 31000000000ull // ATA/ATAPI-6 "Software reset protocol"
#define PROBE_LIMIT_NS 5000000000ull  // no disk at boot is worth more waiting
#define PROBE_STEP_US 20u

struct prd {
    uint32_t address;
    uint16_t length; // 0: 64 KiB
    uint16_t flags;
};
_Static_assert(sizeof(struct prd) == 8 && PRDS * sizeof(struct prd) <= PAGE_SIZE,
               "Physical Region Descriptor");

enum state { READY, RESET_HELD, RESET_WAIT, FAILED };

struct ide_disk {
    struct block_device dev;
    struct ata_facts facts;
    struct ide_channel *channel;
    bool present;
};

struct ide_channel {
    struct disk_unit unit; // one slot
    struct ide_disk disks[DISKS];
    uint16_t command, control, bus_master;
    volatile struct prd *table;
    uint64_t (*trim)[64];
    uint64_t table_gpa, trim_gpa;
    bool answered; // the interrupt of the request in the slot came; status and bm_status are its
    uint8_t status, bm_status;
    enum state state;
    uint64_t poll_ns, reset_ns, reset_limit_ns; // next step, beginning and patience of a reset
};
_Static_assert(sizeof(struct ide_channel) <= PRD_OFFSET, "layout of the memory");

static struct ide_disk *disk_of(struct block_device *dev)
{
    return CONTAINER_OF(dev, struct ide_disk, dev);
}

static void select_disk(const struct ide_channel *c, uint8_t device)
{
    port_write8((uint16_t)(c->command + DEVICE), device | DEVICE_OBSOLETE);
    for (unsigned i = 0; i < SELECT_READS; i++) {
        (void)port_read8(c->control);
    }
}

// --- a request's data ---

static uint32_t put_region(struct ide_channel *c, uint32_t n, uint64_t gpa, uint64_t length)
{
    while (length > 0) {
        uint64_t piece = MIN(length, PRD_LIMIT - gpa % PRD_LIMIT);

        c->table[n].address = (uint32_t)gpa;
        c->table[n].length = (uint16_t)piece;
        c->table[n].flags = 0;
        n++;
        gpa += piece;
        length -= piece;
    }
    return n;
}

static void describe_data(struct ide_channel *c, const struct ide_disk *d, const struct block_request *r)
{
    const struct block_segment *segments;
    struct block_segment storage;
    uint32_t count, n = 0;

    if (r->op == BLOCK_DISCARD) {
        ata_trim_ranges(&d->facts, r, *c->trim);
        n = put_region(c, 0, c->trim_gpa, BLOCK_SECTOR);
    } else {
        count = unit_segments(&c->unit, 0, &segments, &storage);
        for (uint32_t i = 0; i < count; i++) {
            n = put_region(c, n, segments[i].gpa, segments[i].length);
        }
    }
    c->table[n - 1].flags = PRD_LAST;
}

// --- commands ---

static void write_registers(const struct ide_channel *c, const struct ata_command *a)
{
    // Registers of 48-bit commands are two deep: the older value is the upper byte.
    for (unsigned high = a->extended ? 1 : 0;; high--) {
        port_write8((uint16_t)(c->command + FEATURES), high != 0 ? 0 : a->features);
        port_write8((uint16_t)(c->command + COUNT), (uint8_t)(a->count >> 8 * high));
        port_write8((uint16_t)(c->command + LBA_LOW), (uint8_t)(a->lba >> 24 * high));
        port_write8((uint16_t)(c->command + LBA_MID), (uint8_t)(a->lba >> (8 + 24 * high)));
        port_write8((uint16_t)(c->command + LBA_HIGH), (uint8_t)(a->lba >> (16 + 24 * high)));
        if (high == 0) {
            break;
        }
    }
    port_write8((uint16_t)(c->command + COMMAND), a->command);
}

static void prepare_bus_master(const struct ide_channel *c, bool to_memory)
{
    uint8_t kept = port_read8((uint16_t)(c->bus_master + BM_STATUS)) & BM_CAPABLE;

    port_write8((uint16_t)(c->bus_master + BM_COMMAND), to_memory ? BM_TO_MEMORY : 0);
    port_write32((uint16_t)(c->bus_master + BM_TABLE), (uint32_t)c->table_gpa);
    port_write8((uint16_t)(c->bus_master + BM_STATUS), kept | BM_ERROR | BM_INTERRUPT);
}

static void begin_reset(struct ide_channel *c, uint64_t now);

static void start(struct ide_channel *c, uint64_t now)
{
    uint32_t slot = unit_next(&c->unit, now);
    const struct block_request *r;
    struct ata_command a;
    struct ide_disk *d;
    bool read;

    if (slot == UNIT_NONE) {
        return;
    }
    r = c->unit.slots[slot];
    d = disk_of(block_disk(r->device));
    read = r->op == BLOCK_READ;
    a = ata_command_for(&d->facts, r, unit_step(r));
    c->answered = false;
    if (a.has_data) {
        describe_data(c, d, r);
        __atomic_thread_fence(__ATOMIC_RELEASE); // the table before the device is told
    }
    prepare_bus_master(c, read);
    select_disk(c, a.device | (d == &c->disks[1] ? DEVICE_SECOND : 0));
    if ((port_read8(c->control) & (ATA_STATUS_BSY | ATA_STATUS_DRQ)) != 0) {
        begin_reset(c, now); // it should have nothing to do
        return;
    }
    write_registers(c, &a);
    if (a.has_data) {
        port_write8((uint16_t)(c->bus_master + BM_COMMAND), BM_START | (read ? BM_TO_MEMORY : 0));
    }
}

// --- answers ---

// Takes the interrupt's cause away and keeps what it said. Interrupt context, or the loop.
static void acknowledge(struct ide_channel *c)
{
    uint8_t bm = port_read8((uint16_t)(c->bus_master + BM_STATUS));

    if ((bm & BM_INTERRUPT) == 0) {
        return;
    }
    c->status = port_read8((uint16_t)(c->command + COMMAND));
    port_write8((uint16_t)(c->bus_master + BM_STATUS), (uint8_t)((bm & BM_CAPABLE) | BM_INTERRUPT));
    c->bm_status = bm;
    c->answered = c->unit.busy > 0 && (c->status & ATA_STATUS_BSY) == 0;
}

static void finish(struct ide_channel *c)
{
    struct block_request *r = c->unit.slots[0];
    bool damaged = (c->status & ATA_STATUS_ERR) != 0 &&
                   (port_read8((uint16_t)(c->command + FEATURES)) & ATA_ERROR_ICRC) != 0;
    bool data = unit_step(r) != BLOCK_FLUSH;

    c->answered = false;
    port_write8((uint16_t)(c->bus_master + BM_COMMAND), 0);
    if (damaged) {
        unit_retry(&c->unit, 0, BLOCK_IO_ERROR);
        return;
    }
    // A bus master that is still active has not moved all of the data.
    if ((c->status & (ATA_STATUS_ERR | ATA_STATUS_DF | ATA_STATUS_DRQ)) != 0 ||
        (data && (c->bm_status & (BM_ERROR | BM_ACTIVE)) != 0)) {
        unit_finish(&c->unit, 0, BLOCK_IO_ERROR);
        return;
    }
    unit_finish(&c->unit, 0, BLOCK_OK);
}

// --- reset ---

// Asks for service(): what happens next must not happen within a submit().
static void want_service(struct ide_channel *c)
{
    c->disks[c->disks[0].present ? 0 : 1].dev.pending = true;
}

// The next service() ends what waits.
static void fail(struct ide_channel *c)
{
    c->state = FAILED;
    for (unsigned i = 0; i < DISKS; i++) {
        c->disks[i].dev.failed = true;
    }
    want_service(c);
}

static void begin_reset(struct ide_channel *c, uint64_t now)
{
    port_write8((uint16_t)(c->bus_master + BM_COMMAND), 0); // no DMA from here on
    c->answered = false;
    for (unsigned i = 0; i < DISKS; i++) {
        c->disks[i].dev.counters.resets += c->disks[i].present;
    }
    if (!unit_strike(&c->unit)) {
        fail(c);
        return;
    }
    port_write8(c->control, CONTROL_RESET);
    c->state = RESET_HELD;
    c->reset_ns = now;
    c->poll_ns = now + RESET_HOLD_NS;
    want_service(c);
}

static void step_reset(struct ide_channel *c, uint64_t now)
{
    if (now < c->poll_ns) {
        return;
    }
    if (c->state == RESET_HELD) {
        port_write8(c->control, 0); // interrupts on as well
        c->state = RESET_WAIT;
        c->poll_ns = now + RESET_QUIET_NS;
        return;
    }
    if ((port_read8(c->control) & ATA_STATUS_BSY) == 0) {
        (void)port_read8((uint16_t)(c->command + COMMAND));
        c->state = READY;
        unit_stopped(&c->unit, c->reset_ns);
    } else if (now - c->reset_ns > c->reset_limit_ns) {
        fail(c);
    } else {
        c->poll_ns = now + RESET_POLL_NS;
    }
}

// --- from the data plane ---

static bool service(struct block_device *dev)
{
    struct ide_channel *c = disk_of(dev)->channel;
    uint64_t now = plat_now_ns();

    if (c->state == READY && c->unit.busy > 0) {
        acknowledge(c);
        if (c->answered) {
            finish(c);
        } else if (unit_expired(&c->unit, now)) {
            begin_reset(c, now);
        }
    }
    if (c->state == RESET_HELD || c->state == RESET_WAIT) {
        step_reset(c, now);
    }
    if (c->state == READY) {
        start(c, now);
    }
    if (c->state == FAILED) {
        unit_gone(&c->unit);
    }
    return false;
}

static void submit(struct block_device *dev, struct block_request *request)
{
    struct ide_channel *c = disk_of(dev)->channel;

    block_queue_push(&c->unit.waiting, request);
    if (c->state == READY && c->unit.busy == 0) {
        start(c, plat_now_ns());
    }
}

static uint64_t deadline(const struct block_device *dev)
{
    const struct ide_channel *c = CONTAINER_OF(dev, const struct ide_disk, dev)->channel;

    switch (c->state) {
    case READY:
        return unit_deadline(&c->unit);
    case FAILED:
        return UINT64_MAX;
    default:
        return c->poll_ns;
    }
}

static void interrupt(void *arg)
{
    struct ide_channel *c = arg;

    acknowledge(c);
    if (c->answered) {
        want_service(c);
    }
}

static const struct block_ops ops = {
    .name = "ide", .submit = submit, .service = service, .deadline = deadline};

// --- start ---

static bool wait_idle(const struct ide_channel *c, uint8_t *status)
{
    uint64_t end = plat_now_ns() + PROBE_LIMIT_NS;

    do {
        *status = port_read8(c->control);
        if ((*status & ATA_STATUS_BSY) == 0) {
            return true;
        }
        mmio_delay_us(PROBE_STEP_US);
    } while (plat_now_ns() < end);
    return false;
}

static bool read_identity(const struct ide_channel *c, unsigned index, uint8_t *identity)
{
    uint8_t status;

    select_disk(c, index != 0 ? DEVICE_SECOND : 0);
    // After a reset a disk says 0 here, a packet device EB14h, nobody usually FFFFh.
    if (!wait_idle(c, &status) || status == 0 || port_read8((uint16_t)(c->command + LBA_MID)) != 0 ||
        port_read8((uint16_t)(c->command + LBA_HIGH)) != 0) {
        return false;
    }
    port_write8((uint16_t)(c->command + COMMAND), ATA_IDENTIFY_DEVICE);
    select_disk(c, index != 0 ? DEVICE_SECOND : 0);
    if (!wait_idle(c, &status) || (status & (ATA_STATUS_ERR | ATA_STATUS_DF)) != 0 ||
        (status & ATA_STATUS_DRQ) == 0) {
        return false;
    }
    for (unsigned i = 0; i < ATA_IDENTIFY_SIZE; i += 2) {
        uint16_t value = port_read16((uint16_t)(c->command + DATA));

        identity[i] = (uint8_t)value;
        identity[i + 1] = (uint8_t)(value >> 8);
    }
    (void)port_read8((uint16_t)(c->command + COMMAND));
    return true;
}

static void probe_disk(struct ide_channel *c, unsigned index)
{
    struct ide_disk *d = &c->disks[index];
    uint8_t identity[ATA_IDENTIFY_SIZE];
    const char *why;

    d->channel = c;
    d->present = read_identity(c, index, identity) && ata_identify(identity, &d->facts, &d->dev, &why);
    d->facts.fua = false; // a flush serves both disks of a channel alike
    d->dev.ops = &ops;
    d->dev.max_segments = BLOCK_MAX_SEGMENTS;
}

static bool find_ports(struct ide_channel *c, const struct disk_setup *s, struct disk_controller *out)
{
    static const uint16_t legacy[IDE_CHANNELS] = {0x1f0, 0x170};
    uint16_t base;

    if ((s->pci.interface & INTERFACE_BUS_MASTER) == 0 || !pci_io_bar(&s->pci, BAR_BUS_MASTER, &base)) {
        return false;
    }
    c->bus_master = (uint16_t)(base + 8 * s->unit);
    if ((s->pci.interface & INTERFACE_NATIVE(s->unit)) == 0) {
        c->command = legacy[s->unit];
        c->control = (uint16_t)(legacy[s->unit] + 0x206);
        out->irq = DISK_IRQ_EDGE;
        out->edge_gsi = 14 + s->unit;
        return true;
    }
    if (!pci_io_bar(&s->pci, 2 * s->unit, &c->command) ||
        !pci_io_bar(&s->pci, 2 * s->unit + 1, &c->control)) {
        return false;
    }
    c->control = (uint16_t)(c->control + 2);
    out->irq = DISK_IRQ_LINE;
    return true;
}

static void lay_out(struct ide_channel *c, struct disk_memory m)
{
    unit_init(&c->unit, 1);
    c->unit.bounce = m.va + DISK_BOUNCE_OFFSET;
    c->unit.bounce_gpa = m.gpa + DISK_BOUNCE_OFFSET;
    c->unit.reach = REACH;
    c->table = (volatile struct prd *)(m.va + PRD_OFFSET);
    c->table_gpa = m.gpa + PRD_OFFSET;
    c->trim = (uint64_t(*)[64])(m.va + TRIM_OFFSET);
    c->trim_gpa = m.gpa + TRIM_OFFSET;
}

static void reset_and_wait(struct ide_channel *c)
{
    c->reset_limit_ns = PROBE_LIMIT_NS;
    begin_reset(c, plat_now_ns());
    while (c->state != READY && c->state != FAILED) {
        mmio_delay_us(PROBE_STEP_US);
        step_reset(c, plat_now_ns());
    }
    c->reset_limit_ns = RESET_LIMIT_NS;
    c->unit.strikes = 0;
}

bool ide_probe(const struct disk_setup *setup, struct disk_controller *out, const char **why)
{
    struct ide_channel *c = (struct ide_channel *)(setup->memory.va + STATE_OFFSET);

    if (!find_ports(c, setup, out)) {
        *why = "it has no bus master or no ports";
        return false;
    }
    if (setup->memory.gpa + DISK_MEMORY_SIZE > REACH) {
        *why = "there is no memory within its reach";
        return false;
    }
    lay_out(c, setup->memory);
    pci_enable_io(&setup->pci);
    if (port_read8(c->control) == NOTHING_THERE) {
        return true;
    }
    reset_and_wait(c);
    if (c->state == FAILED) {
        *why = "it does not come out of reset";
        return false;
    }
    for (unsigned i = 0; i < DISKS; i++) {
        probe_disk(c, i);
        if (c->disks[i].present) {
            out->devices[out->count++] = &c->disks[i].dev;
        }
    }
    out->interrupt = interrupt;
    out->arg = c;
    return true;
}
