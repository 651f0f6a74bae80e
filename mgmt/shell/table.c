// SPDX-License-Identifier: Apache-2.0
// Tables and units of the shell's output.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mgmt/shell/term.h"

#define GAP 2
#define FIRST_CAPACITY 2048u

// --- tables ---

void table_begin(struct table *t, const char *const *headers)
{
    *t = (struct table){.headers = headers};
    while (t->columns < TABLE_COLUMNS_MAX && headers[t->columns] != NULL) {
        t->columns++;
    }
}

static bool reserve(struct table *t, size_t n)
{
    size_t wanted = MAX(t->capacity, (size_t)FIRST_CAPACITY);
    char *larger;

    while (wanted < t->length + n) {
        wanted *= 2;
    }
    if (wanted == t->capacity) {
        return true;
    }
    larger = realloc(t->cells, wanted);
    if (larger == NULL) {
        t->failed = true;
        return false;
    }
    t->cells = larger;
    t->capacity = wanted;
    return true;
}

void table_cell(struct table *t, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    size_t n;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    n = strlen(text) + 1;
    if (!t->failed && reserve(t, n)) {
        memcpy(t->cells + t->length, text, n);
        t->length += n;
    }
}

size_t text_width(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++) {
        width += ((uint8_t)*text & 0xc0) != 0x80;
    }
    return width;
}

static bool is_number(const struct table *t, size_t column)
{
    return t->headers[column][0] == '>';
}

static size_t next_column(const struct table *t, size_t column)
{
    return column + 1 < t->columns ? column + 1 : 0;
}

static void measure(const struct table *t, size_t *widths)
{
    size_t column = 0;

    for (size_t i = 0; i < t->columns; i++) {
        widths[i] = text_width(t->headers[i]) - is_number(t, i);
    }
    for (size_t at = 0; at < t->length; at += strlen(t->cells + at) + 1) {
        widths[column] = MAX(widths[column], text_width(t->cells + at));
        column = next_column(t, column);
    }
}

static void print_cell(const struct table *t, const size_t *widths, size_t column, const char *text)
{
    int pad = (int)(widths[column] - text_width(text));
    bool last = column + 1 == t->columns;

    if (is_number(t, column)) {
        term_print("%*s%s", pad, "", text);
    } else {
        term_print("%s%*s", text, last ? 0 : pad, "");
    }
    term_print(last ? "\n" : "%*s", GAP, "");
}

void table_end(struct table *t)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0}, column = 0;

    measure(t, widths);
    for (size_t i = 0; i < t->columns; i++) {
        print_cell(t, widths, i, t->headers[i] + is_number(t, i));
    }
    for (size_t at = 0; at < t->length; at += strlen(t->cells + at) + 1) {
        print_cell(t, widths, column, t->cells + at);
        column = next_column(t, column);
    }
    if (t->failed) {
        term_print("%s[the management heap is full: rows are missing]\n", column > 0 ? "\n" : "");
    }
    free(t->cells);
}

// --- units ---

#define BUFFER_SIZE 64
static char *next_buffer(void)
{
    static char buffers[8][BUFFER_SIZE];
    static unsigned next;

    return buffers[next++ % ARRAY_LEN(buffers)];
}

const char *bytes_text(uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    char *text = next_buffer();
    uint64_t tenths = bytes * 10 / 1024; // of a KiB; no memory is near 2^64 / 10
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(text, BUFFER_SIZE, "%u B", (unsigned)bytes);
        return text;
    }
    while (tenths >= 10240 && unit < ARRAY_LEN(units) - 1) {
        tenths /= 1024;
        unit++;
    }
    if (tenths >= 1000) {
        snprintf(text, BUFFER_SIZE, "%llu %s", (unsigned long long)(tenths / 10), units[unit]);
    } else {
        snprintf(text, BUFFER_SIZE, "%u.%u %s", (unsigned)tenths / 10, (unsigned)tenths % 10, units[unit]);
    }
    return text;
}

const char *count_text(uint64_t n)
{
    char *text = next_buffer();
    char *at = text + BUFFER_SIZE - 1;
    unsigned digits = 0;

    *at = '\0';
    do {
        if (digits > 0 && digits % 3 == 0) {
            *--at = ',';
        }
        *--at = (char)('0' + n % 10);
        n /= 10;
        digits++;
    } while (n > 0);
    return at;
}

const char *duration_text(uint64_t ms)
{
    char *text = next_buffer();
    uint64_t s = ms / 1000;
    unsigned days = (unsigned)(s / 86400), h = (unsigned)(s / 3600 % 24), m = (unsigned)(s / 60 % 60);

    if (days > 0) {
        snprintf(text, BUFFER_SIZE, "%u day%s, %u:%02u:%02u", days, days > 1 ? "s" : "", h, m,
                 (unsigned)(s % 60));
    } else {
        snprintf(text, BUFFER_SIZE, "%u:%02u:%02u", h, m, (unsigned)(s % 60));
    }
    return text;
}

const char *time_text(int64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    char *text = next_buffer();
    struct tm tm;

    if (unix_ms <= 0 || gmtime_r(&seconds, &tm) == NULL) {
        return "-";
    }
    snprintf(text, BUFFER_SIZE, "%04d-%02d-%02d %02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
             tm.tm_hour, tm.tm_min, tm.tm_sec);
    return text;
}

const char *percent_text(uint64_t part, uint64_t whole)
{
    char *text = next_buffer();
    unsigned tenths = whole == 0 ? 0 : (unsigned)((unsigned __int128)part * 1000 / whole);

    snprintf(text, BUFFER_SIZE, "%u.%u %%", tenths / 10, tenths % 10);
    return text;
}
