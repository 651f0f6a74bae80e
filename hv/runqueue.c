// SPDX-License-Identifier: Apache-2.0
// A processor's queues: order, fairness, preemption.
//
// The fair class shares by virtual time: running for a tick costs 100 / weight, and who has the least runs. Virtual
// time means the same on all processors, so that VPs can be compared when one is to move (balance.c); a processor
// that had too little to do for that falls behind or runs ahead, which runqueue_place() evens out.
#include "arch/x86/host.h"
#include "hv/sched_priv.h"

struct sched_cpu scheds[HV_MAX_CPUS];
struct runqueue_times runqueue_times;

void runqueue_init(void)
{
    runqueue_times.slice = host_tsc_hz / 250; // 4 ms
    runqueue_times.wake_bonus = host_tsc_hz / 1000;
    runqueue_times.preempt = host_tsc_hz / 4000;
    runqueue_times.credit = 3 * runqueue_times.slice;
}

// Ticks that the processor's current VP has been running; its processor may just be switching.
static uint64_t running_for(const struct vp *cur, uint64_t now)
{
    return now > cur->run_start ? now - cur->run_start : 0;
}

uint64_t runqueue_current_vruntime(const struct sched_cpu *s)
{
    return s->current->vruntime + runqueue_weighted(s->current, running_for(s->current, host_tsc()));
}

bool runqueue_current_is_owed(const struct sched_cpu *s)
{
    uint64_t now;

    if (!share_has_limits(s->current)) {
        return false;
    }
    now = host_tsc();
    return share_is_owed(s->current, now, running_for(s->current, now));
}

static enum run_class class_of(struct vp *vp)
{
    if (vp->priority == 0) {
        return RUN_RT;
    }
    return share_has_limits(vp) && share_open(vp, host_tsc()) ? RUN_OWED : RUN_FAIR;
}

// A VP that is owed time where that has not been promised goes after those to whom it has.
static bool is_stray(const struct vp *vp)
{
    return vp->run_class == RUN_OWED && vp->share.home != vp->cpu;
}

static bool is_owed_before(const struct vp *a, const struct vp *b)
{
    bool a_home = a->share.home == a->cpu;

    return a_home != (b->share.home == b->cpu) ? a_home : a->share.deadline <= b->share.deadline;
}

// Does `a`, which waits in this queue, stay before `b`?
static bool is_before(const struct vp *a, const struct vp *b)
{
    return b->run_class == RUN_RT     ? true
           : b->run_class == RUN_OWED ? is_owed_before(a, b)
                                      : a->vruntime <= b->vruntime;
}

static struct vp **queue_of(struct sched_cpu *s, const struct vp *vp)
{
    return vp->run_class == RUN_RT     ? &s->rt_first
           : vp->run_class == RUN_OWED ? &s->owed_first
                                       : &s->fair_first;
}

void runqueue_add(struct sched_cpu *s, struct vp *vp)
{
    struct vp **at;

    vp->run_class = class_of(vp);
    at = queue_of(s, vp);
    while (*at != NULL && is_before(*at, vp)) {
        at = &(*at)->run_next;
    }
    vp->run_next = *at;
    *at = vp;
    vp->queued = true;
    vp->queued_at = host_tsc();
    s->queued++;
    if (is_stray(vp)) {
        __atomic_store_n(&s->stray, true, __ATOMIC_RELAXED);
    }
}

void runqueue_remove(struct sched_cpu *s, struct vp *vp)
{
    struct vp **at = queue_of(s, vp);

    while (*at != vp) {
        ASSERT(*at != NULL);
        at = &(*at)->run_next;
    }
    *at = vp->run_next;
    vp->run_next = NULL;
    vp->queued = false;
    vp->wait_tsc += host_tsc() - vp->queued_at;
    s->queued--;
}

// Should `vp`, just queued, run now instead of what runs on this queue's processor, at `cur_vruntime` if it is of the
// fair class?
static bool should_preempt(const struct sched_cpu *s, const struct vp *vp, uint64_t cur_vruntime)
{
    const struct vp *cur = s->current;
    bool cur_owed;

    if (cur == NULL || vp->priority == 0 || cur->priority == 0) {
        return cur == NULL || cur->priority != 0;
    }
    cur_owed = runqueue_current_is_owed(s);
    if ((vp->run_class == RUN_OWED) != cur_owed) {
        return vp->run_class == RUN_OWED;
    }
    if (cur_owed) {
        return !is_owed_before(cur, vp);
    }
    return vp->vruntime + runqueue_times.preempt < cur_vruntime;
}

// How far in front of the others a VP can come by one slice; more is from another processor, or was owed.
static uint64_t most_ahead(const struct vp *vp)
{
    return runqueue_weighted(vp, runqueue_times.slice) + runqueue_times.credit;
}

static void bound(struct sched_cpu *s, struct vp *vp, uint64_t credit)
{
    if (vp->vruntime + credit < s->min_vruntime) {
        vp->vruntime = s->min_vruntime - credit;
    }
    if (vp->vruntime <= s->min_vruntime + runqueue_times.credit ||
        vp->vruntime <= s->min_vruntime + most_ahead(vp)) {
        return;
    }
    if (s->current == NULL && s->fair_first == NULL) {
        s->min_vruntime = vp->vruntime; // nobody to be fair to: this processor catches up
    } else {
        vp->vruntime = s->min_vruntime + most_ahead(vp);
    }
}

// The fair class moves on to where the VP with the least virtual time is now.
static void move_on(struct sched_cpu *s, uint64_t vruntime)
{
    if (vruntime > s->min_vruntime) {
        s->min_vruntime = s->fair_first == NULL ? vruntime : MIN(vruntime, s->fair_first->vruntime);
    }
}

enum wake_effect runqueue_place(struct sched_cpu *s, struct vp *vp, uint64_t credit)
{
    bool alone = runqueue_empty(s);
    uint64_t cur_vruntime = 0;

    if (vp->priority != 0 && s->current != NULL && s->current->priority != 0) {
        cur_vruntime = runqueue_current_vruntime(s);
        move_on(s, cur_vruntime); // it may have run alone for long
    }
    if (vp->priority != 0) {
        bound(s, vp, credit);
    }
    runqueue_add(s, vp);
    if (should_preempt(s, vp, cur_vruntime) || is_stray(vp)) { // the latter is sent home by the next switch
        __atomic_store_n(&s->need_resched, true, __ATOMIC_RELEASE);
        return WAKE_PREEMPT;
    }
    return alone && s->current->priority != 0 ? WAKE_SHARE : WAKE_NOTHING;
}

void runqueue_moved_on(struct sched_cpu *s, struct vp *vp)
{
    move_on(s, vp->vruntime);
    if (share_has_limits(vp)) { // what it was owed is not held against it for ever
        vp->vruntime = MIN(vp->vruntime, s->min_vruntime + most_ahead(vp));
    }
}

bool runqueue_better_first(const struct sched_cpu *s, struct vp *vp)
{
    const struct vp *first = runqueue_first(s);

    vp->run_class = class_of(vp);
    return first->run_class != vp->run_class ? first->run_class < vp->run_class : !is_before(vp, first);
}
