// SPDX-License-Identifier: Apache-2.0
// Reads a text/event-stream (HTML Standard "Parsing an event stream"), in pieces of any size.
//
// Ids and retry times are left alone: a node's numbers are in its documents too.
#ifndef KEELCTL_SSE_H
#define KEELCTL_SSE_H

#include <stdbool.h>
#include <stddef.h>

#define SSE_LINE_MAX 65536u // bytes of a line, and of a message's data
#define SSE_TYPE_MAX 64u    // bytes of a message's type; a longer one is cut

// A message: its type ("message" if it has none) and its data, lines separated by '\n'. Valid during the call.
typedef void sse_message_fn(void *arg, const char *type, const char *data);

struct sse {
    sse_message_fn *message;
    void *arg;
    bool begun;    // the first line, which may have a byte order mark, is over
    bool after_cr; // a line feed now belongs to the end of line before
    size_t line_length, data_length;
    char line[SSE_LINE_MAX];
    char type[SSE_TYPE_MAX];
    char data[SSE_LINE_MAX];
};

// For each stream anew: what an earlier one has left unfinished is forgotten.
void sse_init(struct sse *s, sse_message_fn *message, void *arg);
// Takes the next bytes. False: a line or a message is too long, and the stream is of no use any more.
bool sse_feed(struct sse *s, const char *bytes, size_t length);

#endif
