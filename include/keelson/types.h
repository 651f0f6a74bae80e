// SPDX-License-Identifier: Apache-2.0
// Basic types that the hypervisor, the loader and the management partition share.
#ifndef KEELSON_TYPES_H
#define KEELSON_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEELSON_VERSION "0.1.0"

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ull
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define PAGE_SIZE_2M (2ull << 20)
#define PAGE_SIZE_1G (1ull << 30)

// Address spaces are different types, so that one cannot be passed for another by accident.
typedef struct {
    uint64_t v;
} gpa_t; // guest physical
typedef struct {
    uint64_t v;
} gva_t; // guest virtual
typedef struct {
    uint64_t v;
} spa_t; // system physical

#define GPA(x) ((gpa_t){(x)})
#define GVA(x) ((gva_t){(x)})
#define SPA(x) ((spa_t){(x)})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define ALIGN_UP(x, a) (((x) + ((a)-1)) & ~((__typeof__(x))(a)-1))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define BIT(n) (1ull << (n))
#define CONTAINER_OF(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))
#define MUST_CHECK __attribute__((warn_unused_result))
// What runs seldom, out of the way: callers keep nothing in registers for its sake.
#define SELDOM __attribute__((noinline, cold))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

#endif
