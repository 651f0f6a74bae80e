// SPDX-License-Identifier: Apache-2.0
// Walks a document along the schema tables.
#include "mgmt/hcs/schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "mgmt/hcs/result.h"

#include <gen/hcs_schema.h>

struct walk {
    struct schema_problems *out;
    char path[PROBLEM_PATH_MAX];
    size_t length;
    unsigned ignore_support; // inside something that is refused as a whole: check its form only
};

static void check_object(struct walk *w, const struct hcs_type *type, const cJSON *value);

// --- problems ---

static void value_text(const cJSON *value, char *buf, size_t cap)
{
    if (value == NULL) {
        buf[0] = '\0';
    } else if (cJSON_IsString(value)) {
        snprintf(buf, cap, "\"%.*s\"%s", (int)cap - 8, value->valuestring,
                 strlen(value->valuestring) > cap - 8 ? "..." : "");
    } else if (cJSON_IsNumber(value)) {
        snprintf(buf, cap, "%.17g", value->valuedouble);
    } else if (cJSON_IsBool(value)) {
        snprintf(buf, cap, "%s", cJSON_IsTrue(value) ? "true" : "false");
    } else {
        snprintf(buf, cap, "%s",
                 cJSON_IsNull(value)    ? "null"
                 : cJSON_IsArray(value) ? "an array"
                                        : "an object");
    }
}

void schema_problem_add(struct schema_problems *out, hresult_t hr, const char *path, const cJSON *value,
                        const char *expected, const char *remedy)
{
    struct schema_problem *p;

    if (out->count == PROBLEMS_MAX) {
        return;
    }
    p = &out->list[out->count++];
    p->hr = hr;
    snprintf(p->path, sizeof p->path, "%s", path);
    value_text(value, p->value, sizeof p->value);
    snprintf(p->expected, sizeof p->expected, "%s", expected);
    snprintf(p->remedy, sizeof p->remedy, "%s", remedy);
}

void schema_problem_text(const struct schema_problem *p, char *buf, size_t cap)
{
    if (p->value[0] == '\0') {
        snprintf(buf, cap, "%s: expected %s; %s", p->path, p->expected, p->remedy);
    } else {
        snprintf(buf, cap, "%s: %s; expected %s; %s", p->path, p->value, p->expected, p->remedy);
    }
}

hresult_t schema_problems_write(const struct schema_problems *problems, struct json_writer *w)
{
    struct result_event events[PROBLEMS_MAX];

    for (size_t i = 0; i < problems->count; i++) {
        const struct schema_problem *p = &problems->list[i];

        schema_problem_text(p, events[i].message, sizeof events[i].message);
        events[i].data[0] = p->path;
        events[i].data[1] = p->value;
        events[i].data[2] = p->expected;
        events[i].data[3] = p->remedy;
    }
    result_error_write(w, NULL, problems->list[0].hr, events[0].message, events, problems->count);
    return problems->list[0].hr;
}

static void problem(struct walk *w, hresult_t hr, const cJSON *value, const char *expected,
                    const char *remedy)
{
    schema_problem_add(w->out, hr, w->path, value, expected, remedy);
}

// --- paths ---

// Appends to the path and returns the length to go back to. Keys come from the client: what is not plain
// ASCII is shown as '?'.
static size_t path_push(struct walk *w, const char *before, const char *name, const char *after)
{
    size_t old = w->length;
    int n = snprintf(w->path + w->length, sizeof w->path - w->length, "%s%.80s%s", before, name, after);

    w->length = MIN(w->length + (size_t)MAX(n, 0), sizeof w->path - 1);
    for (size_t i = old; i < w->length; i++) {
        if (w->path[i] < 0x20 || w->path[i] > 0x7e) {
            w->path[i] = '?';
        }
    }
    return old;
}

static void path_pop(struct walk *w, size_t old)
{
    w->length = old;
    w->path[old] = '\0';
}

