// SPDX-License-Identifier: Apache-2.0
// The node itself: facts, network, memory, what happened, secret, end.
#include <string.h>

#include "mgmt/core/auth.h"
#include "mgmt/core/core.h"
#include "mgmt/core/deposit.h"
#include "mgmt/core/event.h"
#include "mgmt/core/keeper.h"
#include "mgmt/hcs/server.h"
#include "mgmt/hvif/hvif.h"
#include "mgmt/plat.h"
#include "mgmt/shell/command.h"
#include "net/net.h"

#define EVENTS_SHOWN 20u

// --- facts ---

static void show_addresses(void)
{
    char text[NET_ADDRESSES_MAX][NET_ADDRESS_TEXT];
    size_t count = net_addresses(text);

    for (size_t i = 0; i < count; i++) {
        term_field(i == 0 ? "addresses" : "", "%s", text[i]);
    }
    if (count == 0) {
        term_field("addresses", "none%s", net_link_up() ? "" : ", the link is down");
    }
}

void cmd_version(const struct call *c)
{
    (void)c;
    term_print("Keelson %s\n", core_node()->version);
}

void cmd_node(const struct call *c)
{
    const struct core_node *node = core_node();
    char fingerprint[96];

    (void)c;
    api_server_fingerprint(fingerprint);
    term_field("node", "%s", node->hostname);
    term_field("version", "Keelson %s", node->version);
    term_field("engine", "%s", node->engine);
    term_field("processors", "%u x %s", (unsigned)node->cpu_count, node->cpu_brand);
    term_field("TSC", "%s kHz", count_text(node->tsc_hz / 1000));
    term_field("systems", "%u", (unsigned)system_count());
    term_field("up", "%s", duration_text(core_uptime_ns() / 1000000));
    term_field("time", "%s UTC", time_text(plat_unix_ms()));
    show_addresses();
    term_field("fingerprint", "%s", fingerprint[0] != '\0' ? fingerprint : "no certificate yet");
}

void cmd_network(const struct call *c)
{
    struct http_stats http;
    struct tls_stats tls;
    struct net_stats net;

    (void)c;
    if (net_hostname()[0] == '\0') {
        say_problem("the network has not started; hv log says why");
        return;
    }
    net_stats(&net);
    api_server_stats(&http, &tls);
    term_field("hostname", "%s", net_hostname());
    term_field("link", "%s", net_link_up() ? "up" : "down");
    show_addresses();
    term_field("received", "%s frames, %s, %s dropped", count_text(net.rx_frames), bytes_text(net.rx_bytes),
               count_text(net.rx_dropped));
    term_field("sent", "%s frames, %s, %s dropped", count_text(net.tx_frames), bytes_text(net.tx_bytes),
               count_text(net.tx_dropped));
    term_field("TCP", "%u connections, %s of data held", (unsigned)net.tcp_connections,
               bytes_text(net.heap_used));
    term_field("TLS", "%u established, %u in handshake; %s accepted, %s failed", (unsigned)tls.established,
               (unsigned)(tls.handshakes + tls.waiting), count_text(tls.accepted), count_text(tls.failed));
    term_field("HTTP", "%u connections, %u requests going on, %u WebSockets", (unsigned)http.connections,
               (unsigned)http.requests_active, (unsigned)http.websockets);
    term_field("requests", "%s, %s refused by us (4xx), %s failed (5xx)", count_text(http.requests),
               count_text(http.errors_4xx), count_text(http.errors_5xx));
}

