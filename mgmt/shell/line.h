// SPDX-License-Identifier: Apache-2.0
// Line editor: keys in, one edited line out, with history.
//
// Text is UTF-8 and edited by code points, each taken for one column; bytes that are no UTF-8 are not
// accepted. A line that is wider than the screen scrolls sideways, so that it always occupies one row:
// then the hypervisor can erase and repeat it around a line of its log.
#ifndef MGMT_SHELL_LINE_H
#define MGMT_SHELL_LINE_H

#include <keelson/types.h>

#define LINE_TEXT_MAX 2304u // bytes; `system create` with the longest kernel command line is shorter
#define LINE_HISTORY 100u

enum line_event {
    LINE_NONE,      // go on
    LINE_ENTER,     // line->text is complete; line_begin() starts the next one
    LINE_COMPLETE,  // Tab: the caller may line_insert() or list what fits
    LINE_INTERRUPT, // Ctrl-C: the line was given up
};

struct line {
    const char *prompt;
    char text[LINE_TEXT_MAX + 1];
    size_t length, cursor; // bytes
    size_t left;           // first byte shown

    enum { LINE_KEYS, LINE_ESCAPE, LINE_CSI, LINE_SS3 } state;
    unsigned parameters[2], parameter; // of a control sequence
    uint8_t pending[4];                // of a code point that is not complete
    size_t pending_length, pending_wanted;
    bool after_cr; // a line feed now belongs to the carriage return

    char *history[LINE_HISTORY]; // oldest first
    size_t history_count;
    size_t history_at; // history_count: the line that is being typed
    char *typed;       // that line, while an older one is shown
};

void line_begin(struct line *line);  // an empty line, with prompt
void line_redraw(struct line *line); // prompt and text on a row that holds nothing else
enum line_event line_key(struct line *line, uint8_t byte);
// Puts text in at the cursor, as if typed. False if it does not fit (nothing is changed).
bool line_insert(struct line *line, const char *text, size_t length);
// Adds a line to the history, unless it is empty or the last one again.
void line_remember(struct line *line, const char *text);
void line_free(struct line *line); // history

#endif
