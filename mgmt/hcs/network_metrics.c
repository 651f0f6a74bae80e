// SPDX-License-Identifier: Apache-2.0
// What the ports of the virtual switches count, in /metrics.
#include <stddef.h>
#include <string.h>

#include "mgmt/core/network.h"
#include "mgmt/core/system.h"
#include "mgmt/hcs/api_priv.h"
#include "mgmt/hcs/metrics.h"
#include "mgmt/vswitch/vswitch.h"

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
    struct metrics_labels l = {0};

    metrics_label(&l, "switch", walk->home->name);
    if (p->system != NULL) {
        metrics_label(&l, "system", p->system->id);
        metrics_label_number(&l, "adapter", p->adapter);
    } else {
        metrics_label(&l, "port", p->uplink ? "uplink" : "management");
    }
    if (walk->metric->reason != NULL) {
        metrics_label(&l, "reason", walk->metric->reason);
    }
    metrics_sample(walk->m, l.text,
                   *(const uint64_t *)((const char *)&p->port->counters + walk->metric->offset));
}

void network_metrics(struct metrics *m)
{
    for (size_t i = 0; i < ARRAY_LEN(port_metrics); i++) {
        struct port_walk walk = {.m = m, .metric = &port_metrics[i]};

        if (i == 0 || strcmp(port_metrics[i].name, port_metrics[i - 1].name) != 0) {
            metrics_family(m, port_metrics[i].name, "counter");
        }
        for (walk.home = network_next_switch(NULL); walk.home != NULL;
             walk.home = network_next_switch(walk.home)) {
            network_each_port(walk.home, port_sample, &walk);
        }
    }
}
