// SPDX-License-Identifier: Apache-2.0
// Single-producer single-consumer rings: the only meeting place of the control plane and the data plane.
//
// Fixed capacity, a power of two; elements are copied. Producer and consumer may run on different
// processors. Neither call waits; the caller rings the other plane's doorbell itself when it has to.
#ifndef MGMT_SPSC_H
#define MGMT_SPSC_H

#include <keelson/types.h>

struct spsc {
    uint32_t mask;              // capacity - 1, set at init
    uint32_t elem_size;         // bytes
    uint8_t *slots;             // capacity * elem_size, owned by whoever made the ring
    _Alignas(64) uint32_t head; // written by the producer
    _Alignas(64) uint32_t tail; // written by the consumer
};

static inline void spsc_init(struct spsc *r, void *slots, uint32_t capacity, uint32_t elem_size)
{
    r->mask = capacity - 1;
    r->elem_size = elem_size;
    r->slots = slots;
    r->head = 0;
    r->tail = 0;
}

static inline uint32_t spsc_count(const struct spsc *r)
{
    return __atomic_load_n(&r->head, __ATOMIC_ACQUIRE) - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
}

static inline bool spsc_push(struct spsc *r, const void *elem)
{
    uint32_t head = __atomic_load_n(&r->head, __ATOMIC_RELAXED);

    if (head - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) > r->mask) {
        return false;
    }
    __builtin_memcpy(r->slots + (size_t)(head & r->mask) * r->elem_size, elem, r->elem_size);
    __atomic_store_n(&r->head, head + 1, __ATOMIC_RELEASE);
    return true;
}

static inline bool spsc_pop(struct spsc *r, void *elem)
{
    uint32_t tail = __atomic_load_n(&r->tail, __ATOMIC_RELAXED);

    if (tail == __atomic_load_n(&r->head, __ATOMIC_ACQUIRE)) {
        return false;
    }
    __builtin_memcpy(elem, r->slots + (size_t)(tail & r->mask) * r->elem_size, r->elem_size);
    __atomic_store_n(&r->tail, tail + 1, __ATOMIC_RELEASE);
    return true;
}

#endif
