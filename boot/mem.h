// SPDX-License-Identifier: Apache-2.0
// Memory functions of the loader. gnu-efi has memset and memcpy for the compiler's own use, but they go byte
// by byte; these are fast enough for images and page tables, and the same in host tests.
#ifndef KEELSON_BOOT_MEM_H
#define KEELSON_BOOT_MEM_H

#include <stddef.h>

// As memset, memcpy and memcmp of the C standard.
void *mem_set(void *dest, int value, size_t size);
void *mem_copy(void *restrict dest, const void *restrict src, size_t size);
int mem_compare(const void *a, const void *b, size_t size);

#endif
