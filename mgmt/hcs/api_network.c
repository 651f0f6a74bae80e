// SPDX-License-Identifier: Apache-2.0
// Switches and endpoints over HTTP.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/hcs/api_priv.h"

static void fail(struct http_request *r, const struct core_error *error)
{
    if (error->status == CORE_NOT_FOUND) { // not HCS_E_SYSTEM_NOT_FOUND
        api_fail(r, HR_E_NOT_FOUND, error->text);
    } else if (error->status == CORE_EXISTS) {
        api_fail(r, HR_E_BUSY, error->text);
    } else {
        api_fail_core(r, error);
    }
}

// --- documents ---

static void write_mac(struct json_writer *w, const uint8_t mac[6])
{
    static const uint8_t none[6];
    char text[18];

    if (memcmp(mac, none, sizeof none) != 0) {
        snprintf(text, sizeof text, "%02X-%02X-%02X-%02X-%02X-%02X", mac[0], mac[1], mac[2], mac[3], mac[4],
                 mac[5]);
        json_string(w, "MacAddress", text);
    }
}

static void write_settings(struct json_writer *w, const struct switch_port_settings *s)
{
    char vlans[NETWORK_VLANS_TEXT];

    write_mac(w, s->mac);
    json_uint(w, "Vlan", s->vlan);
    if (s->trunk) {
        network_vlans_text(s, vlans);
        json_string(w, "TaggedVlans", vlans);
    }
    json_bool(w, "AllowSpoofing", !s->guarded);
    if (s->rate != 0) {
        json_uint(w, "BytesPerSecond", s->rate);
    }
}

static void write_switch_fields(struct json_writer *w, const struct network_switch *s)
{
    json_string(w, "Name", s->name);
    json_string(w, "Type", s->type == NETWORK_EXTERNAL ? "External" : "Private");
    json_uint(w, "Endpoints", s->endpoints);
    json_uint(w, "Adapters", s->adapters);
}

static void write_switch(struct json_writer *w, const struct network_switch *s)
{
    json_open(w, NULL, '{');
    write_switch_fields(w, s);
    json_close(w, '}');
}

static void write_counters(struct json_writer *w, const struct switch_port_counters *c)
{
    json_uint(w, "SentFrames", c->rx_frames); // by the port's user
    json_uint(w, "SentBytes", c->rx_bytes);
    json_uint(w, "ReceivedFrames", c->tx_frames);
    json_uint(w, "ReceivedBytes", c->tx_bytes);
    json_open(w, "Dropped", '{');
    json_uint(w, "NoRoom", c->dropped_no_room);
    json_uint(w, "TooLong", c->dropped_too_long);
    json_uint(w, "Spoofed", c->dropped_spoofed);
    json_uint(w, "Rate", c->dropped_rate);
    json_uint(w, "Vlan", c->dropped_vlan);
    json_uint(w, "Malformed", c->dropped_malformed);
    json_uint(w, "Reserved", c->dropped_reserved);
    json_close(w, '}');
}

static void write_port(void *arg, const struct network_port *p)
{
    struct json_writer *w = arg;
    char address[NETWORK_IPV4_TEXT];

    json_open(w, NULL, '{');
    json_string(w, "User", p->system != NULL ? "System" : p->uplink ? "Uplink" : "Management");
    if (p->system != NULL) {
        json_string(w, "SystemId", p->system->id);
        json_uint(w, "Adapter", p->adapter);
    }
    if (p->endpoint != NULL) {
        json_string(w, "EndpointId", p->endpoint->id);
    }
    if (network_dhcp_address(p->port, address)) {
        json_string(w, "IPv4Address", address);
    }
    write_settings(w, &p->port->settings);
    write_counters(w, &p->port->counters);
    json_close(w, '}');
}

static void write_endpoint(struct json_writer *w, const struct network_endpoint *e)
{
    json_open(w, NULL, '{');
    json_string(w, "Id", e->id);
    json_string(w, "Switch", e->home->name);
    write_settings(w, &e->settings);
    json_bool(w, "InUse", e->used);
    json_close(w, '}');
}

