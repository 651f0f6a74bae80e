// SPDX-License-Identifier: Apache-2.0
// Disks of guests: from a name in a system's definition to a block device.
//
// What a name stands for is decided here and nowhere else. As long as there is no store, a name is that of an image:
// the disk is a private copy of it in the guest pool, which the guest may write unless it is read-only. The copy is
// made when the guest starts, lives through its resets and ends with it; the image never changes.
//
//   disk_open() ─► disk_fill() ... until DISK_READY ─► disk_device() ─► disk_close()
#ifndef MGMT_CORE_DISK_H
#define MGMT_CORE_DISK_H

#include "mgmt/block/block.h"
#include "mgmt/core/image.h"

struct disk_source {
    const char *path; // image name
    bool read_only;
};

struct disk;

// Could a disk be made of this now? Holds nothing.
enum core_status disk_check(const struct disk_source *source, struct core_error *error);
// What passed disk_check() stays as it is until it is released.
void disk_hold(const struct disk_source *source);
void disk_release(const struct disk_source *source);
// Takes memory for the disk; its image must be held. `serial` is what the guest sees, at most 20 characters.
enum core_status disk_open(const struct disk_source *source, const char *serial, struct disk **out,
                           struct core_error *error);
// Reads the next `slice` bytes into the disk. True: it is complete.
MUST_CHECK bool disk_fill(struct disk *d, size_t slice);
// Valid until disk_close(), and `served` by whoever uses it (struct dp_disk).
struct block_device *disk_device(struct disk *d);
void disk_close(struct disk *d);

#endif
