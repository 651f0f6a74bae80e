// SPDX-License-Identifier: Apache-2.0
// Allocator of 2 MiB chunks of physical memory: one bit a chunk says whose it is, another whether it is free.
//
// Small requests are served from the bottom and whole gigabytes from the top, so that 1 GiB runs last.
// Single-threaded. The plat_pool_*() functions of mgmt/plat.h are a thin layer over one of these.
#ifndef MGMT_RT_POOL_H
#define MGMT_RT_POOL_H

#include <keelson/bootinfo.h>

#define POOL_CHUNKS_PER_1G 512u

struct pool {
    size_t chunks;     // chunk i is at i * 2 MiB
    uint64_t *managed; // bit: belongs to the pool
    uint64_t *free;    // bit: and nobody has it
    size_t managed_count, free_count;
};

// Chunks that `end` bytes of address space have, and bytes of storage that pool_init() wants for them.
size_t pool_chunks(uint64_t end);
size_t pool_storage_size(size_t chunks);
void pool_init(struct pool *p, size_t chunks, void *storage);

// Adds every whole chunk that the RAM ranges cover; neighbouring ranges count as one. Never the first
// MiB: whatever is there is left alone.
void pool_add_ranges(struct pool *p, const struct boot_range *ranges, size_t count);

// Longest free run, in chunks.
size_t pool_largest_run(const struct pool *p);

MUST_CHECK bool pool_alloc(struct pool *p, size_t count, uint64_t *base);
// False, and nothing is changed, when not all of it is allocated memory of the pool.
MUST_CHECK bool pool_free(struct pool *p, uint64_t base, size_t count);

#endif
