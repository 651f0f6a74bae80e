// SPDX-License-Identifier: Apache-2.0
// Puts stream listener, TLS, HTTP server and routes together.
#include "mgmt/hcs/server.h"

#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <string.h>

#include "mgmt/core/keeper.h"
#include "mgmt/hcs/api.h"
#include "mgmt/hcs/metrics.h"

static struct http_server *http;
static struct tls_server *tls;
static struct tls_identity identity;
static struct stream_listener listener;

static void serve(void *arg, struct stream *s)
{
    (void)arg;
    http_serve(http, s);
}

static void accept_stream(struct stream_listener *l, struct stream *s)
{
    (void)l;
    tls_accept(tls, s);
}

// --- the identity over restarts ---

#define IDENTITY_SETTING "tls.identity"

struct kept_identity {
    uint8_t names[32]; // digest of what the certificate was made for
    struct tls_identity identity;
};

// Host name and IPv4 addresses: IPv6 addresses come and go, and clients would have to trust again each time.
static void digest_names(const struct api_server_names *names, uint8_t digest[32])
{
    mbedtls_sha256_context sha;

    mbedtls_sha256_init(&sha);
    mbedtls_sha256_starts_ret(&sha, 0);
    mbedtls_sha256_update_ret(&sha, (const uint8_t *)names->hostname, strlen(names->hostname) + 1);
    for (size_t i = 0; i < names->ip_count; i++) {
        if (names->ip_len[i] == 4) {
            mbedtls_sha256_update_ret(&sha, names->ip[i], 4);
        }
    }
    mbedtls_sha256_finish_ret(&sha, digest);
    mbedtls_sha256_free(&sha);
}

static void identity_saved(void *arg, const struct core_error *error)
{
    (void)arg;
    if (error != NULL) {
        plat_log(LOG_ERROR, "the certificate is not kept over a restart: %s", error->text);
    }
}

static void save_identity(const struct api_server_names *names)
{
    struct kept_identity kept;

    if (keeper() == NULL) {
        return;
    }
    memset(&kept, 0, sizeof kept);
    kept.identity = identity;
    digest_names(names, kept.names);
    keeper()->save_setting(IDENTITY_SETTING, &kept, sizeof kept, identity_saved, NULL);
    mbedtls_platform_zeroize(&kept, sizeof kept);
}

// Takes over what is kept. *same: the certificate is for these names.
static bool restore_identity(const struct api_server_names *names, bool *same)
{
    struct kept_identity kept;
    uint8_t digest[32];
    bool found = keeper() != NULL &&
                 keeper()->get_setting(IDENTITY_SETTING, &kept, sizeof kept) == sizeof kept &&
                 kept.identity.key_len <= sizeof kept.identity.key_der &&
                 kept.identity.cert_len <= sizeof kept.identity.cert_der;

    if (found) {
        digest_names(names, digest);
        identity = kept.identity;
        *same = memcmp(digest, kept.names, sizeof digest) == 0;
    }
    mbedtls_platform_zeroize(&kept, sizeof kept);
    return found;
}

static bool make_identity(const struct api_server_names *names, bool reuse_key)
{
    const struct tls_names n = {
        .hostname = names->hostname,
        .ip = names->ip,
        .ip_len = names->ip_len,
        .ip_count = names->ip_count,
    };

    if (!tls_identity_make(&identity, &n, reuse_key)) {
        return false;
    }
    save_identity(names);
    return true;
}

// The kept one, with a new certificate if the names have changed; else a new one.
static bool first_identity(const struct api_server_names *names)
{
    bool same = false;

    if (restore_identity(names, &same) && (same || make_identity(names, true))) {
        return true;
    }
    return make_identity(names, false);
}

static void http_metrics(struct metrics *m, const struct http_stats *s)
{
    metrics_gauge(m, "http_connections", s->connections);
    metrics_gauge(m, "http_requests_active", s->requests_active);
    metrics_gauge(m, "http_websockets", s->websockets);
    metrics_counter(m, "http_accepted_total", s->accepted);
    metrics_counter(m, "http_refused_total", s->refused);
    metrics_counter(m, "http_requests_total", s->requests);
    metrics_counter(m, "http_errors_4xx_total", s->errors_4xx);
    metrics_counter(m, "http_errors_5xx_total", s->errors_5xx);
    metrics_counter(m, "http_timeouts_total", s->timeouts);
    metrics_counter(m, "http_bytes_in_total", s->bytes_in);
    metrics_counter(m, "http_bytes_out_total", s->bytes_out);
}

static void tls_metrics(struct metrics *m, const struct tls_stats *s)
{
    metrics_counter(m, "tls_accepted_total", s->accepted);
    metrics_counter(m, "tls_completed_total", s->completed);
    metrics_counter(m, "tls_resumed_total", s->resumed);
    metrics_counter(m, "tls_failed_total", s->failed);
    metrics_counter(m, "tls_refused_total", s->refused);
    metrics_counter(m, "tls_timeouts_total", s->timeouts);
    metrics_gauge(m, "tls_silent", s->silent);
    metrics_gauge(m, "tls_waiting", s->waiting);
    metrics_gauge(m, "tls_handshakes", s->handshakes);
    metrics_gauge(m, "tls_established", s->established);
}

static void server_metrics(struct metrics *m)
{
    struct http_stats http_now;
    struct tls_stats tls_now;

    api_server_stats(&http_now, &tls_now);
    http_metrics(m, &http_now);
    tls_metrics(m, &tls_now);
}

uint16_t api_server_start(uint16_t port, const struct api_server_names *names)
{
    const struct http_config config = {.auth = api_authenticate, .challenge = API_CHALLENGE};
    const struct tls_config tls_config = {0};
    static struct metrics_source source = {.write = server_metrics};

    if (!first_identity(names)) {
        plat_log(LOG_ERROR, "the node's certificate cannot be made");
        return 0;
    }
    http = http_server_new(&config);
    tls = tls_server_new(&tls_config, &identity, serve, NULL);
    if (tls == NULL && make_identity(names, false)) { // what was kept is no certificate
        tls = tls_server_new(&tls_config, &identity, serve, NULL);
    }
    if (http == NULL || tls == NULL) {
        plat_log(LOG_ERROR, "no memory for the API server");
        return 0;
    }
    api_init(http);
    metrics_source_add(&source);
    listener.accept = accept_stream;
    if (!stream_listen(&listener, port)) {
        plat_log(LOG_ERROR, "cannot listen on TCP port %u", port);
        return 0;
    }
    return listener.port;
}

void api_server_refresh(const struct api_server_names *names)
{
    if (!make_identity(names, true) || !tls_server_set_identity(tls, &identity)) {
        plat_log(LOG_ERROR, "the node's certificate cannot be renewed");
    }
}

void api_server_fingerprint(char out[96])
{
    out[0] = '\0';
    if (http != NULL) {
        tls_identity_fingerprint(&identity, out);
    }
}

void api_server_stats(struct http_stats *http_out, struct tls_stats *tls_out)
{
    *http_out = (struct http_stats){0};
    *tls_out = (struct tls_stats){0};
    if (http != NULL) {
        http_server_stats(http, http_out);
        tls_server_stats(tls, tls_out);
    }
}
