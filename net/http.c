// SPDX-License-Identifier: Apache-2.0
// HTTP server: the set of connections, their pump between stream, parser and output queue, and timeouts.
#include "net/http_priv.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000ull
#define PUMP_ROUNDS 32 // then another connection's turn

static void conn_event(struct stream *s, unsigned events);
static void conn_timer(struct plat_timer *t);

// --- server ---

static void default_to(uint32_t *v, uint32_t value)
{
    if (*v == 0) {
        *v = value;
    }
}

static void limits_defaults(struct http_limits *l)
{
    default_to(&l->connections, 64);
    default_to(&l->requests, 48);
    default_to(&l->url_bytes, 4096);
    default_to(&l->header_bytes, 16384);
    default_to(&l->header_count, 64);
    default_to(&l->arena_bytes, 262144);
    default_to(&l->collect_bytes, 1048576);
    default_to(&l->out_bytes, 65536);
    default_to(&l->ws_message_bytes, 65536);
    default_to(&l->header_timeout_ms, 10000);
    default_to(&l->body_timeout_ms, 20000);
    default_to(&l->idle_timeout_ms, 60000);
    default_to(&l->write_timeout_ms, 30000);
    default_to(&l->ws_ping_ms, 30000);
    if (l->body_bytes == 0) {
        l->body_bytes = UINT64_MAX;
    }
}

struct http_server *http_server_new(const struct http_config *config)
{
    struct http_server *s = calloc(1, sizeof *s);

    if (!s) {
        return NULL;
    }
    s->config = *config;
    limits_defaults(&s->config.limits);
    s->idle_last = &s->idle_first;
    s->routes_end = &s->routes;
    parse_init(s);
    return s;
}

void http_server_free(struct http_server *s)
{
    while (s->conns) {
        conn_kill(s->conns);
    }
    routes_free(s);
    free(s);
}

void http_server_stats(const struct http_server *s, struct http_stats *out)
{
    *out = s->stats;
}

// --- life of a connection ---

static void idle_leave(struct http_conn *c)
{
    if (!c->idle_link) {
        return;
    }
    *c->idle_link = c->idle_next;
    if (c->idle_next) {
        c->idle_next->idle_link = c->idle_link;
    } else {
        c->server->idle_last = c->idle_link;
    }
    c->idle_link = NULL;
}

static void idle_enter(struct http_conn *c)
{
    struct http_server *s = c->server;

    if (c->idle_link) {
        return;
    }
    c->idle_next = NULL;
    c->idle_link = s->idle_last;
    *s->idle_last = c;
    s->idle_last = &c->idle_next;
}

static void conn_unlink(struct http_conn *c)
{
    idle_leave(c);
    *c->link = c->next;
    if (c->next) {
        c->next->link = c->link;
    }
    c->server->stats.connections--;
}

static void conn_free(struct plat_work *w)
{
    free(CONTAINER_OF(w, struct http_conn, work));
}

// The stream is already closed or aborted. The memory goes from the event loop: callers up the stack still
// look at `dead`.
static void conn_dispose(struct http_conn *c)
{
    if (c->dead) {
        return;
    }
    c->dead = true;
    plat_timer_stop(&c->timer);
    conn_unlink(c);
    if (c->req) {
        struct http_request *r = c->req;

        if (r->dispatched && r->answer != ANSWER_DONE && r->on_abort) {
            r->on_abort(r);
        }
        c->req = NULL;
        request_free(r);
    }
    if (c->ws) {
        ws_gone(c);
    }
    out_clear(&c->out);
    plat_post(&c->work, conn_free);
}

void conn_kill(struct http_conn *c)
{
    if (!c->dead) {
        c->stream->ops->abort(c->stream);
        conn_dispose(c);
    }
}

static void conn_close(struct http_conn *c)
{
    if (!c->dead) {
        c->stream->ops->close(c->stream);
        conn_dispose(c);
    }
}

void conn_kick(struct http_conn *c)
{
    if (!c->pumping && !c->dead) {
        stream_raise(c->stream, STREAM_WRITABLE);
    }
}

static bool make_room(struct http_server *s)
{
    const struct http_limits *l = &s->config.limits;

    if (s->stats.connections >= l->connections && s->idle_first) {
        conn_close(s->idle_first); // whoever has been quiet longest
    }
    return s->stats.connections < l->connections + OVERFLOW_CONNECTIONS;
}

