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
    struct vp *handoff;     // owner processor only: runs next, without going through a queue
    bool need_resched;      // (a)
    bool timer_fired;       // owner processor only
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

// Queues a VP that has just become runnable; true if it should run at once.
static bool place_woken(struct sched_cpu *s, struct vp *vp)
{
    bool preempt;

    if (vp->vruntime + wake_bonus_ticks < s->min_vruntime) {
        vp->vruntime = s->min_vruntime - wake_bonus_ticks;
    }
    enqueue(s, vp);
    preempt = should_preempt(s, vp);
    if (preempt) {
        __atomic_store_n(&s->need_resched, true, __ATOMIC_RELEASE);
    }
    return preempt;
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
    bool poke;

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
    poke = place_woken(s, vp);
    spin_unlock(&s->lock);
    if (poke && cpu != this_cpu()->index) {
        cpu_kick(cpu);
    }
}

void sched_handoff(struct vp *vp)
{
    struct cpu *c = this_cpu();
    struct sched_cpu *s = c->sched;

    if (vp->cpu == c->index && s->handoff == NULL) {
        spin_lock(&s->lock);
        if (vp->cpu == c->index && !vp->queued && !vp->running && s->rt_first == NULL &&
            (vp->priority == 0 || s->fair_first == NULL || vp->vruntime <= s->fair_first->vruntime)) {
            __atomic_store_n(&vp->running, true, __ATOMIC_SEQ_CST);
            timer_heap_remove(&s->heap, vp);
            s->handoff = vp;
            spin_unlock(&s->lock);
            return;
        }
        spin_unlock(&s->lock);
    }
    sched_wake(vp, false);
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

void sched_forget(struct vp *vp)
{
    uint32_t cpu;
    struct sched_cpu *s = lock_home(vp, &cpu);

    if (vp->queued) {
        dequeue(s, vp);
    }
    timer_heap_remove(&s->heap, vp);
    spin_unlock(&s->lock);
}

void sched_resched(void)
{
    __atomic_store_n(&scheds[this_cpu()->index].need_resched, true, __ATOMIC_RELEASE);
}

// --- timers ---

void hv_timer_interrupt(void)
{
    struct cpu *c = this_cpu();

    c->armed_deadline = ~0ull;
    c->sched->timer_fired = true;
}

static void arm(struct cpu *c, uint64_t deadline)
{
    if (deadline != c->armed_deadline) {
        c->armed_deadline = deadline;
        host_timer_arm(deadline);
    }
}

static bool has_queued(const struct sched_cpu *s)
{
    return s->rt_first != NULL || s->fair_first != NULL;
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
        place_woken(s, vp);
    }
    spin_unlock(&s->lock);
}

static void timers_expire(struct cpu *c)
{
    struct sched_cpu *s = c->sched;
    uint64_t now = host_tsc();

    s->timer_fired = false;
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
    if (this_cpu()->sched->timer_fired) {
        timers_expire(this_cpu());
    }
}

// --- switching ---

static void switch_in(struct cpu *c, struct vp *vp)
{
    struct sched_cpu *s = c->sched;

    c->current = vp;
    vp->switches++;
    virt->vp_load(vp);
    if (vp->priority != 0) {
        context_take(vp); // the data plane leaves it to the guest that it serves
    }
    vp->run_start = host_tsc();
    s->slice_end = vp->run_start + slice_ticks;
    arm_next(c);
}

static void switch_out(struct cpu *c, struct vp *vp)
{
    struct sched_cpu *s = c->sched;
    uint64_t ran = host_tsc() - vp->run_start;

    virt->vp_unload(vp);
    vp->run_tsc += ran;
    vp->vruntime += weighted(vp, ran);
    c->current = NULL;
    spin_lock(&s->lock);
    s->current = NULL;
    timer_heap_add(&s->heap, vp);
    __atomic_store_n(&vp->running, false, __ATOMIC_SEQ_CST);
    if (vp->priority != 0 && vp->vruntime > s->min_vruntime) {
        s->min_vruntime = s->fair_first == NULL ? vp->vruntime
                                                : MIN(vp->vruntime, s->fair_first->vruntime);
    }
    if (__atomic_load_n(&vp->block, __ATOMIC_SEQ_CST) == 0) {
        enqueue(s, vp);
    }
    spin_unlock(&s->lock);
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

// A VP that was handed over is already marked running; NULL if it has been blocked on the way.
static struct vp *take_handoff(struct sched_cpu *s)
{
    struct vp *vp = s->handoff;

    s->handoff = NULL;
    if (vp != NULL && __atomic_load_n(&vp->block, __ATOMIC_SEQ_CST) != 0) {
        unclaim(s, vp);
        return NULL;
    }
    if (vp != NULL) {
        s->current = vp;
    }
    return vp;
}

// Whoever was not handed over is found here, after everything that could make somebody runnable.
static struct vp *choose(struct cpu *c)
{
    cpu_serve_calls();
    host_interrupt_window();
    sched_timer_check();
    return pick(c->sched);
}

void sched_loop(void)
{
    struct cpu *c = this_cpu();

    for (;;) {
        struct vp *vp = c->sched->handoff == NULL ? NULL : take_handoff(c->sched);

        if (vp == NULL) {
            vp = choose(c);
        }
        if (vp == NULL) {
            idle(c);
            continue;
        }
        switch_in(c, vp);
        vp_run_loop(vp, &c->sched->need_resched);
        switch_out(c, vp);
    }
}