void cmd_memory(const struct call *c)
{
    uint64_t total, free_bytes, heap_total, heap_used, pages, chunks;
    struct hv_x_info_out info;
    hv_status_t status = hvif_info(&info);

    (void)c;
    plat_pool_usage(&total, &free_bytes);
    plat_heap_usage(&heap_total, &heap_used);
    deposit_usage(&pages, &chunks);
    term_field("guest pool", "%s, %s free", bytes_text(total), bytes_text(free_bytes));
    term_field("images", "%s", bytes_text(image_pool_bytes()));
    term_field("deposited", "%s in %s", bytes_text(pages * PAGE_SIZE), bytes_text(chunks * PAGE_SIZE_2M));
    term_field("heap", "%s used of %s", bytes_text(heap_used), bytes_text(heap_total));
    if (status != HV_STATUS_SUCCESS) {
        say_hv(status, "asking the hypervisor");
        return;
    }
    term_field("hypervisor", "%s", bytes_text(info.hv_pages * PAGE_SIZE));
    term_field("machine", "%s", bytes_text(info.total_pages * PAGE_SIZE));
}

// --- what happened ---

void cmd_event_list(const struct call *c)
{
    uint64_t oldest, next, count = EVENTS_SHOWN;

    if (c->argument[0] != NULL && !parse_number("count", c->argument[0], 1, 1000000, &count)) {
        return;
    }
    event_range(&oldest, &next);
    for (uint64_t i = MAX(oldest, next > count ? next - count : 0); i < next; i++) {
        const struct event *e = event_get(i);

        term_print("%6llu  %s  %-18s %-16s %s\n", (unsigned long long)i, time_text(e->unix_ms),
                   event_type_name(e->type), e->subject, e->text);
    }
}

void cmd_operation_list(const struct call *c)
{
    static const char *const headers[] = {">NUMBER", "TYPE", "SUBJECT", "STATE", "CREATED", "RESULT", NULL};
    struct table t;

    (void)c;
    table_begin(&t, headers);
    for (const struct operation *op = operation_first(); op != NULL; op = op->next) {
        bool pending = op->state == OPERATION_PENDING;

        table_cell(&t, "%llu", (unsigned long long)op->id);
        table_cell(&t, "%s", operation_type_name(op->type));
        table_cell(&t, "%s", op->subject);
        table_cell(&t, pending ? "Pending %u %%" : "Done", (unsigned)op->percent);
        table_cell(&t, "%s", time_text(op->created_ms));
        table_cell(&t, "%s", pending ? "-" : op->error.status == CORE_OK ? "ok" : op->error.text);
    }
    table_end(&t);
}

// --- secret and end ---

static char new_secret[AUTH_SECRET_TEXT];

static void show_secret(void)
{
    term_print("administrator secret: %s\n", new_secret);
    memset(new_secret, 0, sizeof new_secret);
    __asm__ volatile("" : : "r"(new_secret) : "memory"); // the wiping is not for nothing
}

static void secret_saved(void *arg, const struct core_error *error)
{
    (void)arg;
    show_secret();
    if (error != NULL) {
        say_error(error);
        say_problem("after a restart the old secret is valid again");
    }
    shell_release();
}

void cmd_secret_new(const struct call *c)
{
    uint8_t digest[AUTH_DIGEST];

    (void)c;
    auth_new_secret(new_secret);
    if (keeper() == NULL) {
        show_secret();
        return;
    }
    auth_get_digest(digest);
    shell_hold();
    keeper()->save_setting(AUTH_SETTING, digest, sizeof digest, secret_saved, NULL);
}

static unsigned living_systems(void)
{
    unsigned n = 0;

    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        n += s->state == SYSTEM_RUNNING || s->state == SYSTEM_PAUSED || system_busy(s);
    }
    return n;
}

static void end_node(const struct call *c, enum core_end how, const char *done)
{
    unsigned living = living_systems();

    if (living > 0 && c->option[OPTION_FORCE] == NULL) {
        say_problem("%u system%s run%s and would end; say --force, or shut %s down first", living,
                    living > 1 ? "s" : "", living > 1 ? "" : "s", living > 1 ? "them" : "it");
        return;
    }
    core_end(how, "admin");
    term_print("%s\n", done);
}

void cmd_reboot(const struct call *c)
{
    end_node(c, CORE_END_REBOOT, "the node restarts");
}

void cmd_poweroff(const struct call *c)
{
    end_node(c, CORE_END_POWER_OFF, "the node powers off");
}