void http_serve(struct http_server *s, struct stream *stream)
{
    struct http_conn *c = make_room(s) ? malloc(sizeof *c) : NULL;

    if (!c) {
        s->stats.refused++;
        stream->ops->abort(stream);
        return;
    }
    memset(c, 0, offsetof(struct http_conn, in));
    c->server = s;
    c->stream = stream;
    c->overflow = s->stats.connections >= s->config.limits.connections;
    llhttp_init(&c->parser, HTTP_REQUEST, &s->settings);
    c->parser.data = c;
    c->next = s->conns;
    c->link = &s->conns;
    if (c->next) {
        c->next->link = &c->next;
    }
    s->conns = c;
    s->stats.connections++;
    s->stats.accepted++;
    // The first request is due as soon as one that has begun: a client that connects has something to say.
    conn_rx_deadline(c, s->config.limits.header_timeout_ms);
    stream->user = c;
    stream->on_event = conn_event;
    stream_raise(stream, STREAM_READABLE);
}

// --- timeouts ---

void conn_rx_deadline(struct http_conn *c, uint32_t ms)
{
    c->rx_deadline_ns = ms ? plat_now_ns() + ms * NS_PER_MS : 0;
    c->rx_progress = 0;
}

static uint64_t conn_deadline(const struct http_conn *c)
{
    uint64_t d = c->rx_deadline_ns;

    if (c->tx_deadline_ns && (!d || c->tx_deadline_ns < d)) {
        d = c->tx_deadline_ns;
    }
    if (c->ws) {
        uint64_t w = ws_deadline(c);

        d = d && d < w ? d : w;
    }
    return d;
}

// A timer that fires too early looks again: deadlines move with every packet, timers do not.
static void conn_arm(struct http_conn *c)
{
    uint64_t deadline = conn_deadline(c), now;

    if (!deadline || (c->timer.armed && c->timer.deadline_ns <= deadline)) {
        return;
    }
    now = plat_now_ns();
    plat_timer_start(&c->timer, deadline > now ? deadline - now : 0, conn_timer);
}

static void rx_timeout(struct http_conn *c)
{
    c->rx_deadline_ns = 0;
    if (c->lingering || !c->req) { // nothing was being said
        conn_close(c);
        return;
    }
    c->server->stats.timeouts++;
    conn_refuse(c, 408, "timeout", "the request did not arrive in time",
                c->req->dispatched ? "body" : "header");
}

static void conn_timer(struct plat_timer *t)
{
    struct http_conn *c = CONTAINER_OF(t, struct http_conn, timer);
    uint64_t now = plat_now_ns();

    if (c->tx_deadline_ns && now >= c->tx_deadline_ns) {
        c->server->stats.timeouts++;
        conn_kill(c); // the peer takes nothing
    } else if (c->rx_deadline_ns && now >= c->rx_deadline_ns) {
        rx_timeout(c);
    } else if (c->ws) {
        ws_timeout(c, now);
    }
    conn_kick(c); // if it lives; also arms the timer again
}

// --- the pump ---

static bool flush_output(struct http_conn *c)
{
    bool moved = false;

    while (c->out.head) {
        struct out_seg *seg = c->out.head;
        size_t want = seg->len - seg->off;
        size_t n = c->stream->ops->write(c->stream, seg->data + seg->off, want);

        if (n > 0) {
            moved = true;
            out_consume(&c->out, n);
            c->server->stats.bytes_out += n;
            c->tx_progress += n;
        }
        if (n < want) {
            break;
        }
    }
    if (!c->out.head) {
        c->tx_deadline_ns = 0;
    } else if (!c->tx_deadline_ns || c->tx_progress >= PROGRESS_BYTES) {
        c->tx_deadline_ns = plat_now_ns() + c->server->config.limits.write_timeout_ms * NS_PER_MS;
        c->tx_progress = 0;
    }
    return moved;
}

static void tell_writable(struct http_conn *c)
{
    if (c->out.bytes > c->server->config.limits.out_bytes / 2) {
        return;
    }
    if (c->ws) {
        ws_writable(c);
    } else if (c->req && c->req->answer == ANSWER_STREAMING && c->req->want_writable) {
        answer_writable(c->req);
    }
}

void conn_end(struct http_conn *c, bool whole)
{
    c->closing = true;
    c->lingering = !whole;
    c->in_off = c->in_len = 0;
    c->rest_len = 0;
    conn_rx_deadline(c, 0);
}

// A request is answered and read to its end: the next one, or the end of the connection.
static void finish_request(struct http_conn *c)
{
    struct http_request *r = c->req;
    bool whole = r->complete;
    bool close = c->close_soon || !r->keep_alive;

    c->req = NULL;
    request_free(r);
    c->drained = 0;
    c->parser_paused = false; // where it stands now, it waits for input
    if (close) {
        conn_end(c, whole);
        return;
    }
    if (c->in_off == c->in_len) {
        idle_enter(c);
    }
    conn_rx_deadline(c, c->server->config.limits.idle_timeout_ms);
}

