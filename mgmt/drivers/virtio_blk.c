// SPDX-License-Identifier: Apache-2.0
// virtio-blk: a request is a chain of descriptors: header, pieces of data, status byte.
//
// The device may write into the rings at any time, so which descriptors are free and which chain is whose is kept in
// private memory and never read back from the table. Sections named are those of virtio 1.1.
#include "mgmt/drivers/virtio_blk.h"

#include "mgmt/drivers/disk_unit.h"
#include "mgmt/drivers/virtio_pci.h"
#include "mgmt/drivers/virtqueue.h"
#include "mgmt/plat.h"

#include <string.h>

// Features, 5.2.3.
#define F_SEG_MAX BIT(2)
#define F_RO BIT(5)
#define F_BLK_SIZE BIT(6)
#define F_FLUSH BIT(9)
#define F_TOPOLOGY BIT(10)
#define F_DISCARD BIT(13)
#define F_LATE (F_TOPOLOGY | F_DISCARD) // have fields beyond those that every device has
#define F_WANTED (VIRTIO_F_VERSION_1 | F_SEG_MAX | F_RO | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_DISCARD)

// Device configuration, 5.2.4.
#define CONFIG_CAPACITY 0
#define CONFIG_SEG_MAX 12
#define CONFIG_BLK_SIZE 20
#define CONFIG_BLOCK_EXPONENT 24
#define CONFIG_MAX_DISCARD 36
#define CONFIG_SIZE 24u
#define CONFIG_SIZE_LATE 40u
#define CONFIG_GENERATION 0x15 // in the common configuration
#define GENERATION_TRIES 100u

// Requests, 5.2.6.
#define TYPE_IN 0
#define TYPE_OUT 1
#define TYPE_FLUSH 4
#define TYPE_GET_ID 8
#define TYPE_DISCARD 11
#define ID_SIZE 20u
#define STATUS_OK 0
#define STATUS_UNSUPPORTED 2
#define STATUS_NONE 0xff // not written yet

#define EXTRA 2u // descriptors of a request beside its data
#define QUEUE_MIN 4u

#define QUEUE_OFFSET 0x10000u
#define SLOTS_OFFSET 0x20000u
#define RESET_LIMIT_NS 5000000000ull
#define POLL_NS 1000000ull
#define PROBE_STEP_US 20u
#define BUDGET 64u // completions a service call

struct slot_memory {
    uint32_t type, reserved;
    uint64_t sector;
    struct {
        uint64_t sector;
        uint32_t sectors, flags;
    } discard;
    uint8_t status;
    uint8_t pad[31];
};
_Static_assert(sizeof(struct slot_memory) == 64, "virtio_blk_req header, discard segment, status");
_Static_assert(sizeof(struct virtq_memory) <= SLOTS_OFFSET - QUEUE_OFFSET, "layout of the memory");

enum state { READY, RESETTING, FAILED };

struct virtio_blk {
    struct block_device dev;
    struct disk_unit unit;
    struct virtio_pci bus;
    struct pci_device pci;
    volatile struct virtq_memory *queue;
    volatile struct slot_memory *slots;
    uint64_t queue_gpa, slots_gpa;
    mmio_t notify;
    uint64_t features;
    uint16_t vector;
    uint16_t size;       // of the queue
    uint16_t next_avail; // free running
    uint16_t next_used;
    uint16_t free_first, free_count; // list of free descriptors through `next`
    uint16_t next[VIRTQ_MAX];
    uint16_t chain[UNIT_SLOTS];        // first descriptor of a slot's request
    uint16_t chain_length[UNIT_SLOTS]; // 0: none
    enum state state;
    uint64_t began_ns, poll_ns;
};
_Static_assert(sizeof(struct virtio_blk) <= QUEUE_OFFSET, "layout of the memory");

static struct virtio_blk *blk_of(struct block_device *dev)
{
    return CONTAINER_OF(dev, struct virtio_blk, dev);
}

// --- descriptors ---

