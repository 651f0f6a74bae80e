// SPDX-License-Identifier: Apache-2.0
// Strict loader of the two static ELF64 images that the boot file carries.
#ifndef KEELSON_BOOT_ELF_H
#define KEELSON_BOOT_ELF_H

#include <keelson/bootinfo.h>

struct elf_image {
    const uint8_t *file;
    size_t file_size;
    uint64_t vbase; // lowest segment address, rounded down to 2 MiB
    uint64_t vend;  // first address above the highest segment, .bss included
    uint64_t entry;
};

// Checks every header and bound of a static x86-64 executable and fills `image`, which keeps pointing into
// `file`. Returns NULL, or what is wrong with the file.
MUST_CHECK const char *elf_parse(struct elf_image *image, const void *file, size_t file_size);

// Copies the segments to `memory`, which stands for image->vbase and holds vend - vbase bytes; zeroes
// everything else in it. `image` was filled by elf_parse() without an error.
void elf_load(const struct elf_image *image, uint8_t *memory);

// Writes the loadable segments with their rights to `out`. Returns how many there are, 0 if more than `cap`.
MUST_CHECK uint32_t elf_segments(const struct elf_image *image, struct boot_segment *out, uint32_t cap);

#endif
