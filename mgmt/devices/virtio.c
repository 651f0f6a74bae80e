// SPDX-License-Identifier: Apache-2.0
// The virtio transport over PCI, common to all device types.

#include "mgmt/devices/virtio.h"

#include "mgmt/hvif/hvif.h"

#define VENDOR 0x1af4
#define DEVICE_BASE 0x1040 // + device type (4.1.2.1)

// BAR 0.
#define BAR_COMMON 0x0000u
#define BAR_ISR 0x0800u
#define BAR_DEVICE 0x1000u
#define BAR_MSIX_TABLE 0x2000u
#define BAR_MSIX_PBA 0x2800u
#define COMMON_SIZE 0x40u
#define DEVICE_SIZE 0x100u

// struct virtio_pci_cap (4.1.4).
#define CAP_VENDOR 0x09
#define CAP_SIZE 16
#define CAP_NOTIFY_SIZE 20
#define CAP_WINDOW_SIZE 20
enum { CAP_COMMON_CFG = 1, CAP_NOTIFY_CFG, CAP_ISR_CFG, CAP_DEVICE_CFG, CAP_PCI_CFG };

// struct virtio_pci_common_cfg (4.1.4.3).
enum {
    COMMON_OFFERED_SELECT = 0,
    COMMON_OFFERED = 4,
    COMMON_ACCEPTED_SELECT = 8,
    COMMON_ACCEPTED = 12,
    COMMON_CONFIG_VECTOR = 16,
    COMMON_QUEUES = 18,
    COMMON_STATUS = 20,
    COMMON_GENERATION = 21,
    COMMON_QUEUE_SELECT = 22,
    COMMON_QUEUE_SIZE = 24,
    COMMON_QUEUE_VECTOR = 26,
    COMMON_QUEUE_ENABLE = 28,
    COMMON_QUEUE_NOTIFY = 30,
    COMMON_QUEUE_DESC = 32,
    COMMON_QUEUE_DRIVER = 40,
    COMMON_QUEUE_DEVICE = 48,
};

#define STATUS_DRIVER_OK 0x04
#define STATUS_FEATURES_OK 0x08
#define STATUS_NEEDS_RESET 0x40

#define ISR_QUEUE 0x01
#define ISR_CONFIG 0x02

#define TRANSPORT_FEATURES (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX)

static struct virtio *of_device(void *dev)
{
    return dev;
}

// --- interrupts ---

static void interrupt(struct virtio *v, uint16_t vector, uint8_t cause)
{
    v->interrupts++;
    if (vpci_msix_enabled(&v->pci)) {
        vpci_msix_raise(&v->pci, vector);
        return;
    }
    v->isr |= cause;
    vpci_intx_set(&v->pci, true);
}

void virtio_signal(struct virtio *v, uint32_t queue)
{
    if (virtq_wants_interrupt(&v->queue[queue])) {
        interrupt(v, v->queue[queue].vector, ISR_QUEUE);
    }
}

void virtio_config_changed(struct virtio *v)
{
    v->generation++;
    if (v->status & STATUS_DRIVER_OK) {
        interrupt(v, v->config_vector, ISR_CONFIG);
    }
}

void virtio_needs_reset(struct virtio *v)
{
    if (!(v->status & STATUS_NEEDS_RESET)) {
        v->status |= STATUS_NEEDS_RESET;
        v->resets_needed++;
        virtio_config_changed(v);
    }
}

// --- reset ---

void virtio_reset_done(struct virtio *v)
{
    const struct guest_mem *mem = v->queue[0].mem;

    v->resetting = false;
    v->status = 0;
    v->isr = 0;
    v->marked = 0;
    v->accepted = 0;
    v->offered_select = 0;
    v->accepted_select = 0;
    v->queue_select = 0;
    v->config_vector = VPCI_NO_VECTOR;
    for (uint16_t i = 0; i < VIRTIO_MAX_QUEUES; i++) {
        virtq_reset(&v->queue[i], mem, v->type->queue_size);
    }
    vpci_intx_set(&v->pci, false);
}

// The rings belong to the driver again from the moment it writes 0, and it reads 0 when they really are
// (4.1.4.3.1).
static void begin_reset(struct virtio *v)
{
    if (v->resetting) {
        return;
    }
    for (uint16_t i = 0; i < VIRTIO_MAX_QUEUES; i++) {
        v->queue[i].enabled = false;
    }
    v->marked = 0;
    v->resetting = true;
    if (v->type->ops->reset(v)) {
        virtio_reset_done(v);
    }
}

// --- common configuration ---

static struct virtq *selected(struct virtio *v)
{
    return v->queue_select < v->type->queue_count ? &v->queue[v->queue_select] : NULL;
}

