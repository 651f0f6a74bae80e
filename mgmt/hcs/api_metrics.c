// SPDX-License-Identifier: Apache-2.0
// Counters of the node in Prometheus' text exposition format, version 0.0.4.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/deposit.h"
#include "mgmt/core/image.h"
#include "mgmt/hcs/api_priv.h"
#include "mgmt/hcs/metrics.h"
#include "mgmt/hvif/hvif.h"

#define METRICS_TEXT_MAX (1u << 20)
#define METRICS_TEXT_FIRST 16384u

struct metrics {
    char *text;
    size_t length, capacity;
    bool full;
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

static bool reserve(struct metrics *m, size_t length)
{
    size_t wanted = MAX(m->capacity, (size_t)METRICS_TEXT_FIRST);
    char *larger;

    while (wanted < m->length + length) {
        wanted *= 2;
    }
    if (wanted == m->capacity) {
        return true;
    }
    larger = wanted <= METRICS_TEXT_MAX ? realloc(m->text, wanted) : NULL;
    if (larger == NULL) {
        return false;
    }
    m->text = larger;
    m->capacity = wanted;
    return true;
}

static void append(struct metrics *m, const char *text)
{
    size_t length = strlen(text);

    if (m->full || !reserve(m, length)) {
        m->full = true;
        return;
    }
    memcpy(m->text + m->length, text, length);
    m->length += length;
}

static void append_number(struct metrics *m, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, " %llu\n", (unsigned long long)value);
    append(m, text);
}

static void append_type(struct metrics *m, const char *name, const char *type)
{
    append(m, "# TYPE keelson_");
    append(m, name);
    append(m, " ");
    append(m, type);
    append(m, "\n");
}

static void metric(struct metrics *m, const char *name, const char *type, uint64_t value)
{
    append_type(m, name, type);
    append(m, "keelson_");
    append(m, name);
    append_number(m, value);
}

void metrics_counter(struct metrics *m, const char *name, uint64_t value)
{
    metric(m, name, "counter", value);
}

void metrics_gauge(struct metrics *m, const char *name, uint64_t value)
{
    metric(m, name, "gauge", value);
}

void metrics_family(struct metrics *m, const char *name)
{
    append_type(m, name, "counter");
}

static void append_escaped(struct metrics *m, const char *text)
{
    for (; *text != '\0'; text++) {
        const char one[] = {*text, '\0'};

        append(m, *text == '\\' ? "\\\\" : *text == '"' ? "\\\"" : *text == '\n' ? "\\n" : one);
    }
}

void metrics_sample(struct metrics *m, const char *name, const struct metrics_label *labels, size_t count,
                    uint64_t value)
{
    append(m, "keelson_");
    append(m, name);
    for (size_t i = 0; i < count; i++) {
        append(m, i == 0 ? "{" : ",");
        append(m, labels[i].name);
        append(m, "=\"");
        append_escaped(m, labels[i].value);
        append(m, "\"");
    }
    append(m, count > 0 ? "}" : "");
    append_number(m, value);
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

// --- switches' ports ---

#define PORT_COUNTER(field) offsetof(struct switch_port_counters, field)

static const struct port_metric {
    const char *name, *reason;
    size_t offset;
} port_metrics[] = {
    {"switch_port_sent_frames_total", NULL, PORT_COUNTER(rx_frames)},
    {"switch_port_sent_bytes_total", NULL, PORT_COUNTER(rx_bytes)},
    {"switch_port_received_frames_total", NULL, PORT_COUNTER(tx_frames)},
    {"switch_port_received_bytes_total", NULL, PORT_COUNTER(tx_bytes)},
    {"switch_port_dropped_frames_total", "no_room", PORT_COUNTER(dropped_no_room)},
    {"switch_port_dropped_frames_total", "too_long", PORT_COUNTER(dropped_too_long)},
    {"switch_port_dropped_frames_total", "spoofed", PORT_COUNTER(dropped_spoofed)},
    {"switch_port_dropped_frames_total", "rate", PORT_COUNTER(dropped_rate)},
    {"switch_port_dropped_frames_total", "vlan", PORT_COUNTER(dropped_vlan)},
    {"switch_port_dropped_frames_total", "malformed", PORT_COUNTER(dropped_malformed)},
    {"switch_port_dropped_frames_total", "reserved", PORT_COUNTER(dropped_reserved)},
};

struct port_walk {
    struct metrics *m;
    const struct network_switch *home;
    const struct port_metric *metric;
};

static void port_sample(void *arg, const struct network_port *p)
{
    const struct port_walk *walk = arg;
    char number[12];
    struct metrics_label labels[4] = {{"switch", walk->home->name}};
    size_t count = 1;

    if (p->system != NULL) {
        snprintf(number, sizeof number, "%u", p->adapter);
        labels[count++] = (struct metrics_label){"system", p->system->id};
        labels[count++] = (struct metrics_label){"adapter", number};
    } else {
        labels[count++] = (struct metrics_label){"port", p->uplink ? "uplink" : "management"};
    }
    if (walk->metric->reason != NULL) {
        labels[count++] = (struct metrics_label){"reason", walk->metric->reason};
    }
    metrics_sample(walk->m, walk->metric->name, labels, count,
                   *(const uint64_t *)((const char *)&p->port->counters + walk->metric->offset));
}

static void network_metrics(struct metrics *m)
{
    for (size_t i = 0; i < ARRAY_LEN(port_metrics); i++) {
        struct port_walk walk = {.m = m, .metric = &port_metrics[i]};

        if (i == 0 || strcmp(port_metrics[i].name, port_metrics[i - 1].name) != 0) {
            metrics_family(m, port_metrics[i].name);
        }
        for (walk.home = network_next_switch(NULL); walk.home != NULL;
             walk.home = network_next_switch(walk.home)) {
            network_each_port(walk.home, port_sample, &walk);
        }
    }
}

void api_metrics(struct http_request *r)
{
    struct metrics metrics = {0}, *m = &metrics;

    metrics_counter(m, "uptime_milliseconds", core_uptime_ns() / 1000000);
    memory_metrics(m);
    system_metrics(m);
    hypervisor_metrics(m);
    network_metrics(m);
    for (struct metrics_source *s = sources; s != NULL; s = s->next) {
        s->write(m);
    }
    if (m->full) { // a part of the counters would look like all of them
        free(m->text);
        http_error(r, 500, "too_long", "the counters do not fit into the management heap", NULL);
        return;
    }
    http_respond_take(r, 200, "text/plain; version=0.0.4", m->text, m->length);
}
