// SPDX-License-Identifier: Apache-2.0
// A port of the virtual switch, as its user sees it: guest network device, physical NIC, management address.
//
// The switch runs in the data plane alone (VP 0): no waiting, no allocation, no libc. Frames travel by copy: the
// switch calls the receiver's deliver() with the frame's pieces while the sender's call lasts, so nobody owns
// buffers beyond a call. What a receiver has no room for is dropped and counted, as on any switch.
//
//   guest TX ──switch_send()──► look up, VLAN, spoof guard, rate ──deliver()──► guest RX, NIC TX, management
#ifndef MGMT_VSWITCH_PORT_H
#define MGMT_VSWITCH_PORT_H

#include <keelson/types.h>

#define SWITCH_MAX_PIECES 20u
#define SWITCH_FRAME_MAX 65550u // a segmentation-offloaded frame between two guests

struct switch_piece {
    const void *data;
    uint32_t length;
};

// Work that a sender left to whoever needs it done (virtio 1.2, 5.1.6 "virtio_net_hdr"); zero: frame is complete.
struct switch_offload {
    bool needs_checksum;
    uint16_t checksum_start, checksum_offset;
    uint8_t gso_type; // VIRTIO_NET_HDR_GSO_*
    uint16_t gso_size, header_length;
};

struct switch_frame {
    struct switch_piece pieces[SWITCH_MAX_PIECES]; // Ethernet header first; the first piece holds it whole
    uint32_t piece_count;
    uint32_t length; // of all pieces
    struct switch_offload offload;
};

struct switch_port_counters {     // written by the data plane
    uint64_t rx_frames, rx_bytes; // from the port's user into the switch
    uint64_t tx_frames, tx_bytes; // to the user
    uint64_t dropped_no_room, dropped_spoofed, dropped_rate, dropped_vlan, dropped_malformed;
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
};

// The port's user sends a frame. The frame's memory may be a guest's: the switch reads the headers once into a
// private copy and decides by that copy.
void switch_send(struct switch_port *port, const struct switch_frame *frame);

// After one or more switch_send(): calls flush() of every port that got something.
void switch_flush(void);

#endif
