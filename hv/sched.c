// SPDX-License-Identifier: Apache-2.0
// The scheduler and the loop that runs VPs.
#include "arch/x86/host.h"
#include "arch/x86/vlapic.h"
#include "hv/context.h"
#include "hv/exit.h"
#include "hv/sched_priv.h"
#include "hv/trace.h"
#include "hv/watchdog.h"

#define SPARE_KICKS_HZ 100

void sched_init_cpu(uint32_t index)
{
    cpus[index].sched = &scheds[index];
    cpus[index].armed_deadline = ~0ull;
    scheds[index].share_end = ~0ull;
    scheds[index].watchdog = ~0ull;
    runqueue_init();
    share_init();
}

static struct sched_cpu *lock_home(struct vp *vp, uint32_t *cpu)
{
    for (;;) {
        *cpu = __atomic_load_n(&vp->cpu, __ATOMIC_ACQUIRE);
        spin_lock(&scheds[*cpu].lock);
        if (*cpu == vp->cpu) {
            return &scheds[*cpu];
        }
        spin_unlock(&scheds[*cpu].lock);
    }
}

// --- the local timer ---

void hv_timer_interrupt(void)
{
    struct cpu *c = this_cpu();

    c->armed_deadline = ~0ull;
    __atomic_store_n(&c->sched->timer_fired, true, __ATOMIC_RELAXED);
}

// A timer that is programmed too early stays: it fires for nothing once, while programming it costs on every switch.
static void arm(struct cpu *c, uint64_t deadline)
{
    if (deadline < c->armed_deadline) {
        c->armed_deadline = deadline;
        host_timer_arm(deadline);
    }
}

// Programs the local timer for whatever comes first on this processor.
static void arm_next(struct cpu *c)
{
    struct sched_cpu *s = c->sched;
    struct vp *top = s->heap.top; // a racing removal only makes the timer fire for nothing
    uint64_t d = top == NULL ? ~0ull : top->next_deadline;

    d = MIN(d, s->watchdog);
    if (c->current != NULL) {
        d = MIN(d, MIN(c->current->next_deadline, s->share_end));
        if (!runqueue_empty(s)) {
            d = MIN(d, s->slice_end);
        }
    }
    arm(c, d);
}

void sched_watchdog(void)
{
    struct cpu *c = this_cpu();

    c->sched->watchdog = watchdog_check(c->index, host_tsc());
    arm_next(c);
}

static void tell_processor(uint32_t cpu, enum wake_effect effect)
{
    struct cpu *c = this_cpu();

    if (effect == WAKE_SHARE && cpu == c->index) {
        arm_next(c);
        return;
    }
    if (effect == WAKE_SHARE) {
        __atomic_store_n(&scheds[cpu].timer_fired, true, __ATOMIC_RELEASE); // it arms by itself
    }
    if (effect != WAKE_NOTHING && cpu != c->index) {
        cpu_kick(cpu);
    }
}

// Gives a VP that is neither queued nor running to another processor. `from` is locked on entry, the new
// home's queue on return; in between the VP is in no heap, so nobody acts on it.
static struct sched_cpu *move_home(struct sched_cpu *from, struct vp *vp, uint32_t cpu)
{
    struct sched_cpu *to = &scheds[cpu];
    uint64_t min_vruntime = from->min_vruntime;

    timer_heap_remove(&from->heap, vp);
    __atomic_store_n(&vp->cpu, cpu, __ATOMIC_RELEASE);
    spin_unlock(&from->lock);
    spin_lock(&to->lock);
    if (vp->cpu == cpu && !vp->running) {
        timer_heap_add(&to->heap, vp);
        if (runqueue_empty(to) && to->current == NULL) {
            to->min_vruntime = min_vruntime; // it idled: nobody there to be fair to
        }
    }
    return to;
}

void sched_wake(struct vp *vp, bool may_move)
{
    uint32_t cpu;
    struct sched_cpu *s = lock_home(vp, &cpu);
    enum wake_effect effect;

    if (vp->queued || vp->running || __atomic_load_n(&vp->block, __ATOMIC_SEQ_CST) != 0) {
        spin_unlock(&s->lock);
        return;
    }
    if (may_move && !balance_is_pinned(vp) && balance_idle_cpu(cpu) != cpu) {
        cpu = balance_idle_cpu(cpu);
        s = move_home(s, vp, cpu);
        if (vp->queued || vp->running || __atomic_load_n(&vp->block, __ATOMIC_SEQ_CST) != 0) {
            spin_unlock(&s->lock); // another waker was faster
            return;
        }
    }
    effect = runqueue_place(s, vp, runqueue_times.wake_bonus);
    spin_unlock(&s->lock);
    tell_processor(cpu, effect);
}