// --- reading ---

void api_switch_list(struct http_request *r)
{
    struct json_writer w = {0};

    json_open(&w, NULL, '{');
    json_open(&w, "Switches", '[');
    for (const struct network_switch *s = network_next_switch(NULL); s != NULL; s = network_next_switch(s)) {
        write_switch(&w, s);
    }
    json_close(&w, ']');
    json_close(&w, '}');
    api_answer(r, 200, &w);
}

void api_switch_get(struct http_request *r)
{
    const char *name = http_param(r, "name");
    const struct network_switch *s = network_find_switch(name);
    struct json_writer w = {0};
    struct core_error error;

    if (s == NULL) {
        core_fail(&error, CORE_NOT_FOUND, "there is no switch '%.64s'", name);
        fail(r, &error);
        return;
    }
    json_open(&w, NULL, '{');
    write_switch_fields(&w, s);
    json_open(&w, "Ports", '[');
    network_each_port(s, write_port, &w);
    json_close(&w, ']');
    json_close(&w, '}');
    api_answer(r, 200, &w);
}

void api_endpoint_list(struct http_request *r)
{
    struct json_writer w = {0};

    json_open(&w, NULL, '{');
    json_open(&w, "Endpoints", '[');
    for (const struct network_endpoint *e = network_next_endpoint(NULL); e != NULL;
         e = network_next_endpoint(e)) {
        write_endpoint(&w, e);
    }
    json_close(&w, ']');
    json_close(&w, '}');
    api_answer(r, 200, &w);
}

void api_endpoint_get(struct http_request *r)
{
    const char *id = http_param(r, "id");
    const struct network_endpoint *e = network_find_endpoint(id);
    struct json_writer w = {0};
    struct core_error error;

    if (e == NULL) {
        core_fail(&error, CORE_NOT_FOUND, "there is no endpoint %.40s", id);
        fail(r, &error);
        return;
    }
    write_endpoint(&w, e);
    api_answer(r, 200, &w);
}

// --- changes: a request that waits for the store; the client may go away meanwhile ---

struct change {
    struct http_request *request; // NULL: nobody waits any more
    bool delete, endpoint;
    char name[NETWORK_NAME_MAX + 1];
};

static void change_gone(struct http_request *r)
{
    struct change *c = http_user(r);

    c->request = NULL;
}

// NULL: the request is answered.
static struct change *change_new(struct http_request *r, const char *name, bool endpoint, bool delete)
{
    struct change *c = calloc(1, sizeof *c);

    if (c == NULL) {
        api_fail(r, HR_E_OUTOFMEMORY, NULL);
        return NULL;
    }
    *c = (struct change){.request = r, .delete = delete, .endpoint = endpoint};
    snprintf(c->name, sizeof c->name, "%s", name);
    http_set_user(r, c);
    http_on_abort(r, change_gone);
    return c;
}

static void answer_made(struct http_request *r, const struct change *c)
{
    struct json_writer w = {0};

    if (c->endpoint) {
        write_endpoint(&w, network_find_endpoint(c->name));
    } else {
        write_switch(&w, network_find_switch(c->name));
    }
    api_answer(r, 201, &w);
}

static void changed(void *arg, const struct core_error *error)
{
    struct change *c = arg;

    if (c->request != NULL && error != NULL) {
        fail(c->request, error);
    } else if (c->request != NULL && c->delete) {
        http_respond(c->request, 204, NULL, NULL, 0);
    } else if (c->request != NULL) {
        answer_made(c->request, c);
    }
    free(c);
}

// What came of asking the core for it.
static void began(struct change *c, enum core_status status, const struct core_error *error)
{
    if (status != CORE_OK) {
        changed(c, error);
    }
}

