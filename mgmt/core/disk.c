// SPDX-License-Identifier: Apache-2.0
// Disks of guests: kept ones, private copies of images in the guest pool, and bytes that a definition brings.
#include "mgmt/core/disk.h"

#include <stdlib.h>
#include <string.h>

#include "mgmt/block/ram_disk.h"
#include "mgmt/core/kept_disk.h"
#include "mgmt/plat.h"

struct disk {
    struct open_disk *kept; // NULL: the rest is used
    struct ram_disk ram;
    const struct image *image; // held by the definition; NULL: ram is the definition's contents
    gpa_t medium;
    size_t chunks;
    uint64_t filled; // bytes of the image
};

static bool find_kept(const char *name, struct kept_disk_info *out)
{
    return disk_keeper() != NULL && disk_keeper()->find(name, out);
}

// --- definitions ---

static enum core_status check_kept(const struct disk_source *source, const struct kept_disk_info *info,
                                   struct core_error *error)
{
    if (info->read_only && !source->read_only) {
        return core_fail(error, CORE_INVALID,
                         "disk '%s' is a snapshot: attach it with ReadOnly, or create a disk upon it",
                         source->path);
    }
    if (!info->read_only && info->users > 0) {
        return core_fail(error, CORE_IN_USE, "disk '%s' belongs to another system", source->path);
    }
    return CORE_OK;
}

static enum core_status check_image(const struct disk_source *source, struct core_error *error)
{
    struct image *image = image_find(source->path);
    struct image_info info;

    if (image == NULL) {
        return core_fail(error, CORE_NO_IMAGE,
                         "there is no disk and no image '%s' on this node; create or upload it first",
                         source->path);
    }
    image_get_info(image, &info);
    if (!info.in_memory) {
        return core_fail(error, CORE_BAD_IMAGE,
                         "image '%s' is on the state partition alone; create a disk upon it and attach that",
                         source->path);
    }
    if (info.size == 0) {
        return core_fail(error, CORE_BAD_IMAGE, "disk image '%s' is empty", source->path);
    }
    return CORE_OK;
}

// A disk that is written may be there once.
static enum core_status check_once(const struct disk_source *sources, unsigned index,
                                   const struct kept_disk_info *info, struct core_error *error)
{
    for (unsigned i = 0; i < index && !info->read_only; i++) {
        if (strcmp(sources[i].path, sources[index].path) == 0) {
            return core_fail(error, CORE_INVALID, "disk '%s' is attached twice", sources[index].path);
        }
    }
    return CORE_OK;
}

enum core_status disk_check(const struct disk_source *sources, unsigned count, struct core_error *error)
{
    enum core_status status = CORE_OK;

    for (unsigned i = 0; i < count && status == CORE_OK; i++) {
        struct kept_disk_info info;

        if (!find_kept(sources[i].path, &info)) {
            status = check_image(&sources[i], error);
        } else {
            status = check_kept(&sources[i], &info, error);
            status = status == CORE_OK ? check_once(sources, i, &info, error) : status;
        }
    }
    return status;
}

void disk_hold(struct disk_source *source)
{
    struct kept_disk_info info;

    source->kept = source->contents == NULL && find_kept(source->path, &info);
    if (source->kept) {
        disk_keeper()->hold(source->path);
    } else if (source->contents == NULL) {
        image_ref(image_find(source->path));
    }
}

void disk_release(const struct disk_source *source)
{
    if (source->kept) {
        disk_keeper()->release(source->path);
    } else if (source->contents == NULL) {
        image_unref(image_find(source->path)); // held, hence still the same
    }
}

// --- a guest's disk ---

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

static enum core_status open_copy(const struct disk_source *source, const char *serial, struct disk *d,
                                  struct core_error *error)
{
    struct image_info info;

    d->image = image_find(source->path);
    image_get_info(d->image, &info);
    if (!take_medium(d, info.size)) {
        return core_fail(error, CORE_NO_MEMORY, "no run of %llu MB of guest memory is free for disk '%s'",
                         (unsigned long long)(ALIGN_UP(info.size, PAGE_SIZE_2M) >> 20), source->path);
    }
    ram_disk_init(&d->ram, plat_pool_va(d->medium),
                  ALIGN_UP(info.size, (uint64_t)BLOCK_SECTOR) / BLOCK_SECTOR, source->read_only, serial);
    return CORE_OK;
}

static enum core_status open_source(const struct disk_source *source, const char *serial, struct disk *d,
                                    struct core_error *error)
{
    if (source->contents != NULL) {
        ram_disk_init(&d->ram, source->contents, source->content_bytes / BLOCK_SECTOR, true, serial);
        return CORE_OK;
    }
    return source->kept ? disk_keeper()->open(source->path, source->read_only, serial, &d->kept, error)
                        : open_copy(source, serial, d, error);
}

enum core_status disk_open(const struct disk_source *source, const char *serial, struct disk **out,
                           struct core_error *error)
{
    struct disk *d = calloc(1, sizeof *d);
    enum core_status status;

    if (d == NULL) {
        return core_fail(error, CORE_NO_HEAP, "management heap is full");
    }
    status = open_source(source, serial, d, error);
    if (status != CORE_OK) {
        free(d);
        return status;
    }
    *out = d;
    return CORE_OK;
}

bool disk_fill(struct disk *d, size_t slice)
{
    size_t n;

    if (d->image == NULL) {
        return true;
    }
    n = image_read(d->image, d->filled, d->ram.medium + d->filled, slice);
    d->filled += n;
    return n < slice;
}

struct block_device *disk_device(struct disk *d)
{
    return d->kept != NULL ? disk_keeper()->device(d->kept) : &d->ram.device;
}

void disk_close(struct disk *d)
{
    if (d->kept != NULL) {
        disk_keeper()->close(d->kept);
    } else if (d->image != NULL) {
        plat_pool_free(d->medium, d->chunks);
    }
    free(d);
}