static void clear_queue(struct virtio_blk *b)
{
    memset((void *)b->queue, 0, sizeof(*b->queue));
    for (uint16_t i = 0; i < b->size; i++) {
        b->next[i] = (uint16_t)(i + 1);
    }
    b->free_first = 0;
    b->free_count = b->size;
    b->next_avail = b->next_used = 0;
    memset(b->chain_length, 0, sizeof(b->chain_length));
}

// Takes the next free descriptor. A chain is what is taken in a row: the list links it already.
static void append(struct virtio_blk *b, uint64_t gpa, uint32_t length, uint16_t flags)
{
    uint16_t i = b->free_first;
    volatile struct virtq_desc *d = &b->queue->desc[i];

    d->address = gpa;
    d->length = length;
    d->flags = flags;
    d->next = b->next[i];
    b->free_first = b->next[i];
    b->free_count--;
}

// Gives a slot's chain back to the list.
static void free_chain(struct virtio_blk *b, uint32_t slot)
{
    uint16_t last = b->chain[slot];

    for (uint16_t i = 1; i < b->chain_length[slot]; i++) {
        last = b->next[last];
    }
    b->next[last] = b->free_first;
    b->free_first = b->chain[slot];
    b->free_count = (uint16_t)(b->free_count + b->chain_length[slot]);
    b->chain_length[slot] = 0;
}

static void publish(struct virtio_blk *b)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
    b->queue->avail.index = b->next_avail;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if ((b->queue->used.flags & VIRTQ_USED_NO_NOTIFY) == 0) {
        mmio_write16(b->notify, 0, 0);
    }
}

static void offer(struct virtio_blk *b, uint16_t first)
{
    b->queue->avail.ring[b->next_avail % b->size] = first;
    b->next_avail++;
}

// --- requests ---

static uint64_t slot_gpa(const struct virtio_blk *b, uint32_t slot, size_t offset)
{
    return b->slots_gpa + slot * sizeof(struct slot_memory) + offset;
}

static void append_data(struct virtio_blk *b, uint32_t slot, enum block_op step)
{
    const struct block_request *r = b->unit.slots[slot];
    volatile struct slot_memory *m = &b->slots[slot];

    if (step == BLOCK_DISCARD) {
        m->discard.sector = r->sector;
        m->discard.sectors = r->sectors;
        m->discard.flags = 0;
        append(b, slot_gpa(b, slot, offsetof(struct slot_memory, discard)), sizeof(m->discard),
               VIRTQ_DESC_NEXT);
        return;
    }
    for (uint32_t i = 0; step != BLOCK_FLUSH && i < r->segment_count; i++) {
        append(b, r->segments[i].gpa, r->segments[i].length,
               VIRTQ_DESC_NEXT | (step == BLOCK_READ ? VIRTQ_DESC_WRITE : 0));
    }
}

static void begin_chain(struct virtio_blk *b, uint32_t slot, uint32_t type, uint64_t sector)
{
    volatile struct slot_memory *m = &b->slots[slot];

    m->type = type;
    m->reserved = 0;
    m->sector = sector;
    m->status = STATUS_NONE;
    b->chain_length[slot] = b->free_count; // less what is left at its end
    b->chain[slot] = b->free_first;
    append(b, slot_gpa(b, slot, 0), offsetof(struct slot_memory, discard), VIRTQ_DESC_NEXT);
}

static void end_chain(struct virtio_blk *b, uint32_t slot)
{
    append(b, slot_gpa(b, slot, offsetof(struct slot_memory, status)), 1, VIRTQ_DESC_WRITE);
    b->chain_length[slot] = (uint16_t)(b->chain_length[slot] - b->free_count);
    offer(b, b->chain[slot]);
}

static void put_request(struct virtio_blk *b, uint32_t slot)
{
    static const uint32_t types[] = {[BLOCK_READ] = TYPE_IN,
                                     [BLOCK_WRITE] = TYPE_OUT,
                                     [BLOCK_FLUSH] = TYPE_FLUSH,
                                     [BLOCK_DISCARD] = TYPE_DISCARD};
    const struct block_request *r = b->unit.slots[slot];
    enum block_op step = unit_step(r);
    bool data = step == BLOCK_READ || step == BLOCK_WRITE;

    begin_chain(b, slot, types[step], data ? r->sector : 0);
    append_data(b, slot, step);
    end_chain(b, slot);
}

