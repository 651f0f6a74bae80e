// SPDX-License-Identifier: Apache-2.0
// Which station is behind which port: a set-associative table with ageing. Data plane.
//
// Learned entries belong to a VLAN and may be pushed out by others; fixed ones hold for all VLANs, do not age and stay
// with their port. A set is chosen by a keyed hash of the address, so that nobody outside can aim at one.
#ifndef MGMT_VSWITCH_MAC_TABLE_H
#define MGMT_VSWITCH_MAC_TABLE_H

#include <keelson/types.h>

#define MAC_TABLE_SETS 256u // power of two
#define MAC_TABLE_WAYS 8u
#define MAC_NO_PORT 0xffffu
#define MAC_MAX_AGE 279u // of mac_time(): 300 seconds, the standard's default (802.1Q-2018, table 8-6)

// Time for this table: units of 2^30 nanoseconds.
static inline uint32_t mac_time(uint64_t now_ns)
{
    return (uint32_t)(now_ns >> 30);
}

struct mac_entry {
    uint64_t key;  // address and VLAN; 0: free
    uint32_t seen; // mac_time()
    uint16_t port;
};

struct mac_table {
    uint64_t seed;
    struct mac_entry entry[MAC_TABLE_SETS][MAC_TABLE_WAYS];
};

// An address as a number: the first byte is the highest of 48 bits.
static inline uint64_t mac_number(const uint8_t mac[6])
{
    uint32_t first;
    uint16_t last;

    __builtin_memcpy(&first, mac, sizeof(first));
    __builtin_memcpy(&last, mac + 4, sizeof(last));
    return (uint64_t)__builtin_bswap32(first) << 16 | __builtin_bswap16(last);
}

void mac_table_init(struct mac_table *t, uint64_t seed);
// The port behind which a station of this VLAN was seen at most MAC_MAX_AGE ago, or is always; MAC_NO_PORT: unknown.
uint16_t mac_table_find(const struct mac_table *t, uint64_t mac, uint16_t vlan, uint32_t now);
// The port that has the address as its own; MAC_NO_PORT: none.
uint16_t mac_table_owner(const struct mac_table *t, uint64_t mac);
// A frame came from the station. False: the address is another port's own.
bool mac_table_learn(struct mac_table *t, uint64_t mac, uint16_t vlan, uint16_t port, uint32_t now);
// Makes the address the port's own. False: it is another's, or all places of its set are fixed.
MUST_CHECK bool mac_table_fix(struct mac_table *t, uint64_t mac, uint16_t port);
void mac_table_forget_port(struct mac_table *t, uint16_t port);

#endif
