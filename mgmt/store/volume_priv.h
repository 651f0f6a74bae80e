// SPDX-License-Identifier: Apache-2.0
// A volume as the store's own parts see it.
#ifndef MGMT_STORE_VOLUME_PRIV_H
#define MGMT_STORE_VOLUME_PRIV_H

#include "mgmt/store/store_priv.h"

#define VOLUME_ROWS 512u // of a map that one transaction writes or deletes

struct volume_row {
    uint64_t slot;
    uint32_t extent;
    uint16_t grains, saved;
};

struct volume_digest { // SHA-256 of a multiple of 64 bytes (FIPS 180-4 section 6.2); kept on disk
    uint32_t total[2]; // bytes, low and high
    uint32_t state[8];
};

struct volume {
    struct volume *next;
    struct store *store;
    uint64_t id; // higher than its parent's
    enum volume_kind kind;
    enum volume_state state;
    bool read_only;
    bool recorded; // has a row in the database
    bool changing; // a transaction about it is under way: no other, and no new access
    char name[VOLUME_NAME_MAX + 1];
    uint64_t size;
    struct volume *parent;
    unsigned children, opens, users; // users: those of the opens that are systems
    unsigned busy;                   // accesses and flushes under way
    uint64_t extents;
    int64_t created_ms;
    uint8_t sha256[VOLUME_SHA256];
    struct upload *upload;         // that is going on
    uint64_t received;             // by it, as far as it is recorded
    struct volume_digest progress; // of these bytes
    struct map map;
    const struct map_slot *writing; // the content worker is writing into its extent
    // writing the map (volume_flush.c) or deleting it (volume_delete.c): rows of the transaction under way
    struct txn txn;
    struct volume_row *rows;
    size_t row_count; // 0: none is under way
    uint64_t from;    // slot where the next transaction goes on
    bool more;
    struct volume_flush *flushing, *flush_waiting, **flush_last;
};

// A volume of that name and kind, not yet in any list. NULL without memory.
struct volume *volume_new(struct store *s, enum volume_kind kind, const char *name);
void volume_free(struct volume *v);
// Puts it into the store's list, by kind and name.
void volume_link(struct volume *v);
void volume_unlink(struct volume *v);
void volume_set_parent(struct volume *v, struct volume *parent);
bool volume_name_valid(const char *name);
struct volume *volume_in_state(const struct store *s, enum volume_kind kind, enum volume_state state,
                               const char *name);
unsigned volume_depth(const struct volume *v);
// Nobody accesses, changes or builds on it.
bool volume_unused(const struct volume *v);
int volume_insert(sqlite3 *db, const struct volume *v);

// Frees a volume that was never recorded, with its extents.
void volume_drop(struct volume *v);
// Gives an extent that holds nothing, and that nothing is being written into, back.
void volume_release_slot(struct volume *v, struct map_slot *slot);
// The event loop's part of a deletion that is committed: invisible from now on, extents come back step by step.
void volume_purge(struct volume *v);

#endif
