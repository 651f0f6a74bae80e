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

#endif
