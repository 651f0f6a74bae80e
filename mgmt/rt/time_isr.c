// SPDX-License-Identifier: Apache-2.0
// The clocks and the deadline timer, for both planes.
#include "mgmt/rt/time.h"

#include "mgmt/plat.h"
#include "mgmt/rt/cpu.h"

static struct time_scale to_ns, to_tsc;
static uint64_t base_tsc; // where plat_now_ns() is 0
static struct time_wall wall;

// Assumed when firmware has no clock, so that certificates made before SNTP answers are not from 1970.
#define UNIX_TIME_FLOOR 1767225600ll // 2026-01-01

void time_init(uint64_t tsc_hz, uint64_t tsc_at_time, int64_t unix_time_s)
{
    int64_t unix_us = MAX(unix_time_s, UNIX_TIME_FLOOR) * 1000000;

    to_ns = time_scale_make(tsc_hz, 1000000000);
    to_tsc = time_scale_make(1000000000, tsc_hz);
    base_tsc = tsc_at_time;
    time_wall_set(&wall, 0, unix_us);
}

uint64_t plat_now_ns(void)
{
    return time_scale_apply(to_ns, cpu_rdtsc() - base_tsc);
}

uint64_t time_ns_to_tsc(uint64_t now_ns)
{
    return base_tsc + time_scale_reach(to_tsc, to_ns, now_ns);
}

int64_t plat_unix_ms(void)
{
    return time_wall_get(&wall, plat_now_ns()) / 1000;
}

void plat_set_unix_ms(int64_t unix_ms)
{
    time_wall_set(&wall, plat_now_ns(), unix_ms * 1000);
}

void time_arm(uint64_t deadline_ns)
{
    cpu_wrmsr(MSR_TSC_DEADLINE, deadline_ns == UINT64_MAX ? 0 : time_ns_to_tsc(deadline_ns));
}
