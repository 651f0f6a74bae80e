// SPDX-License-Identifier: Apache-2.0
// The virtio transport over PCI, common to all device types.
//
// Source: virtio 1.2 section 4.1 "Virtio Over PCI Bus", modern interface only. A device type embeds struct virtio,
// says what it offers and gets its queues' notifications; this file keeps registers, negotiation and interrupts.
//
//   BAR 0   0x0000 common configuration   0x0800 ISR             0x1000 device configuration
//           0x2000 MSI-X table            0x2800 pending bits    0x3000 notification, 4 bytes a queue
//
// Writes to the notification area are doorbells of the hypervisor where it takes them: the guest does not wait for the
// data plane. Those that it does not take, being no plain stores, arrive as any other access to the BAR.
//
// A notification marks its queue and asks for a turn of the data plane's loop (dp_work()); virtio_work() then lets
// the device look at its marked queues, a bounded number of chains a turn. A driver that breaks the rules of a ring
// gets DEVICE_NEEDS_RESET and nothing more until it resets the device. Data plane.
#ifndef MGMT_DEVICES_VIRTIO_H
#define MGMT_DEVICES_VIRTIO_H

#include "mgmt/dataplane/dp.h"
#include "mgmt/devices/virtq.h"
#include "mgmt/devices/vpci.h"

#define VIRTIO_MAX_QUEUES 2u
#define VIRTIO_BAR_SIZE 0x4000u
#define VIRTIO_NOTIFY_OFFSET 0x3000u
#define VIRTIO_NOTIFY_STRIDE 4u

// Device types (chapter 5).
#define VIRTIO_ID_NET 1
#define VIRTIO_ID_BLOCK 2
#define VIRTIO_ID_CONSOLE 3
#define VIRTIO_ID_ENTROPY 4

// Feature bits (chapter 6); the types' own start at 0.
#define VIRTIO_F_INDIRECT_DESC BIT(28)
#define VIRTIO_F_EVENT_IDX BIT(29)
#define VIRTIO_F_VERSION_1 BIT(32)

struct virtio;

struct virtio_ops {
    // Looks at queue `queue`, which was notified. True: there is more to do, call again.
    bool (*work)(struct virtio *v, uint32_t queue);
    // The driver resets the device: forget everything. False: not yet, requests are with somebody else; the device
    // calls virtio_reset_done() when they are back.
    bool (*reset)(struct virtio *v);
};

struct virtio_type {
    uint16_t id;
    uint32_t class_code;  // of PCI, 24 bits
    uint64_t features;    // offered besides those of the transport
    uint16_t queue_count; // at most VIRTIO_MAX_QUEUES
    uint16_t queue_size;  // at most VIRTQ_MAX_SIZE
    const struct virtio_ops *ops;
};

struct virtio {
    struct vpci_function pci;
    struct dp_vm *vm;
    const struct virtio_type *type;
    uint64_t offered;      // features
    const uint8_t *config; // device configuration, read-only for the driver
    uint16_t config_size;
    struct virtq queue[VIRTIO_MAX_QUEUES];
    uint32_t marked;   // queues that were notified, one bit each
    uint64_t accepted; // features
    uint32_t offered_select, accepted_select;
    uint16_t config_vector, queue_select;
    uint8_t status, isr, generation;
    bool resetting;
    uint64_t doorbells_at; // GPA of the notification area that the hypervisor knows; 0: none
    uint64_t notifications, interrupts, resets_needed; // counters
};

// Puts the device into a slot of the bus. `offered` adds to the type's features; `config` stays the caller's.
void virtio_init(struct virtio *v, struct dp_vm *vm, struct vpci_bus *bus, const struct guest_mem *mem,
                 uint8_t slot, const struct virtio_type *type, uint64_t offered, const void *config,
                 uint16_t config_size);
// Doorbell of a queue: its index among those of the guest.
#define VIRTIO_DOORBELL(slot, queue) ((slot)*VIRTIO_MAX_QUEUES + (queue))
_Static_assert(VIRTIO_DOORBELL(MACHINE_PCI_SLOTS, 0) <= 64, "HvCallXSetDoorbell");
// Doorbells of this device, as the mask of all of the guest's says.
void virtio_rung(struct virtio *v, uint64_t mask);
// Serves marked queues. True: more to do.
bool virtio_work(struct virtio *v);
// Something changed for queue `queue` other than by a notification: look at it in a turn to come.
void virtio_mark(struct virtio *v, uint32_t queue);
// The driver is ready and the device may use its queues.
bool virtio_live(const struct virtio *v);
static inline bool virtio_has(const struct virtio *v, uint64_t feature)
{
    return (v->accepted & feature) != 0;
}
// After virtq_push(): interrupts the driver if it wants that.
void virtio_signal(struct virtio *v, uint32_t queue);
// The device's configuration changed.
void virtio_config_changed(struct virtio *v);
// A ring cannot be trusted any more.
void virtio_needs_reset(struct virtio *v);
void virtio_reset_done(struct virtio *v);

#endif
