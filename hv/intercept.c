// SPDX-License-Identifier: Apache-2.0
// Intercept messages: a suspended VP carries its own message until the parent has completed it.
//
//   child exits -> vp_intercept_begin(), payload, vp_intercept_send() -> queued at the parent
//   -> HvCallXInterceptWait hands out its cookie -> parent emulates -> completes -> VP runs on
//
// Because the message lives in the child, none is ever lost or allocated (TLFS "Intercepts").
#include "arch/x86/vlapic.h"
#include "hv/cpu.h"
#include "hv/exit.h"
#include "hv/hvcall.h"
#include "hv/sched.h"

static spinlock_t intercept_lock; // every partition's queue and waiter

// --- the child's side ---

// intercept_queued goes up before the block bit: who sees the suspension also sees that the message is not out yet.
// It is still up if a parent has lifted the suspension by HV_REG_INTERCEPT_SUSPEND without taking the message.
static void suspend_and_queue(struct vp *vp)
{
    struct partition *parent = vp->partition->parent;

    if (!vp->intercept_queued) {
        vp->intercept_queued = true;
        vp->intercept_next = NULL;
        if (parent->intercept_last == NULL) {
            __atomic_store_n(&parent->intercept_first, vp, __ATOMIC_RELAXED);
        } else {
            parent->intercept_last->intercept_next = vp;
        }
        parent->intercept_last = vp;
    }
    __atomic_or_fetch(&vp->block, VP_BLOCK_INTERCEPT, __ATOMIC_SEQ_CST);
}

static SELDOM void queue_message(struct vp *vp)
{
    spin_lock(&intercept_lock);
    suspend_and_queue(vp);
    spin_unlock(&intercept_lock);
}

// The cookie goes straight to the waiter, not by the queue; true: the waiter can run now, and the caller wakes it. Who
// takes XWAIT away answers for that; until then it does not run, as management VPs stay on their processors.
static inline bool hand_to(struct vp *waiter, struct vp *vp)
{
    uint32_t before = __atomic_fetch_and(&waiter->block, ~(uint32_t)VP_BLOCK_XWAIT, __ATOMIC_SEQ_CST);

    if (__builtin_expect((before & VP_BLOCK_XWAIT) == 0, 0)) {
        queue_message(vp); // it is on its way already, because of an interrupt
        return false;
    }
    __atomic_or_fetch(&vp->block, VP_BLOCK_INTERCEPT, __ATOMIC_SEQ_CST);
    waiter->waiting = false;
    waiter->served = vp;
    vp_set_gpr(waiter, GPR_RDX, vp->cookie);
    return before == VP_BLOCK_XWAIT;
}

enum vp_action vp_intercept_send(struct vp *vp)
{
    struct partition *parent = vp->partition->parent;
    struct vp *waiter;
    bool direct;

    spin_lock(&intercept_lock);
    waiter = parent->intercept_waiter;
    parent->intercept_waiter = NULL;
    // Nobody is before this VP, and the parent waits on this processor.
    direct = waiter != NULL && parent->intercept_first == NULL && waiter->cpu == vp->cpu &&
             !vp->intercept_queued;
    if (__builtin_expect(!direct, 0)) {
        suspend_and_queue(vp);
    }
    spin_unlock(&intercept_lock);
    if (direct ? hand_to(waiter, vp) : waiter != NULL && vp_clear_block(waiter, VP_BLOCK_XWAIT)) {
        sched_handoff(waiter);
    }
    return VP_RESCHED;
}

void intercept_forget(struct vp *vp)
{
    struct partition *parent = vp->partition->parent;
    struct vp *prev = NULL;

    spin_lock(&intercept_lock);
    for (struct vp *v = parent->intercept_first; v != NULL; prev = v, v = v->intercept_next) {
        if (v != vp) {
            continue;
        }
        if (prev == NULL) {
            parent->intercept_first = v->intercept_next;
        } else {
            prev->intercept_next = v->intercept_next;
        }
        if (parent->intercept_last == v) {
            parent->intercept_last = prev;
        }
        vp->intercept_queued = false;
        break;
    }
    spin_unlock(&intercept_lock);
    for (unsigned i = 0; i < HV_MAX_VPS_PER_PARTITION; i++) {
        if (parent->vps[i] != NULL && parent->vps[i]->served == vp) {
            parent->vps[i]->served = NULL;
        }
    }
}

// --- the parent's side ---

static struct vp *take_first(struct partition *parent)
{
    struct vp *vp;

    spin_lock(&intercept_lock);
    vp = parent->intercept_first;
    if (vp != NULL) {
        vp->intercept_queued = false;
        parent->intercept_first = vp->intercept_next;
        if (parent->intercept_first == NULL) {
            parent->intercept_last = NULL;
        }
    }
    spin_unlock(&intercept_lock);
    return vp;
}

