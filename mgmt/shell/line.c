// SPDX-License-Identifier: Apache-2.0
// The line editor.
#include "mgmt/shell/line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/shell/term.h"

#define CTRL(c) ((c)&0x1f)
#define DEL 0x7f
#define ESC 0x1b
#define BELL "\a"

// --- code points ---

static bool is_continuation(char c)
{
    return ((uint8_t)c & 0xc0) == 0x80;
}

static size_t before(const struct line *line, size_t at)
{
    while (at > 0 && is_continuation(line->text[--at])) {
    }
    return at;
}

static size_t after(const struct line *line, size_t at)
{
    while (at < line->length && is_continuation(line->text[++at])) {
    }
    return at;
}

static size_t columns(const struct line *line, size_t from, size_t to)
{
    size_t n = 0;

    for (size_t i = from; i < to; i++) {
        n += !is_continuation(line->text[i]);
    }
    return n;
}

// --- drawing ---

static size_t room(const struct line *line)
{
    return TERM_WIDTH - 1 - text_width(line->prompt);
}

// The cursor must be in sight; a line that has scrolled moves by a third of the row.
static void scroll(struct line *line)
{
    size_t width = room(line);

    if (line->cursor < line->left) {
        size_t back = MIN(width / 3, columns(line, 0, line->cursor));

        for (line->left = line->cursor; back > 0; back--) {
            line->left = before(line, line->left);
        }
    }
    if (columns(line, line->left, line->cursor) > width) {
        size_t forward = columns(line, line->left, line->cursor) - width + width / 3;

        for (; forward > 0 && line->left < line->cursor; forward--) {
            line->left = after(line, line->left);
        }
    }
}

void line_redraw(struct line *line)
{
    size_t end, shown = 0, back;
    char move[24];

    scroll(line);
    for (end = line->left; end < line->length && shown < room(line); shown++) {
        end = after(line, end);
    }
    term_write("\r", 1);
    term_write(line->prompt, strlen(line->prompt));
    term_write(line->text + line->left, end - line->left);
    term_write("\x1b[K", 3);
    back = columns(line, line->cursor, end);
    if (back > 0) {
        term_write(move, (size_t)snprintf(move, sizeof move, "\x1b[%uD", (unsigned)back));
    }
}

void line_begin(struct line *line)
{
    line->length = line->cursor = line->left = 0;
    line->text[0] = '\0';
    line->history_at = line->history_count;
    free(line->typed);
    line->typed = NULL;
    line_redraw(line);
}

// --- editing ---

bool line_insert(struct line *line, const char *text, size_t n)
{
    bool at_end = line->cursor == line->length;

    if (n > LINE_TEXT_MAX - line->length) {
        return false;
    }
    memmove(line->text + line->cursor + n, line->text + line->cursor, line->length - line->cursor);
    memcpy(line->text + line->cursor, text, n);
    line->length += n;
    line->cursor += n;
    line->text[line->length] = '\0';
    if (at_end && columns(line, line->left, line->length) <= room(line)) {
        term_write(text, n); // the usual case costs a byte on the line, not a row
    } else {
        line_redraw(line);
    }
    return true;
}

// Removes [from, to); the cursor ends up at `from`.
static void erase(struct line *line, size_t from, size_t to)
{
    memmove(line->text + from, line->text + to, line->length - to + 1);
    line->length -= to - from;
    line->cursor = from;
    line_redraw(line);
}

static void move_to(struct line *line, size_t at)
{
    line->cursor = at;
    line_redraw(line);
}

static size_t word_before(const struct line *line)
{
    size_t at = line->cursor;

    while (at > 0 && line->text[at - 1] == ' ') {
        at--;
    }
    while (at > 0 && line->text[at - 1] != ' ') {
        at--;
    }
    return at;
}

static size_t word_after(const struct line *line)
{
    size_t at = line->cursor;

    while (at < line->length && line->text[at] == ' ') {
        at++;
    }
    while (at < line->length && line->text[at] != ' ') {
        at++;
    }
    return at;
}

