// SPDX-License-Identifier: Apache-2.0
// Doorbells: guest-physical addresses at which a guest's write completes at once and is only remembered.
#include "hv/doorbell.h"

#include "arch/x86/guest_walk.h"
#include "hv/cpu.h"
#include "hv/hvcall.h"
#include "hv/root.h"

struct doorbells {
    uint64_t gpa[DOORBELL_COUNT]; // atomic; 0: none
    uint64_t rung;                // atomic; a bit a doorbell
    // Set once, before the page can be found.
    uint64_t cookie; // the parent's name for the partition
    struct vp *vp;   // of the root, interrupted
    uint8_t vector;
    // [list_lock]
    bool queued;
    struct doorbells *next;
};
_Static_assert(sizeof(struct doorbells) <= PAGE_SIZE, "doorbells are one page");

static spinlock_t list_lock; // a leaf: nothing is locked under it
static struct doorbells *first, *last;

// --- ringing ---

static int find(const struct doorbells *d, uint64_t gpa)
{
    for (unsigned i = 0; i < DOORBELL_COUNT; i++) {
        if (__atomic_load_n(&d->gpa[i], __ATOMIC_RELAXED) == gpa) {
            return gpa != 0 ? (int)i : -1;
        }
    }
    return -1;
}

// Whoever sets the first bit puts the partition into the list and interrupts.
static void announce(struct doorbells *d)
{
    bool fresh;

    spin_lock(&list_lock);
    fresh = !d->queued;
    if (fresh) {
        d->queued = true;
        d->next = NULL;
        if (first == NULL) {
            first = d;
        } else {
            last->next = d;
        }
        last = d;
    }
    spin_unlock(&list_lock);
    if (fresh) {
        vp_post_interrupt(d->vp, d->vector, false);
    }
}

bool doorbell_ring(struct vp *vp)
{
    struct doorbells *d = __atomic_load_n(&vp->partition->doorbells, __ATOMIC_ACQUIRE);
    uint8_t bytes[16];
    enum decode_mode mode;
    struct insn insn;
    size_t length;
    int n;

    if (d == NULL || !vp->exit.gpa.write || (n = find(d, vp->exit.gpa.gpa.v)) < 0) {
        return false;
    }
    length = guest_fetch(vp, bytes, &mode);
    if (!decode_insn(bytes, length, mode, &insn) || insn.kind != INSN_STORE || insn.size > 4) {
        return false;
    }
    vp->exit.insn_len = insn.length;
    if (__atomic_fetch_or(&d->rung, BIT(n), __ATOMIC_ACQ_REL) == 0) {
        announce(d);
    }
    return true;
}

// --- the parent's side; under the hypervisor lock ---

static hv_status_t make_page(struct partition *p, const struct hv_x_doorbell_in *in)
{
    struct doorbells *d = partition_page_alloc(p);

    if (d == NULL) {
        return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    d->cookie = in->cookie;
    d->vp = root_partition->vps[in->vp_index];
    d->vector = (uint8_t)in->vector;
    __atomic_store_n(&p->doorbells, d, __ATOMIC_RELEASE);
    return HV_STATUS_SUCCESS;
}

hv_status_t hvcall_x_set_doorbell(struct hvcall *c)
{
    const struct hv_x_doorbell_in *in = c->in;
    struct partition *p = c->target;

    if (p->is_root) {
        return HV_STATUS_ACCESS_DENIED;
    }
    if (p->state != PARTITION_ACTIVE) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    if (in->index >= DOORBELL_COUNT || in->vp_index >= HV_MAX_VPS_PER_PARTITION || in->vector < 0x20 ||
        in->vector > 0xff) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if (root_partition->vps[in->vp_index] == NULL) {
        return HV_STATUS_INVALID_VP_INDEX;
    }
    if (p->doorbells == NULL) {
        hv_status_t status = make_page(p, in);

        if (status != HV_STATUS_SUCCESS) {
            return status;
        }
    }
    __atomic_store_n(&p->doorbells->gpa[in->index], in->gpa, __ATOMIC_RELAXED);
    return HV_STATUS_SUCCESS;
}

static struct doorbells *take_first(void)
{
    struct doorbells *d;

    spin_lock(&list_lock);
    d = first;
    if (d != NULL) {
        first = d->next;
        d->queued = false;
    }
    spin_unlock(&list_lock);
    return d;
}

// A bit that is set between the two steps puts the partition into the list once more: none is lost.
hv_status_t hvcall_x_take_doorbells(struct hvcall *c)
{
    struct hv_x_doorbells_out *out = c->out;
    struct doorbells *d = take_first();

    out->cookie = d == NULL ? 0 : d->cookie;
    out->rung = d == NULL ? 0 : __atomic_exchange_n(&d->rung, 0, __ATOMIC_ACQ_REL);
    return HV_STATUS_SUCCESS;
}

static void unlink_from_list(struct doorbells *d)
{
    struct doorbells **at = &first, *previous = NULL;

    spin_lock(&list_lock);
    for (; d->queued && *at != NULL; previous = *at, at = &(*at)->next) {
        if (*at == d) {
            *at = d->next;
            last = last == d ? previous : last;
            break;
        }
    }
    d->queued = false;
    spin_unlock(&list_lock);
}

void doorbell_forget(struct partition *p)
{
    struct doorbells *d = p->doorbells;

    if (d != NULL) {
        unlink_from_list(d);
        p->doorbells = NULL;
        partition_page_free(p, d);
    }
}
