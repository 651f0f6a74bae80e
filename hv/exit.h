// SPDX-License-Identifier: Apache-2.0
// What happens around VM entries: requests before, exits after.
#ifndef HV_EXIT_H
#define HV_EXIT_H

#include "hv/vp.h"

extern enum vp_action (*const exit_handlers[EXIT_REASON_COUNT])(struct vp *vp);
extern const char *const exit_reason_names[EXIT_REASON_COUNT];

void vp_serve_requests(struct vp *vp);
// What is due before an entry; false: halted still, and blocked again.
bool vp_before_entry(struct vp *vp);

// Enters the VP and handles its exits until it blocks or *resched is set. Inline for its one user, the scheduler, which
// has as little to keep in registers across an entry.
static inline void vp_run_loop(struct vp *vp, const bool *resched)
{
    for (;;) {
        // Not by the builtin for atomics: that computes addresses ahead, and keeps them.
        uint64_t held_up = *(const volatile uint64_t *)&vp->held_up;

        __atomic_thread_fence(__ATOMIC_ACQUIRE); // the rest is as it was left when the VP was unblocked
        if (__builtin_expect(held_up != 0, 0)) {
            if (held_up >> 32 == 0) {
                return; // blocked, without a request
            }
            vp_serve_requests(vp);
            continue;
        }
        if (*(const volatile bool *)resched) {
            return;
        }
        if (__builtin_expect(vp->before_entry != 0, 0) && !vp_before_entry(vp)) {
            continue;
        }
        vp = virt_run(vp);
        vp->exits[vp->exit.reason]++;
        if (exit_handlers[vp->exit.reason](vp) == VP_ADVANCE) {
            virt->advance_rip(vp, vp->exit.insn_len);
        }
    }
}

// Intercepts (hv/intercept.c).
void intercept_finish_wait(
    struct vp *waiter);               // HvCallXInterceptWait ends because of something else than a message
void intercept_forget(struct vp *vp); // the VP goes away
// HvCallXInterceptWait, its parameters as in registers: RDX partition to complete (0: none), R8 vp | flags << 32. The
// cookie of the next VP with a message, or 0, goes to the caller's RDX. Under the hypervisor lock.
hv_status_t intercept_wait(struct vp *caller, uint64_t partition, uint64_t vp_and_flags);

#endif
