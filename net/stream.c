// SPDX-License-Identifier: Apache-2.0
// What all streams share: delivery of events from the event loop, and the end of a stream's life.
#include "net/stream.h"

#include <stdio.h>

static void stream_work(struct plat_work *w)
{
    struct stream *s = CONTAINER_OF(w, struct stream, work);
    unsigned events = s->pending;

    s->pending = 0;
    if (s->release) {
        s->release(s);
        return;
    }
    if (events && s->on_event) {
        s->on_event(s, events);
    }
}

void stream_raise(struct stream *s, unsigned events)
{
    s->pending |= events;
    plat_post(&s->work, stream_work);
}

void stream_retire(struct stream *s, void (*release)(struct stream *s))
{
    s->on_event = NULL;
    s->release = release;
    plat_post(&s->work, stream_work);
}

// RFC 5952: the longest run of at least two zero groups becomes "::".
static void longest_zero_run(const uint16_t g[8], int *start, int *len)
{
    *start = -1;
    *len = 1;
    for (int i = 0; i < 8; i++) {
        int n = 0;

        while (i + n < 8 && g[i + n] == 0) {
            n++;
        }
        if (n > *len) {
            *start = i;
            *len = n;
        }
        i += n;
    }
}

static void ipv6_text(const uint8_t ip[16], char out[48])
{
    uint16_t g[8];
    int start, len, n = 0;

    for (int i = 0; i < 8; i++) {
        g[i] = (uint16_t)(ip[2 * i] << 8 | ip[2 * i + 1]);
    }
    longest_zero_run(g, &start, &len);
    for (int i = 0; i < 8; i++) {
        if (i == start) {
            n += sprintf(out + n, "::");
            i += len - 1;
        } else {
            n += sprintf(out + n, "%s%x", i == 0 || i == start + len ? "" : ":", g[i]);
        }
    }
}

void stream_addr_text(const struct stream_addr *a, char out[48])
{
    if (a->ip_len == 4) {
        sprintf(out, "%u.%u.%u.%u", a->ip[0], a->ip[1], a->ip[2], a->ip[3]);
    } else if (a->ip_len == 16) {
        ipv6_text(a->ip, out);
    } else {
        sprintf(out, "?");
    }
}
