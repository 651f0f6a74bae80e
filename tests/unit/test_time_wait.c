// srcs: net/net.c net/time_wait.c net/stream_lwip.c net/stream.c tests/sim/plat_host.c
// libs: lwip mbedtls
// SPDX-License-Identifier: Apache-2.0
// Which packets end a connection in TIME-WAIT: a new SYN of the same four, and nothing else.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lwip/init.h"
#include "lwip/ip4.h"
#include "lwip/ip6.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/tcp.h"
#include "net/lwip_hooks.h"

#define NODE_PORT 443
#define PEER_PORT 47306
#define LAST 116180671u // the next sequence number that the old connection would have taken

static struct netif netif;

static ip_addr_t address(bool v6, uint8_t last)
{
    ip_addr_t a;

    if (v6) {
        IP_ADDR6(&a, PP_HTONL(0xfe800000), 0, 0, lwip_htonl(last));
        ip6_addr_assign_zone(ip_2_ip6(&a), IP6_UNICAST, &netif);
    } else {
        IP_ADDR4(&a, 10, 0, 2, last);
    }
    return a;
}

static void old_connection(bool v6)
{
    struct tcp_pcb *pcb = tcp_new();

    assert_non_null(pcb);
    pcb->state = TIME_WAIT;
    pcb->local_ip = address(v6, 15);
    pcb->remote_ip = address(v6, 2);
    pcb->local_port = NODE_PORT;
    pcb->remote_port = PEER_PORT;
    pcb->rcv_nxt = LAST;
    TCP_REG(&tcp_tw_pcbs, pcb);
}

struct packet {
    uint8_t from; // last byte of the address
    uint16_t from_port;
    uint32_t seq;
    uint8_t flags;
    size_t cut; // bytes that are missing at its end
};

static const struct packet again = {.from = 2, .from_port = PEER_PORT, .seq = LAST + 1000, .flags = TCP_SYN};

// Is the old connection there after the packet?
static bool survives(bool v6, struct packet k)
{
    uint8_t bytes[IP6_HLEN + TCP_HLEN] = {0};
    ip_addr_t from = address(v6, k.from), to = address(v6, 15);
    size_t head = v6 ? IP6_HLEN : IP_HLEN;
    struct tcp_hdr *h = (void *)(bytes + head);
    struct pbuf *p;

    if (v6) {
        struct ip6_hdr *ip = (void *)bytes;

        IP6H_VTCFL_SET(ip, 6, 0, 0);
        IP6H_NEXTH_SET(ip, IP6_NEXTH_TCP);
        ip6_addr_copy_to_packed(ip->src, *ip_2_ip6(&from));
        ip6_addr_copy_to_packed(ip->dest, *ip_2_ip6(&to));
    } else {
        struct ip_hdr *ip = (void *)bytes;

        IPH_VHL_SET(ip, 4, IP_HLEN / 4);
        IPH_PROTO_SET(ip, IP_PROTO_TCP);
        ip4_addr_copy(ip->src, *ip_2_ip4(&from));
        ip4_addr_copy(ip->dest, *ip_2_ip4(&to));
    }
    h->src = lwip_htons(k.from_port);
    h->dest = PP_HTONS(NODE_PORT);
    h->seqno = lwip_htonl(k.seq);
    TCPH_HDRLEN_FLAGS_SET(h, TCP_HLEN / 4, k.flags);
    p = pbuf_alloc(PBUF_RAW, (u16_t)(head + TCP_HLEN - k.cut), PBUF_RAM);
    assert_non_null(p);
    pbuf_take(p, bytes, p->len);
    assert_int_equal(v6 ? net_ip6_input(p, &netif) : net_ip4_input(p, &netif), 0);
    pbuf_free(p);
    return tcp_tw_pcbs != NULL;
}

static void check(bool v6)
{
    struct packet k;

    old_connection(v6);
    k = again, k.seq = LAST;
    assert_true(survives(v6, k)); // may be an old SYN that was under way for long
    k = again, k.seq = LAST - 1000;
    assert_true(survives(v6, k));
    k = again, k.flags = TCP_SYN | TCP_ACK;
    assert_true(survives(v6, k));
    k = again, k.flags = TCP_SYN | TCP_RST;
    assert_true(survives(v6, k));
    k = again, k.flags = TCP_RST; // RFC 1337
    assert_true(survives(v6, k));
    k = again, k.flags = TCP_ACK;
    assert_true(survives(v6, k));
    k = again, k.from = 3;
    assert_true(survives(v6, k));
    k = again, k.from_port = PEER_PORT + 2;
    assert_true(survives(v6, k));
    for (k = again, k.cut = 1; k.cut <= TCP_HLEN + IP_HLEN; k.cut++) {
        assert_true(survives(v6, k));
    }
    assert_false(survives(v6, again));
    assert_false(survives(v6, again)); // nothing there
}

static void test_ipv4(void **state)
{
    (void)state;
    check(false);
}

static void test_ipv6(void **state)
{
    (void)state;
    check(true);
}

static int setup(void **state)
{
    (void)state;
    lwip_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ipv4),
        cmocka_unit_test(test_ipv6),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
