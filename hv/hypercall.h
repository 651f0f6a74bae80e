// SPDX-License-Identifier: Apache-2.0
// Hypercall dispatch: one table row a call, generic decoding, copying and bounds (TLFS "Hypercall Interface").
//
// A handler sees a private copy of its input; what it writes to `out` is copied to the caller's output
// block afterwards. Handlers run under the hypervisor lock, unless `caller` is parent_or_self and the caller names himself.
#ifndef HV_HYPERCALL_H
#define HV_HYPERCALL_H

#include "hv/cpu.h"
#include "hv/vp.h"

struct hvcall {               // one a processor
    struct vp *vp;            // caller
    struct partition *target; // partition named by the first field, looked up (caller parent|self)
    const void *in;           // fixed part
    const void *rep_in;       // elements [0, rep_count) still to do
    void *out;                // fixed part of the output; neither this nor `in` ever changes
    void *rep_out;
    uint32_t rep_count; // elements to do in this call
    uint32_t rep_start; // index of the first of them
    uint32_t rep_done;  // set by the handler
    uint32_t var_len;   // bytes after the fixed part (calls with `var`)
    uint64_t
        deadline; // host TSC: rep handlers stop after it; set by hvcall_more() when it first looks at the clock
};

void hypercall_init(void); // boot, once host_tsc_hz is known
enum vp_action exit_hypercall(struct vp *vp);

// True while a rep handler may take another element; looks at the clock now and then.
#define HVCALL_REP_CHECK 8u
SELDOM bool hvcall_in_time(struct hvcall *c, uint32_t done); // its slow half
static inline bool hvcall_more(struct hvcall *c, uint32_t done)
{
    return done < c->rep_count && (done == 0 || done % HVCALL_REP_CHECK != 0 || hvcall_in_time(c, done));
}

#endif
