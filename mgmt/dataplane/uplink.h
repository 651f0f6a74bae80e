// SPDX-License-Identifier: Apache-2.0
// The node's own part of its networks: the switch that the NIC is the uplink of, with the management address on it.
#ifndef MGMT_DATAPLANE_UPLINK_H
#define MGMT_DATAPLANE_UPLINK_H

#include "mgmt/drivers/nic.h"
#include "mgmt/vswitch/vswitch.h"

// --- set-up, control plane, before dataplane_go() ---
// Makes NIC and management address ports of `home`. `memory` are FRAME_MEMORY bytes for frames of the IP stack; both
// stay. Returns the rings at which the IP stack is to be.
struct frame_rings *uplink_start(struct nic *nic, struct vswitch *home, uint8_t *memory);
// For their counters; NULL without a NIC.
struct switch_port *uplink_port(void);
struct switch_port *uplink_management_port(void);

// --- data plane ---
bool uplink_wanted(void); // uplink_serve() has something to do
void uplink_rung(void);   // the other plane rang: its rings may hold something
void uplink_serve(void);

#endif
