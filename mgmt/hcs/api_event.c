// SPDX-License-Identifier: Apache-2.0
// Events over HTTP: pages of them for who asks, a stream for who stays.
//
// The stream follows the HTML Standard's "Server-sent events": one message an event, whose id is its sequence number, so
// that a client that comes back says in Last-Event-ID where it was.
#include <stdio.h>

#include "mgmt/core/event.h"
#include "mgmt/hcs/api_priv.h"

#define EVENTS_A_PAGE 100
#define STREAMS_MAX 16 // each takes one of the connections, for as long as its client likes
#define STREAM_TYPE "text/event-stream"
#define ALIVE_NS 15000000000ull
#define SEQUENCE_MAX (UINT64_MAX >> 1)

static void write_event(struct json_writer *w, const struct event *e)
{
    json_open(w, NULL, '{');
    json_uint(w, "Sequence", e->sequence);
    json_time(w, "Time", e->unix_ms);
    json_string(w, "Type", event_type_name(e->type));
    json_string(w, "Subject", e->subject);
    json_string(w, "Text", e->text);
    json_close(w, '}');
}

// --- pages ---

static bool events_ready(const struct api_wait *wait)
{
    uint64_t oldest, next;

    event_range(&oldest, &next);
    return wait->number < next;
}

static void events_answer(const struct api_wait *wait)
{
    struct json_writer w = {0};
    uint64_t oldest, next, at, end;

    event_range(&oldest, &next);
    at = MIN(MAX(wait->number, oldest), next);
    end = MIN(next, at + EVENTS_A_PAGE);
    json_open(&w, NULL, '{');
    json_uint(&w, "Next", end);
    json_uint(&w, "Lost", wait->number != 0 && wait->number < oldest ? oldest - wait->number : 0);
    json_open(&w, "Events", '[');
    for (; at < end; at++) {
        write_event(&w, event_get(at));
    }
    json_close(&w, ']');
    json_close(&w, '}');
    api_answer(wait->request, 200, &w);
}

void api_events(struct http_request *r)
{
    struct api_wait *wait;
    uint64_t from, timeout_ms;

    if (!api_query_uint(r, "from", 0, SEQUENCE_MAX, &from) ||
        !api_query_uint(r, "timeoutMs", 0, API_WAIT_MAX_MS, &timeout_ms) ||
        (wait = api_wait_new(r)) == NULL) {
        return;
    }
    wait->ready = events_ready;
    wait->answer = events_answer;
    wait->number = from;
    api_wait_start(wait, event_listeners(), timeout_ms);
}

// --- the stream ---

// An event's document: both texts with each byte written as \u00xx, names and time.
#define MESSAGE_MAX (6 * (EVENT_SUBJECT_MAX + EVENT_TEXT_MAX) + 512)

struct follower {
    struct http_request *request;
    struct notify notify;
    struct plat_timer timer;
    uint64_t next;       // sequence number of the event to come
    size_t length, sent; // of the message
    bool over;
    char message[MESSAGE_MAX];
};

static unsigned followers;

static void follower_end(struct follower *f)
{
    notify_remove(event_listeners(), &f->notify);
    plat_timer_stop(&f->timer);
    f->over = true;
    followers--;
}

static void follower_aborted(struct http_request *r)
{
    follower_end(http_user(r));
}

static void set_message(struct follower *f, int length)
{
    f->length = (size_t)MAX(length, 0);
    f->sent = 0;
}

static void write_lost(struct follower *f, uint64_t lost)
{
    set_message(f, snprintf(f->message, sizeof f->message, "event: Lost\ndata: {\"Lost\":%llu}\n\n",
                            (unsigned long long)lost));
}

static bool write_message(struct follower *f, const struct event *e)
{
    struct json_writer w = {0};
    bool good;

    write_event(&w, e);
    good = !w.failed;
    if (good) {
        set_message(f, snprintf(f->message, sizeof f->message, "id: %llu\nevent: %s\ndata: %s\n\n",
                                (unsigned long long)e->sequence, event_type_name(e->type), w.text));
    }
    json_free_text(&w);
    return good;
}

// The message for the next event, or about those that are gone. False: there is none, or no memory for it, and the
// next turn tries again.
static bool next_message(struct follower *f)
{
    uint64_t oldest, next;

    event_range(&oldest, &next);
    if (f->next < oldest) {
        write_lost(f, oldest - f->next);
        f->next = oldest;
        return true;
    }
    if (f->next == next || !write_message(f, event_get(f->next))) {
        return false;
    }
    f->next++;
    return true;
}

// Sends as much as the connection takes. When that is nothing the follower may be over.
static void pump(struct follower *f)
{
    while (f->sent < f->length || next_message(f)) {
        size_t taken = http_stream_write(f->request, f->message + f->sent, f->length - f->sent);

        if (taken == 0) {
            return;
        }
        f->sent += taken;
    }
}

static void happened(struct notify *notify)
{
    pump(CONTAINER_OF(notify, struct follower, notify));
}

static void writable(struct http_request *r)
{
    pump(http_user(r));
}

// A comment line now and then shows a client that the node is there, and the node that the client is.
static void alive(struct plat_timer *timer)
{
    struct follower *f = CONTAINER_OF(timer, struct follower, timer);

    plat_timer_start(timer, ALIVE_NS, alive);
    if (f->sent == f->length) {
        set_message(f, snprintf(f->message, sizeof f->message, ":\n\n"));
    }
    pump(f);
}

// Where to begin: behind Last-Event-ID if there is one, else at `from`.
static bool first_wanted(struct http_request *r, uint64_t *from)
{
    const char *last = http_header(r, "Last-Event-ID");
    uint64_t value = 0;

    if (!api_query_uint(r, "from", 0, SEQUENCE_MAX, from)) {
        return false;
    }
    if (last == NULL || last[0] == '\0') {
        return true;
    }
    for (const char *c = last; *c != '\0'; c++) {
        if (*c < '0' || *c > '9' || value > SEQUENCE_MAX / 10 - 1) {
            api_fail(r, HR_E_INVALIDARG, "Last-Event-ID: a sequence number is expected");
            return false;
        }
        value = value * 10 + (uint64_t)(*c - '0');
    }
    *from = value + 1;
    return true;
}

void api_events_stream(struct http_request *r)
{
    struct follower *f;
    uint64_t from, oldest, next;

    if (!first_wanted(r, &from)) {
        return;
    }
    if (http_request_is_head(r)) {
        http_stream_begin(r, 200, STREAM_TYPE, -1);
        http_stream_end(r);
        return;
    }
    if (followers >= STREAMS_MAX) {
        http_error(r, 503, "too_many", "the node serves as many event streams as it can", NULL);
        return;
    }
    f = http_alloc(r, sizeof *f);
    if (f == NULL) {
        api_fail(r, HR_E_OUTOFMEMORY, NULL);
        return;
    }
    event_range(&oldest, &next);
    f->request = r;
    f->next = from == 0 ? oldest : MIN(from, next); // numbers begin anew with each boot of the node
    followers++;
    http_set_user(r, f);
    http_on_abort(r, follower_aborted);
    http_stream_on_writable(r, writable);
    notify_add(event_listeners(), &f->notify, happened);
    plat_timer_start(&f->timer, ALIVE_NS, alive);
    http_stream_begin(r, 200, STREAM_TYPE, -1);
    if (!f->over) { // its memory lasts until the event loop has the connection again
        pump(f);
    }
}
