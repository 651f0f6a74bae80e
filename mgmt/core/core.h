// SPDX-License-Identifier: Apache-2.0
// The core as a whole: what the node is, start-up, the end.
//
// Order at boot: platform (time, randomness, heap, pool), core_init(), then the faces. Everything below
// mgmt/core belongs to the control plane.
#ifndef MGMT_CORE_CORE_H
#define MGMT_CORE_CORE_H

#include "mgmt/core/status.h"

struct core_node { // facts that do not change after boot; strings must stay valid
    const char *version;
    const char *engine; // "vmx", "svm" or "sim"
    const char *cpu_brand;
    const char *hostname;
    uint32_t cpu_count;
    uint64_t tsc_hz;
    uint8_t mac[6]; // zeros: no network
};

// Starts the core. Prints nothing secret; the administrator secret is made by auth_new_secret().
void core_init(const struct core_node *node);
const struct core_node *core_node(void);
uint64_t core_uptime_ns(void);

enum core_end { CORE_END_REBOOT, CORE_END_POWER_OFF };
// Ends the node in a moment, so that the answer to whoever asked can still leave. Running guests end hard.
void core_end(enum core_end how, const char *who);

#endif
