// SPDX-License-Identifier: Apache-2.0
// net/link.h over frame rings: frames are written and read in the rings' buffers.
#include "mgmt/dataplane/frame_link.h"

#include "mgmt/rt/wake.h"

#include <string.h>

static struct frame_link *of(struct net_link *link)
{
    return CONTAINER_OF(link, struct frame_link, link);
}

static void *tx_reserve(struct net_link *link, size_t len)
{
    struct frame_link *l = of(link);

    if (len == 0 || len > FRAME_MAX) {
        return NULL;
    }
    if (!l->have_tx && !spsc_pop(&l->rings->tx_free, &l->tx)) {
        wake(&wake_data); // sent frames may wait for being collected
        return NULL;
    }
    l->have_tx = true;
    return frame_data(l->rings, true, l->tx.index);
}

static void tx_commit(struct net_link *link, size_t len)
{
    struct frame_link *l = of(link);

    if (!l->have_tx || len == 0 || len > FRAME_MAX) {
        return;
    }
    l->tx.length = (uint16_t)len;
    (void)spsc_push(&l->rings->tx, &l->tx); // has room for all buffers
    l->have_tx = false;
    l->tx_waiting = true;
}

static void tx_flush(struct net_link *link)
{
    struct frame_link *l = of(link);

    if (l->tx_waiting) {
        l->tx_waiting = false;
        wake(&wake_data);
    }
}

static void rx_release(struct net_link *link)
{
    struct frame_link *l = of(link);

    if (l->have_rx) {
        l->have_rx = false;
        (void)spsc_push(&l->rings->rx_free, &l->rx);
    }
}

static const void *rx_peek(struct net_link *link, size_t *len)
{
    struct frame_link *l = of(link);

    if (!l->have_rx && !spsc_pop(&l->rings->rx, &l->rx)) {
        return NULL;
    }
    l->have_rx = true;
    *len = l->rx.length;
    return frame_data(l->rings, false, l->rx.index);
}

static bool is_up(struct net_link *link)
{
    return __atomic_load_n(&of(link)->rings->link_up, __ATOMIC_ACQUIRE) != 0;
}

static const struct net_link_ops ops = {
    .tx_reserve = tx_reserve,
    .tx_commit = tx_commit,
    .tx_flush = tx_flush,
    .rx_peek = rx_peek,
    .rx_release = rx_release,
    .is_up = is_up,
};

void frame_link_init(struct frame_link *l, struct frame_rings *rings, const uint8_t mac[6])
{
    *l = (struct frame_link){
        .link = {.ops = &ops, .mtu = 1500},
        .rings = rings,
    };
    memcpy(l->link.mac, mac, sizeof(l->link.mac));
}
