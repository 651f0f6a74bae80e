// SPDX-License-Identifier: Apache-2.0
// The address that a station was given by DHCP, read in passing (RFC 2131, RFC 2132). Data plane.
//
// Shown to people and never relied on: another station can send such a message as well.
#ifndef MGMT_VSWITCH_DHCP_H
#define MGMT_VSWITCH_DHCP_H

#include <keelson/types.h>

#define DHCP_SNOOP_MAX 600u // bytes of a packet that are looked at: the fixed part and the usual options

struct dhcp_news {
    uint64_t mac;     // mac_number() of the station
    uint32_t address; // first byte highest; 0: it gave its address back
};

// Does the packet look like a DHCP message? By its first 24 bytes; the caller then gets more of it.
bool dhcp_suspected(const uint8_t *packet, uint32_t length);
// Reads a packet from its IPv4 header on. False: nothing about anybody's address.
MUST_CHECK bool dhcp_read(const uint8_t *packet, uint32_t length, struct dhcp_news *news);

#endif
