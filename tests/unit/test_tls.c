// srcs: net/http.c net/http_out.c net/http_parse.c net/http_request.c net/http_route.c net/http_answer.c net/http_ws.c net/ws.c net/stream.c net/tls.c net/tls_identity.c tests/sim/plat_host.c tests/sim/stream_host.c tests/sim/http_demo.c
// libs: llhttp mbedtls
// SPDX-License-Identifier: Apache-2.0
// HTTPS over real sockets with real clients: curl and openssl talk to the same TLS and HTTP code as the node's.
#include "net/http.h"
#include "net/tls.h"
#include "tests/sim/http_demo.h"
#include "tests/sim/plat_host.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <mbedtls/pem.h>

extern char **environ;

static struct http_server *server;
static struct tls_server *tls;
static struct tls_server *tls_hasty; // soon tired of silence
static struct stream_listener listener;
static struct tls_identity identity;
static char dir[] = "/tmp/keelson-tls-XXXXXX";
static char output[400000];
static size_t output_len;

// Runs a shell command while the server's loop turns; its output goes to `output`, its status is returned.
// $S is the server's address, $D a scratch folder.
static int sh(const char *command)
{
    char *argv[] = {"sh", "-c", (char *)command, NULL};
    posix_spawn_file_actions_t actions;
    int pipes[2], status = 0;
    bool running = true;
    pid_t pid;

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
    assert_int_equal(posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[1]);
    output_len = 0;
    while (running || output_len == 0) {
        ssize_t n;

        plat_host_step(2);
        if (running && waitpid(pid, &status, WNOHANG) == pid) {
            running = false;
        }
        while ((n = read(pipes[0], output + output_len, sizeof output - 1 - output_len)) > 0) {
            output_len += (size_t)n;
        }
        if (n == 0 && !running) {
            break;
        }
    }
    output[output_len] = 0;
    close(pipes[0]);
    plat_host_settle();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect(const char *command, const char *text)
{
    sh(command);
    if (!strstr(output, text)) {
        print_error("%s\n--- expected ---\n%s\n--- got ---\n%s\n", command, text, output);
        fail();
    }
}

static void write_certificate(void)
{
    unsigned char pem[2000];
    char path[100];
    size_t len;
    FILE *f;

    assert_int_equal(mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n",
                                              identity.cert_der, identity.cert_len, pem, sizeof pem, &len),
                     0);
    snprintf(path, sizeof path, "%s/cert.pem", dir);
    f = fopen(path, "w");
    fputs((char *)pem, f);
    fclose(f);
}

static void on_accept(struct stream_listener *l, struct stream *s)
{
    (void)l;
    tls_accept(tls, s);
}

static void on_ready(void *arg, struct stream *s)
{
    (void)arg;
    http_serve(server, s);
}

