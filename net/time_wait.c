// SPDX-License-Identifier: Apache-2.0
// A new connection in the place of one that waits in TIME-WAIT.
//
// A client that opens many connections comes back to a port that it has used, while the node, which closed first, still
// keeps the old connection. RFC 1122, 4.2.2.13 lets the new one take its place if its sequence numbers begin behind
// those of the old one, as stacks do (RFC 6191); lwIP answers each of its SYNs with the old connection's ACK for two
// minutes. So the old one is removed here, before lwIP sees the SYN.
#include "net/lwip_hooks.h"

#include "lwip/ip4.h"
#include "lwip/ip6.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/tcp.h"

static struct tcp_pcb *find(const ip_addr_t *from, const ip_addr_t *to, const struct tcp_hdr *h)
{
    for (struct tcp_pcb *pcb = tcp_tw_pcbs; pcb != NULL; pcb = pcb->next) { // at most MEMP_NUM_TCP_PCB
        if (pcb->remote_port == lwip_ntohs(h->src) && pcb->local_port == lwip_ntohs(h->dest) &&
            ip_addr_cmp(&pcb->remote_ip, from) && ip_addr_cmp(&pcb->local_ip, to)) {
            return pcb;
        }
    }
    return NULL;
}

static void make_room(const ip_addr_t *from, const ip_addr_t *to, const struct tcp_hdr *h)
{
    struct tcp_pcb *pcb;

    if ((TCPH_FLAGS(h) & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN) {
        return;
    }
    pcb = find(from, to, h);
    if (pcb != NULL && TCP_SEQ_GT(lwip_ntohl(h->seqno), pcb->rcv_nxt)) {
        tcp_abort(pcb); // says nothing to the peer in this state
    }
}

// The packet's TCP header, whole and within the first pbuf; NULL if there is none.
static const struct tcp_hdr *tcp_header(const struct pbuf *p, u16_t at)
{
    return p->len >= at + sizeof(struct tcp_hdr) ? (const void *)((const u8_t *)p->payload + at) : NULL;
}

int net_ip4_input(struct pbuf *p, struct netif *netif)
{
    const struct ip_hdr *ip = p->payload;
    const struct tcp_hdr *h;
    ip_addr_t from, to;

    (void)netif;
    if (p->len < IP_HLEN || IPH_V(ip) != 4 || IPH_PROTO(ip) != IP_PROTO_TCP ||
        (IPH_OFFSET(ip) & PP_HTONS(IP_OFFMASK)) != 0) {
        return 0;
    }
    h = tcp_header(p, IPH_HL_BYTES(ip));
    if (h != NULL) {
        ip_addr_copy_from_ip4(from, ip->src);
        ip_addr_copy_from_ip4(to, ip->dest);
        make_room(&from, &to, h);
    }
    return 0;
}

// A SYN behind extension headers is left to lwIP: the client tries again for as long as the old connection waits.
int net_ip6_input(struct pbuf *p, struct netif *netif)
{
    const struct ip6_hdr *ip = p->payload;
    const struct tcp_hdr *h;
    ip_addr_t from, to;

    if (p->len < IP6_HLEN || IP6H_V(ip) != 6 || IP6H_NEXTH(ip) != IP6_NEXTH_TCP) {
        return 0;
    }
    h = tcp_header(p, IP6_HLEN);
    if (h != NULL) {
        ip_addr_copy_from_ip6_packed(from, ip->src);
        ip_addr_copy_from_ip6_packed(to, ip->dest);
        ip6_addr_assign_zone(ip_2_ip6(&from), IP6_UNICAST, netif);
        ip6_addr_assign_zone(ip_2_ip6(&to), IP6_UNICAST, netif);
        make_room(&from, &to, h);
    }
    return 0;
}
