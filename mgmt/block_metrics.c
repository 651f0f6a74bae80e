// SPDX-License-Identifier: Apache-2.0
// A disk's counters by operation in /metrics.
#include "mgmt/block_metrics.h"

void block_metrics_operations(struct metrics *m, const struct metrics_labels *disk,
                              const struct block_counters *c, bool bytes)
{
    for (unsigned op = 0; op < ARRAY_LEN(c->requests); op++) {
        struct metrics_labels l = *disk;

        if (bytes && op != BLOCK_READ && op != BLOCK_WRITE) {
            continue;
        }
        metrics_sample(m, metrics_label(&l, "operation", block_op_name(op)),
                       bytes ? c->bytes[op] : c->requests[op]);
    }
}
