// srcs: net/net.c net/time_wait.c net/stream_lwip.c net/stream.c net/http.c net/http_out.c net/http_parse.c net/http_request.c net/http_route.c net/http_answer.c net/http_ws.c net/ws.c tests/sim/plat_host.c tests/sim/http_demo.c
// libs: lwip llhttp mbedtls
// SPDX-License-Identifier: Apache-2.0
// The IP stack against itself: two processes, each with its own lwIP, joined by a wire; and a DHCP client
// against a server written out in bytes.
//
// lwIP's state is global, so client and server need a process each. The child is the client; it reports by
// its exit status.
#include "net/http.h"
#include "net/net.h"
#include "tests/sim/http_demo.h"
#include "tests/sim/plat_host.h"

#include "lwip/tcp.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

// --- the wire: a socket that keeps packet boundaries ---

struct wire {
    struct net_link link;
    struct plat_fd file;
    uint8_t tx[NET_LINK_FRAME_MAX], rx[NET_LINK_FRAME_MAX];
    size_t rx_len;
    unsigned count;
};
static struct wire wire;
static unsigned *drop_every; // shared by both processes; 0: nothing is lost

static void *wire_reserve(struct net_link *link, size_t len)
{
    (void)link;
    return len <= sizeof wire.tx ? wire.tx : NULL;
}

static void wire_commit(struct net_link *link, size_t len)
{
    (void)link;
    if (*drop_every && ++wire.count % *drop_every == 0) {
        return;
    }
    if (write(wire.file.fd, wire.tx, len) < 0 && errno != EAGAIN) {
        _exit(3); // a full socket loses the frame, as a wire would
    }
}

static const void *wire_peek(struct net_link *link, size_t *len)
{
    (void)link;
    if (wire.rx_len == 0) {
        ssize_t n = read(wire.file.fd, wire.rx, sizeof wire.rx);

        wire.rx_len = n > 0 ? (size_t)n : 0;
    }
    *len = wire.rx_len;
    return wire.rx_len ? wire.rx : NULL;
}

static void wire_release(struct net_link *link)
{
    (void)link;
    wire.rx_len = 0;
}

static bool wire_up(struct net_link *link)
{
    (void)link;
    return true;
}

static void on_wire(struct plat_fd *f, short revents)
{
    (void)f; // net.c polls in every turn; this only ends the sleep
    (void)revents;
}

static void wire_init(int fd, uint8_t last)
{
    static const struct net_link_ops ops = {
        .tx_reserve = wire_reserve,
        .tx_commit = wire_commit,
        .rx_peek = wire_peek,
        .rx_release = wire_release,
        .is_up = wire_up,
    };

    wire = (struct wire){.link = {.ops = &ops, .mac = {0x52, 0x54, 0, 0, 0, last}, .mtu = 1500},
                         .file = {.fd = fd, .events = POLLIN, .fn = on_wire}};
    plat_fd_add(&wire.file);
}

static void wire_pair(int fds[2])
{
    int size = 4 << 20;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds) != 0) {
        _exit(3);
    }
    for (int i = 0; i < 2; i++) {
        setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
}

// --- the client process ---

struct client {
    struct tcp_pcb *pcb;
    char *in;
    size_t in_len;
    bool connected, eof, error;
};
static struct client cl;

#define REQUIRE(x)                                                                                           \
    do {                                                                                                     \
        if (!(x)) {                                                                                          \
            fprintf(stderr, "client: line %d: %s\n", __LINE__, #x);                                          \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

static err_t client_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    (void)arg;
    (void)err;
    if (!p) {
        cl.eof = true;
        return ERR_OK;
    }
    REQUIRE(cl.in_len + p->tot_len < (8u << 20));
    cl.in_len += pbuf_copy_partial(p, cl.in + cl.in_len, p->tot_len, 0);
    cl.in[cl.in_len] = 0;
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    return ERR_OK;
}

static void client_err(void *arg, err_t err)
{
    (void)arg;
    (void)err;
    cl.error = true;
    cl.pcb = NULL;
}

static err_t client_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
    (void)arg;
    (void)pcb;
    cl.connected = err == ERR_OK;
    return ERR_OK;
}

static void client_connect(const ip_addr_t *to)
{
    char *in = cl.in;

    cl = (struct client){.in = in, .pcb = tcp_new_ip_type(IP_GET_TYPE(to))};
    cl.in[0] = 0;
    REQUIRE(cl.pcb);
    tcp_recv(cl.pcb, client_recv);
    tcp_err(cl.pcb, client_err);
    tcp_nagle_disable(cl.pcb);
    REQUIRE(tcp_connect(cl.pcb, to, 80, client_connected) == ERR_OK);
    REQUIRE(plat_host_run_until(&cl.connected, 20000));
}

static void client_send(const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        size_t n = MIN(len, (size_t)tcp_sndbuf(cl.pcb));

        n = MIN(n, (size_t)8000);
        if (n > 0 && tcp_write(cl.pcb, p, (u16_t)n, TCP_WRITE_FLAG_COPY) == ERR_OK) {
            p += n;
            len -= n;
        }
        tcp_output(cl.pcb);
        plat_host_step(1);
        REQUIRE(!cl.error);
    }
}

