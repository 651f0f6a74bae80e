// SPDX-License-Identifier: Apache-2.0
// Split virtqueues, the device's side.
//
// Source: virtio 1.2 section 2.7 "Split Virtqueues", with indirect descriptors and event indices. Rings lie in the
// memory of a guest that may be hostile and that runs while we read: each index, descriptor and flag is read once
// into a private copy, checked, then used. A queue whose driver breaks the rules is `broken` from then on: nothing
// is taken from it, and the device asks for a reset. Every walk is bounded by the size of the table. Data plane.
#ifndef MGMT_DEVICES_VIRTQ_H
#define MGMT_DEVICES_VIRTQ_H

#include "mgmt/devices/guest_mem.h"

#define VIRTQ_MAX_SIZE 256u
#define VIRTQ_MAX_SEGMENTS 66u // of one chain: 64 of data, a header and a status

struct virtq_segment {
    uint8_t *data; // in guest memory: contents may change at any time
    uint32_t length;
};

struct virtq_chain { // readable segments first, then writable ones
    uint16_t head;
    uint16_t readable, writable;             // segments of each kind
    uint64_t readable_bytes, writable_bytes; // their lengths
    struct virtq_segment segment[VIRTQ_MAX_SEGMENTS];
};

struct virtq {
    const struct guest_mem *mem;
    // --- as the driver configured it ---
    uint64_t descriptors_gpa, driver_gpa, device_gpa;
    uint16_t size; // power of two, at most VIRTQ_MAX_SIZE
    uint16_t vector;
    bool enabled;
    // --- while enabled ---
    bool broken;
    bool event_index;                       // VIRTIO_F_EVENT_IDX was negotiated
    bool indirect;                          // VIRTIO_F_INDIRECT_DESC was negotiated
    uint16_t next;                          // of the available ring
    uint16_t used;                          // index of the used ring
    uint16_t signalled;                     // value of `used` at the last look for an interrupt
    uint8_t *descriptors, *driver, *device; // the rings, all of them RAM
};

// Back to the state after a reset. `size` is offered to the driver.
void virtq_reset(struct virtq *q, const struct guest_mem *mem, uint16_t size);
// Takes the configuration. False, and the queue stays disabled, when a ring is not RAM or not aligned.
MUST_CHECK bool virtq_enable(struct virtq *q, bool event_index, bool indirect);

enum virtq_result { VIRTQ_EMPTY, VIRTQ_CHAIN, VIRTQ_BROKEN };
// Takes the next chain off the available ring. EMPTY also when the queue is not enabled.
enum virtq_result virtq_pop(struct virtq *q, struct virtq_chain *chain);
// Gives the `count` chains popped last back to the ring, where they are popped again.
void virtq_unpop(struct virtq *q, uint16_t count);
// Returns a chain to the driver; `written` bytes of its writable segments were written.
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);
// The same for several chains that the driver must see at once: stage number 0, 1, ... then publish their count.
void virtq_stage(struct virtq *q, uint16_t number, uint16_t head, uint32_t written);
void virtq_publish(struct virtq *q, uint16_t count);
// Does the driver want an interrupt for what was pushed since the last call?
MUST_CHECK bool virtq_wants_interrupt(struct virtq *q);
// Asks for a notification with the next chain. True: there is one already, so look again.
MUST_CHECK bool virtq_want_notification(struct virtq *q);

// Copies between a buffer and the chain's readable, or writable, bytes from `offset` on. Returns the bytes copied,
// fewer at the end of the chain.
size_t virtq_read(const struct virtq_chain *chain, uint64_t offset, void *buf, size_t length);
size_t virtq_write(const struct virtq_chain *chain, uint64_t offset, const void *buf, size_t length);

#endif
