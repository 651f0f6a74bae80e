// srcs: net/ws.c
// SPDX-License-Identifier: Apache-2.0
// WebSocket framing: lengths, masks, fragments, control frames, close codes, UTF-8; whole and byte by byte.
#include "net/ws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_MESSAGE 70000

struct bytes {
    uint8_t data[80000];
    size_t len;
};
static struct bytes in;

static void put(const void *data, size_t len)
{
    memcpy(in.data + in.len, data, len);
    in.len += len;
}

// A client's frame; `first` is FIN, RSV and opcode.
static void frame(int first, const void *data, size_t len)
{
    static const uint8_t mask[4] = {0xa1, 0, 0xff, 0x37};
    uint8_t head[10];
    size_t n = ws_frame_head(head, 0, len);

    head[0] = (uint8_t)first;
    head[1] |= 0x80;
    put(head, n);
    put(mask, 4);
    for (size_t i = 0; i < len; i++) {
        uint8_t b = ((const uint8_t *)data)[i] ^ mask[i & 3];

        put(&b, 1);
    }
}

// Feed everything in pieces of `step` bytes; the last event and the number of messages.
static enum ws_event run(size_t step, struct ws_item *item, char *text, size_t *messages)
{
    struct ws_parser p;
    enum ws_event ev = WS_EV_MORE;
    size_t at = 0;

    *messages = 0;
    text[0] = 0;
    ws_parser_init(&p, MAX_MESSAGE);
    while (at < in.len && ev != WS_EV_FAIL && ev != WS_EV_CLOSE) {
        size_t used, n = MIN(step, in.len - at);

        ev = ws_feed(&p, in.data + at, n, &used, item);
        assert_true(used <= n && (used > 0 || ev == WS_EV_FAIL || ev != WS_EV_MORE));
        at += used;
        if (ev == WS_EV_MESSAGE) {
            (*messages)++;
            assert_int_equal(item->data[item->len], 0);
            strncat(text, (const char *)item->data, 200);
        }
    }
    ws_parser_free(&p);
    item->data = NULL;
    return ev;
}

static enum ws_event run_both(struct ws_item *item, char *text, size_t *messages)
{
    char text2[1000];
    size_t messages2;
    enum ws_event ev = run(1, item, text2, &messages2);

    assert_int_equal(run(sizeof in.data, item, text, messages), ev);
    assert_int_equal(*messages, messages2);
    assert_string_equal(text, text2);
    return ev;
}

static void expect_fail(int code)
{
    struct ws_item item;
    char text[1000];
    size_t messages;

    assert_int_equal(run_both(&item, text, &messages), WS_EV_FAIL);
    assert_int_equal(item.code, code);
    in.len = 0;
}

static void expect_messages(size_t count, const char *expected)
{
    struct ws_item item;
    char text[1000];
    size_t messages;

    assert_int_not_equal(run_both(&item, text, &messages), WS_EV_FAIL);
    assert_int_equal(messages, count);
    assert_string_equal(text, expected);
    in.len = 0;
}

static void expect_close(int code)
{
    struct ws_item item;
    char text[1000];
    size_t messages;

    assert_int_equal(run_both(&item, text, &messages), WS_EV_CLOSE);
    assert_int_equal(item.code, code);
    in.len = 0;
}

static void test_messages(void **state)
{
    static const uint8_t empty[1];

    (void)state;
    frame(0x81, "Hello", 5);
    frame(0x82, "\1\2", 2);
    frame(0x81, empty, 0);
    expect_messages(3, "Hello\1\2");
    frame(0x01, "Hel", 3);
    frame(0x89, "ping", 4); // control frames may come between fragments
    frame(0x00, "", 0);
    frame(0x80, "lo", 2);
    frame(0x8a, "", 0);
    frame(0x81, "!", 1);
    expect_messages(2, "Hello!");
}

static void test_lengths(void **state)
{
    static const size_t lens[] = {0, 1, 125, 126, 127, 65535, 65536, MAX_MESSAGE};
    static uint8_t data[MAX_MESSAGE + 1];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        struct ws_item item;
        char text[1000];
        size_t messages;

        in.len = 0;
        frame(0x82, data, lens[i]);
        assert_int_equal(run(4096, &item, text, &messages), WS_EV_MESSAGE);
        assert_int_equal(item.len, lens[i]);
    }
    in.len = 0;
    frame(0x82, data, MAX_MESSAGE + 1);
    expect_fail(WS_CLOSE_TOO_BIG);
    frame(0x02, data, 40000); // the sum of the fragments counts
    frame(0x80, data, 40000 - 10000 + 1);
    expect_fail(WS_CLOSE_TOO_BIG);
    put("\x82\xfe\x00\x05\0\0\0\0", 8); // not the shortest form
    expect_fail(WS_CLOSE_PROTOCOL);
    put("\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0", 14);
    expect_fail(WS_CLOSE_PROTOCOL);
    put("\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 14);
    expect_fail(WS_CLOSE_PROTOCOL);
    put("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 14);
    expect_fail(WS_CLOSE_TOO_BIG);
}

static void test_protocol_errors(void **state)
{
    static const int bad_first[] = {0xc1, 0xa1, 0x91, 0x83, 0x87, 0x8b, 0x8f, 0x80, 0x00, 0x09, 0x0a, 0x08};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_first); i++) {
        frame(bad_first[i], "x", 1);
        expect_fail(WS_CLOSE_PROTOCOL);
    }
    put("\x81\x01x", 3); // not masked; judged before the mask would be waited for
    expect_fail(WS_CLOSE_PROTOCOL);
    put("\x81\x00", 2);
    expect_fail(WS_CLOSE_PROTOCOL);
    frame(0x01, "a", 1);
    frame(0x81, "b", 1); // a new message inside another
    expect_fail(WS_CLOSE_PROTOCOL);
    put("\x89\xfe\x00\x7e", 4); // a ping of 126 bytes
    expect_fail(WS_CLOSE_PROTOCOL);
}

