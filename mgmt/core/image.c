// SPDX-License-Identifier: Apache-2.0
// Images in memory: chunk lists, digests, references.
#include "mgmt/core/image.h"

#include <mbedtls/sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/event.h"
#include "mgmt/plat.h"

struct content { // bytes in pool chunks
    gpa_t *chunks;
    size_t count;    // chunks allocated
    size_t capacity; // of the array
    uint64_t size;   // bytes written
};

struct image {
    struct image *next;
    char name[IMAGE_NAME_MAX + 1];
    struct content content;
    uint8_t sha256[IMAGE_SHA256_SIZE];
    int64_t created_ms;
    unsigned refs;
    uint64_t stored; // bytes, of one that is in the store alone; 0: in memory
    bool orphan;     // in no list; goes with its last reference
};

struct image_upload {
    struct image_upload *next;
    struct image *image; // becomes visible at the end
    uint64_t expected;
    mbedtls_sha256_context sha;
};

static struct image *images; // sorted by name
static struct image_upload *uploads;
static uint64_t chunks_held;

static void content_free(struct content *c)
{
    for (size_t i = 0; i < c->count; i++) {
        plat_pool_free(c->chunks[i], 1);
    }
    chunks_held -= c->count;
    free(c->chunks);
    *c = (struct content){0};
}

static bool content_grow(struct content *c, struct core_error *error)
{
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? c->capacity * 2 : 16;
        gpa_t *grown = realloc(c->chunks, capacity * sizeof *grown);

        if (grown == NULL) {
            core_fail(error, CORE_NO_HEAP, "management heap is full");
            return false;
        }
        c->chunks = grown;
        c->capacity = capacity;
    }
    if (!plat_pool_alloc(1, &c->chunks[c->count])) {
        core_fail(error, CORE_NO_MEMORY, "guest memory is exhausted; delete images or stop systems");
        return false;
    }
    c->count++;
    chunks_held++;
    return true;
}

static bool content_append(struct content *c, const uint8_t *data, size_t length, struct core_error *error)
{
    while (length > 0) {
        size_t offset = c->size % PAGE_SIZE_2M;
        size_t n = MIN(length, PAGE_SIZE_2M - offset);

        if (offset == 0 && !content_grow(c, error)) {
            return false;
        }
        memcpy((uint8_t *)plat_pool_va(c->chunks[c->count - 1]) + offset, data, n);
        c->size += n;
        data += n;
        length -= n;
    }
    return true;
}

static bool name_valid(const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || n > IMAGE_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (!alnum && (i == 0 || strchr("._-", c) == NULL)) {
            return false;
        }
    }
    return true;
}

enum core_status image_name_check(const char *name, struct core_error *error)
{
    unsigned count = 0;
    struct image *old = image_find(name);

    if (!name_valid(name)) {
        return core_fail(error, CORE_INVALID,
                         "image name must be 1 to %d letters, digits, '.', '_' or '-', "
                         "beginning with a letter or digit",
                         IMAGE_NAME_MAX);
    }
    for (struct image_upload *u = uploads; u != NULL; u = u->next) {
        if (strcmp(u->image->name, name) == 0) {
            return core_fail(error, CORE_IN_USE, "image '%s' is being uploaded by somebody else", name);
        }
        count++;
    }
    if (old != NULL && old->refs > 0) {
        return core_fail(error, CORE_IN_USE, "image '%s' is used by %u system(s); end them first", name,
                         old->refs);
    }
    for (struct image *i = images; i != NULL; i = i->next) {
        count++;
    }
    if (count >= IMAGE_COUNT_MAX) {
        return core_fail(error, CORE_LIMIT, "the node holds %u images already; delete some", count);
    }
    return CORE_OK;
}

static enum core_status check_begin(const char *name, uint64_t expected, struct core_error *error)
{
    enum core_status status = image_name_check(name, error);
    uint64_t total, free_bytes;

    if (status != CORE_OK) {
        return status;
    }
    plat_pool_usage(&total, &free_bytes);
    if (expected > IMAGE_SIZE_MAX || expected > free_bytes) {
        return core_fail(error, CORE_NO_MEMORY, "image of %llu bytes does not fit: %llu bytes are free",
                         (unsigned long long)expected, (unsigned long long)MIN(free_bytes, IMAGE_SIZE_MAX));
    }
    return CORE_OK;
}

