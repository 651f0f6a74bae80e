// SPDX-License-Identifier: Apache-2.0
// The IP stack's counters in /metrics. Control plane only.
#ifndef MGMT_NET_METRICS_H
#define MGMT_NET_METRICS_H

// Registers the source; call once, after net_init().
void net_metrics_init(void);

#endif
