// SPDX-License-Identifier: Apache-2.0
// What the hypervisor counts for each guest's virtual processors, in /metrics.
#include <stdlib.h>
#include <string.h>

#include <gen/exit_reasons.h>

#include "mgmt/hcs/api_priv.h"
#include "mgmt/hcs/metrics.h"
#include "mgmt/hvif/hvif.h"

// All counters of a VP come from one moment, while the text wants them by name: hence a table.
struct vp_row {
    const struct system *system;
    uint32_t vp;
    struct hv_x_counters_out counters;
};

struct rows {
    struct vp_row *row;
    size_t count, capacity;
    uint64_t tsc_hz;
};

#define EXIT_NAME(reason, name) [reason] = name,
static const char *const exit_names[EXIT_REASON_COUNT] = {EXIT_REASON_TABLE(EXIT_NAME)};
#undef EXIT_NAME

static size_t count_vps(void)
{
    size_t n = 0;

    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        n += s->partition.vps;
    }
    return n;
}

// A VP that vanishes in between has no row.
static void read_rows(struct rows *rows)
{
    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        for (uint32_t i = 0; i < s->partition.vps && rows->count < rows->capacity; i++) {
            struct vp_row *row = &rows->row[rows->count];

            if (hvif_counters(s->partition.id, i, &row->counters) == HV_STATUS_SUCCESS) {
                row->system = s;
                row->vp = i;
                rows->count++;
            }
        }
    }
}

static void labels_of(const struct vp_row *row, struct metrics_labels *l)
{
    l->length = 0;
    metrics_label(l, "system", row->system->id);
    metrics_label_number(l, "vp", row->vp);
}

static void write_counts(struct metrics *m, const struct rows *rows, const char *name, const char *type,
                         unsigned counter)
{
    struct metrics_labels l;

    metrics_family(m, name, type);
    for (size_t i = 0; i < rows->count; i++) {
        labels_of(&rows->row[i], &l);
        metrics_sample(m, l.text, rows->row[i].counters.value[counter]);
    }
}

static void write_seconds(struct metrics *m, const struct rows *rows, const char *name, unsigned counter)
{
    struct metrics_labels l;

    metrics_family(m, name, "counter");
    for (size_t i = 0; i < rows->count; i++) {
        uint64_t ticks = rows->row[i].counters.value[counter];

        labels_of(&rows->row[i], &l);
        metrics_sample_seconds(m, l.text, (uint64_t)((unsigned __int128)ticks * 1000000 / rows->tsc_hz));
    }
}

// Reasons that have never occurred are left out.
static void write_exits(struct metrics *m, const struct rows *rows)
{
    struct metrics_labels l;

    metrics_family(m, "vp_exits_total", "counter");
    for (size_t i = 0; i < rows->count; i++) {
        for (unsigned reason = 0; reason < EXIT_REASON_COUNT; reason++) {
            uint64_t count = rows->row[i].counters.value[HV_CTR_EXIT0 + reason];

            if (count != 0) {
                labels_of(&rows->row[i], &l);
                metrics_sample(m, metrics_label(&l, "reason", exit_names[reason]), count);
            }
        }
    }
}

static void write_pools(struct metrics *m)
{
    metrics_family(m, "system_pool_pages", "gauge");
    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        struct hv_memory_balance_out balance;
        struct metrics_labels l = {0};

        if (s->partition.id != HV_PARTITION_ID_INVALID &&
            hvif_memory_balance(s->partition.id, &balance) == HV_STATUS_SUCCESS) {
            metrics_sample(m, metrics_label(&l, "system", s->id), balance.in_use);
        }
    }
}

void guest_metrics(struct metrics *m)
{
    struct hv_x_info_out info;
    struct rows rows = {.capacity = count_vps()};

    if (hvif_info(&info) != HV_STATUS_SUCCESS || info.tsc_hz == 0) {
        return;
    }
    rows.tsc_hz = info.tsc_hz;
    rows.row = calloc(MAX(rows.capacity, (size_t)1), sizeof *rows.row);
    if (rows.row == NULL) {
        metrics_fail(m);
        return;
    }
    read_rows(&rows);
    write_counts(m, &rows, "vp_state", "gauge", HV_CTR_STATE);
    write_seconds(m, &rows, "vp_run_seconds_total", HV_CTR_RUN_TSC);
    write_seconds(m, &rows, "vp_wait_seconds_total", HV_CTR_WAIT_TSC);
    write_counts(m, &rows, "vp_entries_total", "counter", HV_CTR_ENTRIES);
    write_counts(m, &rows, "vp_interrupts_total", "counter", HV_CTR_INTERRUPTS);
    write_counts(m, &rows, "vp_hypercalls_total", "counter", HV_CTR_HYPERCALLS);
    write_counts(m, &rows, "vp_switches_total", "counter", HV_CTR_SWITCHES);
    write_exits(m, &rows);
    free(rows.row);
    write_pools(m);
}
