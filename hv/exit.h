// SPDX-License-Identifier: Apache-2.0
// What happens around VM entries: requests before, exits after.
#ifndef HV_EXIT_H
#define HV_EXIT_H

#include "hv/vp.h"

// Serves vp->requests: posted interrupts, completion of an intercept, INIT, SIPI, timers.
void vp_serve_requests(struct vp *vp);
// Injects what is deliverable, asks for windows for the rest, ends a HLT or HvCallXInterceptWait that has
// something to do. False: the VP is still halted and has been blocked again.
MUST_CHECK bool vp_prepare_entry(struct vp *vp);
// Handles vp->exit through the exit table.
void exit_dispatch(struct vp *vp);

extern const char *const exit_reason_names[EXIT_REASON_COUNT];

// The parent's side of intercepts (hv/intercept.c): HvCallXInterceptWait and its parts.
void intercept_complete(struct vp *vp, uint8_t flags);
struct vp *intercept_next(struct partition *parent);
// Blocks a root VP until an intercept or interrupt; false if there is something already.
bool intercept_block(struct vp *waiter);
void intercept_forget(struct vp *vp); // the VP goes away

#endif