static bool answer_has(const char *text)
{
    return strstr(cl.in, text) != NULL;
}

static void wait_for(const char *text)
{
    for (int i = 0; i < 30000 && !answer_has(text); i++) {
        plat_host_step(1);
    }
    REQUIRE(answer_has(text));
}

static void client_close(void)
{
    if (cl.pcb) {
        tcp_recv(cl.pcb, NULL);
        tcp_err(cl.pcb, NULL);
        REQUIRE(tcp_close(cl.pcb) == ERR_OK);
        cl.pcb = NULL;
    }
    plat_host_step(1);
}

static void get(const ip_addr_t *to)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: n\r\n\r\n";

    client_connect(to);
    client_send(request, sizeof request - 1);
    wait_for("world");
    client_close();
}

static void upload(const ip_addr_t *to, size_t size)
{
    char head[100], *data = malloc(size), expected[100];

    memset(data, 1, size);
    client_connect(to);
    client_send(
        head, (size_t)sprintf(head, "PUT /upload HTTP/1.1\r\nHost: n\r\nContent-Length: %zu\r\n\r\n", size));
    client_send(data, size);
    sprintf(expected, "{\"bytes\":%zu,\"sum\":%zu}", size, size);
    wait_for(expected);
    client_close();
    free(data);
}

static void download(const ip_addr_t *to)
{
    static const char request[] =
        "GET /stream/3000000?known HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n";
    char *body;

    client_connect(to);
    client_send(request, sizeof request - 1);
    REQUIRE(plat_host_run_until(&cl.eof, 60000));
    body = strstr(cl.in, "\r\n\r\n") + 4;
    REQUIRE(cl.in_len - (size_t)(body - cl.in) == 3000000);
    for (size_t i = 0; i < 3000000; i++) {
        REQUIRE((uint8_t)body[i] == i % 251);
    }
    client_close();
}

// Segments of one byte each must not cost the server a frame buffer each.
static void single_bytes(const ip_addr_t *to)
{
    static const char head[] = "POST /echo HTTP/1.1\r\nHost: n\r\nContent-Length: 3000\r\n\r\n";

    client_connect(to);
    client_send(head, sizeof head - 1);
    for (int i = 0; i < 3000; i++) {
        client_send("x", 1);
    }
    wait_for("xxxxxxxx");
    client_close();
}

static void vanish(const ip_addr_t *to)
{
    static const char head[] = "PUT /upload HTTP/1.1\r\nHost: n\r\nContent-Length: 3000\r\n\r\nabc";

    client_connect(to);
    client_send(head, sizeof head - 1);
    plat_host_step(5);
    tcp_err(cl.pcb, NULL);
    tcp_abort(cl.pcb);
    cl.pcb = NULL;
    plat_host_step(5);
}

static void closed_port(const ip_addr_t *to)
{
    struct tcp_pcb *pcb = tcp_new_ip_type(IP_GET_TYPE(to));

    cl.error = false;
    tcp_err(pcb, client_err);
    REQUIRE(tcp_connect(pcb, to, 81, client_connected) == ERR_OK);
    REQUIRE(plat_host_run_until(&cl.error, 20000));
}

static void start_stack(const char *address, uint8_t last, int fd)
{
    struct net_config config = {.hostname = "node", .netmask = "255.255.255.0", .ipv6 = true};
    const char *why;

    strcpy(config.address, address);
    wire_init(fd, last);
    if (!net_init(&wire.link, &config, &why)) {
        fprintf(stderr, "net_init: %s\n", why);
        _exit(2);
    }
}

