// srcs: net/http.c net/http_out.c net/http_parse.c net/http_request.c net/http_route.c net/http_answer.c net/http_ws.c net/ws.c net/stream.c tests/sim/plat_host.c tests/sim/stream_mem.c tests/sim/http_demo.c
// libs: llhttp mbedtls
// SPDX-License-Identifier: Apache-2.0
// HTTP server over streams in memory: every status it gives by itself, bodies, limits, timeouts, WebSocket.
#include "net/http.h"
#include "tests/sim/http_demo.h"
#include "tests/sim/plat_host.h"
#include "tests/sim/stream_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct http_server *server;

static int setup_with(struct http_config config)
{
    memset(&demo, 0, sizeof demo);
    server = http_server_new(&config);
    http_demo_routes(server);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return setup_with((struct http_config){0});
}

static int teardown(void **state)
{
    struct http_stats stats;

    (void)state;
    plat_host_settle();
    http_server_stats(server, &stats);
    http_server_free(server);
    plat_host_settle();
    assert_int_equal(plat_host_armed(), 0);
    return 0;
}

static struct mem_stream *connect_client(void)
{
    struct mem_stream *m = mem_stream_new();

    http_serve(server, &m->s);
    plat_host_settle();
    return m;
}

// The server has ended the connection, or is made to.
static void disconnect(struct mem_stream *m)
{
    if (!m->closed && !m->aborted) {
        mem_feed_reset(m);
        plat_host_settle();
    }
    assert_true(m->closed || m->aborted);
    plat_host_settle();
    mem_stream_free(m);
}

static const char *say(struct mem_stream *m, const char *text)
{
    mem_clear_output(m);
    mem_feed_text(m, text);
    plat_host_settle();
    return (const char *)m->out;
}

static int status_of(const char *answer)
{
    int status = 0;

    sscanf(answer, "HTTP/1.1 %d ", &status);
    return status;
}

static const char *body_of(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");

    return end ? end + 4 : "";
}

#define HOST "Host: node\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

// One exchange on a connection of its own; returns the status.
static int ask(const char *text, char *answer, size_t cap)
{
    struct mem_stream *m = connect_client();
    int status = status_of(say(m, text));

    if (answer) {
        snprintf(answer, cap, "%s", m->out);
    }
    disconnect(m);
    return status;
}

// --- answers ---

static void test_get(void **state)
{
    struct mem_stream *m = connect_client();
    const char *a = say(m, GET("/hello?name=a%20b+c"));

    (void)state;
    assert_int_equal(status_of(a), 200);
    assert_string_equal(body_of(a), "{\"hello\":\"a b c\"}\n");
    assert_non_null(strstr(a, "Content-Length: 18\r\n"));
    assert_non_null(strstr(a, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(a, "GMT\r\n"));
    assert_null(strstr(a, "Connection: close"));
    assert_int_equal(status_of(say(m, GET("/hello"))), 200); // keep-alive
    disconnect(m);
}

static void test_head_has_no_body(void **state)
{
    struct mem_stream *m = connect_client();
    const char *a = say(m, "HEAD /hello HTTP/1.1\r\n" HOST "\r\n");

    (void)state;
    assert_int_equal(status_of(a), 200);
    assert_non_null(strstr(a, "Content-Length: 18\r\n"));
    assert_string_equal(body_of(a), "");
    a = say(m, "HEAD /stream/100000 HTTP/1.1\r\n" HOST "\r\n" GET("/none"));
    assert_int_equal(status_of(a), 200);
    assert_int_equal(status_of(body_of(a)), 204);
    disconnect(m);
}

static void test_pipelining(void **state)
{
    struct mem_stream *m = connect_client();
    const char *a = say(
        m, GET("/hello?name=1") "POST /echo HTTP/1.1\r\n" HOST
                                "Content-Length: 3\r\n\r\nabc" GET("/systems/x") "\r\n" GET("/none"));

    (void)state;
    a = strstr(a, "\"1\"");
    assert_non_null(a);
    a = strstr(a, "\r\n\r\nabc");
    assert_non_null(a);
    a = strstr(a, "\r\n\r\nx");
    assert_non_null(a);
    assert_non_null(strstr(a, "204 No Content"));
    disconnect(m);
}

static void test_byte_by_byte(void **state)
{
    static const char text[] =
        "POST /echo HTTP/1.1\r\n" HOST
        "Empty:\r\nTransfer-Encoding: chunked\r\nX-Last:  v \t\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n"
        "0\r\nTrailer: t\r\n\r\n" GET("/none");
    struct mem_stream *m = connect_client();

    (void)state;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        mem_feed(m, text + i, 1);
        plat_host_settle();
    }
    assert_int_equal(status_of((char *)m->out), 200);
    assert_memory_equal(body_of((char *)m->out), "abcde", 5);
    assert_int_equal(status_of(body_of((char *)m->out) + 5), 204);
    disconnect(m);
}

