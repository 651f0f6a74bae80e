// SPDX-License-Identifier: Apache-2.0
// Disks of guests: from a name in a system's definition to a block device.
//
// What a name stands for is decided here and nowhere else. First it is that of a kept disk (mgmt/core/kept_disk.h): the
// guest's writes go to the node's store. Otherwise it is that of an image: the disk is a private copy of it in the guest
// pool, made when the guest starts; it lives through the guest's resets and ends with it, and the image never changes.
// A source with contents of its own is read-only, and its name stands for nothing.
//
//   disk_open() ─► disk_fill() ... until DISK_READY ─► disk_device() ─► disk_close()
#ifndef MGMT_CORE_DISK_H
#define MGMT_CORE_DISK_H

#include "mgmt/block/block.h"
#include "mgmt/core/image.h"

struct disk_source {
    const char *path; // name of a kept disk or of an image
    bool read_only;
    bool kept;         // disk_hold(): which of the two it was
    uint8_t *contents; // NULL: none of its own; else as many bytes as below, a multiple of BLOCK_SECTOR
    size_t content_bytes;
};

struct disk;

// Could these disks be made now, for one system? Holds nothing.
enum core_status disk_check(const struct disk_source *sources, unsigned count, struct core_error *error);
// What passed disk_check() stays as it is until it is released.
void disk_hold(struct disk_source *source);
void disk_release(const struct disk_source *source);
// Takes what the disk needs; its source must be held. `serial` is what the guest sees, at most 20 characters.
enum core_status disk_open(const struct disk_source *source, const char *serial, struct disk **out,
                           struct core_error *error);
// Reads the next `slice` bytes into a copy of an image. True: it is complete.
MUST_CHECK bool disk_fill(struct disk *d, size_t slice);
// Valid until disk_close(), and `served` by whoever uses it (struct dp_disk).
struct block_device *disk_device(struct disk *d);
void disk_close(struct disk *d);

#endif
