// SPDX-License-Identifier: Apache-2.0
// What net/tls.c and net/tls_identity.c share.
#ifndef NET_TLS_PRIV_H
#define NET_TLS_PRIV_H

#include "net/tls.h"

// mbedTLS's random number callback, fed from the node's pool.
int tls_rng(void *unused, unsigned char *buf, size_t len);
// Tell mbedTLS where time comes from; idempotent.
void tls_platform_init(void);

#endif
