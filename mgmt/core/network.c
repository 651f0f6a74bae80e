// SPDX-License-Identifier: Apache-2.0
// Switches and endpoints.
#include "mgmt/core/network.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/system.h"

static struct network_switch *switches; // the default one first
static struct network_endpoint *endpoints;
static uint8_t node_mac[6];

// --- look-up ---

struct network_switch *network_next_switch(const struct network_switch *previous)
{
    struct network_switch *s = previous != NULL ? previous->next : switches;

    while (s != NULL && s->busy) {
        s = s->next;
    }
    return s;
}

static struct network_switch *any_switch(const char *name)
{
    struct network_switch *s = switches;

    while (s != NULL && strcmp(s->name, name) != 0) {
        s = s->next;
    }
    return s;
}

struct network_switch *network_find_switch(const char *name)
{
    struct network_switch *s = any_switch(name);

    return s != NULL && !s->busy ? s : NULL;
}

struct network_endpoint *network_next_endpoint(const struct network_endpoint *previous)
{
    struct network_endpoint *e = previous != NULL ? previous->next : endpoints;

    while (e != NULL && e->busy) {
        e = e->next;
    }
    return e;
}

static struct network_endpoint *any_endpoint(const char *id)
{
    struct network_endpoint *e = endpoints;

    while (e != NULL && strcasecmp(e->id, id) != 0) {
        e = e->next;
    }
    return e;
}

struct network_endpoint *network_find_endpoint(const char *id)
{
    struct network_endpoint *e = any_endpoint(id);

    return e != NULL && !e->busy ? e : NULL;
}

// --- names and addresses ---

static bool name_valid(const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || n > NETWORK_NAME_MAX || name[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL) {
            return false;
        }
    }
    return true;
}

bool network_id_valid(const char *id)
{
    for (size_t i = 0; i < NETWORK_ID_TEXT - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? id[i] != '-' : !isxdigit((unsigned char)id[i])) {
            return false;
        }
    }
    return id[NETWORK_ID_TEXT - 1] == '\0';
}

static bool is_zero(const uint8_t mac[6])
{
    static const uint8_t none[6];

    return memcmp(mac, none, sizeof none) == 0;
}

bool network_read_mac(const char *text, uint8_t mac[6])
{
    static const char digits[] = "0123456789abcdef";

    memset(mac, 0, 6);
    for (unsigned i = 0; i < 17; i++) {
        const char *digit = text[i] != '\0' ? strchr(digits, text[i] | 0x20) : NULL;

        if (i % 3 == 2 ? text[i] != text[2] || (text[i] != '-' && text[i] != ':') : digit == NULL) {
            return false;
        }
        if (i % 3 != 2) {
            mac[i / 3] = (uint8_t)(mac[i / 3] << 4 | (digit - digits));
        }
    }
    return text[17] == '\0' && !is_zero(mac) && (mac[0] & 1) == 0;
}

// --- what is kept ---

#define SWITCH_PREFIX "network.switch."
#define ENDPOINT_PREFIX "network.endpoint."
#define KEPT_VERSION 1

struct kept_switch {
    uint8_t version, type;
};

struct kept_endpoint {
    uint8_t version, guarded, trunk, zero;
    uint8_t mac[6];
    uint16_t vlan;
    uint32_t zeros;
    uint64_t rate;
    char home[NETWORK_NAME_MAX + 1];
    uint8_t tagged[sizeof((struct switch_port_settings *)0)->tagged];
};
_Static_assert(sizeof(struct kept_endpoint) == 24 + NETWORK_NAME_MAX + 1 + (SWITCH_VLANS + 7) / 8, "no gaps");

struct change {
    struct network_switch *sw; // one of the two
    struct network_endpoint *endpoint;
    bool delete;
    keeper_done done;
    void *arg;
};

static void drop_switch(struct network_switch *s)
{
    struct network_switch **at = &switches;

    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
    free(s->vswitch);
    free(s);
}

static void drop_endpoint(struct network_endpoint *e)
{
    struct network_endpoint **at = &endpoints;

    while (*at != e) {
        at = &(*at)->next;
    }
    *at = e->next;
    e->home->endpoints--;
    free(e);
}

