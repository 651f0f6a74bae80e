// SPDX-License-Identifier: Apache-2.0
// keelctl node ...: the machine itself.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/keelctl/client.h"
#include "tools/keelctl/config.h"
#include "tools/keelctl/json.h"
#include "tools/keelctl/list.h"
#include "tools/keelctl/out.h"
#include "tools/keelctl/trust.h"

// --- node ---

static void show_node(const cJSON *n)
{
    const cJSON *memory = json_at(n, "Memory");

    field("node", "%s", json_shown(n, "Hostname"));
    field("version", "Keelson %s", json_shown(n, "Version"));
    field("engine", "%s", json_shown(n, "Engine"));
    field("processors", "%.0f x %s", json_number(n, "ProcessorCount"), json_shown(n, "ProcessorName"));
    field("guest memory", "%s free of %s", bytes_text(json_number(memory, "FreeBytes")),
          bytes_text(json_number(memory, "TotalBytes")));
    field("images", "%s", bytes_text(json_number(memory, "ImageBytes")));
    field("heap", "%s used of %s", bytes_text(json_number(memory, "HeapUsedBytes")),
          bytes_text(json_number(memory, "HeapTotalBytes")));
    field("systems", "%.0f", json_number(n, "Systems"));
    field("up", "%s", duration_text(json_number(n, "UptimeMs") / 1000));
    field("time", "%s UTC", time_text(json_text(n, "Time")));
}

enum status node_show(struct client *c, const struct options *o, char **arguments)
{
    struct answer a;
    enum status status = client_request(c, "GET", "/v1/node", NULL, &a);

    (void)arguments;
    if (status == STATUS_OK && o->output == OUTPUT_JSON) {
        printf("%s\n", a.body);
    } else if (status == STATUS_OK) {
        show_node(a.json);
    }
    answer_free(&a);
    return status;
}

// Running systems end with the node: this asks for consent unless there are none.
static enum status end_node(struct client *c, const struct options *o, const char *path, const char *done)
{
    struct answer a;
    enum status status = client_request(c, "GET", "/v1/node", NULL, &a);
    double systems = json_number(a.json, "Systems");

    answer_free(&a);
    if (status == STATUS_OK && systems > 0 && !o->force) {
        complain(
            "the node has %.0f systems, which would end; say --force, or terminate and delete them first",
            systems);
        return STATUS_FAILED;
    }
    if (status == STATUS_OK) {
        status = client_request(c, "POST", path, NULL, &a);
        answer_free(&a);
    }
    if (status == STATUS_OK && !o->quiet && o->output == OUTPUT_HUMAN) {
        puts(done);
    }
    return status;
}

enum status node_reboot(struct client *c, const struct options *o, char **arguments)
{
    (void)arguments;
    return end_node(c, o, "/v1/node/reboot", "the node restarts");
}

enum status node_poweroff(struct client *c, const struct options *o, char **arguments)
{
    (void)arguments;
    return end_node(c, o, "/v1/node/poweroff", "the node powers off");
}

// Prints a text answer.
static enum status print_text(struct client *c, const char *path)
{
    struct answer a;
    enum status status = client_request(c, "GET", path, NULL, &a);

    if (status == STATUS_OK) {
        print_lines(stdout, a.body);
    }
    answer_free(&a);
    return status;
}

enum status node_metrics(struct client *c, const struct options *o, char **arguments)
{
    (void)o, (void)arguments;
    return print_text(c, "/metrics");
}

// The log comes in pieces; each answer says where the next one begins.
enum status node_log(struct client *c, const struct options *o, char **arguments)
{
    enum status status;
    char path[96], from[24] = "0";
    bool more = true;

    (void)arguments;
    if (o->from != NULL) {
        snprintf(from, sizeof from, "%s", o->from);
    }
    do {
        char *escaped = client_escape(from);
        struct answer a;

        snprintf(path, sizeof path, "/v1/hypervisor/log?from=%s", escaped);
        free(escaped);
        status = client_request(c, "GET", path, NULL, &a);
        more = status == STATUS_OK && a.length > 0 && a.next[0] != '\0' && strcmp(a.next, from) != 0;
        if (status == STATUS_OK && a.body != NULL) {
            print_lines(stdout, a.body);
        }
        snprintf(from, sizeof from, "%s", a.next);
        answer_free(&a);
    } while (more);
    return status;
}

static void partition_row(struct table *t, const cJSON *p)
{
    table_cell(t, "%.0f", json_number(p, "Id"));
    table_cell(t, "%s", json_shown(p, "SystemId"));
    table_cell(t, "%.0f", json_number(p, "PoolPagesInUse"));
    table_cell(t, "%.0f", json_number(p, "RunTsc"));
    table_cell(t, "%.0f", json_number(p, "Entries"));
    table_cell(t, "%.0f", json_number(p, "Interrupts"));
    table_cell(t, "%.0f", json_number(p, "Hypercalls"));
}

enum status node_partitions(struct client *c, const struct options *o, char **arguments)
{
    static const char *const headers[] = {"PARTITION", "SYSTEM",     "POOL PAGES", "RUN TICKS",
                                          "ENTRIES",   "INTERRUPTS", "HYPERCALLS", NULL};
    static const struct listing listing = {headers, "Partitions", partition_row};

    (void)arguments;
    return list_show(c, o, "/v1/hypervisor/partitions", &listing);
}

// --- trust ---

// Needs no secret: the node only shows its certificate.
enum status node_trust(struct client *c, const struct options *o, char **arguments)
{
    char wanted[65] = "", presented[65], text[96], *url, *name;
    enum status status;

    (void)c;
    if (arguments[0] != NULL && !fingerprint_normalize(arguments[0], wanted)) {
        return usage_error("'%s' is no SHA-256 fingerprint: expected 64 hexadecimal digits", arguments[0]);
    }
    status = client_node_name(o, &url, &name);
    if (status == STATUS_OK) {
        status = trust_probe(url, presented);
    }
    if (status != STATUS_OK) {
        return status;
    }
    fingerprint_text(presented, text);
    if (wanted[0] != '\0' && strcmp(wanted, presented) != 0) {
        complain("%s shows another certificate: %s", name, text);
        status = STATUS_UNREACHABLE;
    } else if (wanted[0] == '\0' && !o->accept_new && !trust_ask(name, presented)) {
        complain("nothing was changed");
        status = STATUS_UNREACHABLE;
    } else if (!known_node_record(name, presented)) {
        status = STATUS_FAILED;
    } else if (!o->quiet) {
        printf("%s is a known node: %s\n", name, text);
    }
    free(url);
    free(name);
    return status;
}
