// SPDX-License-Identifier: Apache-2.0
// lwIP's configuration: NO_SYS on the control plane's event loop, raw API, fixed pools, no sockets.
//
// Memory: protocol objects and received frames come from pools of fixed size, so a flood of packets can
// exhaust nothing else; data that TCP has not had acknowledged comes from lwIP's own heap (MEM_SIZE), which is
// likewise an array of its own. When either is full lwIP drops or refuses, and TCP tries again.
#ifndef NET_LWIPOPTS_H
#define NET_LWIPOPTS_H

// --- environment ---
#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0 // one thread
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_TIMERS 1
#define MEM_ALIGNMENT 8

// --- heap and pools (see the head comment); sized for 64 TLS connections and as many in TIME_WAIT ---
#define MEM_SIZE (2 * 1024 * 1024)
#define PBUF_POOL_SIZE 768
#define PBUF_POOL_BUFSIZE 1600 // a whole frame in one pbuf
#define MEMP_NUM_PBUF 256
#define MEMP_NUM_TCP_PCB 160
#define MEMP_NUM_TCP_PCB_LISTEN 8
#define MEMP_NUM_TCP_SEG 4096
#define MEMP_NUM_UDP_PCB 16
#define MEMP_NUM_RAW_PCB 4
#define MEMP_NUM_REASSDATA 16
#define MEMP_NUM_FRAG_PBUF 32
#define MEMP_NUM_ARP_QUEUE 32
#define MEMP_NUM_SYS_TIMEOUT 32
#define MEMP_NUM_IGMP_GROUP 8
#define MEMP_NUM_MLD6_GROUP 8
#define MEMP_NUM_ND6_QUEUE 20

// --- link and IPv4 ---
#define LWIP_ETHERNET 1
#define LWIP_ARP 1
#define ARP_TABLE_SIZE 64
#define ARP_QUEUEING 0
#define ETH_PAD_SIZE 0
#define LWIP_NETIF_HOSTNAME 1
#define LWIP_NETIF_STATUS_CALLBACK 1
#define LWIP_NETIF_LINK_CALLBACK 1
#define LWIP_NETIF_EXT_STATUS_CALLBACK 1
#define LWIP_NETIF_TX_SINGLE_PBUF 0
#define LWIP_SINGLE_NETIF 0
#define LWIP_IPV4 1
#define IP_FORWARD 0
#define IP_REASSEMBLY 1
#define IP_FRAG 1
#define IP_REASS_MAX_PBUFS 64
#define IP_SOF_BROADCAST 1
#define LWIP_ICMP 1
#define LWIP_BROADCAST_PING 0
#define LWIP_MULTICAST_PING 0
#define LWIP_RAW 1
#define LWIP_IGMP 1 // for mDNS
// The address is offered by a server that keeps track of it; probing it first would delay every boot.
#define LWIP_DHCP 1
#define DHCP_DOES_ARP_CHECK 0
#define LWIP_DHCP_GET_NTP_SRV 1
#define LWIP_DHCP_MAX_NTP_SERVERS 2
#define LWIP_AUTOIP 0
#define LWIP_DNS 1
#define DNS_MAX_SERVERS 2
#define LWIP_DNS_SECURE                                                                                      \
    (LWIP_DNS_SECURE_RAND_XID | LWIP_DNS_SECURE_NO_MULTIPLE_OUTSTANDING | LWIP_DNS_SECURE_RAND_SRC_PORT)

// --- IPv6 ---
#define LWIP_IPV6 1
#define IPV6_FRAG_COPYHEADER                                                                                 \
    1 // mandatory where pointers have 64 bits: the reassembly helper outgrows a header
#define LWIP_IPV6_AUTOCONFIG 1
#define LWIP_IPV6_DHCP6 0
#define LWIP_IPV6_MLD 1
#define LWIP_ICMP6 1
#define LWIP_ND6_NUM_NEIGHBORS 32
#define LWIP_ND6_NUM_DESTINATIONS 32

// --- TCP ---
#define LWIP_TCP 1
#define TCP_MSS 1460
#define TCP_WND (44 * TCP_MSS) // below 64 KiB: no window scaling, bounded receive memory
#define TCP_SND_BUF (32 * TCP_MSS)
#define TCP_SND_QUEUELEN (4 * TCP_SND_BUF / TCP_MSS)
#define TCP_MAXRTX 8 // a peer that vanished is given up after about a minute
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_BYTES TCP_WND
#define TCP_OOSEQ_MAX_PBUFS 32
#define LWIP_TCP_SACK_OUT 1
#define TCP_LISTEN_BACKLOG 1
#define TCP_DEFAULT_LISTEN_BACKLOG 64
#define LWIP_TCP_KEEPALIVE 1
#define LWIP_TCP_TIMESTAMPS 0
// Initial sequence numbers by RFC 6528 (net/net.c).
#define LWIP_HOOK_TCP_ISN net_tcp_isn
// A new connection may take the place of one in TIME-WAIT (net/time_wait.c).
#define LWIP_HOOK_IP4_INPUT net_ip4_input
#define LWIP_HOOK_IP6_INPUT net_ip6_input
#define LWIP_HOOK_FILENAME "net/lwip_hooks.h"

// --- applications ---
#define LWIP_UDP 1
#define LWIP_NUM_NETIF_CLIENT_DATA 1 // mDNS keeps its state there
#define LWIP_MDNS_RESPONDER 1
#define MDNS_MAX_SERVICES 1
#define MDNS_RESP_USENETIF_EXTCALLBACK 1
#define SNTP_SERVER_DNS 1
#define SNTP_GET_SERVERS_FROM_DHCP 1
#define SNTP_MAX_SERVERS 2
#define SNTP_STARTUP_DELAY 0
#define SNTP_COMP_ROUNDTRIP 1
#define SNTP_CHECK_RESPONSE 2 // source address and originate timestamp: nobody off path sets our clock
#define SNTP_SET_SYSTEM_TIME_US(sec, us) net_sntp_set_time((uint32_t)(sec), (uint32_t)(us))
#define SNTP_GET_SYSTEM_TIME(sec, us) net_sntp_get_time(&(sec), &(us))

// --- checks, statistics ---
#define LWIP_STATS 1
#define LWIP_STATS_DISPLAY 0
#define MEMP_STATS 1
#define LWIP_STATS_LARGE 1
#define LWIP_CHECKSUM_ON_COPY 1
#define LWIP_CHKSUM_ALGORITHM 3 // the fastest of lwIP's portable ones
#define LWIP_DEBUG 0

#endif
