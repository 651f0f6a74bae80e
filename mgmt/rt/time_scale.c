// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the clocks, without hardware.
#include "mgmt/rt/time.h"

struct time_scale time_scale_make(uint64_t from_hz, uint64_t to_hz)
{
    return (struct time_scale){(uint64_t)(((unsigned __int128)to_hz << 32) / from_hz)};
}

uint64_t time_scale_apply(struct time_scale s, uint64_t value)
{
    return (uint64_t)(((unsigned __int128)value * s.mult) >> 32);
}

uint64_t time_scale_reach(struct time_scale there, struct time_scale back, uint64_t value)
{
    uint64_t at = time_scale_apply(there, value) + 1;
    uint64_t got = time_scale_apply(back, at);

    // What is missing is one part in 2^32 of the value, and of that so much is missing in the second turn.
    for (unsigned turn = 0; got < value && turn < 4; turn++) {
        at += time_scale_apply(there, value - got) + 1;
        got = time_scale_apply(back, at);
    }
    return at;
}

static int64_t slewed(const struct time_wall *w, uint64_t now_ns)
{
    int64_t limit = (int64_t)((now_ns - w->since_ns) / (1000 * TIME_SLEW_DIVISOR));

    if (w->delta_us < 0) {
        return w->from_us + MAX(w->delta_us, -limit);
    }
    return w->from_us + MIN(w->delta_us, limit);
}

void time_wall_set(struct time_wall *w, uint64_t now_ns, int64_t unix_us)
{
    int64_t now_offset = slewed(w, now_ns);
    int64_t delta = unix_us - (int64_t)(now_ns / 1000) - now_offset;
    bool step = delta > TIME_STEP_MS * 1000ll || delta < -TIME_STEP_MS * 1000ll;

    __atomic_store_n(&w->sequence, w->sequence + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    w->from_us = step ? now_offset + delta : now_offset;
    w->delta_us = step ? 0 : delta;
    w->since_ns = now_ns;
    __atomic_store_n(&w->sequence, w->sequence + 1, __ATOMIC_RELEASE);
}

int64_t time_wall_get(const struct time_wall *w, uint64_t now_ns)
{
    struct time_wall copy;
    uint32_t seq;

    do {
        seq = __atomic_load_n(&w->sequence, __ATOMIC_ACQUIRE);
        copy = *(const volatile struct time_wall *)w;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while ((seq & 1) != 0 || seq != __atomic_load_n(&w->sequence, __ATOMIC_RELAXED));
    // A reader that was interrupted between clock and copy may be behind the start of the slew.
    return (int64_t)(now_ns / 1000) + slewed(&copy, MAX(now_ns, copy.since_ns));
}