enum core_status image_upload_begin(const char *name, uint64_t expected, struct image_upload **out,
                                    struct core_error *error)
{
    enum core_status status = check_begin(name, expected, error);
    struct image_upload *up;

    if (status != CORE_OK) {
        return status;
    }
    up = calloc(1, sizeof *up);
    if (up == NULL || (up->image = calloc(1, sizeof *up->image)) == NULL) {
        free(up);
        return core_fail(error, CORE_NO_HEAP, "management heap is full");
    }
    snprintf(up->image->name, sizeof up->image->name, "%s", name);
    up->expected = expected;
    mbedtls_sha256_init(&up->sha);
    mbedtls_sha256_starts_ret(&up->sha, 0);
    up->next = uploads;
    uploads = up;
    *out = up;
    return CORE_OK;
}

enum core_status image_upload_write(struct image_upload *up, const void *data, size_t length,
                                    struct core_error *error)
{
    uint64_t limit = up->expected ? up->expected : IMAGE_SIZE_MAX;

    if (length > limit - up->image->content.size) {
        return core_fail(error, CORE_INVALID, "image '%s' is longer than %llu bytes", up->image->name,
                         (unsigned long long)limit);
    }
    mbedtls_sha256_update_ret(&up->sha, data, length);
    if (!content_append(&up->image->content, data, length, error)) {
        return error != NULL ? error->status : CORE_NO_MEMORY;
    }
    return CORE_OK;
}

// Frees the upload and leaves its image to the caller.
static struct image *upload_dissolve(struct image_upload *up)
{
    struct image *image = up->image;

    for (struct image_upload **p = &uploads; *p != NULL; p = &(*p)->next) {
        if (*p == up) {
            *p = up->next;
            break;
        }
    }
    mbedtls_sha256_free(&up->sha);
    free(up);
    return image;
}

static void image_free(struct image *image)
{
    content_free(&image->content);
    free(image);
}

void image_upload_abort(struct image_upload *up)
{
    image_free(upload_dissolve(up));
}

static void image_unlink(struct image *image)
{
    for (struct image **p = &images; *p != NULL; p = &(*p)->next) {
        if (*p == image) {
            *p = image->next;
            return;
        }
    }
}

static void image_publish(struct image *image)
{
    struct image **p = &images;

    while (*p != NULL && strcmp((*p)->name, image->name) < 0) {
        p = &(*p)->next;
    }
    image->next = *p;
    *p = image;
    if (image->created_ms == 0) { // else it came with a time
        image->created_ms = plat_unix_ms();
    }
    event_post(EVENT_IMAGE_ADDED, image->name, "%llu bytes",
               (unsigned long long)(image->stored != 0 ? image->stored : image->content.size));
}

static enum core_status check_finish(const struct image_upload *up, const uint8_t *announced,
                                     struct core_error *error)
{
    const struct image *image = up->image;
    const struct image *old = image_find(image->name);

    if (up->expected != 0 && image->content.size != up->expected) {
        return core_fail(error, CORE_MISMATCH, "image '%s': %llu of %llu bytes arrived", image->name,
                         (unsigned long long)image->content.size, (unsigned long long)up->expected);
    }
    if (image->content.size == 0) {
        return core_fail(error, CORE_INVALID, "image '%s' is empty", image->name);
    }
    if (announced != NULL && memcmp(announced, image->sha256, IMAGE_SHA256_SIZE) != 0) {
        return core_fail(error, CORE_MISMATCH,
                         "image '%s': SHA-256 of the content differs from the announced one", image->name);
    }
    if (old != NULL && old->refs > 0) { // taken into use while the upload went on
        return core_fail(error, CORE_IN_USE, "image '%s' is used by %u system(s)", image->name, old->refs);
    }
    return CORE_OK;
}

enum core_status image_upload_seal(struct image_upload *up, const uint8_t *sha256, struct core_error *error)
{
    mbedtls_sha256_finish_ret(&up->sha, up->image->sha256);
    return check_finish(up, sha256, error);
}

struct image *image_upload_sealed(struct image_upload *up)
{
    return up->image;
}

