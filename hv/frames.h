// SPDX-License-Identifier: Apache-2.0
// The frame table: for every 4 KiB page of RAM, who owns it and how often it is mapped.
//
// It is the one authority for page rights. All functions need the hypervisor lock.
#ifndef HV_FRAMES_H
#define HV_FRAMES_H

#include "hv/partition.h"

enum frame_kind {
    FRAME_NONE = 0, // not RAM
    FRAME_ROOT,     // the root partition's; children may map it (count > 0)
    FRAME_HV,       // the hypervisor's own
    FRAME_POOL,     // deposited into `owner`'s pool
    FRAME_FIRMWARE, // EFI runtime: nobody's
};

struct frame {
    uint32_t owner : 16;  // partition index for FRAME_POOL, else 0
    uint32_t kind : 4;    // enum frame_kind
    uint32_t mapped : 12; // FRAME_ROOT: how often children map it
};
#define FRAME_MAPPED_MAX 4095

struct frame_counts {
    uint64_t total, hv, pool, mapped;
};

// Places the table at the start of the region's free memory, classifies every page by the firmware's map
// and gives what is left of the region to the root partition's pool.
void frames_init(struct boot_info *info);

// The frame of a page, or NULL when the address is not RAM.
struct frame *frame_of(spa_t spa);
void frame_set(spa_t spa, enum frame_kind kind, uint16_t owner);
void frame_counts(struct frame_counts *out);

// Root memory in child GPA spaces, for runs of `pages` pages. frame_range_mappable() says whether every
// page of the run is root's RAM and can be mapped once more.
MUST_CHECK bool frame_range_mappable(spa_t spa, uint64_t pages);
void frame_map_count(spa_t spa, uint64_t pages, int delta);

// Page pools.
void pool_put(struct page_pool *pool, void *page);
void *pool_take(struct page_pool *pool);   // zeroed, or NULL
void *pool_remove(struct page_pool *pool); // zeroed, leaves the pool altogether (withdraw), or NULL

#endif
