// SPDX-License-Identifier: Apache-2.0
// A disk whose medium is memory of the guest pool.
//
// Made by the control plane, which fills `medium` before the data plane knows of the disk; from then on the data
// plane's. Its contents end with it. Requests are served in order, a bounded number of bytes a call of
// block_service(). A write is on the medium when it is done, hence there is no write cache to flush.
#ifndef MGMT_BLOCK_RAM_DISK_H
#define MGMT_BLOCK_RAM_DISK_H

#include "mgmt/block/block.h"

struct ram_disk {
    struct block_device device;
    uint8_t *medium; // device.sectors * BLOCK_SECTOR bytes
    struct block_queue queue;
};

// `medium` stays the caller's. `serial` has at most 20 characters.
void ram_disk_init(struct ram_disk *d, void *medium, uint64_t sectors, bool read_only, const char *serial);

#endif
