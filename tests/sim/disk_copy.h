// SPDX-License-Identifier: Apache-2.0
// The store's disk (mgmt/store/disk.h) in a part of a host file that is only looked at: what is written is kept in this
// process and never reaches the file.
#ifndef TESTS_SIM_DISK_COPY_H
#define TESTS_SIM_DISK_COPY_H

#include "tests/sim/disk_queue.h"

struct disk_copy {
    struct disk_queue queue;
    uint8_t *file; // all of it, mapped privately
    uint64_t file_bytes;
    uint8_t *data; // the disk's part of it
};

// Maps a whole file. False: errno says why.
MUST_CHECK bool disk_copy_open(struct disk_copy *d, const char *path);
// From now on the disk is `sectors` from sector `first` on, which lie within the file.
void disk_copy_select(struct disk_copy *d, uint64_t first, uint64_t sectors);
void disk_copy_close(struct disk_copy *d); // no request may be under way

#endif
