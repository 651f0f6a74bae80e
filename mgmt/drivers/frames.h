// SPDX-License-Identifier: Apache-2.0
// Ethernet frames between the planes: fixed buffers that a NIC reads and writes, and four rings of indices.
//
//                 rx: received frames                      tx: frames to send
//   data plane  ------------------------>  control plane ---------------------->  data plane
//      ^                                        |  ^                                  |
//      '----------------------------------------'  '----------------------------------'
//              rx_free: buffers to fill                    tx_free: buffers that were sent
//
// Each buffer is at any moment in one ring, in the NIC, or in one side's hands; each ring has room for all
// buffers of its direction, so that a push cannot fail.
#ifndef MGMT_DRIVERS_FRAMES_H
#define MGMT_DRIVERS_FRAMES_H

#include "mgmt/spsc.h"

#define FRAME_BUFFERS 256u // each way
#define FRAME_BUFFER_SIZE 2048u
#define FRAME_MIN 60u // without FCS; shorter ones are padded before they are sent
#define FRAME_MAX 1518u
#define FRAME_MEMORY (2 * FRAME_BUFFERS * FRAME_BUFFER_SIZE)

struct frame {
    uint16_t index;
    uint16_t length;
};

struct frame_counters { // written by the data plane
    uint64_t rx_frames, rx_bytes, rx_errors;
    uint64_t tx_frames, tx_bytes;
};

struct frame_rings {
    struct spsc rx, rx_free, tx, tx_free; // of struct frame
    struct frame slots[4][FRAME_BUFFERS];
    uint8_t *memory;     // FRAME_MEMORY bytes: buffers of rx, then of tx
    uint64_t memory_gpa; // the same as the NIC sees it
    uint32_t headroom;   // bytes before the frame that the NIC keeps for a header of its own
    uint32_t link_up;    // atomic
    struct frame_counters counters;
};

static inline uint32_t frame_offset(bool tx, uint16_t index)
{
    return ((tx ? FRAME_BUFFERS : 0) + index % FRAME_BUFFERS) * FRAME_BUFFER_SIZE;
}

static inline uint8_t *frame_data(const struct frame_rings *r, bool tx, uint16_t index)
{
    return r->memory + frame_offset(tx, index) + r->headroom;
}

// rx_count and tx_count (at most FRAME_BUFFERS) buffers start in rx_free and tx_free.
void frame_rings_init(struct frame_rings *r, uint8_t *memory, uint64_t memory_gpa, uint32_t headroom,
                      uint16_t rx_count, uint16_t tx_count);

#endif
