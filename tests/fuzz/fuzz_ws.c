// srcs: net/ws.c
// SPDX-License-Identifier: Apache-2.0
// Fuzz target: WebSocket frames in one piece and in small ones must give the same events.
#include "net/ws.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_MESSAGE 300
#define EVENTS_MAX 64

struct trace {
    int event[EVENTS_MAX], type[EVENTS_MAX], code[EVENTS_MAX];
    size_t len[EVENTS_MAX];
    uint32_t sum[EVENTS_MAX];
    size_t count;
};

static void note(struct trace *t, enum ws_event ev, const struct ws_item *item)
{
    uint32_t sum = 0;

    if (t->count == EVENTS_MAX || ev == WS_EV_MORE) {
        return;
    }
    for (size_t i = 0; i < item->len; i++) {
        sum = sum * 31 + item->data[i];
    }
    if (item->len > MAX_MESSAGE || (item->data && ev != WS_EV_FAIL && item->data[item->len] != 0)) {
        abort();
    }
    if (item->type == WS_OP_TEXT && utf8_check(0, item->data, item->len) != 0) {
        abort();
    }
    t->event[t->count] = ev;
    t->type[t->count] = item->type;
    t->code[t->count] = item->code;
    t->len[t->count] = item->len;
    t->sum[t->count++] = sum;
}

static void run(struct trace *t, const uint8_t *data, size_t size, size_t step)
{
    struct ws_parser p;
    size_t at = 0;

    memset(t, 0, sizeof *t);
    ws_parser_init(&p, MAX_MESSAGE);
    while (at < size) {
        uint8_t *copy;
        struct ws_item item;
        enum ws_event ev;
        size_t used, n = MIN(step, size - at);

        copy = malloc(n); // of the exact size, so that the sanitizer sees every overrun
        memcpy(copy, data + at, n);
        ev = ws_feed(&p, copy, n, &used, &item);
        free(copy);
        if (used > n || (ev == WS_EV_MORE && used < n)) {
            abort();
        }
        at += used;
        note(t, ev, &item);
        if (ev == WS_EV_FAIL || ev == WS_EV_CLOSE) {
            break;
        }
    }
    ws_parser_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct trace whole, pieces;

    run(&whole, data, size, size);
    run(&pieces, data, size, 1);
    if (memcmp(&whole, &pieces, sizeof whole) != 0) {
        abort();
    }
    return 0;
}