// --- history ---

void line_remember(struct line *line, const char *text)
{
    char *copy;

    if (text[0] == '\0' ||
        (line->history_count > 0 && strcmp(line->history[line->history_count - 1], text) == 0)) {
        return;
    }
    copy = strdup(text);
    if (copy == NULL) {
        return;
    }
    if (line->history_count == LINE_HISTORY) {
        free(line->history[0]);
        memmove(line->history, line->history + 1, (LINE_HISTORY - 1) * sizeof line->history[0]);
        line->history_count--;
    }
    line->history[line->history_count++] = copy;
    line->history_at = line->history_count;
}

void line_free(struct line *line)
{
    for (size_t i = 0; i < line->history_count; i++) {
        free(line->history[i]);
    }
    free(line->typed);
    line->typed = NULL;
    line->history_count = line->history_at = 0;
}

static void show(struct line *line, const char *text)
{
    snprintf(line->text, sizeof line->text, "%s", text);
    line->length = line->cursor = strlen(line->text);
    line->left = 0;
    line_redraw(line);
}

static void older(struct line *line)
{
    if (line->history_at == 0) {
        term_write(BELL, 1);
        return;
    }
    if (line->history_at == line->history_count) {
        free(line->typed);
        line->typed = strdup(line->text);
    }
    show(line, line->history[--line->history_at]);
}

static void newer(struct line *line)
{
    if (line->history_at == line->history_count) {
        term_write(BELL, 1);
        return;
    }
    line->history_at++;
    if (line->history_at < line->history_count) {
        show(line, line->history[line->history_at]);
    } else {
        show(line, line->typed != NULL ? line->typed : "");
    }
}

// --- keys ---

// Bytes that begin a code point say how many there are (RFC 3629, section 4); 0: none of them.
static size_t sequence_length(uint8_t first)
{
    return first >= 0xc2 && first <= 0xdf   ? 2
           : (first & 0xf0) == 0xe0         ? 3
           : first >= 0xf0 && first <= 0xf4 ? 4
                                            : 0;
}

static bool sequence_valid(const uint8_t *b)
{
    return !(b[0] == 0xc2 && b[1] < 0xa0) &&  // C1 controls
           !(b[0] == 0xe0 && b[1] < 0xa0) &&  // overlong
           !(b[0] == 0xed && b[1] >= 0xa0) && // surrogates
           !(b[0] == 0xf0 && b[1] < 0x90) &&  // overlong
           !(b[0] == 0xf4 && b[1] >= 0x90);   // beyond U+10FFFF
}

static void typed(struct line *line, const char *text, size_t n)
{
    if (!line_insert(line, text, n)) {
        term_write(BELL, 1);
    }
}

static void key_utf8(struct line *line, uint8_t byte)
{
    if (is_continuation((char)byte) && line->pending_length > 0) {
        line->pending[line->pending_length++] = byte;
        if (line->pending_length == line->pending_wanted) {
            line->pending_length = 0;
            if (sequence_valid(line->pending)) {
                typed(line, (const char *)line->pending, line->pending_wanted);
            }
        }
        return;
    }
    line->pending_wanted = sequence_length(byte);
    line->pending_length = line->pending_wanted > 0 ? 1 : 0;
    line->pending[0] = byte;
}

static void go_left(struct line *line)
{
    move_to(line, before(line, line->cursor));
}

static void go_right(struct line *line)
{
    move_to(line, after(line, line->cursor));
}

static void backspace(struct line *line)
{
    erase(line, before(line, line->cursor), line->cursor);
}

static void delete_here(struct line *line)
{
    erase(line, line->cursor, after(line, line->cursor));
}

