// SPDX-License-Identifier: Apache-2.0
// What guests have done with each disk since boot, over all the guests that had it.
//
// The data plane counts in the device of each use (struct mapped_disk); here the uses of a disk are added up, ended ones
// included. A disk is known by its name: when a snapshot is taken its counters stay with the disk. Control plane only.
#ifndef MGMT_STATE_STATE_ACTIVITY_H
#define MGMT_STATE_STATE_ACTIVITY_H

#include "mgmt/block/mapped_disk.h"
#include "mgmt/core/kept_disk.h"

struct activity_counts {
    struct block_counters block;
    uint64_t allocations; // writes to what the disk did not own
    uint64_t misses;      // requests that had to ask where something lies
    uint64_t commits;     // flushes that committed the map
};

struct activity; // of one disk

struct activity_use { // one guest's, part of its open disk
    struct activity_use *next;
    struct activity *of;
    const struct mapped_disk *disk;
};

// False: no memory.
MUST_CHECK bool activity_begin(struct activity_use *use, const char *name, const struct mapped_disk *disk);
// The disk counts no more. What it has counted is kept.
void activity_end(struct activity_use *use);
// The disk is removed.
void activity_forget(const char *name);

// All disks that somebody has used, by name; NULL begins.
const struct activity *activity_next(const struct activity *previous);
const char *activity_name(const struct activity *a);
// Values of uses that go on may be of slightly different moments.
void activity_get(const struct activity *a, struct activity_counts *out);

#endif