// What was to be kept is there, what was to be deleted is gone; after an error it is the other way round.
static void change_done(void *arg, const struct core_error *error)
{
    struct change *c = arg;
    bool gone = c->delete == (error == NULL);

    if (c->sw != NULL) {
        c->sw->busy = false;
        if (gone) {
            drop_switch(c->sw);
        }
    } else {
        c->endpoint->busy = false;
        if (gone) {
            drop_endpoint(c->endpoint);
        }
    }
    c->done(c->arg, error);
    free(c);
}

static void keep(struct change *c, const char *name, const void *body, size_t length)
{
    if (keeper() == NULL) {
        change_done(c, NULL);
    } else if (c->delete) {
        keeper()->delete_setting(name, change_done, c);
    } else {
        keeper()->save_setting(name, body, length, change_done, c);
    }
}

static struct change *change_new(bool delete, keeper_done done, void *arg, struct core_error *error)
{
    struct change *c = calloc(1, sizeof *c);

    if (c == NULL) {
        core_fail(error, CORE_NO_HEAP, "management heap is full");
        return NULL;
    }
    c->delete = delete;
    c->done = done;
    c->arg = arg;
    return c;
}

static void keep_switch(struct change *c, struct network_switch *s)
{
    const struct kept_switch body = {.version = KEPT_VERSION, .type = (uint8_t)s->type};
    char name[sizeof SWITCH_PREFIX + NETWORK_NAME_MAX];

    c->sw = s;
    s->busy = true;
    snprintf(name, sizeof name, SWITCH_PREFIX "%s", s->name);
    keep(c, name, &body, sizeof body);
}

static void keep_endpoint(struct change *c, struct network_endpoint *e)
{
    const struct switch_port_settings *s = &e->settings;
    struct kept_endpoint body = {
        .version = KEPT_VERSION, .guarded = s->guarded, .trunk = s->trunk, .vlan = s->vlan, .rate = s->rate};
    char name[sizeof ENDPOINT_PREFIX + NETWORK_ID_TEXT];

    c->endpoint = e;
    e->busy = true;
    memcpy(body.mac, s->mac, sizeof body.mac);
    memcpy(body.tagged, s->tagged, sizeof body.tagged);
    snprintf(body.home, sizeof body.home, "%s", e->home->name);
    snprintf(name, sizeof name, ENDPOINT_PREFIX "%s", e->id);
    keep(c, name, &body, sizeof body);
}

// --- switches ---

static struct network_switch *make_switch(const char *name, enum network_type type)
{
    struct network_switch *s = calloc(1, sizeof *s), **end = &switches;
    uint64_t seed;

    if (s == NULL || (s->vswitch = calloc(1, sizeof *s->vswitch)) == NULL) {
        free(s);
        return NULL;
    }
    plat_random(&seed, sizeof seed);
    vswitch_init(s->vswitch, seed);
    snprintf(s->name, sizeof s->name, "%s", name);
    s->type = type;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = s;
    return s;
}

static enum core_status check_new_switch(const char *name, struct core_error *error)
{
    unsigned count = 0;

    if (!name_valid(name)) {
        return core_fail(error, CORE_INVALID,
                         "a switch's name has 1 to %u letters, digits, '.', '_' and '-', and no '.' first",
                         NETWORK_NAME_MAX);
    }
    if (any_switch(name) != NULL) {
        return core_fail(error, CORE_EXISTS, "there is already a switch '%s'", name);
    }
    for (const struct network_switch *s = switches; s != NULL; s = s->next) {
        count++;
    }
    if (count >= NETWORK_SWITCHES_MAX) {
        return core_fail(error, CORE_LIMIT, "the node has %u switches already", NETWORK_SWITCHES_MAX);
    }
    return CORE_OK;
}

enum core_status network_add_switch(const char *name, keeper_done done, void *arg, struct core_error *error)
{
    enum core_status status = check_new_switch(name, error);
    struct network_switch *s;
    struct change *c;

    if (status != CORE_OK) {
        return status;
    }
    c = change_new(false, done, arg, error);
    if (c == NULL) {
        return CORE_NO_HEAP;
    }
    s = make_switch(name, NETWORK_PRIVATE);
    if (s == NULL) {
        free(c);
        return core_fail(error, CORE_NO_HEAP, "management heap is full");
    }
    keep_switch(c, s);
    return CORE_OK;
}

enum core_status network_delete_switch(const char *name, keeper_done done, void *arg,
                                       struct core_error *error)
{
    struct network_switch *s = network_find_switch(name);
    struct change *c;