// Only a note: the VP is claimed when the current one has left (take_handoff()). Until then it is neither queued
// nor running, so another processor may wake, move or stop it as any VP that is not running; take_handoff()
// looks again. need_resched brings this processor there even if the current VP turns out not to block.
void sched_handoff(struct vp *vp)
{
    struct cpu *c = this_cpu();
    struct sched_cpu *s = c->sched;

    if (vp->cpu != c->index || s->handoff != NULL) {
        sched_wake(vp, false);
        return;
    }
    s->handoff = vp;
    __atomic_store_n(&s->need_resched, true, __ATOMIC_RELAXED);
}

void sched_place(struct vp *vp)
{
    static uint32_t next;

    if (vp->partition->is_root) {
        vp->cpu = cpu_first + vp->index % cpu_working();
        vp->priority = vp->index == 0 ? 0 : 1;
    } else {
        vp->priority = 2;
        // From the last processor downwards: the data plane lives on the first.
        vp->cpu = cpu_count - 1 - next++ % cpu_working();
    }
    share_update(vp);
}

void sched_update(struct vp *vp)
{
    uint32_t cpu;
    struct sched_cpu *s = lock_home(vp, &cpu);

    share_update(vp);
    if (vp->queued) { // its claim may have changed
        runqueue_remove(s, vp);
        runqueue_add(s, vp);
    }
    __atomic_store_n(&s->need_resched, true, __ATOMIC_RELEASE);
    spin_unlock(&s->lock);
    if (cpu != this_cpu()->index) {
        cpu_kick(cpu);
    }
}

// Another processor may have claimed the VP for a moment, to let its timers expire or to take it over.
static struct sched_cpu *lock_home_unclaimed(struct vp *vp)
{
    for (;;) {
        uint32_t cpu;
        struct sched_cpu *s = lock_home(vp, &cpu);

        if (!vp->running) {
            return s;
        }
        spin_unlock(&s->lock);
        cpu_serve_calls();
        __builtin_ia32_pause();
    }
}

void sched_forget(struct vp *vp)
{
    struct sched_cpu *s = lock_home_unclaimed(vp);

    if (vp->queued) {
        runqueue_remove(s, vp);
    }
    timer_heap_remove(&s->heap, vp);
    spin_unlock(&s->lock);
    // A note may lie on a processor that was the VP's home before. Notes about VPs that can be deleted are made
    // under the hypervisor lock, which the caller holds: no new one appears.
    for (uint32_t i = 0; i < cpu_count; i++) {
        spin_lock(&scheds[i].lock);
        if (scheds[i].handoff == vp) {
            scheds[i].handoff = NULL;
        }
        spin_unlock(&scheds[i].lock);
    }
}

void sched_timers_hold(struct vp *vp)
{
    struct sched_cpu *s = lock_home_unclaimed(vp);

    timer_heap_remove(&s->heap, vp);
    spin_unlock(&s->lock);
}

void sched_timers_release(struct vp *vp)
{
    uint32_t cpu;
    struct sched_cpu *s = lock_home(vp, &cpu);

    timer_heap_add(&s->heap, vp);
    spin_unlock(&s->lock);
    tell_processor(cpu, WAKE_SHARE); // one may have become due meanwhile
}

void sched_resched(void)
{
    __atomic_store_n(&scheds[this_cpu()->index].need_resched, true, __ATOMIC_RELEASE);
}

// --- expired timers ---

// The next VP with an expired timer, marked running so that no other processor touches it meanwhile.
static struct vp *claim_expired(struct sched_cpu *s, uint64_t now)
{
    struct vp *vp;

    spin_lock(&s->lock);
    vp = s->heap.top;
    if (vp != NULL && vp->next_deadline <= now) {
        timer_heap_remove(&s->heap, vp);
        if (vp->queued) {
            runqueue_remove(s, vp);
        }
        __atomic_store_n(&vp->running, true, __ATOMIC_SEQ_CST);
    } else {
        vp = NULL;
    }
    spin_unlock(&s->lock);
    return vp;
}

