// SPDX-License-Identifier: Apache-2.0
// Station addresses and their ports.
#include "mgmt/vswitch/mac_table.h"

#define ANY_VLAN 0xfffull // of fixed entries; no frame has it

static uint64_t key_of(uint64_t mac, uint64_t vlan)
{
    return mac << 16 | vlan;
}

static uint64_t mac_of(const struct mac_entry *e)
{
    return e->key >> 16;
}

static bool is_fixed(const struct mac_entry *e)
{
    return (e->key & 0xffff) == ANY_VLAN;
}

static uint32_t set_of(const struct mac_table *t, uint64_t mac)
{
    uint64_t x = (mac ^ t->seed) * 0x9e3779b97f4a7c15ull;

    x = (x ^ x >> 32 ^ (t->seed >> 17)) * 0xd6e8feb86659fd93ull;
    return (uint32_t)(x >> 40) % MAC_TABLE_SETS;
}

void mac_table_init(struct mac_table *t, uint64_t seed)
{
    *t = (struct mac_table){.seed = seed};
}

uint16_t mac_table_find(const struct mac_table *t, uint64_t mac, uint16_t vlan, uint32_t now)
{
    const struct mac_entry *set = t->entry[set_of(t, mac)];

    for (uint32_t i = 0; i < MAC_TABLE_WAYS && mac != 0;
         i++) { // zero is no station's, and marks free entries
        const struct mac_entry *e = &set[i];

        if (e->key == key_of(mac, ANY_VLAN) ||
            (e->key == key_of(mac, vlan) && now - e->seen <= MAC_MAX_AGE)) {
            return e->port;
        }
    }
    return MAC_NO_PORT;
}

uint16_t mac_table_owner(const struct mac_table *t, uint64_t mac)
{
    const struct mac_entry *set = t->entry[set_of(t, mac)];

    for (uint32_t i = 0; i < MAC_TABLE_WAYS; i++) {
        if (set[i].key == key_of(mac, ANY_VLAN)) {
            return set[i].port;
        }
    }
    return MAC_NO_PORT;
}

// Is a the better one to lose? A free one before any other, then the one not seen for longest.
static bool rather(const struct mac_entry *a, const struct mac_entry *b, uint32_t now)
{
    if (b == NULL || a->key == 0) {
        return true;
    }
    return b->key != 0 && now - a->seen > now - b->seen;
}

bool mac_table_learn(struct mac_table *t, uint64_t mac, uint16_t vlan, uint16_t port, uint32_t now)
{
    struct mac_entry *set = t->entry[set_of(t, mac)], *victim = NULL;

    for (uint32_t i = 0; i < MAC_TABLE_WAYS; i++) {
        struct mac_entry *e = &set[i];

        if (is_fixed(e)) {
            if (mac_of(e) == mac) {
                return e->port == port;
            }
        } else if (e->key == key_of(mac, vlan)) {
            victim = e; // the station's own place
            break;
        } else if (rather(e, victim, now)) {
            victim = e;
        }
    }
    if (victim != NULL) { // else all are fixed: not remembered
        *victim = (struct mac_entry){.key = key_of(mac, vlan), .seen = now, .port = port};
    }
    return true;
}

bool mac_table_fix(struct mac_table *t, uint64_t mac, uint16_t port)
{
    struct mac_entry *set = t->entry[set_of(t, mac)], *place = NULL;

    for (uint32_t i = 0; i < MAC_TABLE_WAYS; i++) {
        if (is_fixed(&set[i]) && mac_of(&set[i]) == mac) {
            return set[i].port == port;
        }
        if (!is_fixed(&set[i]) && mac_of(&set[i]) == mac) {
            set[i].key = 0; // learned while nobody owned it
        }
        if (!is_fixed(&set[i]) && (place == NULL || set[i].key == 0)) {
            place = &set[i];
        }
    }
    if (place == NULL) {
        return false;
    }
    *place = (struct mac_entry){.key = key_of(mac, ANY_VLAN), .port = port};
    return true;
}

void mac_table_forget_port(struct mac_table *t, uint16_t port)
{
    for (uint32_t s = 0; s < MAC_TABLE_SETS; s++) {
        for (uint32_t i = 0; i < MAC_TABLE_WAYS; i++) {
            if (t->entry[s][i].port == port) {
                t->entry[s][i].key = 0;
            }
        }
    }
}
