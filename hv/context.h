// SPDX-License-Identifier: Apache-2.0
// Register state that stays in the processor across exits: FPU, debug registers, SYSCALL MSRs, CR2, and what the back
// end has loaded (virt->vp_load()).
//
// The hypervisor uses none of it, nor does the data plane, which is built without vector registers. So a
// guest's state stays where it is while the data plane serves its intercepts, and is saved only when a VP
// that wants the registers takes them. A VP whose context is live does not change processors, nor does the data plane.
#ifndef HV_CONTEXT_H
#define HV_CONTEXT_H

#include "hv/vp.h"

// The VP is about to run here: its context becomes the live one. Owner processor.
void context_take(struct vp *vp);
// Makes vp's context lie in memory, wherever it is live now. Any processor; the VP does not run.
void context_save(struct vp *vp);

#endif
