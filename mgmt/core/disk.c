// SPDX-License-Identifier: Apache-2.0
// Disks of guests: private copies of images in the guest pool.
#include "mgmt/core/disk.h"

#include <stdlib.h>
#include <string.h>

#include "mgmt/block/ram_disk.h"
#include "mgmt/plat.h"

struct disk {
    struct ram_disk ram;
    const struct image *image; // held by the definition
    gpa_t medium;
    size_t chunks;
    uint64_t filled; // bytes of the image
};

enum core_status disk_check(const struct disk_source *source, struct core_error *error)
{
    struct image *image = image_find(source->path);
    struct image_info info;

    if (image == NULL) {
        return core_fail(error, CORE_NO_IMAGE, "disk image '%s' is not on this node; upload it first",
                         source->path);
    }
    image_get_info(image, &info);
    if (info.size == 0) {
        return core_fail(error, CORE_BAD_IMAGE, "disk image '%s' is empty", source->path);
    }
    return CORE_OK;
}

void disk_hold(const struct disk_source *source)
{
    image_ref(image_find(source->path));
}

void disk_release(const struct disk_source *source)
{
    image_unref(image_find(source->path)); // held, hence still the same
}

// Takes the memory; the bytes behind the image's end are zero up to the end of its last chunk.
static bool take_medium(struct disk *d, uint64_t bytes)
{
    uint8_t *last;

    d->chunks = (size_t)(ALIGN_UP(bytes, PAGE_SIZE_2M) / PAGE_SIZE_2M);
    if (!plat_pool_alloc(d->chunks, &d->medium)) {
        return false;
    }
    last = (uint8_t *)plat_pool_va(d->medium) + (d->chunks - 1) * PAGE_SIZE_2M;
    memset(last, 0, PAGE_SIZE_2M);
    return true;
}

enum core_status disk_open(const struct disk_source *source, const char *serial, struct disk **out,
                           struct core_error *error)
{
    struct image_info info;
    struct disk *d;

    if (disk_check(source, error) != CORE_OK) {
        return error->status;
    }
    d = calloc(1, sizeof *d);
    if (d == NULL) {
        return core_fail(error, CORE_NO_HEAP, "management heap is full");
    }
    d->image = image_find(source->path);
    image_get_info(d->image, &info);
    if (!take_medium(d, info.size)) {
        free(d);
        return core_fail(error, CORE_NO_MEMORY, "no run of %llu MB of guest memory is free for disk '%s'",
                         (unsigned long long)(ALIGN_UP(info.size, PAGE_SIZE_2M) >> 20), source->path);
    }
    ram_disk_init(&d->ram, plat_pool_va(d->medium),
                  ALIGN_UP(info.size, (uint64_t)BLOCK_SECTOR) / BLOCK_SECTOR, source->read_only, serial);
    *out = d;
    return CORE_OK;
}

bool disk_fill(struct disk *d, size_t slice)
{
    size_t n = image_read(d->image, d->filled, d->ram.medium + d->filled, slice);

    d->filled += n;
    return n < slice;
}

struct block_device *disk_device(struct disk *d)
{
    return &d->ram.device;
}

void disk_close(struct disk *d)
{
    plat_pool_free(d->medium, d->chunks);
    free(d);
}
