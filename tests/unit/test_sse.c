// srcs: tools/keelctl/sse.c
// SPDX-License-Identifier: Apache-2.0
// keelctl's reader of event streams: lines, fields, what is no message, limits; whole and byte by byte.
#include "tools/keelctl/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct sse reader;
static char heard[512];

static void note(void *arg, const char *type, const char *data)
{
    size_t n = strlen(heard);

    assert_ptr_equal(arg, heard);
    snprintf(heard + n, sizeof heard - n, "<%s|%s>", type, data);
}

static void begin(void)
{
    heard[0] = '\0';
    sse_init(&reader, note, heard);
}

// `stream` gives these messages, in whatever pieces it comes.
static void expect(const char *stream, const char *messages)
{
    begin();
    assert_true(sse_feed(&reader, stream, strlen(stream)));
    assert_string_equal(heard, messages);
    begin();
    for (const char *c = stream; *c != '\0'; c++) {
        assert_true(sse_feed(&reader, c, 1));
    }
    assert_string_equal(heard, messages);
}

static void test_messages(void **state)
{
    (void)state;
    expect("id: 1\nevent: NodeReady\ndata: {\"Sequence\":1}\n\n", "<NodeReady|{\"Sequence\":1}>");
    expect("data: a\n\ndata: b\n\n", "<message|a><message|b>");
    expect("event: x\ndata: a\n\ndata: b\n\n", "<x|a><message|b>"); // a type is for one message
    expect("data: a\ndata: b\ndata\n\n", "<message|a\nb\n>");
    expect("data\n\n", "<message|>");
}

static void test_fields(void **state)
{
    (void)state;
    expect("data:a\n\n", "<message|a>");
    expect("data:  a\n\n", "<message| a>"); // one blank is taken off
    expect("data: a: b\n\n", "<message|a: b>");
    expect("retry: 3\nother: x\nDATA: y\ndata: a\n\n", "<message|a>");
    expect(":\n\n: comment\n\ndata: a\n:\ndata: b\n\n", "<message|a\nb>");
}

static void test_line_ends(void **state)
{
    (void)state;
    expect("data: a\r\n\r\n", "<message|a>");
    expect("data: a\r\rdata: b\r\r", "<message|a><message|b>");
    expect("data: a\r\n\rdata: b\n\r\n", "<message|a><message|b>");
    expect("\xef\xbb\xbf"
           "data: a\n\n\xef\xbb\xbf"
           "data: b\n\n",
           "<message|a>"); // one mark alone, at the very beginning
}

static void test_no_message(void **state)
{
    (void)state;
    expect("", "");
    expect("\n\n\n", "");
    expect("event: x\nid: 5\n\n", ""); // without data
    expect("event: x\ndata: a\n", ""); // the end is missing
    expect("event: x\n\ndata: a\n\n", "<message|a>");
}

// What one connection has left unfinished is not continued by the next.
static void test_begins_anew(void **state)
{
    (void)state;
    begin();
    assert_true(sse_feed(&reader, "event: x\ndata: half", 19));
    sse_init(&reader, note, heard);
    assert_true(sse_feed(&reader, "data: a\n\n", 9));
    assert_string_equal(heard, "<message|a>");
}

static void feed_many(char byte, size_t count)
{
    while (count-- > 0) {
        assert_true(sse_feed(&reader, &byte, 1));
    }
}

static void test_limits(void **state)
{
    (void)state;
    begin();
    feed_many('x', SSE_LINE_MAX - 1);
    assert_false(sse_feed(&reader, "x", 1));
    begin(); // two lines that are not too long, but their message is
    for (unsigned i = 0; i < 2; i++) {
        assert_true(sse_feed(&reader, "data:", 5));
        feed_many('x', SSE_LINE_MAX / 2 - 1);
        assert_true(sse_feed(&reader, "\n", 1));
    }
    assert_false(sse_feed(&reader, "data\n", 5));
    begin();
    assert_true(sse_feed(&reader, "event: ", 7));
    feed_many('t', 2 * SSE_TYPE_MAX);
    assert_true(sse_feed(&reader, "\ndata: a\n\n", 10));
    assert_int_equal(strlen(heard), SSE_TYPE_MAX - 1 + 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),    cmocka_unit_test(test_fields),
        cmocka_unit_test(test_line_ends),   cmocka_unit_test(test_no_message),
        cmocka_unit_test(test_begins_anew), cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
