// SPDX-License-Identifier: Apache-2.0
// A disk's counters by operation in /metrics, whoever's disk it is. Control plane only.
#ifndef MGMT_BLOCK_METRICS_H
#define MGMT_BLOCK_METRICS_H

#include "mgmt/block/block.h"
#include "mgmt/hcs/metrics.h"

// A sample for each operation, with `disk`, the labels of the disk, and "operation" behind them: requests, or bytes, which
// only reads and writes have.
void block_metrics_operations(struct metrics *m, const struct metrics_labels *disk,
                              const struct block_counters *c, bool bytes);

#endif
