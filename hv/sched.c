// SPDX-License-Identifier: Apache-2.0
// The scheduler and the loop that runs VPs.
#include "hv/sched.h"

#include "arch/x86/host.h"
#include "arch/x86/vlapic.h"
#include "hv/context.h"
#include "hv/cpu.h"
#include "hv/exit.h"

struct sched_cpu {
    spinlock_t lock;
    struct vp *rt_first;   // priority 0, first in first out
    struct vp *fair_first; // by vruntime
    struct vp *current;    // [lock]
    uint64_t min_vruntime;
    uint64_t slice_end;
    struct timer_heap heap; // [lock] VPs of this processor that do not run and have a timer
    struct vp
        *handoff; // written by the owner processor, cleared [lock] by sched_forget(); see sched_handoff()
    bool need_resched; // (a)
    bool timer_fired;  // (a) look at the timers and program the next
};

static struct sched_cpu scheds[HV_MAX_CPUS];
static uint64_t slice_ticks, wake_bonus_ticks, preempt_ticks;

#define ROOT_CONTROL_WEIGHT 1000u

static uint32_t weight_of(const struct vp *vp)
{
    return vp->partition->is_root ? ROOT_CONTROL_WEIGHT : vp->partition->cpu_weight;
}

static uint64_t weighted(const struct vp *vp, uint64_t ticks)
{
    return ticks * 100 / weight_of(vp);
}

void sched_init_cpu(uint32_t index)
{
    cpus[index].sched = &scheds[index];
    cpus[index].armed_deadline = ~0ull;
    slice_ticks = host_tsc_hz / 250;       // 4 ms
    wake_bonus_ticks = host_tsc_hz / 1000; // a sleeper may be 1 ms ahead of the others
    preempt_ticks = host_tsc_hz / 4000;    // and preempts from 250 us on
}

// --- run queues, under the queue lock ---

static void enqueue(struct sched_cpu *s, struct vp *vp)
{
    struct vp **at = vp->priority == 0 ? &s->rt_first : &s->fair_first;

    if (vp->priority == 0) {
        while (*at != NULL) {
            at = &(*at)->run_next;
        }
    } else {
        while (*at != NULL && (*at)->vruntime <= vp->vruntime) {
            at = &(*at)->run_next;
        }
    }
    vp->run_next = *at;
    *at = vp;
    vp->queued = true;
}

