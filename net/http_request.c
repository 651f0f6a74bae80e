// SPDX-License-Identifier: Apache-2.0
// HTTP server: the request object, its arena, and the ways in which a handler takes the body.
#include "net/http_priv.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ARENA_BLOCK 2048
#define COLLECT_FIRST 4096

// --- life ---

struct http_request *request_new(struct http_conn *c)
{
    struct http_request *r = calloc(1, sizeof *r);

    if (r) {
        r->conn = c;
        r->keep_alive = true;
    }
    return r;
}

static void body_free(struct http_request *r)
{
    r->conn->server->collected -= r->body_cap;
    free(r->body);
    r->body = NULL;
    r->body_cap = 0;
}

void request_free(struct http_request *r)
{
    if (r->active) {
        r->conn->server->stats.requests_active--;
    }
    body_free(r);
    while (r->arena) {
        struct arena_block *b = r->arena;

        r->arena = b->next;
        free(b);
    }
    free(r->extra);
    free(r->fields);
    free(r->head);
    free(r);
}

void *http_alloc(struct http_request *r, size_t size)
{
    struct arena_block *b = r->arena;
    size_t limit = r->conn->server->config.limits.arena_bytes;
    void *p;

    if (size > limit || r->arena_bytes + size > limit) {
        return NULL;
    }
    size = ALIGN_UP(size, sizeof(max_align_t));
    if (!b || b->cap - b->used < size) {
        size_t cap = MAX(size, (size_t)ARENA_BLOCK);

        b = malloc(sizeof *b + sizeof(max_align_t) + cap);
        if (!b) {
            return NULL;
        }
        *b = (struct arena_block){.next = r->arena, .cap = cap};
        r->arena = b;
        r->arena_bytes += cap;
    }
    p = (char *)ALIGN_UP((uintptr_t)(b + 1), sizeof(max_align_t)) + b->used;
    b->used += size;
    return memset(p, 0, size);
}

// --- accessors ---

enum http_method http_request_method(const struct http_request *r)
{
    return r->method;
}

bool http_request_is_head(const struct http_request *r)
{
    return r->is_head;
}

const char *http_request_path(const struct http_request *r)
{
    return r->path;
}

const char *http_query_string(const struct http_request *r)
{
    return r->query;
}

const char *http_header(const struct http_request *r, const char *name)
{
    for (uint32_t i = 0; i < r->field_count; i++) {
        if (!strcasecmp(r->head + r->fields[i].name, name)) {
            return r->head + r->fields[i].value;
        }
    }
    return NULL;
}

bool http_content_is(const struct http_request *r, const char *type)
{
    const char *value = http_header(r, "Content-Type");
    size_t len = strlen(type);

    return value && !strncasecmp(value, type, len) && (value[len] == 0 || strchr("; \t", value[len]));
}

int64_t http_content_length(const struct http_request *r)
{
    return r->content_length;
}

bool http_has_body(const struct http_request *r)
{
    return r->has_body;
}

const struct http_identity *http_identity(const struct http_request *r)
{
    return &r->identity;
}

void http_peer(const struct http_request *r, struct stream_addr *out)
{
    r->conn->stream->ops->peer(r->conn->stream, out);
}

void *http_conn_slot(struct http_request *r)
{
    return r->conn->slot;
}

void http_set_user(struct http_request *r, void *user)
{
    r->user = user;
}

void *http_user(const struct http_request *r)
{
    return r->user;
}

void http_on_abort(struct http_request *r, void (*aborted)(struct http_request *r))
{
    r->on_abort = aborted;
}

// --- body ---

