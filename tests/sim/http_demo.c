// SPDX-License-Identifier: Apache-2.0
// Routes for tests of the HTTP server: see http_demo.h.
#include "tests/sim/http_demo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct http_demo demo;

static void count_abort(struct http_request *r)
{
    demo.aborts++;
    if (demo.held == r) {
        demo.held = NULL;
    }
    if (demo.paused == r) {
        demo.paused = NULL;
    }
}

static void hello(struct http_request *r, void *arg)
{
    const char *name = http_query(r, "name");
    char text[300];
    int n = snprintf(text, sizeof text, "{\"hello\":\"%.200s\"}\n",
                     name  ? name
                     : arg ? (const char *)arg
                           : "world");

    http_add_header(r, "X-Identity", http_identity(r)->name);
    http_respond_json(r, 200, text, (size_t)n);
}

static void echo_done(struct http_request *r, char *body, size_t len)
{
    http_respond(r, 200, "application/octet-stream", body, len);
}

static void echo(struct http_request *r, void *arg)
{
    (void)arg;
    http_on_abort(r, count_abort);
    http_body_collect(r, 200000, echo_done);
}

static size_t upload_data(struct http_request *r, const void *data, size_t len)
{
    const uint8_t *p = data;

    if (demo.take_max && len > demo.take_max) {
        len = demo.take_max;
        demo.paused = r;
    }
    demo.uploaded += len;
    for (size_t i = 0; i < len; i++) {
        demo.upload_sum += p[i];
    }
    return len;
}

static void upload_end(struct http_request *r)
{
    char text[100];
    int n = snprintf(text, sizeof text, "{\"bytes\":%llu,\"sum\":%llu}\n", (unsigned long long)demo.uploaded,
                     (unsigned long long)demo.upload_sum);

    http_respond_json(r, 201, text, (size_t)n);
}

static void upload(struct http_request *r, void *arg)
{
    (void)arg;
    demo.uploaded = demo.upload_sum = 0;
    http_on_abort(r, count_abort);
    http_body_stream(r, 1u << 30, upload_data, upload_end);
}

// A stream of n bytes, byte i being i modulo 251.
struct source {
    uint64_t at, end;
};

static void stream_more(struct http_request *r)
{
    struct source *src = http_user(r);
    uint8_t buf[3000];

    while (src->at < src->end) {
        size_t n = (size_t)MIN((uint64_t)sizeof buf, src->end - src->at), taken;

        for (size_t i = 0; i < n; i++) {
            buf[i] = (uint8_t)((src->at + i) % 251);
        }
        taken = http_stream_write(r, buf, n);
        src->at += taken;
        if (taken < n) {
            return;
        }
    }
    http_stream_end(r);
}

static void stream(struct http_request *r, void *arg)
{
    struct source *src = http_alloc(r, sizeof *src);

    (void)arg;
    src->end = strtoull(http_param(r, "bytes"), NULL, 10);
    if (demo.stream_max) {
        src->end = MIN(src->end, demo.stream_max);
    }
    http_set_user(r, src);
    http_on_abort(r, count_abort);
    http_stream_on_writable(r, stream_more);
    http_stream_begin(r, 200, "application/octet-stream", http_query(r, "known") ? (int64_t)src->end : -1);
    stream_more(r);
}

static void show_param(struct http_request *r, void *arg)
{
    const char *value = http_param(r, arg);

    http_respond(r, 200, "text/plain", value, strlen(value));
}

static void hold(struct http_request *r, void *arg)
{
    (void)arg;
    demo.held = r;
    http_on_abort(r, count_abort);
}

void http_demo_release(void)
{
    struct http_request *r = demo.held;

    demo.held = NULL;
    http_respond_json(r, 200, "{}", 2);
}

static void big(struct http_request *r, void *arg)
{
    static char data[300000];

    (void)arg;
    memset(data, 'b', sizeof data);
    if (http_query(r, "static")) {
        http_respond_static(r, 200, "text/plain", data, sizeof data);
    } else if (http_query(r, "take")) {
        char *mine = malloc(sizeof data);

        memcpy(mine, data, sizeof data);
        http_respond_take(r, 200, "text/plain", mine, sizeof data);
    } else {
        http_respond(r, 200, "text/plain", data, sizeof data);
    }
}

static void none(struct http_request *r, void *arg)
{
    (void)arg;
    http_respond(r, 204, NULL, NULL, 0);
}

// --- WebSocket echo; "close" closes, "burst" sends until the queue is full ---

static void ws_message(struct http_ws *ws, int type, const void *data, size_t len)
{
    if (len == 5 && !memcmp(data, "close", 5)) {
        ws_close(ws, 1001, "asked to");
    } else if (len == 5 && !memcmp(data, "burst", 5)) {
        while (ws_send(ws, WS_BINARY, "0123456789", 10)) {
        }
    } else if (!ws_send(ws, type, data, len)) {
        ws_close(ws, 1011, "too slow");
    }
}

static void ws_gone_away(struct http_ws *ws, int code)
{
    (void)ws;
    demo.ws_closed++;
    demo.ws_code = code;
}

static void ws_route(struct http_request *r, void *arg)
{
    static const struct ws_handler handler = {.on_message = ws_message, .on_close = ws_gone_away};

    if (http_upgrade_ws(r, &handler, arg, NULL)) {
        demo.ws_open++;
    }
}

void http_demo_routes(struct http_server *s)
{
    http_route(s, HTTP_M_GET, "/hello", 0, hello, NULL);
    http_route(s, HTTP_M_GET, "/public", HTTP_ROUTE_PUBLIC, hello, "public");
    http_route(s, HTTP_M_POST | HTTP_M_PUT, "/echo", 0, echo, NULL);
    http_route(s, HTTP_M_PUT, "/upload", 0, upload, NULL);
    http_route(s, HTTP_M_GET, "/stream/{bytes}", 0, stream, NULL);
    http_route(s, HTTP_M_GET, "/systems/{id}", 0, show_param, "id");
    http_route(s, HTTP_M_DELETE, "/systems/{id}", 0, none, NULL);
    http_route(s, HTTP_M_GET, "/systems/special", 0, hello, "special");
    http_route(s, HTTP_M_GET, "/systems/{id}/console", 0, show_param, "id");
    http_route(s, HTTP_M_GET, "/files/{rest*}", 0, show_param, "rest");
    http_route(s, HTTP_M_GET, "/hold", 0, hold, NULL);
    http_route(s, HTTP_M_GET, "/big", 0, big, NULL);
    http_route(s, HTTP_M_GET, "/none", 0, none, NULL);
    http_route(s, HTTP_M_GET, "/ws", 0, ws_route, NULL);
}

enum http_auth_result http_demo_auth(void *arg, struct http_request *r, struct http_identity *id)
{
    const char *auth = http_header(r, "Authorization");

    (void)arg;
    demo.auth_calls++;
    if (!auth) {
        return HTTP_AUTH_REQUIRED;
    }
    if (!strcmp(auth, "Basic YWRtaW46c2VjcmV0")) {
        strcpy(id->name, "admin");
        id->roles = 1;
        return HTTP_AUTH_OK;
    }
    if (!strcmp(auth, "Basic c2xvdzpkb3du")) {
        return HTTP_AUTH_LIMITED;
    }
    return !strcmp(auth, "Basic bm86cm9sZQ==") ? HTTP_AUTH_FORBIDDEN : HTTP_AUTH_REQUIRED;
}
