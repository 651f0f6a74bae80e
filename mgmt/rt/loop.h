// SPDX-License-Identifier: Apache-2.0
// Counters of the control plane's event loop (mgmt/plat.h), for the shell.
#ifndef MGMT_RT_LOOP_H
#define MGMT_RT_LOOP_H

#include <keelson/types.h>

struct loop_counters {
    uint64_t turns, sleeps, timers, work;
};
void loop_get_counters(struct loop_counters *out);

#endif