static void test_params(void **state)
{
    static const struct {
        const char *path;
        int status;
        const char *body;
    } rows[] = {
        {"/systems/a%2Fb", 200, "a/b"},
        {"/systems/special", 200, "{\"hello\":\"special\"}\n"},
        {"/systems/vm-1/console", 200, "vm-1"},
        {"/files/a/b/c", 200, "a/b/c"},
        {"/files/", 200, ""},
        {"/systems/%zz", 400, NULL},
        {"/systems/%00", 400, NULL},
        {"/systems/%4", 400, NULL},
        {"/systems/", 404, NULL},
        {"/systems", 404, NULL},
        {"/hello/", 404, NULL},
        {"/", 404, NULL},
        {"//hello", 404, NULL},
        {"http://node/systems/q", 200, "q"},
        {"http://node?x", 404, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[200], answer[1000];

        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" HOST "\r\n", rows[i].path);
        assert_int_equal(ask(text, answer, sizeof answer), rows[i].status);
        if (rows[i].body) {
            assert_string_equal(body_of(answer), rows[i].body);
        }
    }
}

// --- statuses of the protocol ---

static void test_protocol_errors(void **state)
{
    static const struct {
        int status;
        const char *text, *part;
    } rows[] = {
        {400, "garbage\r\n\r\n", "\"code\":\"bad_request\""},
        {400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\"error\""},
        {400, "GET /hello HTTP/1.1\r\n\r\n", "\"where\":\"Host\""},
        {400, "GET /hello HTTP/1.1\r\n" HOST HOST "\r\n", "Host"},
        {400, "GET hello HTTP/1.1\r\n" HOST "\r\n", "uri"},
        {400, "GET /hello HTTP/1.1\r\n" HOST "Bad Header: x\r\n\r\n", "header"},
        {400, "GET /hello HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", NULL}, // obsolete line folding
        {400, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", NULL},
        {400, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", "Content-Length"},
        {400,
         "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         NULL},
        {400, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "body"},
        {400, "POST /echo HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "Transfer-Encoding"},
        {501, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "chunked"},
        {404, GET("/nothing"), "\"where\":\"/nothing\""},
        {405, "DELETE /hello HTTP/1.1\r\n" HOST "\r\n", "Allow: GET, HEAD, OPTIONS\r\n"},
        {405, "POST /systems/x HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab",
         "Allow: GET, HEAD, DELETE, OPTIONS\r\n"},
        {204, "OPTIONS /echo HTTP/1.1\r\n" HOST "\r\n", "Allow: POST, PUT, OPTIONS\r\n"},
        {204, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "Allow: OPTIONS\r\n"},
        {411, "PUT /upload HTTP/1.1\r\n" HOST "\r\n", "length_required"},
        {413, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 99999999\r\n\r\n", "Connection: close\r\n"},
        {413, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551615\r\n\r\n", "too_large"},
        {417, "POST /echo HTTP/1.1\r\n" HOST "Expect: miracles\r\nContent-Length: 1\r\n\r\n", "Expect"},
        {501, "BREW /pot HTTP/1.1\r\n" HOST "\r\n", "method"},
        {501, "PROPFIND /hello HTTP/1.1\r\n" HOST "\r\n", "method"},
        {501, "CONNECT node:1 HTTP/1.1\r\n" HOST "\r\n", "method"},
        {501, "TRACE /hello HTTP/1.1\r\n" HOST "\r\n", "method"},
        {505, "GET /hello HTTP/2.0\r\n" HOST "\r\n", "version"},
        {505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version"},
        {426, GET("/ws"), "Upgrade: websocket\r\n"},
        {403, "POST /echo HTTP/1.1\r\n" HOST "Origin: https://evil\r\nContent-Length: 1\r\n\r\nx",
         "cross_origin"},
        {200, "POST /echo HTTP/1.1\r\n" HOST "Origin: https://node\r\nContent-Length: 1\r\n\r\nx", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char answer[2000];
        int status = ask(rows[i].text, answer, sizeof answer);

        if (status != rows[i].status || (rows[i].part && !strstr(answer, rows[i].part))) {
            print_error("row %zu: %s\n--- got ---\n%s\n", i, rows[i].text, answer);
        }
        assert_int_equal(status, rows[i].status);
        assert_true(!rows[i].part || strstr(answer, rows[i].part));
        if (status >= 400) {
            assert_non_null(strstr(answer, "{\"error\":{\"code\":\""));
        }
    }
}

static void test_large_head(void **state)
{
    static char text[40000], answer[2000];

    (void)state;
    sprintf(text, "GET /%0*d HTTP/1.1\r\n" HOST "\r\n", 5000, 0);
    assert_int_equal(ask(text, answer, sizeof answer), 414);
    sprintf(text, "GET /hello HTTP/1.1\r\n" HOST "X: %0*d\r\n\r\n", 20000, 0);
    assert_int_equal(ask(text, answer, sizeof answer), 431);
    sprintf(text, "GET /hello HTTP/1.1\r\n" HOST "X: %0*d\r\n\r\n", 15000, 0);
    assert_int_equal(ask(text, answer, sizeof answer), 200);
    strcpy(text, "GET /hello HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 70; i++) {
        strcat(text, "A: b\r\n");
    }
    strcat(text, "\r\n");
    assert_int_equal(ask(text, answer, sizeof answer), 431);
    // Pieces: never more than the limit is kept.
    struct mem_stream *m = connect_client();
    mem_feed_text(m, "GET /hello HTTP/1.1\r\n" HOST "X: ");
    for (int i = 0; i < 100000 && !m->out_len; i++) {
        mem_feed_text(m, "xxxxxxxxxxxxxxxx");
        plat_host_settle();
    }
    assert_int_equal(status_of((char *)m->out), 431);
    disconnect(m);
}

// --- bodies ---

static void test_continue(void **state)
{
    struct mem_stream *m = connect_client();
    const char *a = say(m,
                        "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");

    (void)state;
    assert_string_equal(a, "HTTP/1.1 100 Continue\r\n\r\n");
    a = say(m, "abc");
    assert_int_equal(status_of(a), 200);
    assert_string_equal(body_of(a), "abc");
    // Refused from its headers: no 100, and the connection cannot be used further.
    a = say(m, "PUT /hello HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_int_equal(status_of(a), 405);
    assert_non_null(strstr(a, "Connection: close\r\n"));
    assert_true(m->finished);
    mem_feed_eof(m);
    plat_host_settle();
    assert_true(m->closed);
    disconnect(m);
}

static void test_upload_back_pressure(void **state)
{
    struct mem_stream *m = connect_client();
    char block[1000];

    (void)state;
    memset(block, 1, sizeof block);
    demo.take_max = 300;
    mem_feed_text(m, "PUT /upload HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n");
    for (int i = 0; i < 100; i++) {
        mem_feed(m, block, sizeof block);
    }
    plat_host_settle();
    assert_non_null(demo.paused);
    assert_int_equal(demo.uploaded, 300);
    assert_true(m->in_len - m->in_off > 80000); // the rest stays in the stream
    while (demo.paused) {
        struct http_request *r = demo.paused;

        demo.paused = NULL;
        http_body_resume(r);
        plat_host_settle();
    }
    assert_int_equal(demo.uploaded, 100000);
    assert_int_equal(demo.upload_sum, 100000);
    assert_int_equal(status_of((char *)m->out), 201);
    assert_int_equal(status_of(say(m, GET("/none"))), 204);
    disconnect(m);
}

static void test_unwanted_body_is_drained(void **state)
{
    struct mem_stream *m = connect_client();
    char block[1000];

    (void)state;
    memset(block, 'x', sizeof block);
    mem_feed_text(m, "POST /hello HTTP/1.1\r\n" HOST "Content-Length: 10000\r\n\r\n");
    for (int i = 0; i < 10; i++) {
        mem_feed(m, block, sizeof block);
    }
    plat_host_settle();
    assert_int_equal(status_of((char *)m->out), 405);
    assert_int_equal(status_of(say(m, GET("/none"))), 204);
    disconnect(m);
}

static void test_chunked_body_over_limit(void **state)
{
    struct mem_stream *m = connect_client();
    char block[1024];

    (void)state;
    memset(block, 'x', sizeof block);
    mem_feed_text(m, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 300; i++) {
        mem_feed_text(m, "400\r\n");
        mem_feed(m, block, sizeof block);
        mem_feed_text(m, "\r\n");
        plat_host_settle();
    }
    assert_int_equal(status_of((char *)m->out), 413);
    assert_int_equal(demo.aborts, 1);
    disconnect(m);
}

static void test_abort_is_told_once(void **state)
{
    struct mem_stream *m = connect_client();

    (void)state;
    say(m, GET("/hold"));
    assert_non_null(demo.held);
    mem_feed_eof(m);
    plat_host_settle();
    assert_int_equal(demo.aborts, 1);
    assert_null(demo.held);
    disconnect(m);

    m = connect_client();
    say(m, "PUT /upload HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nabc");
    mem_feed_reset(m);
    plat_host_settle();
    assert_int_equal(demo.aborts, 2);
    disconnect(m);
}

static void test_late_answer(void **state)
{
    struct mem_stream *m = connect_client();

    (void)state;
    say(m, GET("/hold") GET("/none"));
    assert_int_equal(m->out_len, 0);
    http_demo_release();
    plat_host_settle();
    assert_int_equal(status_of((char *)m->out), 200);
    assert_non_null(strstr((char *)m->out, "204 No Content"));
    assert_int_equal(demo.aborts, 0);
    disconnect(m);
}

// --- streamed answers ---

static size_t unchunk(const char *body, uint8_t *out)
{
    size_t n = 0;

    for (;;) {
        char *end;
        size_t len = strtoul(body, &end, 16);

        assert_memory_equal(end, "\r\n", 2);
        memcpy(out + n, end + 2, len);
        n += len;
        body = end + 2 + len;
        assert_memory_equal(body, "\r\n", 2);
        body += 2;
        if (len == 0) {
            return n;
        }
    }
}

static void test_stream_to_slow_client(void **state)
{
    struct mem_stream *m = connect_client();
    static uint8_t data[1100000];
    size_t n;

    (void)state;
    m->out_window = 1000;
    say(m, GET("/stream/1000000"));
    assert_int_equal(m->out_len, 1000);
    while (strcmp((char *)m->out + m->out_len - 5, "0\r\n\r\n") != 0) {
        mem_take(m, 7001);
        plat_host_settle();
        assert_true(m->out_len < 1100000);
    }
    n = unchunk(body_of((char *)m->out), data);
    assert_int_equal(n, 1000000);
    for (size_t i = 0; i < n; i++) {
        if (data[i] != i % 251) {
            fail_msg("byte %zu differs", i);
        }
    }
    m->out_window = SIZE_MAX;
    assert_int_equal(status_of(say(m, GET("/none"))), 204);
    disconnect(m);
}

static void test_stream_known_length_and_http10(void **state)
{
    struct mem_stream *m = connect_client();
    const char *a = say(m, GET("/stream/5000?known"));

    (void)state;
    assert_non_null(strstr(a, "Content-Length: 5000\r\n"));
    assert_int_equal(m->out_len - (size_t)(body_of(a) - a), 5000);
    a = say(m, "GET /stream/5000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_non_null(strstr(a, "Connection: close\r\n"));
    assert_null(strstr(a, "chunked"));
    assert_true(m->closed);
    disconnect(m);
    m = connect_client();
    a = say(m, "GET /none HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_non_null(strstr(a, "Connection: keep-alive\r\n"));
    assert_int_equal(status_of(say(m, GET("/none"))), 204);
    disconnect(m);
}

static void test_stream_abort(void **state)
{
    struct mem_stream *m = connect_client();

    (void)state;
    m->out_window = 1000;
    say(m, GET("/stream/1000000"));
    mem_feed_reset(m);
    plat_host_settle();
    assert_int_equal(demo.aborts, 1);
    disconnect(m);
}

// A half-closed connection that breaks while an answer is still going out.
static void test_reset_after_eof(void **state)
{
    struct mem_stream *m = connect_client();

    (void)state;
    m->out_window = 50;
    say(m, "GET /stream/9000 HTTP/1.0\r\n\r\n");
    mem_feed_eof(m);
    plat_host_settle();
    assert_false(m->aborted || m->closed);
    mem_feed_reset(m);
    plat_host_settle();
    assert_true(m->aborted);
    disconnect(m);
}

static void test_large_answers(void **state)
{
    static const char *const paths[] = {"/big", "/big?static", "/big?take"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct mem_stream *m = connect_client();
        char text[100];

        sprintf(text, "GET %s HTTP/1.1\r\n" HOST "\r\n", paths[i]);
        m->out_window = 100000;
        say(m, text);
        mem_take(m, 1000000);
        plat_host_settle();
        assert_int_equal(strlen(body_of((char *)m->out)), 300000);
        sprintf(text, "HEAD %s HTTP/1.1\r\n" HOST "\r\n", paths[i]);
        assert_string_equal(body_of(say(m, text)), "");
        disconnect(m);
    }
}

// --- authentication ---

static void test_auth(void **state)
{
    static const struct {
        const char *head;
        int status;
        const char *part;
    } rows[] = {
        {"GET /hello HTTP/1.1\r\n" HOST "\r\n", 401, "WWW-Authenticate: Basic realm=\"keelson\"\r\n"},
        {"GET /nothing HTTP/1.1\r\n" HOST "\r\n", 401, NULL}, // says nothing about what exists
        {"GET /public HTTP/1.1\r\n" HOST "\r\n", 200, "X-Identity: \r\n"},
        {"GET /hello HTTP/1.1\r\n" HOST "Authorization: Basic YWRtaW46c2VjcmV0\r\n\r\n", 200,
         "X-Identity: admin\r\n"},
        {"GET /hello HTTP/1.1\r\n" HOST "Authorization: Basic bm86cm9sZQ==\r\n\r\n", 403, NULL},
        {"GET /hello HTTP/1.1\r\n" HOST "Authorization: Basic c2xvdzpkb3du\r\n\r\n", 429,
         "Retry-After: 5\r\n"},
        {"GET /hello HTTP/1.1\r\n" HOST "Authorization: Basic xxx\r\n\r\n", 401, NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char answer[1000];

        assert_int_equal(ask(rows[i].head, answer, sizeof answer), rows[i].status);
        assert_true(!rows[i].part || strstr(answer, rows[i].part));
    }
    (void)state;
}

static int setup_auth(void **state)
{
    (void)state;
    return setup_with((struct http_config){.auth = http_demo_auth, .challenge = "Basic realm=\"keelson\""});
}

// --- limits and time ---

static int setup_small(void **state)
{
    (void)state;
    return setup_with((struct http_config){.limits = {.connections = 4, .requests = 2}});
}

static void test_connection_limit(void **state)
{
    struct mem_stream *m[16];
    struct http_stats stats;

    (void)state;
    for (int i = 0; i < 4; i++) {
        m[i] = connect_client();
        mem_feed_text(m[i], "GET /hello HTTP/1.1\r\n"); // not idle: cannot be evicted
        plat_host_settle();
    }
    for (int i = 4; i < 13; i++) {
        m[i] = connect_client();
    }
    assert_true(m[12]->aborted); // 4 + 8 are the most
    assert_int_equal(status_of(say(m[4], GET("/hello"))), 503);
    assert_non_null(strstr((char *)m[4]->out, "Connection: close\r\n"));
    assert_int_equal(status_of(say(m[0], HOST "\r\n")), 200);
    for (int i = 0; i < 13; i++) {
        disconnect(m[i]);
    }
    http_server_stats(server, &stats);
    assert_int_equal(stats.connections, 0);
    assert_int_equal(stats.refused, 1);
}

static void test_idle_connections_make_room(void **state)
{
    struct mem_stream *m[5];

    (void)state;
    for (int i = 0; i < 4; i++) {
        m[i] = connect_client();
        assert_int_equal(status_of(say(m[i], GET("/none"))), 204);
    }
    assert_int_equal(status_of(say(m[0], GET("/none"))), 204); // now m[1] is quiet longest
    m[4] = connect_client();
    assert_true(m[1]->closed);
    assert_false(m[0]->closed);
    assert_int_equal(status_of(say(m[4], GET("/hello"))), 200);
    for (int i = 0; i < 5; i++) {
        disconnect(m[i]);
    }
}

static void test_request_limit(void **state)
{
    struct mem_stream *a = connect_client(), *b = connect_client(), *c = connect_client();

    (void)state;
    say(a, GET("/hold"));
    say(b, GET("/hold"));
    assert_int_equal(status_of(say(c, GET("/hello"))), 503);
    assert_non_null(strstr((char *)c->out, "Retry-After: 1\r\n"));
    mem_feed_reset(a);
    plat_host_settle();
    assert_int_equal(status_of(say(c, GET("/hello"))), 200);
    disconnect(a);
    disconnect(b);
    disconnect(c);
}

static void test_timeouts(void **state)
{
    struct mem_stream *quiet = connect_client(), *slow = connect_client(), *body = connect_client();
    struct mem_stream *idle = connect_client(), *stuck = connect_client();

    (void)state;
    say(slow, "GET /hello HTTP/1.1\r\nX: ");
    say(body, "PUT /upload HTTP/1.1\r\n" HOST "Content-Length: 10000\r\n\r\n");
    say(idle, GET("/none"));
    stuck->out_window = 100;
    say(stuck, GET("/big"));
    for (int i = 0; i < 9; i++) { // a byte a second does not help
        plat_host_advance_ms(1000);
        mem_feed_text(slow, "T");
        mem_feed_text(body, "b");
    }
    assert_int_equal(slow->out_len, 0);
    plat_host_advance_ms(1500);
    assert_int_equal(status_of((char *)slow->out), 408);
    assert_true(quiet->closed);
    for (int i = 0; i < 9; i++) {
        plat_host_advance_ms(1000);
        mem_feed_text(body, "b");
    }
    plat_host_advance_ms(1500);
    assert_int_equal(status_of((char *)body->out), 408);
    assert_int_equal(demo.aborts, 1);
    assert_false(stuck->aborted);
    plat_host_advance_ms(15000);
    assert_true(stuck->aborted);
    assert_false(idle->closed);
    plat_host_advance_ms(30000);
    assert_true(idle->closed);
    assert_true(slow->closed && body->closed);
    disconnect(quiet);
    disconnect(slow);
    disconnect(body);
    disconnect(idle);
    disconnect(stuck);
}

// --- WebSocket ---

#define WS_HEAD                                                                                              \
    "GET /ws HTTP/1.1\r\n" HOST "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"                  \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static void feed_frame(struct mem_stream *m, int first, const void *data, size_t len)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    uint8_t frame[200] = {(uint8_t)first, (uint8_t)(0x80 | len)};

    memcpy(frame + 2, mask, 4);
    for (size_t i = 0; i < len; i++) {
        frame[6 + i] = ((const uint8_t *)data)[i] ^ mask[i & 3];
    }
    mem_clear_output(m);
    mem_feed(m, frame, 6 + len);
    plat_host_settle();
}

static struct mem_stream *open_ws(void)
{
    struct mem_stream *m = connect_client();
    const char *a = say(m, WS_HEAD "\r\n");

    assert_int_equal(status_of(a), 101);
    assert_non_null(strstr(a, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    return m;
}

static void test_ws_echo_and_close(void **state)
{
    struct mem_stream *m = open_ws();

    (void)state;
    feed_frame(m, 0x81, "hello", 5);
    assert_memory_equal(m->out, "\x81\x05hello", 7);
    feed_frame(m, 0x89, "ping", 4);
    assert_memory_equal(m->out, "\x8a\x04ping", 6);
    feed_frame(m, 0x88, "\x03\xe8", 2);
    assert_memory_equal(m->out, "\x88\x02\x03\xe8", 4);
    assert_true(m->closed);
    assert_int_equal(demo.ws_closed, 1);
    assert_int_equal(demo.ws_code, 1000);
    disconnect(m);
}

static void test_ws_server_closes(void **state)
{
    struct mem_stream *m = open_ws();

    (void)state;
    feed_frame(m, 0x81, "close", 5);
    assert_memory_equal(m->out,
                        "\x88\x0a\x03\xe9"
                        "asked to",
                        12);
    assert_int_equal(demo.ws_closed, 0);
    feed_frame(m, 0x88, "\x03\xe9", 2);
    assert_int_equal(demo.ws_closed, 1);
    assert_int_equal(demo.ws_code, 1001);
    disconnect(m);

    m = open_ws(); // a peer that does not answer
    feed_frame(m, 0x81, "close", 5);
    plat_host_advance_ms(2100);
    assert_true(m->closed);
    assert_int_equal(demo.ws_code, 1006);
    disconnect(m);
}

static void test_ws_errors(void **state)
{
    struct mem_stream *m = open_ws();

    (void)state;
    mem_clear_output(m);
    mem_feed(m, "\x81\x01x", 3); // not masked
    plat_host_settle();
    assert_memory_equal(m->out, "\x88\x02\x03\xea", 4);
    assert_true(m->finished);
    plat_host_advance_ms(2100);
    assert_true(m->closed);
    assert_int_equal(demo.ws_code, 1002);
    disconnect(m);

    m = open_ws();
    mem_feed_reset(m);
    plat_host_settle();
    assert_int_equal(demo.ws_code, 1006);
    disconnect(m);
}

static void test_ws_queue_is_bounded(void **state)
{
    struct mem_stream *m = open_ws();

    (void)state;
    m->out_window = 0;
    feed_frame(m, 0x81, "burst", 5);
    for (int i = 0; i < 100000; i++) { // pongs must not add up
        feed_frame(m, 0x89, "0123456789", 10);
    }
    mem_take(m, 10000000);
    plat_host_settle();
    assert_in_range(m->out_len, 60000, 65600);
    disconnect(m);
}

static void test_ws_keepalive(void **state)
{
    struct mem_stream *m = open_ws();

    (void)state;
    mem_clear_output(m);
    plat_host_advance_ms(31000);
    assert_memory_equal(m->out, "\x89\x00", 2);
    feed_frame(m, 0x8a, "", 0);
    plat_host_advance_ms(29000);
    assert_int_equal(m->out_len, 0);
    plat_host_advance_ms(40000);
    assert_true(m->aborted);
    disconnect(m);
}

static void test_ws_bad_handshakes(void **state)
{
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"GET /ws HTTP/1.1\r\n" HOST
         "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
         426},
        {"GET /ws HTTP/1.1\r\n" HOST
         "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhl\r\n\r\n",
         400},
        {"GET /ws HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 426},
        {WS_HEAD "Origin: https://elsewhere\r\n\r\n", 403},
        {WS_HEAD "Content-Length: 2\r\n\r\nab", 426},
        {"GET /hello HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 200}, // ignored
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(ask(rows[i].text, NULL, 0), rows[i].status);
    }
}

// --- nothing stays behind ---

static void test_bad_requests_leave_nothing(void **state)
{
    static const char *const texts[] = {
        "garbage\r\n\r\n",
        GET("/nothing"),
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 99999999\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nabcdeX",
        "GET /hello HTTP/1.1\r\nX: ",
        "PUT /upload HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\nabc",
        WS_HEAD "\r\n\x81\x01x",
        GET("/hold"),
        "BREW / HTTP/1.1\r\n\r\n",
        GET("/stream/1000000"),
    };
    uint64_t total, warm = 0, used;
    struct http_stats stats;

    (void)state;
    for (int i = 0; i < 10000; i++) {
        if (i == 100) {
            plat_heap_usage(&total, &warm);
        }
        ask(texts[(size_t)i % ARRAY_LEN(texts)], NULL, 0);
    }
    plat_heap_usage(&total, &used);
    assert_int_equal(used, warm);
    http_server_stats(server, &stats);
    assert_int_equal(stats.connections, 0);
    assert_int_equal(stats.requests_active, 0);
    assert_int_equal(stats.websockets, 0);
}

static void test_json_escape(void **state)
{
    char out[32];

    (void)state;
    assert_int_equal(http_json_escape(out, sizeof out, "a\"\\\n\x7f"), 17);
    assert_string_equal(out, "a\\\"\\\\\\u000a\\u007f");
    http_json_escape(out, 4, "ab\"c");
    assert_string_equal(out, "ab");
    http_json_escape(out, 5, "ab\"c");
    assert_string_equal(out, "ab\\\"");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_get),
        CASE(test_head_has_no_body),
        CASE(test_pipelining),
        CASE(test_byte_by_byte),
        CASE(test_params),
        CASE(test_protocol_errors),
        CASE(test_large_head),
        CASE(test_continue),
        CASE(test_upload_back_pressure),
        CASE(test_unwanted_body_is_drained),
        CASE(test_chunked_body_over_limit),
        CASE(test_abort_is_told_once),
        CASE(test_late_answer),
        CASE(test_stream_to_slow_client),
        CASE(test_stream_known_length_and_http10),
        CASE(test_stream_abort),
        CASE(test_reset_after_eof),
        CASE(test_large_answers),
        cmocka_unit_test_setup_teardown(test_auth, setup_auth, teardown),
        cmocka_unit_test_setup_teardown(test_connection_limit, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_idle_connections_make_room, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_request_limit, setup_small, teardown),
        CASE(test_timeouts),
        CASE(test_ws_echo_and_close),
        CASE(test_ws_server_closes),
        CASE(test_ws_errors),
        CASE(test_ws_queue_is_bounded),
        CASE(test_ws_keepalive),
        CASE(test_ws_bad_handshakes),
        CASE(test_bad_requests_leave_nothing),
        CASE(test_json_escape),
    };

    plat_host_manual_clock();
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
