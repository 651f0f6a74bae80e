// SPDX-License-Identifier: Apache-2.0
// Short ways into a node's documents; what is missing reads as NULL or 0.
#ifndef KEELCTL_JSON_H
#define KEELCTL_JSON_H

#include <cjson/cJSON.h>

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

#endif
