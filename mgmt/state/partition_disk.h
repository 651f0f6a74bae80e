// SPDX-License-Identifier: Apache-2.0
// The store's disk (mgmt/store/disk.h) on a device of the block layer.
#ifndef MGMT_STATE_PARTITION_DISK_H
#define MGMT_STATE_PARTITION_DISK_H

#include "mgmt/block/disk_io.h"
#include "mgmt/store/disk.h"

#define PARTITION_DISK_REQUESTS 4u // under way at once; the store's workers have one each

struct partition_disk {
    struct disk disk;
    struct block_device *device;
    struct disk_io io[PARTITION_DISK_REQUESTS];
    bool taken[PARTITION_DISK_REQUESTS];
};

void partition_disk_init(struct partition_disk *d, struct block_device *device);

#endif
