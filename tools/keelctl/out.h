// SPDX-License-Identifier: Apache-2.0
// Output for people: tables, fields, sizes, a progress bar.
//
// Text that comes from a node may have been chosen by somebody else (names, owners): it goes to the terminal
// without control characters.
#ifndef KEELCTL_OUT_H
#define KEELCTL_OUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

// printf() with one %s, whose text is stripped of control characters.
void print_clean(FILE *out, const char *fmt, const char *text) __attribute__((format(printf, 2, 0)));

// Prints lines as they are, without other control characters; changes the text.
void print_lines(FILE *out, char *text);

// --- tables ---

struct table {
    const char *const *headers; // NULL ends them
    size_t columns;
    char **cells; // row by row
    size_t count, capacity;
};

void table_init(struct table *t, const char *const *headers);
// Appends the next cell of the current row.
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// Prints and frees. With names_only just the first column, without a header.
void table_print(struct table *t, bool names_only);

// One line "name   value" of a description.
void field(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// --- units; the texts are in static buffers, eight of them in turn ---

const char *bytes_text(double bytes);      // "7.9 MiB"
const char *duration_text(double seconds); // "1:02:03"
const char *time_text(const char *iso);    // "2026-01-01 00:00:00", "-" for NULL

// --- progress ---

struct progress {
    const char *label;
    uint64_t total; // 0: unknown
    bool bytes;     // units are bytes, not percent
    bool active;    // there is a terminal to draw on
    double started, drawn;
};

// Draws on standard error if that is a terminal and `wanted`.
void progress_begin(struct progress *p, const char *label, uint64_t total, bool bytes, bool wanted);
void progress_update(struct progress *p, uint64_t done);
// Removes the bar.
void progress_end(struct progress *p);

double monotonic_seconds(void);

#endif
