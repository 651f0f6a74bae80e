// SPDX-License-Identifier: Apache-2.0
// Network device (virtio 1.2 section 5.1) on a port of the virtual switch.

#include "mgmt/devices/vnet.h"

#define QUEUE_SIZE 256
#define CHAINS_A_TURN 32
#define BYTES_A_TURN (256u << 10) // a segmentation-offloaded frame has up to 64 KiB
#define CLASS_ETHERNET 0x020000

#define F_CSUM BIT(0)
#define F_GUEST_CSUM BIT(1)
#define F_MAC BIT(5)
#define F_GUEST_TSO4 BIT(7)
#define F_GUEST_TSO6 BIT(8)
#define F_HOST_TSO4 BIT(11)
#define F_HOST_TSO6 BIT(12)
#define F_MERGE_RX BIT(15)
#define F_STATUS BIT(16)
#define RX_OFFLOADS (F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6)

#define STATUS_LINK_UP 1

#define ETHERNET_HEADER 14u
#define MERGE_MAX 64u // buffers of one frame

enum { RECEIVE, TRANSMIT };

struct header { // struct virtio_net_hdr
    uint8_t flags, gso_type;
    uint16_t header_length, gso_size, checksum_start, checksum_offset, buffers;
};
_Static_assert(sizeof(struct header) == 12, "virtio 1.2 section 5.1.6");

#define HDR_NEEDS_CHECKSUM 1
enum { GSO_NONE = 0, GSO_TCPV4 = 1, GSO_TCPV6 = 4 };

// --- transmission ---

static bool gso_allowed(const struct virtio *v, const struct header *h)
{
    switch (h->gso_type) {
    case GSO_NONE:
        return true;
    case GSO_TCPV4:
        return virtio_has(v, F_HOST_TSO4) && h->gso_size != 0 && (h->flags & HDR_NEEDS_CHECKSUM);
    case GSO_TCPV6:
        return virtio_has(v, F_HOST_TSO6) && h->gso_size != 0 && (h->flags & HDR_NEEDS_CHECKSUM);
    default:
        return false;
    }
}

// What the driver left undone, if it may and if it makes sense for a frame of this length.
static bool take_offload(const struct virtio *v, const struct header *h, uint32_t length,
                         struct switch_offload *o)
{
    *o = (struct switch_offload){0};
    if (!gso_allowed(v, h)) {
        return false;
    }
    if (h->flags & HDR_NEEDS_CHECKSUM) {
        if (!virtio_has(v, F_CSUM) || (uint32_t)h->checksum_start + h->checksum_offset + 2 > length) {
            return false;
        }
        o->needs_checksum = true;
        o->checksum_start = h->checksum_start;
        o->checksum_offset = h->checksum_offset;
    }
    if (h->gso_type != GSO_NONE) {
        o->gso_type = h->gso_type;
        o->gso_size = h->gso_size;
        o->header_length = h->header_length;
    }
    return true;
}

static bool add_piece(struct switch_frame *f, const void *data, uint32_t length)
{
    if (f->piece_count == SWITCH_SEND_PIECES) {
        return false;
    }
    f->pieces[f->piece_count++] = (struct switch_piece){.data = data, .length = length};
    return true;
}

// Pieces of the chain from byte `offset` on.
static bool add_pieces(struct switch_frame *f, const struct virtq_chain *chain, uint64_t offset)
{
    for (uint16_t i = 0; i < chain->readable; i++) {
        const struct virtq_segment *s = &chain->segment[i];

        if (offset >= s->length) {
            offset -= s->length;
            continue;
        }
        if (!add_piece(f, s->data + offset, s->length - (uint32_t)offset)) {
            return false;
        }
        offset = 0;
    }
    return true;
}

// The chain as a frame. The switch wants the Ethernet header in one piece: if the driver has cut it, it is joined in
// `joined`.
static bool build_frame(const struct vnet *n, const struct virtq_chain *chain, struct switch_frame *f,
                        uint8_t joined[ETHERNET_HEADER])
{
    struct header h;

    f->piece_count = 0;
    if (virtq_read(chain, 0, &h, sizeof(h)) != sizeof(h) ||
        chain->readable_bytes < sizeof(h) + ETHERNET_HEADER ||
        chain->readable_bytes > sizeof(h) + SWITCH_FRAME_MAX) {
        return false;
    }
    f->length = (uint32_t)(chain->readable_bytes - sizeof(h));
    if (!take_offload(&n->virtio, &h, f->length, &f->offload) || !add_pieces(f, chain, sizeof(h))) {
        return false;
    }
    if (f->piece_count == 0 || f->pieces[0].length < ETHERNET_HEADER) {
        f->piece_count = 0;
        (void)virtq_read(chain, sizeof(h), joined, ETHERNET_HEADER);
        return add_piece(f, joined, ETHERNET_HEADER) && add_pieces(f, chain, sizeof(h) + ETHERNET_HEADER);
    }
    return true;
}

// Returns the bytes that it was worth: read here or copied to receivers.
static uint64_t send(struct vnet *n, const struct virtq_chain *chain)
{
    uint8_t joined[ETHERNET_HEADER];
    struct switch_frame frame;

    if (!build_frame(n, chain, &frame, joined)) {
        n->malformed++;
    } else if (n->nic->port != NULL) {
        return MAX(switch_send(n->nic->port, &frame), frame.length);
    }
    return chain->readable_bytes;
}

