// srcs: net/stream.c net/tls.c net/tls_identity.c tests/sim/plat_host.c tests/sim/stream_mem.c
// libs: mbedtls
// SPDX-License-Identifier: Apache-2.0
// Fuzz target: TLS records and handshake messages of a stranger, in whatever pieces. The server closes, and keeps
// nothing of the connection.
#include "net/tls.h"
#include "tests/sim/plat_host.h"
#include "tests/sim/stream_mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_server *server;

static void must(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void on_ready(void *arg, struct stream *s)
{
    (void)arg, (void)s;
    abort(); // nobody finishes a handshake without knowing what the server chose
}

static void start(void)
{
    static const uint8_t loopback[1][16] = {{127, 0, 0, 1}};
    static const uint8_t lens[1] = {4};
    const struct tls_names names = {.hostname = "node7", .ip = loopback, .ip_len = lens, .ip_count = 1};
    const struct tls_config config = {.handshake_timeout_ms = 2000};
    static struct tls_identity identity;

    plat_host_manual_clock();
    plat_host_log_level(LOG_ERROR);
    must(tls_identity_make(&identity, &names, false));
    server = tls_server_new(&config, &identity, on_ready, NULL);
    must(server != NULL);
}

static void check_drained(void)
{
    struct tls_stats stats;

    tls_server_stats(server, &stats);
    must(stats.silent == 0 && stats.waiting == 0 && stats.handshakes == 0 && stats.established == 0);
    must(stats.accepted == stats.failed + stats.timeouts && plat_host_armed() == 0);
}

// The first byte chooses how the rest arrives: the size of the pieces, the peer's window, its end.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mem_stream *m;
    uint8_t how;
    size_t step;

    if (server == NULL) {
        start();
    }
    if (size < 1 || size > 40000) {
        return 0;
    }
    how = data[0];
    step = how & 1 ? 1 + (how >> 4) * 7u : size;
    m = mem_stream_new();
    m->out_window = how & 2 ? 50 : SIZE_MAX;
    tls_accept(server, &m->s);
    for (size_t at = 1; at < size; at += step) {
        mem_feed(m, data + at, MIN(step, size - at));
        plat_host_settle();
        if (how & 2) {
            mem_take(m, 100);
        }
    }
    if (how & 4) {
        mem_feed_eof(m);
    } else {
        plat_host_advance_ms(3000); // a handshake takes two seconds at most
    }
    plat_host_settle();
    if (!m->closed && !m->aborted) {
        mem_feed_reset(m);
        plat_host_settle();
        // Who waits for room to write does not read, and hears of it by its time-out.
        plat_host_advance_ms(3000);
        plat_host_settle();
    }
    must(m->closed || m->aborted);
    mem_stream_free(m);
    check_drained();
    return 0;
}
