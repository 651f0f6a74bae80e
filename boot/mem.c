// SPDX-License-Identifier: Apache-2.0
// Fill, copy and compare memory; the string instructions are fast on every processor with VT-x or AMD-V.
#include "boot/mem.h"

void *mem_set(void *dest, int value, size_t size)
{
    void *at = dest;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
    return dest;
}

void *mem_copy(void *restrict dest, const void *restrict src, size_t size)
{
    void *at = dest;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(src), "+c"(size) : : "memory");
    return dest;
}

int mem_compare(const void *a, const void *b, size_t size)
{
    const unsigned char *left = a;
    const unsigned char *right = b;
    for (size_t i = 0; i < size; i++) {
        if (left[i] != right[i]) {
            return left[i] < right[i] ? -1 : 1;
        }
    }
    return 0;
}
