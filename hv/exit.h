// SPDX-License-Identifier: Apache-2.0
// What happens around VM entries: requests before, exits after.
#ifndef HV_EXIT_H
#define HV_EXIT_H

#include "hv/vp.h"

// Enters the VP and handles its exits until it blocks or *resched is set.
void vp_run_loop(struct vp *vp, const bool *resched);

extern const char *const exit_reason_names[EXIT_REASON_COUNT];

// Intercepts (hv/intercept.c).
void intercept_finish_wait(
    struct vp *waiter);               // HvCallXInterceptWait ends because of something else than a message
void intercept_forget(struct vp *vp); // the VP goes away
// HvCallXInterceptWait, its parameters as in registers: RDX partition to complete (0: none), R8 vp | flags << 32. The
// cookie of the next VP with a message, or 0, goes to the caller's RDX. Under the hypervisor lock.
hv_status_t intercept_wait(struct vp *caller, uint64_t partition, uint64_t vp_and_flags);

#endif
