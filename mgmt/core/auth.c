// SPDX-License-Identifier: Apache-2.0
// Administrator secret, Basic and Bearer credentials, failure limiter.
#include "mgmt/core/auth.h"

#include <mbedtls/base64.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "mgmt/core/event.h"
#include "mgmt/plat.h"

#define HASH_SIZE AUTH_DIGEST
#define SECRET_BYTES 16
#define CREDENTIALS_MAX 160 // of a decoded Basic value
#define PEERS 64u           // tracked at once; the one that failed longest ago makes room
#define PEER_BYTES 16
#define FAILURES_FREE 10u
#define FAILURE_DECAY_NS (2 * 1000000000ull)

static uint8_t secret_hash[HASH_SIZE];
static bool secret_set;

struct peer {
    uint8_t address[PEER_BYTES];
    unsigned failures;
    uint64_t last_ns;
};
static struct peer peers[PEERS];

void auth_new_secret(char secret[AUTH_SECRET_TEXT])
{
    uint8_t raw[SECRET_BYTES];

    plat_random(raw, sizeof raw);
    for (size_t i = 0; i < sizeof raw; i++) {
        snprintf(secret + 2 * i, 3, "%02x", raw[i]);
    }
    mbedtls_platform_zeroize(raw, sizeof raw);
    mbedtls_sha256_ret((const uint8_t *)secret, strlen(secret), secret_hash, 0);
    secret_set = true;
}

void auth_get_digest(uint8_t digest[AUTH_DIGEST])
{
    memcpy(digest, secret_hash, sizeof secret_hash);
}

void auth_set_digest(const uint8_t digest[AUTH_DIGEST])
{
    memcpy(secret_hash, digest, sizeof secret_hash);
    secret_set = true;
}

// Time does not depend on where the first difference is.
static bool hash_matches(const uint8_t *secret, size_t length)
{
    uint8_t hash[HASH_SIZE];
    uint8_t difference = 0;

    mbedtls_sha256_ret(secret, length, hash, 0);
    for (size_t i = 0; i < sizeof hash; i++) {
        difference |= (uint8_t)(hash[i] ^ secret_hash[i]);
    }
    mbedtls_platform_zeroize(hash, sizeof hash);
    return difference == 0 && secret_set;
}

// If `header` begins with the scheme (case-insensitive) and a space, the rest of it, else NULL.
static const char *after_scheme(const char *header, const char *scheme)
{
    size_t n = strlen(scheme);

    if (strncasecmp(header, scheme, n) != 0 || header[n] != ' ') {
        return NULL;
    }
    header += n;
    while (*header == ' ') {
        header++;
    }
    return header;
}

static bool basic_ok(const char *value)
{
    static const char user[] = "admin:";
    uint8_t plain[CREDENTIALS_MAX];
    size_t n = 0;
    bool ok = mbedtls_base64_decode(plain, sizeof plain, &n, (const uint8_t *)value, strlen(value)) == 0 &&
              n > sizeof user - 1 && memcmp(plain, user, sizeof user - 1) == 0 &&
              hash_matches(plain + sizeof user - 1, n - (sizeof user - 1));

    mbedtls_platform_zeroize(plain, sizeof plain);
    return ok;
}

static bool credentials_ok(const char *header)
{
    const char *value = after_scheme(header, "Basic");

    if (value != NULL) {
        return basic_ok(value);
    }
    value = after_scheme(header, "Bearer");
    return value != NULL && hash_matches((const uint8_t *)value, strlen(value));
}

static struct peer *peer_find(const uint8_t *address)
{
    for (size_t i = 0; i < PEERS; i++) {
        if (peers[i].failures > 0 && memcmp(peers[i].address, address, PEER_BYTES) == 0) {
            return &peers[i];
        }
    }
    return NULL;
}

// A slot for a peer without one: a free one, else that of the peer that failed longest ago.
static struct peer *peer_take(const uint8_t *address)
{
    struct peer *best = &peers[0];

    for (size_t i = 0; i < PEERS; i++) {
        if (peers[i].failures == 0) {
            best = &peers[i];
            break;
        }
        if (peers[i].last_ns < best->last_ns) {
            best = &peers[i];
        }
    }
    memset(best, 0, sizeof *best);
    memcpy(best->address, address, PEER_BYTES);
    return best;
}

// Forgives one failure for every FAILURE_DECAY_NS that passed.
static void decay(struct peer *p, uint64_t now)
{
    uint64_t forgiven = (now - p->last_ns) / FAILURE_DECAY_NS;

    if (forgiven > 0) {
        p->failures -= (unsigned)MIN(forgiven, p->failures);
        p->last_ns += forgiven * FAILURE_DECAY_NS;
    }
}

static void count_failure(const uint8_t *address, uint64_t now)
{
    struct peer *p = peer_find(address);

    if (p == NULL) {
        p = peer_take(address);
        p->last_ns = now;
    }
    if (++p->failures == 1 || p->failures == FAILURES_FREE) {
        event_post(EVENT_AUTH_REFUSED, "admin", "wrong credentials%s",
                   p->failures == FAILURES_FREE ? " again and again; the peer has to wait" : "");
    }
}

enum auth_result auth_check(const char *header, const uint8_t *peer, size_t peer_len,
                            struct auth_identity *id)
{
    uint8_t address[PEER_BYTES] = {0};
    uint64_t now = plat_now_ns();
    struct peer *p;

    if (header == NULL) {
        return AUTH_REFUSED;
    }
    memcpy(address, peer, MIN(peer_len, sizeof address));
    p = peer_find(address);
    if (p != NULL) {
        decay(p, now);
        if (p->failures >= FAILURES_FREE) {
            return AUTH_LIMITED;
        }
    }
    if (!credentials_ok(header)) {
        count_failure(address, now);
        return AUTH_REFUSED;
    }
    snprintf(id->name, sizeof id->name, "admin");
    id->roles = AUTH_ROLES_ADMINISTRATOR;
    return AUTH_OK;
}

void auth_audit(const char *who, const char *from, const char *action, const char *outcome)
{
    plat_log(LOG_NOTICE, "audit: %s from %s: %s: %s", who, from, action, outcome);
}
