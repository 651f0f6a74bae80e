// srcs: mgmt/shell/line.c mgmt/shell/words.c mgmt/shell/table.c tests/unit/fake_terminal.c
// SPDX-License-Identifier: Apache-2.0
// Line editor and units of the shell: keys in, what the operator sees and what the line holds out.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/shell/command.h"
#include "tests/unit/fake_terminal.h"

#define LEFT "\x1b[D"
#define RIGHT "\x1b[C"
#define UP "\x1b[A"
#define DOWN "\x1b[B"
#define HOME "\x1b[H"
#define END "\x1b[F"
#define DELETE "\x1b[3~"

// The output queue, without a queue.
void term_write(const void *data, size_t length)
{
    terminal_put(data, length);
}

void term_print(const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (const char *c = text; *c != '\0'; c++) {
        terminal_put(*c == '\n' ? "\r\n" : c, *c == '\n' ? 2 : 1);
    }
}

static struct line line;

static int setup(void **state)
{
    (void)state;
    terminal_reset();
    memset(&line, 0, sizeof line);
    line.prompt = "> ";
    line_begin(&line);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    line_free(&line);
    return 0;
}

static enum line_event type(const char *keys)
{
    enum line_event event = LINE_NONE;

    for (; *keys != '\0' && event == LINE_NONE; keys++) {
        event = line_key(&line, (uint8_t)*keys);
    }
    return event;
}

struct edit {
    const char *keys, *text, *row;
    size_t column;
};

static void test_editing(void **state)
{
    static const struct edit edits[] = {
        {"abc", "abc", "> abc", 5},
        {"abc" LEFT LEFT "x", "axbc", "> axbc", 4},
        {"abc" LEFT LEFT LEFT LEFT LEFT "x", "xabc", "> xabc", 3},
        {"abc" LEFT RIGHT RIGHT "x", "abcx", "> abcx", 6},
        {"abc\x7f", "ab", "> ab", 4},
        {"abc\b\b", "a", "> a", 3},
        {"abc" LEFT LEFT "\x7f", "bc", "> bc", 2},
        {"abc" LEFT LEFT DELETE, "ac", "> ac", 3},
        {"abc" LEFT LEFT "\x04", "ac", "> ac", 3},
        {"abc" DELETE "\x04", "abc", "> abc", 5},
        {"\x7f\x7f" LEFT DELETE, "", ">", 2},
        {"abc" HOME "x", "xabc", "> xabc", 3},
        {"abc\x01x\x05y", "xabcy", "> xabcy", 7},
        {"abc\x1b[1~x\x1b[4~y", "xabcy", "> xabcy", 7},
        {"abc\x1b[7~x\x1b[8~y", "xabcy", "> xabcy", 7},
        {"abc\x1bOHx\x1bOFy", "xabcy", "> xabcy", 7},
        {"abc" HOME "x" END "y", "xabcy", "> xabcy", 7},
        {"abc\x02\x02\x06x", "abxc", "> abxc", 5},
        {"abc def\x01\x06\x0b", "a", "> a", 3},
        {"abc def" LEFT "\x15", "f", "> f", 2},
        {"abc def  \x17", "abc ", "> abc", 6},
        {"abc def\x17\x17", "", ">", 2},
        {"one two\x1b[1;5Dx", "one xtwo", "> one xtwo", 7},
        {"one two\x01\x1b[1;5Cx", "onex two", "> onex two", 6},
        {"one two\x1b"
         "bx\x01\x1b"
         "fy",
         "oney xtwo", "> oney xtwo", 6},
        {"a\x1b[99;1~\x1b[Z\x1b[?1hb", "ab", "> ab", 4}, // sequences without a meaning vanish
        {"a\x1b[1\x03"
         "b",
         "ab", "> ab", 4}, // broken off
        {"a\x1bxb", "ab", "> ab", 4},
        {"a\x0c", "a", "> a", 3},
        {"a\x10\x0e\x1f\x14", "a", "> a", 3},
    };

    for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
        setup(state);
        assert_int_equal(type(edits[i].keys), LINE_NONE);
        assert_string_equal(line.text, edits[i].text);
        assert_string_equal(terminal_row(0), edits[i].row);
        assert_int_equal(terminal_column(), edits[i].column);
        teardown(state);
    }
}

