// SPDX-License-Identifier: Apache-2.0
// Heap and guest pool of the management partition.
#include "mgmt/rt/memory.h"

#include "mgmt/plat.h"
#include "mgmt/rt/cpu.h"
#include "mgmt/rt/pool.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#define HEAP_MIN_CHUNKS 32 // 64 MiB
#define HEAP_SHARE 16
#define HEAP_SHARE_SMALL 4

void *sbrk(ptrdiff_t increment);

static struct pool pool;
static uint8_t *heap_start, *heap_end, *heap_break;

size_t memory_heap_chunks(size_t pool_chunks, size_t largest_run)
{
    size_t want = MAX((size_t)HEAP_MIN_CHUNKS, pool_chunks / HEAP_SHARE);

    return MIN(MIN(want, pool_chunks / HEAP_SHARE_SMALL), largest_run);
}

static uint64_t memory_end(const struct boot_info *boot)
{
    uint64_t end = 0;

    for (uint32_t i = 0; i < boot->range_count; i++) {
        if (boot->ranges[i].type == BOOT_RANGE_RAM) {
            end = MAX(end, boot->ranges[i].base + boot->ranges[i].size);
        }
    }
    return end;
}

// The pool's bitmaps go into what the hypervisor left over of the management range.
static void *bitmap_storage(const struct mgmt_boot_info *info, size_t bytes)
{
    uint64_t base = ALIGN_UP(info->mgmt_free_pages_base, PAGE_SIZE);

    if (info->mgmt_free_pages_end < base || info->mgmt_free_pages_end - base < bytes) {
        return NULL;
    }
    return rt_gpa_to_virt(GPA(base));
}

bool memory_init(const struct mgmt_boot_info *info)
{
    size_t chunks = pool_chunks(memory_end(&info->boot));
    void *storage = bitmap_storage(info, pool_storage_size(chunks));
    size_t heap_chunks;
    uint64_t base;

    if (storage == NULL) {
        return false;
    }
    pool_init(&pool, chunks, storage);
    pool_add_ranges(&pool, info->boot.ranges, info->boot.range_count);
    heap_chunks = memory_heap_chunks(pool.managed_count, pool_largest_run(&pool));
    if (!pool_alloc(&pool, heap_chunks, &base)) {
        return false;
    }
    heap_start = rt_gpa_to_virt(GPA(base));
    heap_end = heap_start + heap_chunks * PAGE_SIZE_2M;
    heap_break = heap_start;
    return true;
}

// newlib's source of memory. Never gives anything back.
void *sbrk(ptrdiff_t increment)
{
    uint8_t *old = heap_break;

    if (increment > heap_end - heap_break || increment < heap_start - heap_break) {
        errno = ENOMEM;
        return (void *)-1;
    }
    heap_break += increment;
    return old;
}

// --- mgmt/plat.h ---

bool plat_pool_alloc(size_t count, gpa_t *gpa)
{
    return pool_alloc(&pool, count, &gpa->v);
}

void plat_pool_free(gpa_t gpa, size_t count)
{
    if (!pool_free(&pool, gpa.v, count)) {
        plat_log(LOG_ERROR, "memory: %zu chunks at %#llx were freed but not taken", count,
                 (unsigned long long)gpa.v);
    }
}

void *plat_pool_va(gpa_t gpa)
{
    return rt_gpa_to_virt(gpa);
}

void plat_pool_usage(uint64_t *total_bytes, uint64_t *free_bytes)
{
    *total_bytes = pool.managed_count * PAGE_SIZE_2M - (uint64_t)(heap_end - heap_start);
    *free_bytes = pool.free_count * PAGE_SIZE_2M;
}

void plat_heap_usage(uint64_t *total_bytes, uint64_t *used_bytes)
{
    // newlib 3.3 fills this structure with ints although its header declares size_t (mallocr.c, malloc.h).
    enum { FIELDS = 10, UORDBLKS = 7 };
    struct mallinfo info = mallinfo();
    int fields[FIELDS];

    memcpy(fields, &info, sizeof(fields));
    *total_bytes = (uint64_t)(heap_end - heap_start);
    *used_bytes = (uint64_t)fields[UORDBLKS];
}
