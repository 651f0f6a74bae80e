// SPDX-License-Identifier: Apache-2.0
// Caps and reservations of processor time (TLFS partition properties CpuCap and CpuReserve).
//
// Both are fractions of one processor for each VP of a partition, in 1/65536, and hold over periods of 20 ms. A VP
// that has used its cap is blocked (VP_BLOCK_CAPPED) until its period ends; what it ran too long is taken off the
// next. One that has not had its reservation yet is owed time: it goes before all of the fair class that are not,
// and the one whose period ends first before the others. Reservations are admitted so that this is enough: each VP
// has a processor on which all that have theirs there come to no more than the whole, and the earliest deadline
// goes first. A VP that sleeps must not save up time for a burst that breaks the others' deadlines, so one that
// wakes with more left than its rate allows until its deadline begins a new period (Abeni and Buttazzo, "Integrating
// Multimedia Applications in Hard Real-Time Systems", 1998: constant bandwidth server).
//
// The management partition's control plane has a reservation of its own, and room is kept for the data plane. VPs
// without cap or reservation cost one test a switch. Times are host TSC. A VP's account belongs to the processor
// that runs it, or whose queue lock is held.
#ifndef HV_SHARE_H
#define HV_SHARE_H

#include "hv/vp.h"

#define SHARE_UNIT 0x10000u                // one processor
#define SHARE_MANAGEMENT (SHARE_UNIT / 10) // of each plane

void share_init(void); // at boot, once host_tsc_hz is known

// Takes over the partition's properties. The account goes on.
void share_update(struct vp *vp);

static inline bool share_has_limits(const struct vp *vp)
{
    return vp->share.cap != 0;
}

// The rest is for VPs with limits.

// The VP is to run from `now` on. Returns when its cap is used up or its reservation served; ~0: never.
uint64_t share_begin(struct vp *vp, uint64_t now);
// It ran from `start` to `now`. Blocks it if that was its cap; sets share.wake if time has to wake it or to put it in
// front again, so the caller recomputes its next deadline.
void share_end(struct vp *vp, uint64_t start, uint64_t now);
// It is to be queued: opens the reservation's period of `now`, and says whether it is owed time in it.
bool share_open(struct vp *vp, uint64_t now);
// Has it had less than its reservation in the period of `now`? `running`: ticks that it runs already.
bool share_is_owed(const struct vp *vp, uint64_t now, uint64_t running);
// share.wake may have come: takes VP_BLOCK_CAPPED away. The caller looks whether the VP can run.
void share_expire(struct vp *vp, uint64_t now);

// --- admission, under the hypervisor lock ---

// Can `vps` VPs of `p` have `reserve` each, next to what others have and the management partition needs? They can if
// each finds a processor with room for all of its reservation.
MUST_CHECK bool share_fits(const struct partition *p, uint32_t vps, uint32_t reserve);
// Gives every VP with a reservation the processor where that is kept free. For what share_fits() has admitted.
void share_assign(void);

#endif
