// SPDX-License-Identifier: Apache-2.0
// Frame rings as ports of a switch: the physical NIC, and the management partition's own address.
//
//   IP stack ◄─rings─► management port ◄─ switch ─► NIC port ◄─rings─► NIC driver
//
// Each port has rings of its own, with buffers; a frame is copied from one's to another's. Data plane, but for the
// functions of set-up.
#ifndef MGMT_DATAPLANE_FRAME_PORT_H
#define MGMT_DATAPLANE_FRAME_PORT_H

#include "mgmt/drivers/nic.h"
#include "mgmt/vswitch/vswitch.h"

#define FRAME_PORT_BUDGET 64u         // frames that a port sends in a turn
#define FRAME_PORT_BYTES (256u << 10) // and about so much of them to all receivers

struct frame_port {
    struct switch_port port;
    struct switch_port_user user;
    struct frame_rings *rings;
    bool of_driver; // a NIC's driver is behind the rings, not the IP stack
};

// --- set-up ---
void frame_port_init(struct frame_port *p, struct vswitch *home, const struct switch_port_settings *settings,
                     struct frame_rings *rings, bool of_driver, void (*flush)(void *frame_port));
void frame_port_attach(struct frame_port *p); // before the data plane runs

// --- data plane ---
// Sends what waits in the rings, within the budgets above; returns the number of frames. switch_flush() is the caller's.
uint32_t frame_port_send(struct frame_port *p);
bool frame_port_waiting(const struct frame_port *p); // is there (still) something to send?

#endif
