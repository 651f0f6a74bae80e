// SPDX-License-Identifier: Apache-2.0
// virtio-net: split virtqueues in which descriptor n always stands for frame buffer n.
//
// That makes a free list needless: a buffer in hand is its descriptor. The device's header of 12 bytes lies
// in front of each frame, in the buffer's headroom. Sections named are those of virtio 1.1.
#include "mgmt/drivers/virtio_net.h"

#include <string.h>

// Structures on PCI, 4.1.4: vendor capability with configuration type at +3, BAR at +4, offset, length.
#define CFG_COMMON 1
#define CFG_NOTIFY 2
#define CFG_ISR 3
#define CFG_DEVICE 4

// Common configuration, 4.1.4.3.
#define DEVICE_FEATURE_SELECT 0x00
#define DEVICE_FEATURE 0x04
#define DRIVER_FEATURE_SELECT 0x08
#define DRIVER_FEATURE 0x0c
#define MSIX_CONFIG 0x10
#define DEVICE_STATUS 0x14
#define QUEUE_SELECT 0x16
#define QUEUE_SIZE 0x18
#define QUEUE_MSIX_VECTOR 0x1a
#define QUEUE_ENABLE 0x1c
#define QUEUE_NOTIFY_OFF 0x1e
#define QUEUE_DESC 0x20
#define QUEUE_DRIVER 0x28
#define QUEUE_DEVICE 0x30

#define NO_VECTOR 0xffff

// Device status, 2.1.
#define ST_ACKNOWLEDGE 1
#define ST_DRIVER 2
#define ST_DRIVER_OK 4
#define ST_FEATURES_OK 8
#define ST_FAILED 128

// Features, 5.1.3 and 6.
#define F_MAC BIT(5)
#define F_STATUS BIT(16)
#define F_VERSION_1 BIT(32)

// Device configuration, 5.1.4.
#define NET_MAC 0
#define NET_STATUS 6
#define NET_LINK_UP 1

#define ISR_QUEUE 1
#define ISR_CONFIG 2

#define DESC_WRITE 2 // the device writes the buffer
#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY 1

#define QUEUE_MAX FRAME_BUFFERS
#define NET_HEADER 12 // struct virtio_net_hdr with num_buffers, 5.1.6
#define QUEUE_BYTES 16384u

// As with e1000: sent frames are collected in passing; an interrupt is wanted when many are out.
#define TX_LOW_WATER(size) ((size) / 2)
#define RESET_TRIES 1000

enum { RX_QUEUE, TX_QUEUE, QUEUES };

struct desc { // 2.6.5
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};
struct avail { // 2.6.6
    uint16_t flags;
    uint16_t index;
    uint16_t ring[QUEUE_MAX];
};
struct used_elem {
    uint32_t id;
    uint32_t length;
};
struct used { // 2.6.8
    uint16_t flags;
    uint16_t index;
    struct used_elem ring[QUEUE_MAX];
};
struct queue_memory {
    struct desc desc[QUEUE_MAX];
    struct avail avail;
    struct used used __attribute__((aligned(16)));
};
_Static_assert(sizeof(struct queue_memory) <= QUEUE_BYTES, "virtqueue");
_Static_assert(QUEUES *QUEUE_BYTES <= NIC_DMA_SIZE, "virtqueues");

struct queue {
    volatile struct queue_memory *mem;
    uint64_t gpa;
    mmio_t notify;
    uint16_t size;       // power of two
    uint16_t next_avail; // free running
    uint16_t next_used;
    bool held[QUEUE_MAX]; // the device has this buffer
};