void sched_unclaim(uint32_t cpu, struct vp *vp, uint64_t credit)
{
    struct sched_cpu *s = &scheds[cpu];
    enum wake_effect effect = WAKE_NOTHING;

    spin_lock(&s->lock);
    __atomic_store_n(&vp->running, false, __ATOMIC_SEQ_CST);
    timer_heap_add(&s->heap, vp);
    if (__atomic_load_n(&vp->block, __ATOMIC_SEQ_CST) == 0) {
        effect = runqueue_place(s, vp, credit);
    }
    spin_unlock(&s->lock);
    tell_processor(cpu, effect);
}

static void timers_expire(struct cpu *c)
{
    struct sched_cpu *s = c->sched;
    uint64_t now = host_tsc();

    __atomic_store_n(&s->timer_fired, false, __ATOMIC_RELAXED);
    if (now >= s->watchdog) {
        s->watchdog = watchdog_check(c->index, now);
    }
    for (struct vp *vp = claim_expired(s, now); vp != NULL; vp = claim_expired(s, now)) {
        vp_timers_expire(vp, now); // posts interrupts
        sched_unclaim(c->index, vp, runqueue_times.wake_bonus);
    }
    if (c->current != NULL) {
        if (c->current->next_deadline <= now) {
            vp_timers_expire(c->current, now);
        }
        if (!runqueue_empty(s) && now >= s->slice_end) {
            s->need_resched = true;
        }
        if (now >= s->share_end) {
            s->need_resched = true;
            s->share_end = ~0ull;
        }
    }
    arm_next(c);
}

void sched_timer_check(void)
{
    if (__atomic_load_n(&this_cpu()->sched->timer_fired, __ATOMIC_ACQUIRE)) {
        timers_expire(this_cpu());
    }
}

// --- switching ---

// The timer is programmed for the earliest deadline of this processor's VPs at all times: a hand-over among them,
// with nobody to share with, leaves it as it is; the data plane shares with nobody.
static inline void switch_in(struct cpu *c, struct vp *vp, uint64_t now, bool handed_over)
{
    struct sched_cpu *s = c->sched;

    c->current = vp;
    vp->switches++;
    vp->run_start = now;
    virt->vp_load(vp);
    s->slice_end = ~0ull;
    s->share_end = ~0ull;
    if (vp->priority != 0) {
        if (c->context != vp) {
            context_take(vp); // the data plane leaves it to the guest that it serves
        }
        s->slice_end = now + runqueue_times.slice;
        if (share_has_limits(vp)) {
            s->share_end = share_begin(vp, now);
            handed_over = handed_over && s->share_end == ~0ull;
        }
        handed_over = handed_over && runqueue_empty(s);
    }
    if (!handed_over) {
        arm_next(c);
    }
}

// [lock] The VP that was handed over, marked running as pick() would; NULL if there is none or it has gone its own
// way meanwhile: moved or queued by another waker, who looks after it, or blocked again, so that who takes the
// last block bit away wakes it. As everywhere, running is set before block is read and vp_stop() does the
// reverse, so one of the two sees the other.
static inline struct vp *take_handoff(struct sched_cpu *s, uint32_t cpu)
{
    struct vp *vp = s->handoff;

    s->handoff = NULL;
    if (vp == NULL || vp->cpu != cpu || vp->queued || vp->running) {
        return NULL;
    }
    if (!runqueue_empty(s) && runqueue_better_first(s, vp)) {
        (void)runqueue_place(s, vp,
                             runqueue_times.wake_bonus); // nobody is current here, and the caller picks
        return NULL;
    }
    __atomic_store_n(&vp->running, true, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&vp->block, __ATOMIC_SEQ_CST) != 0) {
        __atomic_store_n(&vp->running, false, __ATOMIC_SEQ_CST);
        return NULL;
    }
    timer_heap_remove(&s->heap, vp);
    s->need_resched = false;
    return vp;
}

// A VP of the fair class has run.
static inline void charge(struct vp *vp, uint64_t ran, uint64_t now)
{
    vp->vruntime += runqueue_weighted(vp, ran);
    if (share_has_limits(vp)) {
        share_end(vp, vp->run_start, now);
        vp_timers_changed(vp);
    }
}

