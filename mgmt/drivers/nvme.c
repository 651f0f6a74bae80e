// SPDX-License-Identifier: Apache-2.0
// NVMe: a slot is a command identifier; data by PRP lists, which know whole pages only, so that requests whose pieces
// meet within a page go through the bounce buffer.
//
// The controller is brought up and recovered by the same steps:
//
//   READY ──time-out──► DISABLING ──► ENABLING ──► ADMIN (queues made one after the other) ──► READY
#include "mgmt/drivers/nvme.h"

#include "mgmt/drivers/disk_unit.h"
#include "mgmt/plat.h"

#include <string.h>

// Controller registers, 3.1.
#define REG_CAP 0x00
#define REG_MASK_SET 0x0c
#define REG_MASK_CLEAR 0x10
#define REG_CC 0x14
#define REG_CSTS 0x1c
#define REG_AQA 0x24
#define REG_ASQ 0x28
#define REG_ACQ 0x30
#define REG_DOORBELLS 0x1000
#define CAP_ENTRIES(cap) ((uint32_t)((cap)&0xffff) + 1)
#define CAP_TIMEOUT_NS(cap) (((cap) >> 24 & 0xff) * 500000000ull)
#define CAP_STRIDE(cap) ((uint32_t)((cap) >> 32 & 0xf))
#define CAP_NVM BIT(37)
#define CAP_PAGE_MIN(cap) ((uint32_t)((cap) >> 48 & 0xf))
#define CC_ENABLE BIT(0)
#define CC_SIZES (6u << 16 | 4u << 20) // 64-byte submissions, 16-byte completions; pages of 4 KiB
#define CSTS_READY BIT(0)
#define CSTS_FATAL BIT(1)
#define NOBODY 0xffffffff // what a device that is gone reads as

// Commands, 5 and 6.
#define ADMIN_CREATE_SQ 0x01
#define ADMIN_CREATE_CQ 0x05
#define ADMIN_IDENTIFY 0x06
#define ADMIN_SET_FEATURES 0x09
#define FEATURE_QUEUES 0x07
#define IDENTIFY_NAMESPACE 0
#define IDENTIFY_CONTROLLER 1
#define IDENTIFY_ACTIVE 2
#define IO_FLUSH 0x00
#define IO_WRITE 0x01
#define IO_READ 0x02
#define IO_DATA_SET 0x09
#define IO_FUA BIT(30)          // command dword 12
#define DATA_SET_DEALLOCATE 4u  // command dword 11
#define QUEUE_CONTIGUOUS BIT(0) // command dword 11 of both creations
#define QUEUE_INTERRUPTS BIT(1)
#define IO_QUEUE 1u

// Status field of a completion, 4.6.1, without the phase.
#define STATUS_FAILED(s) (((s)&0x7ff) != 0)
#define STATUS_CODE(s) ((s)&0xff)
#define STATUS_TYPE(s) ((s) >> 8 & 7)
#define STATUS_NO_RETRY BIT(14)
#define CODE_TRANSFER 0x04
#define CODE_INTERNAL 0x06

// Identify Controller, 5.15.2.2, and Identify Namespace, 5.15.2.1 (offsets).
enum { C_SERIAL = 4, C_MODEL = 24, C_MDTS = 77, C_ONCS = 520, C_VWC = 525 };
enum { N_SIZE = 0, N_FORMAT = 26, N_ATTRIBUTES = 99, N_FORMATS = 128 };
#define ONCS_DATA_SET BIT(2)

#define ADMIN_ENTRIES 8u
#define IO_ENTRIES 64u
#define PRPS 257u // of 1 MiB that begins within a page; the first lies in the command
#define DISCARD_MAX (1u << 23)

#define ADMIN_SQ_OFFSET 0x10000u
#define ADMIN_CQ_OFFSET 0x11000u
#define IO_SQ_OFFSET 0x12000u
#define IO_CQ_OFFSET 0x13000u
#define IDENTIFY_OFFSET 0x14000u
#define LISTS_OFFSET 0x20000u
#define LIST_SIZE 2048u // a list lies within a page

#define ADMIN_LIMIT_NS 10000000000ull
#define POLL_NS 1000000ull
#define PROBE_STEP_US 20u
#define BUDGET 64u // completions a service call

