// SPDX-License-Identifier: Apache-2.0
// A token bucket a partition, for reports in the log.
#include "hv/log_limit.h"

#include "hv/cpu.h"

static spinlock_t lock; // VPs of a partition run on several processors

static void give_back(struct log_limit *l, uint64_t now)
{
    uint64_t interval = LOG_LIMIT_SECONDS * host_tsc_hz;
    uint64_t n = (now - l->regained) / interval;

    l->used -= (uint32_t)MIN(n, (uint64_t)l->used);
    l->regained = l->used == 0 ? now : l->regained + n * interval;
}

bool log_limit_take(struct log_limit *l, uint16_t index)
{
    uint32_t before = 0;
    bool allowed;

    spin_lock(&lock);
    give_back(l, host_tsc());
    allowed = l->used < LOG_LIMIT_BURST;
    if (allowed) {
        l->used++;
        before = l->left_out;
        l->left_out = 0;
    } else {
        l->left_out++;
    }
    spin_unlock(&lock);
    if (before != 0) {
        LOGW("partition %u: %u reports left out", index, before);
    }
    return allowed;
}

void log_limit_end(struct log_limit *l, uint16_t index)
{
    if (l->left_out != 0) {
        LOGW("partition %u: %u reports left out at its end", index, l->left_out);
        l->left_out = 0;
    }
}
