// SPDX-License-Identifier: Apache-2.0
// What happens around VM entries: requests before, exits after.
#ifndef HV_EXIT_H
#define HV_EXIT_H

#include "hv/vp.h"

// Enters the VP and handles its exits until it blocks or *resched is set.
void vp_run_loop(struct vp *vp, const bool *resched);

extern const char *const exit_reason_names[EXIT_REASON_COUNT];

// The parent's side of intercepts (hv/intercept.c): HvCallXInterceptWait and its parts.
// Takes the suspension away; *runnable: the VP can run now, and the caller wakes it. False: no message of this VP
// waits to be completed. Under the hypervisor lock.
MUST_CHECK bool intercept_complete(struct vp *vp, uint8_t flags, bool *runnable);
struct vp *intercept_next(struct partition *parent);
// Blocks a root VP until an intercept or interrupt; false if there is something already.
bool intercept_block(struct vp *waiter);
void intercept_forget(struct vp *vp); // the VP goes away
// HvCallXInterceptWait, its parameters as in registers: RDX partition to complete (0: none), R8 vp | flags << 32. The
// cookie of the next VP with a message, or 0, goes to the caller's RDX. Under the hypervisor lock (hv/hvcall_x.c).
hv_status_t intercept_wait(struct vp *caller, uint64_t partition, uint64_t vp_and_flags);

#endif