struct command { // 4.2
    uint8_t opcode, flags;
    uint16_t id;
    uint32_t nsid;
    uint64_t reserved, metadata;
    uint64_t prp1, prp2;
    uint32_t dw10, dw11, dw12, dw13, dw14, dw15;
};
_Static_assert(sizeof(struct command) == 64, "NVMe submission queue entry");
struct completion { // 4.6
    uint32_t result, reserved;
    uint16_t sq_head, sq_id;
    uint16_t id;
    uint16_t status; // phase in bit 0
};
_Static_assert(sizeof(struct completion) == 16, "NVMe completion queue entry");
struct range { // 6.7.1.1
    uint32_t attributes, blocks;
    uint64_t first;
};
_Static_assert((PRPS - 1) * sizeof(uint64_t) <= LIST_SIZE && sizeof(struct range) <= LIST_SIZE, "PRP list");

struct queue { // a pair
    volatile struct command *sq;
    volatile struct completion *cq;
    uint64_t sq_gpa, cq_gpa;
    uint32_t sq_doorbell, cq_doorbell;
    uint32_t entries, tail, head;
    uint16_t phase; // of new completions
};

enum state { READY, DISABLING, ENABLING, ADMIN, FAILED };
enum admin_step { SET_QUEUES, CREATE_CQ, CREATE_SQ, ADMIN_DONE };

struct namespace
{
    struct block_device dev;
    struct nvme *controller;
    uint32_t id;
    uint32_t unit; // sectors in a logical block
};

struct nvme {
    mmio_t regs;
    struct pci_device pci;
    struct disk_unit unit;
    struct queue admin, io;
    struct namespace namespaces[DISK_PER_CONTROLLER];
    uint32_t count;
    uint8_t *memory;
    uint64_t gpa;
    uint64_t timeout_ns;
    bool line; // INTx: masked while its cause lasts
    enum state state;
    enum admin_step step;
    uint64_t began_ns, poll_ns, limit_ns;
};
_Static_assert(sizeof(struct nvme) <= ADMIN_SQ_OFFSET, "layout of the memory");

static struct namespace *namespace_of(struct block_device *dev)
{
    return CONTAINER_OF(dev, struct namespace, dev);
}

// --- queues ---

static void write64(mmio_t m, uint32_t offset, uint64_t value)
{
    mmio_write32(m, offset, (uint32_t)value);
    mmio_write32(m, offset + 4, (uint32_t)(value >> 32));
}

static void reset_queue(struct queue *q)
{
    for (uint32_t i = 0; i < q->entries; i++) {
        q->cq[i].status = 0;
    }
    q->tail = q->head = 0;
    q->phase = 1;
}

// Slots are fewer than entries, so there is always room.
static void push(struct queue *q, const struct command *c)
{
    q->sq[q->tail] = *c;
    q->tail = (q->tail + 1) % q->entries;
}

static void ring(const struct nvme *n, const struct queue *q)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
    mmio_write32(n->regs, q->sq_doorbell, q->tail);
}

// The next completion. False: there is none.
static bool pop(struct queue *q, struct completion *out)
{
    volatile struct completion *c = &q->cq[q->head];

    if ((c->status & 1) != q->phase) {
        return false;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    *out = *c;
    q->head = (q->head + 1) % q->entries;
    q->phase ^= q->head == 0;
    return true;
}

// --- commands ---

// PRP knows pages: pieces meet at page boundaries only.
static bool awkward(const struct block_request *r)
{
    for (uint32_t i = 0; i + 1 < r->segment_count; i++) {
        if ((r->segments[i].gpa + r->segments[i].length) % PAGE_SIZE != 0 ||
            r->segments[i + 1].gpa % PAGE_SIZE != 0) {
            return true;
        }
    }
    return false;
}

// NVMe 4.3 "Physical Region Page Entry and List": the first in PRP1, a second in PRP2, more in a list that PRP2 names.
static void put_data(struct nvme *n, uint32_t slot, struct command *c)
{
    uint64_t *list = (uint64_t *)(n->memory + LISTS_OFFSET + (size_t)slot * LIST_SIZE);
    const struct block_segment *segments;
    struct block_segment storage;
    uint32_t count = unit_segments(&n->unit, slot, &segments, &storage), prps = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t end = segments[i].gpa + segments[i].length;

        for (uint64_t at = segments[i].gpa; at < end; at = (at & PAGE_MASK) + PAGE_SIZE) {
            if (prps == 0) {
                c->prp1 = at;
            } else {
                list[prps - 1] = at;
            }
            prps++;
        }
    }
    if (prps == 2) {
        c->prp2 = list[0];
    } else if (prps > 2) {
        c->prp2 = n->gpa + LISTS_OFFSET + (uint64_t)slot * LIST_SIZE;
    }
}

