// SPDX-License-Identifier: Apache-2.0
// The disks' counters in /metrics; apart from mgmt/hcs because the host build has no disks.
#include "mgmt/disk_metrics.h"

#include "mgmt/block/disks.h"
#include "mgmt/block_metrics.h"
#include "mgmt/hcs/metrics.h"

// Each of the node's disks by itself.
static void each_disk(struct metrics *m, const char *name, bool bytes)
{
    const struct node_disk *disk;

    metrics_family(m, name, "counter");
    for (uint32_t i = 0; (disk = disks_get(i)) != NULL; i++) {
        struct metrics_labels l = {0};

        metrics_label(&l, "disk", disk->dev->name);
        block_metrics_operations(m, &l, &disk->dev->counters, bytes);
    }
}

static void disk_metrics(struct metrics *m)
{
    struct block_counters sum = {0};
    const struct node_disk *disk;
    uint32_t count = 0, failed = 0;

    for (; (disk = disks_get(count)) != NULL; count++) {
        block_counters_add(&sum, &disk->dev->counters);
        failed += disk->dev->failed;
    }
    metrics_gauge(m, "disks", count);
    metrics_gauge(m, "disks_failed", failed);
    metrics_counter(m, "disk_reads_total", sum.requests[BLOCK_READ]);
    metrics_counter(m, "disk_read_bytes_total", sum.bytes[BLOCK_READ]);
    metrics_counter(m, "disk_writes_total", sum.requests[BLOCK_WRITE]);
    metrics_counter(m, "disk_written_bytes_total", sum.bytes[BLOCK_WRITE]);
    metrics_counter(m, "disk_flushes_total", sum.requests[BLOCK_FLUSH]);
    metrics_counter(m, "disk_discards_total", sum.requests[BLOCK_DISCARD]);
    metrics_counter(m, "disk_errors_total", sum.errors);
    metrics_counter(m, "disk_timeouts_total", sum.timeouts);
    metrics_counter(m, "disk_resets_total", sum.resets);
    metrics_gauge(m, "disk_requests_queued", sum.queued);
    each_disk(m, "block_requests_total", false);
    each_disk(m, "block_bytes_total", true);
}

void disk_metrics_init(void)
{
    static struct metrics_source source = {.write = disk_metrics};

    metrics_source_add(&source);
}
