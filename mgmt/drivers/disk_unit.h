// SPDX-License-Identifier: Apache-2.0
// Requests in the hands of a controller: slots, those that wait for one, time-outs, second tries.
//
// A unit is what is reset as a whole: an AHCI port, an IDE channel, an NVMe controller, a virtio device. Its driver
// moves requests through it:
//
//   submit ──► waiting ──unit_next()──► slot ──unit_finish()──► done
//                 ▲                      │
//                 └──unit_stopped()──────┘   after a reset, once for each request
//
// A write with FUA on a device that has a write cache and no FUA comes back once more as a flush. A request whose
// memory the device cannot address goes through the unit's bounce buffer, one at a time.
#ifndef MGMT_DRIVERS_DISK_UNIT_H
#define MGMT_DRIVERS_DISK_UNIT_H

#include "mgmt/block/block.h"

#define UNIT_SLOTS 32u
#define UNIT_NONE UINT32_MAX
#define UNIT_STRIKES 3u // resets without an answer in between; then the unit has failed

struct disk_unit {
    struct block_queue waiting;
    struct block_request *slots[UNIT_SLOTS]; // NULL: free
    uint32_t slot_count;                     // that may be used
    uint32_t busy;                           // that are
    uint32_t strikes;
    bool native_fua; // the driver sends FUA with writes
    // --- bounce buffer, if the driver needs one ---
    uint8_t *bounce; // room for the devices' max_sectors; NULL: none
    uint64_t bounce_gpa;
    uint64_t reach;                                 // first address that is beyond the device
    bool (*awkward)(const struct block_request *r); // cannot be described to the device; may be NULL
    uint32_t bounced;                               // slot that uses it, UNIT_NONE
};

// `slots` at most UNIT_SLOTS. No bounce buffer.
void unit_init(struct disk_unit *u, uint32_t slots);

// A free slot for the next waiting request, which becomes its own, with a deadline; UNIT_NONE: no slot, no request,
// or it needs the bounce buffer that another one has. What is written lies in the bounce buffer already.
uint32_t unit_next(struct disk_unit *u, uint64_t now_ns);

// The pieces of memory that the device is to read or write for a slot. Returns how many; *storage is for a bounced
// one.
uint32_t unit_segments(const struct disk_unit *u, uint32_t slot, const struct block_segment **segments,
                       struct block_segment *storage);

// What the device is to do for a request in a slot: its own operation, or the flush after it.
enum block_op unit_step(const struct block_request *request);

// The device has answered. Frees the slot, completes the request or lets it wait for its flush.
void unit_finish(struct disk_unit *u, uint32_t slot, enum block_status status);
// It did nothing wrong and is to be done again, as the first of those that wait.
void unit_requeue(struct disk_unit *u, uint32_t slot);
// The device has lost it: a second try, or `status` if this was the second.
void unit_retry(struct disk_unit *u, uint32_t slot, enum block_status status);

// Has the device taken too long with something?
bool unit_expired(const struct disk_unit *u, uint64_t now_ns);
// The earliest deadline; UINT64_MAX if no slot is busy.
uint64_t unit_deadline(const struct disk_unit *u);

// A reset begins. False: too many in a row; the driver gives up.
MUST_CHECK bool unit_strike(struct disk_unit *u);
// The device has been stopped and does no DMA any more: what had taken too long when the reset began ends with
// BLOCK_TIMEOUT, the rest is tried once more.
void unit_stopped(struct disk_unit *u, uint64_t began_ns);
// The device is given up: everything ends with BLOCK_GONE. It must not do DMA any more.
void unit_gone(struct disk_unit *u);

#endif