static void put_range(struct nvme *n, uint32_t slot, struct command *c, uint64_t first, uint32_t blocks)
{
    struct range *range = (struct range *)(n->memory + LISTS_OFFSET + (size_t)slot * LIST_SIZE);

    *range = (struct range){.blocks = blocks, .first = first};
    c->prp1 = n->gpa + LISTS_OFFSET + (uint64_t)slot * LIST_SIZE;
    c->dw11 = DATA_SET_DEALLOCATE;
}

static void put_request(struct nvme *n, uint32_t slot)
{
    const struct block_request *r = n->unit.slots[slot];
    const struct namespace *ns = namespace_of(block_disk(r->device));
    uint64_t first = r->sector / ns->unit;
    uint32_t blocks = r->sectors / ns->unit;
    struct command c = {.id = (uint16_t)slot, .nsid = ns->id};

    switch (unit_step(r)) {
    case BLOCK_FLUSH:
        c.opcode = IO_FLUSH;
        break;
    case BLOCK_DISCARD:
        c.opcode = IO_DATA_SET;
        put_range(n, slot, &c, first, blocks);
        break;
    default:
        c.opcode = r->op == BLOCK_READ ? IO_READ : IO_WRITE;
        c.dw10 = (uint32_t)first;
        c.dw11 = (uint32_t)(first >> 32);
        c.dw12 = (blocks - 1) | (r->op == BLOCK_WRITE && r->fua ? (uint32_t)IO_FUA : 0);
        put_data(n, slot, &c);
    }
    push(&n->io, &c);
}

static void start_waiting(struct nvme *n, uint64_t now)
{
    uint32_t before = n->io.tail, slot;

    while ((slot = unit_next(&n->unit, now)) != UNIT_NONE) {
        put_request(n, slot);
    }
    if (n->io.tail != before) {
        ring(n, &n->io);
    }
}

// --- steps of a reset ---

static void want_service(struct nvme *n)
{
    n->namespaces[0].dev.pending = true;
}

// The next service() ends what waits.
static void fail(struct nvme *n)
{
    pci_quiesce(&n->pci); // no DMA any more, whatever it thinks
    n->state = FAILED;
    for (uint32_t i = 0; i < n->count; i++) {
        n->namespaces[i].dev.failed = true;
    }
    want_service(n);
}

static void enter(struct nvme *n, enum state state, uint64_t now, uint64_t limit_ns)
{
    n->state = state;
    n->poll_ns = now + POLL_NS;
    n->limit_ns = now + limit_ns;
}

static void disable(struct nvme *n, uint64_t now)
{
    n->began_ns = now;
    mmio_write32(n->regs, REG_CC, 0);
    enter(n, DISABLING, now, n->timeout_ns);
}

static void begin_reset(struct nvme *n, uint64_t now)
{
    for (uint32_t i = 0; i < n->count; i++) {
        n->namespaces[i].dev.counters.resets++;
    }
    want_service(n);
    if (!unit_strike(&n->unit)) {
        fail(n);
        return;
    }
    disable(n, now);
}

static void enable_controller(struct nvme *n, uint64_t now)
{
    reset_queue(&n->admin);
    reset_queue(&n->io);
    mmio_write32(n->regs, REG_AQA, (ADMIN_ENTRIES - 1) << 16 | (ADMIN_ENTRIES - 1));
    write64(n->regs, REG_ASQ, n->admin.sq_gpa);
    write64(n->regs, REG_ACQ, n->admin.cq_gpa);
    mmio_write32(n->regs, REG_CC, CC_SIZES | (uint32_t)CC_ENABLE);
    enter(n, ENABLING, now, n->timeout_ns);
}

static void send_admin(struct nvme *n, const struct command *c, uint64_t now)
{
    push(&n->admin, c);
    ring(n, &n->admin);
    enter(n, ADMIN, now, ADMIN_LIMIT_NS);
}