static void test_utf8(void **state)
{
    static const struct edit edits[] = {
        {"gr\xc3\xbc\xc3\x9f"
         "e",
         "gr\xc3\xbc\xc3\x9f"
         "e",
         "> gr\xc3\xbc\xc3\x9f"
         "e",
         7},
        {"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80" LEFT LEFT "\x7f", "\xe2\x82\xac\xf0\x9f\x98\x80",
         "> \xe2\x82\xac\xf0\x9f\x98\x80", 2},
        {"\xe2\x82\xac"
         "a\x01" DELETE,
         "a", "> a", 2},
        {"a\xff\xfe\x80"
         "b",
         "ab", "> ab", 4}, // no UTF-8
        {"a\xc3"
         "b",
         "ab", "> ab", 4}, // cut short
        {"a\xe2\x82"
         "b",
         "ab", "> ab", 4},
        {"a\xc2\x9b"
         "b",
         "ab", "> ab", 4}, // C1 control
        {"a\xe0\x80\x80\xed\xa0\x80\xf4\x90\x80\x80"
         "b",
         "ab", "> ab", 4}, // overlong, surrogate, too large
    };

    for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
        setup(state);
        type(edits[i].keys);
        assert_string_equal(line.text, edits[i].text);
        assert_string_equal(terminal_row(0), edits[i].row);
        assert_int_equal(terminal_column(), edits[i].column);
        teardown(state);
    }
}

static void test_events(void **state)
{
    (void)state;
    assert_int_equal(type("abc\r"), LINE_ENTER);
    assert_string_equal(line.text, "abc");
    line_begin(&line);
    assert_int_equal(line_key(&line, '\n'), LINE_NONE); // of CR LF
    assert_int_equal(line_key(&line, '\n'), LINE_ENTER);
    line_begin(&line);
    assert_int_equal(type("x\t"), LINE_COMPLETE);
    assert_int_equal(type("\x03"), LINE_INTERRUPT);
}

static void enter(const char *text)
{
    assert_int_equal(type(text), LINE_NONE);
    assert_int_equal(line_key(&line, '\r'), LINE_ENTER);
    line_remember(&line, line.text);
    line_begin(&line);
}

static void test_history(void **state)
{
    (void)state;
    enter("first");
    enter("second");
    enter("second"); // once
    enter("");
    type("thi" UP);
    assert_string_equal(line.text, "second");
    type(UP);
    assert_string_equal(line.text, "first");
    type(UP);
    assert_string_equal(line.text, "first");
    assert_int_equal(terminal_bells(), 1);
    type("!" DOWN DOWN);
    assert_string_equal(line.text, "thi"); // what was being typed
    assert_string_equal(terminal_row(0), "> thi");
    type(DOWN);
    assert_int_equal(terminal_bells(), 2);
    type("\x10\x10\x0e");
    assert_string_equal(line.text, "second");
}

static void test_history_is_bounded(void **state)
{
    char text[16];

    (void)state;
    for (unsigned i = 0; i < LINE_HISTORY + 20; i++) {
        snprintf(text, sizeof text, "line %u", i);
        enter(text);
    }
    assert_int_equal(line.history_count, LINE_HISTORY);
    for (unsigned i = 0; i < LINE_HISTORY; i++) {
        type(UP);
    }
    assert_string_equal(line.text, "line 20");
}

// A long line stays on one row of 80 columns, and the cursor stays in sight.
static void test_scrolling(void **state)
{
    char expected[512] = "";

    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        char piece[8];

        snprintf(piece, sizeof piece, "<%03u>", i);
        strcat(expected, piece);
        type(piece);
    }
    assert_string_equal(line.text, expected);
    assert_true(terminal_widest() < TERM_WIDTH);
    assert_non_null(strstr(terminal_row(0), "<059>"));
    assert_int_equal(terminal_column(), strlen(terminal_row(0)));
    type(HOME);
    assert_int_equal(terminal_column(), 2);
    assert_non_null(strstr(terminal_row(0), "> <000><001>"));
    for (unsigned i = 0; i < 150; i++) {
        type(RIGHT);
    }
    type("X");
    assert_int_equal(line.text[150], 'X');
    assert_non_null(strstr(terminal_row(0), "<029>X"));
    for (unsigned i = 0; i < 100; i++) {
        type(LEFT);
    }
    type("Y");
    assert_non_null(strstr(terminal_row(0), "Y"));
    assert_true(terminal_widest() < TERM_WIDTH);
}

static void test_length_limit(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LINE_TEXT_MAX + 10; i++) {
        type("x");
    }
    assert_int_equal(line.length, LINE_TEXT_MAX);
    assert_int_equal(terminal_bells(), 10);
    type("\xc3\xbc\x7f\xc3\xbc"); // two bytes where one is free
    assert_int_equal(line.length, LINE_TEXT_MAX - 1);
}

