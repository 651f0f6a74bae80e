// SPDX-License-Identifier: Apache-2.0
// Inside of the HTTP server: connection, request, output queue. Shared by net/http*.c only.
//
//   http.c         server, connections, the pump, timeouts
//   http_out.c     the output queue
//   http_parse.c   llhttp callbacks: a request's head and body come in
//   http_route.c   routes, parameters, query
//   http_request.c request objects: accessors, arena, body modes
//   http_answer.c  answers go out
//   http_ws.c      upgraded connections
//
// Ownership: server -> connections -> at most one request or one WebSocket each. Handlers run from
// conn_pump() only, or from their own events; calls of theirs change state and, outside the pump, ask for a
// turn of it (conn_kick). A connection's memory goes from work of its own, after everything up the stack.
#ifndef NET_HTTP_PRIV_H
#define NET_HTTP_PRIV_H

#include "net/http.h"
#include "net/ws.h"
#include <llhttp.h>

#define IN_BYTES 16384 // one TLS record
#define PARAMS_MAX 8
#define HEAD_FIRST_CAP 1024
#define EXTRA_HEADERS_MAX 4096
#define PROGRESS_BYTES 4096       // what a peer must move within a timeout
#define DRAIN_BYTES (256u * 1024) // of an unwanted body that are read before the connection is closed
#define LINGER_MS 2000
#define COLLECT_TOTAL (16u << 20) // all collected bodies together
#define OVERFLOW_CONNECTIONS 8

// --- output queue: what waits to be written to the stream, in order ---
enum out_owner { OUT_INLINE, OUT_STATIC, OUT_MALLOC };
struct out_seg {
    struct out_seg *next;
    const uint8_t *data; // inline: the bytes after this struct
    size_t off, len, cap;
    enum out_owner owner;
};
struct out_queue {
    struct out_seg *head, *tail;
    size_t bytes;
};

MUST_CHECK bool out_append(struct out_queue *q, const void *data, size_t len);        // copied
MUST_CHECK bool out_append_static(struct out_queue *q, const void *data, size_t len); // lives for ever
MUST_CHECK bool out_append_owned(struct out_queue *q, void *data,
                                 size_t len); // free()d; on failure it is not
void out_consume(struct out_queue *q, size_t n);
void out_clear(struct out_queue *q);

// --- request ---
enum body_mode {
    BODY_UNDECIDED, // the handler has not said what it wants; parsing stands still
    BODY_COLLECT,
    BODY_STREAM,
    BODY_DISCARD,
};
enum answer_state { ANSWER_NONE, ANSWER_STREAMING, ANSWER_DONE };

struct http_field {
    uint32_t name, value; // offsets into head, NUL-terminated each
};

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
};

struct http_route_entry;

struct http_request {
    struct http_conn *conn;
    // Head: URL, then names and values.
    char *head;
    uint32_t head_len, head_cap, url_len, header_bytes;
    struct http_field *fields;
    uint32_t field_count, field_cap;
    bool in_value;    // the last field has its name
    bool value_ended; // its value ended before the input did: more of it is a folded line
    char *path;       // into head; cut at '?'
    char *query;
    enum http_method method;
    bool is_head, http10, keep_alive;
    bool dispatched; // the handler (or an error) has had its turn
    bool active;     // counted in server->requests_active
    bool complete;   // the last byte of the body has been parsed
    bool has_body, expect_continue, continue_sent;
    int64_t content_length; // -1 chunked, 0 none
    struct http_identity identity;
    struct {
        const char *name; // in the pattern, up to '}' or '*'
        size_t name_len;
        const char *value;
    } params[PARAMS_MAX];
    uint32_t param_count;
    // Body.
    enum body_mode mode;
    uint64_t body_max, body_seen;
    char *body;
    size_t body_len, body_cap;
    void (*on_collected)(struct http_request *r, char *body, size_t len);
    size_t (*on_data)(struct http_request *r, const void *data, size_t len);
    void (*on_end)(struct http_request *r);
    bool body_paused, end_delivered;
    // Answer.
    enum answer_state answer;
    bool chunked, want_writable;
    int64_t answer_left; // known length: bytes still to come
    char *extra;         // added headers, complete lines
    size_t extra_len;
    void (*on_writable)(struct http_request *r);
    void (*on_abort)(struct http_request *r);
    void *user;
    struct arena_block *arena;
    size_t arena_bytes;
};

