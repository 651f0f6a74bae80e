// SPDX-License-Identifier: Apache-2.0
// One seed's life of guests' disks: many requests at once, power cuts at random moments, and a model of what each
// sector may hold afterwards.
#ifndef TESTS_SIM_GUEST_DISK_RUN_H
#define TESTS_SIM_GUEST_DISK_RUN_H

#include <keelson/types.h>

struct guest_disk_run_options {
    uint64_t seed;
    unsigned lives;       // how often the power goes and comes back
    uint64_t error_every; // one in so many disk requests fails; 0: none
    // Faults that the run must find.
    bool lies_about_flush; // the disk does
    bool forgets_maps;     // the data plane flushes the medium, and the map is not committed
};

struct guest_disk_run_counts {
    uint64_t cuts, reads, writes, flushes, discards, full, failed;
    uint64_t allocations, misses, commits;
};

// NULL: after each cut every write that was acknowledged before an acknowledged flush was there, nothing else was, and
// the store's check found nothing. Else what was wrong, valid until the next call.
const char *guest_disk_run(const struct guest_disk_run_options *options,
                           struct guest_disk_run_counts *counts);

#endif
