// SPDX-License-Identifier: Apache-2.0
// A learning Ethernet switch with VLANs: its set-up, and the ports' settings.
//
// Memory is the control plane's, which calls the *_init() functions and then hands port and switch to the data plane
// with what the port belongs to (a guest, the NIC); from switch_port_attach() to switch_port_detach() the data plane
// alone touches them, but for counters and the DHCP address, which anybody may read.
//
// VLAN 0 is that of frames without a tag. An access port's user knows no tags and lives in the port's VLAN; a trunk
// port's sends and gets tags, and without one is in the port's VLAN (802.1Q-2018, 6.9).
//
// A guarded port has one station, whose address the switch knows from the start: it never leaves its port, other
// source addresses are dropped, and frames to unknown stations are not sent there.
#ifndef MGMT_VSWITCH_VSWITCH_H
#define MGMT_VSWITCH_VSWITCH_H

#include "mgmt/vswitch/mac_table.h"
#include "mgmt/vswitch/port.h"

#define SWITCH_MAX_PORTS 256u
#define SWITCH_VLANS 4095u // 0 .. 4094
#define SWITCH_MIN_RATE 1000u
#define SWITCH_MAX_RATE 12500000000ull // bytes a second
#define SWITCH_MIN_BURST 131072u       // bytes, or a tenth of a second if that is more

struct switch_port_settings {
    uint8_t mac[6]; // of the station, if guarded
    bool guarded;
    bool trunk;
    uint16_t vlan;                          // below SWITCH_VLANS
    uint8_t tagged[(SWITCH_VLANS + 7) / 8]; // trunk: VLANs that are allowed with a tag, a bit each
    uint64_t rate;                          // bytes a second that the user may send; 0: any
};

struct vswitch {
    struct mac_table macs;
    struct switch_port *port[SWITCH_MAX_PORTS];
    uint32_t port_end; // no ports from here on
};

struct switch_port {
    struct vswitch *home;
    struct switch_port_settings settings;
    struct switch_port_counters counters;
    uint32_t dhcp_address; // first byte highest; 0: none seen. Atomic.
    // --- the data plane's ---
    bool attached, got_frames;
    bool learns; // stations behind it are found out, and frames to unknown ones go there
    uint16_t number;
    const struct switch_port_user *user;
    void *user_arg;
    uint64_t send_at; // when the user's sent bytes are within its rate, as plat_now_ns()
    struct switch_port *next_flush;
};

// --- control plane ---
void vswitch_init(struct vswitch *s, uint64_t seed);
void switch_port_init(struct switch_port *p, struct vswitch *home,
                      const struct switch_port_settings *settings);
static inline void switch_vlan_allow(struct switch_port_settings *s, uint16_t vlan)
{
    s->tagged[vlan / 8] |= (uint8_t)(1u << vlan % 8);
}
static inline bool switch_vlan_allowed(const struct switch_port_settings *s, uint16_t vlan)
{
    return (s->tagged[vlan / 8] >> vlan % 8 & 1) != 0;
}

// --- data plane ---
// Connects the port. A switch whose ports are all taken leaves it without a link.
void switch_port_attach(struct switch_port *p, const struct switch_port_user *user, void *user_arg);
// The switch forgets it and its stations. Doing so twice is once.
void switch_port_detach(struct switch_port *p);

#endif
