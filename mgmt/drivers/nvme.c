// SPDX-License-Identifier: Apache-2.0
// NVMe: a slot is a command identifier; data by PRP lists, which know whole pages only, so that requests whose pieces
// meet within a page go through the bounce buffer.
//
// The controller is brought up and recovered by the same steps:
//
//   READY ──time-out──► DISABLING ──► ENABLING ──► ADMIN (queues made one after the other) ──► READY
#include "mgmt/drivers/nvme_priv.h"

#include "mgmt/plat.h"

// Controller registers, 3.1.
#define REG_MASK_SET 0x0c
#define REG_MASK_CLEAR 0x10
#define REG_CSTS 0x1c
#define REG_AQA 0x24
#define REG_ASQ 0x28
#define REG_ACQ 0x30
#define CC_ENABLE BIT(0)
#define CC_SIZES (6u << 16 | 4u << 20) // 64-byte submissions, 16-byte completions; pages of 4 KiB
#define CSTS_READY BIT(0)
#define CSTS_FATAL BIT(1)
#define NOBODY 0xffffffff // what a device that is gone reads as

// Commands, 5 and 6.
#define ADMIN_CREATE_SQ 0x01
#define ADMIN_CREATE_CQ 0x05
#define ADMIN_SET_FEATURES 0x09
#define FEATURE_QUEUES 0x07
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
#define STATUS_CODE(s) ((s)&0xff)
#define STATUS_TYPE(s) ((s) >> 8 & 7)
#define STATUS_NO_RETRY BIT(14)
#define CODE_TRANSFER 0x04
#define CODE_INTERNAL 0x06

#define PRPS 257u // of 1 MiB that begins within a page; the first lies in the command

#define POLL_NS 1000000ull
#define BUDGET 64u // completions a service call

struct range { // 6.7.1.1
    uint32_t attributes, blocks;
    uint64_t first;
};
_Static_assert((PRPS - 1) * sizeof(uint64_t) <= LIST_SIZE && sizeof(struct range) <= LIST_SIZE, "PRP list");

static struct nvme_namespace *namespace_of(struct block_device *dev)
{
    return CONTAINER_OF(dev, struct nvme_namespace, dev);
}

// --- queues ---

static void write64(mmio_t m, uint32_t offset, uint64_t value)
{
    mmio_write32(m, offset, (uint32_t)value);
    mmio_write32(m, offset + 4, (uint32_t)(value >> 32));
}

static void reset_queue(struct nvme_queue *q)
{
    for (uint32_t i = 0; i < q->entries; i++) {
        q->cq[i].status = 0;
    }
    q->tail = q->head = 0;
    q->phase = 1;
}

// Slots are fewer than entries, so there is always room.
void nvme_push(struct nvme_queue *q, const struct nvme_command *c)
{
    q->sq[q->tail] = *c;
    q->tail = (q->tail + 1) % q->entries;
}

void nvme_ring(const struct nvme *n, const struct nvme_queue *q)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
    mmio_write32(n->regs, q->sq_doorbell, q->tail);
}