// Out of the list; freed now or by the last who uses it.
static void image_retire(struct image *image)
{
    image_unlink(image);
    image->orphan = true;
    if (image->refs == 0) {
        image_free(image);
    }
}

struct image *image_upload_publish(struct image_upload *up)
{
    struct image *image = upload_dissolve(up), *old = image_find(image->name);

    if (old != NULL) {
        image_retire(old);
    }
    image_publish(image);
    return image;
}

struct image *image_publish_stored(const char *name, uint64_t size, const uint8_t *sha256, int64_t created_ms)
{
    struct image *image = calloc(1, sizeof *image), *old = image_find(name);

    if (image == NULL) {
        return NULL;
    }
    snprintf(image->name, sizeof image->name, "%s", name);
    image->stored = size;
    memcpy(image->sha256, sha256, sizeof image->sha256);
    image->created_ms = created_ms;
    if (old != NULL) {
        image_retire(old);
    }
    image_publish(image);
    return image;
}

enum core_status image_upload_finish(struct image_upload *up, const uint8_t *sha256, struct image **out,
                                     struct core_error *error)
{
    enum core_status status = image_upload_seal(up, sha256, error);
    struct image *image;

    if (status != CORE_OK) {
        image_upload_abort(up);
        return status;
    }
    image = image_upload_publish(up);
    if (out != NULL) {
        *out = image;
    }
    return CORE_OK;
}

struct image *image_find(const char *name)
{
    for (struct image *i = images; i != NULL; i = i->next) {
        if (strcmp(i->name, name) == 0) {
            return i;
        }
    }
    return NULL;
}

enum core_status image_deletable(const char *name, struct core_error *error)
{
    struct image *image = image_find(name);

    if (image == NULL) {
        return core_fail(error, CORE_NOT_FOUND, "there is no image '%s'", name);
    }
    if (image->refs > 0) {
        return core_fail(error, CORE_IN_USE, "image '%s' is used by %u system(s); end them first", name,
                         image->refs);
    }
    return CORE_OK;
}

void image_forget(const char *name)
{
    struct image *image = image_find(name);

    if (image != NULL) {
        event_post(EVENT_IMAGE_DELETED, image->name, "deleted");
        image_retire(image);
    }
}

enum core_status image_delete(const char *name, struct core_error *error)
{
    enum core_status status = image_deletable(name, error);

    if (status == CORE_OK) {
        image_forget(name);
    }
    return status;
}

void image_set_created(struct image *image, int64_t created_ms)
{
    image->created_ms = created_ms;
}

void image_ref(struct image *image)
{
    image->refs++;
}

void image_unref(struct image *image)
{
    image->refs--;
    if (image->orphan && image->refs == 0) {
        image_free(image);
    }
}

void image_get_info(const struct image *image, struct image_info *out)
{
    out->name = image->name;
    out->size = image->stored != 0 ? image->stored : image->content.size;
    out->in_memory = image->stored == 0;
    memcpy(out->sha256, image->sha256, sizeof out->sha256);
    out->created_ms = image->created_ms;
    out->refs = image->refs;
}

size_t image_read(const struct image *image, uint64_t offset, void *buf, size_t length)
{
    const struct content *c = &image->content;
    size_t total;

    if (offset >= c->size) {
        return 0;
    }
    total = MIN(length, c->size - offset);
    for (size_t done = 0; done < total;) {
        uint64_t at = offset + done;
        size_t n = MIN(total - done, PAGE_SIZE_2M - at % PAGE_SIZE_2M);

        memcpy((uint8_t *)buf + done,
               (uint8_t *)plat_pool_va(c->chunks[at / PAGE_SIZE_2M]) + at % PAGE_SIZE_2M, n);
        done += n;
    }
    return total;
}

struct image *image_next(const struct image *previous)
{
    return previous == NULL ? images : previous->next;
}

struct image_upload *image_upload_next(const struct image_upload *previous)
{
    return previous == NULL ? uploads : previous->next;
}

void image_upload_get_info(const struct image_upload *up, struct image_upload_info *out)
{
    out->name = up->image->name;
    out->received = up->image->content.size;
    out->expected = up->expected;
}

uint64_t image_pool_bytes(void)
{
    return chunks_held * PAGE_SIZE_2M;
}
