// SPDX-License-Identifier: Apache-2.0
// Drawing a character into a frame buffer of 32-bit pixels: what the management partition's screen and the
// hypervisor's last words have in common. Glyphs come from schema/font.txt.
#ifndef KEELSON_GLYPH_H
#define KEELSON_GLYPH_H

#include <gen/font.h>
#include <keelson/types.h>

#define GLYPH_WIDTH 8
#define GLYPH_HEIGHT 16 // each row of the font twice

// Draws the character at text position (column, row). `pixels` is 8-byte aligned and `stride`, in pixels, even;
// two pixels go into each store because the memory is uncached. Colours are as the frame buffer wants them.
static inline void glyph_draw(void *pixels, uint32_t stride, uint32_t column, uint32_t row, char c,
                              uint32_t foreground, uint32_t background)
{
    const uint8_t *glyph =
        font_glyphs[(uint8_t)c < FONT_FIRST || (uint8_t)c > FONT_LAST ? '?' - FONT_FIRST
                                                                      : (uint8_t)c - FONT_FIRST];
    uint64_t pair[4]; // by two bits of a glyph's row

    for (unsigned i = 0; i < 4; i++) {
        uint64_t left = i & 2 ? foreground : background, right = i & 1 ? foreground : background;

        pair[i] = left | right << 32;
    }
    for (unsigned y = 0; y < GLYPH_HEIGHT; y++) {
        size_t at = ((size_t)row * GLYPH_HEIGHT + y) * stride + column * GLYPH_WIDTH;
        volatile uint64_t *out = (volatile uint64_t *)((uint32_t *)pixels + at);
        uint8_t bits = glyph[y / 2];

        out[0] = pair[bits >> 6];
        out[1] = pair[bits >> 4 & 3];
        out[2] = pair[bits >> 2 & 3];
        out[3] = pair[bits & 3];
    }
}

#endif
