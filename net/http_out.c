// SPDX-License-Identifier: Apache-2.0
// HTTP server: the output queue of a connection.
#include "net/http_priv.h"

#include <stdlib.h>
#include <string.h>

#define SEG_MIN 2048

static void link_seg(struct out_queue *q, struct out_seg *seg)
{
    if (q->tail) {
        q->tail->next = seg;
    } else {
        q->head = seg;
    }
    q->tail = seg;
}

static bool append_outside(struct out_queue *q, const void *data, size_t len, enum out_owner owner)
{
    struct out_seg *seg = malloc(sizeof *seg);

    if (!seg) {
        return false;
    }
    *seg = (struct out_seg){.data = data, .len = len, .cap = len, .owner = owner};
    link_seg(q, seg);
    q->bytes += len;
    return true;
}

bool out_append_static(struct out_queue *q, const void *data, size_t len)
{
    return append_outside(q, data, len, OUT_STATIC);
}

bool out_append_owned(struct out_queue *q, void *data, size_t len)
{
    return append_outside(q, data, len, OUT_MALLOC);
}

static struct out_seg *out_inline_seg(struct out_queue *q, size_t want)
{
    size_t cap = want < SEG_MIN ? SEG_MIN : MIN(want, (size_t)IN_BYTES);
    struct out_seg *seg = malloc(sizeof *seg + cap);

    if (!seg) {
        return NULL;
    }
    *seg = (struct out_seg){.data = (uint8_t *)(seg + 1), .cap = cap, .owner = OUT_INLINE};
    link_seg(q, seg);
    return seg;
}

bool out_append(struct out_queue *q, const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len > 0) {
        struct out_seg *seg = q->tail;
        size_t n;

        if (!seg || seg->owner != OUT_INLINE || seg->len == seg->cap) {
            seg = out_inline_seg(q, len);
            if (!seg) {
                return false;
            }
        }
        n = MIN(len, seg->cap - seg->len);
        memcpy((uint8_t *)(seg + 1) + seg->len, p, n);
        seg->len += n;
        q->bytes += n;
        p += n;
        len -= n;
    }
    return true;
}

static void out_pop(struct out_queue *q)
{
    struct out_seg *seg = q->head;

    q->head = seg->next;
    if (!q->head) {
        q->tail = NULL;
    }
    if (seg->owner == OUT_MALLOC) {
        free((void *)seg->data);
    }
    free(seg);
}

void out_consume(struct out_queue *q, size_t n)
{
    q->bytes -= n;
    while (q->head && n >= q->head->len - q->head->off) {
        n -= q->head->len - q->head->off;
        out_pop(q);
    }
    if (q->head) {
        q->head->off += n;
    }
}

void out_clear(struct out_queue *q)
{
    while (q->head) {
        out_pop(q);
    }
    q->bytes = 0;
}
