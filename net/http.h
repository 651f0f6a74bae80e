// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 server (RFC 9110, RFC 9112) with WebSocket upgrade (RFC 6455), callback based.
//
// Owns connections, parsing, limits, timeouts, routing and all protocol errors; knows nothing of what is
// served. Runs on any struct stream; control plane only, single threaded, nothing blocks. Memory of a
// connection is bounded by struct http_limits; what a request needs lives in its arena and goes with it.
//
// Life of a request:
//
//   headers complete -> limits -> auth hook -> routing -> route->handle(r)
//        handle() does one of:
//          - answer at once:            http_respond...() / http_error()
//          - take the body whole:       http_body_collect(r, max, done)         done(r) then answers
//          - take the body in pieces:   http_body_stream(r, on_data, on_end)    on_end(r) then answers
//          - answer later:              keep r, and http_on_abort(r, fn) to learn that it died
//          - become a WebSocket:        http_upgrade_ws(r, ...)
//   An answer is one http_respond...() or http_error(), or http_stream_begin() ... http_stream_end().
//   After that call the pointer r must not be used. A handler that answers before the body was read makes
//   the server drain a little of the body and close the connection if there is more.
//   If the peer goes away first, or the server itself refuses the request while its handler holds it (body too
//   large, malformed or too slow), the abort callback (if set) is called exactly once and r is dead; no other
//   callback comes after it, and nothing can be answered in it. It may come from inside http_body_collect() and
//   http_body_stream() (a body announced as too large). Without an abort callback, answering a dead request is impossible because r is
//   freed: a handler that answers later MUST set one.
//
// HEAD is routed to GET and the body suppressed. OPTIONS is answered from the routes. Requests of one
// connection are served one after the other (pipelined ones wait their turn).
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "net/stream.h"

struct http_server;
struct http_request;
struct http_ws;

// Methods are bits, so that a route or an Allow list is a set.
enum http_method {
    HTTP_M_GET = 1,
    HTTP_M_HEAD = 2,
    HTTP_M_POST = 4,
    HTTP_M_PUT = 8,
    HTTP_M_PATCH = 16,
    HTTP_M_DELETE = 32,
    HTTP_M_OPTIONS = 64,
    HTTP_M_ALL = 127,
};

// --- limits: zero means the default in brackets ---
struct http_limits {
    uint32_t connections;       // [64] more are answered 503, and above connections + 8 refused
    uint32_t requests;          // [48] being served at once; more are answered 503
    uint32_t url_bytes;         // [4096] 414
    uint32_t header_bytes;      // [16384] all header names and values: 431
    uint32_t header_count;      // [64] 431
    uint32_t arena_bytes;       // [262144] http_alloc() of one request
    uint32_t collect_bytes;     // [1048576] upper limit for http_body_collect(): 413
    uint64_t body_bytes;        // [no limit] upper limit for streamed bodies: 413
    uint32_t out_bytes;         // [65536] queued output of a streamed answer or a WebSocket
    uint32_t ws_message_bytes;  // [65536] of one received message: close 1009
    uint32_t header_timeout_ms; // [10000] first byte to end of headers: 408
    uint32_t body_timeout_ms;   // [20000] for every 4 KiB of body: 408
    uint32_t idle_timeout_ms;   // [60000] between requests: closed silently
    uint32_t write_timeout_ms;  // [30000] for every 4 KiB the peer takes: aborted
    uint32_t ws_ping_ms;        // [30000] silence after which a ping is sent; twice that closes
};

// --- authentication ---
// Who the peer is; filled by the auth hook, read by handlers. Meaning of roles: the application's.
struct http_identity {
    char name[64];
    uint32_t roles;
};

enum http_auth_result {
    HTTP_AUTH_OK,
    HTTP_AUTH_REQUIRED,  // 401 with WWW-Authenticate
    HTTP_AUTH_FORBIDDEN, // 403
    HTTP_AUTH_LIMITED,   // 429 with Retry-After: too many failures
};

