// SPDX-License-Identifier: Apache-2.0
// virtio-net: split virtqueues in which descriptor n always stands for frame buffer n.
//
// That makes a free list needless: a buffer in hand is its descriptor. The device's header of 12 bytes lies
// in front of each frame, in the buffer's headroom. Sections named are those of virtio 1.1.
#include "mgmt/drivers/virtio_net.h"

#include "mgmt/drivers/virtio_pci.h"
#include "mgmt/drivers/virtqueue.h"

#include <string.h>

// Features, 5.1.3 and 6.
#define F_MAC BIT(5)
#define F_STATUS BIT(16)

// Device configuration, 5.1.4.
#define NET_MAC 0
#define NET_STATUS 6
#define NET_LINK_UP 1

#define ISR_QUEUE 1
#define ISR_CONFIG 2

#define AVAIL_NO_INTERRUPT 1

#define NET_HEADER 12 // struct virtio_net_hdr with num_buffers, 5.1.6
#define QUEUE_BYTES 16384u

// As with e1000: sent frames are collected in passing; an interrupt is wanted when many are out.
#define TX_LOW_WATER(size) ((size) / 2)
#define RESET_TRIES 1000

enum { RX_QUEUE, TX_QUEUE, QUEUES };

_Static_assert(sizeof(struct virtq_memory) <= QUEUE_BYTES, "virtqueue");
_Static_assert(FRAME_BUFFERS == VIRTQ_MAX, "descriptor n stands for frame buffer n");
_Static_assert(QUEUES *QUEUE_BYTES <= NIC_DMA_SIZE, "virtqueues");

struct queue {
    volatile struct virtq_memory *mem;
    uint64_t gpa;
    mmio_t notify;
    uint16_t size;       // power of two
    uint16_t next_avail; // free running
    uint16_t next_used;
    bool held[VIRTQ_MAX]; // the device has this buffer
};

static struct virtio_net {
    struct nic nic;
    struct virtio_pci bus;
    bool has_status;
    bool config_changed;
    struct queue queue[QUEUES];
} the_nic;

// --- queues ---

static void offer(struct queue *q, uint16_t index)
{
    q->mem->avail.ring[q->next_avail % q->size] = index;
    q->next_avail++;
    q->held[index] = true;
}

// Publishes what was offered and tells the device, unless it said that it looks by itself (2.6.13).
static void publish(struct virtio_net *v, unsigned queue)
{
    struct queue *q = &v->queue[queue];

    __atomic_thread_fence(__ATOMIC_RELEASE);
    q->mem->avail.index = q->next_avail;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if ((q->mem->used.flags & VIRTQ_USED_NO_NOTIFY) == 0) {
        mmio_write16(q->notify, 0, (uint16_t)queue);
    }
}

static uint16_t outstanding(const struct queue *q)
{
    return (uint16_t)(q->next_avail - q->next_used);
}

// The next buffer that comes back. A device that names one it does not have, or gives back more than it got, is not
// believed.
static bool take_used(struct queue *q, uint16_t *index, uint32_t *length)
{
    while (outstanding(q) > 0 && q->next_used != q->mem->used.index) {
        volatile struct virtq_used_elem *e = &q->mem->used.ring[q->next_used % q->size];
        uint32_t id;

        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        id = e->id;
        *length = e->length;
        q->next_used++;
        if (id < q->size && q->held[id]) {
            q->held[id] = false;
            *index = (uint16_t)id;
            return true;
        }
    }
    return false;
}

// --- receive and transmit ---

static void fill_rx(struct virtio_net *v)
{
    struct queue *q = &v->queue[RX_QUEUE];
    uint16_t before = q->next_avail;
    struct frame f;

    while (spsc_pop(&v->nic.rings->rx_free, &f)) {
        offer(q, f.index);
    }
    if (q->next_avail != before) {
        publish(v, RX_QUEUE);
    }
}

