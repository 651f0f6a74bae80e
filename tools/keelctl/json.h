// SPDX-License-Identifier: Apache-2.0
// Short ways into a node's documents; what is missing reads as NULL or 0.
#ifndef KEELCTL_JSON_H
#define KEELCTL_JSON_H

#include <cjson/cJSON.h>
#include <stdint.h>

static inline const cJSON *json_at(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static inline const char *json_text(const cJSON *object, const char *key)
{
    return cJSON_GetStringValue(json_at(object, key));
}

// For output: never NULL.
static inline const char *json_shown(const cJSON *object, const char *key)
{
    const char *text = json_text(object, key);

    return text != NULL && text[0] != '\0' ? text : "-";
}

static inline double json_number(const cJSON *object, const char *key)
{
    const cJSON *item = json_at(object, key);

    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

// A count; what is no such number reads as the nearest that is.
static inline uint64_t json_count(const cJSON *object, const char *key)
{
    double value = json_number(object, key);

    return value >= 0x1p63 ? UINT64_MAX >> 1 : value > 0 ? (uint64_t)value : 0;
}

#endif
