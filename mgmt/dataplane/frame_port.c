// SPDX-License-Identifier: Apache-2.0
// Frame rings as ports of a switch.
#include "mgmt/dataplane/frame_port.h"

// A frame for the port's user: into a buffer for sending where a driver is, of received frames where the IP stack is.
static bool deliver(void *user, const struct switch_frame *frame)
{
    struct frame_port *p = user;
    struct frame_rings *r = p->rings;
    struct frame f;
    uint8_t *to;

    if (!spsc_pop(p->of_driver ? &r->tx_free : &r->rx_free, &f)) {
        return false;
    }
    to = frame_data(r, p->of_driver, f.index);
    f.length = (uint16_t)frame->length; // at most FRAME_MAX
    for (uint32_t i = 0; i < frame->piece_count; i++) {
        __builtin_memcpy(to, frame->pieces[i].data, frame->pieces[i].length);
        to += frame->pieces[i].length;
    }
    (void)spsc_push(p->of_driver ? &r->tx : &r->rx, &f); // has room for all buffers
    return true;
}

bool frame_port_waiting(const struct frame_port *p)
{
    return spsc_count(p->of_driver ? &p->rings->rx : &p->rings->tx) > 0;
}

uint32_t frame_port_send(struct frame_port *p)
{
    struct frame_rings *r = p->rings;
    uint32_t n, bytes = 0;

    for (n = 0; n < FRAME_PORT_BUDGET && bytes < FRAME_PORT_BYTES; n++) {
        struct switch_frame frame = {.piece_count = 1};
        struct frame f;

        if (!spsc_pop(p->of_driver ? &r->rx : &r->tx, &f)) {
            break;
        }
        if (f.length > 0 && f.length <= FRAME_MAX) { // 0: damaged on the wire
            frame.length = f.length;
            frame.pieces[0] = (struct switch_piece){frame_data(r, !p->of_driver, f.index), f.length};
            bytes += switch_send(&p->port, &frame);
        }
        (void)spsc_push(p->of_driver ? &r->rx_free : &r->tx_free, &f);
    }
    return n;
}

void frame_port_init(struct frame_port *p, struct vswitch *home, const struct switch_port_settings *settings,
                     struct frame_rings *rings, bool of_driver, void (*flush)(void *frame_port))
{
    *p = (struct frame_port){
        .rings = rings,
        .of_driver = of_driver,
        .user = {.deliver = deliver, .flush = flush, .max_frame = FRAME_MAX},
    };
    switch_port_init(&p->port, home, settings);
}

void frame_port_attach(struct frame_port *p)
{
    switch_port_attach(&p->port, &p->user, p);
}