static uint32_t take_rx(struct virtio_net *v)
{
    struct frame_rings *rings = v->nic.rings;
    uint32_t n = 0, length;
    struct frame f;

    for (; n < NIC_RX_BUDGET && take_used(&v->queue[RX_QUEUE], &f.index, &length); n++) {
        if (length >= NET_HEADER + 14 && length <= NET_HEADER + FRAME_MAX) {
            f.length = (uint16_t)(length - NET_HEADER);
            rings->counters.rx_frames++;
            rings->counters.rx_bytes += f.length;
        } else {
            f.length = 0; // goes straight back
            rings->counters.rx_errors++;
        }
        (void)spsc_push(&rings->rx, &f);
    }
    return n;
}

static void collect_tx(struct virtio_net *v)
{
    struct frame f = {0};
    uint32_t length;

    while (take_used(&v->queue[TX_QUEUE], &f.index, &length)) {
        (void)spsc_push(&v->nic.rings->tx_free, &f);
    }
}

static void send_tx(struct virtio_net *v)
{
    struct frame_rings *rings = v->nic.rings;
    struct queue *q = &v->queue[TX_QUEUE];
    uint16_t before = q->next_avail;
    struct frame f;

    while (spsc_pop(&rings->tx, &f)) {
        if (f.length == 0 || f.length > FRAME_MAX) {
            (void)spsc_push(&rings->tx_free, &f);
            continue;
        }
        if (f.length < FRAME_MIN) {
            memset(frame_data(rings, true, f.index) + f.length, 0, FRAME_MIN - f.length);
            f.length = FRAME_MIN;
        }
        q->mem->desc[f.index].length = NET_HEADER + f.length;
        offer(q, f.index);
        rings->counters.tx_frames++;
        rings->counters.tx_bytes += f.length;
    }
    if (q->next_avail != before) {
        publish(v, TX_QUEUE);
    }
}

static void choose_tx_interrupt(struct queue *q)
{
    bool want = outstanding(q) > TX_LOW_WATER(q->size);

    q->mem->avail.flags = want ? 0 : AVAIL_NO_INTERRUPT;
}

// --- from the data plane ---

static void read_link(struct virtio_net *v)
{
    bool up = !v->has_status || (mmio_read16(v->bus.config, NET_STATUS) & NET_LINK_UP) != 0;

    __atomic_store_n(&v->nic.rings->link_up, up, __ATOMIC_RELEASE);
}

static void interrupt(struct nic *nic)
{
    struct virtio_net *v = CONTAINER_OF(nic, struct virtio_net, nic);
    uint8_t cause = ISR_QUEUE | ISR_CONFIG; // one message for both: look at everything

    if (!nic->uses_msi) {
        cause = mmio_read8(v->bus.isr, 0); // reading clears it and lets go of the line
    }
    v->config_changed |= (cause & ISR_CONFIG) != 0;
    nic->pending |= cause != 0;
}

static bool service(struct nic *nic)
{
    struct virtio_net *v = CONTAINER_OF(nic, struct virtio_net, nic);
    uint32_t received;

    if (v->config_changed) {
        v->config_changed = false;
        if (v->has_status) {
            read_link(v);
        }
    }
    collect_tx(v);
    send_tx(v);
    received = take_rx(v);
    fill_rx(v);
    choose_tx_interrupt(&v->queue[TX_QUEUE]);
    return received == NIC_RX_BUDGET;
}

static const struct nic_ops ops = {.name = "virtio-net", .interrupt = interrupt, .service = service};

// --- start ---

static bool reset(struct virtio_net *v)
{
    virtio_pci_reset(&v->bus);
    for (unsigned i = 0; i < RESET_TRIES; i++) {
        if (virtio_pci_is_reset(&v->bus)) {
            return true;
        }
        mmio_delay_us(10);
    }
    return false;
}

