// SPDX-License-Identifier: Apache-2.0
// A volume's map in memory: for each MiB (slot) an extent, and which of its sixteen 64 KiB grains the volume owns.
//
// A grain that the volume does not own is its parent's, and zero without one. `grains` is what is true; `saved` is
// what the database says. Where they differ the slot's chunk is dirty.
#ifndef MGMT_STORE_MAP_H
#define MGMT_STORE_MAP_H

#include <keelson/types.h>

#define MAP_GRAIN (64u << 10)
#define MAP_SLOT_GRAINS 16u
#define MAP_CHUNK_SLOTS 64u
#define MAP_NO_EXTENT UINT32_MAX

struct map_slot {
    uint32_t extent; // MAP_NO_EXTENT: none, and no grains
    uint16_t grains;
    uint16_t saved;
};

struct map_chunk {
    bool dirty;
    struct map_slot slots[MAP_CHUNK_SLOTS];
};

struct map {
    struct map_chunk **chunks; // NULL where no slot was ever touched
    size_t count;
};

// The slot, or NULL where there is none yet.
struct map_slot *map_find(const struct map *m, uint64_t slot);
// The slot, made if need be. NULL without memory.
struct map_slot *map_touch(struct map *m, uint64_t slot);
// Says that a slot has changed.
void map_dirty(struct map *m, uint64_t slot);
// The first slot at or behind `from` whose grains are not all saved; false: there is none. Forgets dirt that is gone.
bool map_next_dirty(struct map *m, uint64_t *from);
// The first slot at or behind *from that has an extent; false: there is none.
bool map_next_extent(const struct map *m, uint64_t *from);
void map_free(struct map *m);

#endif
