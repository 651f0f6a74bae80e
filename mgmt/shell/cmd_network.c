// SPDX-License-Identifier: Apache-2.0
// Virtual switches: what there are, and their ports.
#include "mgmt/core/network.h"
#include "mgmt/shell/command.h"

void cmd_switch_list(const struct call *c)
{
    static const char *const headers[] = {"NAME", "TYPE", ">ENDPOINTS", ">ADAPTERS", NULL};
    struct table t;

    (void)c;
    table_begin(&t, headers);
    for (const struct network_switch *s = network_next_switch(NULL); s != NULL; s = network_next_switch(s)) {
        table_cell(&t, "%s", s->name);
        table_cell(&t, "%s", s->type == NETWORK_EXTERNAL ? "external" : "private");
        table_cell(&t, "%u", s->endpoints);
        table_cell(&t, "%u", s->adapters);
    }
    table_end(&t);
}

static uint64_t dropped(const struct switch_port_counters *c)
{
    return c->dropped_no_room + c->dropped_too_long + c->dropped_spoofed + c->dropped_rate + c->dropped_vlan +
           c->dropped_malformed + c->dropped_reserved;
}

static void port_row(void *arg, const struct network_port *p)
{
    const struct switch_port_counters *c = &p->port->counters;
    const uint8_t *mac = p->port->settings.mac;
    char address[NETWORK_IPV4_TEXT];
    struct table *t = arg;

    if (p->system != NULL) {
        table_cell(t, "%s #%u", p->system->id, p->adapter);
    } else {
        table_cell(t, "%s", p->uplink ? "(uplink)" : "(management)");
    }
    if (p->port->settings.guarded) {
        table_cell(t, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    } else {
        table_cell(t, "any");
    }
    table_cell(t, "%s", network_dhcp_address(p->port, address) ? address : "-");
    table_cell(t, "%u%s", p->port->settings.vlan, p->port->settings.trunk ? ", trunk" : "");
    table_cell(t, "%s", count_text(c->rx_frames));
    table_cell(t, "%s", bytes_text(c->rx_bytes));
    table_cell(t, "%s", count_text(c->tx_frames));
    table_cell(t, "%s", bytes_text(c->tx_bytes));
    table_cell(t, "%s", count_text(dropped(c)));
}

void cmd_switch_show(const struct call *c)
{
    static const char *const headers[] = {"PORT", "MAC",       "IPV4", "VLAN",     ">SENT",
                                          ">",    ">RECEIVED", ">",    ">DROPPED", NULL};
    const struct network_switch *s = network_find_switch(c->argument[0]);
    struct table t;

    if (s == NULL) {
        say_problem("there is no switch '%s'; switch list shows them", c->argument[0]);
        return;
    }
    table_begin(&t, headers);
    network_each_port(s, port_row, &t);
    table_end(&t);
}
