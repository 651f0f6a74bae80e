// SPDX-License-Identifier: Apache-2.0
// Watchdogs of the management partition's VPs.
#include "hv/watchdog.h"

#include "hv/cpu.h"
#include "hv/exit.h"

static struct {
    const struct vp *vp;
    uint64_t deadline; // (a) host TSC; 0: off
    uint64_t set;      // host TSC of the last call
} watchdogs[2];

void watchdog_set(const struct vp *vp, uint32_t seconds)
{
    uint64_t now = host_tsc();

    if (vp->index < ARRAY_LEN(watchdogs)) {
        watchdogs[vp->index].vp = vp;
        watchdogs[vp->index].set = now;
        __atomic_store_n(&watchdogs[vp->index].deadline, seconds == 0 ? 0 : now + seconds * host_tsc_hz,
                         __ATOMIC_RELEASE);
    }
}

static void end_node(const struct vp *vp, uint64_t silent_s, bool is_here)
{
    LOGE(
        "management partition VP %u, processor %u: silent for %llu s, blocked by %#x, %llu entries, last exit %s",
        vp->index, vp->cpu, (unsigned long long)silent_s, vp->block, (unsigned long long)vp_entries(vp),
        exit_reason_names[vp->exit.reason]);
    if (is_here) {
        virt->vp_load((struct vp *)(uintptr_t)vp); // another may run
        virt->dump((struct vp *)(uintptr_t)vp);
    }
    panic("management partition VP %u does not answer", vp->index);
}

// Nobody looked for a while after the deadline, so the machine as a whole stood still (an emulator was stopped, the
// firmware took the processors): the VP gets a moment to run. Its own call, if it comes first, counts.
static uint64_t excuse(unsigned i, uint64_t deadline, uint64_t now)
{
    uint64_t later = now + host_tsc_hz;

    return __atomic_compare_exchange_n(&watchdogs[i].deadline, &deadline, later, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE)
               ? later
               : deadline;
}

uint64_t watchdog_check(uint32_t cpu, uint64_t now)
{
    uint64_t next = ~0ull;

    for (unsigned i = 0; i < ARRAY_LEN(watchdogs); i++) {
        uint64_t deadline = __atomic_load_n(&watchdogs[i].deadline, __ATOMIC_ACQUIRE);
        const struct vp *vp = watchdogs[i].vp;
        uint64_t grace;

        if (deadline == 0) {
            continue;
        }
        grace = vp->cpu == cpu ? 0 : host_tsc_hz;
        if (now >= deadline + grace + host_tsc_hz) {
            deadline = excuse(i, deadline, now);
        } else if (now >= deadline + grace) {
            end_node(vp, (now - watchdogs[i].set) / host_tsc_hz, vp->cpu == cpu);
        }
        next = deadline == 0 ? next : MIN(next, deadline + grace);
    }
    return next;
}
