// SPDX-License-Identifier: Apache-2.0
// The API as a service: certificate, TLS, HTTP, routes, on one TCP port.
//
// Used by the management partition and by the host build alike. Control plane only. Call after the IP
// stack runs; when addresses appear or change, api_server_refresh() makes a certificate that names them.
#ifndef MGMT_HCS_SERVER_H
#define MGMT_HCS_SERVER_H

#include "net/http.h"
#include "net/tls.h"

#define API_PORT 443

struct api_server_names { // for the certificate
    const char *hostname;
    uint8_t ip[4][16];
    uint8_t ip_len[4]; // 4 or 16 each
    size_t ip_count;
};

// Starts listening; port 0 takes a free one. Returns the port, 0 on failure (the log says why).
uint16_t api_server_start(uint16_t port, const struct api_server_names *names);
// New certificate for the same key. Connections that exist keep theirs.
void api_server_refresh(const struct api_server_names *names);
void api_server_fingerprint(char out[96]); // SHA-256 of the certificate; "" before api_server_start()
void api_server_stats(struct http_stats *http, struct tls_stats *tls);

#endif