// --- values ---

static void check_integer(struct walk *w, const struct hcs_property *p, const cJSON *value)
{
    char expected[80];

    snprintf(expected, sizeof expected, "an integer from %lld to %lld", (long long)p->low,
             (long long)p->high);
    if (!cJSON_IsNumber(value)) {
        problem(w, HR_HCS_E_INVALID_JSON, value, expected, "write the number without quotes");
    } else if (value->valuedouble != trunc(value->valuedouble)) {
        problem(w, HR_HCS_E_INVALID_JSON, value, expected, "write a number without a fraction");
    } else if (value->valuedouble < (double)p->low || value->valuedouble > (double)p->high) {
        problem(w, HR_E_INVALIDARG, value, expected, "choose a value in that range");
    }
}

static void check_enum(struct walk *w, const struct hcs_property *p, const cJSON *value)
{
    char expected[160];
    size_t n = (size_t)snprintf(expected, sizeof expected, "one of");

    for (const char *const *name = p->names; *name != NULL; name++) {
        if (cJSON_IsString(value) && strcmp(*name, value->valuestring) == 0) {
            return;
        }
        if (n < sizeof expected) {
            n += (size_t)snprintf(expected + n, sizeof expected - n, "%s \"%s\"", name == p->names ? "" : ",",
                                  *name);
        }
    }
    problem(w, HR_HCS_E_INVALID_JSON, value, expected, "write one of these names exactly");
}

static bool is_guid(const char *s)
{
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? s[i] != '-' : s[i] == '\0' || strchr("0123456789abcdefABCDEF", s[i]) == NULL) {
            return false;
        }
    }
    return s[36] == '\0';
}

static void check_one(struct walk *w, const struct hcs_property *p, const cJSON *value)
{
    switch (p->kind) {
    case HCS_KIND_OBJECT:
        check_object(w, &hcs_types[p->type], value);
        return;
    case HCS_KIND_ENUM:
        check_enum(w, p, value);
        return;
    case HCS_KIND_INTEGER:
        check_integer(w, p, value);
        return;
    case HCS_KIND_STRING:
        if (!cJSON_IsString(value)) {
            problem(w, HR_HCS_E_INVALID_JSON, value, "a string", "write the value in quotes");
        }
        return;
    case HCS_KIND_BOOLEAN:
        if (!cJSON_IsBool(value)) {
            problem(w, HR_HCS_E_INVALID_JSON, value, "true or false", "write true or false without quotes");
        }
        return;
    case HCS_KIND_GUID:
        if (!cJSON_IsString(value) || !is_guid(value->valuestring)) {
            problem(w, HR_HCS_E_INVALID_JSON, value, "a GUID",
                    "write it as \"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\"");
        }
        return;
    default:
        return; // HCS_KIND_ANY
    }
}

static void check_array(struct walk *w, const struct hcs_property *p, const cJSON *value)
{
    unsigned index = 0;

    if (!cJSON_IsArray(value)) {
        problem(w, HR_HCS_E_INVALID_JSON, value, "an array", "write the values in [ ]");
        return;
    }
    for (const cJSON *item = value->child; item != NULL; item = item->next) {
        char text[16];
        size_t old;

        snprintf(text, sizeof text, "%u", index++);
        old = path_push(w, "[", text, "]");
        check_one(w, p, item);
        path_pop(w, old);
    }
}

static void check_map(struct walk *w, const struct hcs_property *p, const cJSON *value)
{
    if (!cJSON_IsObject(value)) {
        problem(w, HR_HCS_E_INVALID_JSON, value, "an object", "write the entries as \"key\": value in { }");
        return;
    }
    for (const cJSON *item = value->child; item != NULL; item = item->next) {
        size_t old = path_push(w, "[\"", item->string, "\"]");

        check_one(w, p, item);
        path_pop(w, old);
    }
}

