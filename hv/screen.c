// SPDX-License-Identifier: Apache-2.0
// Panic messages on the frame buffer.
#include "hv/screen.h"

#include <keelson/glyph.h>

#include "arch/x86/host.h"

#define ROWS_MAX 20u // what is mapped, and so the page tables that are needed, stays small
#define BYTES_MAX (8u << 20)

static void *pixels; // NULL: no frame buffer
static uint32_t stride, columns, rows, next_row;
static uint32_t white = 0xffffff, red;

void screen_init(const struct boot_info *info)
{
    const struct boot_framebuffer *fb = &info->fb;
    uint64_t bytes = (uint64_t)ROWS_MAX * GLYPH_HEIGHT * fb->stride * sizeof(uint32_t);

    if (fb->base == 0 || fb->base % 8 != 0 || fb->stride % 2 != 0 || fb->width > fb->stride ||
        fb->height < ROWS_MAX * GLYPH_HEIGHT || bytes > BYTES_MAX) {
        return;
    }
    stride = fb->stride;
    columns = fb->width / GLYPH_WIDTH;
    rows = ROWS_MAX;
    red = fb->format == 0 ? 0x000090 : 0x900000;
    pixels = host_map_device(SPA(fb->base), bytes);
}

void screen_panic_line(const char *line, size_t len)
{
    uint32_t column = 0;

    if (pixels == NULL) {
        return;
    }
    for (size_t i = 0; i < len || column % columns != 0; i++, column++) {
        if (column == columns) {
            column = 0;
            next_row++;
        }
        if (next_row >= rows) {
            return; // the first lines say what happened; the rest is on the serial console
        }
        glyph_draw(pixels, stride, column, next_row, i < len ? line[i] : ' ', white, red);
    }
    next_row++;
}
