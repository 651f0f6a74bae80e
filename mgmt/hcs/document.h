// SPDX-License-Identifier: Apache-2.0
// HCS documents in and out: ComputeSystem to a system's configuration, queries, properties.
#ifndef MGMT_HCS_DOCUMENT_H
#define MGMT_HCS_DOCUMENT_H

#include "mgmt/core/system.h"
#include "mgmt/hcs/schema.h"

// Reads text as a document of `type` and checks it. On success *doc must be freed. On failure *problems
// holds at least one problem.
MUST_CHECK bool document_read(enum hcs_type_id type, const char *text, size_t length,
                              struct json_document *doc, struct schema_problems *problems);

// Decodes a checked ComputeSystem document. Strings in *cfg belong to `root`.
MUST_CHECK bool document_decode_system(const cJSON *root, struct system_config *cfg,
                                       struct schema_problems *problems);

// Does a system match a checked SystemQuery? root NULL matches all.
bool document_query_matches(const cJSON *root, const struct system *s);

enum document_properties { // what a Properties document holds beyond the basic properties
    DOCUMENT_MEMORY = 1,
    DOCUMENT_STATISTICS = 2,
    DOCUMENT_TERMINATE_ON_LAST_CLOSE = 4,
};
// Set of the above that a checked System_PropertyQuery asks for (names it does not serve are refused).
MUST_CHECK bool document_query_properties(const cJSON *root, unsigned *set, struct schema_problems *problems);
void document_write_properties(struct json_writer *w, const char *key, const struct system *s, unsigned set);
// SystemExitStatus of a stopped system.
void document_write_exit(struct json_writer *w, const char *key, const struct system *s);

#endif
