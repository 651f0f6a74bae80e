// SPDX-License-Identifier: Apache-2.0
// Block devices of the data plane: one interface over IDE, AHCI, NVMe and virtio-blk, and over guest disks.
//
// A request belongs to its submitter until block_submit() takes it, then to the device until `done` is called,
// exactly once, from the data plane's loop (never from within block_submit()). Requests may complete in any order;
// a flush covers the writes that were *completed* before it was submitted, no others (as virtio-blk and NVMe have it).
// Nothing here blocks, allocates or uses libc. A device's driver is probed on the control plane while the data plane
// does not run yet; from then on VP 0 alone touches it.
#ifndef MGMT_BLOCK_BLOCK_H
#define MGMT_BLOCK_BLOCK_H

#include <keelson/types.h>

#define BLOCK_SECTOR 512u       // unit of `sector` and `sectors`, whatever the medium's own size is
#define BLOCK_MAX_SEGMENTS 64u  // of one request
#define BLOCK_MAX_SECTORS 2048u // of one read or write: 1 MiB

enum block_op {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH,   // everything completed before is on the medium when this is done
    BLOCK_DISCARD, // contents become undefined; a hint
};

enum block_status {
    BLOCK_OK = 0,
    BLOCK_IO_ERROR,    // the medium or the device refused
    BLOCK_TIMEOUT,     // no answer within BLOCK_TIMEOUT_NS; the device was reset
    BLOCK_INVALID,     // beyond the end, misaligned, too long, write to a read-only device
    BLOCK_NO_SPACE,    // thin device: nothing left to allocate
    BLOCK_UNSUPPORTED, // discard on a device without it
    BLOCK_GONE,        // device failed for good
};

#define BLOCK_TIMEOUT_NS 10000000000ull

struct block_segment { // root GPA = system-physical; the same memory at plat_pool_va(gpa)
    uint64_t gpa;
    uint32_t length; // bytes, a multiple of BLOCK_SECTOR; gpa is a multiple of 4
};

struct block_request {
    // --- filled by the submitter ---
    enum block_op op;
    bool fua;         // write: on the medium when done
    uint64_t sector;  // first, in units of BLOCK_SECTOR
    uint32_t sectors; // 0 for flush
    uint32_t segment_count;
    struct block_segment segments[BLOCK_MAX_SEGMENTS]; // their lengths add up to sectors * BLOCK_SECTOR
    void (*done)(struct block_request *request);
    void *context; // the submitter's
    // --- filled by the device ---
    enum block_status status; // valid in done()
    // --- the device's while it has the request ---
    struct block_device *device; // what it was submitted to: the device itself or a partition of it
    struct block_request *next;
    uint64_t deadline_ns;
    uint64_t driver[4];
};

struct block_counters {             // written by the data plane
    uint64_t requests[4], bytes[4]; // by enum block_op
    uint64_t errors, timeouts, resets;
    uint64_t queued; // submitted and not done
};

struct block_device;

// For drivers: a first-in first-out queue of requests.
struct block_queue {
    struct block_request *head, *tail;
};

struct block_ops {
    const char *name; // of the driver: "ide", "ahci", "nvme", "virtio-blk", ...
    // Takes a valid request; queues it when the device is busy.
    void (*submit)(struct block_device *dev, struct block_request *request);
    // Completes what the device has finished, looking at the device itself whether it has interrupted or not, and
    // starts what waits. True: there is more to do at once. Called through block_service().
    bool (*service)(struct block_device *dev);
    // plat_now_ns() at which service() wants to be called although nothing happened; UINT64_MAX: never.
    uint64_t (*deadline)(const struct block_device *dev);
};

struct block_device {
    const struct block_ops *ops;
    char name[24]; // "disk0", "disk0p4"
    char model[41];
    char serial[21];
    uint64_t sectors;
    uint32_t logical_block;  // bytes; requests begin and end at multiples of it: 512 (or 0, the same) or 4096
    uint32_t physical_block; // bytes: 512 or 4096
    uint32_t max_sectors;    // of one read or write, at most BLOCK_MAX_SECTORS
    uint32_t max_segments;   // of one request, at most BLOCK_MAX_SEGMENTS
    uint32_t max_discard;    // sectors of one discard; 0: max_sectors
    uint32_t discard_unit;   // sectors: smaller discards have no effect; 0: a logical block
    bool read_only, can_discard, write_cache;
    bool failed;  // every further request ends with BLOCK_GONE
    bool pending; // an interrupt came in or a request was refused: block_service() wanted
    struct block_counters counters;
    // --- a partition: a window of another device; see block_partition_init() ---
    struct block_device *parent; // NULL: a device of its own
    uint64_t first;              // sector of `parent` at which it begins
    // --- for devices that are served when they ask, without an interrupt: their user's, NULL: nobody needs to hear ---
    void (*ask)(void *arg);
    void *ask_arg;
    // --- block.c's own, zero at first ---
    struct block_queue refused; // done without the driver, by the next block_service()
};

// The device that does the work for `dev`: the disk of a partition, otherwise dev itself.
static inline struct block_device *block_disk(struct block_device *dev)
{
    return dev->parent != NULL ? dev->parent : dev;
}

// Checks the request against the device's limits, counts it and submits it. A request that is not valid is done
// by the next block_service(), hence also never from within this call.
void block_submit(struct block_device *dev, struct block_request *request);

// Finishes refused requests, then lets the driver work (ops->service). Whoever runs the device calls it when
// dev->pending is set and when its deadline has passed. True: call again soon, there is more to do.
bool block_service(struct block_device *dev);

// When block_service() wants to be called although dev->pending is clear; UINT64_MAX: never.
uint64_t block_deadline(const struct block_device *dev);

// Makes `view` the window of `sectors` sectors at `first` of `disk`: same limits, requests go to the disk's driver.
// `name` and identity are the caller's to fill. The window must lie within the disk.
void block_partition_init(struct block_device *view, struct block_device *disk, uint64_t first,
                          uint64_t sectors);

// For drivers: `request` is finished. Counts it and calls done(). `dev` is the driver's device.
void block_complete(struct block_device *dev, struct block_request *request, enum block_status status);

// For drivers: the device wants to be served.
void block_ask(struct block_device *dev);

// For drivers: a queue of requests.
void block_queue_push(struct block_queue *queue, struct block_request *request);
void block_queue_push_front(struct block_queue *queue, struct block_request *request);
struct block_request *block_queue_pop(struct block_queue *queue); // NULL when empty

// For drivers: copies the request's data to (`gather`) or from a buffer of request->sectors * BLOCK_SECTOR bytes.
void block_copy(const struct block_request *request, void *buffer, bool gather);

// Adds counters to others: all of a disk's uses, or all disks together.
void block_counters_add(struct block_counters *sum, const struct block_counters *c);

const char *block_op_name(enum block_op op);             // "read", ...
const char *block_status_text(enum block_status status); // "ok", "input/output error" ...

#endif