static void send_step(struct nvme *n, uint64_t now)
{
    const uint32_t queue = (n->io.entries - 1) << 16 | IO_QUEUE;
    const struct command commands[] = {
        [SET_QUEUES] = {.opcode = ADMIN_SET_FEATURES, .dw10 = FEATURE_QUEUES, .dw11 = 0}, // one pair
        [CREATE_CQ] = {.opcode = ADMIN_CREATE_CQ,
                       .prp1 = n->io.cq_gpa,
                       .dw10 = queue,
                       .dw11 = (uint32_t)(QUEUE_CONTIGUOUS | QUEUE_INTERRUPTS)}, // vector 0
        [CREATE_SQ] = {.opcode = ADMIN_CREATE_SQ,
                       .prp1 = n->io.sq_gpa,
                       .dw10 = queue,
                       .dw11 = IO_QUEUE << 16 | (uint32_t)QUEUE_CONTIGUOUS},
    };

    send_admin(n, &commands[n->step], now);
}

// The answer to the admin command that is out. *status is without the phase. False: not yet.
static bool admin_answer(struct nvme *n, uint16_t *status)
{
    struct completion c;

    if (!pop(&n->admin, &c)) {
        return false;
    }
    mmio_write32(n->regs, n->admin.cq_doorbell, n->admin.head);
    *status = c.status >> 1;
    return true;
}

static void step_admin(struct nvme *n, uint64_t now)
{
    uint16_t status;

    if (!admin_answer(n, &status)) {
        n->poll_ns = now + POLL_NS;
        return;
    }
    if (STATUS_FAILED(status)) {
        fail(n);
        return;
    }
    n->step++;
    if (n->step == ADMIN_DONE) {
        n->state = READY;
    } else {
        send_step(n, now);
    }
}

static void step(struct nvme *n, uint64_t now)
{
    uint32_t csts;

    if (now < n->poll_ns) {
        return;
    }
    csts = mmio_read32(n->regs, REG_CSTS);
    if (csts == NOBODY || now >= n->limit_ns || (n->state != DISABLING && (csts & CSTS_FATAL) != 0)) {
        fail(n);
    } else if (n->state == DISABLING && (csts & CSTS_READY) == 0) {
        unit_stopped(&n->unit, n->began_ns);
        enable_controller(n, now);
    } else if (n->state == ENABLING && (csts & CSTS_READY) != 0) {
        n->step = SET_QUEUES;
        send_step(n, now);
    } else if (n->state == ADMIN) {
        step_admin(n, now);
    } else {
        n->poll_ns = now + POLL_NS;
    }
}

// --- answers ---

static void finish(struct nvme *n, const struct completion *c)
{
    uint16_t status = c->status >> 1;
    bool again = STATUS_TYPE(status) == 0 && (status & STATUS_NO_RETRY) == 0 &&
                 (STATUS_CODE(status) == CODE_TRANSFER || STATUS_CODE(status) == CODE_INTERNAL);

    if (c->id >= UNIT_SLOTS || n->unit.slots[c->id] == NULL) {
        return; // it was never asked this
    }
    if (!STATUS_FAILED(status)) {
        unit_finish(&n->unit, c->id, BLOCK_OK);
    } else if (again) {
        unit_retry(&n->unit, c->id, BLOCK_IO_ERROR);
    } else {
        unit_finish(&n->unit, c->id, BLOCK_IO_ERROR);
    }
}

// True: there may be more.
static bool collect(struct nvme *n)
{
    struct completion c;
    uint32_t taken = 0;

    while (taken < BUDGET && pop(&n->io, &c)) {
        finish(n, &c);
        taken++;
    }
    if (taken > 0) {
        mmio_write32(n->regs, n->io.cq_doorbell, n->io.head);
    }
    return taken == BUDGET;
}

// --- from the data plane ---

static bool service(struct block_device *dev)
{
    struct nvme *n = namespace_of(dev)->controller;
    uint64_t now = plat_now_ns();
    bool more = false;

    if (n->state == READY) {
        more = collect(n);
        if (!more && unit_expired(&n->unit, now)) {
            begin_reset(n, now);
        }
    }
    if (n->state != READY && n->state != FAILED) {
        step(n, now);
    }
    if (n->state == READY) {
        start_waiting(n, now);
    }
    if (n->state == FAILED) {
        unit_gone(&n->unit);
    } else if (n->line) {
        mmio_write32(n->regs, REG_MASK_CLEAR, 1);
    }
    return more;
}

