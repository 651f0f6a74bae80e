// SPDX-License-Identifier: Apache-2.0
// A worker: a fiber that runs jobs one after the other and may wait for the disk in them.
//
// The store has two. One runs SQLite; the other moves contents of images and disks, so that neither waits for the
// other's disk accesses. Jobs are queued from the event loop; run() is called on the fiber.
#ifndef MGMT_STORE_WORKER_H
#define MGMT_STORE_WORKER_H

#include "mgmt/plat.h"
#include "mgmt/store/disk.h"
#include "mgmt/store/fiber.h"

struct worker_job {
    struct worker_job *next;
    void (*run)(struct worker_job *job); // the job is the runner's from here on
};

struct worker {
    struct fiber *fiber;
    struct disk *disk;
    struct worker_job *first, **last;
    struct plat_work wake;
    struct disk_request request;
    uint64_t flushes; // asked for so far
    bool waiting;     // for the disk
    bool stop;
};

// False without memory.
MUST_CHECK bool worker_start(struct worker *w, struct disk *disk);
// Jobs run in the order in which they were queued; not from within this call.
void worker_queue(struct worker *w, struct worker_job *job);
bool worker_idle(const struct worker *w);
// Ends a worker that is idle. One that never started is left alone.
void worker_end(struct worker *w);

// On the worker's fiber only: one access, waited for. Long ones are cut into requests. All of it lies within the disk.
enum disk_status worker_read(struct worker *w, uint64_t sector, void *buffer, uint64_t sectors);
enum disk_status worker_write(struct worker *w, uint64_t sector, const void *buffer, uint64_t sectors);
enum disk_status worker_flush(struct worker *w);
// Lets the event loop take a turn.
void worker_pause(struct worker *w);
enum disk_status worker_discard(struct worker *w, uint64_t sector, uint32_t sectors);

#endif
