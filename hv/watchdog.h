// SPDX-License-Identifier: Apache-2.0
// Watchdogs of the management partition's VPs: one that does not show that it lives ends the node.
//
// The processor that a VP belongs to looks at its watchdog when it runs out and can log the VP's registers; the
// others look a second later, in case that processor is what hangs.
#ifndef HV_WATCHDOG_H
#define HV_WATCHDOG_H

#include "hv/vp.h"

#define WATCHDOG_MAX_S 3600u

// `vp` (of the root partition) has to call again within `seconds`, at most WATCHDOG_MAX_S; 0: it need not. The
// caller tells the scheduler (sched_watchdog()).
void watchdog_set(const struct vp *vp, uint32_t seconds);

// Processor `cpu` looks at all watchdogs. Panics, after a record of the VP's state in the log, if one has run out.
// Returns the host TSC at which it has to look again, ~0: never.
uint64_t watchdog_check(uint32_t cpu, uint64_t now);

#endif
