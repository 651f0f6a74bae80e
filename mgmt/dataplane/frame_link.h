// SPDX-License-Identifier: Apache-2.0
// Frame rings to the data plane as the IP stack's link (net/link.h). Control plane only.
#ifndef MGMT_DATAPLANE_FRAME_LINK_H
#define MGMT_DATAPLANE_FRAME_LINK_H

#include "mgmt/drivers/frames.h"
#include "net/link.h"

struct frame_link {
    struct net_link link;
    struct frame_rings *rings;
    struct frame rx; // the frame that rx_peek() shows
    struct frame tx; // the buffer that tx_reserve() gave out
    bool have_rx, have_tx;
    bool tx_waiting; // committed since the last flush
};

void frame_link_init(struct frame_link *l, struct frame_rings *rings, const uint8_t mac[6]);

#endif
