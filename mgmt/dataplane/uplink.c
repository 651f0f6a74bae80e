// SPDX-License-Identifier: Apache-2.0
// NIC and management address as ports of the node's switch.
#include "mgmt/dataplane/uplink.h"

#include "mgmt/dataplane/frame_port.h"
#include "mgmt/plat.h"

static struct nic *the_nic;
static struct frame_rings management_rings;
static struct frame_port uplink, management;

// --- data plane ---

bool uplink_wanted(void)
{
    return the_nic != NULL && the_nic->pending;
}

void uplink_rung(void)
{
    if (the_nic != NULL) {
        the_nic->pending = true;
    }
}

static void ring_nic(void *port)
{
    (void)port;
    the_nic->pending = true; // a turn of its own sends all that has gathered
}

static void wake_stack(void *port)
{
    (void)port;
    plat_wake();
}

static void pass_on_link_state(void)
{
    uint32_t up = the_nic->rings->link_up;

    if (management_rings.link_up != up) {
        __atomic_store_n(&management_rings.link_up, up, __ATOMIC_RELEASE);
        plat_wake();
    }
}

// What the management partition sends goes out with this service; buffers of received frames go back with the next.
void uplink_serve(void)
{
    uint32_t received;
    bool more;

    (void)frame_port_send(&management);
    switch_flush();
    the_nic->pending = false;
    more = the_nic->ops->service(the_nic);
    received = frame_port_send(&uplink);
    pass_on_link_state();
    switch_flush();
    the_nic->pending |= more || received > 0 || frame_port_waiting(&management);
}

// --- control plane ---

struct switch_port *uplink_port(void)
{
    return the_nic != NULL ? &uplink.port : NULL;
}

struct switch_port *uplink_management_port(void)
{
    return the_nic != NULL ? &management.port : NULL;
}

// The wire may carry any VLAN; the address is in the one without a tag.
struct frame_rings *uplink_start(struct nic *nic, struct vswitch *home, uint8_t *memory)
{
    struct switch_port_settings wire = {.trunk = true}, address = {.guarded = true};

    for (uint16_t vlan = 1; vlan < SWITCH_VLANS; vlan++) {
        switch_vlan_allow(&wire, vlan);
    }
    __builtin_memcpy(address.mac, nic->mac, sizeof(address.mac));
    frame_rings_init(&management_rings, memory, 0, 0, FRAME_BUFFERS, FRAME_BUFFERS);
    management_rings.link_up = nic->rings->link_up;
    frame_port_init(&uplink, home, &wire, nic->rings, true, ring_nic);
    frame_port_init(&management, home, &address, &management_rings, false, wake_stack);
    frame_port_attach(&uplink);
    frame_port_attach(&management);
    the_nic = nic;
    return &management_rings;
}
