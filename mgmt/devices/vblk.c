// SPDX-License-Identifier: Apache-2.0
// Block device (virtio 1.2 section 5.2) over struct block_device.

#include "mgmt/devices/vblk.h"

#define QUEUE_SIZE 128
#define CHAINS_A_TURN 16
#define CLASS_STORAGE 0x018000 // mass storage, other

#define F_SEG_MAX BIT(2)
#define F_READ_ONLY BIT(5)
#define F_BLOCK_SIZE BIT(6)
#define F_FLUSH BIT(9)
#define F_TOPOLOGY BIT(10)
#define F_DISCARD BIT(13)

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11 };
enum { S_OK = 0, S_IO_ERROR = 1, S_UNSUPPORTED = 2 };

#define ID_LENGTH 20

struct header { // struct virtio_blk_req
    uint32_t type, reserved;
    uint64_t sector;
};

struct discard { // struct virtio_blk_discard_write_zeroes
    uint64_t sector;
    uint32_t sectors, flags;
};

// --- completion ---

static void finish(struct vblk_request *r, uint8_t status)
{
    struct vblk *b = r->blk;

    *(volatile uint8_t *)r->status = status;
    virtq_push(&b->virtio.queue[0], r->head, status == S_OK ? r->written : 1);
    r->next_free = b->free;
    b->free = r;
}

static uint8_t status_of(enum block_status status)
{
    switch (status) {
    case BLOCK_OK:
        return S_OK;
    case BLOCK_UNSUPPORTED:
        return S_UNSUPPORTED;
    default:
        return S_IO_ERROR;
    }
}

// --- submission, part by part ---

// Moves as much of the data as the medium takes at once into the block request.
static void next_part(struct vblk_request *r)
{
    const struct block_device *dev = r->blk->device;
    uint64_t room = MIN(r->sectors, dev->max_sectors) * BLOCK_SECTOR;
    struct block_request *out = &r->block;

    out->segment_count = 0;
    out->sectors = 0;
    while (room > 0 && r->piece < r->pieces &&
           out->segment_count < MIN(dev->max_segments, BLOCK_MAX_SEGMENTS)) {
        const struct block_segment *in = &r->data[r->piece];
        uint32_t length = (uint32_t)MIN(in->length - r->piece_offset, room);

        out->segments[out->segment_count++] = (struct block_segment){.gpa = in->gpa + r->piece_offset,
                                                                     .length = length};
        out->sectors += length / BLOCK_SECTOR;
        room -= length;
        r->piece_offset += length;
        if (r->piece_offset == in->length) {
            r->piece++;
            r->piece_offset = 0;
        }
    }
    r->sectors -= out->sectors;
}

static void done(struct block_request *block)
{
    struct vblk_request *r = block->context;
    struct vblk *b = r->blk;

    // A device that is being reset, or whose guest is leaving, starts nothing more.
    if (block->status == BLOCK_OK && r->sectors > 0 && b->virtio.queue[0].enabled) {
        block->sector += block->sectors;
        next_part(r);
        block_submit(b->device, block);
        return;
    }
    b->in_flight--;
    if (b->virtio.queue[0].enabled) {
        finish(r, status_of(block->status));
        virtio_signal(&b->virtio, 0);
    } else {
        r->next_free = b->free;
        b->free = r;
    }
    if (b->virtio.resetting && b->in_flight == 0) {
        virtio_reset_done(&b->virtio);
    }
    virtio_mark(&b->virtio, 0); // chains may have waited for a request
    dp_work(b->virtio.vm);
}

static void submit(struct vblk_request *r, enum block_op op, uint64_t sector)
{
    struct vblk *b = r->blk;

    r->block.op = op;
    r->block.fua = op == BLOCK_WRITE &&
                   !virtio_has(&b->virtio, F_FLUSH); // without FLUSH: write-through (5.2.6.2)
    r->block.sector = sector;
    r->block.done = done;
    r->block.context = r;
    b->in_flight++;
    block_submit(b->device, &r->block);
    dp_work(b->virtio.vm);
}

// --- data of a chain ---

