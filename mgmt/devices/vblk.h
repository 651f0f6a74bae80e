// SPDX-License-Identifier: Apache-2.0
// Block device (virtio 1.2 section 5.2) over struct block_device.
//
// Data is moved between the medium and the guest's memory without a copy: segments of the driver's descriptors
// become segments of block requests. A driver's request that is longer than the medium takes at once goes in parts,
// one after the other. Memory that the medium cannot reach (address no multiple of 4, pieces that are no multiple of
// 512 bytes after joining neighbours) is refused with an I/O error and counted. Data plane.
#ifndef MGMT_DEVICES_VBLK_H
#define MGMT_DEVICES_VBLK_H

#include "mgmt/block/block.h"
#include "mgmt/devices/virtio.h"

#define VBLK_REQUESTS 32u // with the medium at one time; further ones wait in the queue

struct vblk_config {   // 5.2.4
    uint64_t capacity; // sectors
    uint32_t size_max, seg_max;
    uint16_t cylinders;
    uint8_t heads, sectors;
    uint32_t block_size;
    uint8_t physical_block_exponent, alignment_offset;
    uint16_t min_io_size;
    uint32_t opt_io_size;
    uint8_t writeback, unused;
    uint16_t queues;
    uint32_t max_discard_sectors, max_discard_segments, discard_alignment;
} __attribute__((packed));

struct vblk_request {
    struct block_request block; // of the part that is with the medium
    struct vblk *blk;
    struct vblk_request *next_free;
    uint16_t head;
    uint8_t *status;                      // where the driver wants it
    uint32_t written;                     // bytes into the driver's memory once all is well
    uint64_t sectors;                     // still to be submitted, those of `block` not included
    uint32_t pieces, piece, piece_offset; // data, and how far it was submitted
    struct block_segment data[BLOCK_MAX_SEGMENTS];
};

struct vblk {
    struct virtio virtio;
    struct block_device *device;
    struct vblk_config config;
    struct vblk_request request[VBLK_REQUESTS];
    struct vblk_request *free;
    uint32_t in_flight;
    uint64_t unreachable; // requests refused for their memory
};

void vblk_init(struct vblk *b, struct dp_vm *vm, struct vpci_bus *bus, const struct guest_mem *mem,
               uint8_t slot, struct block_device *device);

#endif
