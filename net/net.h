// SPDX-License-Identifier: Apache-2.0
// The node's IP stack: lwIP over one Ethernet link, addresses by DHCP or by hand, name, time.
//
// Owns lwIP's state and its timers; control plane only. Streams over it are made by net/stream.h.
#ifndef NET_NET_H
#define NET_NET_H

#include "net/link.h"

#define NET_HOSTNAME_MAX 63 // one DNS label, RFC 1035 "Size limits"
#define NET_ADDRESS_TEXT 48 // any address as text, with its NUL
#define NET_ADDRESSES_MAX 4 // IPv4, IPv6 link local, two of router advertisements

struct net_config {
    char hostname[NET_HOSTNAME_MAX + 1]; // letters, digits, hyphens; answers mDNS as hostname.local
    bool dhcp;                           // else address, netmask, gateway, dns are used
    // Dotted quads; "" when not set.
    char address[16];
    char netmask[16];
    char gateway[16];
    char dns[16];
    char ntp[NET_HOSTNAME_MAX + 1]; // server name or address; "" takes what DHCP names, else none
    bool ipv6;                      // link local and stateless autoconfiguration
};

// Called when the set of addresses has changed (first address bound, renewed, lost).
struct net_listener {
    struct net_listener *next; // owned by the stack
    void (*address_changed)(struct net_listener *l);
};

// Start the stack on the link. Call once, after plat_random() works and before streams are used. Both
// arguments must stay valid. Returns false when the configuration is invalid (*why then says what).
MUST_CHECK bool net_init(struct net_link *link, const struct net_config *config, const char **why);
void net_listen_changes(struct net_listener *l);

// The node's addresses as text, the one to show first; returns how many were written.
size_t net_addresses(char out[NET_ADDRESSES_MAX][NET_ADDRESS_TEXT]);
// Raw forms for certificates: 4 or 16 bytes each, in *len.
size_t net_addresses_raw(uint8_t out[NET_ADDRESSES_MAX][16], uint8_t len[NET_ADDRESSES_MAX]);
bool net_has_ipv4(void);
bool net_link_up(void);
const char *net_hostname(void);
// Announce a TCP service by mDNS (RFC 6763), e.g. "_https".
void net_advertise(const char *service, uint16_t port);

// Counters for the shell and /metrics.
struct net_stats {
    uint64_t rx_frames, rx_bytes, rx_dropped;
    uint64_t tx_frames, tx_bytes, tx_dropped;
    uint32_t tcp_connections;  // protocol control blocks in use, all states
    uint32_t tcp_time_wait;    // of those, the ones that only wait for stray segments (two minutes)
    uint32_t pool_used;        // elements in use over all fixed pools
    uint32_t pool_failures;    // requests for an element that found none
    uint32_t pool_bytes_total; // memory behind the pools
    uint32_t heap_used;        // bytes of lwIP's own heap: unacknowledged and received data
};
void net_stats(struct net_stats *out);

#endif
