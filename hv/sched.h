// SPDX-License-Identifier: Apache-2.0
// The scheduler: which VP runs on which processor, and when.
//
// Two classes on each processor. The data plane of the management partition (priority 0) runs whenever it
// can. Everything else shares fairly by weight (hv/runqueue.c): the runnable VP with the least virtual runtime
// runs for a slice, and a VP that wakes preempts when it is far enough behind. The control plane is in the fair
// class with a large weight, so that it answers at once and yet cannot starve guests. Reservations go before
// weights, caps bound both (hv/share.h). VPs of guests move between processors (hv/balance.c).
// A VP is in a run queue (queued), current on a processor (running), or blocked; vp->block decides.
#ifndef HV_SCHED_H
#define HV_SCHED_H

#include "hv/vp.h"

void sched_init_cpu(uint32_t index);
// Never returns: picks, enters, handles exits, idles.
void sched_loop(void) __attribute__((noreturn));

void sched_place(struct vp *vp);  // choose a home processor for a new VP
void sched_update(struct vp *vp); // its partition's cap or reservation has changed
// block has become 0: queue it, preempt, kick; any processor. may_move: an idle processor may take it.
void sched_wake(struct vp *vp, bool may_move);
// block has become 0 and the current VP is about to block: let vp run right after it if it is this processor's
// and nobody has a better claim; else as sched_wake(). A VP that can be deleted: under the hypervisor lock.
void sched_handoff(struct vp *vp);
// Take it off queue and heap for good; it does not run, and the caller holds the hypervisor lock.
void sched_forget(struct vp *vp);
// Around a change of the timers of a VP that is stopped, on any processor: its place in the timer heap depends on them.
void sched_timers_hold(struct vp *vp);
void sched_timers_release(struct vp *vp);
void sched_resched(void);     // this processor: choose again after the current exit
void sched_timer_check(void); // this processor: something may have expired
void sched_watchdog(void);    // this processor: a watchdog was set

// --- hv/timer.c: timers of VPs that are not running, one heap a processor; the links of others are NULL ---
struct timer_heap {
    struct vp *top;
};
void timer_heap_insert(struct timer_heap *h,
                       struct vp *vp); // slow half of timer_heap_add(): there are others
void timer_heap_delete(struct timer_heap *h, struct vp *vp); // of timer_heap_remove()

// For every VP: one without a timer is in no heap.
static inline void timer_heap_add(struct timer_heap *h, struct vp *vp)
{
    if (vp->next_deadline == ~0ull || vp->in_heap) {
        return;
    }
    vp->in_heap = true;
    if (h->top == NULL) {
        h->top = vp;
    } else {
        timer_heap_insert(h, vp);
    }
}

static inline void timer_heap_remove(struct timer_heap *h, struct vp *vp)
{
    if (!vp->in_heap) {
        return;
    }
    vp->in_heap = false;
    if (h->top == vp && vp->heap_child == NULL) {
        h->top = NULL;
    } else {
        timer_heap_delete(h, vp);
    }
}

void vp_timers_expire(struct vp *vp, uint64_t now);

#endif
