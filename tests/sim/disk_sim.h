// SPDX-License-Identifier: Apache-2.0
// A simulated disk with a volatile cache, driven step by step from one seed.
//
// Requests complete in random order. What was written lies in the cache until a flush; at a power cut each unflushed
// write is lost, kept, or kept in part, sector by sector, whatever the others do. The medium survives in `media` and
// can be given to the next disk.
#ifndef TESTS_SIM_DISK_SIM_H
#define TESTS_SIM_DISK_SIM_H

#include "mgmt/store/disk.h"

struct sim_write { // in the cache, or under way
    struct sim_write *next;
    uint64_t sector;
    uint32_t sectors;
    uint64_t number; // of the write
    uint8_t data[];
};

struct disk_sim {
    struct disk disk;
    uint8_t *media;
    uint64_t seed;
    struct disk_request *queue; // submitted and not done, in any order
    size_t queued;
    struct sim_write *cache, **cache_last; // done and not flushed, oldest first
    uint64_t submitted, writes, flushes;
    uint64_t cut_at;       // the power goes when this many requests were submitted; UINT64_MAX: never
    bool dead;             // it went: everything fails
    bool lies_about_flush; // a planted fault: flushes are acknowledged and not made
    uint64_t error_every;  // one in so many requests fails; 0: none
    bool errors_on_reads_only;
};

// A disk of `sectors`, all zero.
void disk_sim_init(struct disk_sim *d, uint64_t sectors, uint64_t seed);
// Completes one request. False: there was none.
bool disk_sim_step(struct disk_sim *d);
// The power goes now, if it has not: decides what the medium has kept.
void disk_sim_cut(struct disk_sim *d);
// Power again, with the medium as it was left.
void disk_sim_restart(struct disk_sim *d, uint64_t seed);
void disk_sim_end(struct disk_sim *d);
uint64_t disk_sim_random(uint64_t *seed); // splitmix64

#endif
