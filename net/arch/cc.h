// SPDX-License-Identifier: Apache-2.0
// lwIP's view of compiler and platform.
#ifndef NET_ARCH_CC_H
#define NET_ARCH_CC_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#ifndef SSIZE_MAX // newlib's limits.h has none for a freestanding target
#define SSIZE_MAX LONG_MAX
#endif

#ifndef BYTE_ORDER
#define LITTLE_ENDIAN 1234
#define BIG_ENDIAN 4321
#define BYTE_ORDER LITTLE_ENDIAN
#endif

#define LWIP_NO_UNISTD_H 1

// Implemented in net/net.c.
unsigned int net_rand32(void);
void net_lwip_assert(const char *what, const char *file, int line) __attribute__((noreturn));
void net_lwip_diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void net_sntp_set_time(uint32_t seconds, uint32_t us);
void net_sntp_get_time(int32_t *seconds, int32_t *us);

#define LWIP_RAND() net_rand32()
#define LWIP_PLATFORM_ASSERT(what) net_lwip_assert(what, __FILE__, __LINE__)
#define LWIP_PLATFORM_DIAG(args) net_lwip_diag args

#endif