static int setup(void **state)
{
    static const uint8_t loopback[1][16] = {{127, 0, 0, 1}};
    static const uint8_t lens[1] = {4};
    const struct tls_names names = {.hostname = "node7", .ip = loopback, .ip_len = lens, .ip_count = 1};
    const struct http_config config = {.auth = http_demo_auth, .challenge = "Basic realm=\"keelson\""};
    const struct tls_config patient = {.handshake_timeout_ms = 60000}, hasty = {.handshake_timeout_ms = 2000};
    char text[64];

    (void)state;
    assert_non_null(mkdtemp(dir));
    signal(SIGPIPE, SIG_IGN);
    assert_true(tls_identity_make(&identity, &names, false));
    write_certificate();
    server = http_server_new(&config);
    http_demo_routes(server);
    tls = tls_server_new(&patient, &identity, on_ready, NULL);
    tls_hasty = tls_server_new(&hasty, &identity, on_ready, NULL);
    assert_non_null(tls);
    assert_non_null(tls_hasty);
    listener.accept = on_accept;
    assert_true(stream_listen(&listener, 0));
    snprintf(text, sizeof text, "127.0.0.1:%u", listener.port);
    setenv("S", text, 1);
    snprintf(text, sizeof text, "%u", listener.port);
    setenv("P", text, 1);
    setenv("D", dir, 1);
    setenv("C", "curl -s -k -m 60 -u admin:secret", 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_server_free(server);
    stream_unlisten(&listener);
    tls_server_free(tls);
    tls_server_free(tls_hasty);
    plat_host_settle();
    assert_int_equal(plat_host_armed(), 0);
    sh("rm -r $D");
    return 0;
}

static struct tls_stats tls_stats(void)
{
    struct tls_stats t;

    tls_server_stats(tls, &t);
    return t;
}

// --- the certificate ---

static void test_certificate(void **state)
{
    char fingerprint[96];

    (void)state;
    tls_identity_fingerprint(&identity, fingerprint);
    expect("openssl x509 -in $D/cert.pem -noout -fingerprint -sha256", fingerprint);
    expect("openssl x509 -in $D/cert.pem -noout -text", "DNS:node7, DNS:node7.local, IP Address:127.0.0.1");
    expect("openssl verify -x509_strict -CAfile $D/cert.pem $D/cert.pem 2>&1", "OK");
    expect("curl -s --cacert $D/cert.pem -u admin:secret https://$S/hello", "world");
    expect("curl -s --cacert $D/cert.pem --resolve node7.local:$P:127.0.0.1 https://node7.local:$P/public",
           "public");
    expect("curl -sS --cacert $D/cert.pem --resolve other:$P:127.0.0.1 https://other:$P/public 2>&1", "SSL");
}

static void test_identity_renewed(void **state)
{
    const struct tls_names names = {.hostname = "renamed"};
    struct tls_identity id = identity, other;

    (void)state;
    assert_true(tls_identity_make(&id, &names, true));
    assert_memory_equal(id.key_der, identity.key_der, id.key_len);
    assert_true(tls_server_set_identity(tls, &id));
    expect("openssl s_client -connect $S </dev/null 2>/dev/null | openssl x509 -noout -subject",
           "CN = renamed");
    other = id;
    other.cert_len /= 2;
    assert_false(tls_server_set_identity(tls, &other));
    assert_true(tls_identity_make(&other, &names, false));
    assert_memory_not_equal(other.key_der, id.key_der, id.key_len);
    other.key_len = id.key_len; // a key that does not belong to the certificate
    memcpy(other.key_der, id.key_der, id.key_len);
    assert_false(tls_server_set_identity(tls, &other));
    assert_true(tls_server_set_identity(tls, &identity));
}

// --- protocol versions, resumption, garbage ---

static void test_versions(void **state)
{
    uint64_t before;

    (void)state;
    expect("openssl s_client -connect $S -tls1_2 </dev/null 2>/dev/null", "Protocol  : TLSv1.2");
    expect(
        "openssl s_client -connect $S -tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305 </dev/null 2>/dev/null",
        "CHACHA20");
    expect("openssl s_client -connect $S -curves P-384:X25519:P-256 </dev/null 2>/dev/null",
           "Server Temp Key: ECDH, prime256v1"); // not the slow one
    expect("openssl s_client -connect $S -alpn h2,http/1.1 </dev/null 2>/dev/null",
           "ALPN protocol: http/1.1");
    before = tls_stats().failed;
    expect("openssl s_client -connect $S -tls1_1 -cipher ALL:@SECLEVEL=0 </dev/null 2>&1", "alert");
    expect("openssl s_client -connect $S -tls1_2 -cipher AES128-SHA:@SECLEVEL=0 </dev/null 2>&1", "alert");
    expect("curl -s -m 5 http://$S/hello; echo $?", "5"); // 52 or 56: no answer in plain text
    expect(
        "head -c 100000 /dev/urandom | timeout 5 openssl s_client -connect $S -quiet >/dev/null 2>&1; echo done",
        "done");
    assert_true(tls_stats().failed >= before + 3);
}

static void test_resumption(void **state)
{
    (void)state;
    sh("openssl s_client -connect $S -tls1_2 -sess_out $D/session </dev/null >/dev/null 2>&1");
    expect("openssl s_client -connect $S -tls1_2 -sess_in $D/session </dev/null 2>/dev/null",
           "Reused, TLSv1.2");
}

static void test_silent_clients_time_out(void **state)
{
    struct tls_server *patient = tls;

    (void)state;
    tls = tls_hasty;
    // More silent connections than handshake slots, while another client is served.
    sh("bash -c 'for i in $(seq 10 35); do eval \"exec $i<>/dev/tcp/127.0.0.1/$P\"; done;"
       " $C -m 1 https://$S/hello; sleep 3'");
    assert_non_null(strstr(output, "world"));
    assert_int_equal(tls_stats().timeouts, 26);
    assert_int_equal(tls_stats().handshakes + tls_stats().waiting, 0);
    expect("$C https://$S/hello", "world");
    tls = patient;
}

// --- HTTP over TLS ---

static void test_keep_alive(void **state)
{
    (void)state;
    expect("$C -w '%{num_connects} ' https://$S/hello https://$S/hello https://$S/none",
           "world\"}\n1 {\"hello\":\"world\"}\n0 0 ");
    expect("$C -I https://$S/hello", "Content-Length: 18");
    expect("$C -i -H 'Connection: close' https://$S/hello", "Connection: close");
    expect("curl -s -k -i https://$S/hello", "401 Unauthorized");
}

static void test_upload_50_megabytes(void **state)
{
    (void)state;
    expect("head -c 50000000 /dev/zero | tr '\\0' '\\1' >$D/big; $C -T $D/big https://$S/upload",
           "{\"bytes\":50000000,\"sum\":50000000}");
    expect("head -c 3000000 $D/big | $C -T - https://$S/upload",
           "{\"bytes\":3000000,\"sum\":3000000}"); // chunked
    expect("$C -o /dev/null -w '%{http_code}' --data-binary @$D/big https://$S/echo", "413");
    expect("$C -o /dev/null -w '%{http_code}' -T $D/big https://$S/nothing", "404");
    expect(
        "head -c 150000 $D/big >$D/small; $C --data-binary @$D/small https://$S/echo | cmp - $D/small && echo same",
        "same");
}

static void test_download(void **state)
{
    (void)state;
    expect("$C https://$S/stream/20000000 | wc -c", "20000000");
    expect("$C \"https://$S/stream/20000000?known\" | wc -c", "20000000");
    expect("$C --limit-rate 500000 https://$S/stream/600000 | wc -c", "600000"); // slow client
    expect("$C https://$S/big | wc -c", "300000");
    expect("$C https://$S/stream/1000000000 | head -c 1000 | wc -c", "1000"); // goes away in the middle
}

static void test_errors_arrive(void **state)
{
    (void)state;
    expect("$C -i -H \"X: $(head -c 17000 /dev/zero | tr '\\0' x)\" https://$S/hello", "431 Request Header");
    expect("$C -i \"https://$S/$(head -c 6000 /dev/zero | tr '\\0' x)\"", "414 URI Too Long");
    expect("$C -i -X BREW https://$S/hello", "501 Not Implemented");
    expect("$C -i -H 'Expect: 100-continue' -d x https://$S/echo", "HTTP/1.1 100 Continue");
    expect("printf 'garbage\\r\\n\\r\\n' | openssl s_client -quiet -connect $S 2>/dev/null",
           "400 Bad Request");
}

static void test_websocket(void **state)
{
    (void)state;
    demo.ws_closed = 0;
    // "hello" and a close frame, masked with zeros; the server closes afterwards.
    expect(
        "(printf 'GET /ws HTTP/1.1\\r\\nHost: x\\r\\nAuthorization: Basic YWRtaW46c2VjcmV0\\r\\nConnection: Upgrade\\r\\n'"
        "'Upgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n'"
        "'\\201\\205\\0\\0\\0\\0hello\\210\\202\\0\\0\\0\\0\\003\\350') | openssl s_client -quiet -connect $S 2>/dev/null"
        " | tail -c 11 | od -An -c",
        "201 005   h   e   l   l   o 210 002 003 350");
    assert_int_equal(demo.ws_closed, 1);
    assert_int_equal(demo.ws_code, 1000);
}

static void test_parallel(void **state)
{
    (void)state;
    expect("for i in $(seq 40); do $C https://$S/stream/100000 | wc -c & done; wait; echo", "100000");
    assert_int_equal(tls_stats().handshakes, 0);
    for (size_t i = 0, n = 0; i + 7 < output_len; i++) {
        n += !strncmp(output + i, "100000\n", 7);
        if (i + 8 == output_len) {
            assert_int_equal(n, 40);
        }
    }
}

// After a warm-up nothing that clients do wrong changes what is allocated.
static void test_nothing_stays(void **state)
{
    static const char bad[] =
        "for i in $(seq 15); do $C https://$S/nothing; curl -s -k https://$S/hello; $C -d x https://$S/hello;"
        " curl -s http://$S/; printf garbage | openssl s_client -quiet -connect $S 2>/dev/null; done; echo";
    uint64_t total, warm, used;
    struct http_stats h;

    (void)state;
    sh(bad);
    plat_heap_usage(&total, &warm);
    sh(bad);
    sh(bad);
    plat_heap_usage(&total, &used);
    assert_int_equal(used, warm);
    http_server_stats(server, &h);
    assert_int_equal(h.connections, 0);
    assert_int_equal(tls_stats().established, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificate),
        cmocka_unit_test(test_identity_renewed),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_resumption),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_upload_50_megabytes),
        cmocka_unit_test(test_download),
        cmocka_unit_test(test_errors_arrive),
        cmocka_unit_test(test_websocket),
        cmocka_unit_test(test_parallel),
        cmocka_unit_test(test_silent_clients_time_out),
        cmocka_unit_test(test_nothing_stays),
    };

    return cmocka_run_group_tests_name("tls", tests, setup, teardown);
}