static bool add_piece(struct vblk_request *r, uint64_t gpa, uint32_t length)
{
    struct block_segment *last = r->pieces > 0 ? &r->data[r->pieces - 1] : NULL;

    if (last != NULL && last->gpa + last->length == gpa && last->length + length > last->length) {
        last->length += length;
        return true;
    }
    if (r->pieces == BLOCK_MAX_SEGMENTS) {
        return false;
    }
    r->data[r->pieces++] = (struct block_segment){.gpa = gpa, .length = length};
    return true;
}

static bool reachable(const struct vblk_request *r)
{
    for (uint32_t i = 0; i < r->pieces; i++) {
        if (r->data[i].gpa % 4 != 0 || r->data[i].length % BLOCK_SECTOR != 0) {
            return false;
        }
    }
    return true;
}

// Bytes [offset, offset + length) of `count` segments become the request's data, in the root's addresses.
static bool take_data(struct vblk_request *r, const struct virtq_segment *segment, uint16_t count,
                      uint64_t offset, uint64_t length)
{
    const struct dp_vm *vm = r->blk->virtio.vm;

    r->pieces = r->piece = r->piece_offset = 0;
    r->sectors = length / BLOCK_SECTOR;
    for (uint16_t i = 0; i < count && length > 0; i++) {
        uint32_t part;

        if (offset >= segment[i].length) {
            offset -= segment[i].length;
            continue;
        }
        part = (uint32_t)MIN(length, segment[i].length - offset);
        if (!add_piece(r, vm->ram_gpa + (uint64_t)(segment[i].data - vm->ram) + offset, part)) {
            return false;
        }
        length -= part;
        offset = 0;
    }
    return reachable(r);
}

// --- requests ---

static void transfer(struct vblk_request *r, const struct virtq_chain *chain, const struct header *h)
{
    bool in = h->type == T_IN;
    uint64_t length = in ? chain->writable_bytes - 1 : chain->readable_bytes - sizeof(*h);
    uint64_t capacity = r->blk->device->sectors;
    bool ok = in ? take_data(r, chain->segment + chain->readable, chain->writable, 0, length)
                 : take_data(r, chain->segment, chain->readable, sizeof(*h), length);

    if (!ok || length == 0 || length % BLOCK_SECTOR != 0) {
        r->blk->unreachable++;
        finish(r, S_IO_ERROR);
        return;
    }
    if (h->sector > capacity || r->sectors > capacity - h->sector) {
        finish(r, S_IO_ERROR);
        return;
    }
    r->written = in ? (uint32_t)length + 1 : 1;
    next_part(r);
    submit(r, in ? BLOCK_READ : BLOCK_WRITE, h->sector);
}

static void discard(struct vblk_request *r, const struct virtq_chain *chain)
{
    struct discard range;

    if (!virtio_has(&r->blk->virtio, F_DISCARD) ||
        chain->readable_bytes != sizeof(struct header) + sizeof(range) ||
        virtq_read(chain, sizeof(struct header), &range, sizeof(range)) != sizeof(range) ||
        range.flags != 0) {
        finish(r, S_UNSUPPORTED);
        return;
    }
    r->block.sectors = range.sectors;
    r->block.segment_count = 0;
    submit(r, BLOCK_DISCARD, range.sector);
}

static void get_id(struct vblk_request *r, const struct virtq_chain *chain)
{
    char id[ID_LENGTH] = {0};

    for (size_t i = 0; i < ID_LENGTH && r->blk->device->serial[i] != '\0'; i++) {
        id[i] = r->blk->device->serial[i];
    }
    if (chain->writable_bytes - 1 < ID_LENGTH) {
        finish(r, S_IO_ERROR);
        return;
    }
    r->written = (uint32_t)virtq_write(chain, 0, id, ID_LENGTH) + 1;
    finish(r, S_OK);
}