// --- connection ---
struct http_conn {
    struct http_server *server;
    struct http_conn *next, **link;           // all connections
    struct http_conn *idle_next, **idle_link; // waiting for a request, oldest first; idle_link NULL: not
    struct stream *stream;
    struct plat_timer timer;
    struct plat_work work;                   // frees the connection
    uint64_t rx_deadline_ns, tx_deadline_ns; // 0: none
    size_t rx_progress, tx_progress;
    llhttp_t parser;
    int fail_status; // a parser callback refuses the request with this
    const char *fail_code, *fail_message, *fail_where;
    struct http_request *req;
    struct http_ws *ws;
    struct out_queue out;
    uint8_t *rest; // bytes of a body that its handler did not take yet, inside in[]
    size_t rest_len;
    size_t in_off, in_len, drained;
    bool parser_paused; // the parser has something to do even without input
    bool overflow;      // above the limit: every request is answered 503
    bool close_soon;    // no further request
    bool closing;       // close when the output is gone
    bool lingering;     // the same, but input is thrown away until the peer closes: it may still be sending,
                        // and a reset in answer to that could overtake our last words
    bool finished;      // our side of the stream is closed
    bool eof, broken, dead, pumping;
    uint8_t slot[64];
    uint8_t in[IN_BYTES];
};

struct http_ws {
    struct http_conn *conn;
    const struct ws_handler *handler;
    void *user;
    struct ws_parser parser;
    uint64_t last_rx_ns;
    bool paused, want_writable, ping_sent;
    bool close_sent, close_received;
    int close_code; // for on_close
};

struct http_server {
    struct http_config config;
    struct http_conn *conns;
    struct http_conn *idle_first, **idle_last;
    struct http_route_entry *routes, **routes_end;
    size_t collected; // bytes reserved by collected bodies
    struct http_stats stats;
    llhttp_settings_t settings;
};

// http.c
void conn_kick(struct http_conn *c); // have the pump run soon
void conn_kill(struct http_conn *c); // abort the connection: abort callbacks run, memory goes when it is safe
void conn_rx_deadline(struct http_conn *c, uint32_t ms); // 0: none
// The last output is queued: close when it is gone. whole: nothing more is expected from the peer.
void conn_end(struct http_conn *c, bool whole);

// http_parse.c
void parse_init(struct http_server *s);
void parse_input(struct http_conn *c); // parse c->in from in_off on
void dispatch(struct http_conn *c);    // headers complete: checks, auth, route, handler

// http_request.c
struct http_request *request_new(struct http_conn *c);
void request_free(struct http_request *r);
// Body bytes for the handler; returns how many it took.
size_t body_deliver(struct http_request *r, const uint8_t *data, size_t len);
void body_end(struct http_request *r);     // after the last byte, once the handler has taken all
void body_discard(struct http_request *r); // the request is answered: throw away what still comes

// http_answer.c
// The server itself ends a request: the handler, if it holds the request, is told by its abort callback.
void request_refuse(struct http_request *r, int status, const char *code, const char *message,
                    const char *where);
// The same when there may be no request object and the connection cannot go on.
void conn_refuse(struct http_conn *c, int status, const char *code, const char *message, const char *where);
void answer_writable(struct http_request *r); // the queue has drained somewhat

// http_route.c
const struct http_route_entry *route_find(struct http_request *r, unsigned *allowed);
bool route_public(const struct http_route_entry *e);
void route_call(const struct http_route_entry *e, struct http_request *r);
void routes_free(struct http_server *s);
// Decode %XX of text[0..len) into the arena; NULL if malformed, if it holds %00 or without memory.
char *percent_decode(struct http_request *r, const char *text, size_t len, bool plus_is_space);

// http_ws.c
void ws_pump(struct http_conn *c); // take input
void ws_writable(struct http_conn *c);
void ws_timeout(struct http_conn *c, uint64_t now_ns);
void ws_gone(struct http_conn *c); // the connection dies: last callback, free
uint64_t ws_deadline(const struct http_conn *c);

#endif
