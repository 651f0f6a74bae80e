// SPDX-License-Identifier: Apache-2.0
// The NIC in the data plane as the IP stack's link (net/link.h), over the frame rings. Control plane only.
#ifndef MGMT_DATAPLANE_FRAME_LINK_H
#define MGMT_DATAPLANE_FRAME_LINK_H

#include "mgmt/drivers/nic.h"
#include "net/link.h"

struct frame_link {
    struct net_link link;
    struct frame_rings *rings;
    struct frame rx; // the frame that rx_peek() shows
    struct frame tx; // the buffer that tx_reserve() gave out
    bool have_rx, have_tx;
    bool tx_waiting;         // committed since the last flush
    uint32_t rx_unannounced; // buffers given back since the data plane was told
};

void frame_link_init(struct frame_link *l, struct nic *nic);

#endif
