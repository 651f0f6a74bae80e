// SPDX-License-Identifier: Apache-2.0
// A stand-in for the data plane and the guests it serves (mgmt/dataplane/dp.h), for the host build.
//
// Each attached guest whose VP 0 may run is a tiny scripted machine: it prints a banner on COM1 and obeys
// lines typed there: `poweroff`, `reset`, `crash`, `triple`; other lines come back as they were. The power
// button powers it off. A command about a guest that is not attached abort()s, as it would corrupt memory
// in the real one.
#ifndef TESTS_SIM_DP_SIM_H
#define TESTS_SIM_DP_SIM_H

#include "mgmt/dataplane/dp.h"

void dp_sim_init(void);             // adds the event-loop source; once
size_t dp_sim_attached(void);       // guests attached now
void dp_sim_block(bool full);       // dp_send() answers false, as with a full ring
void dp_sim_hold_detach(bool hold); // DP_EV_DETACHED is not answered yet
void dp_sim_emit(struct dp_vm *vm, enum dp_event_type type, uint32_t arg, uint32_t code);

#endif
