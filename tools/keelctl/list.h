// SPDX-License-Identifier: Apache-2.0
// What the node has of a kind, as a table.
#ifndef KEELCTL_LIST_H
#define KEELCTL_LIST_H

#include "tools/keelctl/client.h"
#include "tools/keelctl/out.h"

struct listing {
    const char *const *headers; // ends with NULL
    const char *items;          // name of the array in the answer; NULL: the answer is one
    void (*row)(struct table *t, const cJSON *item); // adds as many cells as there are headers
};

// Asks for `path` and prints what --output wants: the answer, the first column, or all of the table.
enum status list_show(struct client *c, const struct options *o, const char *path, const struct listing *l);
// Deletes what is named `name` behind `prefix`.
enum status item_delete(struct client *c, const char *prefix, const char *name);

#endif
