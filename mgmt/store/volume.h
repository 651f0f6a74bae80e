// SPDX-License-Identifier: Apache-2.0
// Volumes: images, disks and snapshots, which share one way of keeping contents.
//
// A volume owns grains of 64 KiB in extents of 1 MiB; what it does not own is its parent's, and zero without a parent.
// A parent is read-only, so a chain is read without locks. An extent belongs to one volume, so deleting needs no
// counts. Contents are written before the map that speaks of them is committed: what a map shows after a power cut is
// never another volume's old data.
//
//   image   written by an upload (upload.h), then read-only
//   disk    written by a guest; sparse
//   snapshot  what a disk was: read-only, the disk's parent from then on
#ifndef MGMT_STORE_VOLUME_H
#define MGMT_STORE_VOLUME_H

#include "mgmt/store/map.h"
#include "mgmt/store/store.h"
#include "mgmt/store/worker.h"

#define VOLUME_NAME_MAX 128
#define VOLUME_SIZE_MAX (16ull << 40)
#define VOLUME_COUNT_MAX 4096u
#define VOLUME_DEPTH_MAX 16u // of a chain of parents
#define VOLUME_SHA256 32

enum volume_kind { VOLUME_IMAGE = 1, VOLUME_DISK = 2 }; // kept on disk
enum volume_state {                                     // kept on disk
    VOLUME_UPLOADING = 0,
    VOLUME_READY = 1,
    VOLUME_DELETING = 2, // invisible; its extents come back bit by bit
};

struct volume;

struct volume_info {
    uint64_t id;
    enum volume_kind kind;
    const char *name;
    uint64_t size;      // bytes, as a guest or client sees it
    uint64_t allocated; // bytes of extents
    bool read_only;
    const struct volume *parent; // NULL: none
    unsigned children, opens, users;
    bool busy; // accesses, flushes or changes are under way
    int64_t created_ms;
    uint8_t sha256[VOLUME_SHA256]; // of an image
};

// Ready volumes of a kind. Pointers stay valid until the volume is deleted.
struct volume *volume_find(const struct store *s, enum volume_kind kind, const char *name);
struct volume *volume_next(const struct store *s, enum volume_kind kind,
                           const struct volume *previous); // by name
void volume_get_info(const struct volume *v, struct volume_info *out);

// Who uses a volume's contents opens it: it is not deleted or snapshot meanwhile.
void volume_open(struct volume *v);
void volume_close(struct volume *v);
// The same for a system that has the disk, which counts as a user.
void volume_attach(struct volume *v);
void volume_detach(struct volume *v);

// A disk of `size` bytes (a multiple of 512), all zero or, with a parent (read-only, not larger), like that.
enum store_status volume_create(struct store *s, const char *name, uint64_t size, struct volume *parent,
                                store_done done, void *arg);
// Disks only become larger.
enum store_status volume_resize(struct volume *v, uint64_t size, store_done done, void *arg);
// The disk, which must not be open, becomes the child of a new read-only volume `name` with its present contents.
enum store_status volume_snapshot(struct volume *v, const char *name, store_done done, void *arg);
// Refused while the volume is open or has children. Its space comes back soon afterwards.
enum store_status volume_delete(struct volume *v, store_done done, void *arg);

// --- contents ---

struct volume_run {
    bool data;       // false: reads as zero
    bool owned;      // may be written in place
    uint64_t sector; // of the partition, with data
    uint64_t length; // bytes, from the offset asked for
};
// Where `length` bytes from `offset` begin, and how far that place goes. For readers that access the partition
// themselves: valid as long as the volume is open, except that what is not owned may become so by VOLUME_FILL or
// VOLUME_WRITE, and what is owned ceases to be by VOLUME_DISCARD.
void volume_lookup(const struct volume *v, uint64_t offset, uint64_t length, struct volume_run *run);

enum volume_op {
    VOLUME_READ,
    VOLUME_WRITE,
    VOLUME_FILL, // makes every grain that the range touches owned, with the contents it has
    VOLUME_DISCARD, // gives back every owned grain that lies within the range: it shows the parent's contents or zeros.
                    // Nobody may be accessing those grains in place
};

// Belongs to the store until done(), which comes from the event loop.
struct volume_io {
    struct worker_job job;
    struct plat_work finish;
    struct volume *volume;
    enum volume_op op;
    uint64_t offset; // multiples of 512, within the volume's size rounded up to 512
    uint64_t length;
    uint8_t *buffer;
    void (*done)(struct volume_io *io, enum store_status status);
    enum store_status status;
};
void volume_submit(struct volume_io *io);

// All contents written before (VOLUME_WRITE or in place) are on the medium when done() is called, and the map that
// speaks of them. Belongs to the store until then.
struct volume_flush {
    struct volume_flush *next;
    struct volume *volume;
    void (*done)(struct volume_flush *flush, enum store_status status);
};
// STORE_NO_HEAP: nothing was started.
enum store_status volume_flush(struct volume_flush *flush);

#endif
