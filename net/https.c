// SPDX-License-Identifier: Apache-2.0
// An HTTP server behind TLS on a TCP port: see https.h.
#include "net/https.h"

#include <stdlib.h>

struct https {
    struct stream_listener listener;
    struct tls_server *tls;
    struct http_server *http;
};

static void on_accept(struct stream_listener *l, struct stream *s)
{
    struct https *h = l->user;

    tls_accept(h->tls, s);
}

static void on_ready(void *arg, struct stream *s)
{
    struct https *h = arg;

    http_serve(h->http, s);
}

struct https *https_start(struct http_server *http, const struct tls_config *tls,
                          const struct tls_identity *id, uint16_t port)
{
    struct https *h = calloc(1, sizeof *h);

    if (!h) {
        return NULL;
    }
    h->http = http;
    h->tls = tls_server_new(tls, id, on_ready, h);
    h->listener.accept = on_accept;
    h->listener.user = h;
    if (!h->tls || !stream_listen(&h->listener, port)) {
        if (h->tls) {
            tls_server_free(h->tls);
        }
        free(h);
        return NULL;
    }
    return h;
}

void https_stop(struct https *h)
{
    stream_unlisten(&h->listener);
    tls_server_free(h->tls);
    free(h);
}

uint16_t https_port(const struct https *h)
{
    return h->listener.port;
}

struct tls_server *https_tls(struct https *h)
{
    return h->tls;
}