static void serve(struct vblk_request *r, const struct virtq_chain *chain)
{
    const struct virtq_segment *last = &chain->segment[chain->readable + chain->writable - 1];
    struct header h;

    r->head = chain->head;
    r->status = last->data + last->length - 1;
    r->written = 1;
    r->sectors = 0;
    (void)virtq_read(chain, 0, &h, sizeof(h)); // is that long
    switch (h.type) {
    case T_IN:
    case T_OUT:
        transfer(r, chain, &h);
        break;
    case T_FLUSH:
        r->block.sectors = 0;
        r->block.segment_count = 0;
        submit(r, BLOCK_FLUSH, 0);
        break;
    case T_GET_ID:
        get_id(r, chain);
        break;
    case T_DISCARD:
        discard(r, chain);
        break;
    default:
        finish(r, S_UNSUPPORTED);
        break;
    }
}

static bool work(struct virtio *v, uint32_t queue)
{
    struct vblk *b = CONTAINER_OF(v, struct vblk, virtio);
    struct virtq *q = &v->queue[queue];
    struct virtq_chain chain;
    unsigned n;

    for (n = 0; n < CHAINS_A_TURN && b->free != NULL; n++) {
        struct vblk_request *r = b->free;

        if (virtq_pop(q, &chain) != VIRTQ_CHAIN) {
            break;
        }
        if (chain.readable_bytes < sizeof(struct header) || chain.writable_bytes < 1) {
            q->broken = true; // no place for a status
            break;
        }
        b->free = r->next_free;
        serve(r, &chain);
    }
    virtio_signal(v, queue);
    if (b->free == NULL) {
        return false; // done() marks the queue
    }
    return n == CHAINS_A_TURN || virtq_want_notification(q);
}

static bool reset(struct virtio *v)
{
    return CONTAINER_OF(v, struct vblk, virtio)->in_flight == 0;
}

static const struct virtio_ops ops = {.work = work, .reset = reset};

static const struct virtio_type type = {
    .id = VIRTIO_ID_BLOCK,
    .class_code = CLASS_STORAGE,
    .features = F_SEG_MAX | F_BLOCK_SIZE | F_TOPOLOGY,
    .queue_count = 1,
    .queue_size = QUEUE_SIZE,
    .ops = &ops,
};

// --- set-up ---

static uint8_t log2_of(uint32_t value)
{
    return value <= 1 ? 0 : (uint8_t)(31 - __builtin_clz(value));
}

static void fill_config(struct vblk_config *c, const struct block_device *dev)
{
    uint32_t logical = MAX(dev->logical_block, BLOCK_SECTOR);

    *c = (struct vblk_config){
        .capacity = dev->sectors,
        .seg_max = BLOCK_MAX_SEGMENTS,
        .block_size = logical,
        .physical_block_exponent = log2_of(MAX(dev->physical_block, logical) / logical),
        .min_io_size = 1,
        .opt_io_size = dev->max_sectors / (logical / BLOCK_SECTOR),
        .queues = 1,
        .max_discard_sectors = dev->max_discard != 0 ? dev->max_discard : dev->max_sectors,
        .max_discard_segments = 1,
        .discard_alignment = MAX(dev->discard_unit, logical / BLOCK_SECTOR),
    };
}

static void ask(void *arg)
{
    dp_work(arg);
}

void vblk_init(struct vblk *b, struct dp_vm *vm, struct vpci_bus *bus, const struct guest_mem *mem,
               uint8_t slot, struct block_device *device)
{
    // Without a write cache there is nothing to flush, and the driver need not ask.
    uint64_t offered = (device->read_only ? F_READ_ONLY : 0) | (device->can_discard ? F_DISCARD : 0) |
                       (device->write_cache ? F_FLUSH : 0);

    device->ask = ask;
    device->ask_arg = vm;
    b->device = device;
    b->free = NULL;
    b->in_flight = 0;
    b->unreachable = 0;
    for (uint32_t i = 0; i < VBLK_REQUESTS; i++) {
        b->request[i].blk = b;
        b->request[i].next_free = b->free;
        b->free = &b->request[i];
    }
    fill_config(&b->config, device);
    virtio_init(&b->virtio, vm, bus, mem, slot, &type, offered, &b->config, sizeof(b->config));
}