// The next completion. False: there is none.
static bool pop(struct nvme_queue *q, struct nvme_completion *out)
{
    volatile struct nvme_completion *c = &q->cq[q->head];

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
bool nvme_awkward(const struct block_request *r)
{
    for (uint32_t i = 0; i + 1 < r->segment_count; i++) {
        if ((r->segments[i].gpa + r->segments[i].length) % PAGE_SIZE != 0 ||
            r->segments[i + 1].gpa % PAGE_SIZE != 0) {
            return true;
        }
    }
    return false;
}

// "Physical Region Page Entry and List", 4.3: the first in PRP1, a second in PRP2, more in a list that PRP2 names.
static void put_data(struct nvme *n, uint32_t slot, struct nvme_command *c)
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

static void put_range(struct nvme *n, uint32_t slot, struct nvme_command *c, uint64_t first, uint32_t blocks)
{
    struct range *range = (struct range *)(n->memory + LISTS_OFFSET + (size_t)slot * LIST_SIZE);

    *range = (struct range){.blocks = blocks, .first = first};
    c->prp1 = n->gpa + LISTS_OFFSET + (uint64_t)slot * LIST_SIZE;
    c->dw11 = DATA_SET_DEALLOCATE;
}

static void put_request(struct nvme *n, uint32_t slot)
{
    const struct block_request *r = n->unit.slots[slot];
    const struct nvme_namespace *ns = namespace_of(block_disk(r->device));
    uint64_t first = r->sector / ns->unit;
    uint32_t blocks = r->sectors / ns->unit;
    struct nvme_command c = {.id = (uint16_t)slot, .nsid = ns->id};

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
    nvme_push(&n->io, &c);
}

static void start_waiting(struct nvme *n, uint64_t now)
{
    uint32_t before = n->io.tail, slot;

    while ((slot = unit_next(&n->unit, now)) != UNIT_NONE) {
        put_request(n, slot);
    }
    if (n->io.tail != before) {
        nvme_ring(n, &n->io);
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
    n->state = NVME_FAILED;
    for (uint32_t i = 0; i < n->count; i++) {
        n->namespaces[i].dev.failed = true;
    }
    want_service(n);
}

static void enter(struct nvme *n, enum nvme_state state, uint64_t now, uint64_t limit_ns)
{
    n->state = state;
    n->poll_ns = now + POLL_NS;
    n->limit_ns = now + limit_ns;
}

void nvme_disable(struct nvme *n, uint64_t now)
{
    n->began_ns = now;
    mmio_write32(n->regs, REG_CC, 0);
    enter(n, NVME_DISABLING, now, n->timeout_ns);
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
    nvme_disable(n, now);
}

static void enable_controller(struct nvme *n, uint64_t now)
{
    reset_queue(&n->admin);
    reset_queue(&n->io);
    mmio_write32(n->regs, REG_AQA, (ADMIN_ENTRIES - 1) << 16 | (ADMIN_ENTRIES - 1));
    write64(n->regs, REG_ASQ, n->admin.sq_gpa);
    write64(n->regs, REG_ACQ, n->admin.cq_gpa);
    mmio_write32(n->regs, REG_CC, CC_SIZES | (uint32_t)CC_ENABLE);
    enter(n, NVME_ENABLING, now, n->timeout_ns);
}

static void send_admin(struct nvme *n, const struct nvme_command *c, uint64_t now)
{
    nvme_push(&n->admin, c);
    nvme_ring(n, &n->admin);
    enter(n, NVME_ADMIN, now, ADMIN_LIMIT_NS);
}

static void send_step(struct nvme *n, uint64_t now)
{
    const uint32_t queue = (n->io.entries - 1) << 16 | IO_QUEUE;
    const struct nvme_command commands[] = {
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
bool nvme_admin_answer(struct nvme *n, uint16_t *status)
{
    struct nvme_completion c;

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

    if (!nvme_admin_answer(n, &status)) {
        n->poll_ns = now + POLL_NS;
        return;
    }
    if (STATUS_FAILED(status)) {
        fail(n);
        return;
    }
    n->step++;
    if (n->step == ADMIN_DONE) {
        n->state = NVME_READY;
    } else {
        send_step(n, now);
    }
}

void nvme_step(struct nvme *n, uint64_t now)
{
    uint32_t csts;

    if (now < n->poll_ns) {
        return;
    }
    csts = mmio_read32(n->regs, REG_CSTS);
    if (csts == NOBODY || now >= n->limit_ns || (n->state != NVME_DISABLING && (csts & CSTS_FATAL) != 0)) {
        fail(n);
    } else if (n->state == NVME_DISABLING && (csts & CSTS_READY) == 0) {
        unit_stopped(&n->unit, n->began_ns);
        enable_controller(n, now);
    } else if (n->state == NVME_ENABLING && (csts & CSTS_READY) != 0) {
        n->step = SET_QUEUES;
        send_step(n, now);
    } else if (n->state == NVME_ADMIN) {
        step_admin(n, now);
    } else {
        n->poll_ns = now + POLL_NS;
    }
}

// --- answers ---

static void finish(struct nvme *n, const struct nvme_completion *c)
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
    struct nvme_completion c;
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

    if (n->state == NVME_READY) {
        more = collect(n);
        if (!more && unit_expired(&n->unit, now)) {
            begin_reset(n, now);
        }
    }
    if (n->state != NVME_READY && n->state != NVME_FAILED) {
        nvme_step(n, now);
    }
    if (n->state == NVME_READY) {
        start_waiting(n, now);
    }
    if (n->state == NVME_FAILED) {
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
    if (n->state == NVME_READY) {
        start_waiting(n, plat_now_ns());
    }
}

static uint64_t deadline(const struct block_device *dev)
{
    const struct nvme *n = CONTAINER_OF(dev, const struct nvme_namespace, dev)->controller;

    switch (n->state) {
    case NVME_READY:
        return unit_deadline(&n->unit);
    case NVME_FAILED:
        return UINT64_MAX;
    default:
        return n->poll_ns;
    }
}

// A line is let go by masking: its cause lasts until completions are taken (7.5.1). Messages are never masked.
void nvme_interrupt(void *arg)
{
    struct nvme *n = arg;

    if (n->line && n->state != NVME_FAILED) {
        mmio_write32(n->regs, REG_MASK_SET, 1);
    }
    want_service(n);
}

const struct block_ops nvme_ops = {
    .name = "nvme", .submit = submit, .service = service, .deadline = deadline};
