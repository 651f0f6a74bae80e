// SPDX-License-Identifier: Apache-2.0
// Counters of the node in Prometheus' text exposition format, version 0.0.4.
#include <stdio.h>

#include "mgmt/core/deposit.h"
#include "mgmt/core/image.h"
#include "mgmt/hcs/api_priv.h"
#include "mgmt/hcs/metrics.h"
#include "mgmt/hvif/hvif.h"

#define METRICS_TEXT_MAX 16384

struct metrics {
    size_t length;
    bool full;
    char text[METRICS_TEXT_MAX];
};

static struct metrics_source *sources;

void metrics_source_add(struct metrics_source *s)
{
    struct metrics_source **last = &sources;

    while (*last != NULL) {
        if (*last == s) {
            return;
        }
        last = &(*last)->next;
    }
    s->next = NULL;
    *last = s;
}

static void metric(struct metrics *m, const char *name, const char *type, uint64_t value)
{
    size_t room = sizeof m->text - m->length;
    int n = snprintf(m->text + m->length, room, "# TYPE keelson_%s %s\nkeelson_%s %llu\n", name, type, name,
                     (unsigned long long)value);

    if (n < 0 || (size_t)n >= room) {
        m->full = true;
        return;
    }
    m->length += (size_t)n;
}

void metrics_counter(struct metrics *m, const char *name, uint64_t value)
{
    metric(m, name, "counter", value);
}

void metrics_gauge(struct metrics *m, const char *name, uint64_t value)
{
    metric(m, name, "gauge", value);
}

// --- what the core knows ---

static void memory_metrics(struct metrics *m)
{
    uint64_t total, part, pages, chunks;

    plat_pool_usage(&total, &part);
    metrics_gauge(m, "guest_memory_bytes", total);
    metrics_gauge(m, "guest_memory_free_bytes", part);
    plat_heap_usage(&total, &part);
    metrics_gauge(m, "heap_bytes", total);
    metrics_gauge(m, "heap_used_bytes", part);
    deposit_usage(&pages, &chunks);
    metrics_gauge(m, "deposited_pages", pages);
    metrics_gauge(m, "deposit_chunks", chunks);
    metrics_gauge(m, "image_bytes", image_pool_bytes());
}

static void system_metrics(struct metrics *m)
{
    uint64_t states[4] = {0};

    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        states[s->state]++;
    }
    metrics_gauge(m, "systems_created", states[SYSTEM_CREATED]);
    metrics_gauge(m, "systems_running", states[SYSTEM_RUNNING]);
    metrics_gauge(m, "systems_paused", states[SYSTEM_PAUSED]);
    metrics_gauge(m, "systems_stopped", states[SYSTEM_STOPPED]);
}

// The frame table's counts among others.
static void hypervisor_metrics(struct metrics *m)
{
    struct hv_x_info_out info;

    if (hvif_info(&info) != HV_STATUS_SUCCESS) {
        return;
    }
    metrics_gauge(m, "partitions", info.partition_count);
    metrics_gauge(m, "processors", info.cpu_count);
    metrics_counter(m, "idle_ticks", info.idle_tsc);
    metrics_gauge(m, "hypervisor_total_pages", info.total_pages);
    metrics_gauge(m, "hypervisor_own_pages", info.hv_pages);
    metrics_gauge(m, "hypervisor_deposited_pages", info.deposited_pages);
    metrics_gauge(m, "hypervisor_mapped_pages", info.mapped_pages);
}

void api_metrics(struct http_request *r)
{
    struct metrics *m = http_alloc(r, sizeof *m);

    if (m == NULL) {
        api_fail(r, HR_E_OUTOFMEMORY, NULL);
        return;
    }
    metrics_counter(m, "uptime_milliseconds", core_uptime_ns() / 1000000);
    memory_metrics(m);
    system_metrics(m);
    hypervisor_metrics(m);
    for (struct metrics_source *s = sources; s != NULL; s = s->next) {
        s->write(m);
    }
    if (m->full) { // a part of the counters would look like all of them
        http_error(r, 500, "too_long", "the counters do not fit into their buffer", NULL);
        return;
    }
    http_respond(r, 200, "text/plain; version=0.0.4", m->text, m->length);
}