// The output of a closing connection is gone.
static void close_drained(struct http_conn *c)
{
    if (!c->lingering || c->eof) {
        conn_close(c);
    } else if (!c->finished) {
        c->finished = true;
        c->stream->ops->finish(c->stream);
        conn_rx_deadline(c, LINGER_MS);
    }
}

static bool request_over(const struct http_conn *c)
{
    const struct http_request *r = c->req;

    return r && r->answer == ANSWER_DONE && (r->complete || c->close_soon);
}

// Offer the handler what it did not take. True if it took something.
static bool deliver_rest(struct http_conn *c)
{
    size_t taken;

    if (c->req->body_paused) {
        return false;
    }
    taken = body_deliver(c->req, c->rest, c->rest_len);
    c->rest += taken;
    c->rest_len -= taken;
    return taken > 0;
}

static bool may_parse(const struct http_conn *c)
{
    const struct http_request *r = c->req;

    if (c->in_off == c->in_len && !c->parser_paused) {
        return false;
    }
    return r ? !r->complete && !(r->dispatched && r->mode == BODY_UNDECIDED) : !c->close_soon;
}

static void make_input_room(struct http_conn *c)
{
    if (c->in_off > 0 && c->rest_len == 0) {
        memmove(c->in, c->in + c->in_off, c->in_len - c->in_off);
        c->in_len -= c->in_off;
        c->in_off = 0;
    }
}

// Input is wanted while there is room for it: also during the service of a request, so that the end of the
// connection is noticed.
static bool read_input(struct http_conn *c)
{
    long n;

    make_input_room(c);
    if (c->eof || c->in_len == IN_BYTES) {
        return false;
    }
    n = c->stream->ops->read(c->stream, c->in + c->in_len, IN_BYTES - c->in_len);
    if (n == 0) {
        return false;
    }
    if (n < 0) {
        c->eof = true;
        c->broken = n == STREAM_ERROR;
        return true;
    }
    c->server->stats.bytes_in += (uint64_t)n;
    if (!c->closing) { // else it is thrown away
        c->in_len += (size_t)n;
    }
    return true;
}

// The peer has said its last word, or the connection is broken. An unanswered request ends with it: whoever
// asked does not wait for the answer.
static void handle_eof(struct http_conn *c)
{
    uint8_t unused;

    if (!c->broken && c->out.head) { // has it become worse since?
        c->broken = c->stream->ops->read(c->stream, &unused, 1) == STREAM_ERROR;
    }
    if (c->broken || (c->req && c->req->answer != ANSWER_DONE)) {
        conn_kill(c);
    } else if (!c->out.head) {
        conn_close(c);
    }
}

static bool pump_ws(struct http_conn *c)
{
    if (c->req) { // the upgrade request has done its duty
        request_free(c->req);
        c->req = NULL;
    }
    if (c->in_off < c->in_len && !c->ws->paused) {
        ws_pump(c);
        return true;
    }
    return !c->ws->paused && read_input(c);
}

// One thing that can be done; false if there is none. The order matters: output first (it makes room),
// then what is held, then what is buffered, then new input.
static bool pump_round(struct http_conn *c)
{
    if (flush_output(c)) {
        tell_writable(c);
        return true;
    }
    if (c->closing) {
        if (!c->out.head) {
            close_drained(c);
        }
        return !c->dead && read_input(c);
    }
    if (c->ws) {
        return pump_ws(c);
    }
    if (request_over(c)) {
        finish_request(c);
        return true;
    }
    if (c->rest_len > 0) {
        if (deliver_rest(c)) {
            return true;
        }
    } else if (may_parse(c)) {
        idle_leave(c);
        parse_input(c);
        return true;
    }
    return read_input(c);
}

static void conn_pump(struct http_conn *c)
{
    int rounds = 0;

    c->pumping = true;
    while (!c->dead && rounds < PUMP_ROUNDS && pump_round(c)) {
        rounds++;
    }
    if (!c->dead && rounds == PUMP_ROUNDS) {
        stream_raise(c->stream, STREAM_READABLE); // continue after the others
    } else if (!c->dead && c->eof) {
        handle_eof(c);
    }
    if (!c->dead && c->stream->ops->flush) {
        c->stream->ops->flush(c->stream);
    }
    c->pumping = false;
    if (!c->dead) {
        conn_arm(c);
    }
}

static void conn_event(struct stream *s, unsigned events)
{
    (void)events;
    conn_pump(s->user);
}
