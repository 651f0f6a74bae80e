// SPDX-License-Identifier: Apache-2.0
// keelctl operation ...; and waiting for operations on behalf of the other commands.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/keelctl/json.h"
#include "tools/keelctl/list.h"
#include "tools/keelctl/operation.h"
#include "tools/keelctl/out.h"

#define POLL_MS 1000  // how often progress is asked for while it is drawn
#define WAIT_MS 30000 // and otherwise; the API allows 60,000
#define FOREVER HUGE_VAL

bool parse_number(const char *option, const char *text, uint64_t max, uint64_t *value)
{
    char *end;

    *value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || strlen(text) > 18 || *value > max) {
        complain("--%s: '%s' is no number from 0 to %llu", option, text, (unsigned long long)max);
        return false;
    }
    return true;
}

// --- waiting ---

static bool is_done(const cJSON *op)
{
    const char *state = json_text(op, "State");

    return state != NULL && strcmp(state, "Completed") == 0;
}

static enum status outcome(const struct options *o, const struct answer *a)
{
    const cJSON *error = json_at(a->json, "ResultDocument");

    if (json_number(a->json, "Result") >= 0) {
        return STATUS_OK;
    }
    if (o->output == OUTPUT_JSON) {
        fprintf(stderr, "%s\n", a->body);
    } else if (cJSON_IsObject(error)) {
        report_result_error(error);
    } else {
        complain("the operation failed: %s", json_shown(a->json, "ResultName"));
    }
    return STATUS_FAILED;
}

// Asks for the operation of *a again and again, replacing *a.
static enum status wait_done(struct client *c, const struct options *o, struct answer *a)
{
    double now = monotonic_seconds(), deadline = FOREVER;
    enum status status = STATUS_OK;
    struct progress bar;
    char label[128];
    uint64_t seconds;

    if (o->timeout != NULL) {
        if (!parse_number("timeout", o->timeout, 1000000, &seconds)) {
            return STATUS_USAGE;
        }
        deadline = now + (double)seconds;
    }
    snprintf(label, sizeof label, "%s %s", json_shown(a->json, "Type"), json_shown(a->json, "SystemId"));
    progress_begin(&bar, label, 100, false, o->output == OUTPUT_HUMAN && !o->quiet);
    while (status == STATUS_OK && !is_done(a->json)) {
        double left_ms = (deadline - monotonic_seconds()) * 1000, step = bar.active ? POLL_MS : WAIT_MS;
        char path[96];

        if (left_ms <= 0) {
            status = STATUS_TIMEOUT;
            break;
        }
        progress_update(&bar, json_count(a->json, "Percent"));
        snprintf(path, sizeof path, "/v1/hcs/operations/%.0f?timeoutMs=%.0f", json_number(a->json, "Id"),
                 ceil(fmin(step, left_ms)));
        answer_free(a);
        status = client_request(c, "GET", path, NULL, a);
    }
    progress_end(&bar);
    if (status == STATUS_TIMEOUT) {
        complain("the operation has not ended within %s s; it goes on: keelctl operation wait %.0f",
                 o->timeout, json_number(a->json, "Id"));
    }
    return status == STATUS_OK ? outcome(o, a) : status;
}

enum status operation_run(struct client *c, const struct options *o, const char *path, const char *body,
                          struct answer *result)
{
    struct answer a;
    enum status status = client_request(c, "POST", path, body, &a);

    if (status == STATUS_OK && !o->no_wait && json_text(a.json, "State") != NULL) {
        status = wait_done(c, o, &a);
    }
    if (result != NULL) {
        *result = a;
    } else {
        answer_free(&a);
    }
    return status;
}

// --- commands ---

static enum status show(const struct options *o, const struct answer *a)
{
    if (o->output == OUTPUT_JSON) {
        printf("%s\n", a->body);
        return STATUS_OK;
    }
    field("operation", "%.0f", json_number(a->json, "Id"));
    field("type", "%s", json_shown(a->json, "Type"));
    field("system", "%s", json_shown(a->json, "SystemId"));
    field("state", "%s, %.0f%%", json_shown(a->json, "State"), json_number(a->json, "Percent"));
    field("result", "%s", json_shown(a->json, "ResultName"));
    field("created", "%s", time_text(json_text(a->json, "Created")));
    field("completed", "%s", time_text(json_text(a->json, "Completed")));
    return STATUS_OK;
}

static enum status fetch(struct client *c, const char *id, struct answer *a)
{
    char *path = client_path("/v1/hcs/operations/", id, "");
    enum status status = client_request(c, "GET", path, NULL, a);

    free(path);
    return status;
}

static void operation_row(struct table *t, const cJSON *op)
{
    table_cell(t, "%.0f", json_number(op, "Id"));
    table_cell(t, "%s", json_shown(op, "Type"));
    table_cell(t, "%s", json_shown(op, "SystemId"));
    table_cell(t, "%s", json_shown(op, "State"));
    table_cell(t, "%s", is_done(op) ? json_shown(op, "ResultName") : "-");
    table_cell(t, "%s", time_text(json_text(op, "Created")));
}

enum status operation_list(struct client *c, const struct options *o, char **arguments)
{
    static const char *const headers[] = {"ID", "TYPE", "SYSTEM", "STATE", "RESULT", "CREATED", NULL};
    static const struct listing listing = {headers, NULL, operation_row};

    (void)arguments;
    return list_show(c, o, "/v1/hcs/operations", &listing);
}

enum status operation_show(struct client *c, const struct options *o, char **arguments)
{
    struct answer a;
    enum status status = fetch(c, arguments[0], &a);

    if (status == STATUS_OK) {
        status = show(o, &a);
    }
    answer_free(&a);
    return status;
}

enum status operation_wait(struct client *c, const struct options *o, char **arguments)
{
    struct answer a;
    enum status status = fetch(c, arguments[0], &a);

    if (status == STATUS_OK) {
        status = wait_done(c, o, &a);
    }
    if (status == STATUS_OK) {
        status = show(o, &a);
    }
    answer_free(&a);
    return status;
}

enum status operation_delete(struct client *c, const struct options *o, char **arguments)
{
    (void)o;
    return item_delete(c, "/v1/hcs/operations/", arguments[0]);
}
