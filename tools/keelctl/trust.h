// SPDX-License-Identifier: Apache-2.0
// Whether the machine at the other end is the node that is meant.
//
// A node's certificate is self-signed until an authority's is imported, so keelctl knows nodes as ssh knows
// hosts: by fingerprint, the SHA-256 of the certificate, which the node shows on its console. The check is
// done inside the TLS handshake, before any credential is sent.
#ifndef KEELCTL_TRUST_H
#define KEELCTL_TRUST_H

#include <curl/curl.h>

#include "tools/keelctl/keelctl.h"

enum trust_mode {
    TRUST_PIN,       // exactly the certificate `expected`
    TRUST_AUTHORITY, // a certificate that `cacert` has signed, for this host name
    TRUST_ANYONE,    // --insecure
};

struct trust {
    enum trust_mode mode;
    char expected[65];  // lower-case hexadecimal digits
    char presented[65]; // of the last handshake; "" before the first
    const char *origin; // where `expected` comes from, for messages
    const char *cacert;
    bool mismatch; // a handshake was refused because of the certificate
};

// Decides how to trust the node `name` ("host:port") at `url`. An unknown node is asked for its certificate,
// and the user whether it is the right one (--accept-new answers yes).
enum status trust_establish(struct trust *t, const struct options *o, const char *url, const char *name);
// Makes a curl handle check certificates that way; *t must outlive its use.
CURLcode trust_apply(struct trust *t, CURL *curl);
// Says that the node showed a certificate that is not the expected one.
void trust_explain_mismatch(const struct trust *t, const char *name);
// Fetches the fingerprint of whoever answers at `url`; no credentials are sent.
enum status trust_probe(const char *url, char fingerprint[65]);
// Asks the user whether that fingerprint is right; false without a terminal.
bool trust_ask(const char *name, const char *fingerprint);
// "AB:CD:..." as the node's console prints it.
void fingerprint_text(const char digits[65], char out[96]);

#endif
