// SPDX-License-Identifier: Apache-2.0
// The store's counters in /metrics, and those of each disk in it.
#include "mgmt/hcs/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "mgmt/block_metrics.h"
#include "mgmt/state/state_activity.h"
#include "mgmt/state/state_priv.h"
#include "mgmt/store/volume.h"

// Disks and their activities are found by name once, while the text wants them counter by counter.
struct disk_row {
    struct volume_info info;
    struct activity_counts counts;
};

struct disk_rows {
    struct disk_row *row;
    size_t count;
};

static size_t count_disks(void)
{
    size_t n = 0;

    for (struct volume *v = NULL; (v = volume_next(state_store(), VOLUME_DISK, v)) != NULL;) {
        n++;
    }
    return n;
}

// Both lists are in the same order. A disk that nobody has used has zeros.
static bool read_rows(struct disk_rows *rows)
{
    const struct activity *a = activity_next(NULL);

    rows->row = calloc(count_disks() + 1, sizeof *rows->row); // never nothing
    if (rows->row == NULL) {
        return false;
    }
    for (struct volume *v = NULL; (v = volume_next(state_store(), VOLUME_DISK, v)) != NULL; rows->count++) {
        struct disk_row *row = &rows->row[rows->count];

        volume_get_info(v, &row->info);
        while (a != NULL && strcmp(activity_name(a), row->info.name) < 0) {
            a = activity_next(a);
        }
        if (a != NULL && strcmp(activity_name(a), row->info.name) == 0) {
            activity_get(a, &row->counts);
        }
    }
    return true;
}

static void write_values(struct metrics *m, const struct disk_rows *rows, const char *name, const char *type,
                         size_t offset)
{
    metrics_family(m, name, type);
    for (size_t i = 0; i < rows->count; i++) {
        struct metrics_labels l = {0};
        uint64_t value;

        memcpy(&value, (const uint8_t *)&rows->row[i] + offset, sizeof value);
        metrics_sample(m, metrics_label(&l, "disk", rows->row[i].info.name), value);
    }
}

static void write_operations(struct metrics *m, const struct disk_rows *rows, const char *name, bool bytes)
{
    metrics_family(m, name, "counter");
    for (size_t i = 0; i < rows->count; i++) {
        struct metrics_labels l = {0};

        metrics_label(&l, "disk", rows->row[i].info.name);
        block_metrics_operations(m, &l, &rows->row[i].counts.block, bytes);
    }
}

static void write_disks(struct metrics *m)
{
    struct disk_rows rows = {0};

    if (!read_rows(&rows)) {
        metrics_fail(m);
        return;
    }
#define OF_DISK(field) offsetof(struct disk_row, field)
    write_values(m, &rows, "store_disk_size_bytes", "gauge", OF_DISK(info.size));
    write_values(m, &rows, "store_disk_allocated_bytes", "gauge", OF_DISK(info.allocated));
    write_operations(m, &rows, "store_disk_requests_total", false);
    write_operations(m, &rows, "store_disk_bytes_total", true);
    write_values(m, &rows, "store_disk_errors_total", "counter", OF_DISK(counts.block.errors));
    write_values(m, &rows, "store_disk_allocations_total", "counter", OF_DISK(counts.allocations));
    write_values(m, &rows, "store_disk_map_misses_total", "counter", OF_DISK(counts.misses));
    write_values(m, &rows, "store_disk_map_commits_total", "counter", OF_DISK(counts.commits));
#undef OF_DISK
    free(rows.row);
}

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
    write_disks(m);
}

void state_metrics_init(void)
{
    static struct metrics_source source = {.write = write_metrics};

    metrics_source_add(&source);
}
