// SPDX-License-Identifier: Apache-2.0
// A trace of exits and of the scheduler's decisions, for HvCallXTrace.
//
// While it is off exits cost nothing: switching it on replaces the back end's table of operations by a copy whose
// vp_run() and vp_load() also write a record. A VP that leaves its processor is looked at. Each processor writes a ring of its own, without locks; who
// reads copies first and then looks whether the writer has come round meanwhile.
#ifndef HV_TRACE_H
#define HV_TRACE_H

#include <keelson/abi.h>

struct vp;

#define TRACE_PAGES 4u // a processor
#define TRACE_RECORDS (TRACE_PAGES * PAGE_SIZE / (uint32_t)sizeof(struct hv_x_trace_record))

// [hv] The first time each processor's ring is taken from the root partition's pool, and stays with the hypervisor:
// INSUFFICIENT_MEMORY says that the pool needs more.
hv_status_t trace_start(void);
void trace_stop(void); // [hv] records stay readable
// [hv] Records of a processor from number `sequence` on, or from the oldest that is kept; out->count may be 0.
hv_status_t trace_read(uint32_t cpu, uint64_t sequence, struct hv_x_trace_out *out);

extern bool trace_on;
void trace_record_left(const struct vp *vp);

// The VP leaves this processor, which is still its own.
static inline void trace_left(const struct vp *vp)
{
    if (__builtin_expect(trace_on,
                         0)) { // a plain read: the builtin for atomics takes a register, for each switch
        trace_record_left(vp);
    }
}

#endif
