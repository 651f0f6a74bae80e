// SPDX-License-Identifier: Apache-2.0
// The disk as the store sees it: one partition, asynchronous, on the control plane's event loop.
//
// A request belongs to the disk from disk_submit() until `done` is called, exactly once, from the event loop and
// never from within disk_submit(). Requests complete in any order. A write that is done may still be lost with the
// power until a flush submitted afterwards is done; until then any subset of its sectors may have reached the medium.
// A sector is written whole or not at all.
#ifndef MGMT_STORE_DISK_H
#define MGMT_STORE_DISK_H

#include <keelson/types.h>

#define DISK_SECTOR 512u      // unit of `sector` and `sectors`
#define DISK_MAX_SECTORS 2048 // of one request: 1 MiB

enum disk_op {
    DISK_READ,
    DISK_WRITE,
    DISK_FLUSH,   // all writes done before it was submitted are on the medium when it is done
    DISK_DISCARD, // contents become undefined; a hint, may be unsupported
};

enum disk_status {
    DISK_OK = 0,
    DISK_IO_ERROR,    // medium or device refused; what a failed write left is undefined
    DISK_UNSUPPORTED, // discard only
    DISK_GONE,        // the device will serve nothing any more
};

struct disk_request {
    // --- filled by the submitter ---
    enum disk_op op;
    uint64_t sector;
    uint32_t sectors; // at most DISK_MAX_SECTORS; 0 for a flush. A discard may be of any length
    void *buffer;     // sectors * DISK_SECTOR bytes, any memory of the control plane, aligned to 8
    void (*done)(struct disk_request *request);
    void *context; // the submitter's
    // --- filled by the disk ---
    enum disk_status status; // valid in done()
    // --- the disk's while it has the request ---
    struct disk_request *next;
    uint64_t driver;
};

struct disk;

struct disk_ops {
    void (*submit)(struct disk *disk, struct disk_request *request);
};

struct disk {
    const struct disk_ops *ops;
    uint64_t sectors;
    bool can_discard;
};

static inline void disk_submit(struct disk *disk, struct disk_request *request)
{
    disk->ops->submit(disk, request);
}

#endif