// Duplicate address detection takes its second; the server's began at the same time.
static void await_ipv6(void)
{
    char text[NET_ADDRESSES_MAX][NET_ADDRESS_TEXT];

    for (int i = 0; i < 500 && net_addresses(text) < 2; i++) {
        plat_host_step(10);
    }
    REQUIRE(net_addresses(text) == 2);
    for (int i = 0; i < 20; i++) {
        plat_host_step(10);
    }
}

// `done`: a byte says that the client is through; its other end is closed when the client may go.
static void client_main(int fd, int done)
{
    ip_addr_t v4, v6;
    char byte;

    cl.in = malloc(8u << 20);
    start_stack("10.0.0.2", 2, fd);
    ipaddr_aton("10.0.0.1", &v4);
    ipaddr_aton("fe80::5054:ff:fe00:1", &v6);
    ip6_addr_set_zone(ip_2_ip6(&v6), 1);
    get(&v4);
    await_ipv6();
    get(&v6);
    upload(&v4, 2000000);
    download(&v4);
    download(&v6);
    single_bytes(&v4);
    closed_port(&v4);
    for (int i = 0; i < 200; i++) {
        vanish(&v4);
        get(&v4);
    }
    *drop_every = 40;
    upload(&v4, 300000);
    download(&v4);
    *drop_every = 0;
    // The server may still wait for ACKs: the client stays until it has them all.
    REQUIRE(write(done, "d", 1) == 1);
    while (read(done, &byte, 1) != 0) {
        plat_host_step(5);
    }
    _exit(0);
}

// --- the server: this process ---

static struct http_server *server;

static void accept_stream(struct stream_listener *l, struct stream *s)
{
    (void)l;
    http_serve(server, s);
}

