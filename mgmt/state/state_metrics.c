// SPDX-License-Identifier: Apache-2.0
// The store's counters in /metrics.
#include "mgmt/hcs/metrics.h"
#include "mgmt/state/state_priv.h"

static void write_metrics(struct metrics *m)
{
    struct store_info info;

    if (state_store() == NULL) {
        return;
    }
    store_get_info(state_store(), &info);
    metrics_gauge(m, "store_bytes", info.total_bytes);
    metrics_gauge(m, "store_free_bytes", info.free_bytes);
    metrics_gauge(m, "store_database_bytes", info.database_bytes);
    metrics_gauge(m, "store_database_limit_bytes", info.database_limit);
    metrics_counter(m, "store_commits_total", info.commits);
    metrics_counter(m, "store_transactions_total", info.transactions);
    metrics_gauge(m, "store_failed", info.failed);
    metrics_gauge(m, "store_fiber_stack_bytes", info.fiber_stack);
    metrics_gauge(m, "store_fiber_stack_used_bytes", info.fiber_stack_used);
}

void state_metrics_init(void)
{
    static struct metrics_source source = {.write = write_metrics};

    metrics_source_add(&source);
}
