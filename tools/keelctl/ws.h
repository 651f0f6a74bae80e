// SPDX-License-Identifier: Apache-2.0
// A WebSocket to a node: the handshake of RFC 6455 on a curl connection, framing by libwslay.
#ifndef KEELCTL_WS_H
#define KEELCTL_WS_H

#include "tools/keelctl/client.h"

struct ws;

// Called with each message's content.
typedef void (*ws_message_fn)(void *arg, const uint8_t *data, size_t length);

// Opens `path`. NULL: *status says why, and so has a message.
struct ws *ws_open(struct client *c, const char *path, ws_message_fn message, void *arg, enum status *status);
void ws_free(struct ws *w);

// For poll(): the socket, and whether there is something to write.
int ws_socket(const struct ws *w);
bool ws_wants_write(const struct ws *w);
// Reads and writes what is possible without waiting. False when the connection is over.
bool ws_step(struct ws *w);
// Bytes that wait to be sent.
size_t ws_queued(const struct ws *w);
// Queues a binary message.
void ws_send(struct ws *w, const void *data, size_t length);
// Begins the closing handshake.
void ws_close(struct ws *w);
// The code with which the node closed; 1006 if the connection just went away (RFC 6455 section 7.1.5).
unsigned ws_close_code(const struct ws *w);

#endif