static void check_value(struct walk *w, const struct hcs_property *p, const cJSON *value)
{
    switch (p->shape) {
    case HCS_SHAPE_ARRAY:
        check_array(w, p, value);
        return;
    case HCS_SHAPE_MAP:
        check_map(w, p, value);
        return;
    default:
        check_one(w, p, value);
    }
}

// --- objects ---

static const struct hcs_property *property_find(const struct hcs_type *type, const char *name)
{
    for (uint16_t i = 0; i < type->property_count; i++) {
        if (strcmp(type->properties[i].name, name) == 0) {
            return &type->properties[i];
        }
    }
    return NULL;
}

static void unknown_property(struct walk *w, const struct hcs_type *type, const cJSON *value)
{
    char expected[160], remedy[160] = "remove it or correct its name";

    snprintf(expected, sizeof expected, "a property of %s", type->name);
    for (uint16_t i = 0; i < type->property_count; i++) {
        if (strcasecmp(type->properties[i].name, value->string) == 0) {
            snprintf(remedy, sizeof remedy, "names are case-sensitive: write \"%s\"",
                     type->properties[i].name);
        }
    }
    problem(w, HR_HCS_E_INVALID_JSON, value, expected, remedy);
}

static void check_support(struct walk *w, const struct hcs_property *p, const cJSON *value)
{
    if (w->ignore_support > 0) {
        return;
    }
    if (p->support == HCS_SUPPORT_UNAVAILABLE) {
        problem(w, HR_HCS_E_SERVICE_NOT_AVAILABLE, value, "no such property on this node", p->note);
    } else if (p->support == HCS_SUPPORT_NO) {
        char expected[96];

        snprintf(expected, sizeof expected, "nothing: %s is valid (schema 2.%u) but not implemented here",
                 p->name, p->since_minor);
        problem(w, HR_E_NOTIMPL, value, expected, "remove it");
    }
}

static void check_property(struct walk *w, const struct hcs_type *type, const cJSON *value)
{
    size_t old = path_push(w, ".", value->string, "");
    const struct hcs_property *p = property_find(type, value->string);

    if (p == NULL) {
        unknown_property(w, type, value);
    } else {
        bool refused = p->support == HCS_SUPPORT_NO || p->support == HCS_SUPPORT_UNAVAILABLE;

        w->ignore_support += refused || p->support == HCS_SUPPORT_HARMLESS;
        check_value(w, p, value);
        w->ignore_support -= refused || p->support == HCS_SUPPORT_HARMLESS;
        check_support(w, p, value);
    }
    path_pop(w, old);
}

static void check_required(struct walk *w, const struct hcs_type *type, const cJSON *value)
{
    for (uint16_t i = 0; i < type->property_count; i++) {
        const struct hcs_property *p = &type->properties[i];

        if (p->required && w->ignore_support == 0 &&
            cJSON_GetObjectItemCaseSensitive(value, p->name) == NULL) {
            size_t old = path_push(w, ".", p->name, "");

            problem(w, HR_HCS_E_INVALID_JSON, NULL, "a value: this property is required", "add it");
            path_pop(w, old);
        }
    }
}

static void check_object(struct walk *w, const struct hcs_type *type, const cJSON *value)
{
    if (!cJSON_IsObject(value)) {
        char expected[96];

        snprintf(expected, sizeof expected, "an object (%s)", type->name);
        problem(w, HR_HCS_E_INVALID_JSON, value, expected, "write its properties in { }");
        return;
    }
    for (const cJSON *item = value->child; item != NULL && w->out->count < PROBLEMS_MAX; item = item->next) {
        check_property(w, type, item);
    }
    check_required(w, type, value);
}

bool schema_check(enum hcs_type_id type, const cJSON *doc, struct schema_problems *out)
{
    struct walk w = {.out = out, .path = "$", .length = 1};

    out->count = 0;
    check_object(&w, &hcs_types[type], doc);
    return out->count == 0;
}
