// SPDX-License-Identifier: Apache-2.0
// Byte streams: the one interface that TCP, TLS and the HTTP server share.
//
// Implementations: net/stream_lwip.c (TCP in the partition), tests/sim/stream_host.c (Linux sockets),
// net/tls.c (TLS over another stream). Control plane only; nothing blocks.
//
// Events are never delivered from inside a call of the user: they come from the event loop through
// stream_raise(), so a user may close, write or read in any callback. They are edge-like: after `readable`
// read until 0, after a short write wait for `writable`.
//
//   owner                    stream
//   set events  ------------->
//            <--- on_event(READABLE) ---
//   read() until 0 ---------->              0 = nothing now, STREAM_EOF = peer finished, STREAM_ERROR = broken
//   write() ----------------->              fewer bytes than asked = full; continue *with the same bytes*
//            <--- on_event(WRITABLE) ---
//   finish() -------------->                half close
//   close() or abort() ----->               no event afterwards, the pointer is dead
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "mgmt/plat.h"

#define STREAM_EOF (-1)
#define STREAM_ERROR (-2)

enum stream_event {
    STREAM_READABLE = 1, // also at end of stream and after an error: read() then says which
    STREAM_WRITABLE = 2,
};

struct stream_addr { // peer or own address
    uint8_t ip[16];  // IPv4 in the first 4 bytes
    uint8_t ip_len;  // 4 or 16
    uint16_t port;
};

struct stream;

struct stream_ops {
    long (*read)(struct stream *s, void *buf, size_t cap); // > 0, 0, STREAM_EOF, STREAM_ERROR
    // Bytes taken, 0 when full or broken (a broken stream also becomes readable). After a short write the
    // next one must begin with the bytes that were not taken.
    size_t (*write)(struct stream *s, const void *data, size_t len);
    void (*flush)(struct stream *s); // send what is buffered now; may be NULL
    // Nothing more will be written: the peer sees the end after what was written. Reading stays possible.
    void (*finish)(struct stream *s);
    void (*close)(struct stream *s);                         // orderly: what was written is still sent
    void (*abort)(struct stream *s);                         // at once; the peer sees a reset
    void (*peer)(struct stream *s, struct stream_addr *out); // the other end's address
};

struct stream {
    const struct stream_ops *ops;
    void (*on_event)(struct stream *s, unsigned events); // set by the user before returning from accept
    void *user;
    // Private to stream.c.
    struct plat_work work;
    unsigned pending;
    void (*release)(struct stream *s);
};

// Queue events for the stream's user; for implementations. Safe from any control-plane context.
void stream_raise(struct stream *s, unsigned events);
// End of a stream's life, for implementations: no event is delivered any more, and `release` is called from
// the event loop when nothing refers to the stream.
void stream_retire(struct stream *s, void (*release)(struct stream *s));
void stream_addr_text(const struct stream_addr *a, char out[48]);

// A listener hands each accepted stream to `accept`, from the event loop. `accept` owns the stream.
struct stream_listener {
    void (*accept)(struct stream_listener *l, struct stream *s);
    void *user;
    void *impl; // private to the implementation
    uint16_t port;
};
// Listen on all addresses; port 0 takes a free one and stores it in l->port. False: port in use or no memory.
MUST_CHECK bool stream_listen(struct stream_listener *l, uint16_t port);
void stream_unlisten(struct stream_listener *l);

#endif
