// srcs: mgmt/shell/screen.c tests/sim/plat_host.c
// SPDX-License-Identifier: Apache-2.0
// The screen, read back from its pixels: header, log, wrapping, scrolling, and drawing in slices.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <keelson/glyph.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/core.h"
#include "mgmt/hcs/server.h"
#include "mgmt/hvif/hvif.h"
#include "mgmt/shell/screen.h"
#include "net/net.h"
#include "tests/sim/plat_host.h"

#define WIDTH 800u
#define HEIGHT 600u
#define STRIDE 832u
#define COLUMNS (WIDTH / GLYPH_WIDTH)
#define ROWS (HEIGHT / GLYPH_HEIGHT)
#define MARGIN 0x12345678u // of pixels that nobody may touch

static uint32_t *pixels;
static char log_text[20000];
static size_t log_length;
static bool certificate;
static size_t address_count;

// --- what the screen shows ---

hv_status_t hvif_read_log(uint64_t sequence, struct hv_x_log_out *out)
{
    memset(out, 0, sizeof *out);
    out->sequence = sequence;
    out->length = (uint32_t)MIN(log_length - sequence, sizeof out->text);
    memcpy(out->text, log_text + sequence, out->length);
    return HV_STATUS_SUCCESS;
}

const struct core_node *core_node(void)
{
    static const struct core_node node = {.version = "1.2.3",
                                          .engine = "sim",
                                          .cpu_brand = "Simulated CPU",
                                          .hostname = "node-7",
                                          .cpu_count = 2};

    return &node;
}

size_t net_addresses(char out[NET_ADDRESSES_MAX][NET_ADDRESS_TEXT])
{
    snprintf(out[0], NET_ADDRESS_TEXT, "192.0.2.7");
    snprintf(out[1], NET_ADDRESS_TEXT, "2001:db8::7");
    return address_count;
}

const char *net_hostname(void)
{
    return "node-7";
}

void api_server_fingerprint(char out[96])
{
    memset(out, 'A', 95);
    out[95] = '\0';
    out[0] = certificate ? 'A' : '\0';
}

// --- reading pixels ---

static char read_cell(size_t row, size_t column)
{
    const uint32_t *at = pixels + row * GLYPH_HEIGHT * STRIDE + column * GLYPH_WIDTH;

    for (unsigned c = FONT_FIRST; c <= FONT_LAST; c++) {
        bool same = true;

        for (unsigned y = 0; same && y < GLYPH_HEIGHT; y++) {
            for (unsigned x = 0; same && x < GLYPH_WIDTH; x++) {
                same = (at[y * STRIDE + x] != 0) == (font_glyphs[c - FONT_FIRST][y / 2] >> (7 - x) & 1);
            }
        }
        if (same) {
            return (char)c;
        }
    }
    return '\0';
}

static const char *read_row(size_t row)
{
    static char text[COLUMNS + 1];
    size_t used = 0;

    for (size_t i = 0; i < COLUMNS; i++) {
        text[i] = read_cell(row, i);
        assert_int_not_equal(text[i], '\0');
        used = text[i] != ' ' ? i + 1 : used;
    }
    text[used] = '\0';
    return text;
}

static void log_line(const char *text)
{
    log_length += (size_t)snprintf(log_text + log_length, sizeof log_text - log_length, "%s\n", text);
}

static void a_second(void)
{
    plat_host_advance_ms(1000);
    plat_host_settle();
}

// --- tests, on one screen ---

static void test_refused(void **state)
{
    const struct boot_framebuffer wrong[] = {{.base = 0},
                                             {.base = 4, .width = 800, .height = 600, .stride = 800},
                                             {.base = 8, .width = 800, .height = 600, .stride = 801},
                                             {.base = 8, .width = 800, .height = 600, .stride = 799},
                                             {.base = 8, .width = 800, .height = 100, .stride = 800},
                                             {.base = 8, .width = 100, .height = 600, .stride = 800}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        screen_start(&wrong[i], NULL);
    }
    assert_int_equal(plat_host_armed(), 0);
}

static void test_start(void **state)
{
    static const struct boot_framebuffer fb = {.base = 8, .width = WIDTH, .height = HEIGHT, .stride = STRIDE};

    (void)state;
    log_line("[    0.000001] first line");
    screen_start(&fb, pixels);
    assert_int_equal(pixels[0], MARGIN); // nothing is drawn before its turn
    plat_host_settle();
    assert_string_equal(read_row(0), "Keelson 1.2.3 on node-7: 2 x Simulated CPU (sim)");
    assert_string_equal(read_row(1), "no address");
    assert_string_equal(read_row(2), "");
    assert_string_equal(read_row(8), "[    0.000001] first line");
    assert_string_equal(read_row(9), "");
}

static void test_address(void **state)
{
    (void)state;
    certificate = true;
    address_count = 2;
    a_second();
    assert_string_equal(read_row(1), "https://192.0.2.7/  https://[2001:db8::7]/");
    assert_memory_equal(read_row(2), "certificate SHA-256 AAAA", 24);
    assert_int_equal(strlen(read_row(3)), 20 + 95 - COLUMNS); // wrapped
    address_count = 0;
    certificate = false;
    a_second();
    assert_string_equal(read_row(1), "no address");
    assert_string_equal(read_row(2), "");
    assert_string_equal(read_row(3), "");
}

static void test_wrap_and_scroll(void **state)
{
    char text[COLUMNS + 8];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_line(text);
    a_second();
    assert_int_equal(strlen(read_row(9)), COLUMNS);
    assert_string_equal(read_row(10), "xxxxxxx");
    for (unsigned i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "line %u", i);
        log_line(text);
    }
    a_second();
    assert_string_equal(read_row(ROWS - 1), "line 99");
    assert_string_equal(read_row(8), "line 71");
    assert_string_equal(read_row(0), "Keelson 1.2.3 on node-7: 2 x Simulated CPU (sim)");
}

static void test_much_log_at_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 250; i++) {
        log_line("a line of some length that makes the log longer than one look at it takes");
    }
    log_line("\x1b[2Jend\xc3\xbc");
    a_second();
    a_second();
    assert_string_equal(read_row(ROWS - 1), "?[2Jend??");
}

// Right of the text and below it nothing was written.
static void test_margins(void **state)
{
    (void)state;
    for (size_t y = 0; y < HEIGHT; y++) {
        for (size_t x = y < ROWS * GLYPH_HEIGHT ? WIDTH : 0; x < STRIDE; x++) {
            assert_int_equal(pixels[y * STRIDE + x], MARGIN);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),          cmocka_unit_test(test_start),
        cmocka_unit_test(test_address),          cmocka_unit_test(test_wrap_and_scroll),
        cmocka_unit_test(test_much_log_at_once), cmocka_unit_test(test_margins),
    };
    int failed;

    pixels = malloc(sizeof(uint32_t) * STRIDE * HEIGHT);
    for (size_t i = 0; pixels != NULL && i < STRIDE * HEIGHT; i++) {
        pixels[i] = MARGIN;
    }
    plat_host_manual_clock();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(pixels);
    return failed;
}
