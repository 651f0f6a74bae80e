// SPDX-License-Identifier: Apache-2.0
// Clocks of the management partition, from the TSC: monotonic time, and wall time that is slewed.
//
// plat_now_ns(), plat_unix_ms() and plat_set_unix_ms() of mgmt/plat.h are implemented here. The hypervisor
// gives both VPs the same TSC. Set up once by the control plane before the data plane runs.
#ifndef MGMT_RT_TIME_H
#define MGMT_RT_TIME_H

#include <keelson/types.h>

// Ticks from one frequency to another: value * mult >> 32, exact to one part in 2^32 * frequency ratio.
struct time_scale {
    uint64_t mult; // 32.32 fixed point
};
struct time_scale time_scale_make(uint64_t from_hz, uint64_t to_hz);
uint64_t time_scale_apply(struct time_scale s, uint64_t value);
// The first value, or at most a few ticks behind it, that `back` takes to `value` or more: `there` is the inverse of
// it. Both are rounded, so that what one of them says is early by the other after a while.
uint64_t time_scale_reach(struct time_scale there, struct time_scale back, uint64_t value);

// Wall clock = monotonic + offset, where the offset drifts to its target by at most 1/200 (5 ms a second).
// Differences above TIME_STEP_MS are corrected at once.
#define TIME_STEP_MS 2000
#define TIME_SLEW_DIVISOR 200
struct time_wall {
    uint32_t sequence; // odd while it is being changed
    int64_t from_us;   // offset when the slew began
    int64_t delta_us;  // what the slew adds in all
    uint64_t since_ns;
};
void time_wall_set(struct time_wall *w, uint64_t now_ns, int64_t unix_us);
int64_t time_wall_get(const struct time_wall *w, uint64_t now_ns); // microseconds since 1970

void time_init(uint64_t tsc_hz, uint64_t tsc_at_time, int64_t unix_time_s);
uint64_t time_ns_to_tsc(uint64_t now_ns); // the TSC at which plat_now_ns() will say this

// Makes an RT_VECTOR_TIMER interrupt on the calling VP when plat_now_ns() reaches deadline_ns; UINT64_MAX
// stops it. One deadline a VP.
void time_arm(uint64_t deadline_ns);

#endif
