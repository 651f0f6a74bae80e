// SPDX-License-Identifier: Apache-2.0
// Intercept messages: a suspended VP carries its own message until the parent has completed it.
//
//   child exits -> vp_intercept_begin(), payload, vp_intercept_send() -> queued at the parent
//   -> HvCallXInterceptWait hands out its cookie -> parent emulates -> completes -> VP runs on
//
// Because the message lives in the child, none is ever lost or allocated (TLFS "Intercepts").
#include "hv/cpu.h"
#include "hv/exit.h"
#include "hv/sched.h"

static spinlock_t intercept_lock; // every partition's queue and waiter

void vp_intercept_begin(struct vp *vp, uint32_t type, uint8_t payload_size, uint8_t access)
{
    struct hv_message *m = vp->message;

    m->header.type = type;
    m->header.payload_size = payload_size;
    m->header.sender = vp->partition->id;
    m->intercept.vp_index = vp->index;
    m->intercept.insn_length = vp->exit.insn_len & 0xf;
    m->intercept.access = access;
    virt->exit_state(vp, &m->intercept);
    vp->regs->dirty = 0;
    vp->regs->is_valid = 1;
}

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

enum vp_action vp_intercept_send(struct vp *vp)
{
    struct partition *parent = vp->partition->parent;
    struct vp *waiter;

    spin_lock(&intercept_lock);
    suspend_and_queue(vp);
    waiter = parent->intercept_waiter;
    parent->intercept_waiter = NULL;
    spin_unlock(&intercept_lock);
    if (waiter != NULL && vp_clear_block(waiter, VP_BLOCK_XWAIT)) {
        sched_handoff(waiter);
    }
    return VP_RESCHED;
}

struct vp *intercept_next(struct partition *parent)
{
    struct vp *vp;

    // Mostly there is none. One that is just being queued is found by intercept_block(), or next time.
    if (__atomic_load_n(&parent->intercept_first, __ATOMIC_RELAXED) == NULL) {
        return NULL;
    }
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

bool intercept_block(struct vp *waiter)
{
    struct partition *p = waiter->partition;
    bool blocked = false;

    spin_lock(&intercept_lock);
    if (p->intercept_first == NULL) {
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
}

// The caller holds the hypervisor lock, so completions do not race with each other, nor with a deletion. Who has not
// taken the message cannot have dealt with it, and its `completion` would meet an exit that it was not made for.
bool intercept_complete(struct vp *vp, uint8_t flags, bool *runnable)
{
    if ((__atomic_load_n(&vp->block, __ATOMIC_SEQ_CST) & VP_BLOCK_INTERCEPT) == 0 || vp->intercept_queued) {
        return false;
    }
    vp->completion = flags;
    __atomic_or_fetch(&vp->requests, VP_REQ_COMPLETE, __ATOMIC_SEQ_CST);
    *runnable = vp_clear_block(vp, VP_BLOCK_INTERCEPT);
    return true;
}
