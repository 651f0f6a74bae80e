// SPDX-License-Identifier: Apache-2.0
// The node's TLS identity: a P-256 key and a self-signed certificate, and mbedTLS's platform callbacks.
#include "net/tls_priv.h"

#include <mbedtls/asn1write.h>
#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform.h>
#include <mbedtls/platform_time.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define VALID_YEARS 10
#define SECONDS_A_DAY 86400
#define SAN_IP_MAX 4

int tls_rng(void *unused, unsigned char *buf, size_t len)
{
    (void)unused;
    plat_random(buf, len);
    return 0;
}

static mbedtls_time_t unix_seconds(mbedtls_time_t *out)
{
    mbedtls_time_t now = (mbedtls_time_t)(plat_unix_ms() / 1000);

    if (out) {
        *out = now;
    }
    return now;
}

void tls_platform_init(void)
{
    mbedtls_platform_set_time(unix_seconds);
}

// Called by mbedTLS (MBEDTLS_PLATFORM_GMTIME_R_ALT).
struct tm *mbedtls_platform_gmtime_r(const mbedtls_time_t *tt, struct tm *buf)
{
    return gmtime_r(tt, buf);
}

// --- subjectAltName (RFC 5280 section 4.2.1.6): DNS:hostname, DNS:hostname.local, IP addresses ---

#define TAG_DNS (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2)
#define TAG_IP (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7)

static int write_name(unsigned char **p, unsigned char *start, const void *data, size_t len,
                      unsigned char tag)
{
    int ret, total = 0;

    MBEDTLS_ASN1_CHK_ADD(total, mbedtls_asn1_write_raw_buffer(p, start, data, len));
    MBEDTLS_ASN1_CHK_ADD(total, mbedtls_asn1_write_len(p, start, len));
    MBEDTLS_ASN1_CHK_ADD(total, mbedtls_asn1_write_tag(p, start, tag));
    return total;
}

// Backwards from *p, as mbedTLS's writers do; returns the length or an error.
static int write_san(unsigned char **p, unsigned char *start, const struct tls_names *names)
{
    char local[80];
    int ret, total = 0, len = snprintf(local, sizeof local, "%s.local", names->hostname);

    for (size_t i = MIN(names->ip_count, (size_t)SAN_IP_MAX); i-- > 0;) {
        MBEDTLS_ASN1_CHK_ADD(total, write_name(p, start, names->ip[i], names->ip_len[i], TAG_IP));
    }
    MBEDTLS_ASN1_CHK_ADD(total, write_name(p, start, local, (size_t)len, TAG_DNS));
    MBEDTLS_ASN1_CHK_ADD(total, write_name(p, start, names->hostname, strlen(names->hostname), TAG_DNS));
    MBEDTLS_ASN1_CHK_ADD(total, mbedtls_asn1_write_len(p, start, (size_t)total));
    MBEDTLS_ASN1_CHK_ADD(total,
                         mbedtls_asn1_write_tag(p, start, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE));
    return total;
}

static int set_san(mbedtls_x509write_cert *crt, const struct tls_names *names)
{
    unsigned char buf[512], *p = buf + sizeof buf;
    int len = write_san(&p, buf, names);

    if (len < 0) {
        return len;
    }
    return mbedtls_x509write_crt_set_extension(
        crt, MBEDTLS_OID_SUBJECT_ALT_NAME, MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0, p, (size_t)len);
}

// serverAuth (RFC 5280 section 4.2.1.12): SEQUENCE { OID 1.3.6.1.5.5.7.3.1 }
static int set_extended_key_usage(mbedtls_x509write_cert *crt)
{
    static const unsigned char server_auth[] = {0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06,
                                                0x01, 0x05, 0x05, 0x07, 0x03, 0x01};

    return mbedtls_x509write_crt_set_extension(crt, MBEDTLS_OID_EXTENDED_KEY_USAGE,
                                               MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE), 0,
                                               server_auth, sizeof server_auth);
}

// --- key and certificate ---

