// SPDX-License-Identifier: Apache-2.0
// Inside the scheduler: a processor's queues, shared by sched.c, runqueue.c and balance.c.
#ifndef HV_SCHED_PRIV_H
#define HV_SCHED_PRIV_H

#include "hv/cpu.h"
#include "hv/sched.h"
#include "hv/share.h"

struct sched_cpu {
    spinlock_t lock;
    struct vp *rt_first;   // [lock] priority 0, first in first out
    struct vp *owed_first; // [lock] fair class, owed time by a reservation, by the end of its period
    struct vp *fair_first; // [lock] the rest of the fair class, by vruntime
    uint32_t queued;       // [lock] how many are in the three
    struct vp *current;    // [lock]
    uint64_t min_vruntime; // [lock] where the fair class stands
    uint64_t slice_end;
    uint64_t share_end;     // the current VP's cap or reservation ends; ~0: never
    uint64_t watchdog;      // host TSC at which this processor looks at the watchdogs
    struct timer_heap heap; // [lock] VPs of this processor that do not run and have a timer
    struct vp
        *handoff; // written by the owner processor, cleared [lock] by sched_forget(); see sched_handoff()
    bool need_resched;  // (a)
    bool timer_fired;   // (a) look at the timers and program the next
    bool stray;         // (a) a VP that is owed time waits here and has its reservation elsewhere
    uint64_t spread_at; // owner processor: when to look whether VPs that wait here are better off elsewhere
};

// Which queue a VP is in (vp->run_class), the best claim first.
enum run_class { RUN_RT, RUN_OWED, RUN_FAIR };

// What the processor of a VP that has just been queued must know.
enum wake_effect {
    WAKE_NOTHING,
    WAKE_SHARE,   // who runs there has somebody to share with from now on: its slice must end
    WAKE_PREEMPT, // it should run at once
};

extern struct sched_cpu scheds[HV_MAX_CPUS];

// --- runqueue.c; under the queue lock ---

extern struct runqueue_times { // ticks
    uint64_t slice;
    uint64_t wake_bonus; // a sleeper may be so far ahead of the others
    uint64_t preempt;    // and runs at once from here on
    uint64_t credit;     // a VP that comes from a busy processor may be so far behind
} runqueue_times;

void runqueue_init(void);

#define ROOT_CONTROL_WEIGHT 1000u
// Ticks in virtual time: as many for weight 100, fewer for more.
static inline uint64_t runqueue_weighted(const struct vp *vp, uint64_t ticks)
{
    uint32_t weight = vp->partition->is_root ? ROOT_CONTROL_WEIGHT : vp->partition->cpu_weight;

    return weight == 100 ? ticks : ticks * 100 / weight; // mostly no division
}

void runqueue_add(struct sched_cpu *s, struct vp *vp);
void runqueue_remove(struct sched_cpu *s, struct vp *vp);
// Queues a VP that comes from outside (it slept, or ran elsewhere), not further behind the others than `credit`.
enum wake_effect runqueue_place(struct sched_cpu *s, struct vp *vp, uint64_t credit);
void runqueue_moved_on(struct sched_cpu *s, struct vp *vp); // slow half of runqueue_ran()
// Has the first one queued a better claim than `vp`, which is not? There is one.
bool runqueue_better_first(const struct sched_cpu *s, struct vp *vp);

// The processor's current VP, which is of the fair class, as it stands now.
uint64_t runqueue_current_vruntime(const struct sched_cpu *s);
bool runqueue_current_is_owed(const struct sched_cpu *s);

static inline bool runqueue_empty(const struct sched_cpu *s)
{
    return s->queued == 0;
}

static inline struct vp *runqueue_first(const struct sched_cpu *s)
{
    return s->rt_first != NULL ? s->rt_first : s->owed_first != NULL ? s->owed_first : s->fair_first;
}

// After `vp`, which is not queued, has run: where the fair class stands now.
static inline void runqueue_ran(struct sched_cpu *s, struct vp *vp)
{
    if (!runqueue_empty(s) || share_has_limits(vp)) {
        runqueue_moved_on(s, vp);
    } else {
        s->min_vruntime = MAX(s->min_vruntime, vp->vruntime);
    }
}

// --- balance.c: who moves to which processor; the queue lock is not held ---

bool balance_is_pinned(const struct vp *vp);
// A processor that idles, for a VP of `home` that wakes; `home` if there is none.
uint32_t balance_idle_cpu(uint32_t home);
// Takes a waiting guest VP from another processor for this one, which has nothing to do. NULL: there is none. The VP
// is marked running and in no queue and no heap; sched_unclaim() ends that.
struct vp *balance_steal(uint32_t self);
// After a switch: gives one of those that still wait to a processor where it is their turn.
void balance_spread(struct cpu *c);

// --- sched.c ---

// A claimed VP (running, in no queue) is queued on processor `cpu`, if it can run.
void sched_unclaim(uint32_t cpu, struct vp *vp, uint64_t credit);

#endif
