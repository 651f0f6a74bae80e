// srcs: mgmt/shell/line.c mgmt/shell/words.c mgmt/shell/table.c
// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any bytes typed at the serial console. The editor's line stays whole, valid UTF-8, and on one row.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/shell/command.h"
#include "mgmt/shell/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition) {
        abort();
    }
}

// The terminal. A line feed would leave the row that the hypervisor repeats.
void term_write(const void *data, size_t length)
{
    must(length == 0 || data != NULL);
}

void term_print(const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    must(vsnprintf(text, sizeof text, fmt, ap) >= 0);
    va_end(ap);
}

// Length of the code point at `at`, 0 if it is none.
static size_t code_point(const char *at, size_t room)
{
    uint8_t first = (uint8_t)at[0];
    size_t n = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;

    for (size_t i = 1; i < n; i++) {
        if (i >= room || ((uint8_t)at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

static void check(const struct line *line)
{
    bool cursor_fits = line->cursor == line->length, left_fits = line->left == line->length;
    size_t n;

    must(line->length <= LINE_TEXT_MAX && line->cursor <= line->length && line->left <= line->length);
    must(line->text[line->length] == '\0' && strlen(line->text) == line->length);
    must(line->history_count <= LINE_HISTORY && line->history_at <= line->history_count);
    for (size_t at = 0; at < line->length; at += n) {
        n = code_point(line->text + at, line->length - at);
        must(n != 0 && (uint8_t)line->text[at] >= ' ' && line->text[at] != 0x7f);
        cursor_fits |= at == line->cursor;
        left_fits |= at == line->left;
    }
    must(cursor_fits && left_fits);
}

// What was entered is split into words, each of which can be quoted so that it comes out the same.
static void split(const char *text, size_t length)
{
    static struct words words, again;
    static char quoted[2 * LINE_TEXT_MAX];

    words_split(&words, text, length);
    must(words.count <= COMMAND_WORDS_MAX && (!words.open || words.last < length));
    for (size_t i = 0; i < words.count; i++) {
        size_t n = words_quote(quoted, sizeof quoted, words.word[i]);

        must(words.word[i] >= words.text &&
             words.word[i] + strlen(words.word[i]) < words.text + sizeof words.text);
        if (n == 0 || n > LINE_TEXT_MAX) {
            continue; // too long
        }
        words_split(&again, quoted, n);
        must(again.count == 1 && strcmp(again.word[0], words.word[i]) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct line *line = calloc(1, sizeof *line);

    if (line == NULL) {
        return 0;
    }
    line->prompt = "keelson> ";
    line_begin(line);
    for (size_t i = 0; i < size; i++) {
        enum line_event event = line_key(line, data[i]);

        check(line);
        if (event == LINE_COMPLETE) {
            (void)line_insert(line, "system ", 7);
            check(line);
        } else if (event == LINE_ENTER) {
            split(line->text, line->length);
            line_remember(line, line->text);
            line_begin(line);
        } else if (event == LINE_INTERRUPT) {
            line_begin(line);
        }
    }
    line_free(line);
    free(line);
    return 0;
}
