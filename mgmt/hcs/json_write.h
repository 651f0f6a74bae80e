// SPDX-License-Identifier: Apache-2.0
// Writes JSON text into a growing buffer, without building a tree.
//
// Errors (no memory) stick: write everything, look once at the end. `key` is NULL inside arrays and for
// the outermost value. Integers are written exactly. Strings must be UTF-8; what is not becomes U+FFFD.
#ifndef MGMT_HCS_JSON_WRITE_H
#define MGMT_HCS_JSON_WRITE_H

#include <keelson/types.h>

struct json_writer { // all zero is ready for use
    char *text;      // NUL-terminated, from malloc(); whoever takes it sets this to NULL
    size_t length, capacity;
    bool failed;
    bool comma; // the next value follows another one
};

void json_free_text(struct json_writer *w);
void json_open(struct json_writer *w, const char *key, char bracket); // '{' or '['
void json_close(struct json_writer *w, char bracket);                 // '}' or ']'
void json_string(struct json_writer *w, const char *key, const char *value);
void json_int(struct json_writer *w, const char *key, int64_t value);
void json_uint(struct json_writer *w, const char *key, uint64_t value);
void json_bool(struct json_writer *w, const char *key, bool value);
void json_null(struct json_writer *w, const char *key);
void json_hex(struct json_writer *w, const char *key, const uint8_t *bytes, size_t count); // as a string
void json_uuid(struct json_writer *w, const char *key, const uint8_t uuid[16]);
// Wall clock in milliseconds as RFC 3339 UTC text; null when 0.
void json_time(struct json_writer *w, const char *key, int64_t unix_ms);

#endif
