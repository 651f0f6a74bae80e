// SPDX-License-Identifier: Apache-2.0
// The node's IP stack: lwIP without an operating system, driven by the control plane's event loop.
#include "net/net.h"

#include "lwip/apps/mdns.h"
#include "lwip/apps/sntp.h"
#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/init.h"
#include "lwip/memp.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/stats.h"
#include "lwip/sys.h"
#include "lwip/timeouts.h"
#include "mgmt/plat.h"
#include "net/lwip_hooks.h"
#include "net/stream.h"
#include "netif/ethernet.h"

#include <mbedtls/sha256.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000ull
#define RX_BURST 64 // frames before others have a turn
#define MDNS_TTL_S 120

static struct netif nif;
static struct net_link *link_dev;
static struct net_config config;
static struct net_listener *listeners;
static struct net_stats counters;
static struct plat_source source;
static struct plat_timer lwip_timer;
static struct plat_work change_work;
static uint8_t isn_key[32];
static netif_ext_callback_t ext_callback;

// --- what lwIP asks of the platform ---

u32_t sys_now(void)
{
    return (u32_t)(plat_now_ns() / NS_PER_MS);
}

unsigned int net_rand32(void)
{
    unsigned int v;

    plat_random(&v, sizeof v);
    return v;
}

void net_lwip_assert(const char *what, const char *file, int line)
{
    plat_log(LOG_ERROR, "lwip: %s (%s:%d)", what, file, line);
    abort();
}

void net_lwip_diag(const char *fmt, ...)
{
    char text[200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    plat_log(LOG_DEBUG, "lwip: %s", text);
}

void net_sntp_set_time(uint32_t seconds, uint32_t us)
{
    plat_set_unix_ms((int64_t)seconds * 1000 + us / 1000);
}

void net_sntp_get_time(int32_t *seconds, int32_t *us)
{
    int64_t now = plat_unix_ms();

    *seconds = (int32_t)(now / 1000);
    *us = (int32_t)(now % 1000 * 1000);
}

u32_t net_tcp_isn(const ip_addr_t *local_ip, u16_t local_port, const ip_addr_t *remote_ip, u16_t remote_port)
{
    struct {
        uint8_t key[32];
        ip_addr_t local, remote;
        u16_t local_port, remote_port;
    } in;
    u8_t hash[32];
    u32_t isn;

    memset(&in, 0, sizeof in); // no undefined padding in the hash
    memcpy(in.key, isn_key, sizeof in.key);
    ip_addr_copy(in.local, *local_ip);
    ip_addr_copy(in.remote, *remote_ip);
    in.local_port = local_port;
    in.remote_port = remote_port;
    mbedtls_sha256_ret((const unsigned char *)&in, sizeof in, hash, 0);
    memcpy(&isn, hash, sizeof isn);
    return isn + (u32_t)(plat_now_ns() / 4000);
}

// --- frames ---

static err_t send_frame(struct netif *n, struct pbuf *p)
{
    uint8_t *slot;

    (void)n;
    if (p->tot_len > NET_LINK_FRAME_MAX || !(slot = link_dev->ops->tx_reserve(link_dev, p->tot_len))) {
        counters.tx_dropped++;
        return ERR_MEM; // the sender tries again
    }
    pbuf_copy_partial(p, slot, p->tot_len, 0);
    link_dev->ops->tx_commit(link_dev, p->tot_len);
    counters.tx_frames++;
    counters.tx_bytes += p->tot_len;
    return ERR_OK;
}

static void receive_frame(const void *data, size_t len)
{
    struct pbuf *p = len <= NET_LINK_FRAME_MAX ? pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_POOL) : NULL;

    counters.rx_frames++;
    counters.rx_bytes += len;
    if (!p || pbuf_take(p, data, (u16_t)len) != ERR_OK || nif.input(p, &nif) != ERR_OK) {
        counters.rx_dropped++;
        if (p) {
            pbuf_free(p);
        }
    }
}

static bool poll_frames(void)
{
    int n = 0;

    while (n < RX_BURST) {
        size_t len;
        const void *data = link_dev->ops->rx_peek(link_dev, &len);

        if (!data) {
            break;
        }
        receive_frame(data, len);
        link_dev->ops->rx_release(link_dev);
        n++;
    }
    return n > 0;
}

// --- event loop ---

static void poll_carrier(void)
{
    bool up = link_dev->ops->is_up(link_dev);

    if (up == (bool)netif_is_link_up(&nif)) {
        return;
    }
    plat_log(LOG_NOTICE, "net: link %s", up ? "up" : "down");
    if (up) {
        netif_set_link_up(&nif);
    } else {
        netif_set_link_down(&nif);
    }
}