// The driver's features are final once it sets FEATURES_OK, which stays clear if they do not make sense.
static void write_status(struct virtio *v, uint8_t value)
{
    if (value == 0) {
        begin_reset(v);
        return;
    }
    if (v->resetting) {
        return;
    }
    if ((value & STATUS_FEATURES_OK) && !(v->status & STATUS_FEATURES_OK) &&
        (!(v->accepted & VIRTIO_F_VERSION_1) || (v->accepted & ~v->offered) != 0)) {
        value &= (uint8_t)~STATUS_FEATURES_OK;
    }
    v->status |= value & (uint8_t)~STATUS_NEEDS_RESET; // bits are only cleared by a reset
    if (value & STATUS_DRIVER_OK) {
        for (uint32_t i = 0; i < v->type->queue_count; i++) {
            virtio_mark(v, i);
        }
    }
}

static void write_accepted(struct virtio *v, uint32_t value)
{
    unsigned shift = v->accepted_select * 32;

    if (v->accepted_select < 2 && !(v->status & STATUS_FEATURES_OK)) {
        v->accepted = (v->accepted & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
    }
}

static uint32_t features_word(uint64_t features, uint32_t select)
{
    return select < 2 ? (uint32_t)(features >> (select * 32)) : 0;
}

static void enable_queue(struct virtio *v, struct virtq *q)
{
    if (!q->enabled &&
        !virtq_enable(q, v->accepted & VIRTIO_F_EVENT_IDX, v->accepted & VIRTIO_F_INDIRECT_DESC)) {
        virtio_needs_reset(v);
    }
}

static uint32_t read_queue(const struct virtio *v, const struct virtq *q, uint32_t offset)
{
    switch (offset) {
    case COMMON_QUEUE_SIZE:
        return q->size;
    case COMMON_QUEUE_VECTOR:
        return q->vector;
    case COMMON_QUEUE_ENABLE:
        return q->enabled;
    case COMMON_QUEUE_NOTIFY:
        return v->queue_select;
    case COMMON_QUEUE_DESC:
        return (uint32_t)q->descriptors_gpa;
    case COMMON_QUEUE_DESC + 4:
        return (uint32_t)(q->descriptors_gpa >> 32);
    case COMMON_QUEUE_DRIVER:
        return (uint32_t)q->driver_gpa;
    case COMMON_QUEUE_DRIVER + 4:
        return (uint32_t)(q->driver_gpa >> 32);
    case COMMON_QUEUE_DEVICE:
        return (uint32_t)q->device_gpa;
    case COMMON_QUEUE_DEVICE + 4:
        return (uint32_t)(q->device_gpa >> 32);
    default:
        return 0;
    }
}

// The field that begins at `offset`.
static uint32_t read_common(struct virtio *v, uint32_t offset)
{
    const struct virtq *q = selected(v);

    switch (offset) {
    case COMMON_OFFERED_SELECT:
        return v->offered_select;
    case COMMON_OFFERED:
        return features_word(v->offered, v->offered_select);
    case COMMON_ACCEPTED_SELECT:
        return v->accepted_select;
    case COMMON_ACCEPTED:
        return features_word(v->accepted, v->accepted_select);
    case COMMON_CONFIG_VECTOR:
        return v->config_vector;
    case COMMON_QUEUES:
        return v->type->queue_count;
    case COMMON_STATUS:
        return v->status;
    case COMMON_GENERATION:
        return v->generation;
    case COMMON_QUEUE_SELECT:
        return v->queue_select;
    default:
        return q != NULL ? read_queue(v, q, offset) : 0;
    }
}

// A vector that does not exist reads back as none (4.1.5.1.2.1).
static uint16_t valid_vector(const struct virtio *v, uint32_t value)
{
    return value < v->pci.msix_count ? (uint16_t)value : VPCI_NO_VECTOR;
}

static void set_half(uint64_t *field, bool high, uint32_t value)
{
    *field = high ? (uint32_t)*field | (uint64_t)value << 32 : (*field & ~0xffffffffull) | value;
}

// Size and addresses are fixed while the queue is enabled.
static void write_queue(struct virtio *v, struct virtq *q, uint32_t offset, uint32_t value)
{
    if (offset == COMMON_QUEUE_VECTOR) {
        q->vector = valid_vector(v, value);
    } else if (q->enabled || v->resetting) {
        return;
    } else if (offset == COMMON_QUEUE_SIZE) {
        if (value != 0 && value <= v->type->queue_size && (value & (value - 1)) == 0) {
            q->size = (uint16_t)value;
        }
    } else if (offset == COMMON_QUEUE_ENABLE && value == 1) {
        enable_queue(v, q);
    } else if (offset == COMMON_QUEUE_DESC || offset == COMMON_QUEUE_DESC + 4) {
        set_half(&q->descriptors_gpa, offset & 4, value);
    } else if (offset == COMMON_QUEUE_DRIVER || offset == COMMON_QUEUE_DRIVER + 4) {
        set_half(&q->driver_gpa, offset & 4, value);
    } else if (offset == COMMON_QUEUE_DEVICE || offset == COMMON_QUEUE_DEVICE + 4) {
        set_half(&q->device_gpa, offset & 4, value);
    }
}

static void write_common(struct virtio *v, uint32_t offset, uint32_t value)
{
    struct virtq *q = selected(v);

    switch (offset) {
    case COMMON_OFFERED_SELECT:
        v->offered_select = value;
        break;
    case COMMON_ACCEPTED_SELECT:
        v->accepted_select = value;
        break;
    case COMMON_ACCEPTED:
        write_accepted(v, value);
        break;
    case COMMON_CONFIG_VECTOR:
        v->config_vector = valid_vector(v, value);
        break;
    case COMMON_STATUS:
        write_status(v, (uint8_t)value);
        break;
    case COMMON_QUEUE_SELECT:
        v->queue_select = (uint16_t)value;
        break;
    default:
        if (q != NULL) {
            write_queue(v, q, offset, value);
        }
        break;
    }
}

// Width of the field that begins at `offset`; 0: none does. The driver must use it (4.1.3.1).
static uint8_t field_width(uint32_t offset)
{
    if (offset == COMMON_STATUS || offset == COMMON_GENERATION) {
        return 1;
    }
    if (offset < COMMON_CONFIG_VECTOR || (offset >= COMMON_QUEUE_DESC && offset < COMMON_QUEUE_DEVICE + 8)) {
        return offset % 4 == 0 ? 4 : 0;
    }
    return offset < COMMON_QUEUE_DESC && offset % 2 == 0 ? 2 : 0;
}

// --- notification ---

bool virtio_live(const struct virtio *v)
{
    return (v->status & STATUS_DRIVER_OK) && !(v->status & STATUS_NEEDS_RESET) && !v->resetting;
}

void virtio_mark(struct virtio *v, uint32_t queue)
{
    if (virtio_live(v) && queue < v->type->queue_count) {
        v->marked |= (uint32_t)BIT(queue);
        dp_work(v->vm);
    }
}

void virtio_rung(struct virtio *v, uint64_t mask)
{
    for (uint32_t i = 0; i < v->type->queue_count; i++) {
        if (mask & BIT(VIRTIO_DOORBELL(v->pci.slot, i))) {
            v->notifications++;
            virtio_mark(v, i);
        }
    }
}

// Doorbells go where the BAR goes. Where the hypervisor refuses, writes arrive as intercepts.
static void place_doorbells(void *dev)
{
    struct virtio *v = of_device(dev);
    uint64_t bar = vpci_bar(&v->pci), at = bar != 0 ? bar + VIRTIO_NOTIFY_OFFSET : 0;

    for (uint32_t i = 0; i < v->type->queue_count && at != v->doorbells_at; i++) {
        const struct hv_x_doorbell_in in = {
            .partition = v->vm->partition,
            .gpa = at != 0 ? at + i * VIRTIO_NOTIFY_STRIDE : 0,
            .cookie = DP_DOORBELL_COOKIE(v->vm),
            .index = VIRTIO_DOORBELL(v->pci.slot, i),
            .vp_index = DP_DOORBELL_VP,
            .vector = DP_DOORBELL_VECTOR,
        };

        (void)!hvif_set_doorbell(&in);
    }
    v->doorbells_at = at;
}

static bool work_queue(struct virtio *v, uint32_t queue)
{
    bool more = v->type->ops->work(v, queue);

    if (v->queue[queue].broken) {
        virtio_needs_reset(v);
        return false;
    }
    return more && virtio_live(v);
}

bool virtio_work(struct virtio *v)
{
    uint32_t marked = v->marked;

    v->marked = 0;
    for (uint32_t i = 0; i < v->type->queue_count && virtio_live(v); i++) {
        if ((marked & BIT(i)) && work_queue(v, i)) {
            v->marked |= (uint32_t)BIT(i);
        }
    }
    return v->marked != 0;
}

// --- BAR 0 ---

static uint64_t read_isr(struct virtio *v)
{
    uint8_t isr = v->isr;

    v->isr = 0; // reading acknowledges (4.1.4.5)
    vpci_intx_set(&v->pci, false);
    return isr;
}

static uint64_t read_config(const struct virtio *v, uint64_t offset, uint8_t size)
{
    uint64_t value = 0;

    for (uint8_t i = 0; i < size && offset + i < v->config_size; i++) {
        value |= (uint64_t)v->config[offset + i] << (i * 8);
    }
    return value;
}

static uint64_t bar_read(void *dev, uint64_t offset, uint8_t size)
{
    struct virtio *v = of_device(dev);

    if (offset < COMMON_SIZE) {
        return field_width((uint32_t)offset) == size ? read_common(v, (uint32_t)offset) : 0;
    }
    if (offset == BAR_ISR) {
        return read_isr(v);
    }
    if (offset >= BAR_DEVICE && offset < BAR_DEVICE + DEVICE_SIZE) {
        return read_config(v, offset - BAR_DEVICE, size);
    }
    return vpci_msix_claims(&v->pci, offset) ? vpci_msix_read(&v->pci, offset, size) : 0;
}

static void bar_write(void *dev, uint64_t offset, uint8_t size, uint64_t value)
{
    struct virtio *v = of_device(dev);

    if (offset < COMMON_SIZE) {
        if (field_width((uint32_t)offset) == size) {
            write_common(v, (uint32_t)offset, (uint32_t)value);
        }
    } else if (offset >= VIRTIO_NOTIFY_OFFSET) {
        v->notifications++;
        virtio_mark(v, (uint32_t)(offset - VIRTIO_NOTIFY_OFFSET) / VIRTIO_NOTIFY_STRIDE);
    } else if (vpci_msix_claims(&v->pci, offset)) {
        vpci_msix_write(&v->pci, offset, size, value);
    }
}

static const struct mmio_ops bar_ops = {.read = bar_read, .write = bar_write};

// --- set-up ---

static uint8_t add_structure(struct vpci_function *f, uint8_t type, uint8_t cap_size, uint32_t offset,
                             uint32_t length)
{
    uint8_t at = vpci_add_capability(f, CAP_VENDOR, cap_size);

    f->config[at + 2] = cap_size;
    f->config[at + 3] = type;
    vpci_put(f->config, at + 8u, 4, offset); // BAR 0 in the byte at 4
    vpci_put(f->config, at + 12u, 4, length);
    return at;
}

static void add_capabilities(struct virtio *v)
{
    struct vpci_function *f = &v->pci;
    uint8_t at;

    add_structure(f, CAP_COMMON_CFG, CAP_SIZE, BAR_COMMON, COMMON_SIZE);
    add_structure(f, CAP_ISR_CFG, CAP_SIZE, BAR_ISR, 4);
    if (v->config_size > 0) {
        add_structure(f, CAP_DEVICE_CFG, CAP_SIZE, BAR_DEVICE, DEVICE_SIZE);
    }
    at = add_structure(f, CAP_NOTIFY_CFG, CAP_NOTIFY_SIZE, VIRTIO_NOTIFY_OFFSET,
                       v->type->queue_count * VIRTIO_NOTIFY_STRIDE);
    vpci_put(f->config, at + 16u, 4, VIRTIO_NOTIFY_STRIDE);
    at = add_structure(f, CAP_PCI_CFG, CAP_WINDOW_SIZE, 0, 0);
    f->window_cap = at;
    vpci_put(f->writable, at + 4u, 1, 0xff);
    vpci_put(f->writable, at + 8u, 4, ~0u);
    vpci_put(f->writable, at + 12u, 4, ~0u);
    vpci_put(f->writable, at + 16u, 4, ~0u);
    vpci_add_msix(f, v->type->queue_count + 1, BAR_MSIX_TABLE, BAR_MSIX_PBA);
}

void virtio_init(struct virtio *v, struct dp_vm *vm, struct vpci_bus *bus, const struct guest_mem *mem,
                 uint8_t slot, const struct virtio_type *type, uint64_t offered, const void *config,
                 uint16_t config_size)
{
    *v = (struct virtio){
        .vm = vm,
        .type = type,
        .offered = type->features | offered | TRANSPORT_FEATURES,
        .config = config,
        .config_size = config_size,
    };
    vpci_add(bus, slot, &v->pci,
             &(struct vpci_identity){.vendor = VENDOR,
                                     .device = (uint16_t)(DEVICE_BASE + type->id),
                                     .subsystem_vendor = VENDOR,
                                     .subsystem = (uint16_t)(DEVICE_BASE + type->id),
                                     .class_code = type->class_code,
                                     .revision = 1});
    vpci_set_bar(&v->pci, VIRTIO_BAR_SIZE, &bar_ops, v);
    v->pci.moved = place_doorbells;
    add_capabilities(v);
    v->queue[0].mem = mem;
    virtio_reset_done(v);
}
