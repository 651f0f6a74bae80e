// SPDX-License-Identifier: Apache-2.0
// VPs between processors: idle ones take, busy ones give, so that weights hold on the machine and not only on
// each processor.
#include "arch/x86/host.h"
#include "hv/sched_priv.h"

bool balance_is_pinned(const struct vp *vp)
{
    return vp->partition->is_root || __atomic_load_n(&vp->context_live, __ATOMIC_ACQUIRE);
}

uint32_t balance_idle_cpu(uint32_t home)
{
    if (__atomic_load_n(&scheds[home].current, __ATOMIC_RELAXED) == NULL) {
        return home;
    }
    for (uint32_t i = cpu_first; i < cpu_count; i++) {
        if (cpus[i].online && __atomic_load_n(&scheds[i].current, __ATOMIC_RELAXED) == NULL &&
            scheds[i].owed_first == NULL && scheds[i].fair_first == NULL) {
            return i;
        }
    }
    return home;
}

// [lock] The first VP in a queue that may move, NULL if there is none.
static struct vp *first_movable(struct vp *queue)
{
    struct vp *vp = queue;

    while (vp != NULL && balance_is_pinned(vp)) {
        vp = vp->run_next;
    }
    return vp;
}

// [lock] Takes a queued VP away, for processor `to`.
static void claim(struct sched_cpu *s, struct vp *vp, uint32_t to)
{
    runqueue_remove(s, vp);
    timer_heap_remove(&s->heap, vp);
    __atomic_store_n(&vp->running, true, __ATOMIC_SEQ_CST);
    __atomic_store_n(&vp->cpu, to, __ATOMIC_RELEASE);
}

// An idle processor takes over the time of whom it takes the VP from: it has nobody to be fair to.
static void adopt_time(struct sched_cpu *s, uint64_t min_vruntime)
{
    spin_lock(&s->lock);
    if (s->owed_first == NULL && s->fair_first == NULL) {
        s->min_vruntime = min_vruntime;
    }
    spin_unlock(&s->lock);
}

struct vp *balance_steal(uint32_t self)
{
    for (uint32_t i = 1; self >= cpu_first && i < cpu_count; i++) {
        struct sched_cpu *s = &scheds[(self + i) % cpu_count];
        struct vp *vp = NULL;
        uint64_t min_vruntime;

        if (__atomic_load_n(&s->fair_first, __ATOMIC_RELAXED) == NULL &&
            __atomic_load_n(&s->owed_first, __ATOMIC_RELAXED) == NULL) {
            continue;
        }
        spin_lock(&s->lock);
        if (s->current != NULL) { // else its own processor is about to take it
            vp = first_movable(s->owed_first);
            vp = vp != NULL ? vp : first_movable(s->fair_first);
        }
        min_vruntime = s->min_vruntime;
        if (vp != NULL) {
            claim(s, vp, self);
        }
        spin_unlock(&s->lock);
        if (vp != NULL) {
            adopt_time(&scheds[self], min_vruntime);
            return vp;
        }
    }
    return NULL;
}

// --- giving ---

struct move {
    struct vp *vp;
    uint32_t to;
    uint64_t vruntime; // the VP's, when it was chosen
    uint64_t level;    // where the fair class stands there; 0: there is no such processor, NOBODY: it is free
    uint64_t slice;    // in the VP's virtual time
};

#define NOBODY (~0ull) // or nobody who counts: its reservation is there

// [lock] A VP that is owed time and waits on a processor where that has not been promised.
static struct vp *first_stray(const struct sched_cpu *s, uint32_t cpu)
{
    struct vp *vp = s->owed_first;

    while (vp != NULL && (vp->share.home == cpu || balance_is_pinned(vp))) {
        vp = vp->run_next;
    }
    return vp;
}

// [lock of s] The virtual time of whom a VP of the fair class would displace on this processor. 0: it may not.
static uint64_t level_of(const struct sched_cpu *s)
{
    const struct vp *cur = s->current;

    if (cur == NULL) {
        return runqueue_empty(s) ? NOBODY : 0; // else it is about to take one of its own
    }
    if (s->owed_first != NULL || (cur->priority == 0 ? s->fair_first == NULL : runqueue_current_is_owed(s))) {
        return 0;
    }
    return s->fair_first != NULL ? s->fair_first->vruntime : runqueue_current_vruntime(s);
}