static bool negotiate(struct virtio_net *v)
{
    uint64_t wanted = virtio_pci_features(&v->bus) & (VIRTIO_F_VERSION_1 | F_MAC | F_STATUS);

    v->has_status = (wanted & F_STATUS) != 0;
    return (wanted & VIRTIO_F_VERSION_1) != 0 && (wanted & F_MAC) != 0 &&
           virtio_pci_negotiate(&v->bus, wanted);
}

static bool start_queue(struct virtio_net *v, uint16_t index, struct nic_memory dma, uint16_t vector)
{
    struct queue *q = &v->queue[index];
    struct virtio_pci_queue place = {.vector = vector};

    q->size = virtio_pci_queue_size(&v->bus, index, VIRTQ_MAX);
    if (q->size == 0) {
        return false;
    }
    q->mem = (volatile struct virtq_memory *)(dma.va + index * QUEUE_BYTES);
    q->gpa = dma.gpa + index * QUEUE_BYTES;
    memset(dma.va + index * QUEUE_BYTES, 0, QUEUE_BYTES);
    place.size = q->size;
    place.descriptors = q->gpa + offsetof(struct virtq_memory, desc);
    place.driver = q->gpa + offsetof(struct virtq_memory, avail);
    place.device = q->gpa + offsetof(struct virtq_memory, used);
    return virtio_pci_queue_start(&v->bus, index, &place, &q->notify);
}

static void describe_buffers(struct virtio_net *v, unsigned queue)
{
    struct queue *q = &v->queue[queue];
    bool tx = queue == TX_QUEUE;

    for (uint16_t i = 0; i < q->size; i++) {
        q->mem->desc[i] = (struct virtq_desc){
            .address = v->nic.rings->memory_gpa + frame_offset(tx, i),
            .length = FRAME_BUFFER_SIZE,
            .flags = tx ? 0 : VIRTQ_DESC_WRITE,
        };
        if (tx) {
            memset(frame_data(v->nic.rings, true, i) - NET_HEADER, 0, NET_HEADER);
        }
    }
}

static bool start(struct virtio_net *v, struct frame_rings *rings, struct nic_memory frames,
                  struct nic_memory dma)
{
    uint16_t vector = v->nic.uses_msi ? 0 : VIRTIO_NO_VECTOR;

    if (!virtio_pci_config_vector(&v->bus, vector) || !start_queue(v, RX_QUEUE, dma, vector) ||
        !start_queue(v, TX_QUEUE, dma, vector)) {
        return false;
    }
    frame_rings_init(rings, frames.va, frames.gpa, NET_HEADER, v->queue[RX_QUEUE].size,
                     v->queue[TX_QUEUE].size);
    describe_buffers(v, RX_QUEUE);
    describe_buffers(v, TX_QUEUE);
    for (uint32_t i = 0; i < 6; i++) {
        v->nic.mac[i] = mmio_read8(v->bus.config, NET_MAC + i);
    }
    virtio_pci_ready(&v->bus);
    choose_tx_interrupt(&v->queue[TX_QUEUE]);
    fill_rx(v);
    read_link(v);
    return true;
}

struct nic *virtio_net_probe(const struct pci_device *dev, struct frame_rings *rings,
                             struct nic_memory frames, struct nic_memory dma, const struct nic_msi *msi,
                             const char **why)
{
    struct virtio_net *v = &the_nic;

    memset(v, 0, sizeof(*v));
    v->nic.ops = &ops;
    v->nic.rings = rings;
    pci_enable(dev, false);
    if (!virtio_pci_map(&v->bus, dev, 8)) {
        *why = "it has no modern (virtio 1.0) interface";
        pci_quiesce(dev);
        return NULL;
    }
    v->nic.uses_msi = msi->available && pci_msix_set(dev, 0, msi->address, msi->data);
    if (!reset(v) || !negotiate(v) || !start(v, rings, frames, dma)) {
        *why = "it refuses the driver's features or queues";
        virtio_pci_failed(&v->bus);
        pci_quiesce(dev);
        return NULL;
    }
    return &v->nic;
}
