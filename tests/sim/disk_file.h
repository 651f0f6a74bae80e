// SPDX-License-Identifier: Apache-2.0
// The store's disk (mgmt/store/disk.h) in a file of the host.
#ifndef TESTS_SIM_DISK_FILE_H
#define TESTS_SIM_DISK_FILE_H

#include "tests/sim/disk_queue.h"

struct disk_file {
    struct disk_queue queue;
    int fd;
};

// Opens the file, or makes a sparse one of `bytes`. False: errno says why.
MUST_CHECK bool disk_file_open(struct disk_file *d, const char *path, uint64_t bytes);

#endif
