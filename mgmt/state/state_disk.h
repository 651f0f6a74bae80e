// SPDX-License-Identifier: Apache-2.0
// A guest's use of a disk in the store; what mgmt/core/kept_disk.h says of open, device and close.
#ifndef MGMT_STATE_STATE_DISK_H
#define MGMT_STATE_STATE_DISK_H

#include "mgmt/block/mapped_disk.h"
#include "mgmt/core/kept_disk.h"
#include "mgmt/state/state.h"

// From now on the data plane's calls are answered; `device` is where it reads and writes, or NULL.
void state_disk_serve(struct block_device *device);
enum core_status state_disk_open(const char *name, bool read_only, const char *serial, struct open_disk **out,
                                 struct core_error *error);
struct block_device *state_disk_device(struct open_disk *d);
void state_disk_close(struct open_disk *d);

#endif
