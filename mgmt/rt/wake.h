// SPDX-License-Identifier: Apache-2.0
// Waking a plane that may be asleep, without lost wake-ups and without needless interrupts.
//
//   sleeper                               waker (other plane or interrupt handler)
//   seen = wake_seen(w)                   publish work
//   look for work, find none              wake(w): count up; interrupt only if `asleep`
//   interrupts off
//   wake_prepare(w, seen): asleep = 1,
//       false if the count has moved
//   sleep with interrupts allowed
//   wake_done(w)
#ifndef MGMT_RT_WAKE_H
#define MGMT_RT_WAKE_H

#include <keelson/types.h>

struct wake {
    uint32_t count;
    uint32_t asleep;
    uint32_t apic_id; // of the sleeper's VP
};

extern struct wake wake_data, wake_control; // VP 0 and VP 1

static inline uint32_t wake_seen(const struct wake *w)
{
    return __atomic_load_n(&w->count, __ATOMIC_ACQUIRE);
}

static inline bool wake_prepare(struct wake *w, uint32_t seen)
{
    __atomic_store_n(&w->asleep, 1, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&w->count, __ATOMIC_SEQ_CST) == seen;
}

static inline void wake_done(struct wake *w)
{
    __atomic_store_n(&w->asleep, 0, __ATOMIC_RELAXED);
}

// Any plane, interrupt handlers too.
void wake(struct wake *w);

// Prepares both planes' doorbells; each VP calls it for itself after cpu_init().
void wake_init(struct wake *w);

#endif