static enum line_event key_control(struct line *line, uint8_t byte)
{
    switch (byte) {
    case CTRL('A'):
        move_to(line, 0);
        break;
    case CTRL('B'):
        go_left(line);
        break;
    case CTRL('C'):
        return LINE_INTERRUPT;
    case CTRL('D'):
        delete_here(line);
        break;
    case CTRL('E'):
        move_to(line, line->length);
        break;
    case CTRL('F'):
        go_right(line);
        break;
    case CTRL('H'):
    case DEL:
        backspace(line);
        break;
    case CTRL('I'):
        return LINE_COMPLETE;
    case CTRL('K'):
        erase(line, line->cursor, line->length);
        break;
    case CTRL('L'):
        term_write("\x1b[H\x1b[2J", 7);
        line_redraw(line);
        break;
    case CTRL('N'):
        newer(line);
        break;
    case CTRL('P'):
        older(line);
        break;
    case CTRL('U'):
        erase(line, 0, line->cursor);
        break;
    case CTRL('W'):
        erase(line, word_before(line), line->cursor);
        break;
    case ESC:
        line->state = LINE_ESCAPE;
        break;
    default:
        break; // no meaning here
    }
    return LINE_NONE;
}

// The end of a control sequence: cursor keys, Home, End, Delete as xterm, VT220 and rxvt send them.
static void key_sequence(struct line *line, uint8_t final)
{
    bool word = line->parameters[1] == 5 || line->parameters[1] == 3; // with Ctrl or Alt

    if (final == 'A') {
        older(line);
    } else if (final == 'B') {
        newer(line);
    } else if (final == 'C') {
        move_to(line, word ? word_after(line) : after(line, line->cursor));
    } else if (final == 'D') {
        move_to(line, word ? word_before(line) : before(line, line->cursor));
    } else if (final == 'H' || (final == '~' && (line->parameters[0] == 1 || line->parameters[0] == 7))) {
        move_to(line, 0);
    } else if (final == 'F' || (final == '~' && (line->parameters[0] == 4 || line->parameters[0] == 8))) {
        move_to(line, line->length);
    } else if (final == '~' && line->parameters[0] == 3) {
        delete_here(line);
    }
}

// ECMA-48, section 5.4: parameters, then a final byte 0x40..0x7e.
static void key_csi(struct line *line, uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        unsigned *p = &line->parameters[MIN(line->parameter, 1u)];

        *p = MIN(*p * 10 + (byte - '0'), 999u);
    } else if (byte == ';') {
        line->parameter++;
    } else if (byte >= 0x40 && byte <= 0x7e) {
        line->state = LINE_KEYS;
        key_sequence(line, byte);
    } else if (byte < 0x20) {
        line->state = LINE_KEYS; // broken off
    }
}

static void key_escape(struct line *line, uint8_t byte)
{
    line->state = byte == '[' ? LINE_CSI : byte == 'O' ? LINE_SS3 : LINE_KEYS;
    line->parameters[0] = line->parameters[1] = line->parameter = 0;
    if (byte == 'b') {
        move_to(line, word_before(line));
    } else if (byte == 'f') {
        move_to(line, word_after(line));
    }
}

static enum line_event enter(struct line *line)
{
    move_to(line, line->length); // what follows begins below the line
    term_write("\r\n", 2);
    return LINE_ENTER;
}

enum line_event line_key(struct line *line, uint8_t byte)
{
    bool paired = line->after_cr && byte == '\n';

    line->after_cr = byte == '\r';
    if (line->state == LINE_ESCAPE) {
        key_escape(line, byte);
    } else if (line->state == LINE_CSI) {
        key_csi(line, byte);
    } else if (line->state == LINE_SS3) {
        line->state = LINE_KEYS;
        key_sequence(line, byte);
    } else if (paired) {
        return LINE_NONE;
    } else if (byte == '\r' || byte == '\n') {
        return enter(line);
    } else if (byte < 0x20 || byte == DEL) {
        return key_control(line, byte);
    } else if (byte < 0x80) {
        typed(line, (const char *)&byte, 1);
    } else {
        key_utf8(line, byte);
    }
    return LINE_NONE;
}
