// SPDX-License-Identifier: Apache-2.0
// Certificate pinning, and trust on first use.
#include "tools/keelctl/trust.h"

#include <ctype.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "tools/keelctl/config.h"

#define CONNECT_SECONDS 60L

void fingerprint_text(const char digits[65], char out[96])
{
    for (size_t i = 0; i < 32; i++) {
        snprintf(out + 3 * i, 4, "%c%c%s", toupper((unsigned char)digits[2 * i]),
                 toupper((unsigned char)digits[2 * i + 1]), i < 31 ? ":" : "");
    }
}

// --- inside the handshake ---

static bool fingerprint_of(X509 *certificate, char out[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (certificate == NULL || X509_digest(certificate, EVP_sha256(), digest, &len) != 1 || len != 32) {
        return false;
    }
    for (unsigned i = 0; i < len; i++) {
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
    return true;
}

// Replaces OpenSSL's own chain building (SSL_CTX_set_cert_verify_callback): only the leaf counts.
static int check_certificate(X509_STORE_CTX *store, void *arg)
{
    struct trust *t = arg;

    if (!fingerprint_of(X509_STORE_CTX_get0_cert(store), t->presented)) {
        return 0;
    }
    t->mismatch = t->mode == TRUST_PIN && strcmp(t->presented, t->expected) != 0;
    if (t->mismatch) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
        return 0;
    }
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static CURLcode install_check(CURL *curl, void *context, void *arg)
{
    (void)curl;
    SSL_CTX_set_cert_verify_callback(context, check_certificate, arg);
    return CURLE_OK;
}

CURLcode trust_apply(struct trust *t, CURL *curl)
{
    CURLcode code;

    t->mismatch = false;
    if (t->mode == TRUST_AUTHORITY) {
        return curl_easy_setopt(curl, CURLOPT_CAINFO, t->cacert);
    }
    // The host's authorities have no say, and the name in a self-signed certificate proves nothing.
    curl_easy_setopt(curl, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    code = curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, install_check);
    if (code == CURLE_OK) {
        code = curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, t);
    }
    if (code != CURLE_OK) {
        complain(
            "this libcurl does not use OpenSSL; certificates cannot be pinned with it, only --cacert works");
    }
    return code;
}

// --- deciding ---

enum status trust_probe(const char *url, char fingerprint[65])
{
    struct trust anyone = {.mode = TRUST_ANYONE};
    char error[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();
    CURLcode code;

    if (curl == NULL || trust_apply(&anyone, curl) != CURLE_OK) {
        curl_easy_cleanup(curl);
        return STATUS_FAILED;
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    code = curl_easy_perform(curl);
    curl_easy_cleanup(curl);
    if (code != CURLE_OK) {
        complain("%s: %s", url, error[0] != '\0' ? error : curl_easy_strerror(code));
        return STATUS_UNREACHABLE;
    }
    memcpy(fingerprint, anyone.presented, sizeof anyone.presented);
    return STATUS_OK;
}

bool trust_ask(const char *name, const char *fingerprint)
{
    char text[96], line[16] = "";

    fingerprint_text(fingerprint, text);
    fprintf(stderr,
            "The fingerprint of the certificate of %s is\n  %s\n"
            "Is that what its console shows? [y/N] ",
            name, text);
    return fgets(line, sizeof line, stdin) != NULL &&
           (strcasecmp(line, "y\n") == 0 || strcasecmp(line, "yes\n") == 0);
}

static enum status meet(struct trust *t, const struct options *o, const char *url, const char *name)
{
    enum status status = trust_probe(url, t->expected);
    char text[96];

    if (status != STATUS_OK) {
        return status;
    }
    fingerprint_text(t->expected, text);
    if (!o->accept_new && (!isatty(0) || !isatty(2))) {
        complain(
            "the node %s is not known; the fingerprint of its certificate is\n  %s\n"
            "If that is what its console shows, say `keelctl node trust`, --fingerprint or --accept-new.",
            name, text);
        return STATUS_UNREACHABLE;
    }
    if (!o->accept_new && !trust_ask(name, t->expected)) {
        complain("not trusted; nothing was sent");
        return STATUS_UNREACHABLE;
    }
    if (!known_node_record(name, t->expected)) {
        return STATUS_FAILED;
    }
    if (!o->quiet) {
        fprintf(stderr, "%s is now a known node: %s\n", name, text);
    }
    return STATUS_OK;
}

enum status trust_establish(struct trust *t, const struct options *o, const char *url, const char *name)
{
    *t = (struct trust){.mode = TRUST_PIN};
    if (o->insecure) {
        t->mode = TRUST_ANYONE;
        return STATUS_OK;
    }
    if (o->fingerprint != NULL) {
        t->origin = "--fingerprint, KEELSON_FINGERPRINT or the configuration";
        return fingerprint_normalize(o->fingerprint, t->expected)
                   ? STATUS_OK
                   : usage_error("'%s' is no SHA-256 fingerprint: expected 64 hexadecimal digits",
                                 o->fingerprint);
    }
    if (o->cacert != NULL) {
        t->mode = TRUST_AUTHORITY;
        t->cacert = o->cacert;
        return STATUS_OK;
    }
    t->origin = known_nodes_path();
    return known_node_find(name, t->expected) ? STATUS_OK : meet(t, o, url, name);
}

void trust_explain_mismatch(const struct trust *t, const char *name)
{
    char expected[96], presented[96];

    fingerprint_text(t->expected, expected);
    fingerprint_text(t->presented, presented);
    complain(
        "%s is not the node that is trusted; nothing was sent to it.\n"
        "  its certificate:  %s\n  expected:         %s\n                    (%s)\n"
        "A node without a state disk makes a new certificate at every boot. If its console shows the first\n"
        "fingerprint, say `keelctl node trust`; if not, somebody else answers in its place.",
        name, presented, expected, t->origin);
}
