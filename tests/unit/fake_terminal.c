// SPDX-License-Identifier: Apache-2.0
// The fake terminal.
#include "tests/unit/fake_terminal.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 4096
#define COLUMNS 512

static uint32_t cell[ROWS][COLUMNS]; // code points; 0: nothing was written there
static size_t row, column, bells, widest;
static enum { TEXT, ESCAPE, CSI } state;
static unsigned parameter;
static uint32_t code_point;
static unsigned wanted; // continuation bytes

void terminal_reset(void)
{
    memset(cell, 0, sizeof cell);
    row = column = bells = widest = 0;
    state = TEXT;
    wanted = 0;
}

static void fail(const char *what, unsigned value)
{
    fprintf(stderr, "terminal: %s 0x%x\n", what, value);
    abort();
}

static void put_code_point(uint32_t c)
{
    if (column >= COLUMNS) {
        fail("row is full at column", (unsigned)column);
    }
    cell[row][column++] = c;
    widest = column > widest ? column : widest;
}

static void control_sequence(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        parameter = parameter * 10 + (c - '0');
        return;
    }
    state = c == '?' ? CSI : TEXT;
    if (c == 'K') {
        memset(&cell[row][column], 0, (COLUMNS - column) * sizeof cell[0][0]);
    } else if (c == 'D') {
        column -= parameter < column ? parameter : column;
    } else if (c == 'J') {
        memset(cell, 0, sizeof cell);
    } else if (c == 'H') {
        row = column = 0;
    } else if (c != 'm' && c != 'h' && c != '?') {
        fail("unknown control sequence", c);
    }
}

static void utf8(uint8_t c)
{
    if ((c & 0xc0) == 0x80) {
        if (wanted == 0) {
            fail("stray continuation", c);
        }
        code_point = code_point << 6 | (c & 0x3f);
        if (--wanted == 0) {
            put_code_point(code_point);
        }
    } else {
        wanted = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        code_point = c & (0x3f >> wanted);
    }
}

static void plain(uint8_t c)
{
    if (c == '\r') {
        column = 0;
    } else if (c == '\n') {
        if (++row == ROWS) {
            fail("too many rows", ROWS);
        }
    } else if (c == '\a') {
        bells++;
    } else if (c == 0x1b) {
        state = ESCAPE;
    } else if (c >= 0x80) {
        utf8(c);
    } else if (c < 0x20 || c == 0x7f) {
        fail("control character", c);
    } else {
        put_code_point(c);
    }
}

void terminal_put(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        uint8_t c = (uint8_t)text[i];

        if (state == ESCAPE) {
            if (c != '[') {
                fail("unknown escape", c);
            }
            state = CSI;
            parameter = 0;
        } else if (state == CSI) {
            control_sequence(c);
        } else {
            plain(c);
        }
    }
}

static size_t encode(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = c == 0 ? ' ' : (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

static size_t row_text(size_t r, char *out)
{
    size_t used = COLUMNS, n = 0;

    while (used > 0 && (cell[r][used - 1] == 0 || cell[r][used - 1] == ' ')) {
        used--;
    }
    for (size_t i = 0; i < used; i++) {
        n += encode(out + n, cell[r][i]);
    }
    out[n] = '\0';
    return n;
}

const char *terminal_row(size_t from_bottom)
{
    static char text[8][4 * COLUMNS + 1];
    static unsigned next;
    char *out = text[next++ % 8];

    out[0] = '\0';
    if (from_bottom <= row) {
        row_text(row - from_bottom, out);
    }
    return out;
}

size_t terminal_column(void)
{
    return column;
}

const char *terminal_text(void)
{
    static char *text;
    size_t n = 0;

    free(text);
    text = malloc((row + 1) * (4 * COLUMNS + 2));
    for (size_t r = 0; text != NULL && r <= row; r++) {
        n += row_text(r, text + n);
        text[n++] = '\n';
        text[n] = '\0';
    }
    return text;
}

size_t terminal_bells(void)
{
    return bells;
}

size_t terminal_widest(void)
{
    return widest;
}
