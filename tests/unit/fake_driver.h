// SPDX-License-Identifier: Apache-2.0
// A guest's virtio driver, as far as tests need one: finds the device by PCI, negotiates, builds rings in the guest's
// memory. What it writes there a test may spoil.
#ifndef TESTS_UNIT_FAKE_DRIVER_H
#define TESTS_UNIT_FAKE_DRIVER_H

#include "mgmt/devices/vm_priv.h"
#include "tests/unit/fake_hvif.h"

#define DRIVER_RINGS 0x100000ull   // 64 KiB a queue
#define DRIVER_BUFFERS 0x140000ull // to the end of memory
#define DRIVER_QUEUE_SIZE 16

#define DESC_NEXT 1
#define DESC_WRITE 2
#define DESC_INDIRECT 4

struct driver_queue {
    uint64_t descriptors, available, used; // GPAs
    uint16_t next_free, next_available, next_used;
};

struct driver {
    struct fake_guest *g;
    uint8_t slot;
    uint64_t bar;
    uint64_t offered; // by the device
    struct driver_queue queue[VIRTIO_MAX_QUEUES];
};

struct driver_buffer {
    uint64_t gpa;
    uint32_t length;
    bool writable; // by the device
};

// Configuration space of a slot through ECAM.
uint32_t driver_config_read(struct fake_guest *g, uint8_t slot, uint32_t offset, uint8_t size);
void driver_config_write(struct fake_guest *g, uint8_t slot, uint32_t offset, uint8_t size, uint32_t value);
uint64_t driver_read(struct driver *d, uint32_t offset, uint8_t size); // of BAR 0
void driver_write(struct driver *d, uint32_t offset, uint8_t size, uint64_t value);
uint8_t driver_status(struct driver *d);

// Brings the device up to DRIVER_OK with `features` besides VERSION_1; queue n has MSI-X vector n + 1, vector 0x40 + n.
void driver_start(struct driver *d, struct fake_guest *g, uint8_t slot, uint64_t features);
// The single steps of it.
void driver_find(struct driver *d, struct fake_guest *g, uint8_t slot);
void driver_negotiate(struct driver *d, uint64_t features);
void driver_set_queue(struct driver *d, uint16_t queue);
void driver_use_msix(struct driver *d);

void driver_descriptor(struct driver *d, uint16_t queue, uint16_t index, uint64_t gpa, uint32_t length,
                       uint16_t flags, uint16_t next);
void driver_make_available(struct driver *d, uint16_t queue, uint16_t head);
// A chain of buffers; returns its head.
uint16_t driver_add(struct driver *d, uint16_t queue, const struct driver_buffer *buffers, uint16_t count);
// Notifies the device and lets it work until it has nothing to do.
void driver_kick(struct driver *d, uint16_t queue);
void driver_let_work(struct fake_guest *g);
// The next used entry.
bool driver_used(struct driver *d, uint16_t queue, uint16_t *head, uint32_t *length);
uint8_t *driver_memory(struct driver *d, uint64_t gpa);

#endif