static void submit(struct block_device *dev, struct block_request *request)
{
    struct nvme *n = namespace_of(dev)->controller;

    block_queue_push(&n->unit.waiting, request);
    if (n->state == READY) {
        start_waiting(n, plat_now_ns());
    }
}

static uint64_t deadline(const struct block_device *dev)
{
    const struct nvme *n = CONTAINER_OF(dev, const struct namespace, dev)->controller;

    switch (n->state) {
    case READY:
        return unit_deadline(&n->unit);
    case FAILED:
        return UINT64_MAX;
    default:
        return n->poll_ns;
    }
}

// A line is let go by masking: its cause lasts until completions are taken (7.5.1). Messages are never masked.
static void interrupt(void *arg)
{
    struct nvme *n = arg;

    if (n->line && n->state != FAILED) {
        mmio_write32(n->regs, REG_MASK_SET, 1);
    }
    want_service(n);
}

static const struct block_ops ops = {
    .name = "nvme", .submit = submit, .service = service, .deadline = deadline};

// --- start ---

static void lay_out(struct nvme *n, struct disk_memory m, uint64_t cap)
{
    uint32_t stride = 4u << CAP_STRIDE(cap);

    n->memory = m.va;
    n->gpa = m.gpa;
    n->admin = (struct queue){
        .sq = (volatile struct command *)(m.va + ADMIN_SQ_OFFSET),
        .cq = (volatile struct completion *)(m.va + ADMIN_CQ_OFFSET),
        .sq_gpa = m.gpa + ADMIN_SQ_OFFSET,
        .cq_gpa = m.gpa + ADMIN_CQ_OFFSET,
        .sq_doorbell = REG_DOORBELLS,
        .cq_doorbell = REG_DOORBELLS + stride,
        .entries = ADMIN_ENTRIES,
    };
    n->io = (struct queue){
        .sq = (volatile struct command *)(m.va + IO_SQ_OFFSET),
        .cq = (volatile struct completion *)(m.va + IO_CQ_OFFSET),
        .sq_gpa = m.gpa + IO_SQ_OFFSET,
        .cq_gpa = m.gpa + IO_CQ_OFFSET,
        .sq_doorbell = REG_DOORBELLS + 2 * stride,
        .cq_doorbell = REG_DOORBELLS + 3 * stride,
        .entries = MIN(CAP_ENTRIES(cap), IO_ENTRIES),
    };
    unit_init(&n->unit, MIN(n->io.entries - 1, UNIT_SLOTS));
    n->unit.native_fua = true;
    n->unit.bounce = m.va + DISK_BOUNCE_OFFSET;
    n->unit.bounce_gpa = m.gpa + DISK_BOUNCE_OFFSET;
    n->unit.awkward = awkward;
}

static bool bring_up(struct nvme *n)
{
    disable(n, plat_now_ns());
    while (n->state != READY && n->state != FAILED) {
        mmio_delay_us(PROBE_STEP_US);
        step(n, plat_now_ns());
    }
    return n->state == READY;
}

// Identify into the buffer, waiting. The controller is READY before and afterwards.
static const uint8_t *identify(struct nvme *n, uint32_t what, uint32_t nsid)
{
    const struct command c = {
        .opcode = ADMIN_IDENTIFY, .nsid = nsid, .prp1 = n->gpa + IDENTIFY_OFFSET, .dw10 = what};
    uint64_t end = plat_now_ns() + ADMIN_LIMIT_NS;
    uint16_t status;

    push(&n->admin, &c);
    ring(n, &n->admin);
    while (!admin_answer(n, &status)) {
        if (plat_now_ns() >= end) {
            return NULL;
        }
        mmio_delay_us(PROBE_STEP_US);
    }
    return STATUS_FAILED(status) ? NULL : n->memory + IDENTIFY_OFFSET;
}

static uint64_t little_endian(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;

    memcpy(&value, at, bytes);
    return value;
}

static uint32_t transfer_limit(uint8_t mdts)
{
    const uint32_t page_sectors = (uint32_t)PAGE_SIZE / BLOCK_SECTOR;

    // In pages, as a power of two; 0: no limit.
    return mdts == 0 || mdts > 8 ? BLOCK_MAX_SECTORS : MIN(page_sectors << mdts, BLOCK_MAX_SECTORS);
}