static void on_timer(struct plat_timer *t)
{
    (void)t;
    sys_check_timeouts();
}

// Any call into lwIP may have added a timeout; looking at the first one costs little.
static void arm_timer(void)
{
    u32_t ms = sys_timeouts_sleeptime();
    uint64_t deadline;

    if (ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE) {
        plat_timer_stop(&lwip_timer);
        return;
    }
    deadline = plat_now_ns() + ms * NS_PER_MS;
    if (!lwip_timer.armed || deadline + NS_PER_MS < lwip_timer.deadline_ns ||
        deadline > lwip_timer.deadline_ns + NS_PER_MS) {
        plat_timer_start(&lwip_timer, ms * NS_PER_MS, on_timer);
    }
}

static bool poll_net(struct plat_source *s)
{
    bool worked;

    (void)s;
    poll_carrier();
    worked = poll_frames();
    if (link_dev->ops->tx_flush) {
        link_dev->ops->tx_flush(link_dev);
    }
    arm_timer();
    return worked;
}

// --- addresses ---

static void tell_change(struct plat_work *w)
{
    (void)w;
    for (struct net_listener *l = listeners; l; l = l->next) {
        l->address_changed(l);
    }
}

static void on_netif_event(struct netif *n, netif_nsc_reason_t reason, const netif_ext_callback_args_t *args)
{
    (void)n;
    (void)args;
    if (reason & (LWIP_NSC_IPV4_SETTINGS_CHANGED | LWIP_NSC_IPV4_ADDRESS_CHANGED | LWIP_NSC_IPV6_SET |
                  LWIP_NSC_IPV6_ADDR_STATE_CHANGED | LWIP_NSC_LINK_CHANGED)) {
        plat_post(&change_work, tell_change);
    }
}

void net_listen_changes(struct net_listener *l)
{
    l->next = listeners;
    listeners = l;
}

bool net_has_ipv4(void)
{
    return !ip4_addr_isany_val(*netif_ip4_addr(&nif));
}

bool net_link_up(void)
{
    return netif_is_link_up(&nif);
}

const char *net_hostname(void)
{
    return config.hostname;
}

// Addresses in the order in which a user wants to see them: IPv4, global IPv6, link local.
static size_t collect_addresses(const ip_addr_t *out[NET_ADDRESSES_MAX])
{
    size_t n = 0;

    if (net_has_ipv4()) {
        out[n++] = netif_ip_addr4(&nif);
    }
    for (int local = 0; local < 2; local++) {
        for (int i = 0; i < LWIP_IPV6_NUM_ADDRESSES && n < NET_ADDRESSES_MAX; i++) {
            if (ip6_addr_isvalid(netif_ip6_addr_state(&nif, i)) &&
                (ip6_addr_islinklocal(netif_ip6_addr(&nif, i)) ? 1 : 0) == local) {
                out[n++] = netif_ip_addr6(&nif, i);
            }
        }
    }
    return n;
}

size_t net_addresses_raw(uint8_t out[NET_ADDRESSES_MAX][16], uint8_t len[NET_ADDRESSES_MAX])
{
    const ip_addr_t *list[NET_ADDRESSES_MAX];
    size_t n = collect_addresses(list);

    for (size_t i = 0; i < n; i++) {
        const ip_addr_t *a = list[i];

        if (IP_IS_V4_VAL(*a)) {
            len[i] = 4;
            memcpy(out[i], &a->u_addr.ip4.addr, 4);
        } else {
            len[i] = 16;
            memcpy(out[i], a->u_addr.ip6.addr, 16);
        }
    }
    return n;
}

size_t net_addresses(char out[NET_ADDRESSES_MAX][NET_ADDRESS_TEXT])
{
    uint8_t raw[NET_ADDRESSES_MAX][16], len[NET_ADDRESSES_MAX];
    size_t n = net_addresses_raw(raw, len);

    for (size_t i = 0; i < n; i++) {
        struct stream_addr a = {.ip_len = len[i]};

        memcpy(a.ip, raw[i], len[i]);
        stream_addr_text(&a, out[i]);
    }
    return n;
}

// --- configuration ---

static bool hostname_valid(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > NET_HOSTNAME_MAX || name[0] == '-' || name[len - 1] == '-') {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == len;
}

struct static_config {
    ip4_addr_t address, netmask, gateway, dns;
};

