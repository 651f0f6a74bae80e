// SPDX-License-Identifier: Apache-2.0
// Operations: what a node does for longer than one request.
#ifndef KEELCTL_OPERATION_H
#define KEELCTL_OPERATION_H

#include "tools/keelctl/client.h"

// Reads a number of an option's argument; false and said if it is none in 0..max.
bool parse_number(const char *option, const char *text, uint64_t max, uint64_t *value);

// POSTs to `path` and, unless --no-wait, waits for the operation that it starts, for at most --timeout seconds.
// *result (may be NULL) receives the operation's last state.
enum status operation_run(struct client *c, const struct options *o, const char *path, const char *body,
                          struct answer *result);

#endif
