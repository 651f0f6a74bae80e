// SPDX-License-Identifier: Apache-2.0
// A guest's disk whose contents lie on another device, at places that the control plane knows.
//
// The store divides a disk into grains of 64 KiB. A grain that the disk owns is read and written in place, without
// the control plane; one that it does not own is read from the parent's place, or is zero, and becomes owned by the
// first write to it, which the control plane makes (it allocates, copies what the write does not cover, and remembers
// the new place). The data plane keeps a bounded cache of lines, one for each MiB; what is not in it is asked for.
//
//   block_submit() ─► lines known, write to owned grains only ─► medium, in place           data plane alone
//                 ├─► no line ─────────────────── MAP_RESOLVE ─► control plane ─► line
//                 ├─► write to a grain not owned ─ MAP_WRITE ──► control plane writes and allocates ─► lines
//                 ├─► flush, map has changed ──── MAP_FLUSH ───► control plane commits the map, flushes the medium
//                 └─► discard ─────────────────── MAP_DISCARD ─► control plane gives grains back; a barrier
//
// A flush is done when the writes that were done before it are on the medium and the map that speaks of them is
// committed. While the map has not changed since the last commit it is a flush of the medium alone.
//
// Calls travel in two lists without a limit, made of the disks' own memory: a disk has at most one call of each kind
// under way, so nothing is allocated and nothing can be full.
#ifndef MGMT_BLOCK_MAPPED_DISK_H
#define MGMT_BLOCK_MAPPED_DISK_H

#include "mgmt/block/block.h"

#define MAPPED_GRAIN_SECTORS 128u // 64 KiB
#define MAPPED_LINE_GRAINS 16u    // of one line: 1 MiB
#define MAPPED_LINE_SECTORS (MAPPED_GRAIN_SECTORS * MAPPED_LINE_GRAINS)
#define MAPPED_MAX_SECTORS 512u // of one request: 256 KiB
#define MAPPED_MAX_DISCARD (1u << 21)
#define MAPPED_MAX_LINES 2048u // in the cache of a disk
#define MAPPED_PARTS 16u       // requests to the medium under way for one disk

struct map_line {
    uint64_t slot; // which MiB of the disk
    bool valid;
    uint16_t data;  // bit n: grain n has contents, at place[n]; otherwise it reads as zero
    uint16_t owned; // bit n: and may be written there
    uint32_t place[MAPPED_LINE_GRAINS]; // on the medium, in units of grains
};

enum map_op { MAP_RESOLVE, MAP_WRITE, MAP_FLUSH, MAP_DISCARD, MAP_OPS };

struct mapped_disk;

// The data plane's until it is in the list of calls, then the control plane's until mapped_disk_answer().
struct map_call {
    struct map_call *next; // of the list it is in
    struct mapped_disk *disk;
    enum map_op op;
    bool busy;                     // the data plane's: under way
    uint64_t sector;               // not of a flush
    uint32_t sectors;              // not of a flush
    struct block_request *request; // what it is for; its segments are the data of MAP_WRITE
    uint64_t covers;               // the data plane's: MAP_FLUSH
    // --- the answer ---
    enum block_status status;
    uint32_t line_count; // lines of the MiB that the range touches, as they are when the call is answered
    struct map_line lines[2];
};

struct mapped_part { // a request to the medium on behalf of another
    struct block_request block;
    struct mapped_disk *disk;
    struct block_request *of;
    struct mapped_part *next_free;
};

struct mapped_disk {
    struct block_device device; // what the guest's device model uses
    struct block_device *medium;
    void *owner; // the control plane's
    struct map_line *lines;
    uint32_t line_count;
    struct map_call call[MAP_OPS]; // by enum map_op
    struct mapped_part part[MAPPED_PARTS], *free_parts;
    uint32_t parts_free;
    // Requests: submitted; waiting for a line; for an allocating write; for a commit; for the one under way.
    struct block_queue fresh, missing, allocating, uncommitted, committing;
    uint32_t begun;            // taken from `fresh` and not done
    uint64_t changes, durable; // of the map: answered so far; of these committed
    uint64_t allocations, misses, commits;
};

// Lines that a disk of that size makes use of.
uint32_t mapped_disk_lines(uint64_t sectors);

// Control plane, before the data plane knows the disk. `lines` has room for mapped_disk_lines(sectors) and is the
// caller's, like the medium. `serial` has at most 20 characters.
void mapped_disk_init(struct mapped_disk *d, struct block_device *medium, struct map_line *lines,
                      uint64_t sectors, bool read_only, const char *serial);

// Control plane: all calls that have come in since, oldest first, linked by `next`; NULL: none. Each is answered once.
struct map_call *mapped_disk_calls(void);
// Control plane: hands the call back. Nothing of the disk may be touched by the caller afterwards unless it knows that
// the disk is there.
void mapped_disk_answer(struct map_call *call);

// Data plane: takes answers; disks with news ask for service (block_device.ask).
void mapped_disk_serve(void);

#endif
