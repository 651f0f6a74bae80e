// SPDX-License-Identifier: Apache-2.0
// SQLite's operating system: two files, database and journal, on regions of the state partition.
//
// The journal is a region of fixed size whose content is what SQLite last wrote there (journal_mode PERSIST is made
// for that); the database has a length, kept in the length records of layout.h. Every xSync() is a flush of the
// device. After a write or a flush has failed nothing is known about the medium any more: every later write fails
// too, until the store is opened again.
//
// All of it runs on the database worker's fiber. One store at a time.
#ifndef MGMT_STORE_VFS_H
#define MGMT_STORE_VFS_H

#include "mgmt/store/layout.h"
#include "mgmt/store/worker.h"

#define VFS_NAME "keelson"
#define VFS_DATABASE "store" // the only file name there is, besides "store-journal"
#define VFS_WINDOW (64u << 10)

struct vfs {
    struct worker *worker;
    const struct layout_super *super;
    uint64_t length;          // of the database, bytes
    uint64_t recorded;        // what the newer length record on disk says
    uint64_t length_sequence; // of that record
    bool failed;              // a write or flush went wrong
    // The part of the journal that is in memory.
    uint64_t window_at; // offset in the journal, a multiple of VFS_WINDOW
    bool window_loaded;
    uint32_t dirty_from, dirty_to; // bytes in the window, multiples of DISK_SECTOR
    _Alignas(8) uint8_t window[VFS_WINDOW];
    _Alignas(8) uint8_t bounce[4096 + 2 * DISK_SECTOR];
};

// On the database worker's fiber: reads the length records and registers with SQLite. False: the disk cannot be read.
MUST_CHECK bool vfs_attach(struct vfs *vfs, struct worker *worker, const struct layout_super *super);
void vfs_detach(struct vfs *vfs);

#endif