static void dequeue(struct sched_cpu *s, struct vp *vp)
{
    struct vp **at = vp->priority == 0 ? &s->rt_first : &s->fair_first;

    while (*at != vp) {
        at = &(*at)->run_next;
    }
    *at = vp->run_next;
    vp->run_next = NULL;
    vp->queued = false;
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

// Should `vp`, just woken, run now instead of what runs on this queue's processor?
static bool should_preempt(const struct sched_cpu *s, const struct vp *vp)
{
    const struct vp *cur = s->current;
    uint64_t cur_vruntime;

    if (cur == NULL || vp->priority < cur->priority) {
        return true;
    }
    if (vp->priority == 0 || cur->priority == 0) {
        return false;
    }
    cur_vruntime = cur->vruntime + weighted(cur, host_tsc() - cur->run_start);
    return vp->vruntime + preempt_ticks < cur_vruntime;
}

// A guest VP that wakes while its home is busy moves to a processor that idles.
static uint32_t find_idle_cpu(uint32_t home)
{
    if (__atomic_load_n(&scheds[home].current, __ATOMIC_RELAXED) == NULL) {
        return home;
    }
    for (uint32_t i = 0; i < cpu_count; i++) {
        if (cpus[i].online && __atomic_load_n(&scheds[i].current, __ATOMIC_RELAXED) == NULL &&
            scheds[i].fair_first == NULL) {
            return i;
        }
    }
    return home;
}

static bool has_queued(const struct sched_cpu *s)
{
    return s->rt_first != NULL || s->fair_first != NULL;
}

// What the processor of a VP that has just been queued must know.
enum wake_effect {
    WAKE_NOTHING,
    WAKE_SHARE,   // who runs there has somebody to share with from now on: its slice must end
    WAKE_PREEMPT, // it should run at once
};

static enum wake_effect place_woken(struct sched_cpu *s, struct vp *vp)
{
    bool alone = !has_queued(s);

    if (vp->vruntime + wake_bonus_ticks < s->min_vruntime) {
        vp->vruntime = s->min_vruntime - wake_bonus_ticks;
    }
    enqueue(s, vp);
    if (should_preempt(s, vp)) {
        __atomic_store_n(&s->need_resched, true, __ATOMIC_RELEASE);
        return WAKE_PREEMPT;
    }
    return alone && s->current->priority != 0 ? WAKE_SHARE : WAKE_NOTHING;
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

    if (c->current != NULL) {
        d = MIN(d, c->current->next_deadline);
        if (has_queued(s)) {
            d = MIN(d, s->slice_end);
        }
    }
    arm(c, d);
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

static bool is_pinned(const struct vp *vp)
{
    return vp->partition->is_root || __atomic_load_n(&vp->context_live, __ATOMIC_ACQUIRE);
}

// Gives a VP that is neither queued nor running to another processor. `from` is locked on entry, the new
// home's queue on return; in between the VP is in no heap, so nobody acts on it.
static struct sched_cpu *move_home(struct sched_cpu *from, struct vp *vp, uint32_t cpu)
{
    struct sched_cpu *to = &scheds[cpu];

    timer_heap_remove(&from->heap, vp);
    __atomic_store_n(&vp->cpu, cpu, __ATOMIC_RELEASE);
    spin_unlock(&from->lock);
    spin_lock(&to->lock);
    if (vp->cpu == cpu && !vp->running) {
        timer_heap_add(&to->heap, vp);
        vp->vruntime = to->min_vruntime;
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
    if (may_move && !is_pinned(vp) && find_idle_cpu(cpu) != cpu) {
        cpu = find_idle_cpu(cpu);
        s = move_home(s, vp, cpu);
        if (vp->queued || vp->running || __atomic_load_n(&vp->block, __ATOMIC_SEQ_CST) != 0) {
            spin_unlock(&s->lock); // another waker was faster
            return;
        }
    }
    effect = place_woken(s, vp);
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
        vp->cpu = vp->index % cpu_count;
        vp->priority = vp->index == 0 ? 0 : 1;
        return;
    }
    vp->priority = 2;
    // From the last processor downwards: the data plane lives on the first.
    vp->cpu = cpu_count - 1 - next++ % cpu_count;
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
        dequeue(s, vp);
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
            dequeue(s, vp);
        }
        __atomic_store_n(&vp->running, true, __ATOMIC_SEQ_CST);
    } else {
        vp = NULL;
    }
    spin_unlock(&s->lock);
    return vp;
}

static void unclaim(struct sched_cpu *s, struct vp *vp)
{
    spin_lock(&s->lock);
    __atomic_store_n(&vp->running, false, __ATOMIC_SEQ_CST);
    timer_heap_add(&s->heap, vp);
    if (__atomic_load_n(&vp->block, __ATOMIC_SEQ_CST) == 0) {
        (void)place_woken(s, vp); // on this processor: the caller arms the timer and looks at need_resched
    }
    spin_unlock(&s->lock);
}