static void make_switch(struct http_request *r, const cJSON *root)
{
    const cJSON *type = root != NULL ? cJSON_GetObjectItemCaseSensitive(root, "Type") : NULL;
    struct core_error error;
    struct change *c;

    if (type != NULL && strcmp(type->valuestring, "Private") != 0) {
        static const char *const known[] = {"External", "Internal", "NAT"};
        bool is_known = false;
        char message[160];

        for (size_t i = 0; i < ARRAY_LEN(known); i++) {
            is_known |= strcmp(type->valuestring, known[i]) == 0;
        }
        snprintf(message, sizeof message,
                 "switches of type %.20s cannot be made on this node; Private ones can", type->valuestring);
        api_fail(r, is_known ? HR_E_NOTIMPL : HR_E_INVALIDARG, message);
        return;
    }
    c = change_new(r, http_param(r, "name"), false, false);
    if (c != NULL) {
        began(c, network_add_switch(http_param(r, "name"), changed, c, &error), &error);
    }
}

void api_switch_put(struct http_request *r)
{
    api_with_document(r, HCS_TYPE_SwitchSettings, make_switch);
}

void api_switch_delete(struct http_request *r)
{
    struct change *c = change_new(r, http_param(r, "name"), false, true);
    struct core_error error;

    if (c != NULL) {
        began(c, network_delete_switch(http_param(r, "name"), changed, c, &error), &error);
    }
}

// False: the request is answered.
static bool read_settings(struct http_request *r, const cJSON *root, struct switch_port_settings *s)
{
    const cJSON *mac = cJSON_GetObjectItemCaseSensitive(root, "MacAddress");
    const cJSON *vlan = cJSON_GetObjectItemCaseSensitive(root, "Vlan");
    const cJSON *tagged = cJSON_GetObjectItemCaseSensitive(root, "TaggedVlans");
    const cJSON *rate = cJSON_GetObjectItemCaseSensitive(root, "BytesPerSecond");

    *s = (struct switch_port_settings){
        .guarded = !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(root, "AllowSpoofing")),
        .trunk = tagged != NULL,
        .vlan = vlan != NULL ? (uint16_t)vlan->valuedouble : 0,
        .rate = rate != NULL ? (uint64_t)rate->valuedouble : 0,
    };
    if (mac != NULL && !network_read_mac(mac->valuestring, s->mac)) {
        api_fail(r, HR_E_INVALIDARG, "$.MacAddress: expected a station's address such as 02-00-00-12-34-56");
        return false;
    }
    if (tagged != NULL && !network_read_vlans(tagged->valuestring, s)) {
        api_fail(r, HR_E_INVALIDARG, "$.TaggedVlans: expected VLANs from 1 to 4094 such as \"5,10-20\"");
        return false;
    }
    if (s->rate != 0 && s->rate < SWITCH_MIN_RATE) {
        api_fail(r, HR_E_INVALIDARG, "$.BytesPerSecond: expected at least 1000, or 0 for no limit");
        return false;
    }
    return true;
}

static void make_endpoint(struct http_request *r, const cJSON *root)
{
    struct switch_port_settings settings;
    struct core_error error;
    struct change *c;

    if (root == NULL) {
        api_fail(r, HR_E_INVALIDARG, "send an EndpointSettings document as body");
        return;
    }
    if (!read_settings(r, root, &settings)) {
        return;
    }
    c = change_new(r, http_param(r, "id"), true, false);
    if (c != NULL) {
        began(c,
              network_add_endpoint(http_param(r, "id"),
                                   cJSON_GetObjectItemCaseSensitive(root, "Switch")->valuestring, &settings,
                                   changed, c, &error),
              &error);
    }
}

void api_endpoint_put(struct http_request *r)
{
    api_with_document(r, HCS_TYPE_EndpointSettings, make_endpoint);
}

void api_endpoint_delete(struct http_request *r)
{
    struct change *c = change_new(r, http_param(r, "id"), true, true);
    struct core_error error;

    if (c != NULL) {
        began(c, network_delete_endpoint(http_param(r, "id"), changed, c, &error), &error);
    }
}
