// SPDX-License-Identifier: Apache-2.0
// JSON output (RFC 8259).
#include "mgmt/hcs/json_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool reserve(struct json_writer *w, size_t more)
{
    size_t capacity = w->capacity ? w->capacity : 512;
    char *grown;

    if (w->failed) {
        return false;
    }
    if (w->length + more + 1 <= w->capacity) {
        return true;
    }
    while (capacity < w->length + more + 1) {
        capacity *= 2;
    }
    grown = realloc(w->text, capacity);
    if (grown == NULL) {
        w->failed = true;
        return false;
    }
    w->text = grown;
    w->capacity = capacity;
    return true;
}

static void put(struct json_writer *w, const char *text, size_t length)
{
    if (reserve(w, length)) {
        memcpy(w->text + w->length, text, length);
        w->length += length;
        w->text[w->length] = '\0';
    }
}

// Length of the UTF-8 sequence at s (RFC 3629), 0 if it is none.
static size_t utf8_length(const uint8_t *s)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : 4;

    if (n == 4 && (s[0] < 0xf0 || s[0] > 0xf4)) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] > 0x8f)) {
        return 0;
    }
    return n;
}

static size_t put_character(struct json_writer *w, const uint8_t *s)
{
    size_t n = utf8_length(s);
    char escape[8];

    if (n == 0) {
        put(w, "\xef\xbf\xbd", 3);
        return 1;
    }
    if (*s == '"' || *s == '\\') {
        escape[0] = '\\';
        escape[1] = (char)*s;
        put(w, escape, 2);
    } else if (*s < 0x20 || *s == 0x7f) {
        snprintf(escape, sizeof escape, "\\u%04x", *s);
        put(w, escape, 6);
    } else {
        put(w, (const char *)s, n);
    }
    return n;
}

static void put_string(struct json_writer *w, const char *s)
{
    put(w, "\"", 1);
    while (*s != '\0') {
        s += put_character(w, (const uint8_t *)s);
    }
    put(w, "\"", 1);
}

static void begin_value(struct json_writer *w, const char *key)
{
    if (w->comma) {
        put(w, ",", 1);
    }
    if (key != NULL) {
        put_string(w, key);
        put(w, ":", 1);
    }
    w->comma = true;
}

void json_free_text(struct json_writer *w)
{
    free(w->text);
    *w = (struct json_writer){0};
}

void json_open(struct json_writer *w, const char *key, char bracket)
{
    begin_value(w, key);
    put(w, &bracket, 1);
    w->comma = false;
}

void json_close(struct json_writer *w, char bracket)
{
    put(w, &bracket, 1);
    w->comma = true;
}

void json_string(struct json_writer *w, const char *key, const char *value)
{
    begin_value(w, key);
    put_string(w, value);
}

static void put_formatted(struct json_writer *w, const char *key, const char *text)
{
    begin_value(w, key);
    put(w, text, strlen(text));
}

void json_int(struct json_writer *w, const char *key, int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)value);
    put_formatted(w, key, text);
}

void json_uint(struct json_writer *w, const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put_formatted(w, key, text);
}

void json_bool(struct json_writer *w, const char *key, bool value)
{
    put_formatted(w, key, value ? "true" : "false");
}

void json_null(struct json_writer *w, const char *key)
{
    put_formatted(w, key, "null");
}

static void put_hex(struct json_writer *w, const uint8_t *bytes, size_t count)
{
    char text[3];

    for (size_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, "%02x", bytes[i]);
        put(w, text, 2);
    }
}

void json_hex(struct json_writer *w, const char *key, const uint8_t *bytes, size_t count)
{
    begin_value(w, key);
    put(w, "\"", 1);
    put_hex(w, bytes, count);
    put(w, "\"", 1);
}

void json_uuid(struct json_writer *w, const char *key, const uint8_t uuid[16])
{
    static const uint8_t groups[] = {4, 2, 2, 2, 6};
    size_t at = 0;

    begin_value(w, key);
    put(w, "\"", 1);
    for (size_t i = 0; i < sizeof groups; i++) {
        if (i > 0) {
            put(w, "-", 1);
        }
        put_hex(w, uuid + at, groups[i]);
        at += groups[i];
    }
    put(w, "\"", 1);
}

void json_time(struct json_writer *w, const char *key, int64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;
    char text[48];

    if (unix_ms <= 0 || gmtime_r(&seconds, &tm) == NULL) {
        json_null(w, key);
        return;
    }
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(unix_ms % 1000));
    json_string(w, key, text);
}
