// SPDX-License-Identifier: Apache-2.0
// A stream in memory for tests: what the peer says is fed in, what the server says is collected.
#ifndef TESTS_SIM_STREAM_MEM_H
#define TESTS_SIM_STREAM_MEM_H

#include "net/stream.h"

struct mem_stream {
    struct stream s;
    uint8_t *in; // fed, not yet read
    size_t in_len, in_off, in_cap;
    uint8_t *out; // written, NUL-terminated
    size_t out_len, out_cap;
    size_t out_window; // how much the peer takes before writes come up short; SIZE_MAX: everything
    size_t read_max;   // most that one read returns; 0: no limit
    bool peer_eof, peer_reset;
    bool finished, closed, aborted; // what the server did
    bool released;
};

struct mem_stream *mem_stream_new(void);
void mem_feed(struct mem_stream *m, const void *data, size_t len);
void mem_feed_text(struct mem_stream *m, const char *text);
void mem_feed_eof(struct mem_stream *m);
void mem_feed_reset(struct mem_stream *m);
void mem_take(struct mem_stream *m, size_t len); // the peer takes len more bytes
void mem_clear_output(struct mem_stream *m);
// After the server has closed or aborted the stream (and the loop has run).
void mem_stream_free(struct mem_stream *m);

#endif