static void test_close(void **state)
{
    static const struct {
        const char *payload;
        size_t len;
        int code, fail;
    } rows[] = {
        {"", 0, WS_CLOSE_NO_CODE, 0},
        {"\x03\xe8", 2, 1000, 0},
        {"\x03\xe8"
         "bye",
         5, 1000, 0},
        {"\x0b\xb8", 2, 3000, 0},
        {"\x13\x87", 2, 4999, 0},
        {"\x03\xf6", 2, 1014, 0},
        {"\x03", 1, 0, WS_CLOSE_PROTOCOL},
        {"\x03\xed", 2, 0, WS_CLOSE_PROTOCOL}, // 1005 must not be sent
        {"\x03\xee", 2, 0, WS_CLOSE_PROTOCOL},
        {"\x03\xf7", 2, 0, WS_CLOSE_PROTOCOL}, // 1015
        {"\x03\xec", 2, 0, WS_CLOSE_PROTOCOL}, // 1004
        {"\x00\x00", 2, 0, WS_CLOSE_PROTOCOL},
        {"\x13\x88", 2, 0, WS_CLOSE_PROTOCOL}, // 5000
        {"\x03\xe8\xff", 3, 0, WS_CLOSE_BAD_DATA},
        {"\x03\xe8\xc3", 3, 0, WS_CLOSE_BAD_DATA},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        frame(0x88, rows[i].payload, rows[i].len);
        if (rows[i].fail) {
            expect_fail(rows[i].fail);
        } else {
            expect_close(rows[i].code);
        }
    }
}

static void test_utf8(void **state)
{
    static const struct {
        const char *text;
        bool valid;
    } rows[] = {
        {"", true},
        {"plain ascii text, long enough for words", true},
        {"\xc2\x80", true},
        {"\xdf\xbf", true},
        {"\xe0\xa0\x80", true},
        {"\xed\x9f\xbf\xee\x80\x80", true},
        {"\xef\xbf\xbf", true},
        {"\xf0\x90\x80\x80", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\x80", false},
        {"\xc0\xaf", false},
        {"\xc1\xbf", false},
        {"\xe0\x9f\xbf", false},
        {"\xed\xa0\x80", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xfe", false},
        {"\xff", false},
        {"\xc2", false},
        {"\xe2\x82", false},
        {"a\xe2\x28\xa1", false},
        {"12345678\xe2\x82\xac"
         "12345678\xff",
         false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t len = strlen(rows[i].text);

        assert_int_equal(utf8_check(0, (const uint8_t *)rows[i].text, len) == 0, rows[i].valid);
        frame(0x01, rows[i].text, len / 2); // split in the middle of characters
        frame(0x80, rows[i].text + len / 2, len - len / 2);
        if (rows[i].valid) {
            expect_messages(1, rows[i].text);
        } else {
            expect_fail(WS_CLOSE_BAD_DATA);
        }
    }
    frame(0x82, "\xff\xfe", 2); // binary is anything
    expect_messages(1, "\xff\xfe");
}

// All characters of the planes' ends, against a direct decoder.
static void test_utf8_exhaustive(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint8_t b[4];
        size_t n;

        if (c < 0x80) {
            b[0] = (uint8_t)c;
            n = 1;
        } else if (c < 0x800) {
            b[0] = (uint8_t)(0xc0 | c >> 6);
            b[1] = 0x80 | (c & 0x3f);
            n = 2;
        } else if (c < 0x10000) {
            b[0] = (uint8_t)(0xe0 | c >> 12);
            b[1] = 0x80 | (c >> 6 & 0x3f);
            b[2] = 0x80 | (c & 0x3f);
            n = 3;
        } else {
            b[0] = (uint8_t)(0xf0 | c >> 18);
            b[1] = 0x80 | (c >> 12 & 0x3f);
            b[2] = 0x80 | (c >> 6 & 0x3f);
            b[3] = 0x80 | (c & 0x3f);
            n = 4;
        }
        if ((utf8_check(0, b, n) == 0) == (c >= 0xd800 && c < 0xe000)) {
            fail_msg("U+%04X", c);
        }
    }
}

static void test_frame_head(void **state)
{
    uint8_t out[WS_HEAD_MAX];

    (void)state;
    assert_int_equal(ws_frame_head(out, WS_OP_TEXT, 125), 2);
    assert_memory_equal(out, "\x81\x7d", 2);
    assert_int_equal(ws_frame_head(out, WS_OP_BINARY, 126), 4);
    assert_memory_equal(out, "\x82\x7e\x00\x7e", 4);
    assert_int_equal(ws_frame_head(out, WS_OP_BINARY, 65536), 10);
    assert_memory_equal(out, "\x82\x7f\0\0\0\0\0\1\0\0", 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_protocol_errors),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_utf8_exhaustive),
        cmocka_unit_test(test_frame_head),
    };

    return cmocka_run_group_tests_name("ws", tests, NULL, NULL);
}
