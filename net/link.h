// SPDX-License-Identifier: Apache-2.0
// What the IP stack needs of a network interface: one Ethernet link, polled, without copies of its own.
//
// Implemented by whoever owns the frames: on the machine the frame rings between the planes (the NIC driver
// runs in the data plane), in tests a wire in memory. Used by net/net.c alone. Everything here is called on
// the control plane, from the event loop. The implementer calls plat_wake() when a frame arrives or when
// the link state changes; net/net.c polls in every turn of the loop.
//
// The link delivers broadcast and multicast frames (IPv6 neighbour discovery and mDNS need them) and drops
// frames with a bad checksum.
//
//   transmit:  buf = tx_reserve(len) -> fill buf -> tx_commit(len)      nothing is sent before the commit
//   receive:   buf = rx_peek(&len)   -> copy out -> rx_release()        oldest frame first
#ifndef NET_LINK_H
#define NET_LINK_H

#include <keelson/types.h>

#define NET_LINK_FRAME_MAX 1518 // Ethernet header and 1500 bytes, with room for a VLAN tag; no FCS

struct net_link;

struct net_link_ops {
    // Space for a frame of len bytes (14..NET_LINK_FRAME_MAX) or NULL when the ring is full; the stack then
    // drops the frame and TCP sends it again. A reserved slot may be abandoned by not committing it.
    void *(*tx_reserve)(struct net_link *link, size_t len);
    // Hand over the frame that was written to the reserved space. Frames below 60 bytes are padded by the
    // driver. May be batched; tx_flush says that the stack has nothing more to add in this turn.
    void (*tx_commit)(struct net_link *link, size_t len);
    void (*tx_flush)(struct net_link *link); // may be NULL
    // The oldest received frame or NULL. It stays valid until rx_release().
    const void *(*rx_peek)(struct net_link *link, size_t *len);
    void (*rx_release)(struct net_link *link);
    bool (*is_up)(struct net_link *link); // carrier
};

struct net_link {
    const struct net_link_ops *ops;
    uint8_t mac[6];
    uint16_t mtu; // bytes of IP packet, usually 1500
};

#endif
