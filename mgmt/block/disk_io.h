// SPDX-License-Identifier: Apache-2.0
// Disks for the control plane: asynchronous requests of any length, on disks that the data plane runs.
//
//   disk_io_submit() ─► waiting ─► pieces ─ring─► block_submit()        control plane │ data plane
//       done() ◄──────────────────  all done ◄─ring─ done               (event loop)  │ (VP 0)
//
// A request is cut into pieces that the device takes; there are DISK_IO_PIECES of them for everybody, and what finds
// none waits in the order in which it came, so that no ring can be full and a submitter needs no second try.
#ifndef MGMT_BLOCK_DISK_IO_H
#define MGMT_BLOCK_DISK_IO_H

#include "mgmt/block/block.h"

#define DISK_IO_PIECES 32u

struct disk_io { // the submitter's, until done() is called
    // --- filled by the submitter ---
    struct block_device *device; // of mgmt/block/disks.h
    enum block_op op;
    bool fua;
    uint64_t sector;
    uint64_t sectors; // 0 for a flush; any number otherwise
    void *buffer; // of sectors * BLOCK_SECTOR bytes for reading and writing: any memory of the control plane,
                  // aligned to 4
    // Exactly once, from the event loop, never from within disk_io_submit().
    void (*done)(struct disk_io *io);
    void *context;
    // --- valid in done() ---
    enum block_status status; // of the first piece that failed; the others were done all the same
    // --- disk_io.c's own ---
    struct disk_io *next;
    uint64_t begun; // sectors in pieces so far
    uint32_t out;   // pieces in the other plane
    bool all_begun;
};

// Control plane. Once, before the data plane runs.
void disk_io_init(void);
// Control plane. A flush covers what was done before it is submitted.
void disk_io_submit(struct disk_io *io);
// Control plane. Requests that are not done.
uint32_t disk_io_outstanding(void);

// Data plane: takes what the control plane has put into the ring.
void disk_io_serve(void);

#endif