// Four decimal numbers and nothing else: inet_aton()'s octal, hexadecimal and short forms surprise people.
static bool dotted_quad(const char *text, ip4_addr_t *out)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++) {
        size_t digits = strspn(text, "0123456789");
        unsigned long part = strtoul(text, NULL, 10);

        if (digits == 0 || digits > 3 || part > 255 || (digits > 1 && text[0] == '0') ||
            text[digits] != (i < 3 ? '.' : '\0')) {
            return false;
        }
        value = value << 8 | (uint32_t)part;
        text += digits + 1;
    }
    out->addr = lwip_htonl(value);
    return true;
}

static bool parse_ip4(const char *text, ip4_addr_t *out, bool required)
{
    ip4_addr_set_any(out);
    return text[0] ? dotted_quad(text, out) : !required;
}

static const char *check_config(const struct net_config *c, struct static_config *s)
{
    if (!hostname_valid(c->hostname)) {
        return "the hostname is not a DNS label";
    }
    if (c->dhcp) {
        return NULL;
    }
    if (!parse_ip4(c->address, &s->address, true)) {
        return "the static address is malformed";
    }
    if (!parse_ip4(c->netmask, &s->netmask, true) || !ip4_addr_netmask_valid(s->netmask.addr)) {
        return "the netmask is malformed";
    }
    if (!parse_ip4(c->gateway, &s->gateway, false)) {
        return "the gateway is malformed";
    }
    if (!parse_ip4(c->dns, &s->dns, false)) {
        return "the DNS server is malformed";
    }
    return NULL;
}

static err_t setup_netif(struct netif *n)
{
    n->name[0] = 'e';
    n->name[1] = 'n';
    n->hostname = config.hostname;
    n->mtu = link_dev->mtu;
    n->hwaddr_len = sizeof link_dev->mac;
    memcpy(n->hwaddr, link_dev->mac, sizeof link_dev->mac);
    n->output = etharp_output;
    n->output_ip6 = ethip6_output;
    n->linkoutput = send_frame;
    n->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_IGMP |
               NETIF_FLAG_MLD6;
    return ERR_OK;
}

static void start_time_service(void)
{
    sntp_setoperatingmode(SNTP_OPMODE_POLL);
    if (config.ntp[0]) {
        sntp_setservername(0, config.ntp);
        sntp_init();
    } else if (config.dhcp) {
        sntp_servermode_dhcp(1);
        sntp_init();
    }
}

static void start_addresses(const struct static_config *s)
{
    if (config.ipv6) {
        netif_create_ip6_linklocal_address(&nif, 1);
        nif.ip6_autoconfig_enabled = 1;
    }
    if (config.dhcp) {
        dhcp_start(&nif);
        return;
    }
    netif_set_addr(&nif, &s->address, &s->netmask, &s->gateway);
    if (!ip4_addr_isany_val(s->dns)) {
        ip_addr_t dns;

        ip_addr_copy_from_ip4(dns, s->dns);
        dns_setserver(0, &dns);
    }
}

bool net_init(struct net_link *link, const struct net_config *cfg, const char **why)
{
    struct static_config fixed = {0};

    *why = check_config(cfg, &fixed);
    if (*why) {
        return false;
    }
    link_dev = link;
    config = *cfg;
    plat_random(isn_key, sizeof isn_key);
    lwip_init();
    netif_add_ext_callback(&ext_callback, on_netif_event);
    if (!netif_add_noaddr(&nif, NULL, setup_netif, ethernet_input)) {
        *why = "the network interface was refused";
        return false;
    }
    netif_set_default(&nif);
    mdns_resp_init();
    netif_set_up(&nif);
    poll_carrier();
    start_addresses(&fixed);
    mdns_resp_add_netif(&nif, config.hostname, MDNS_TTL_S);
    start_time_service();
    source.poll = poll_net;
    plat_source_add(&source);
    arm_timer();
    return true;
}

void net_advertise(const char *service, uint16_t port)
{
    mdns_resp_add_service(&nif, config.hostname, service, DNSSD_PROTO_TCP, port, MDNS_TTL_S, NULL, NULL);
}

// --- counters ---

void net_stats(struct net_stats *out)
{
    *out = counters;
    out->tcp_connections = (uint32_t)lwip_stats.memp[MEMP_TCP_PCB]->used;
    for (const struct tcp_pcb *pcb = tcp_tw_pcbs; pcb != NULL; pcb = pcb->next) {
        out->tcp_time_wait++;
    }
    for (int i = 0; i < MEMP_MAX; i++) {
        out->pool_used += (uint32_t)lwip_stats.memp[i]->used;
        out->pool_failures += (uint32_t)lwip_stats.memp[i]->err;
        out->pool_bytes_total += (uint32_t)memp_pools[i]->size * memp_pools[i]->num;
    }
    out->heap_used = (uint32_t)lwip_stats.mem.used;
}
