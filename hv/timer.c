// SPDX-License-Identifier: Apache-2.0
// Timers of virtual processors: a pairing heap a processor, keyed by host TSC.
//
// The VP that is running is not in the heap; its deadline is compared directly, so that programming a
// timer costs no heap operation (Fredman et al., "The Pairing Heap", 1986).
#include "arch/x86/policy.h"
#include "arch/x86/vlapic.h"
#include "hv/cpu.h"
#include "hv/sched.h"
#include "hv/share.h"

static struct vp *meld(struct vp *a, struct vp *b)
{
    if (a == NULL || b == NULL) {
        return a == NULL ? b : a;
    }
    if (b->next_deadline < a->next_deadline) {
        struct vp *t = a;

        a = b;
        b = t;
    }
    b->heap_next = a->heap_child;
    b->heap_prev = a;
    if (a->heap_child != NULL) {
        a->heap_child->heap_prev = b;
    }
    a->heap_child = b;
    return a;
}

static struct vp *detach_first(struct vp **list)
{
    struct vp *vp = *list;

    if (vp != NULL) {
        *list = vp->heap_next;
        vp->heap_next = NULL;
        vp->heap_prev = NULL;
    }
    return vp;
}

// Melds a list of siblings: pairs from left to right, then all pairs.
static struct vp *meld_siblings(struct vp *list)
{
    struct vp *pairs = NULL;
    struct vp *root = NULL;

    while (list != NULL) {
        struct vp *a = detach_first(&list);
        struct vp *pair = meld(a, detach_first(&list));

        pair->heap_next = pairs;
        pairs = pair;
    }
    while (pairs != NULL) {
        root = meld(root, detach_first(&pairs));
    }
    return root;
}

void timer_heap_insert(struct timer_heap *h, struct vp *vp)
{
    h->top = meld(h->top, vp);
}

void timer_heap_delete(struct timer_heap *h, struct vp *vp)
{
    struct vp *rest = meld_siblings(vp->heap_child);

    vp->heap_child = NULL;
    if (h->top == vp) {
        h->top = rest;
        return;
    }
    if (vp->heap_prev->heap_child == vp) {
        vp->heap_prev->heap_child = vp->heap_next;
    } else {
        vp->heap_prev->heap_next = vp->heap_next;
    }
    if (vp->heap_next != NULL) {
        vp->heap_next->heap_prev = vp->heap_prev;
    }
    vp->heap_next = NULL;
    vp->heap_prev = NULL;
    h->top = meld(h->top, rest);
}

// Deadlines of 0 are not armed; one less, as an unsigned number, they are the latest of all.
static uint64_t earliest(const struct vp *vp)
{
    uint64_t d = vp->apic.timer_deadline - 1;

    d = MIN(d, vp->stimer[0].deadline_tsc - 1);
    d = MIN(d, vp->stimer[1].deadline_tsc - 1);
    d = MIN(d, vp->stimer[2].deadline_tsc - 1);
    d = MIN(d, vp->stimer[3].deadline_tsc - 1);
    d = MIN(d, vp->share.wake - 1);
    return d == ~0ull ? d : d + 1;
}

void vp_timers_changed(struct vp *vp)
{
    struct cpu *c = this_cpu();

    vp->next_deadline = earliest(vp);
    if (c->current == vp && vp->next_deadline < c->armed_deadline) {
        c->armed_deadline = vp->next_deadline;
        host_timer_arm(vp->next_deadline);
    }
}

void vp_timers_expire(struct vp *vp, uint64_t now)
{
    uint64_t a = vlapic_timer_expire(vp, now);
    uint64_t b = stimer_expire(vp, now);

    share_expire(vp, now);
    vp->next_deadline = MIN(MIN(a, b), vp->share.wake == 0 ? ~0ull : vp->share.wake);
}
