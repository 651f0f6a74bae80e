// SPDX-License-Identifier: Apache-2.0
// The store's disk (mgmt/store/disk.h) on the host: one request a turn of the event loop, in order.
#ifndef TESTS_SIM_DISK_QUEUE_H
#define TESTS_SIM_DISK_QUEUE_H

#include "mgmt/plat.h"
#include "mgmt/store/disk.h"

struct disk_queue {
    struct disk disk;
    enum disk_status (*perform)(struct disk_queue *q, const struct disk_request *r); // does a request at once
    struct disk_request *first, **last;
    struct plat_work work;
};

void disk_queue_init(struct disk_queue *q,
                     enum disk_status (*perform)(struct disk_queue *q, const struct disk_request *r));

#endif