static void timers_expire(struct cpu *c)
{
    struct sched_cpu *s = c->sched;
    uint64_t now = host_tsc();

    __atomic_store_n(&s->timer_fired, false, __ATOMIC_RELAXED);
    for (struct vp *vp = claim_expired(s, now); vp != NULL; vp = claim_expired(s, now)) {
        vp_timers_expire(vp, now); // posts interrupts
        unclaim(s, vp);
    }
    if (c->current != NULL) {
        if (c->current->next_deadline <= now) {
            vp_timers_expire(c->current, now);
        }
        if (has_queued(s) && now >= s->slice_end) {
            s->need_resched = true;
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
static void switch_in(struct cpu *c, struct vp *vp, uint64_t now, bool handed_over)
{
    struct sched_cpu *s = c->sched;

    c->current = vp;
    vp->switches++;
    virt->vp_load(vp);
    if (vp->priority != 0 && c->context != vp) {
        context_take(vp); // the data plane leaves it to the guest that it serves
    }
    vp->run_start = now;
    s->slice_end = now + slice_ticks;
    if (!handed_over || (vp->priority != 0 && has_queued(s))) {
        arm_next(c);
    }
}

// [lock] The VP stops being this processor's current one; from here on others may act on it.
static void release(struct sched_cpu *s, struct vp *vp)
{
    timer_heap_add(&s->heap, vp);
    __atomic_store_n(&vp->running, false, __ATOMIC_SEQ_CST);
    if (vp->priority != 0 && vp->vruntime > s->min_vruntime) {
        s->min_vruntime = s->fair_first == NULL ? vp->vruntime : MIN(vp->vruntime, s->fair_first->vruntime);
    }
    if (__atomic_load_n(&vp->block, __ATOMIC_SEQ_CST) == 0) {
        enqueue(s, vp);
    }
}

static bool others_first(const struct sched_cpu *s, const struct vp *vp)
{
    return s->rt_first != NULL ||
           (vp->priority != 0 && s->fair_first != NULL && s->fair_first->vruntime < vp->vruntime);
}

// [lock] The VP that was handed over, marked running as pick() would; NULL if there is none or it has gone its own
// way meanwhile: moved or queued by another waker, who looks after it, or blocked again, so that who takes the
// last block bit away wakes it. As everywhere, running is set before block is read and vp_stop() does the
// reverse, so one of the two sees the other.
static struct vp *take_handoff(struct sched_cpu *s, uint32_t cpu)
{
    struct vp *vp = s->handoff;

    s->handoff = NULL;
    if (vp == NULL || vp->cpu != cpu || vp->queued || vp->running) {
        return NULL;
    }
    if (others_first(s, vp)) {
        (void)place_woken(s, vp); // nobody is current here, and the caller picks
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

// Leaves a VP and, in the same breath, claims the one that it handed the processor to; NULL: choose() finds one.
static struct vp *switch_out(struct cpu *c, struct vp *vp, uint64_t now)
{
    struct sched_cpu *s = c->sched;
    uint64_t ran = now - vp->run_start;
    struct vp *next;

    virt->vp_unload(vp);
    vp->run_tsc += ran;
    if (vp->priority != 0) {
        vp->vruntime += weighted(vp, ran);
    }
    c->current = NULL;
    spin_lock(&s->lock);
    s->current = NULL;
    release(s, vp);
    next = take_handoff(s, c->index);
    s->current = next;
    spin_unlock(&s->lock);
    return next;
}

// The next VP for this processor, marked running, or NULL.
static struct vp *pick(struct sched_cpu *s)
{
    struct vp *vp;

    spin_lock(&s->lock);
    s->need_resched = false;
    for (;;) {
        vp = s->rt_first != NULL ? s->rt_first : s->fair_first;
        if (vp == NULL) {
            break;
        }
        dequeue(s, vp);
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

// Takes a waiting guest VP from another processor's queue.
static struct vp *steal(uint32_t self)
{
    for (uint32_t i = 1; i < cpu_count; i++) {
        struct sched_cpu *s = &scheds[(self + i) % cpu_count];
        struct vp *vp;

        if (__atomic_load_n(&s->fair_first, __ATOMIC_RELAXED) == NULL) {
            continue;
        }
        spin_lock(&s->lock);
        vp = s->current == NULL ? NULL : s->fair_first; // its own processor is about to take it
        while (vp != NULL && is_pinned(vp)) {
            vp = vp->run_next;
        }
        if (vp != NULL) {
            dequeue(s, vp);
            timer_heap_remove(&s->heap, vp);
            __atomic_store_n(&vp->running, true, __ATOMIC_SEQ_CST); // claimed on the way over
            __atomic_store_n(&vp->cpu, self, __ATOMIC_RELEASE);
        }
        spin_unlock(&s->lock);
        if (vp != NULL) {
            return vp;
        }
    }
    return NULL;
}

static bool steal_work(struct cpu *c)
{
    struct vp *vp = steal(c->index);

    if (vp != NULL) {
        vp->vruntime = c->sched->min_vruntime;
        unclaim(c->sched, vp);
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

// Runs VPs for as long as each hands the processor over to the next.
static void run_chain(struct cpu *c, struct vp *vp)
{
    uint64_t now = host_tsc();

    switch_in(c, vp, now, false);
    for (;;) {
        vp_run_loop(vp, &c->sched->need_resched);
        now = host_tsc();
        vp = switch_out(c, vp, now);
        if (vp == NULL) {
            return;
        }
        switch_in(c, vp, now, true);
    }
}

void sched_loop(void)
{
    struct cpu *c = this_cpu();

    for (;;) {
        struct vp *vp = choose(c);

        if (vp == NULL) {
            idle(c);
        } else {
            run_chain(c, vp);
        }
    }
}
