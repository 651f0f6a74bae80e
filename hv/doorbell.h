// SPDX-License-Identifier: Apache-2.0
// Doorbells: guest-physical addresses at which a guest's write completes at once and is only remembered.
//
//   guest writes ──► bit in the partition's mask ──► interrupt to a VP of the root ──► HvCallXTakeDoorbells
//
// The guest's VP is not suspended and no message is made. What was written is not kept: a doorbell says that its
// address was written since it was last taken.
#ifndef HV_DOORBELL_H
#define HV_DOORBELL_H

#include "hv/vp.h"

#define DOORBELL_COUNT 64u // of a partition

struct doorbells; // one page of the partition's pool, made with the first doorbell

// After an access to a GPA that is not mapped: true when it was a plain store to a doorbell, which has rung; the
// instruction is to be skipped (vp->exit.insn_len). Anything else is left to the parent. Owner processor.
MUST_CHECK bool doorbell_ring(struct vp *vp);

// The partition ends and its VPs are gone. Under the hypervisor lock.
void doorbell_forget(struct partition *p);

#endif