// The next VP with a message, or NULL.
static inline struct vp *next_message(struct partition *parent)
{
    // Mostly there is none. One that is just being queued is found by block_waiter(), or next time.
    return __atomic_load_n(&parent->intercept_first, __ATOMIC_RELAXED) == NULL ? NULL : take_first(parent);
}

// Gives a management VP the next message, by its VP's cookie, or 0.
static inline struct vp *give_next(struct vp *parent_vp)
{
    struct vp *next = next_message(parent_vp->partition);

    parent_vp->served = next;
    vp_set_gpr(parent_vp, GPR_RDX, next == NULL ? 0 : next->cookie);
    return next;
}

void intercept_finish_wait(struct vp *waiter)
{
    waiter->waiting = false;
    (void)give_next(waiter);
}

// Blocks a root VP until an intercept or interrupt; false if there is something already.
static inline bool block_waiter(struct vp *waiter)
{
    struct partition *p = waiter->partition;
    bool blocked = false;

    spin_lock(&intercept_lock);
    if (p->intercept_first == NULL) {
        waiter->waiting = true;
        __atomic_or_fetch(&waiter->block, VP_BLOCK_XWAIT, __ATOMIC_SEQ_CST);
        p->intercept_waiter = waiter;
        blocked = true;
    }
    spin_unlock(&intercept_lock);
    if (blocked && __atomic_load_n(&waiter->requests, __ATOMIC_SEQ_CST) != 0) {
        __atomic_and_fetch(&waiter->block, ~(uint32_t)VP_BLOCK_XWAIT, __ATOMIC_SEQ_CST);
        blocked = false;
    }
    return blocked;
}

// The caller holds the hypervisor lock, so completions do not race with each other, nor with a deletion. Who has not
// taken the message cannot have dealt with it, and its `completion` would meet an exit that it was not made for.
static inline bool may_complete(const struct vp *vp)
{
    return (__atomic_load_n(&vp->block, __ATOMIC_SEQ_CST) & VP_BLOCK_INTERCEPT) != 0 && !vp->intercept_queued;
}

// Takes the suspension away; true: the VP can run now, and the caller wakes it.
static inline bool complete(struct vp *vp, uint32_t flags)
{
    vp->completion = flags & (HV_XWAIT_ADVANCE | HV_XWAIT_DIRTY);
    return vp_clear_block(vp, VP_BLOCK_INTERCEPT);
}

static SELDOM hv_status_t find_child_vp(struct partition *caller, uint64_t partition, uint32_t index,
                                        struct vp **vp)
{
    struct partition *p = partition_lookup(caller, partition);

    if (p == NULL || p->is_root) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    if (index >= HV_MAX_VPS_PER_PARTITION || p->vps[index] == NULL) {
        return HV_STATUS_INVALID_VP_INDEX;
    }
    *vp = p->vps[index];
    return HV_STATUS_SUCCESS;
}

// Mostly what is completed is what was taken last.
static inline hv_status_t find_completed(struct vp *caller, uint64_t partition, uint32_t index,
                                         struct vp **vp)
{
    struct vp *found = caller->served;

    if (__builtin_expect(found == NULL || found->partition->id != partition || found->index != index, 0)) {
        struct vp *child; // apart: its address is taken
        hv_status_t status = find_child_vp(caller->partition, partition, index, &child);

        if (status != HV_STATUS_SUCCESS) {
            return status;
        }
        found = child;
    }
    *vp = found;
    return may_complete(found) ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_VP_STATE;
}

hv_status_t intercept_wait(struct vp *caller, uint64_t partition, uint64_t vp_and_flags)
{
    uint32_t flags = (uint32_t)(vp_and_flags >> 32);
    struct vp *done = NULL, *next;
    bool runnable = false, waits;

    if (partition != HV_PARTITION_ID_INVALID) {
        hv_status_t status = find_completed(caller, partition, (uint32_t)vp_and_flags, &done);

        if (status != HV_STATUS_SUCCESS) {
            return status;
        }
        runnable = complete(done, flags);
    }
    next = give_next(caller);
    // It waits if there is nothing to do for it now: no message, no deliverable interrupt, no request.
    waits = next == NULL && (flags & HV_XWAIT_BLOCK) != 0 && vlapic_pending(caller) < 0 &&
            block_waiter(caller);
    if (runnable && waits) {
        sched_handoff(done); // the caller gives the processor back to whom it served
    } else if (runnable) {
        sched_wake(done, false);
    }
    return HV_STATUS_SUCCESS;
}

hv_status_t hvcall_x_intercept_wait(struct hvcall *c)
{
    const uint64_t *in = c->in;

    return intercept_wait(c->vp, in[0], in[1]);
}
