// SPDX-License-Identifier: Apache-2.0
// Strict reading of JSON documents: cJSON behind a check for what it lets through.
//
// cJSON accepts duplicate keys, numbers that a double cannot hold, \u0000 in strings (which cuts them
// short), raw control characters and deep nesting; here all of these are errors with a place. All memory
// of a document comes from one arena of bounded size. Control plane only.
#ifndef MGMT_HCS_JSON_READ_H
#define MGMT_HCS_JSON_READ_H

#include <cjson/cJSON.h>

#include <keelson/types.h>

#define JSON_DEPTH_MAX 32
#define JSON_TEXT_MAX (256u << 10)   // bytes of a document
#define JSON_MEMBERS_MAX 1024u       // of one object or array
#define JSON_INTEGER_MAX (1ll << 53) // magnitude that a double holds exactly

struct json_arena;

struct json_document {
    cJSON *root;
    struct json_arena *arena;
};

struct json_error {
    unsigned line, column; // from 1; 0: not known
    char text[160];
};

// Parses `length` bytes, behind which there must be a NUL. On success the document must be freed. On failure *error says why and where and
// *out needs no freeing.
MUST_CHECK bool json_read(const char *text, size_t length, struct json_document *out,
                          struct json_error *error);
void json_document_free(struct json_document *doc);

#endif
