// srcs: net/http.c net/http_out.c net/http_parse.c net/http_request.c net/http_route.c net/http_answer.c net/http_ws.c net/ws.c net/stream.c tests/sim/plat_host.c tests/sim/stream_mem.c tests/sim/http_demo.c
// libs: llhttp mbedtls
// SPDX-License-Identifier: Apache-2.0
// Fuzz target: whatever a client sends, in whatever pieces and with whatever window, the server answers or
// closes, frees everything and keeps its limits.
#include "net/http.h"
#include "tests/sim/http_demo.h"
#include "tests/sim/plat_host.h"
#include "tests/sim/stream_mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void settle(void)
{
    plat_host_settle();
    while (demo.paused) { // an upload that takes little at a time
        struct http_request *r = demo.paused;

        demo.paused = NULL;
        http_body_resume(r);
        plat_host_settle();
    }
    if (demo.held) {
        http_demo_release();
        plat_host_settle();
    }
}

static void check_drained(struct http_server *s)
{
    struct http_stats stats;

    http_server_stats(s, &stats);
    if (stats.connections || stats.requests_active || stats.websockets || demo.ws_open != demo.ws_closed) {
        abort();
    }
}

// The first byte chooses how the rest arrives: the size of the pieces, the peer's window, its end.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_server *server;
    struct mem_stream *m;
    uint8_t how;
    size_t step;

    if (!server) {
        struct http_config config = {.limits = {.arena_bytes = 20000, .out_bytes = 8000}};

        plat_host_manual_clock();
        plat_host_log_level(LOG_ERROR);
        server = http_server_new(&config);
        http_demo_routes(server);
    }
    if (size < 1 || size > 20000) {
        return 0;
    }
    memset(&demo, 0, sizeof demo);
    how = data[0];
    step = how & 1 ? 1 + (how >> 4) : size;
    demo.take_max = how & 2 ? 3 : 0;
    demo.stream_max = 30000;
    m = mem_stream_new();
    m->out_window = how & 4 ? 50 : SIZE_MAX;
    http_serve(server, &m->s);
    for (size_t at = 1; at < size; at += step) {
        mem_feed(m, data + at, MIN(step, size - at));
        settle();
        if (how & 4) {
            mem_take(m, 1000);
        }
    }
    if (how & 8) {
        mem_feed_eof(m);
        settle();
    }
    if (!m->closed && !m->aborted) {
        mem_feed_reset(m);
        settle();
    }
    if (!m->closed && !m->aborted) {
        abort();
    }
    plat_host_settle();
    mem_stream_free(m);
    check_drained(server);
    return 0;
}
