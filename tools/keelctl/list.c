// SPDX-License-Identifier: Apache-2.0
// What the node has of a kind, as a table; and its removal.
#include "tools/keelctl/list.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/keelctl/json.h"

enum status list_show(struct client *c, const struct options *o, const char *path, const struct listing *l)
{
    struct answer a;
    enum status status = client_request(c, "GET", path, NULL, &a);
    const cJSON *items, *item;
    struct table t;

    if (status == STATUS_OK && o->output == OUTPUT_JSON) {
        printf("%s\n", a.body);
    } else if (status == STATUS_OK) {
        items = l->items == NULL ? a.json : json_at(a.json, l->items);
        table_init(&t, l->headers);
        cJSON_ArrayForEach(item, items)
        {
            l->row(&t, item);
        }
        table_print(&t, o->output == OUTPUT_NAME);
    }
    answer_free(&a);
    return status;
}

enum status item_delete(struct client *c, const char *prefix, const char *name)
{
    char *path = client_path(prefix, name, "");
    struct answer a;
    enum status status = client_request(c, "DELETE", path, NULL, &a);

    answer_free(&a);
    free(path);
    return status;
}
