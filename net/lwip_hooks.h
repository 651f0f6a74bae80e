// SPDX-License-Identifier: Apache-2.0
// Functions that lwIP calls at the places where it lets the platform decide.
#ifndef NET_LWIP_HOOKS_H
#define NET_LWIP_HOOKS_H

#include "lwip/ip_addr.h"

// Initial sequence number of a connection, RFC 6528: a keyed hash of the four-tuple plus a 4 µs clock.
u32_t net_tcp_isn(const ip_addr_t *local_ip, u16_t local_port, const ip_addr_t *remote_ip, u16_t remote_port);

// Every packet that arrives, before lwIP looks at it; a SYN may end a connection in TIME-WAIT (net/time_wait.c). The
// packet stays lwIP's: they return 0.
struct pbuf;
struct netif;
int net_ip4_input(struct pbuf *p, struct netif *netif);
int net_ip6_input(struct pbuf *p, struct netif *netif);

#endif