static struct virtio_net {
    struct nic nic;
    mmio_t common, notify, isr, config;
    uint32_t notify_multiplier, notify_length;
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
    if ((q->mem->used.flags & USED_NO_NOTIFY) == 0) {
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
        volatile struct used_elem *e = &q->mem->used.ring[q->next_used % q->size];
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
    bool up = !v->has_status || (mmio_read16(v->config, NET_STATUS) & NET_LINK_UP) != 0;

    __atomic_store_n(&v->nic.rings->link_up, up, __ATOMIC_RELEASE);
}

static void interrupt(struct nic *nic)
{
    struct virtio_net *v = CONTAINER_OF(nic, struct virtio_net, nic);
    uint8_t cause = ISR_QUEUE | ISR_CONFIG; // one message for both: look at everything

    if (!nic->uses_msi) {
        cause = mmio_read8(v->isr, 0); // reading clears it and lets go of the line
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

// Maps the structure of this type, which has at least `min` bytes; returns where its capability is, 0 if there is
// none, and its length. The list of a broken device may be a loop.
static uint8_t map_structure(const struct pci_device *dev, uint8_t type, uint32_t min, mmio_t *out,
                             uint32_t *out_length)
{
    uint8_t cap = pci_find_capability(dev, PCI_CAP_VENDOR, 0);

    for (unsigned n = 0; n < PCI_MAX_CAPABILITIES && cap != 0;
         n++, cap = pci_find_capability(dev, PCI_CAP_VENDOR, cap)) {
        uint32_t offset = pci_config_read(dev->at, (uint8_t)(cap + 8));
        uint32_t length = pci_config_read(dev->at, (uint8_t)(cap + 12));
        uint64_t base, size;

        if (pci_read8(dev, (uint8_t)(cap + 3)) != type || length < min) {
            continue;
        }
        if (pci_bar(dev, pci_read8(dev, (uint8_t)(cap + 4)), &base, &size) && offset < size &&
            length <= size - offset) {
            *out = mmio_map(base + offset);
            *out_length = length;
            return cap;
        }
    }
    return 0;
}

static bool map_structures(struct virtio_net *v, const struct pci_device *dev)
{
    uint8_t notify = map_structure(dev, CFG_NOTIFY, 2, &v->notify, &v->notify_length);
    uint32_t length;

    if (notify == 0 || map_structure(dev, CFG_COMMON, 56, &v->common, &length) == 0 ||
        map_structure(dev, CFG_ISR, 1, &v->isr, &length) == 0 ||
        map_structure(dev, CFG_DEVICE, 8, &v->config, &length) == 0) {
        return false;
    }
    v->notify_multiplier = pci_config_read(dev->at, (uint8_t)(notify + 16)); // 4.1.4.4
    return true;
}

static void add_status(struct virtio_net *v, uint8_t bits)
{
    mmio_write8(v->common, DEVICE_STATUS, mmio_read8(v->common, DEVICE_STATUS) | bits);
}

static bool reset(struct virtio_net *v)
{
    mmio_write8(v->common, DEVICE_STATUS, 0);
    for (unsigned i = 0; i < RESET_TRIES; i++) {
        if (mmio_read8(v->common, DEVICE_STATUS) == 0) {
            add_status(v, ST_ACKNOWLEDGE);
            add_status(v, ST_DRIVER);
            return true;
        }
        mmio_delay_us(10);
    }
    return false;
}

static bool negotiate(struct virtio_net *v)
{
    uint64_t offered, wanted;

    mmio_write32(v->common, DEVICE_FEATURE_SELECT, 0);
    offered = mmio_read32(v->common, DEVICE_FEATURE);
    mmio_write32(v->common, DEVICE_FEATURE_SELECT, 1);
    offered |= (uint64_t)mmio_read32(v->common, DEVICE_FEATURE) << 32;
    wanted = offered & (F_VERSION_1 | F_MAC | F_STATUS);
    v->has_status = (wanted & F_STATUS) != 0;
    mmio_write32(v->common, DRIVER_FEATURE_SELECT, 0);
    mmio_write32(v->common, DRIVER_FEATURE, (uint32_t)wanted);
    mmio_write32(v->common, DRIVER_FEATURE_SELECT, 1);
    mmio_write32(v->common, DRIVER_FEATURE, (uint32_t)(wanted >> 32));
    add_status(v, ST_FEATURES_OK);
    return (wanted & F_VERSION_1) != 0 && (wanted & F_MAC) != 0 &&
           (mmio_read8(v->common, DEVICE_STATUS) & ST_FEATURES_OK) != 0;
}

static void write64(mmio_t m, uint32_t offset, uint64_t value)
{
    mmio_write32(m, offset, (uint32_t)value);
    mmio_write32(m, offset + 4, (uint32_t)(value >> 32));
}

static uint16_t largest_power_of_two(uint16_t n)
{
    while ((n & (n - 1)) != 0) {
        n &= (uint16_t)(n - 1);
    }
    return n;
}

static bool start_queue(struct virtio_net *v, unsigned index, struct nic_memory dma, unsigned vector)
{
    struct queue *q = &v->queue[index];
    uint64_t notify_offset;
    uint16_t offered;

    mmio_write16(v->common, QUEUE_SELECT, (uint16_t)index);
    offered = mmio_read16(v->common, QUEUE_SIZE);
    q->size = largest_power_of_two(MIN(offered, (uint16_t)QUEUE_MAX));
    notify_offset = (uint64_t)mmio_read16(v->common, QUEUE_NOTIFY_OFF) * v->notify_multiplier;
    if (q->size == 0 || notify_offset > v->notify_length - 2) {
        return false;
    }
    q->mem = (volatile struct queue_memory *)(dma.va + index * QUEUE_BYTES);
    q->gpa = dma.gpa + index * QUEUE_BYTES;
    memset(dma.va + index * QUEUE_BYTES, 0, QUEUE_BYTES);
    q->notify = (mmio_t){v->notify.base + notify_offset};
    mmio_write16(v->common, QUEUE_SIZE, q->size);
    write64(v->common, QUEUE_DESC, q->gpa + offsetof(struct queue_memory, desc));
    write64(v->common, QUEUE_DRIVER, q->gpa + offsetof(struct queue_memory, avail));
    write64(v->common, QUEUE_DEVICE, q->gpa + offsetof(struct queue_memory, used));
    mmio_write16(v->common, QUEUE_MSIX_VECTOR, (uint16_t)vector);
    if (mmio_read16(v->common, QUEUE_MSIX_VECTOR) != vector) {
        return false;
    }
    mmio_write16(v->common, QUEUE_ENABLE, 1);
    return true;
}

static void describe_buffers(struct virtio_net *v, unsigned queue)
{
    struct queue *q = &v->queue[queue];
    bool tx = queue == TX_QUEUE;

    for (uint16_t i = 0; i < q->size; i++) {
        q->mem->desc[i] = (struct desc){
            .address = v->nic.rings->memory_gpa + frame_offset(tx, i),
            .length = FRAME_BUFFER_SIZE,
            .flags = tx ? 0 : DESC_WRITE,
        };
        if (tx) {
            memset(frame_data(v->nic.rings, true, i) - NET_HEADER, 0, NET_HEADER);
        }
    }
}

static bool start(struct virtio_net *v, struct frame_rings *rings, struct nic_memory frames,
                  struct nic_memory dma)
{
    unsigned vector = v->nic.uses_msi ? 0 : NO_VECTOR;

    mmio_write16(v->common, MSIX_CONFIG, (uint16_t)vector);
    if (mmio_read16(v->common, MSIX_CONFIG) != vector || !start_queue(v, RX_QUEUE, dma, vector) ||
        !start_queue(v, TX_QUEUE, dma, vector)) {
        return false;
    }
    frame_rings_init(rings, frames.va, frames.gpa, NET_HEADER, v->queue[RX_QUEUE].size,
                     v->queue[TX_QUEUE].size);
    describe_buffers(v, RX_QUEUE);
    describe_buffers(v, TX_QUEUE);
    for (uint32_t i = 0; i < 6; i++) {
        v->nic.mac[i] = mmio_read8(v->config, NET_MAC + i);
    }
    add_status(v, ST_DRIVER_OK);
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
    if (!map_structures(v, dev)) {
        *why = "it has no modern (virtio 1.0) interface";
        pci_quiesce(dev);
        return NULL;
    }
    v->nic.uses_msi = msi->available && pci_msix_set(dev, 0, msi->address, msi->data);
    if (!reset(v) || !negotiate(v) || !start(v, rings, frames, dma)) {
        *why = "it refuses the driver's features or queues";
        mmio_write8(v->common, DEVICE_STATUS, ST_FAILED);
        pci_quiesce(dev);
        return NULL;
    }
    return &v->nic;
}
