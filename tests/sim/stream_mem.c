// SPDX-License-Identifier: Apache-2.0
// A stream in memory for tests: see stream_mem.h.
#include "tests/sim/stream_mem.h"

#include <stdlib.h>
#include <string.h>

static struct mem_stream *mem_of(struct stream *s)
{
    return CONTAINER_OF(s, struct mem_stream, s);
}

static void append(uint8_t **buf, size_t *len, size_t *cap, const void *data, size_t n)
{
    if (*len + n + 1 > *cap) {
        *cap = (*len + n + 1) * 2;
        *buf = realloc(*buf, *cap);
        if (!*buf) {
            abort();
        }
    }
    if (n > 0) {
        memcpy(*buf + *len, data, n);
    }
    *len += n;
    (*buf)[*len] = 0;
}

static long mem_read(struct stream *s, void *buf, size_t cap)
{
    struct mem_stream *m = mem_of(s);
    size_t n = MIN(cap, m->in_len - m->in_off);

    if (m->read_max) {
        n = MIN(n, m->read_max);
    }
    if (m->peer_reset) {
        return STREAM_ERROR;
    }
    if (n == 0) {
        return m->peer_eof ? STREAM_EOF : 0;
    }
    memcpy(buf, m->in + m->in_off, n);
    m->in_off += n;
    return (long)n;
}

static size_t mem_write(struct stream *s, const void *data, size_t len)
{
    struct mem_stream *m = mem_of(s);
    size_t n = MIN(len, m->out_window);

    if (m->peer_reset) {
        return 0;
    }
    if (m->out_window != SIZE_MAX) {
        m->out_window -= n;
    }
    append(&m->out, &m->out_len, &m->out_cap, data, n);
    return n;
}

static void mem_finish(struct stream *s)
{
    mem_of(s)->finished = true;
}

static void mem_release(struct stream *s)
{
    mem_of(s)->released = true;
}

static void mem_close(struct stream *s)
{
    mem_of(s)->closed = true;
    stream_retire(s, mem_release);
}

static void mem_abort(struct stream *s)
{
    mem_of(s)->aborted = true;
    stream_retire(s, mem_release);
}

static void mem_peer(struct stream *s, struct stream_addr *out)
{
    (void)s;
    *out = (struct stream_addr){.ip = {192, 0, 2, 1}, .ip_len = 4, .port = 1234};
}

static const struct stream_ops mem_ops = {
    .read = mem_read,
    .write = mem_write,
    .finish = mem_finish,
    .close = mem_close,
    .abort = mem_abort,
    .peer = mem_peer,
};

struct mem_stream *mem_stream_new(void)
{
    struct mem_stream *m = calloc(1, sizeof *m);

    if (!m) {
        abort();
    }
    m->s.ops = &mem_ops;
    m->out_window = SIZE_MAX;
    append(&m->out, &m->out_len, &m->out_cap, "", 0);
    return m;
}

static bool open_for_peer(const struct mem_stream *m)
{
    return !m->closed && !m->aborted;
}

void mem_feed(struct mem_stream *m, const void *data, size_t len)
{
    append(&m->in, &m->in_len, &m->in_cap, data, len);
    if (open_for_peer(m)) {
        stream_raise(&m->s, STREAM_READABLE);
    }
}

void mem_feed_text(struct mem_stream *m, const char *text)
{
    mem_feed(m, text, strlen(text));
}

void mem_feed_eof(struct mem_stream *m)
{
    m->peer_eof = true;
    if (open_for_peer(m)) {
        stream_raise(&m->s, STREAM_READABLE);
    }
}

void mem_feed_reset(struct mem_stream *m)
{
    m->peer_reset = true;
    mem_feed_eof(m);
}

void mem_take(struct mem_stream *m, size_t len)
{
    m->out_window += len;
    if (open_for_peer(m)) {
        stream_raise(&m->s, STREAM_WRITABLE);
    }
}

void mem_clear_output(struct mem_stream *m)
{
    m->out_len = 0;
    m->out[0] = 0;
}

void mem_stream_free(struct mem_stream *m)
{
    if (!m->released) {
        abort(); // still known to the loop
    }
    free(m->in);
    free(m->out);
    free(m);
}
