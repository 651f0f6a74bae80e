// SPDX-License-Identifier: Apache-2.0
// TLS streams: mbedTLS between an upper user and a lower stream, handshakes queued and bounded.
#include "net/tls_priv.h"

#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000ull
#define TICKET_LIFETIME_S 3600
#define RECORD_MAX 16384

enum tls_phase {
    TLS_SILENT,  // the client has not said anything: costs it a connection and us little
    TLS_WAITING, // for a handshake slot
    TLS_HANDSHAKE,
    TLS_LISTS, // how many phases have a list
    TLS_ESTABLISHED,
    TLS_CLOSED, // the user has let go; only memory is left
};

struct tls_stream {
    struct stream s;
    struct stream *lower;
    struct tls_server *server;
    struct tls_credentials *cred; // counted
    mbedtls_ssl_context ssl;
    enum tls_phase phase;
    struct tls_stream *next, **link; // in the list of its phase; link NULL: in none
    struct plat_timer timer;
    size_t unsent; // length of the write whose record is still in mbedTLS's buffer
    bool lower_eof, lower_broken;
};

// Key, certificate and what depends on them; replaced as a whole, freed with its last connection.
struct tls_credentials {
    unsigned refs;
    mbedtls_x509_crt cert;
    mbedtls_pk_context key;
    mbedtls_ssl_config conf;
};

struct tls_list { // in order of entry
    struct tls_stream *first, **last;
    unsigned count;
};

struct tls_server {
    struct tls_config config;
    tls_ready_fn ready;
    void *arg;
    struct tls_credentials *cred;
    mbedtls_ssl_ticket_context tickets;
    struct tls_list lists[TLS_LISTS];
    struct tls_stats stats;
};

// --- lists of streams that are not established ---

static void list_leave(struct tls_stream *t)
{
    struct tls_list *list;

    if (!t->link) {
        return;
    }
    list = &t->server->lists[t->phase];
    *t->link = t->next;
    if (t->next) {
        t->next->link = t->link;
    } else {
        list->last = t->link;
    }
    t->link = NULL;
    list->count--;
}

static void list_enter(struct tls_stream *t, enum tls_phase phase)
{
    struct tls_list *list = &t->server->lists[phase];

    list_leave(t);
    t->phase = phase;
    t->next = NULL;
    t->link = list->last;
    *t->link = t;
    list->last = &t->next;
    list->count++;
}

// --- credentials ---

static void cred_release(struct tls_credentials *cred)
{
    if (--cred->refs > 0) {
        return;
    }
    mbedtls_ssl_config_free(&cred->conf);
    mbedtls_pk_free(&cred->key);
    mbedtls_x509_crt_free(&cred->cert);
    free(cred);
}