// Whatever comes, the row shows the line, the cursor included.
static void test_any_keys(void **state)
{
    static const char *const sequences[] = {LEFT, RIGHT,  UP,         DOWN,           HOME,
                                            END,  DELETE, "\xc3\xbc", "\xe2\x82\xac", "ab c"};
    uint32_t random = 12345;

    (void)state;
    for (unsigned i = 0; i < 30000; i++) {
        random = random * 1664525 + 1013904223;
        if (random >> 30 == 0) {
            if (line_key(&line, (uint8_t)(random >> 16)) == LINE_ENTER) {
                line_remember(&line, line.text);
                terminal_reset();
                line_begin(&line);
            }
        } else {
            type(sequences[(random >> 16) % ARRAY_LEN(sequences)]);
        }
        assert_int_equal(strlen(line.text), line.length);
        assert_true(line.cursor <= line.length && line.left <= line.cursor);
        assert_true(terminal_widest() < TERM_WIDTH);
    }
    type("\r");
}

// --- words ---

static void assert_words(const char *text, size_t count, ...)
{
    struct words w;
    va_list ap;

    words_split(&w, text, strlen(text));
    assert_int_equal(w.count, count);
    va_start(ap, count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(w.word[i], va_arg(ap, const char *));
    }
    va_end(ap);
}

static void test_words(void **state)
{
    struct words w;
    char quoted[64];

    (void)state;
    assert_words("", 0);
    assert_words("  a  b\tc ", 3, "a", "b", "c");
    assert_words("a 'b c' \"d e\" f\\ g", 4, "a", "b c", "d e", "f g");
    assert_words("a\"b c\"'d e'", 1, "ab cd e");
    assert_words("'' x", 2, "", "x");
    assert_words("\"a\\\"b\" 'a\\b' \\", 3, "a\"b", "a\\b", "\\");
    words_split(&w, "a 'b", 4);
    assert_string_equal(w.problem, "a ' is not closed");
    words_split(&w, "a \"", 3);
    assert_string_equal(w.problem, "a \" is not closed");
    words_split(&w, "a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a", 65);
    assert_string_equal(w.problem, "too many words");
    quoted[words_quote(quoted, sizeof quoted, "it's \"a\\b\"")] = '\0';
    assert_words(quoted, 1, "it's \"a\\b\"");
    assert_int_equal(words_quote(quoted, 4, "    "), 0);
}

// --- units and tables ---

static void test_units(void **state)
{
    (void)state;
    assert_string_equal(bytes_text(0), "0 B");
    assert_string_equal(bytes_text(1023), "1023 B");
    assert_string_equal(bytes_text(1024), "1.0 KiB");
    assert_string_equal(bytes_text(1536), "1.5 KiB");
    assert_string_equal(bytes_text(250ull << 20), "250 MiB");
    assert_string_equal(bytes_text(1ull << 40), "1.0 TiB");
    assert_string_equal(bytes_text(1ull << 52), "4096 TiB");
    assert_string_equal(count_text(0), "0");
    assert_string_equal(count_text(999), "999");
    assert_string_equal(count_text(1000), "1,000");
    assert_string_equal(count_text(UINT64_MAX), "18,446,744,073,709,551,615");
    assert_string_equal(duration_text(59999), "0:00:59");
    assert_string_equal(duration_text(3600000ull * 24 * 2 + 3723000), "2 days, 1:02:03");
    assert_string_equal(time_text(0), "-");
    assert_string_equal(time_text(1769862896000), "2026-01-31 12:34:56");
    assert_string_equal(percent_text(1, 8), "12.5 %");
    assert_string_equal(percent_text(1, 0), "0.0 %");
    assert_string_equal(percent_text(UINT64_MAX, UINT64_MAX), "100.0 %");
}

static void test_table(void **state)
{
    static const char *const headers[] = {"NAME", ">SIZE", "X", NULL};
    struct table t;

    (void)state;
    table_begin(&t, headers);
    table_cell(&t, "gr\xc3\xbcn");
    table_cell(&t, "%d", 123456);
    table_cell(&t, "a");
    table_cell(&t, "b");
    table_cell(&t, "7");
    table_cell(&t, "long");
    table_end(&t);
    assert_string_equal(terminal_row(3), "> NAME    SIZE  X");
    assert_string_equal(terminal_row(2), "gr\xc3\xbcn  123456  a");
    assert_string_equal(terminal_row(1), "b          7  long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_editing),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test_setup_teardown(test_events, setup, teardown),
        cmocka_unit_test_setup_teardown(test_history, setup, teardown),
        cmocka_unit_test_setup_teardown(test_history_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scrolling, setup, teardown),
        cmocka_unit_test_setup_teardown(test_length_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_any_keys, setup, teardown),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_units),
        cmocka_unit_test_setup_teardown(test_table, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
