// SPDX-License-Identifier: Apache-2.0
// The disks' counters in /metrics, all disks together. Control plane only.
#ifndef MGMT_DISK_METRICS_H
#define MGMT_DISK_METRICS_H

// Registers the source; call once.
void disk_metrics_init(void);

#endif