    if (s == NULL) {
        return core_fail(error, CORE_NOT_FOUND, "there is no switch '%.64s'", name);
    }
    if (s == switches) {
        return core_fail(error, CORE_INVALID_STATE, "switch '%s' is the node's own and cannot be deleted",
                         name);
    }
    if (s->endpoints > 0 || s->adapters > 0) {
        return core_fail(error, CORE_IN_USE, "switch '%s' has %u endpoint(s) and %u adapter(s)", name,
                         s->endpoints, s->adapters);
    }
    c = change_new(true, done, arg, error);
    if (c == NULL) {
        return CORE_NO_HEAP;
    }
    keep_switch(c, s);
    return CORE_OK;
}

// --- endpoints ---

static struct network_endpoint *make_endpoint(const char *id, struct network_switch *home,
                                              const struct switch_port_settings *settings)
{
    struct network_endpoint *e = calloc(1, sizeof *e), **end = &endpoints;

    if (e == NULL) {
        return NULL;
    }
    for (size_t i = 0; id[i] != '\0' && i + 1 < sizeof e->id; i++) {
        e->id[i] = (char)tolower((unsigned char)id[i]);
    }
    e->home = home;
    e->settings = *settings;
    home->endpoints++;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = e;
    return e;
}

static enum core_status check_new_endpoint(const char *id, const char *home,
                                           const struct switch_port_settings *settings,
                                           struct core_error *error)
{
    unsigned count = 0;

    if (!network_id_valid(id)) {
        return core_fail(error, CORE_INVALID, "an endpoint's id is a GUID: 8-4-4-4-12 hexadecimal digits");
    }
    if (any_endpoint(id) != NULL) {
        return core_fail(error, CORE_EXISTS, "there is already an endpoint %s", id);
    }
    if (network_find_switch(home) == NULL) {
        return core_fail(error, CORE_NOT_FOUND, "there is no switch '%.64s'", home);
    }
    if (memcmp(settings->mac, node_mac, sizeof node_mac) == 0 && !is_zero(node_mac)) {
        return core_fail(error, CORE_INVALID, "the MAC address is the node's own");
    }
    for (const struct network_endpoint *e = endpoints; e != NULL; e = e->next) {
        count++;
    }
    if (count >= NETWORK_ENDPOINTS_MAX) {
        return core_fail(error, CORE_LIMIT, "the node has %u endpoints already", NETWORK_ENDPOINTS_MAX);
    }
    return CORE_OK;
}

enum core_status network_add_endpoint(const char *id, const char *home,
                                      const struct switch_port_settings *settings, keeper_done done,
                                      void *arg, struct core_error *error)
{
    enum core_status status = check_new_endpoint(id, home, settings, error);
    struct network_endpoint *e;
    struct change *c;

    if (status != CORE_OK) {
        return status;
    }
    c = change_new(false, done, arg, error);
    if (c == NULL) {
        return CORE_NO_HEAP;
    }
    e = make_endpoint(id, network_find_switch(home), settings);
    if (e == NULL) {
        free(c);
        return core_fail(error, CORE_NO_HEAP, "management heap is full");
    }
    keep_endpoint(c, e);
    return CORE_OK;
}

enum core_status network_delete_endpoint(const char *id, keeper_done done, void *arg,
                                         struct core_error *error)
{
    struct network_endpoint *e = network_find_endpoint(id);
    struct change *c;

    if (e == NULL) {
        return core_fail(error, CORE_NOT_FOUND, "there is no endpoint %.40s", id);
    }
    if (e->used) {
        return core_fail(error, CORE_IN_USE, "endpoint %s is used by a system's adapter", e->id);
    }
    c = change_new(true, done, arg, error);
    if (c == NULL) {
        return CORE_NO_HEAP;
    }
    keep_endpoint(c, e);
    return CORE_OK;
}

// --- start ---

void network_init(const uint8_t mac[6])
{
    memcpy(node_mac, mac, sizeof node_mac);
    if (switches == NULL && make_switch(NETWORK_DEFAULT, NETWORK_EXTERNAL) == NULL) {
        plat_log(LOG_ERROR, "network: no memory for the default switch");
        abort();
    }
}

static void load_switch(const char *name)
{
    char setting[sizeof SWITCH_PREFIX + NETWORK_NAME_MAX];
    struct kept_switch body;

    snprintf(setting, sizeof setting, SWITCH_PREFIX "%.63s", name);
    if (keeper()->get_setting(setting, &body, sizeof body) != sizeof body || body.version != KEPT_VERSION ||
        body.type != NETWORK_PRIVATE || check_new_switch(name, NULL) != CORE_OK ||
        make_switch(name, NETWORK_PRIVATE) == NULL) {
        plat_log(LOG_WARN, "network: the store's switch '%.63s' cannot be made", name);
    }
}

