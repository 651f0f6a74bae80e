// SPDX-License-Identifier: Apache-2.0
// The setup header of a Linux bzImage: reading and checking.

#include "mgmt/devices/bzimage.h"

#include <stdio.h>

#include "mgmt/devices/kernel_parts.h"

#define BOOT_FLAG 0xaa55
#define MAGIC 0x53726448  // "HdrS"
#define MIN_VERSION 0x20c // Linux 3.8: xloadflags
#define SECTOR 512
#define DEFAULT_SETUP_SECTS 4
#define ENTRY64_OFFSET 0x200 // of the 64-bit entry in the protected-mode code
#define LOW_LIMIT 0x100000ull

static bool fail(char *error, size_t error_size, const char *text)
{
    (void)snprintf(error, error_size, "%s", text);
    return false;
}

// Reads the header; what lies behind its own end is not header and stays zero.
static bool read_header(const struct image_reader *file, struct setup_header *header)
{
    uint8_t raw[SETUP_HEADER_MAX] = {0};
    size_t want = MIN(sizeof(raw),
                      (size_t)(file->size > SETUP_HEADER_OFFSET ? file->size - SETUP_HEADER_OFFSET : 0));
    size_t end;

    if (want < 0x206 + 2 - SETUP_HEADER_OFFSET || !image_read_exact(file, SETUP_HEADER_OFFSET, raw, want)) {
        return false;
    }
    end = 0x202u + raw[0x201 - SETUP_HEADER_OFFSET] - SETUP_HEADER_OFFSET;
    __builtin_memset(header, 0, sizeof(*header));
    __builtin_memcpy(header, raw, MIN(end, sizeof(*header)));
    return true;
}

static bool check_kind(const struct setup_header *h, char *error, size_t size)
{
    if (h->boot_flag != BOOT_FLAG || h->header != MAGIC) {
        return fail(error, size, "not a Linux bzImage: no boot flag or no \"HdrS\" signature");
    }
    if (h->version < MIN_VERSION) {
        (void)snprintf(error, size, "kernel boot protocol %u.%02u is too old: 2.12 or later is needed",
                       h->version >> 8, h->version & 0xff);
        return false;
    }
    if (!(h->loadflags & LOADED_HIGH)) {
        return fail(error, size, "kernel is a zImage, which loads low: a bzImage is needed");
    }
    if (!(h->xloadflags & XLF_KERNEL_64)) {
        return fail(error, size,
                    "kernel has no 64-bit entry point (xloadflags bit 0): an x86-64 kernel is needed");
    }
    return true;
}

static bool check_sizes(const struct image_reader *file, struct bzimage *image, char *error, size_t size)
{
    const struct setup_header *h = &image->header;
    uint64_t sects = h->setup_sects ? h->setup_sects : DEFAULT_SETUP_SECTS;
    uint64_t declared = (uint64_t)h->syssize * 16;

    image->code_offset = (sects + 1) * SECTOR;
    if (file->size < image->code_offset + ENTRY64_OFFSET + 1) {
        return fail(error, size, "kernel file is truncated: no protected-mode code behind the setup sectors");
    }
    image->code_size = file->size - image->code_offset;
    // A signature may follow the declared code, or the last paragraph be short.
    if (image->code_size + 15 < declared) {
        (void)snprintf(error, size, "kernel file is truncated: %llu bytes of code declared, %llu present",
                       (unsigned long long)declared, (unsigned long long)image->code_size);
        return false;
    }
    if (image->code_size > UINT32_MAX) {
        return fail(error, size, "kernel file is larger than 4 GiB");
    }
    return true;
}

static bool check_placement(struct bzimage *image, char *error, size_t size)
{
    const struct setup_header *h = &image->header;
    uint64_t alignment = h->kernel_alignment;

    if (h->pref_address < LOW_LIMIT || h->pref_address > UINT32_MAX) {
        (void)snprintf(error, size, "kernel's preferred address 0x%llx is not between 1 MiB and 4 GiB",
                       (unsigned long long)h->pref_address);
        return false;
    }
    if (alignment == 0 || (alignment & (alignment - 1)) || h->pref_address % alignment) {
        (void)snprintf(error, size, "kernel alignment 0x%llx is not a power of two that fits its address",
                       (unsigned long long)alignment);
        return false;
    }
    image->load_gpa = h->pref_address;
    image->memory_size = MAX((uint64_t)h->init_size, image->code_size);
    return true;
}

// The version string is for display: absent or odd is no error.
static void read_version(const struct image_reader *file, struct bzimage *image)
{
    uint64_t offset = (uint64_t)image->header.kernel_version + 0x200;
    size_t n;

    image->version[0] = '\0';
    if (image->header.kernel_version == 0 || offset >= image->code_offset) {
        return;
    }
    n = (size_t)MIN((uint64_t)sizeof(image->version) - 1, file->size - offset);
    if (!image_read_exact(file, offset, image->version, n)) {
        n = 0;
    }
    image->version[n] = '\0';
    for (char *c = image->version; *c != '\0'; c++) {
        if (*c < ' ' || *c > '~') {
            *c = '?';
        }
    }
}

bool bzimage_is(const struct image_reader *file)
{
    struct setup_header header;

    return read_header(file, &header) && header.boot_flag == BOOT_FLAG && header.header == MAGIC;
}

bool bzimage_read(const struct image_reader *file, struct bzimage *image, char *error, size_t error_size)
{
    if (!read_header(file, &image->header)) {
        return fail(error, error_size, "not a Linux bzImage: file too short or not readable");
    }
    if (!check_kind(&image->header, error, error_size) || !check_sizes(file, image, error, error_size) ||
        !check_placement(image, error, error_size)) {
        return false;
    }
    read_version(file, image);
    return true;
}
