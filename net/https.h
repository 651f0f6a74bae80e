// SPDX-License-Identifier: Apache-2.0
// An HTTP server behind TLS on a TCP port: the glue of stream.h, tls.h and http.h.
#ifndef NET_HTTPS_H
#define NET_HTTPS_H

#include "net/http.h"
#include "net/tls.h"

struct https;

// Listen on all addresses. port 0 takes a free one (https_port() says which). NULL: port in use, no memory or
// a bad identity. The HTTP server stays the caller's.
struct https *https_start(struct http_server *http, const struct tls_config *tls,
                          const struct tls_identity *id, uint16_t port);
void https_stop(struct https *h); // tests; open connections belong to the HTTP server, so free that first
uint16_t https_port(const struct https *h);
struct tls_server *https_tls(struct https *h); // to replace the identity, for statistics

#endif
