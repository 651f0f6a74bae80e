// srcs: net/ws.c net/stream.c tests/sim/plat_host.c tests/sim/stream_mem.c tests/sim/http_demo.c
// libs: llhttp mbedtls
// SPDX-License-Identifier: Apache-2.0
// HTTP server without memory: each allocation of a set of conversations fails once; nothing crashes, leaks or
// hangs, and the server works afterwards.
//
// The server's sources are included, so that their allocations can be counted.
#include <stdlib.h>

static void *counted_malloc(size_t size);
static void *counted_calloc(size_t n, size_t size);
static void *counted_realloc(void *p, size_t size);

#define malloc(size) counted_malloc(size)
#define calloc(n, size) counted_calloc(n, size)
#define realloc(p, size) counted_realloc(p, size)
#include "net/http.c"
#include "net/http_answer.c"
#include "net/http_out.c"
#include "net/http_parse.c"
#include "net/http_request.c"
#include "net/http_route.c"
#include "net/http_ws.c"
#undef malloc
#undef calloc
#undef realloc

#include "tests/sim/http_demo.h"
#include "tests/sim/plat_host.h"
#include "tests/sim/stream_mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static long allocations, fail_at = -1; // the fail_at'th allocation fails

static bool fails(void)
{
    return allocations++ == fail_at;
}

static void *counted_malloc(size_t size)
{
    return fails() ? NULL : malloc(size);
}

static void *counted_calloc(size_t n, size_t size)
{
    return fails() ? NULL : calloc(n, size);
}

static void *counted_realloc(void *p, size_t size)
{
    return fails() ? NULL : realloc(p, size);
}

static struct http_server *server;

#define H "Host: n\r\n"
static const char *const conversations[] = {
    "GET /hello?name=a%20b HTTP/1.1\r\n" H "A: b\r\nC: d\r\n\r\nGET /systems/x HTTP/1.1\r\n" H "\r\n",
    "POST /echo HTTP/1.1\r\n" H
    "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "PUT /upload HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nabcd",
    "GET /stream/20000 HTTP/1.1\r\n" H "\r\n",
    "GET /big HTTP/1.1\r\n" H "\r\nGET /big?static HTTP/1.1\r\n" H "\r\nGET /big?take HTTP/1.1\r\n" H "\r\n",
    "GET /nothing HTTP/1.1\r\n" H "\r\n",
    "DELETE /hello HTTP/1.1\r\n" H "\r\n",
    "GET /hold HTTP/1.1\r\n" H "\r\n",
    "garbage\r\n\r\n",
    "GET /ws HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x85\x01\x01\x01\x01"
    "ids`u\x89\x80\x01\x01\x01\x01",
};

static void converse(const char *text)
{
    struct mem_stream *m = mem_stream_new();

    memset(&demo, 0, sizeof demo);
    http_serve(server, &m->s);
    mem_feed_text(m, text);
    plat_host_settle();
    if (demo.held) {
        http_demo_release();
        plat_host_settle();
    }
    if (!m->closed && !m->aborted) {
        mem_feed_reset(m);
        plat_host_settle();
    }
    assert_true(m->closed || m->aborted);
    plat_host_settle();
    mem_stream_free(m);
    assert_int_equal(demo.ws_open, demo.ws_closed);
}

static void test_each_allocation_fails(void **state)
{
    struct http_config config = {.limits = {.arena_bytes = 50000}};
    uint64_t total, before, after;
    struct http_stats stats;
    long failures = 0;

    (void)state;
    server = http_server_new(&config);
    http_demo_routes(server);
    for (size_t i = 0; i < ARRAY_LEN(conversations); i++) {
        converse(conversations[i]); // warm
        plat_heap_usage(&total, &before);
        for (long n = 0;; n++) {
            allocations = 0;
            fail_at = n;
            converse(conversations[i]);
            fail_at = -1;
            plat_heap_usage(&total, &after);
            assert_int_equal(after, before);
            if (allocations <= n) {
                break; // got through without needing that many
            }
            failures++;
        }
    }
    print_message("%ld allocations failed once each\n", failures);
    assert_in_range(failures, 50, 10000);
    http_server_stats(server, &stats);
    assert_int_equal(stats.connections + stats.requests_active + stats.websockets, 0);
    assert_int_equal(server->collected, 0);
    http_server_free(server);
    plat_host_settle();
    assert_int_equal(plat_host_armed(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation_fails)};

    plat_host_manual_clock();
    plat_host_log_level(LOG_ERROR);
    return cmocka_run_group_tests_name("http_memory", tests, NULL, NULL);
}