static bool transmit(struct vnet *n)
{
    struct virtq *q = &n->virtio.queue[TRANSMIT];
    struct virtq_chain chain;
    uint64_t bytes = 0;
    unsigned i;
    bool more = true;

    for (i = 0; i < CHAINS_A_TURN && bytes < BYTES_A_TURN; i++) {
        more = virtq_pop(q, &chain) == VIRTQ_CHAIN;
        if (!more) {
            break;
        }
        bytes += send(n, &chain);
        virtq_push(q, chain.head, 0);
    }
    if (i > 0 && n->nic->port != NULL) {
        switch_flush();
    }
    virtio_signal(&n->virtio, TRANSMIT);
    return more || virtq_want_notification(q);
}

// The receive queue's buffers are looked at when a frame comes.
static bool work(struct virtio *v, uint32_t queue)
{
    struct vnet *n = CONTAINER_OF(v, struct vnet, virtio);

    n->user.takes_offload = (v->accepted & RX_OFFLOADS) == RX_OFFLOADS;
    return queue == TRANSMIT && transmit(n);
}

// --- reception ---

// Bytes [from, from + length) of header and frame go to the start of the chain.
static void write_part(const struct virtq_chain *chain, const struct header *h, const struct switch_frame *f,
                       uint64_t from, uint64_t length)
{
    uint64_t at = 0, skip = from;

    for (uint32_t i = 0; i <= f->piece_count && at < length; i++) {
        const uint8_t *data = i == 0 ? (const uint8_t *)h : f->pieces[i - 1].data;
        uint64_t size = i == 0 ? sizeof(*h) : f->pieces[i - 1].length;
        uint64_t n;

        if (skip >= size) {
            skip -= size;
            continue;
        }
        n = MIN(size - skip, length - at);
        at += virtq_write(chain, at, data + skip, (size_t)n);
        skip = 0;
    }
}

static struct header header_of(const struct switch_frame *f)
{
    const struct switch_offload *o = &f->offload;

    return (struct header){
        .flags = o->needs_checksum ? HDR_NEEDS_CHECKSUM : 0,
        .gso_type = o->gso_type,
        .header_length = o->header_length,
        .gso_size = o->gso_size,
        .checksum_start = o->checksum_start,
        .checksum_offset = o->checksum_offset,
        .buffers = 1,
    };
}

// Fills buffers with header and frame and stages them. Returns their number; 0, and nothing is taken: too few.
static uint16_t fill_buffers(struct vnet *n, struct virtq *q, const struct switch_frame *f)
{
    uint64_t total = sizeof(struct header) + f->length, done = 0;
    struct header h = header_of(f);
    struct virtq_chain chains[2]; // the first, which gets the number of all, and one of the others
    uint16_t count = 0;

    while (done < total) {
        struct virtq_chain *chain = &chains[count > 0];
        uint64_t part;

        if (count == MERGE_MAX || virtq_pop(q, chain) != VIRTQ_CHAIN) {
            virtq_unpop(q, count);
            return 0;
        }
        part = MIN(total - done, chain->writable_bytes);
        if (part == 0 || (count == 0 && part < sizeof(h))) {
            q->broken = true; // no buffer for receiving
            return 0;
        }
        if (part < total && !virtio_has(&n->virtio, F_MERGE_RX)) {
            virtq_unpop(q, 1);
            return 0;
        }
        write_part(chain, &h, f, done, part);
        virtq_stage(q, count++, chain->head, (uint32_t)part);
        done += part;
    }
    (void)virtq_write(&chains[0], offsetof(struct header, buffers), &count, sizeof(count));
    return count;
}

static bool deliver(void *user, const struct switch_frame *frame)
{
    struct vnet *n = user;
    struct virtq *q = &n->virtio.queue[RECEIVE];
    uint16_t count;

    if (!virtio_live(&n->virtio) || n->virtio.vm->detaching) {
        return false;
    }
    count = fill_buffers(n, q, frame);
    if (q->broken) {
        virtio_needs_reset(&n->virtio);
        return false;
    }
    if (count == 0) {
        n->no_buffers++;
        return false;
    }
    virtq_publish(q, count);
    return true;
}

static void flush(void *user)
{
    struct vnet *n = user;

    if (virtio_live(&n->virtio)) {
        virtio_signal(&n->virtio, RECEIVE);
    }
}

static void link(void *user, bool up)
{
    struct vnet *n = user;
    uint16_t status = up ? STATUS_LINK_UP : 0;

    if (n->config.status != status) {
        n->config.status = status;
        virtio_config_changed(&n->virtio);
    }
}

// --- set-up ---

static bool reset(struct virtio *v)
{
    CONTAINER_OF(v, struct vnet, virtio)->user.takes_offload = false;
    return true;
}

static const struct virtio_ops ops = {.work = work, .reset = reset};

static const struct virtio_type type = {
    .id = VIRTIO_ID_NET,
    .class_code = CLASS_ETHERNET,
    .features = F_CSUM | F_MAC | F_HOST_TSO4 | F_HOST_TSO6 | F_MERGE_RX | F_STATUS | RX_OFFLOADS,
    .queue_count = 2,
    .queue_size = QUEUE_SIZE,
    .ops = &ops,
};

void vnet_init(struct vnet *n, struct dp_vm *vm, struct vpci_bus *bus, const struct guest_mem *mem,
               uint8_t slot, struct dp_nic *nic)
{
    *n = (struct vnet){
        .nic = nic,
        .config.status = nic->port != NULL ? STATUS_LINK_UP : 0,
        .user = {.deliver = deliver, .flush = flush, .link = link},
    };
    __builtin_memcpy(n->config.mac, nic->mac, sizeof(n->config.mac));
    virtio_init(&n->virtio, vm, bus, mem, slot, &type, 0, &n->config, sizeof(n->config));
}
