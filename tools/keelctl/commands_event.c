// SPDX-License-Identifier: Apache-2.0
// keelctl event ...: what has happened on the node, and what happens.
//
// The list is asked for page by page. Who follows reads the node's event stream, and goes on behind the last event seen
// when the connection was lost.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/keelctl/json.h"
#include "tools/keelctl/operation.h"
#include "tools/keelctl/out.h"
#include "tools/keelctl/sse.h"

#define RETRY_FIRST_S 1u
#define RETRY_MAX_S 15u

static void print_event(const cJSON *e)
{
    char *line;

    if (asprintf(&line, "%6.0f  %s  %-18s %-16s %s", json_number(e, "Sequence"),
                 time_text(json_text(e, "Time")), json_shown(e, "Type"), json_shown(e, "Subject"),
                 json_shown(e, "Text")) < 0) {
        abort();
    }
    print_clean(stdout, "%s\n", line);
    free(line);
}

static void print_lost(const cJSON *document)
{
    if (json_number(document, "Lost") > 0) {
        printf("[%.0f older events are gone]\n", json_number(document, "Lost"));
    }
}

// --- pages ---

static void print_page(const struct options *o, const struct answer *a)
{
    const cJSON *e;

    if (o->output == OUTPUT_JSON) {
        printf("%s\n", a->body);
        return;
    }
    print_lost(a->json);
    cJSON_ArrayForEach(e, json_at(a->json, "Events"))
    {
        print_event(e);
    }
}

static enum status list(struct client *c, const struct options *o, uint64_t from)
{
    enum status status;
    double count;

    do {
        struct answer a;
        char path[96];

        snprintf(path, sizeof path, "/v1/events?from=%llu&timeoutMs=0", (unsigned long long)from);
        status = client_request(c, "GET", path, NULL, &a);
        count = cJSON_GetArraySize(json_at(a.json, "Events"));
        if (status == STATUS_OK && (count > 0 || o->output == OUTPUT_JSON)) {
            print_page(o, &a);
        }
        from = json_count(a.json, "Next");
        answer_free(&a);
    } while (status == STATUS_OK && count > 0);
    return status;
}

// --- the stream ---

struct follower {
    struct client *client;
    const struct options *options;
    uint64_t from;      // where to begin as long as no event has come
    uint64_t last;      // number of the last event; 0: none yet
    char last_time[40]; // and its time, which tells it from one of another boot with the same number
    bool connected;     // the stream has been there once: a lost connection is worth another try
    bool lost;          // and that has been said
    bool broken;        // what comes is no stream of events
    unsigned delay_s;   // before the next try
    struct sse sse;
};

static void take_message(void *arg, const char *type, const char *data)
{
    struct follower *f = arg;
    cJSON *document = cJSON_Parse(data);

    if (document != NULL && f->options->output == OUTPUT_JSON) {
        print_clean(stdout, "%s\n", data);
    } else if (strcmp(type, "Lost") == 0) {
        print_lost(document);
    } else if (document != NULL) {
        print_event(document);
    }
    fflush(stdout);
    if (json_count(document, "Sequence") > 0) {
        const char *time = json_text(document, "Time");

        f->last = json_count(document, "Sequence");
        snprintf(f->last_time, sizeof f->last_time, "%s", time != NULL ? time : "");
    }
    cJSON_Delete(document);
}

// From now on a lost connection is worth another try, and is said here.
static void has_stream(struct follower *f)
{
    f->connected = true;
    client_keep_trying(f->client, true);
}

static bool take_bytes(void *arg, const char *bytes, size_t length)
{
    struct follower *f = arg;

    has_stream(f);
    f->lost = false;
    f->delay_s = RETRY_FIRST_S;
    f->broken = !sse_feed(&f->sse, bytes, length);
    return !f->broken;
}

// Reads the stream until it ends. STATUS_OK: there was an answer, which is a->code.
static enum status read_stream(struct follower *f, struct answer *a)
{
    char path[64], last[24] = "";
    enum status status;

    snprintf(path, sizeof path, "/v1/events/stream?from=%llu", (unsigned long long)f->from);
    if (f->last > 0) {
        snprintf(last, sizeof last, "%llu", (unsigned long long)f->last);
    }
    sse_init(&f->sse, take_message, f);
    status = client_stream(f->client, path, last, take_bytes, f, a);
    if (a->code == 200) {
        has_stream(f); // and it had nothing to say
    }
    return status;
}

// Is the event at the number of the last one another, or none? Then the numbers are those of a new boot. When the ring
// has moved past that number nobody can tell, and the stream says how many are gone.
static bool is_other_boot(const struct follower *f, const cJSON *page)
{
    const cJSON *first = cJSON_GetArrayItem(json_at(page, "Events"), 0);
    uint64_t number = json_count(first, "Sequence");
    const char *time = json_text(first, "Time");

    return first == NULL || number < f->last ||
           (number == f->last && (time == NULL || strcmp(time, f->last_time) != 0));
}

// Before the stream is asked for again: where to go on. The caller tries again unless that is refused.
static enum status find_place(struct follower *f, struct answer *a)
{
    char path[64];
    enum status status;

    *a = (struct answer){.code = 200};
    if (f->last == 0) {
        return STATUS_OK;
    }
    snprintf(path, sizeof path, "/v1/events?from=%llu&timeoutMs=0", (unsigned long long)f->last);
    status = client_request_quiet(f->client, path, a);
    if (status == STATUS_OK && a->code == 200 && is_other_boot(f, a->json)) {
        if (!f->options->quiet) {
            complain("the node has restarted, and its events begin anew");
        }
        f->last = f->from = 0;
    }
    return status;
}

// Is it the connection that failed, or a node that has no place for one more right now?
static bool worth_a_try(const struct follower *f, enum status status, long code)
{
    if (f->broken) {
        return false;
    }
    if (status == STATUS_OK) {
        return f->connected && (code == 200 || code == 503);
    }
    return f->connected && status == STATUS_UNREACHABLE && !client_is_other_node(f->client);
}

static void wait_before_try(struct follower *f)
{
    if (!f->lost && !f->options->quiet) {
        complain("the connection was lost; trying again");
    }
    f->lost = true;
    sleep(f->delay_s);
    f->delay_s = f->delay_s * 2 < RETRY_MAX_S ? f->delay_s * 2 : RETRY_MAX_S;
}

static enum status follow(struct follower *f)
{
    struct answer a;
    enum status status = read_stream(f, &a);

    while (worth_a_try(f, status, a.code)) {
        answer_free(&a);
        wait_before_try(f);
        status = find_place(f, &a);
        if (status == STATUS_OK && a.code == 200) {
            answer_free(&a);
            status = read_stream(f, &a);
        }
    }
    if (f->broken) {
        complain("the node sent an event that is too long");
        status = STATUS_FAILED;
    } else if (status == STATUS_OK) {
        status = client_report(f->client, &a);
    }
    answer_free(&a);
    return status;
}

enum status event_list(struct client *c, const struct options *o, char **arguments)
{
    uint64_t from = 0;
    struct follower *f;
    enum status status;

    (void)arguments;
    if (o->from != NULL && !parse_number("from", o->from, UINT64_MAX >> 11, &from)) {
        return STATUS_USAGE;
    }
    if (!o->follow) {
        return list(c, o, from);
    }
    f = calloc(1, sizeof *f);
    if (f == NULL) {
        abort();
    }
    f->client = c;
    f->options = o;
    f->from = from;
    f->delay_s = RETRY_FIRST_S;
    status = follow(f);
    free(f);
    return status;
}
