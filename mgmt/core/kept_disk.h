// SPDX-License-Identifier: Apache-2.0
// Disks that are kept over restarts: the node's store, or nobody.
//
// As with keeper.h the core and the faces know only this table, which mgmt/state/ fills. A disk has a size, contents
// that a guest writes, and perhaps a base (an image or a snapshot) that it shows where nothing was written. A snapshot
// is a read-only disk: what another one was. Control plane only.
#ifndef MGMT_CORE_KEPT_DISK_H
#define MGMT_CORE_KEPT_DISK_H

#include "mgmt/core/keeper.h"

#define KEPT_DISK_NAME_MAX 64 // letters, digits and ._- ; first character a letter or digit

struct kept_disk_info {
    const char *name;
    uint64_t size;      // bytes, as a guest sees it
    uint64_t allocated; // bytes of the store that are this disk's alone
    const char *base;   // "": none
    bool base_is_image;
    bool read_only;    // a snapshot
    unsigned children; // disks whose base it is
    unsigned users;    // systems that have it
    int64_t created_ms;
};

struct block_device;
struct open_disk; // one guest's use of a disk

struct disk_keeper {
    // False: there is none. What is found is valid until the event loop goes on.
    bool (*find)(const char *name, struct kept_disk_info *out);
    // All of them, by name; *cursor is NULL at the beginning, and of no use when the event loop has gone on.
    bool (*next)(const void **cursor, struct kept_disk_info *out);
    // base "": none; otherwise that image or snapshot. size 0: that of the base. What is durable is told by done().
    void (*create)(const char *name, uint64_t size, const char *base, bool base_is_image, keeper_done done,
                   void *arg);
    void (*resize)(const char *name, uint64_t size, keeper_done done, void *arg); // larger only
    // The disk as it is becomes the snapshot, and goes on as its child. No system may have it.
    void (*snapshot)(const char *name, const char *snapshot, keeper_done done, void *arg);
    void (*remove)(const char *name, keeper_done done, void *arg);
    // A definition has it: it is not deleted, resized or snapshot. It must be there.
    void (*hold)(const char *name);
    void (*release)(const char *name);
    // For a guest; it must be held. `serial` has at most 20 characters.
    enum core_status (*open)(const char *name, bool read_only, const char *serial, struct open_disk **out,
                             struct core_error *error);
    struct block_device *(*device)(struct open_disk *d); // until it is closed
    // No request may be under way. What was written is made durable afterwards.
    void (*close)(struct open_disk *d);
};

const struct disk_keeper *disk_keeper(void); // NULL: guests' disks are in memory alone
void disk_keeper_set(const struct disk_keeper *k);

#endif
