// SPDX-License-Identifier: Apache-2.0
// The chunk allocator: two bitmaps and first fit.
#include "mgmt/rt/pool.h"

#include <string.h>

static bool test(const uint64_t *map, size_t i)
{
    return map[i / 64] >> (i % 64) & 1;
}

static void assign(uint64_t *map, size_t i, bool value)
{
    if (value) {
        map[i / 64] |= BIT(i % 64);
    } else {
        map[i / 64] &= ~BIT(i % 64);
    }
}

size_t pool_chunks(uint64_t end)
{
    return (size_t)(end / PAGE_SIZE_2M);
}

static size_t map_bytes(size_t chunks)
{
    return (chunks + 63) / 64 * sizeof(uint64_t);
}

size_t pool_storage_size(size_t chunks)
{
    return 2 * map_bytes(chunks);
}

void pool_init(struct pool *p, size_t chunks, void *storage)
{
    memset(storage, 0, pool_storage_size(chunks));
    *p = (struct pool){
        .chunks = chunks,
        .managed = storage,
        .free = (uint64_t *)((uint8_t *)storage + map_bytes(chunks)),
    };
}

static void add_span(struct pool *p, uint64_t start, uint64_t end)
{
    size_t last = MIN((size_t)(end / PAGE_SIZE_2M), p->chunks);

    start = MAX(start, 1ull << 20);
    for (size_t i = (size_t)(ALIGN_UP(start, PAGE_SIZE_2M) / PAGE_SIZE_2M); i < last; i++) {
        if (!test(p->managed, i)) {
            assign(p->managed, i, true);
            assign(p->free, i, true);
            p->managed_count++;
            p->free_count++;
        }
    }
}

void pool_add_ranges(struct pool *p, const struct boot_range *ranges, size_t count)
{
    uint64_t start = 0, end = 0;

    for (size_t i = 0; i < count; i++) {
        if (ranges[i].type != BOOT_RANGE_RAM) {
            continue;
        }
        if (ranges[i].base != end) {
            add_span(p, start, end);
            start = ranges[i].base;
        }
        end = ranges[i].base + ranges[i].size;
    }
    add_span(p, start, end);
}

// Length of the free run that starts at chunk i, counting at most `limit`.
static size_t run_length(const struct pool *p, size_t i, size_t limit)
{
    size_t n = 0;

    while (n < limit && i + n < p->chunks && test(p->free, i + n)) {
        n++;
    }
    return n;
}

size_t pool_largest_run(const struct pool *p)
{
    size_t best = 0;

    for (size_t i = 0; i < p->chunks;) {
        size_t n = run_length(p, i, p->chunks);

        best = MAX(best, n);
        i += n + 1;
    }
    return best;
}

static bool find_low(const struct pool *p, size_t count, size_t *start)
{
    for (size_t i = 0; i + count <= p->chunks;) {
        size_t n = run_length(p, i, count);

        if (n == count) {
            *start = i;
            return true;
        }
        i += n + 1;
    }
    return false;
}

// Highest run that starts on a gigabyte.
static bool find_high_1g(const struct pool *p, size_t count, size_t *start)
{
    if (count > p->chunks) {
        return false;
    }
    for (size_t g = (p->chunks - count) / POOL_CHUNKS_PER_1G + 1; g-- > 0;) {
        if (run_length(p, g * POOL_CHUNKS_PER_1G, count) == count) {
            *start = g * POOL_CHUNKS_PER_1G;
            return true;
        }
    }
    return false;
}

bool pool_alloc(struct pool *p, size_t count, uint64_t *base)
{
    size_t start;
    bool whole_1g = count % POOL_CHUNKS_PER_1G == 0;

    if (count == 0 || count > p->free_count) {
        return false;
    }
    if (!(whole_1g && find_high_1g(p, count, &start)) && !find_low(p, count, &start)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        assign(p->free, start + i, false);
    }
    p->free_count -= count;
    *base = start * PAGE_SIZE_2M;
    return true;
}

bool pool_free(struct pool *p, uint64_t base, size_t count)
{
    size_t start = (size_t)(base / PAGE_SIZE_2M);

    if (base % PAGE_SIZE_2M != 0 || start >= p->chunks || count > p->chunks - start) {
        return false;
    }
    for (size_t i = start; i < start + count; i++) {
        if (!test(p->managed, i) || test(p->free, i)) {
            return false;
        }
    }
    for (size_t i = start; i < start + count; i++) {
        assign(p->free, i, true);
    }
    p->free_count += count;
    return true;
}