static bool settings_of(const struct kept_endpoint *body, struct switch_port_settings *s)
{
    *s = (struct switch_port_settings){
        .guarded = body->guarded != 0, .trunk = body->trunk != 0, .vlan = body->vlan, .rate = body->rate};
    memcpy(s->mac, body->mac, sizeof s->mac);
    memcpy(s->tagged, body->tagged, sizeof s->tagged);
    return body->version == KEPT_VERSION && s->vlan < SWITCH_VLANS &&
           memchr(body->home, '\0', sizeof body->home) != NULL &&
           (s->rate == 0 || (s->rate >= SWITCH_MIN_RATE && s->rate <= SWITCH_MAX_RATE));
}

static void load_endpoint(const char *id)
{
    char setting[sizeof ENDPOINT_PREFIX + NETWORK_ID_TEXT];
    struct switch_port_settings settings;
    struct kept_endpoint body;

    snprintf(setting, sizeof setting, ENDPOINT_PREFIX "%.36s", id);
    if (keeper()->get_setting(setting, &body, sizeof body) != sizeof body || !settings_of(&body, &settings) ||
        check_new_endpoint(id, body.home, &settings, NULL) != CORE_OK ||
        make_endpoint(id, network_find_switch(body.home), &settings) == NULL) {
        plat_log(LOG_WARN, "network: the store's endpoint %.36s cannot be made", id);
    }
}

static void load_all(const char *prefix, void (*load)(const char *name))
{
    const char *name = prefix;

    while ((name = keeper()->next_setting(name)) != NULL && strncmp(name, prefix, strlen(prefix)) == 0) {
        load(name + strlen(prefix));
    }
}

void network_load(void)
{
    if (keeper() != NULL) {
        load_all(SWITCH_PREFIX, load_switch);
        load_all(ENDPOINT_PREFIX, load_endpoint);
    }
}

// --- adapters ---

static bool mac_taken(const struct network_switch *home, const uint8_t mac[6])
{
    if (home == switches && memcmp(mac, node_mac, sizeof node_mac) == 0) {
        return true;
    }
    for (const struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        for (unsigned i = 0; i < s->cfg.nic_count; i++) {
            const struct network_adapter *a = &s->cfg.nic[i];

            if (a->home == home && memcmp(a->settings.mac, mac, 6) == 0) {
                return true;
            }
        }
    }
    return false;
}

// A random address that is locally administered and not a group's (IEEE 802, 8.2).
static void make_mac(const struct network_switch *home, uint8_t mac[6])
{
    do {
        plat_random(mac, 6);
        mac[0] = (uint8_t)((mac[0] & 0xfc) | 0x02);
    } while (mac_taken(home, mac));
}

enum core_status network_check_adapter(const char *endpoint, const uint8_t mac[6], struct core_error *error)
{
    const struct network_endpoint *e = endpoint[0] != '\0' ? network_find_endpoint(endpoint) : NULL;
    const struct network_switch *home = e != NULL ? e->home : switches;

    if (endpoint[0] != '\0' && e == NULL) {
        return core_fail(error, CORE_INVALID, "there is no network endpoint %.40s on this node", endpoint);
    }
    if (e != NULL && e->used) {
        return core_fail(error, CORE_IN_USE, "network endpoint %s is used by another adapter", e->id);
    }
    if (home->adapters >= NETWORK_ADAPTERS_MAX) {
        return core_fail(error, CORE_LIMIT, "switch '%s' has %u adapters already", home->name,
                         NETWORK_ADAPTERS_MAX);
    }
    if (is_zero(mac) && e != NULL) {
        mac = e->settings.mac;
    }
    if (!is_zero(mac) && mac_taken(home, mac)) {
        return core_fail(error, CORE_IN_USE,
                         "MAC address %02X-%02X-%02X-%02X-%02X-%02X is taken on switch '%s'", mac[0], mac[1],
                         mac[2], mac[3], mac[4], mac[5], home->name);
    }
    return CORE_OK;
}