static bool cred_configure(struct tls_credentials *cred, struct tls_server *srv)
{
    static const char *alpn[] = {"http/1.1", NULL};
    // In order of preference; left alone, mbedTLS would take the largest, at three times the cost.
    static const mbedtls_ecp_group_id curves[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_CURVE25519,
                                                  MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_ECP_DP_NONE};
    mbedtls_ssl_config *conf = &cred->conf;

    if (mbedtls_ssl_config_defaults(conf, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
        return false;
    }
    mbedtls_ssl_conf_rng(conf, tls_rng, NULL);
    mbedtls_ssl_conf_min_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_curves(conf, curves);
    mbedtls_ssl_conf_authmode(conf, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_session_tickets_cb(conf, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse,
                                        &srv->tickets);
    return mbedtls_ssl_conf_alpn_protocols(conf, alpn) == 0 &&
           mbedtls_ssl_conf_own_cert(conf, &cred->cert, &cred->key) == 0;
}

static struct tls_credentials *cred_new(struct tls_server *srv, const struct tls_identity *id)
{
    struct tls_credentials *cred = calloc(1, sizeof *cred);

    if (!cred) {
        return NULL;
    }
    cred->refs = 1;
    mbedtls_ssl_config_init(&cred->conf);
    mbedtls_pk_init(&cred->key);
    mbedtls_x509_crt_init(&cred->cert);
    if (mbedtls_pk_parse_key(&cred->key, id->key_der, id->key_len, NULL, 0) != 0 ||
        mbedtls_x509_crt_parse_der(&cred->cert, id->cert_der, id->cert_len) != 0 ||
        mbedtls_pk_check_pair(&cred->cert.pk, &cred->key) != 0 || !cred_configure(cred, srv)) {
        cred_release(cred);
        return NULL;
    }
    return cred;
}

// --- records to and from the lower stream ---

static int bio_send(void *ctx, const unsigned char *buf, size_t len)
{
    struct tls_stream *t = ctx;
    size_t n = t->lower->ops->write(t->lower, buf, len);

    return n > 0 ? (int)n : MBEDTLS_ERR_SSL_WANT_WRITE;
}

static int bio_recv(void *ctx, unsigned char *buf, size_t len)
{
    struct tls_stream *t = ctx;
    long n = t->lower->ops->read(t->lower, buf, len);

    if (n > 0) {
        return (int)n;
    }
    t->lower_eof |= n == STREAM_EOF;
    t->lower_broken |= n == STREAM_ERROR;
    return n == 0 ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_CONN_EOF;
}

static bool again(int ret)
{
    return ret == MBEDTLS_ERR_SSL_WANT_READ || ret == MBEDTLS_ERR_SSL_WANT_WRITE;
}

// --- the upper stream ---

static struct tls_stream *tls_of(struct stream *s)
{
    return CONTAINER_OF(s, struct tls_stream, s);
}

static long tls_read(struct stream *s, void *buf, size_t cap)
{
    struct tls_stream *t = tls_of(s);
    int n;

    if (t->lower_broken) {
        return STREAM_ERROR;
    }
    n = mbedtls_ssl_read(&t->ssl, buf, cap);
    if (n > 0) {
        return n;
    }
    if (again(n)) {
        return 0;
    }
    if (n == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || (n == 0 && t->lower_eof)) {
        return STREAM_EOF;
    }
    if (t->lower_eof && !t->lower_broken) {
        return STREAM_EOF; // without close_notify; HTTP has its own ends of messages
    }
    t->lower_broken = true;
    return STREAM_ERROR;
}

static void broken(struct tls_stream *t)
{
    t->lower_broken = true;
    stream_raise(&t->s, STREAM_READABLE);
}

// mbedTLS keeps a record that it could not send and wants the same call again before anything else; the
// bytes of that call count as taken only then, which is what the stream's contract asks for.
static size_t tls_write(struct stream *s, const void *data, size_t len)
{
    struct tls_stream *t = tls_of(s);
    const uint8_t *p = data;
    size_t done = 0;

    while (done < len && !t->lower_broken) {
        size_t want = t->unsent ? t->unsent : MIN(len - done, (size_t)RECORD_MAX);
        int n = mbedtls_ssl_write(&t->ssl, p + done, want);

        if (again(n)) {
            t->unsent = want;
            break;
        }
        if (n < 0) {
            broken(t);
            break;
        }
        t->unsent = 0;
        done += (size_t)n;
    }
    return MIN(done, len);
}

static void tls_flush(struct stream *s)
{
    struct tls_stream *t = tls_of(s);

    if (t->lower->ops->flush) {
        t->lower->ops->flush(t->lower);
    }
}

static void tls_release(struct stream *s)
{
    struct tls_stream *t = tls_of(s);

    mbedtls_ssl_free(&t->ssl);
    cred_release(t->cred);
    free(t);
}

// The stream leaves the server; the lower one is closed already.
static void tls_let_go(struct tls_stream *t)
{
    plat_timer_stop(&t->timer);
    list_leave(t);
    if (t->phase == TLS_ESTABLISHED) {
        t->server->stats.established--;
    }
    t->phase = TLS_CLOSED;
    stream_retire(&t->s, tls_release);
}

static void tls_finish(struct stream *s)
{
    struct tls_stream *t = tls_of(s);

    if (!t->lower_broken) {
        mbedtls_ssl_close_notify(&t->ssl); // best effort: without room for 30 bytes the peer sees a plain end
    }
    t->lower->ops->finish(t->lower);
}

static void tls_close(struct stream *s)
{
    struct tls_stream *t = tls_of(s);

    if (!t->lower_broken && t->phase == TLS_ESTABLISHED) {
        mbedtls_ssl_close_notify(&t->ssl);
    }
    t->lower->ops->close(t->lower);
    tls_let_go(t);
}

static void tls_abort(struct stream *s)
{
    struct tls_stream *t = tls_of(s);

    t->lower->ops->abort(t->lower);
    tls_let_go(t);
}

static void tls_peer(struct stream *s, struct stream_addr *out)
{
    struct stream *lower = tls_of(s)->lower;

    lower->ops->peer(lower, out);
}

static const struct stream_ops tls_ops = {
    .read = tls_read,
    .write = tls_write,
    .flush = tls_flush,
    .finish = tls_finish,
    .close = tls_close,
    .abort = tls_abort,
    .peer = tls_peer,
};

// --- handshake ---

static void start_waiting(struct tls_server *srv);

static void handshake_failed(struct tls_stream *t)
{
    struct tls_server *srv = t->server;

    srv->stats.failed++;
    if (t->lower->ops->flush) {
        t->lower->ops->flush(t->lower);
    }
    t->lower->ops->close(t->lower); // mbedTLS has sent its alert
    tls_let_go(t);
    start_waiting(srv);
}

static void handshake_done(struct tls_stream *t)
{
    struct tls_server *srv = t->server;

    plat_timer_stop(&t->timer);
    list_leave(t);
    t->phase = TLS_ESTABLISHED;
    srv->stats.completed++;
    srv->stats.established++;
    start_waiting(srv);
    srv->ready(srv->arg, &t->s);
}

// One step of the handshake a turn of the loop: the expensive ones (key exchange, signature) of several
// clients alternate with everything else the control plane does.
static void handshake_step(struct tls_stream *t)
{
    int ret = mbedtls_ssl_handshake_step(&t->ssl);

    if (t->ssl.state == MBEDTLS_SSL_HANDSHAKE_OVER) {
        tls_flush(&t->s);
        handshake_done(t);
    } else if (ret == 0) {
        stream_raise(t->lower, STREAM_READABLE); // the next step
    } else if (again(ret)) {
        tls_flush(&t->s);
    } else {
        handshake_failed(t);
    }
}

static void on_lower(struct stream *lower, unsigned events)
{
    struct tls_stream *t = lower->user;

    switch (t->phase) {
    case TLS_SILENT:
        list_enter(t, TLS_WAITING);
        start_waiting(t->server);
        break;
    case TLS_HANDSHAKE:
        handshake_step(t);
        break;
    case TLS_ESTABLISHED:
        // What blocks mbedTLS in one direction may be the other direction of TCP.
        if (t->s.on_event) {
            t->s.on_event(&t->s, events);
        }
        break;
    default:
        break;
    }
}

static void handshake_timeout(struct plat_timer *timer)
{
    struct tls_stream *t = CONTAINER_OF(timer, struct tls_stream, timer);
    struct tls_server *srv = t->server;

    srv->stats.timeouts++;
    tls_abort(&t->s);
    start_waiting(srv);
}

// The buffers of a handshake are allocated when its turn comes, so that waiting costs little.
static bool handshake_begin(struct tls_stream *t)
{
    list_enter(t, TLS_HANDSHAKE);
    if (mbedtls_ssl_setup(&t->ssl, &t->cred->conf) != 0) {
        return false;
    }
    mbedtls_ssl_set_bio(&t->ssl, t, bio_send, bio_recv, NULL);
    stream_raise(t->lower, STREAM_READABLE);
    return true;
}

static void start_waiting(struct tls_server *srv)
{
    while (srv->lists[TLS_WAITING].first && srv->lists[TLS_HANDSHAKE].count < srv->config.handshakes) {
        struct tls_stream *t = srv->lists[TLS_WAITING].first;

        if (!handshake_begin(t)) {
            srv->stats.refused++;
            tls_abort(&t->s);
        }
    }
}

void tls_accept(struct tls_server *srv, struct stream *lower)
{
    unsigned pending = srv->lists[TLS_SILENT].count + srv->lists[TLS_WAITING].count +
                       srv->lists[TLS_HANDSHAKE].count;
    struct tls_stream *t = pending < srv->config.connections ? calloc(1, sizeof *t) : NULL;

    srv->stats.accepted++;
    if (!t) {
        srv->stats.refused++;
        lower->ops->abort(lower);
        return;
    }
    t->s.ops = &tls_ops;
    t->lower = lower;
    t->server = srv;
    t->cred = srv->cred;
    t->cred->refs++;
    mbedtls_ssl_init(&t->ssl);
    lower->user = t;
    lower->on_event = on_lower;
    list_enter(t, TLS_SILENT);
    plat_timer_start(&t->timer, srv->config.handshake_timeout_ms * NS_PER_MS, handshake_timeout);
}

// --- server ---

struct tls_server *tls_server_new(const struct tls_config *config, const struct tls_identity *id,
                                  tls_ready_fn ready, void *arg)
{
    struct tls_server *srv = calloc(1, sizeof *srv);

    if (!srv) {
        return NULL;
    }
    tls_platform_init();
    srv->config = *config;
    srv->config.handshakes = config->handshakes ? config->handshakes : 12;
    srv->config.handshake_timeout_ms = config->handshake_timeout_ms ? config->handshake_timeout_ms : 10000;
    srv->config.connections = config->connections ? config->connections : 64;
    srv->ready = ready;
    srv->arg = arg;
    for (int i = 0; i < TLS_LISTS; i++) {
        srv->lists[i].last = &srv->lists[i].first;
    }
    mbedtls_ssl_ticket_init(&srv->tickets);
    if (mbedtls_ssl_ticket_setup(&srv->tickets, tls_rng, NULL, MBEDTLS_CIPHER_AES_256_GCM,
                                 TICKET_LIFETIME_S) != 0 ||
        !tls_server_set_identity(srv, id)) {
        tls_server_free(srv);
        return NULL;
    }
    return srv;
}

void tls_server_free(struct tls_server *srv)
{
    for (int i = 0; i < TLS_LISTS; i++) {
        while (srv->lists[i].first) {
            tls_abort(&srv->lists[i].first->s);
        }
    }
    if (srv->cred) {
        cred_release(srv->cred);
    }
    mbedtls_ssl_ticket_free(&srv->tickets);
    free(srv);
}

bool tls_server_set_identity(struct tls_server *srv, const struct tls_identity *id)
{
    struct tls_credentials *cred = cred_new(srv, id);

    if (!cred) {
        return false;
    }
    if (srv->cred) {
        cred_release(srv->cred);
    }
    srv->cred = cred;
    return true;
}

void tls_server_stats(const struct tls_server *srv, struct tls_stats *out)
{
    *out = srv->stats;
    out->silent = srv->lists[TLS_SILENT].count;
    out->waiting = srv->lists[TLS_WAITING].count;
    out->handshakes = srv->lists[TLS_HANDSHAKE].count;
}