// The processor on which most would be gained.
static void find_place(uint32_t self, struct move *m)
{
    for (uint32_t i = 1; i < cpu_count && m->level != NOBODY; i++) {
        uint32_t cpu = (self + i) % cpu_count;
        uint64_t level;

        if (cpu < cpu_first || !cpus[cpu].online) {
            continue;
        }
        spin_lock(&scheds[cpu].lock);
        level = level_of(&scheds[cpu]);
        spin_unlock(&scheds[cpu].lock);
        if (level > m->level) {
            m->level = level;
            m->to = cpu;
        }
    }
}

static void choose_move(struct sched_cpu *s, uint32_t self, struct move *m)
{
    spin_lock(&s->lock);
    m->vp = first_stray(s, self);
    if (m->vp != NULL) {
        m->to = m->vp->share.home;
        m->level = NOBODY;
    } else {
        m->vp = first_movable(s->fair_first);
    }
    if (m->vp != NULL) {
        m->vruntime = m->vp->vruntime;
        m->slice = runqueue_weighted(m->vp, runqueue_times.slice);
    }
    spin_unlock(&s->lock);
    if (m->vp != NULL) {
        find_place(self, m);
    }
}

// [lock] Moves a queue in virtual time.
static void shift(struct vp *queue, int64_t by)
{
    for (struct vp *vp = queue; vp != NULL; vp = vp->run_next) {
        vp->vruntime = by < 0 && vp->vruntime < (uint64_t)-by ? 0 : vp->vruntime + (uint64_t)by;
    }
}

// [lock] This processor's fair class is further behind another's, or ahead of it, than VPs can be by running: it had
// less to do for a while, or that one had, or somebody wants more than a processor. From here on they are compared
// again.
static void align(struct sched_cpu *s, int64_t by)
{
    struct vp *cur = s->current;

    s->min_vruntime = by < 0 && s->min_vruntime < (uint64_t)-by ? 0 : s->min_vruntime + (uint64_t)by;
    if (cur != NULL && cur->priority != 0) {
        shift(cur, by); // it is in no queue: alone
    }
    shift(s->fair_first, by);
    shift(s->owed_first, by);
}

static void align_with(struct sched_cpu *s, const struct move *m)
{
    uint64_t most = runqueue_times.credit + m->slice;

    if (m->level == 0 || m->level == NOBODY) {
        return;
    }
    if (m->level > m->vruntime + most) {
        align(s, (int64_t)(m->level - m->vruntime - most));
    } else if (m->vruntime > m->level + most) {
        align(s, -(int64_t)(m->vruntime - m->level - most));
    }
}

static bool is_in(const struct vp *queue, const struct vp *vp)
{
    while (queue != NULL && queue != vp) {
        queue = queue->run_next;
    }
    return queue != NULL;
}

// The queue was unlocked since the VP was chosen: it may be gone.
static bool take(struct sched_cpu *s, const struct move *m)
{
    bool taken;

    spin_lock(&s->lock);
    align_with(s, m);
    taken = m->level > m->vruntime + m->slice &&
            (is_in(s->fair_first, m->vp) || is_in(s->owed_first, m->vp)) && !balance_is_pinned(m->vp);
    if (taken) {
        claim(s, m->vp, m->to);
    }
    spin_unlock(&s->lock);
    return taken;
}

void balance_spread(struct cpu *c)
{
    struct sched_cpu *s = c->sched;
    struct move m = {.to = c->index};

    __atomic_store_n(&s->stray, false, __ATOMIC_RELAXED);
    if (cpu_working() == 1 || runqueue_empty(s)) {
        return;
    }
    choose_move(s, c->index, &m);
    if (m.vp != NULL && take(s, &m)) {
        sched_unclaim(m.to, m.vp, runqueue_times.credit);
    }
}
