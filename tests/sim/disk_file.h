// SPDX-License-Identifier: Apache-2.0
// The store's disk (mgmt/store/disk.h) in a file of the host.
#ifndef TESTS_SIM_DISK_FILE_H
#define TESTS_SIM_DISK_FILE_H

#include "mgmt/plat.h"
#include "mgmt/store/disk.h"

struct disk_file {
    struct disk disk;
    int fd;
    struct disk_request *first, **last;
    struct plat_work work;
};

// Opens the file, or makes a sparse one of `bytes`. False: errno says why.
MUST_CHECK bool disk_file_open(struct disk_file *d, const char *path, uint64_t bytes);

#endif