void network_take(struct network_adapter *a, const char *endpoint, const uint8_t mac[6])
{
    struct network_endpoint *e = endpoint[0] != '\0' ? network_find_endpoint(endpoint) : NULL;
    struct switch_port_settings settings = e != NULL ? e->settings
                                                     : (struct switch_port_settings){.guarded = true};

    if (!is_zero(mac)) {
        memcpy(settings.mac, mac, sizeof settings.mac);
    }
    *a = (struct network_adapter){
        .home = e != NULL ? e->home : switches, .endpoint = e, .settings = settings};
    if (is_zero(settings.mac)) {
        make_mac(a->home, a->settings.mac);
    }
    a->home->adapters++;
    if (e != NULL) {
        e->used = true;
    }
}

void network_release(struct network_adapter *a)
{
    if (a->home != NULL) {
        a->home->adapters--;
    }
    if (a->endpoint != NULL) {
        a->endpoint->used = false;
    }
    a->home = NULL;
    a->endpoint = NULL;
}

// --- ports ---

static const struct switch_port *uplink, *management;

void network_set_node_ports(const struct switch_port *of_nic, const struct switch_port *of_address)
{
    uplink = of_nic;
    management = of_address;
}

static void node_ports(void (*fn)(void *arg, const struct network_port *p), void *arg)
{
    const struct network_port nic = {.uplink = true, .port = uplink}, address = {.port = management};

    if (uplink != NULL) {
        fn(arg, &nic);
        fn(arg, &address);
    }
}

void network_each_port(const struct network_switch *s, void (*fn)(void *arg, const struct network_port *p),
                       void *arg)
{
    if (s == switches) {
        node_ports(fn, arg);
    }
    for (const struct system *i = system_next(NULL); i != NULL; i = system_next(i)) {
        for (unsigned n = 0; n < i->cfg.nic_count && i->partition.attached; n++) {
            const struct network_adapter *a = &i->cfg.nic[n];
            const struct network_port p = {
                .system = i, .adapter = n, .endpoint = a->endpoint, .port = i->partition.vm->nic[n].port};

            if (a->home == s) {
                fn(arg, &p);
            }
        }
    }
}

bool network_dhcp_address(const struct switch_port *p, char text[NETWORK_IPV4_TEXT])
{
    uint32_t a = __atomic_load_n(&p->dhcp_address, __ATOMIC_RELAXED);

    snprintf(text, NETWORK_IPV4_TEXT, "%u.%u.%u.%u", (unsigned)(a >> 24), (unsigned)(a >> 16 & 255),
             (unsigned)(a >> 8 & 255), (unsigned)(a & 255));
    return a != 0;
}

void network_vlans_text(const struct switch_port_settings *s, char text[NETWORK_VLANS_TEXT])
{
    size_t length = 0;

    text[0] = '\0';
    for (uint16_t vlan = 1, last; vlan < SWITCH_VLANS; vlan = (uint16_t)(last + 1)) {
        last = vlan;
        if (!switch_vlan_allowed(s, vlan)) {
            continue;
        }
        while (last + 1u < SWITCH_VLANS && switch_vlan_allowed(s, (uint16_t)(last + 1))) {
            last++;
        }
        if (length + 16 > NETWORK_VLANS_TEXT) {
            snprintf(text + length, NETWORK_VLANS_TEXT - length, ",...");
            return;
        }
        length += (size_t)snprintf(text + length, NETWORK_VLANS_TEXT - length, "%s%u", length > 0 ? "," : "",
                                   (unsigned)vlan);
        if (last > vlan) {
            length += (size_t)snprintf(text + length, NETWORK_VLANS_TEXT - length, "-%u", (unsigned)last);
        }
    }
}

// 1 .. 4094; false if there is no such number.
static bool read_vlan(const char **text, unsigned *vlan)
{
    *vlan = 0;
    while (isdigit((unsigned char)**text) && *vlan < SWITCH_VLANS) {
        *vlan = *vlan * 10 + (unsigned)(*(*text)++ - '0');
    }
    return *vlan >= 1 && *vlan < SWITCH_VLANS;
}

bool network_read_vlans(const char *text, struct switch_port_settings *s)
{
    unsigned first, last;

    memset(s->tagged, 0, sizeof s->tagged);
    while (read_vlan(&text, &first)) {
        last = first;
        if (*text == '-' && (text++, !read_vlan(&text, &last) || last < first)) {
            return false;
        }
        for (; first <= last; first++) {
            switch_vlan_allow(s, (uint16_t)first);
        }
        if (*text == '\0') {
            return true;
        }
        if (*text++ != ',') {
            return false;
        }
    }
    return false;
}
