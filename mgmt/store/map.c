// SPDX-License-Identifier: Apache-2.0
// Chunks of slots behind one array of pointers.
#include "mgmt/store/map.h"

#include <stdlib.h>
#include <string.h>

struct map_slot *map_find(const struct map *m, uint64_t slot)
{
    uint64_t chunk = slot / MAP_CHUNK_SLOTS;

    return chunk < m->count && m->chunks[chunk] != NULL ? &m->chunks[chunk]->slots[slot % MAP_CHUNK_SLOTS]
                                                        : NULL;
}

static bool grow(struct map *m, size_t count)
{
    size_t larger = MAX(count, m->count + m->count / 2);
    struct map_chunk **chunks = realloc(m->chunks, larger * sizeof(void *));

    if (chunks == NULL) {
        return false;
    }
    memset(chunks + m->count, 0, (larger - m->count) * sizeof(void *));
    m->chunks = chunks;
    m->count = larger;
    return true;
}

struct map_slot *map_touch(struct map *m, uint64_t slot)
{
    uint64_t chunk = slot / MAP_CHUNK_SLOTS;

    if (chunk >= m->count && !grow(m, (size_t)chunk + 1)) {
        return NULL;
    }
    if (m->chunks[chunk] == NULL) {
        struct map_chunk *c = calloc(1, sizeof *c);

        if (c == NULL) {
            return NULL;
        }
        for (size_t i = 0; i < MAP_CHUNK_SLOTS; i++) {
            c->slots[i].extent = MAP_NO_EXTENT;
        }
        m->chunks[chunk] = c;
    }
    return &m->chunks[chunk]->slots[slot % MAP_CHUNK_SLOTS];
}

void map_dirty(struct map *m, uint64_t slot)
{
    m->chunks[slot / MAP_CHUNK_SLOTS]->dirty = true;
}

bool map_next_dirty(struct map *m, uint64_t *from)
{
    for (uint64_t chunk = *from / MAP_CHUNK_SLOTS; chunk < m->count; chunk++) {
        struct map_chunk *c = m->chunks[chunk];
        uint64_t base = chunk * MAP_CHUNK_SLOTS, first = MAX(*from, base) - base;

        if (c == NULL || !c->dirty) {
            continue;
        }
        for (uint64_t i = first; i < MAP_CHUNK_SLOTS; i++) {
            if (c->slots[i].grains != c->slots[i].saved) {
                *from = base + i;
                return true;
            }
        }
        c->dirty = first != 0; // all of it was looked at
    }
    return false;
}

bool map_next_extent(const struct map *m, uint64_t *from)
{
    for (uint64_t slot = *from; slot < m->count * MAP_CHUNK_SLOTS; slot++) {
        struct map_chunk *c = m->chunks[slot / MAP_CHUNK_SLOTS];

        if (c == NULL) {
            slot |= MAP_CHUNK_SLOTS - 1;
        } else if (c->slots[slot % MAP_CHUNK_SLOTS].extent != MAP_NO_EXTENT) {
            *from = slot;
            return true;
        }
    }
    return false;
}

void map_free(struct map *m)
{
    for (size_t i = 0; i < m->count; i++) {
        free(m->chunks[i]);
    }
    free(m->chunks);
    *m = (struct map){0};
}
