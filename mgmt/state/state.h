// SPDX-License-Identifier: Apache-2.0
// The node's store in use: opened at boot, then the core's keeper (mgmt/core/keeper.h).
#ifndef MGMT_STATE_STATE_H
#define MGMT_STATE_STATE_H

#include "mgmt/store/store.h"

struct block_device; // mgmt/block/block.h

// Opens the store on `disk`, which is called `place`, restores images from it and becomes the core's keeper; then
// calls ready(). When that fails the log says why, and the node goes on without: nothing is kept. `medium` is the same
// partition in the data plane, where guests' disks read and write it; NULL: guests have none.
void state_start(struct disk *disk, struct block_device *medium, const char *place, void (*ready)(void));
struct store *state_store(void); // NULL: none

#endif
