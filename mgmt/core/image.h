// SPDX-License-Identifier: Apache-2.0
// Images: named files that guests boot from, uploaded by clients.
//
// An upload is an object of its own and becomes visible as an image only when it is complete and its
// digest is right; a reader never sees half an image. Content lives in 2 MiB chunks of the guest pool; a
// node with a store keeps a copy there (mgmt/core/keeper.h), made before the image becomes visible. An
// image that a system uses has references and can neither be deleted nor replaced.
//
//   image_upload_begin ─► image_upload_write ... ─► image_upload_seal ─► image_upload_publish ─► image (refs 0)
//                              └──► image_upload_abort (chunks return to the pool)
#ifndef MGMT_CORE_IMAGE_H
#define MGMT_CORE_IMAGE_H

#include "mgmt/core/status.h"

#define IMAGE_NAME_MAX 64 // letters, digits and ._- ; first character a letter or digit
#define IMAGE_COUNT_MAX 64
#define IMAGE_SIZE_MAX (4ull << 30)
#define IMAGE_SHA256_SIZE 32
#define IMAGE_MEMORY_MAX (256ull << 20) // larger ones that a store keeps are not brought into memory

struct image;
struct image_upload;

struct image_info {
    const char *name;
    uint64_t size;
    uint8_t sha256[IMAGE_SHA256_SIZE];
    int64_t created_ms;
    unsigned refs;
    bool
        in_memory; // otherwise the store alone has the content: it cannot be read here, and disks can be made upon it
};

struct image_upload_info {
    const char *name;
    uint64_t received;
    uint64_t expected; // 0: not announced
};

// Starts an upload. `expected` is the announced size in bytes (0: unknown, checked as it grows). Refuses a
// bad name, a name in use or being uploaded, a size that the pool or the limits cannot hold.
enum core_status image_upload_begin(const char *name, uint64_t expected, struct image_upload **out,
                                    struct core_error *error);
// On failure the upload must be aborted.
enum core_status image_upload_write(struct image_upload *up, const void *data, size_t length,
                                    struct core_error *error);
// Ends the upload: size must be the announced one and the digest `sha256` unless it is NULL. An unused
// image of the same name is replaced. On success *out (may be NULL) is the image; on failure nothing has
// changed. `up` is gone in both cases.
enum core_status image_upload_finish(struct image_upload *up, const uint8_t *sha256, struct image **out,
                                     struct core_error *error);
// The same in two steps, for who has something to do in between. Seal checks, and on failure the upload must be
// aborted; the sealed content may be read. Publishing cannot fail: an image of that name that was taken into use
// meanwhile stays with its users alone.
enum core_status image_upload_seal(struct image_upload *up, const uint8_t *sha256, struct core_error *error);
struct image *image_upload_sealed(struct image_upload *up);
struct image *image_upload_publish(struct image_upload *up);
void image_upload_abort(struct image_upload *up);
// Makes an image visible whose content the store alone has; as image_upload_publish() in all else. NULL without memory.
struct image *image_publish_stored(const char *name, uint64_t size, const uint8_t *sha256,
                                   int64_t created_ms);
// May there be an image of this name, in place of one that there is?
enum core_status image_name_check(const char *name, struct core_error *error);

struct image *image_find(const char *name); // NULL if there is none
enum core_status image_delete(const char *name, struct core_error *error);
// Whether image_delete() would do it.
enum core_status image_deletable(const char *name, struct core_error *error);
// Deletes; systems that took it into use meanwhile keep it to themselves.
void image_forget(const char *name);
// Before it is published: when it was made, instead of now.
void image_set_created(struct image *image, int64_t created_ms);
void image_ref(struct image *image);
void image_unref(struct image *image);
void image_get_info(const struct image *image, struct image_info *out);
// Reads up to `length` bytes; fewer at the end of the image. Returns the number of bytes.
size_t image_read(const struct image *image, uint64_t offset, void *buf, size_t length);

// Enumeration by name order; start with NULL.
struct image *image_next(const struct image *previous);
struct image_upload *image_upload_next(const struct image_upload *previous);
void image_upload_get_info(const struct image_upload *up, struct image_upload_info *out);
uint64_t image_pool_bytes(void); // guest pool held by images and uploads

#endif
