// SPDX-License-Identifier: Apache-2.0
// TLS 1.2 server over any stream (mbedTLS), and the node's certificate.
//
// Owns the TLS configuration, session-ticket keys and TLS streams. Control plane only. A handshake is
// advanced one message at a time from the event loop; at most a few run at once, the others wait.
#ifndef NET_TLS_H
#define NET_TLS_H

#include "net/stream.h"

// --- identity: private key and certificate ---
// DER, so that a store can keep it as two blobs.
struct tls_identity {
    uint8_t key_der[160];
    size_t key_len;
    uint8_t cert_der[1024];
    size_t cert_len;
};

struct tls_names { // what goes into the certificate
    const char *hostname;
    const uint8_t (*ip)[16]; // subject alternative names of type iPAddress
    const uint8_t *ip_len;   // 4 or 16 each
    size_t ip_count;
};

// Make a P-256 key and a self-signed certificate, valid from now (plat_unix_ms) for ten years. With reuse_key
// the key in *id is kept and only the certificate made anew. Takes some 20 ms under emulation.
MUST_CHECK bool tls_identity_make(struct tls_identity *id, const struct tls_names *names, bool reuse_key);
// SHA-256 of the certificate as "AB:CD:..." (95 characters and a NUL).
void tls_identity_fingerprint(const struct tls_identity *id, char out[96]);

// --- server ---
struct tls_server;

struct tls_config {
    uint32_t handshakes;           // at once; 0: 12
    uint32_t handshake_timeout_ms; // from the TCP connection on; 0: 10000
    uint32_t connections;          // not yet established; more are refused; 0: 64
};

// Called when a handshake is done; owns the stream.
typedef void (*tls_ready_fn)(void *arg, struct stream *s);

// NULL without memory or with an identity that does not parse. id is copied.
struct tls_server *tls_server_new(const struct tls_config *config, const struct tls_identity *id,
                                  tls_ready_fn ready, void *arg);
void tls_server_free(struct tls_server *t); // tests
// Replace the certificate for connections to come (address bound, certificate imported).
MUST_CHECK bool tls_server_set_identity(struct tls_server *t, const struct tls_identity *id);
// Run a handshake on a stream, which the server takes over; then ready().
void tls_accept(struct tls_server *t, struct stream *lower);

struct tls_stats {
    uint64_t accepted, completed, resumed, failed, refused, timeouts;
    uint32_t silent, waiting, handshakes, established;
};
void tls_server_stats(const struct tls_server *t, struct tls_stats *out);

#endif
