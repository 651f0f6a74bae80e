// SPDX-License-Identifier: Apache-2.0
// Initial state of the frame rings.
#include "mgmt/drivers/frames.h"

static void init_ring(struct spsc *ring, struct frame *slots)
{
    spsc_init(ring, slots, FRAME_BUFFERS, sizeof(struct frame));
}

static void fill(struct spsc *ring, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        struct frame f = {.index = i};

        (void)spsc_push(ring, &f);
    }
}

void frame_rings_init(struct frame_rings *r, uint8_t *memory, uint64_t memory_gpa, uint32_t headroom,
                      uint16_t rx_count, uint16_t tx_count)
{
    init_ring(&r->rx, r->slots[0]);
    init_ring(&r->rx_free, r->slots[1]);
    init_ring(&r->tx, r->slots[2]);
    init_ring(&r->tx_free, r->slots[3]);
    r->memory = memory;
    r->memory_gpa = memory_gpa;
    r->headroom = headroom;
    fill(&r->rx_free, rx_count);
    fill(&r->tx_free, tx_count);
}
