// SPDX-License-Identifier: Apache-2.0
// Output to the operator's terminal: a queue in front of the console, text made harmless, tables, units.
//
// The line is slow and the control plane never waits for it: what the console does not take at once stays
// in the queue and follows when there is room. The queue grows with what a command prints, up to a limit
// that no command of ours reaches, and is wiped as it is sent, because a secret may have been in it.
// One terminal, control plane only.
#ifndef MGMT_SHELL_TERM_H
#define MGMT_SHELL_TERM_H

#include <keelson/types.h>

#define TERM_WIDTH 80

// Bytes as they are: escape sequences, the output of a guest.
void term_write(const void *data, size_t length);
// Text: newlines become CR LF, and control characters (C1 in UTF-8 among them) question marks, since what
// is printed may have come from a client.
void term_print(const char *fmt, ...) PRINTF_LIKE(1, 2);
size_t term_pending(void); // bytes not yet taken by the console
void term_discard(void);   // forgets them
// `fn` is called whenever the queue has become empty; NULL ends that.
void term_on_empty(void (*fn)(void));

// --- tables: header and rows, columns as wide as their widest cell ---

#define TABLE_COLUMNS_MAX 10
struct table {
    const char *const *headers; // ends with NULL; a name that begins with '>' is for numbers, set right
    size_t columns;
    char *cells; // NUL-terminated, one after the other
    size_t length, capacity;
    bool failed; // no heap
};
void table_begin(struct table *t, const char *const *headers);
void table_cell(struct table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void table_end(struct table *t); // prints and frees

void term_field(const char *name, const char *fmt, ...) PRINTF_LIKE(2, 3); // one "name   value" line

// --- units; each result is valid for the next seven calls of any of these ---
const char *bytes_text(uint64_t bytes); // "1.5 GiB"
const char *count_text(uint64_t n);     // "1,234,567"
const char *duration_text(uint64_t ms); // "1:02:03"; days in front where there are any
const char *time_text(int64_t unix_ms); // "2026-01-31 12:34:56"; "-" for 0
const char *percent_text(uint64_t part, uint64_t whole);

// Columns that text takes: one a code point.
size_t text_width(const char *text);

#endif