static void body_begin(struct http_request *r, enum body_mode mode)
{
    struct http_conn *c = r->conn;

    r->mode = mode;
    if (r->expect_continue && !r->continue_sent && c->in_off == c->in_len) {
        r->continue_sent = out_append(&c->out, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    r->expect_continue = false;
    conn_rx_deadline(c, c->server->config.limits.body_timeout_ms);
    conn_kick(c);
}

static bool body_too_large(struct http_request *r, uint64_t max)
{
    if (r->content_length > 0 && (uint64_t)r->content_length > max) {
        request_refuse(r, 413, "too_large", "the body is too large", "Content-Length");
        return true;
    }
    r->body_max = max;
    return false;
}

void http_body_collect(struct http_request *r, size_t max,
                       void (*done)(struct http_request *r, char *body, size_t len))
{
    r->on_collected = done;
    if (!body_too_large(r, MIN(max, r->conn->server->config.limits.collect_bytes))) {
        body_begin(r, BODY_COLLECT);
    }
}

void http_body_stream(struct http_request *r, uint64_t max,
                      size_t (*on_data)(struct http_request *r, const void *data, size_t len),
                      void (*on_end)(struct http_request *r))
{
    if (!r->has_body) {
        request_refuse(r, 411, "length_required", "the request needs a body, with its length or chunked",
                       "Content-Length");
        return;
    }
    r->on_data = on_data;
    r->on_end = on_end;
    if (!body_too_large(r, MIN(max, r->conn->server->config.limits.body_bytes))) {
        body_begin(r, BODY_STREAM);
    }
}

void http_body_resume(struct http_request *r)
{
    if (r->body_paused) {
        r->body_paused = false;
        if (!r->complete) {
            conn_rx_deadline(r->conn, r->conn->server->config.limits.body_timeout_ms);
        }
        conn_kick(r->conn);
    }
}

// Room for len more bytes and a NUL. Grows with what has come, not with what was announced.
static bool collect_reserve(struct http_request *r, size_t len)
{
    struct http_server *s = r->conn->server;
    size_t need = r->body_len + len + 1;
    size_t cap = r->body_cap ? r->body_cap : COLLECT_FIRST;
    char *body;

    if (need <= r->body_cap) {
        return true;
    }
    while (cap < need) {
        cap *= 2;
    }
    if (s->collected + cap - r->body_cap > COLLECT_TOTAL || !(body = realloc(r->body, cap))) {
        return false;
    }
    s->collected += cap - r->body_cap;
    r->body = body;
    r->body_cap = cap;
    return true;
}

static void collect(struct http_request *r, const uint8_t *data, size_t len)
{
    if (!collect_reserve(r, len)) {
        request_refuse(r, 503, "busy", "no memory for the body", NULL);
        return;
    }
    memcpy(r->body + r->body_len, data, len);
    r->body_len += len;
}

static size_t stream_data(struct http_request *r, const uint8_t *data, size_t len)
{
    size_t taken = r->on_data(r, data, len);

    if (r->mode != BODY_STREAM || r->answer == ANSWER_DONE) {
        return len; // answered meanwhile
    }
    if (taken < len) {
        r->body_paused = true;
        conn_rx_deadline(r->conn, 0);
    }
    return MIN(taken, len);
}

static size_t discard(struct http_request *r, size_t len)
{
    struct http_conn *c = r->conn;

    c->drained += len;
    if (c->drained > DRAIN_BYTES) {
        c->close_soon = true;
    }
    return len;
}

static void body_progress(struct http_conn *c, size_t len)
{
    c->rx_progress += len;
    if (c->rx_progress >= PROGRESS_BYTES && c->rx_deadline_ns) {
        conn_rx_deadline(c, c->server->config.limits.body_timeout_ms);
    }
}

size_t body_deliver(struct http_request *r, const uint8_t *data, size_t len)
{
    size_t taken;

    if (r->mode == BODY_DISCARD) {
        return discard(r, len);
    }
    if (len > r->body_max - r->body_seen) {
        request_refuse(r, 413, "too_large", "the body is too large", "body");
        return len;
    }
    body_progress(r->conn, len);
    if (r->mode == BODY_COLLECT) {
        collect(r, data, len);
        taken = len;
    } else {
        taken = stream_data(r, data, len);
    }
    r->body_seen += taken;
    return taken;
}

void body_end(struct http_request *r)
{
    if (r->end_delivered || r->mode == BODY_DISCARD || r->mode == BODY_UNDECIDED) {
        return;
    }
    r->end_delivered = true;
    if (r->mode == BODY_STREAM) {
        r->on_end(r);
        return;
    }
    if (!collect_reserve(r, 0)) {
        request_refuse(r, 503, "busy", "no memory for the body", NULL);
        return;
    }
    r->body[r->body_len] = 0;
    r->on_collected(r, r->body, r->body_len);
}

void body_discard(struct http_request *r)
{
    struct http_conn *c = r->conn;

    r->mode = BODY_DISCARD;
    r->body_paused = false;
    if (r->complete) {
        return;
    }
    if ((r->expect_continue && !r->continue_sent) ||
        r->content_length > (int64_t)(r->body_seen + DRAIN_BYTES)) {
        c->close_soon = true; // more than it is worth to read, or it may never come
    }
    conn_rx_deadline(c, c->server->config.limits.body_timeout_ms);
}