// Called once a request before routing, with headers available. May cache what it found out in the
// connection's slot (http_conn_slot), so that a slow password check happens once a connection.
typedef enum http_auth_result (*http_auth_fn)(void *arg, struct http_request *r, struct http_identity *id);

// --- server ---
struct http_config {
    struct http_limits limits;
    http_auth_fn auth; // NULL: every request is anonymous (tests only)
    void *auth_arg;
    const char *challenge; // WWW-Authenticate value, e.g. `Basic realm="keelson", charset="UTF-8"`
};

typedef void (*http_handler)(struct http_request *r, void *arg);

enum { HTTP_ROUTE_PUBLIC = 1 }; // flag: no authentication

// Returns NULL without memory. The config is copied; its strings must stay valid.
struct http_server *http_server_new(const struct http_config *config);
// Abort every connection and free the server (tests; the node never stops).
void http_server_free(struct http_server *s);
// Pattern: `/v1/systems/{id}/console`; a last segment `{rest*}` takes everything. Literal segments win over
// parameters. `methods` is a set of enum http_method; HEAD and OPTIONS come by themselves. Pattern and arg
// must stay valid. Panics at start-up on a pattern that cannot be right.
void http_route(struct http_server *s, unsigned methods, const char *pattern, unsigned flags,
                http_handler handle, void *arg);
// Serve a connection (already TLS, or plain in tests). Takes the stream over.
void http_serve(struct http_server *s, struct stream *conn);

struct http_stats {
    uint32_t connections, requests_active, websockets;
    uint64_t accepted, refused, requests, errors_4xx, errors_5xx, timeouts, bytes_in, bytes_out;
};
void http_server_stats(const struct http_server *s, struct http_stats *out);

// --- the request (valid until answered or aborted) ---
enum http_method http_request_method(const struct http_request *r); // HEAD shows as GET
bool http_request_is_head(const struct http_request *r);            // for an answer that has no end
const char *http_request_path(const struct http_request *r);        // raw, without the query
// Path parameter by its name in the pattern, percent-decoded, or NULL.
const char *http_param(const struct http_request *r, const char *name);
// Query parameter, percent-decoded into the arena; "" when it has no value, NULL when absent.
const char *http_query(struct http_request *r, const char *name);
const char *http_query_string(const struct http_request *r); // raw, "" when absent
// The name, as it was sent, of the first query parameter that is not among the blank-separated words of `known`;
// NULL if there is none. Like the values it lives as long as the request.
const char *http_query_unknown(struct http_request *r, const char *known);
// First header of that name (case-insensitive) or NULL.
const char *http_header(const struct http_request *r, const char *name);
// True if the media type of Content-Type equals `type` (parameters ignored).
bool http_content_is(const struct http_request *r, const char *type);
int64_t http_content_length(const struct http_request *r); // -1: chunked
bool http_has_body(const struct http_request *r);
const struct http_identity *http_identity(const struct http_request *r); // name "" when anonymous
void http_peer(const struct http_request *r, struct stream_addr *out);
// 64 bytes that live as long as the connection, zero at its start; for the auth hook.
void *http_conn_slot(struct http_request *r);
// Memory that lives as long as the request; zeroed; NULL above limits.arena_bytes.
void *http_alloc(struct http_request *r, size_t size);
void http_set_user(struct http_request *r, void *user);
void *http_user(const struct http_request *r);
void http_on_abort(struct http_request *r, void (*aborted)(struct http_request *r));

// --- request body ---
// Whole body in memory (empty if there is none), at most max bytes (and limits.collect_bytes), else 413; NUL-terminated for the
// convenience of text parsers, len excludes the NUL. The body lives in the arena's lifetime.
void http_body_collect(struct http_request *r, size_t max,
                       void (*done)(struct http_request *r, char *body, size_t len));
