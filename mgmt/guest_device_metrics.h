// SPDX-License-Identifier: Apache-2.0
// Counters of guests' devices in /metrics. Apart from mgmt/hcs because the host build has no devices.
#ifndef MGMT_GUEST_DEVICE_METRICS_H
#define MGMT_GUEST_DEVICE_METRICS_H

void guest_device_metrics_init(void);

#endif
