// SPDX-License-Identifier: Apache-2.0
// A bitmap, searched word by word from where the last search ended.
#include "mgmt/store/space.h"

#include <stdlib.h>

#define WORD_BITS 64u

bool space_init(struct space *s, uint64_t count)
{
    *s = (struct space){.count = count};
    s->bits = calloc((size_t)((count + WORD_BITS - 1) / WORD_BITS), sizeof *s->bits);
    return s->bits != NULL;
}

void space_end(struct space *s)
{
    free(s->bits);
    *s = (struct space){0};
}

bool space_claim(struct space *s, uint64_t extent)
{
    if (extent >= s->count || (s->bits[extent / WORD_BITS] >> extent % WORD_BITS & 1)) {
        return false;
    }
    s->bits[extent / WORD_BITS] |= BIT(extent % WORD_BITS);
    s->used++;
    return true;
}

// The first free extent in [from, to), or `to`.
static uint64_t find(const struct space *s, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to;) {
        uint64_t open = ~s->bits[i / WORD_BITS] >> i % WORD_BITS;

        if (open != 0) {
            return MIN(i + (uint64_t)__builtin_ctzll(open), to);
        }
        i = ALIGN_DOWN(i, (uint64_t)WORD_BITS) + WORD_BITS;
    }
    return to;
}

bool space_take(struct space *s, uint32_t *extent)
{
    uint64_t at = find(s, s->next, s->count);

    if (at == s->count) {
        at = find(s, 0, s->next);
        if (at == s->next) {
            return false;
        }
    }
    s->next = at + 1 < s->count ? at + 1 : 0;
    *extent = (uint32_t)at;
    return space_claim(s, at);
}

void space_give(struct space *s, uint32_t extent)
{
    s->bits[extent / WORD_BITS] &= ~BIT(extent % WORD_BITS);
    s->used--;
}