static void time_text(time_t t, char out[16])
{
    struct tm tm;

    gmtime_r(&t, &tm);
    snprintf(out, 16, "%04u%02u%02u%02u%02u%02u", (unsigned)(tm.tm_year + 1900) % 10000,
             (unsigned)(tm.tm_mon + 1) % 100, (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100,
             (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

static int set_validity(mbedtls_x509write_cert *crt)
{
    time_t now = (time_t)(plat_unix_ms() / 1000);
    char from[16], to[16];

    time_text(now - SECONDS_A_DAY, from); // clocks of clients differ
    time_text(now + (time_t)VALID_YEARS * 365 * SECONDS_A_DAY, to);
    return mbedtls_x509write_crt_set_validity(crt, from, to);
}

static int set_serial(mbedtls_x509write_cert *crt, mbedtls_mpi *serial)
{
    uint8_t random[16];
    int ret;

    plat_random(random, sizeof random);
    random[0] &= 0x7f; // positive
    random[0] |= 0x40; // and always of the same length
    ret = mbedtls_mpi_read_binary(serial, random, sizeof random);
    return ret ? ret : mbedtls_x509write_crt_set_serial(crt, serial);
}

static int set_fields(mbedtls_x509write_cert *crt, mbedtls_mpi *serial, mbedtls_pk_context *key,
                      const struct tls_names *names)
{
    char subject[96];
    int ret;

    snprintf(subject, sizeof subject, "CN=%s,O=Keelson", names->hostname);
    mbedtls_x509write_crt_set_version(crt, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(crt, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(crt, key);
    mbedtls_x509write_crt_set_issuer_key(crt, key);
    if ((ret = mbedtls_x509write_crt_set_subject_name(crt, subject)) != 0 ||
        (ret = mbedtls_x509write_crt_set_issuer_name(crt, subject)) != 0 || (ret = set_validity(crt)) != 0 ||
        (ret = set_serial(crt, serial)) != 0 ||
        (ret = mbedtls_x509write_crt_set_basic_constraints(crt, 0, -1)) != 0 ||
        (ret = mbedtls_x509write_crt_set_key_usage(crt, MBEDTLS_X509_KU_DIGITAL_SIGNATURE)) != 0 ||
        (ret = set_extended_key_usage(crt)) != 0) {
        return ret;
    }
    return set_san(crt, names);
}

// mbedTLS writes DER to the end of its buffer; ours begins with it.
static bool to_front(uint8_t *buf, size_t cap, int len, size_t *out_len)
{
    if (len <= 0) {
        return false;
    }
    memmove(buf, buf + cap - (size_t)len, (size_t)len);
    *out_len = (size_t)len;
    return true;
}

static bool make_certificate(struct tls_identity *id, mbedtls_pk_context *key, const struct tls_names *names)
{
    mbedtls_x509write_cert crt;
    mbedtls_mpi serial;
    int len = -1;

    mbedtls_x509write_crt_init(&crt);
    mbedtls_mpi_init(&serial);
    if (set_fields(&crt, &serial, key, names) == 0) {
        len = mbedtls_x509write_crt_der(&crt, id->cert_der, sizeof id->cert_der, tls_rng, NULL);
    }
    mbedtls_mpi_free(&serial);
    mbedtls_x509write_crt_free(&crt);
    return to_front(id->cert_der, sizeof id->cert_der, len, &id->cert_len);
}

static bool make_key(struct tls_identity *id, mbedtls_pk_context *key)
{
    uint8_t der[sizeof id->key_der];
    bool ok;

    if (mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) != 0 ||
        mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), tls_rng, NULL) != 0) {
        return false;
    }
    ok = to_front(der, sizeof der, mbedtls_pk_write_key_der(key, der, sizeof der), &id->key_len);
    memcpy(id->key_der, der, sizeof der);
    mbedtls_platform_zeroize(der, sizeof der);
    return ok;
}

bool tls_identity_make(struct tls_identity *id, const struct tls_names *names, bool reuse_key)
{
    mbedtls_pk_context key;
    bool ok;

    tls_platform_init();
    mbedtls_pk_init(&key);
    if (reuse_key) {
        ok = mbedtls_pk_parse_key(&key, id->key_der, id->key_len, NULL, 0) == 0;
    } else {
        ok = make_key(id, &key);
    }
    ok = ok && make_certificate(id, &key, names);
    mbedtls_pk_free(&key);
    return ok;
}

void tls_identity_fingerprint(const struct tls_identity *id, char out[96])
{
    uint8_t hash[32];

    mbedtls_sha256_ret(id->cert_der, id->cert_len, hash, 0);
    for (int i = 0; i < 32; i++) {
        sprintf(out + 3 * i, "%02X%s", hash[i], i < 31 ? ":" : "");
    }
}
