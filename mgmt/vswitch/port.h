// SPDX-License-Identifier: Apache-2.0
// A port of a virtual switch, as its user sees it: guest network device, physical NIC, management address.
//
// Switches run in the data plane alone (VP 0): no waiting, no allocation, no libc. Frames travel by copy: the
// switch calls the receiver's deliver() with the frame's pieces while the sender's call lasts, so nobody owns
// buffers beyond a call. What a receiver has no room for is dropped and counted, as on any switch.
//
//   guest TX ──switch_send()──► VLAN, spoofing guard, rate, look up ──deliver()──► guest RX, NIC TX, management
#ifndef MGMT_VSWITCH_PORT_H
#define MGMT_VSWITCH_PORT_H

#include <keelson/types.h>

#define SWITCH_SEND_PIECES 20u // of a frame that a user sends
#define SWITCH_MAX_PIECES (SWITCH_SEND_PIECES + 2)
#define SWITCH_FRAME_MAX                                                                                     \
    65550u // a segmentation-offloaded frame between two guests, without a VLAN tag of the switch

struct switch_piece {
    const void *data;
    uint32_t length;
};

// Work that a sender left to whoever needs it done (virtio 1.2, 5.1.6 "virtio_net_hdr"); zero: frame is complete.
struct switch_offload {
    bool needs_checksum;
    uint16_t checksum_start, checksum_offset; // from the start of the frame
    uint8_t gso_type;                         // VIRTIO_NET_HDR_GSO_*
    uint16_t gso_size, header_length;
};

#define SWITCH_GSO_NONE 0
#define SWITCH_GSO_TCPV4 1
#define SWITCH_GSO_TCPV6 4

struct switch_frame {
    struct switch_piece
        pieces[SWITCH_MAX_PIECES]; // Ethernet header first; the first piece holds its 14 bytes
    uint32_t piece_count;
    uint32_t length; // of all pieces
    struct switch_offload offload;
};

// Written by the data plane; a reader on the other plane may see values of slightly different moments.
struct switch_port_counters {
    uint64_t rx_frames, rx_bytes; // that the port's user sent and the switch took
    uint64_t tx_frames, tx_bytes; // that the user got
    uint64_t dropped_no_room;     // for the user, who had no buffer
    uint64_t dropped_too_long;    // for the user, who takes shorter ones
    uint64_t dropped_spoofed;     // of the user, from an address that is not its own
    uint64_t dropped_rate;        // of the user, above its rate
    uint64_t dropped_vlan;        // of the user, with a tag that it may not send
    uint64_t dropped_malformed;   // of the user, no frames or with offloads that make no sense
    uint64_t
        dropped_reserved; // of the user, to addresses that bridges keep to themselves (802.1Q-2018, 8.6.3)
};

struct switch_port;

struct switch_port_user {
    // Copies the frame out; false when there is no room (the switch counts it). The switch resolves offloads
    // first unless `takes_offload`. Must not call switch_send().
    bool (*deliver)(void *user, const struct switch_frame *frame);
    // After a burst: tell the user's other side (interrupt a guest, ring a NIC). May be NULL.
    void (*flush)(void *user);
    // The port came up or went down. May be NULL.
    void (*link)(void *user, bool up);
    bool takes_offload;
    uint32_t max_frame; // bytes, with a tag if there is one; 0: any. Of frames without offload.
};

// The port's user sends a frame of at most SWITCH_SEND_PIECES pieces and SWITCH_FRAME_MAX bytes. Its memory may be a
// guest's: the switch reads each header once into a private copy and decides by that copy. Returns the bytes that were
// copied to receivers, so that a sender can bound what it does in a turn.
uint32_t switch_send(struct switch_port *port, const struct switch_frame *frame);

// After one or more switch_send(): calls flush() of every port that got something.
void switch_flush(void);

#endif
