// SPDX-License-Identifier: Apache-2.0
// keelctl switch ... and endpoint ...: virtual switches and how adapters are connected to them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "tools/keelctl/json.h"
#include "tools/keelctl/list.h"
#include "tools/keelctl/operation.h"
#include "tools/keelctl/out.h"

#define SWITCHES "/v1/switches"
#define ENDPOINTS "/v1/endpoints"
#define ID_TEXT 37

static enum status put(struct client *c, const struct options *o, const char *path, cJSON *body,
                       const char *name)
{
    char *text = cJSON_PrintUnformatted(body);
    struct answer a;
    enum status status = client_request(c, "PUT", path, text, &a);

    if (status == STATUS_OK && o->output == OUTPUT_JSON) {
        printf("%s\n", a.body);
    } else if (status == STATUS_OK && o->output == OUTPUT_NAME) {
        printf("%s\n", json_shown(a.json, name));
    } else if (status == STATUS_OK && !o->quiet) {
        print_clean(stdout, "%s: ", json_shown(a.json, name));
        puts("created");
    }
    answer_free(&a);
    free(text);
    cJSON_Delete(body);
    return status;
}

// --- switches ---

static void switch_row(struct table *t, const cJSON *item)
{
    table_cell(t, "%s", json_shown(item, "Name"));
    table_cell(t, "%s", json_shown(item, "Type"));
    table_cell(t, "%.0f", json_number(item, "Endpoints"));
    table_cell(t, "%.0f", json_number(item, "Adapters"));
}

enum status switch_list(struct client *c, const struct options *o, char **arguments)
{
    static const char *const headers[] = {"NAME", "TYPE", "ENDPOINTS", "ADAPTERS", NULL};
    static const struct listing listing = {headers, "Switches", switch_row};

    (void)arguments;
    return list_show(c, o, SWITCHES, &listing);
}

static double all_dropped(const cJSON *port)
{
    const cJSON *counter;
    double sum = 0;

    cJSON_ArrayForEach(counter, json_at(port, "Dropped"))
    {
        sum += cJSON_IsNumber(counter) ? counter->valuedouble : 0;
    }
    return sum;
}

static void port_row(struct table *t, const cJSON *port)
{
    const char *system = json_text(port, "SystemId"), *tagged = json_text(port, "TaggedVlans");

    if (system != NULL) {
        table_cell(t, "%s #%.0f", system, json_number(port, "Adapter"));
    } else {
        table_cell(t, "(%s)", json_shown(port, "User"));
    }
    table_cell(t, "%s", json_shown(port, "MacAddress"));
    table_cell(t, "%s", json_shown(port, "IPv4Address"));
    table_cell(t, "%.0f%s%s", json_number(port, "Vlan"), tagged != NULL ? " + " : "",
               tagged != NULL ? tagged : "");
    table_cell(t, "%.0f", json_number(port, "SentFrames"));
    table_cell(t, "%s", bytes_text(json_number(port, "SentBytes")));
    table_cell(t, "%.0f", json_number(port, "ReceivedFrames"));
    table_cell(t, "%s", bytes_text(json_number(port, "ReceivedBytes")));
    table_cell(t, "%.0f", all_dropped(port));
}

enum status switch_show(struct client *c, const struct options *o, char **arguments)
{
    static const char *const headers[] = {"PORT", "MAC",      "IPV4", "VLAN",    "SENT",
                                          "",     "RECEIVED", "",     "DROPPED", NULL};
    static const struct listing listing = {headers, "Ports", port_row};
    char *path = client_path(SWITCHES "/", arguments[0], "");
    enum status status = list_show(c, o, path, &listing);

    free(path);
    return status;
}

enum status switch_create(struct client *c, const struct options *o, char **arguments)
{
    char *path = client_path(SWITCHES "/", arguments[0], "");
    cJSON *body = cJSON_CreateObject();
    enum status status;

    cJSON_AddStringToObject(body, "Type", "Private");
    status = put(c, o, path, body, "Name");
    free(path);
    return status;
}

enum status switch_delete(struct client *c, const struct options *o, char **arguments)
{
    (void)o;
    return item_delete(c, SWITCHES "/", arguments[0]);
}

// --- endpoints ---

static void endpoint_row(struct table *t, const cJSON *item)
{
    table_cell(t, "%s", json_shown(item, "Id"));
    table_cell(t, "%s", json_shown(item, "Switch"));
    table_cell(t, "%s", json_shown(item, "MacAddress"));
    table_cell(t, "%.0f", json_number(item, "Vlan"));
    table_cell(t, "%s", json_shown(item, "TaggedVlans"));
    table_cell(t, "%.0f", json_number(item, "BytesPerSecond"));
    table_cell(t, "%s", cJSON_IsTrue(json_at(item, "InUse")) ? "yes" : "no");
}

enum status endpoint_list(struct client *c, const struct options *o, char **arguments)
{
    static const char *const headers[] = {"ID", "SWITCH", "MAC", "VLAN", "TAGGED", "BYTES/S", "USED", NULL};
    static const struct listing listing = {headers, "Endpoints", endpoint_row};

    (void)arguments;
    return list_show(c, o, ENDPOINTS, &listing);
}

// A random GUID (RFC 9562, version 4).
static bool make_id(char text[ID_TEXT])
{
    uint8_t b[16];

    if (getrandom(b, sizeof b, 0) != sizeof b) {
        complain("no random numbers");
        return false;
    }
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    for (unsigned i = 0, at = 0; i < sizeof b; i++) {
        at += (unsigned)snprintf(text + at, ID_TEXT - at, "%s%02x",
                                 i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
    }
    return true;
}

static bool add_number(cJSON *body, const char *key, const char *option, const char *text, uint64_t max)
{
    uint64_t value;

    if (text == NULL) {
        return true;
    }
    if (!parse_number(option, text, max, &value)) {
        return false;
    }
    cJSON_AddNumberToObject(body, key, (double)value);
    return true;
}

// NULL: wrong, and said.
static cJSON *endpoint_body(const struct options *o)
{
    cJSON *body = cJSON_CreateObject();

    cJSON_AddStringToObject(body, "Switch", o->on_switch != NULL ? o->on_switch : "default");
    if (o->mac != NULL) {
        cJSON_AddStringToObject(body, "MacAddress", o->mac);
    }
    if (o->tagged != NULL) {
        cJSON_AddStringToObject(body, "TaggedVlans", o->tagged);
    }
    if (o->allow_spoofing) {
        cJSON_AddTrueToObject(body, "AllowSpoofing");
    }
    if (!add_number(body, "Vlan", "vlan", o->vlan, 4094) ||
        !add_number(body, "BytesPerSecond", "rate", o->rate, 12500000000ull)) {
        cJSON_Delete(body);
        return NULL;
    }
    return body;
}

enum status endpoint_create(struct client *c, const struct options *o, char **arguments)
{
    char id[ID_TEXT], *path;
    cJSON *body = endpoint_body(o);
    enum status status;

    if (body == NULL || (arguments[0] == NULL && !make_id(id))) {
        cJSON_Delete(body);
        return STATUS_USAGE;
    }
    path = client_path(ENDPOINTS "/", arguments[0] != NULL ? arguments[0] : id, "");
    status = put(c, o, path, body, "Id");
    free(path);
    return status;
}

enum status endpoint_delete(struct client *c, const struct options *o, char **arguments)
{
    (void)o;
    return item_delete(c, ENDPOINTS "/", arguments[0]);
}