// Body in pieces of any size. on_data returns how many bytes it took; fewer than len pauses the body until
// http_body_resume(), and the rest comes again. A request without a body is refused with 411. on_end comes after the last byte, also if the
// body has length 0.
// The sender's `Expect: 100-continue` is answered when the body is asked for, not before, so that a handler
// can refuse a large upload from its headers.
void http_body_stream(struct http_request *r, uint64_t max,
                      size_t (*on_data)(struct http_request *r, const void *data, size_t len),
                      void (*on_end)(struct http_request *r));
void http_body_resume(struct http_request *r);

// --- answers ---
// Extra header of the answer; before it begins. Name and value are copied. Values with CR or LF are dropped.
void http_add_header(struct http_request *r, const char *name, const char *value);
// One-shot answer; data are copied. type NULL: no Content-Type. 204 and 304 carry no body.
void http_respond(struct http_request *r, int status, const char *type, const void *data, size_t len);
void http_respond_json(struct http_request *r, int status, const char *json, size_t len);
// The same for data that never change or go away (no copy).
void http_respond_static(struct http_request *r, int status, const char *type, const void *data, size_t len);
// The same for malloc()ed data, which the server frees (no copy).
void http_respond_take(struct http_request *r, int status, const char *type, void *data, size_t len);
// {"error":{"code":...,"message":...,"where":...}}; where may be NULL. code is a short stable word.
void http_error(struct http_request *r, int status, const char *code, const char *message, const char *where);
void http_errorf(struct http_request *r, int status, const char *code, const char *where, const char *fmt,
                 ...) PRINTF_LIKE(5, 6);

// Streamed answer. length -1: unknown, sent chunked. write returns the bytes it took (limits.out_bytes are
// queued); after a short write on_writable comes when there is room. end() finishes; for a known length it
// must match. A handler that cannot finish calls http_stream_fail(): the connection is cut, so that the
// client sees the truncation. Without memory the server cuts it itself, and calls the abort callback: from inside
// http_stream_begin(), or from http_stream_write(), which returns 0 then.
void http_stream_begin(struct http_request *r, int status, const char *type, int64_t length);
size_t http_stream_write(struct http_request *r, const void *data, size_t len);
void http_stream_on_writable(struct http_request *r, void (*writable)(struct http_request *r));
void http_stream_end(struct http_request *r);
void http_stream_fail(struct http_request *r);

// --- WebSocket ---
enum { WS_TEXT = 1, WS_BINARY = 2 };

struct ws_handler {
    // A whole message of at most limits.ws_message_bytes; text is valid UTF-8. NUL-terminated.
    void (*on_message)(struct http_ws *ws, int type, const void *data, size_t len);
    void (*on_writable)(struct http_ws *ws); // the queue has drained below its half; may be NULL
    // The socket is gone (code 1006: without a closing handshake); the last call, ws is dead afterwards.
    void (*on_close)(struct http_ws *ws, int code);
};

// Upgrade the request. Returns NULL if it is not a proper WebSocket request or no memory is left; the error
// has then been answered. subprotocol: what the server chose of Sec-WebSocket-Protocol, or NULL. The request
// is over (r is dead); `user` is kept in the socket. No callback comes before this returns.
struct http_ws *http_upgrade_ws(struct http_request *r, const struct ws_handler *h, void *user,
                                const char *subprotocol);
void *ws_user(const struct http_ws *ws);
// Queue one message; false when the queue (limits.out_bytes) has no room for all of it: on_writable follows.
MUST_CHECK bool ws_send(struct http_ws *ws, int type, const void *data, size_t len);
size_t ws_send_space(const struct http_ws *ws); // largest message that ws_send() would take now
void ws_pause(struct http_ws *ws);              // receive nothing for now (back-pressure)
void ws_resume(struct http_ws *ws);
// Start the closing handshake (RFC 6455 section 7.1.2); on_close follows.
void ws_close(struct http_ws *ws, int code, const char *reason);

// --- helpers ---
// Append s as the inside of a JSON string (without quotes) to out; never cuts an escape in half. Returns the
// bytes written; out is NUL-terminated.
size_t http_json_escape(char *out, size_t cap, const char *s);
const char *http_status_text(int status);

#endif
