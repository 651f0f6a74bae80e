// SPDX-License-Identifier: Apache-2.0
// Counters of the node in Prometheus' text exposition format, version 0.0.4.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/deposit.h"
#include "mgmt/core/image.h"
#include "mgmt/hcs/api_priv.h"
#include "mgmt/hcs/metrics.h"
#include "mgmt/hvif/hvif.h"

#define TEXT_FIRST 16384u
#define TEXT_MAX (8u << 20)

struct metrics {
    char *text; // malloc()ed
    size_t length, capacity;
    bool failed; // no memory
    char family[64];
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

static bool make_room(struct metrics *m, size_t length)
{
    size_t capacity = MAX(m->capacity, (size_t)TEXT_FIRST);
    char *text;

    if (m->length + length <= m->capacity) {
        return true;
    }
    while (capacity < m->length + length) {
        capacity *= 2;
    }
    text = capacity <= TEXT_MAX ? realloc(m->text, capacity) : NULL;
    if (text == NULL) {
        m->failed = true;
        return false;
    }
    m->text = text;
    m->capacity = capacity;
    return true;
}

static void put(struct metrics *m, const char *fmt, ...)
{
    char line[METRICS_LABELS_MAX + 128];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof line) {
        m->failed = true;
    } else if (make_room(m, (size_t)n)) {
        memcpy(m->text + m->length, line, (size_t)n);
        m->length += (size_t)n;
    }
}

static void metric(struct metrics *m, const char *name, const char *type, uint64_t value)
{
    metrics_family(m, name, type);
    put(m, "keelson_%s %llu\n", name, (unsigned long long)value);
}

void metrics_counter(struct metrics *m, const char *name, uint64_t value)
{
    metric(m, name, "counter", value);
}

void metrics_gauge(struct metrics *m, const char *name, uint64_t value)
{
    metric(m, name, "gauge", value);
}

void metrics_family(struct metrics *m, const char *name, const char *type)
{
    snprintf(m->family, sizeof m->family, "%s", name);
    put(m, "# TYPE keelson_%s %s\n", name, type);
}

void metrics_fail(struct metrics *m)
{
    m->failed = true;
}

void metrics_sample(struct metrics *m, const char *labels, uint64_t value)
{
    put(m, "keelson_%s{%s} %llu\n", m->family, labels, (unsigned long long)value);
}

void metrics_sample_seconds(struct metrics *m, const char *labels, uint64_t microseconds)
{
    put(m, "keelson_%s{%s} %llu.%06u\n", m->family, labels, (unsigned long long)(microseconds / 1000000),
        (unsigned)(microseconds % 1000000));
}

static void label_char(struct metrics_labels *l, char c)
{
    if (l->length < sizeof l->text - 1) {
        l->text[l->length++] = c;
    }
}

// The text format escapes backslash, quote and line feed; there are no other control characters in names.
const char *metrics_label(struct metrics_labels *l, const char *name, const char *value)
{
    if (l->length > 0) {
        label_char(l, ',');
    }
    for (; *name != '\0'; name++) {
        label_char(l, *name);
    }
    label_char(l, '=');
    label_char(l, '"');
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n') {
            label_char(l, '\\');
        }
        label_char(l, *value == '\n' ? 'n' : *value);
    }
    label_char(l, '"');
    l->text[l->length] = '\0';
    return l->text;
}

const char *metrics_label_number(struct metrics_labels *l, const char *name, unsigned value)
{
    char text[12];

    snprintf(text, sizeof text, "%u", value);
    return metrics_label(l, name, text);
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
    struct metrics m = {0};

    metrics_counter(&m, "uptime_milliseconds", core_uptime_ns() / 1000000);
    memory_metrics(&m);
    system_metrics(&m);
    hypervisor_metrics(&m);
    api_request_metrics(&m);
    guest_metrics(&m);
    network_metrics(&m);
    for (struct metrics_source *s = sources; s != NULL; s = s->next) {
        s->write(&m);
    }
    if (m.failed) { // a part of the counters would look like all of them
        free(m.text);
        api_fail(r, HR_E_OUTOFMEMORY, NULL);
        return;
    }
    http_respond_take(r, 200, "text/plain; version=0.0.4", m.text, m.length);
}
