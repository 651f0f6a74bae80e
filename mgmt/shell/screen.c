// SPDX-License-Identifier: Apache-2.0
// The screen: rows of text, what of them is not drawn yet, and a look at log and addresses once a second.
#include "mgmt/shell/screen.h"

#include <keelson/glyph.h>

#include <stdio.h>
#include <string.h>

#include "mgmt/core/core.h"
#include "mgmt/hcs/server.h"
#include "mgmt/hvif/hvif.h"
#include "mgmt/plat.h"
#include "net/net.h"

#define COLUMNS_MAX 480u // 3840 by 2160 pixels
#define ROWS_MAX 135u
#define ROWS_MIN 16u
#define HEADER_ROWS 8u // the last one stays empty
#define LOOK_NS 1000000000ull
#define PIECES_A_LOOK 8u

static struct {
    void *pixels; // NULL: no screen
    uint32_t stride, columns, rows;
    char text[ROWS_MAX][COLUMNS_MAX]; // padded with blanks
    bool stale[ROWS_MAX];             // not drawn as it is
    uint32_t log_row, log_column;     // where the next character of the log goes
    uint64_t sequence;                // of the log
    struct plat_timer look_timer;
    struct plat_work draw_work;
} screen;

// --- drawing ---

static void draw_row(uint32_t row)
{
    uint32_t foreground = row < HEADER_ROWS ? 0xffffff : 0xb0b0b0; // grey: the same in both pixel formats

    for (uint32_t i = 0; i < screen.columns; i++) {
        glyph_draw(screen.pixels, screen.stride, i, row, screen.text[row][i], foreground, 0);
    }
    screen.stale[row] = false;
}

// One row a turn of the event loop.
static void draw(struct plat_work *work)
{
    for (uint32_t row = 0; row < screen.rows; row++) {
        if (screen.stale[row]) {
            draw_row(row);
            plat_post(work, draw);
            return;
        }
    }
}

static void put(uint32_t row, uint32_t column, char c)
{
    if (screen.text[row][column] != c) {
        screen.text[row][column] = c;
        screen.stale[row] = true;
    }
}

// --- header ---

// Writes text from *row on, wrapped; *row is then the row below it.
static void header_line(uint32_t *row, const char *text)
{
    uint32_t column = 0;

    for (; *row < HEADER_ROWS - 1 && (*text != '\0' || column > 0); column++) {
        if (column == screen.columns) {
            column = 0;
            ++*row;
            if (*text == '\0' || *row == HEADER_ROWS - 1) {
                return;
            }
        }
        put(*row, column, *text != '\0' ? *text++ : ' ');
    }
}

static void header_addresses(uint32_t *row)
{
    char address[NET_ADDRESSES_MAX][NET_ADDRESS_TEXT], line[NET_ADDRESSES_MAX * (NET_ADDRESS_TEXT + 16)];
    size_t count = net_hostname()[0] != '\0' ? net_addresses(address) : 0, n = 0;

    for (size_t i = 0; i < count; i++) {
        bool v6 = strchr(address[i], ':') != NULL;

        n += (size_t)snprintf(line + n, sizeof line - n, "https://%s%s%s/  ", v6 ? "[" : "", address[i],
                              v6 ? "]" : "");
    }
    header_line(row, count > 0 ? line : "no address");
}

static void look_at_node(void)
{
    const struct core_node *node = core_node();
    char line[256], fingerprint[96];
    uint32_t row = 0;

    snprintf(line, sizeof line, "Keelson %s on %s: %u x %s (%s)", node->version, node->hostname,
             (unsigned)node->cpu_count, node->cpu_brand, node->engine);
    header_line(&row, line);
    header_addresses(&row);
    api_server_fingerprint(fingerprint);
    if (fingerprint[0] != '\0') {
        snprintf(line, sizeof line, "certificate SHA-256 %s", fingerprint);
        header_line(&row, line);
    }
    while (row < HEADER_ROWS - 1) {
        uint32_t blank = row++;

        for (uint32_t i = 0; i < screen.columns; i++) {
            put(blank, i, ' ');
        }
    }
}

// --- log ---

static void scroll(void)
{
    for (uint32_t row = HEADER_ROWS; row < screen.rows; row++) {
        for (uint32_t i = 0; i < screen.columns; i++) {
            put(row, i, row + 1 < screen.rows ? screen.text[row + 1][i] : ' ');
        }
    }
}

static void new_row(void)
{
    screen.log_column = 0;
    if (screen.log_row + 1 < screen.rows) {
        screen.log_row++;
    } else {
        scroll();
    }
}

// A newline moves on only when the next character comes, so that the last row is of use.
static void log_byte(char c)
{
    if (c == '\n') {
        screen.log_column = UINT32_MAX;
        return;
    }
    if (screen.log_column >= screen.columns) {
        new_row();
    }
    put(screen.log_row, screen.log_column++, c);
}

// Takes what is new, so much a turn; true if there may be more.
static bool look_at_log(void)
{
    static struct hv_x_log_out piece; // too large for the stack; one at a time

    for (unsigned i = 0; i < PIECES_A_LOOK; i++) {
        if (hvif_read_log(screen.sequence, &piece) != HV_STATUS_SUCCESS || piece.length == 0 ||
            piece.length > sizeof piece.text) {
            return false;
        }
        for (uint32_t at = 0; at < piece.length; at++) {
            log_byte((char)piece.text[at]);
        }
        screen.sequence = piece.sequence + piece.length;
    }
    return true;
}

static void look(struct plat_timer *timer)
{
    bool more = look_at_log();

    look_at_node();
    plat_post(&screen.draw_work, draw);
    plat_timer_start(timer, more ? 1 : LOOK_NS, look);
}

// --- start ---

void screen_start(const struct boot_framebuffer *fb, void *pixels)
{
    if (fb->base == 0 || fb->base % 8 != 0 || fb->stride % 2 != 0 || fb->width > fb->stride ||
        fb->height < ROWS_MIN * GLYPH_HEIGHT || fb->width < 40 * GLYPH_WIDTH) {
        return;
    }
    screen.pixels = pixels;
    screen.stride = fb->stride;
    screen.columns = MIN(fb->width / GLYPH_WIDTH, COLUMNS_MAX);
    screen.rows = MIN(fb->height / GLYPH_HEIGHT, ROWS_MAX);
    screen.log_row = HEADER_ROWS;
    memset(screen.text, ' ', sizeof screen.text);
    memset(screen.stale, true, sizeof screen.stale);
    look(&screen.look_timer);
}
