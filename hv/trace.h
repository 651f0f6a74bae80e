// SPDX-License-Identifier: Apache-2.0
// A trace of exits and of the scheduler's decisions, for HvCallXTrace.
//
// While it is off nothing is looked at: switching it on replaces the back end's table of operations by a copy whose
// vp_run(), vp_load() and vp_unload() also write a record. Each processor writes a ring of its own, without locks; who
// reads copies first and then looks whether the writer has come round meanwhile.
#ifndef HV_TRACE_H
#define HV_TRACE_H

#include <keelson/abi.h>

#define TRACE_PAGES 4u // a processor
#define TRACE_RECORDS (TRACE_PAGES * PAGE_SIZE / (uint32_t)sizeof(struct hv_x_trace_record))

// [hv] The first time each processor's ring is taken from the root partition's pool, and stays with the hypervisor:
// INSUFFICIENT_MEMORY says that the pool needs more.
hv_status_t trace_start(void);
void trace_stop(void); // [hv] records stay readable
// [hv] Records of a processor from number `sequence` on, or from the oldest that is kept; out->count may be 0.
hv_status_t trace_read(uint32_t cpu, uint64_t sequence, struct hv_x_trace_out *out);

#endif