static void test_streams(void **state)
{
    struct stream_listener listener = {.accept = accept_stream};
    struct http_config config = {0};
    struct net_stats before, after;
    struct http_stats http;
    int fds[2], done[2], status = 0;
    pid_t child;
    char byte;

    (void)state;
    wire_pair(fds);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, done), 0);
    child = fork();
    if (child == 0) {
        close(done[0]);
        client_main(fds[1], done[1]);
    }
    close(done[1]);
    start_stack("10.0.0.1", 1, fds[0]);
    server = http_server_new(&config);
    http_demo_routes(server);
    assert_true(stream_listen(&listener, 80));
    net_stats(&before);
    while (read(done[0], &byte, 1) < 0) { // 0: the client has died
        plat_host_step(5);
    }
    // Its last segments are still in the wire, or wait for an ACK: let them pass.
    net_stats(&after);
    for (int turn = 0; turn < 4000 && after.heap_used != before.heap_used; turn++) {
        plat_host_step(5);
        net_stats(&after);
    }
    close(done[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    http_server_stats(server, &http);
    assert_int_equal(http.connections, 0);
    assert_int_equal(demo.aborts, 200);
    print_message("%llu frames in, %llu out, %u TCP blocks still in TIME_WAIT\n",
                  (unsigned long long)after.rx_frames, (unsigned long long)after.tx_frames,
                  after.tcp_connections - before.tcp_connections);
    // Only TIME_WAIT blocks may be left of all that traffic.
    assert_in_range(after.pool_used, 0,
                    before.pool_used + (after.tcp_connections - before.tcp_connections) + 4);
    assert_int_equal(after.heap_used, before.heap_used);
    http_server_free(server);
    stream_unlisten(&listener);
    plat_host_step(0);
}

static void test_addresses(void **state)
{
    char text[NET_ADDRESSES_MAX][NET_ADDRESS_TEXT];
    uint8_t raw[NET_ADDRESSES_MAX][16], len[NET_ADDRESSES_MAX];

    (void)state;
    assert_int_equal(net_addresses(text), 2);
    assert_string_equal(text[0], "10.0.0.1");
    assert_string_equal(text[1], "fe80::5054:ff:fe00:1");
    assert_int_equal(net_addresses_raw(raw, len), 2);
    assert_int_equal(len[0], 4);
    assert_memory_equal(raw[0], "\x0a\0\0\1", 4);
    assert_true(net_has_ipv4() && net_link_up());
}

// --- DHCP ---

#define DHCP_OPTIONS (14 + 20 + 8 + 240)

static uint16_t checksum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i += 2) {
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

// RFC 2131: the answer is the request with a few fields changed. Returns its length.
static size_t dhcp_answer(const uint8_t *request, uint8_t *out, uint8_t type)
{
    static const uint8_t options[] = {54, 4,   10,  9,   0, 1, 51, 4,  0, 0, 14, 16, 1,
                                      4,  255, 255, 255, 0, 3, 4,  10, 9, 0, 1,  255};
    size_t len = DHCP_OPTIONS + 3 + sizeof options;
    uint16_t sum;

    memset(out, 0, len);
    memset(out, 0xff, 6);
    memcpy(out + 6, "\x52\x54\x00\x00\x00\xfe\x08\x00", 8);
    memcpy(out + 14, "\x45\0\0\0\0\0\0\0\x40\x11\0\0\x0a\x09\0\1\xff\xff\xff\xff", 20);
    out[16] = (uint8_t)((len - 14) >> 8);
    out[17] = (uint8_t)(len - 14);
    sum = checksum(out + 14, 20);
    out[24] = (uint8_t)(sum >> 8);
    out[25] = (uint8_t)sum;
    memcpy(out + 34, "\0\x43\0\x44", 4);
    out[38] = (uint8_t)((len - 34) >> 8);
    out[39] = (uint8_t)(len - 34); // no UDP checksum
    memcpy(out + 42, request + 42, 240);
    out[42] = 2;
    memcpy(out + 42 + 16, "\x0a\x09\0\x4d", 4); // yiaddr 10.9.0.77
    memcpy(out + DHCP_OPTIONS, (uint8_t[]){53, 1, type}, 3);
    memcpy(out + DHCP_OPTIONS + 3, options, sizeof options);
    return len;
}

// An ARP request from nobody: whether somebody has the address already (RFC 5227).
static bool is_arp_probe(const uint8_t *frame, ssize_t n)
{
    return n >= 42 && frame[12] == 8 && frame[13] == 6 && memcmp(frame + 28, "\0\0\0\0", 4) == 0;
}

// Counts probes in *probes.
static void serve_dhcp(int fd, unsigned *probes)
{
    uint8_t in[1600], out[600];
    ssize_t n = read(fd, in, sizeof in);
    bool dhcp = n > DHCP_OPTIONS + 3 && in[12] == 8 && in[13] == 0 && in[23] == 17 && in[36] == 0 &&
                in[37] == 67;

    *probes += is_arp_probe(in, n);
    if (dhcp && in[DHCP_OPTIONS] == 53) {
        size_t len = dhcp_answer(in, out, in[DHCP_OPTIONS + 2] == 1 ? 2 : 5);

        if (write(fd, out, len) < 0) {
            fail();
        }
    }
}

static void dhcp_client(int fd)
{
    struct net_config config = {.hostname = "node", .dhcp = true};
    char text[NET_ADDRESSES_MAX][NET_ADDRESS_TEXT];
    const char *why;

    wire_init(fd, 3);
    REQUIRE(net_init(&wire.link, &config, &why));
    for (int i = 0; i < 3000 && !net_has_ipv4(); i++) {
        plat_host_step(10);
    }
    REQUIRE(net_addresses(text) == 1);
    REQUIRE(!strcmp(text[0], "10.9.0.77"));
    _exit(0);
}

static void test_dhcp(void **state)
{
    int fds[2], status = 0;
    unsigned probes = 0;
    pid_t child;

    (void)state;
    wire_pair(fds);
    child = fork();
    if (child == 0) {
        dhcp_client(fds[1]);
    }
    while (waitpid(child, &status, WNOHANG) == 0) {
        struct pollfd p = {.fd = fds[0], .events = POLLIN};

        poll(&p, 1, 10);
        serve_dhcp(fds[0], &probes);
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(probes, 0); // before the address is used: that takes seconds
    close(fds[0]);
    close(fds[1]);
}

static void test_bad_configuration(void **state)
{
    static const struct net_config rows[] = {
        {.hostname = "", .dhcp = true},
        {.hostname = "-a", .dhcp = true},
        {.hostname = "a.b", .dhcp = true},
        {.hostname = "a", .address = "10.0.0", .netmask = "255.255.255.0"},
        {.hostname = "a", .address = "10.0.0.1", .netmask = "255.0.255.0"},
        {.hostname = "a", .address = "10.0.0.1", .netmask = "255.255.255.0", .gateway = "x"},
        {.hostname = "a", .address = "10.0.0.1", .netmask = "255.255.255.0", .dns = "1.2.3.4.5"},
    };
    const char *why;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_false(net_init(&wire.link, &rows[i], &why));
        assert_non_null(why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_configuration), // before the stack is up
        cmocka_unit_test(test_dhcp),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_addresses),
    };

    drop_every = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
