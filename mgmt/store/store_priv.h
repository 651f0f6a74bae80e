// SPDX-License-Identifier: Apache-2.0
// What the store's parts share. Not for its users.
#ifndef MGMT_STORE_STORE_PRIV_H
#define MGMT_STORE_STORE_PRIV_H

#include "mgmt/store/db.h"
#include "mgmt/store/layout.h"
#include "mgmt/store/space.h"
#include "mgmt/store/store.h"
#include "mgmt/store/txn.h"
#include "mgmt/store/vfs.h"
#include "mgmt/store/volume.h"
#include "mgmt/store/worker.h"

struct record;

struct store {
    struct disk *disk;
    struct worker database, content; // SQLite; reading, writing and copying of volumes
    struct layout_super super;
    struct vfs vfs;
    sqlite3 *db;
    struct txn_queue txns;
    struct space space;
    struct record *records; // by kind and name
    size_t record_bytes;
    struct volume *volumes; // by kind and name; those being deleted have no name
    uint64_t next_id;
    uint8_t *grain; // MAP_GRAIN bytes for the content worker
    bool formatted, closing;
    char error[STORE_TEXT_MAX];
    // opening and closing
    struct worker_job open_job;
    struct plat_work report; // tells `done`
    struct plat_timer close_timer;
    enum store_status open_status;
    store_done done;
    void *done_arg;
};

// After a failed write nothing more is written; the first reason stays.
void store_fail(struct store *s, const char *why);
bool store_usable(const struct store *s);

// On the database fiber while opening.
enum store_status record_load(struct store *s);
enum store_status volume_load(struct store *s);
// On the event loop.
void record_free_all(struct store *s);
void volume_free_all(struct store *s);
void volume_resume_deletions(struct store *s);

// Sets or clears the bits of `count` extents in the database's bitmap. SQLITE_CORRUPT if one has that value already.
int bitmap_change(sqlite3 *db, const uint32_t *extents, size_t count, bool set);
#define BITMAP_CHUNK_BYTES 1024u

#endif