static void start_waiting(struct virtio_blk *b, uint64_t now)
{
    uint16_t before = b->next_avail;
    uint32_t slot;

    while (b->unit.waiting.head != NULL && b->unit.waiting.head->segment_count + EXTRA + 1 <= b->free_count &&
           (slot = unit_next(&b->unit, now)) != UNIT_NONE) {
        put_request(b, slot);
    }
    if (b->next_avail != before) {
        publish(b);
    }
}

// --- answers ---

static uint32_t slot_of_chain(const struct virtio_blk *b, uint32_t first)
{
    for (uint32_t i = 0; i < UNIT_SLOTS; i++) {
        if (b->chain_length[i] != 0 && b->chain[i] == first) {
            return i;
        }
    }
    return UNIT_NONE;
}

// The next answered chain; UNIT_NONE: none. A device that names a chain which does not exist is not believed.
static uint32_t take_used(struct virtio_blk *b, bool *more)
{
    uint32_t id;

    *more = b->next_used != b->queue->used.index;
    if (!*more) {
        return UNIT_NONE;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    id = b->queue->used.ring[b->next_used % b->size].id;
    b->next_used++;
    return slot_of_chain(b, id);
}

static enum block_status status_of(uint8_t status)
{
    return status == STATUS_OK ? BLOCK_OK : status == STATUS_UNSUPPORTED ? BLOCK_UNSUPPORTED : BLOCK_IO_ERROR;
}

// True: there may be more.
static bool collect(struct virtio_blk *b)
{
    for (uint32_t taken = 0; taken < BUDGET; taken++) {
        bool more;
        uint32_t slot = take_used(b, &more);

        if (!more) {
            return false;
        }
        if (slot != UNIT_NONE) {
            free_chain(b, slot);
            unit_finish(&b->unit, slot, status_of(b->slots[slot].status));
        }
    }
    return true;
}

// --- reset ---

// The next service() ends what waits.
static void fail(struct virtio_blk *b)
{
    virtio_pci_failed(&b->bus);
    pci_quiesce(&b->pci);
    b->state = FAILED;
    b->dev.failed = true;
    b->dev.pending = true;
}

static void reset(struct virtio_blk *b, uint64_t now)
{
    virtio_pci_reset(&b->bus);
    b->state = RESETTING;
    b->began_ns = now;
    b->poll_ns = now;
}

static void begin_reset(struct virtio_blk *b, uint64_t now)
{
    b->dev.counters.resets++;
    if (unit_strike(&b->unit)) {
        reset(b, now);
    } else {
        fail(b);
    }
}

static bool set_up(struct virtio_blk *b)
{
    const struct virtio_pci_queue q = {
        .size = b->size,
        .descriptors = b->queue_gpa + offsetof(struct virtq_memory, desc),
        .driver = b->queue_gpa + offsetof(struct virtq_memory, avail),
        .device = b->queue_gpa + offsetof(struct virtq_memory, used),
        .vector = b->vector,
    };

    clear_queue(b);
    if (!virtio_pci_negotiate(&b->bus, b->features) || !virtio_pci_config_vector(&b->bus, VIRTIO_NO_VECTOR) ||
        !virtio_pci_queue_start(&b->bus, 0, &q, &b->notify)) {
        return false;
    }
    virtio_pci_ready(&b->bus);
    return true;
}

static void step_reset(struct virtio_blk *b, uint64_t now)
{
    if (now < b->poll_ns) {
        return;
    }
    if (!virtio_pci_is_reset(&b->bus)) {
        b->poll_ns = now + POLL_NS;
        if (now - b->began_ns > RESET_LIMIT_NS) {
            fail(b);
        }
        return;
    }
    unit_stopped(&b->unit, b->began_ns);
    if (set_up(b)) {
        b->state = READY;
    } else {
        fail(b);
    }
}

// --- from the data plane ---

static bool service(struct block_device *dev)
{
    struct virtio_blk *b = blk_of(dev);
    uint64_t now = plat_now_ns();
    bool more = false;

    if (b->state == READY) {
        more = collect(b);
        if (!more && unit_expired(&b->unit, now)) {
            begin_reset(b, now);
        }
    }
    if (b->state == RESETTING) {
        step_reset(b, now);
    }
    if (b->state == READY) {
        start_waiting(b, now);
    }
    if (b->state == FAILED) {
        unit_gone(&b->unit);
    }
    return more;
}

static void submit(struct block_device *dev, struct block_request *request)
{
    struct virtio_blk *b = blk_of(dev);

    if (request->op == BLOCK_FLUSH && (b->features & F_FLUSH) == 0) {
        block_queue_push(&dev->refused, request); // writes through, 5.2.6.2: this is done already
        dev->pending = true;
        return;
    }
    block_queue_push(&b->unit.waiting, request);
    if (b->state == READY) {
        start_waiting(b, plat_now_ns());
    }
}

static uint64_t deadline(const struct block_device *dev)
{
    const struct virtio_blk *b = CONTAINER_OF(dev, const struct virtio_blk, dev);

    switch (b->state) {
    case READY:
        return unit_deadline(&b->unit);
    case RESETTING:
        return b->poll_ns;
    default:
        return UINT64_MAX;
    }
}

static void interrupt(void *arg)
{
    struct virtio_blk *b = arg;

    // Reading the cause of a line clears it; messages have none to be read.
    if (b->vector != VIRTIO_NO_VECTOR || mmio_read8(b->bus.isr, 0) != 0) {
        b->dev.pending = true;
    }
}

static const struct block_ops ops = {
    .name = "virtio-blk", .submit = submit, .service = service, .deadline = deadline};

// --- start ---

static uint64_t read_capacity(const struct virtio_blk *b)
{
    uint64_t capacity = 0;

    // Two halves of one value, unless the configuration changed in between (4.1.4.3.1).
    for (unsigned i = 0; i < GENERATION_TRIES; i++) {
        uint8_t before = mmio_read8(b->bus.common, CONFIG_GENERATION);

        capacity = mmio_read32(b->bus.config, CONFIG_CAPACITY);
        capacity |= (uint64_t)mmio_read32(b->bus.config, CONFIG_CAPACITY + 4) << 32;
        if (mmio_read8(b->bus.common, CONFIG_GENERATION) == before) {
            break;
        }
    }
    return capacity;
}

static void read_limits(struct virtio_blk *b)
{
    uint32_t segments = b->size - EXTRA, device = BLOCK_MAX_SEGMENTS;

    if ((b->features & F_SEG_MAX) != 0) {
        device = MAX(mmio_read32(b->bus.config, CONFIG_SEG_MAX), 1u);
    }
    b->dev.max_segments = MIN(MIN(segments - 1, device), BLOCK_MAX_SEGMENTS);
    b->dev.max_sectors = BLOCK_MAX_SECTORS;
    b->dev.read_only = (b->features & F_RO) != 0;
    b->dev.write_cache = (b->features & F_FLUSH) != 0;
    if ((b->features & F_DISCARD) != 0) {
        b->dev.max_discard = mmio_read32(b->bus.config, CONFIG_MAX_DISCARD);
        b->dev.can_discard = b->dev.max_discard != 0;
    }
}

static bool read_sizes(struct virtio_blk *b)
{
    uint32_t logical = BLOCK_SECTOR;
    uint8_t exponent = 0;

    if ((b->features & F_BLK_SIZE) != 0) {
        logical = mmio_read32(b->bus.config, CONFIG_BLK_SIZE);
    }
    if ((b->features & F_TOPOLOGY) != 0) {
        exponent = mmio_read8(b->bus.config, CONFIG_BLOCK_EXPONENT);
    }
    b->dev.sectors = read_capacity(b);
    b->dev.logical_block = logical;
    b->dev.physical_block = logical == PAGE_SIZE || exponent >= 3 ? (uint32_t)PAGE_SIZE : BLOCK_SECTOR;
    return (logical == BLOCK_SECTOR || logical == PAGE_SIZE) && b->dev.sectors != 0 &&
           b->dev.sectors >> 52 == 0;
}

// The name that the device's owner gave it (5.2.6, VIRTIO_BLK_T_GET_ID). A device without one is as good.
static void read_serial(struct virtio_blk *b)
{
    const uint32_t slot = 0, buffer = 1; // memory of another slot
    uint64_t end = plat_now_ns() + RESET_LIMIT_NS;
    uint8_t id[ID_SIZE];
    bool more = false;

    begin_chain(b, slot, TYPE_GET_ID, 0);
    append(b, slot_gpa(b, buffer, 0), ID_SIZE, VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE);
    end_chain(b, slot);
    publish(b);
    while (!more && plat_now_ns() < end) {
        mmio_delay_us(PROBE_STEP_US);
        (void)take_used(b, &more);
    }
    if (more) {
        free_chain(b, slot);
    }
    if (!more || b->slots[slot].status != STATUS_OK) {
        return;
    }
    for (unsigned i = 0; i < ID_SIZE; i++) {
        id[i] = ((volatile uint8_t *)&b->slots[buffer])[i];
    }
    disk_copy_text(b->dev.serial, sizeof(b->dev.serial), id, ID_SIZE, false);
}

static bool reset_and_negotiate(struct virtio_blk *b, const char **why)
{
    uint64_t end = plat_now_ns() + RESET_LIMIT_NS;

    virtio_pci_reset(&b->bus);
    while (!virtio_pci_is_reset(&b->bus)) {
        if (plat_now_ns() >= end) {
            *why = "it does not come out of reset";
            return false;
        }
        mmio_delay_us(PROBE_STEP_US);
    }
    b->features = virtio_pci_features(&b->bus) & F_WANTED;
    if (b->bus.config_length < CONFIG_SIZE_LATE) {
        b->features &= ~F_LATE;
    }
    b->size = virtio_pci_queue_size(&b->bus, 0, VIRTQ_MAX);
    if ((b->features & VIRTIO_F_VERSION_1) == 0 || b->size < QUEUE_MIN || !set_up(b)) {
        *why = "it refuses the driver's features or queue";
        return false;
    }
    return true;
}

static bool start(struct virtio_blk *b, const char **why)
{
    if (!reset_and_negotiate(b, why)) {
        return false;
    }
    if (!read_sizes(b)) {
        *why = "it has no usable size";
        return false;
    }
    read_limits(b);
    memcpy(b->dev.model, "virtio-blk", sizeof("virtio-blk"));
    b->dev.ops = &ops;
    read_serial(b);
    return true;
}

bool virtio_blk_probe(const struct disk_setup *setup, struct disk_controller *out, const char **why)
{
    struct virtio_blk *b = (struct virtio_blk *)setup->memory.va;
    bool message;

    pci_enable(&setup->pci, false);
    b->pci = setup->pci;
    b->queue = (volatile struct virtq_memory *)(setup->memory.va + QUEUE_OFFSET);
    b->queue_gpa = setup->memory.gpa + QUEUE_OFFSET;
    b->slots = (volatile struct slot_memory *)(setup->memory.va + SLOTS_OFFSET);
    b->slots_gpa = setup->memory.gpa + SLOTS_OFFSET;
    unit_init(&b->unit, UNIT_SLOTS);
    if (!virtio_pci_map(&b->bus, &setup->pci, CONFIG_SIZE)) {
        *why = "it has no modern (virtio 1.0) interface";
        pci_quiesce(&setup->pci);
        return false;
    }
    message = setup->message != NULL &&
              pci_msix_set(&setup->pci, 0, setup->message->address, setup->message->data);
    b->vector = message ? 0 : VIRTIO_NO_VECTOR;
    if (!start(b, why)) {
        virtio_pci_failed(&b->bus);
        pci_quiesce(&setup->pci);
        return false;
    }
    out->devices[out->count++] = &b->dev;
    out->interrupt = interrupt;
    out->arg = b;
    out->irq = message ? DISK_IRQ_MESSAGE : DISK_IRQ_LINE;
    return true;
}