// Facts that all namespaces share.
static bool read_controller(struct nvme *n, struct block_device *out)
{
    const uint8_t *id = identify(n, IDENTIFY_CONTROLLER, 0);

    if (id == NULL) {
        return false;
    }
    disk_copy_text(out->model, sizeof(out->model), id + C_MODEL, 40, false);
    disk_copy_text(out->serial, sizeof(out->serial), id + C_SERIAL, 20, false);
    out->write_cache = (id[C_VWC] & 1) != 0;
    out->can_discard = (little_endian(id + C_ONCS, 2) & ONCS_DATA_SET) != 0;
    out->max_discard = out->can_discard ? DISCARD_MAX : 0;
    out->max_sectors = transfer_limit(id[C_MDTS]);
    out->max_segments = BLOCK_MAX_SEGMENTS;
    out->ops = &ops;
    return true;
}

static bool read_namespace(struct nvme *n, uint32_t nsid, const struct block_device *shared)
{
    struct namespace *ns = &n->namespaces[n->count];
    const uint8_t *id = identify(n, IDENTIFY_NAMESPACE, nsid), *format;
    uint64_t blocks;
    uint8_t shift;

    if (id == NULL) {
        return false;
    }
    format = id + N_FORMATS + 4 * (id[N_FORMAT] & 0xf);
    shift = format[2];
    blocks = little_endian(id + N_SIZE, 8);
    if ((shift != 9 && shift != 12) || little_endian(format, 2) != 0 || blocks == 0 || blocks >> 52 != 0) {
        return false; // of another block size, with metadata, or empty
    }
    ns->dev = *shared;
    ns->controller = n;
    ns->id = nsid;
    ns->unit = (1u << shift) / BLOCK_SECTOR;
    ns->dev.sectors = blocks * ns->unit;
    ns->dev.logical_block = ns->dev.physical_block = 1u << shift;
    ns->dev.read_only = (id[N_ATTRIBUTES] & 1) != 0;
    n->count++;
    return true;
}

static bool find_namespaces(struct nvme *n, struct disk_controller *out)
{
    struct block_device shared = {0};
    uint32_t ids[DISK_PER_CONTROLLER];
    const uint8_t *list;

    if (!read_controller(n, &shared) || (list = identify(n, IDENTIFY_ACTIVE, 0)) == NULL) {
        return false;
    }
    memcpy(ids, list, sizeof(ids));
    for (size_t i = 0; i < ARRAY_LEN(ids) && ids[i] != 0; i++) {
        if (read_namespace(n, ids[i], &shared)) {
            out->devices[out->count++] = &n->namespaces[n->count - 1].dev;
        }
    }
    return true;
}

static void set_interrupt(struct nvme *n, const struct disk_setup *s, struct disk_controller *out)
{
    bool message = s->message != NULL && (pci_msix_set(&s->pci, 0, s->message->address, s->message->data) ||
                                          pci_msi_set(&s->pci, s->message->address, s->message->data));

    n->line = !message;
    out->irq = message ? DISK_IRQ_MESSAGE : DISK_IRQ_LINE;
    out->interrupt = interrupt;
    out->arg = n;
}

bool nvme_probe(const struct disk_setup *setup, struct disk_controller *out, const char **why)
{
    struct nvme *n = (struct nvme *)setup->memory.va;
    uint64_t base, size, cap;

    if (!pci_bar(&setup->pci, 0, &base, &size) || size < 2 * PAGE_SIZE) {
        *why = "its registers are not mapped";
        return false;
    }
    pci_enable(&setup->pci, false);
    n->pci = setup->pci;
    n->regs = mmio_map(base);
    cap = mmio_read32(n->regs, REG_CAP) | (uint64_t)mmio_read32(n->regs, REG_CAP + 4) << 32;
    if ((cap & CAP_NVM) == 0 || CAP_PAGE_MIN(cap) != 0 || CAP_ENTRIES(cap) < 2 ||
        REG_DOORBELLS + (16ull << CAP_STRIDE(cap)) > size) {
        *why = "it has no command set, page size or queues of ours";
        pci_quiesce(&setup->pci);
        return false;
    }
    n->timeout_ns = MAX(CAP_TIMEOUT_NS(cap), 500000000ull);
    lay_out(n, setup->memory, cap);
    set_interrupt(n, setup, out);
    if (!bring_up(n) || !find_namespaces(n, out)) {
        *why = "it does not come out of reset or does not say what it is";
        mmio_write32(n->regs, REG_CC, 0);
        pci_quiesce(&setup->pci);
        return false;
    }
    return true;
}
