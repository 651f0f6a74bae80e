// SPDX-License-Identifier: Apache-2.0
// Checksums and segmentation that a sending guest left undone, done for receivers that do not take such frames.
//
// Sources: RFC 1071 (checksum), RFC 9293 (TCP), RFC 791, RFC 8200; virtio 1.2, 5.1.6.2 (what the sender left). Works on
// a private copy of the packet. Data plane.
#ifndef MGMT_VSWITCH_OFFLOAD_H
#define MGMT_VSWITCH_OFFLOAD_H

#include "mgmt/vswitch/port.h"

#define OFFLOAD_HEADERS_MAX 256u // network and transport header of a frame to be cut
#define OFFLOAD_MIN_SEGMENT                                                                                  \
    48u // bytes of payload: less is no TCP that anybody speaks, and would make too many

struct offload {
    const uint8_t *packet; // from the network header on
    uint32_t length;
    uint32_t transport; // offset of the TCP header
    uint32_t headers;   // bytes up to the payload
    uint32_t size;      // payload bytes of a segment
    uint32_t segments;
    bool v6;
};

// Takes a packet and what was left undone; offsets of `what` are from the packet on. A checksum is put into the packet;
// a packet to be cut is checked and left as it is. False: the two do not fit together.
MUST_CHECK bool offload_begin(struct offload *o, uint8_t *packet, uint32_t length, uint16_t ethertype,
                              const struct switch_offload *what);
// Segment i of a packet to be cut: o->headers bytes of headers with their checksums, and its payload. Returns the
// length of the payload.
uint32_t offload_segment(const struct offload *o, uint32_t i, uint8_t headers[OFFLOAD_HEADERS_MAX],
                         const uint8_t **payload);

// Sum of 16-bit words in network order, folded to 16 bits and not complemented; an odd last byte is a high one.
uint16_t offload_sum(const uint8_t *data, uint32_t length, uint32_t sum);

#endif