// Leaves a VP, on which others may act from here on, and, in the same breath, claims the one that it handed the
// processor to; NULL: choose() finds one.
static inline struct vp *switch_out(struct cpu *c, struct vp *vp, uint64_t now)
{
    struct sched_cpu *s = c->sched;
    uint64_t ran = now - vp->run_start;
    bool fair = vp->priority != 0;

    vp->run_tsc += ran;
    if (fair) {
        charge(vp, ran, now);
    }
    trace_left(vp);
    spin_lock(&s->lock);
    s->current = NULL;
    timer_heap_add(&s->heap, vp);
    __atomic_store_n(&vp->running, false, __ATOMIC_SEQ_CST);
    if (fair) {
        runqueue_ran(s, vp);
    }
    if (__atomic_load_n(&vp->block, __ATOMIC_SEQ_CST) == 0) {
        runqueue_add(s, vp);
    } else {
        vp->share.slept = true;
    }
    vp = take_handoff(s, c->index);
    s->current = vp;
    spin_unlock(&s->lock);
    c->current = vp;
    return vp;
}

// The next VP for this processor, marked running, or NULL.
static struct vp *pick(struct sched_cpu *s)
{
    struct vp *vp;

    spin_lock(&s->lock);
    s->need_resched = false;
    for (;;) {
        vp = runqueue_first(s);
        if (vp == NULL) {
            break;
        }
        runqueue_remove(s, vp);
        __atomic_store_n(&vp->running, true, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&vp->block, __ATOMIC_SEQ_CST) == 0) {
            s->current = vp;
            timer_heap_remove(&s->heap, vp);
            break;
        }
        __atomic_store_n(&vp->running, false, __ATOMIC_SEQ_CST); // blocked while it was queued
    }
    spin_unlock(&s->lock);
    return vp;
}

static bool steal_work(struct cpu *c)
{
    struct vp *vp = balance_steal(c->index);

    if (vp != NULL) {
        sched_unclaim(c->index, vp, runqueue_times.wake_bonus);
    }
    return vp != NULL;
}

static void idle(struct cpu *c)
{
    uint64_t start;

    if (steal_work(c)) {
        return;
    }
    arm_next(c);
    start = host_tsc();
    host_halt();
    c->idle_tsc += host_tsc() - start;
    sched_timer_check();
}

// Whoever was not handed over is found here, after everything that could make somebody runnable.
static struct vp *choose(struct cpu *c)
{
    cpu_serve_calls();
    host_interrupt_window();
    sched_timer_check();
    return pick(c->sched);
}

static void spread_when_due(struct cpu *c, uint64_t now)
{
    struct sched_cpu *s = c->sched;

    if (now >= s->spread_at || __atomic_load_n(&s->stray, __ATOMIC_RELAXED)) {
        s->spread_at = now + runqueue_times.slice;
        balance_spread(c);
    }
}

static __attribute__((noinline)) void start_chain(struct cpu *c, struct vp *vp)
{
    uint64_t now = host_tsc();

    switch_in(c, vp, now, false);
    spread_when_due(c, now); // now, as the VP that ran before has left its registers
}

// Runs VPs for as long as each hands the processor over to the next.
static void run_chain(struct cpu *c, struct vp *vp)
{
    start_chain(c, vp);
    for (;;) {
        uint64_t now;

        vp_run_loop(vp, &c->sched->need_resched);
        now = host_tsc();
        vp = switch_out(c, vp, now);
        if (vp == NULL) {
            return;
        }
        switch_in(c, vp, now, true);
    }
}

// A processor that runs no VPs (cpu_first) keeps those that do from missing interrupts that QEMU loses at an entry. They
// look again after the exit, but a guest that spins with interrupts off may not exit (docs/decisions.md, "Interrupts
// that QEMU loses").
static void spare_loop(struct cpu *c)
{
    for (;;) {
        for (uint32_t i = cpu_first; i < cpu_count; i++) {
            if (cpus[i].online && __atomic_load_n(&scheds[i].current, __ATOMIC_RELAXED) != NULL) {
                cpu_kick(i);
            }
        }
        arm(c, host_tsc() + host_tsc_hz / SPARE_KICKS_HZ);
        host_halt();
        sched_timer_check();
    }
}

void sched_loop(void)
{
    struct cpu *c = this_cpu();

    if (c->index < cpu_first) {
        spare_loop(c);
    }
    for (;;) {
        struct vp *vp = choose(c);

        if (vp == NULL) {
            idle(c);
        } else {
            run_chain(c, vp);
        }
    }
}
