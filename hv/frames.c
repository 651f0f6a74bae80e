// SPDX-License-Identifier: Apache-2.0
// The frame table and the page pools.
#include "hv/frames.h"

#include "hv/cpu.h"

static struct frame *frames; // indexed by SPA >> 12
static uint64_t frame_count;
static struct frame_counts counts;

_Static_assert(sizeof(struct frame) == 4, "frame table entry");

static uint64_t end_of_ram(const struct boot_info *info)
{
    uint64_t end = 0;

    for (uint32_t i = 0; i < info->range_count; i++) {
        const struct boot_range *r = &info->ranges[i];

        if (r->type != BOOT_RANGE_MMIO && r->type != BOOT_RANGE_RESERVED) {
            end = MAX(end, r->base + r->size);
        }
    }
    return end;
}

static enum frame_kind kind_of_range(uint32_t type)
{
    switch (type) {
    case BOOT_RANGE_RAM:
    case BOOT_RANGE_ACPI_RECLAIM:
    case BOOT_RANGE_ACPI_NVS:
    case BOOT_RANGE_MGMT:
        return FRAME_ROOT;
    case BOOT_RANGE_HV:
        return FRAME_HV;
    case BOOT_RANGE_RUNTIME:
        return FRAME_FIRMWARE;
    default:
        return FRAME_NONE;
    }
}

static void classify(const struct boot_info *info)
{
    for (uint32_t i = 0; i < info->range_count; i++) {
        const struct boot_range *r = &info->ranges[i];
        enum frame_kind kind = kind_of_range(r->type);

        if (kind == FRAME_NONE) {
            continue;
        }
        for (uint64_t a = r->base; a < r->base + r->size; a += PAGE_SIZE) {
            frames[a >> PAGE_SHIFT].kind = kind;
        }
        counts.total += r->size >> PAGE_SHIFT;
        counts.hv += kind == FRAME_HV ? r->size >> PAGE_SHIFT : 0;
    }
}

void frames_init(struct boot_info *info)
{
    uint64_t free = ALIGN_UP(info->hv_free, PAGE_SIZE);
    uint64_t end = info->hv_base + info->hv_size;

    frame_count = end_of_ram(info) >> PAGE_SHIFT;
    frames = spa_to_va(SPA(free));
    free += ALIGN_UP(frame_count * sizeof(*frames), PAGE_SIZE);
    if (free + (512u << 10) > end) {
        panic("hypervisor region too small: frame table ends at %#llx, region at %#llx",
              (unsigned long long)free, (unsigned long long)end);
    }
    __builtin_memset(frames, 0, frame_count * sizeof(*frames));
    classify(info);
    for (uint64_t a = free; a < end; a += PAGE_SIZE) {
        pool_put(&root_partition->pool, spa_to_va(SPA(a)));
    }
    info->hv_free = free;
}

struct frame *frame_of(spa_t spa)
{
    uint64_t n = spa.v >> PAGE_SHIFT;

    if (n >= frame_count || frames[n].kind == FRAME_NONE) {
        return NULL;
    }
    return &frames[n];
}

void frame_set(spa_t spa, enum frame_kind kind, uint16_t owner)
{
    struct frame *f = &frames[spa.v >> PAGE_SHIFT];

    counts.pool -= f->kind == FRAME_POOL;
    counts.pool += kind == FRAME_POOL;
    f->kind = kind;
    f->owner = owner;
}

bool frame_range_mappable(spa_t spa, uint64_t pages)
{
    uint64_t first = spa.v >> PAGE_SHIFT;

    if (first >= frame_count || pages > frame_count - first) {
        return false;
    }
    for (uint64_t i = 0; i < pages; i++) {
        if (frames[first + i].kind != FRAME_ROOT || frames[first + i].mapped == FRAME_MAPPED_MAX) {
            return false;
        }
    }
    return true;
}

void frame_map_count(spa_t spa, uint64_t pages, int delta)
{
    struct frame *f = &frames[spa.v >> PAGE_SHIFT];

    for (uint64_t i = 0; i < pages; i++) {
        f[i].mapped = (f[i].mapped + (uint32_t)delta) & FRAME_MAPPED_MAX;
    }
    counts.mapped += (uint64_t)((int64_t)pages * delta);
}

void frame_counts(struct frame_counts *out)
{
    *out = counts;
}

void pool_put(struct page_pool *pool, void *page)
{
    *(void **)page = pool->first;
    pool->first = page;
    pool->free_pages++;
}

static void *pool_pop(struct page_pool *pool)
{
    void *page = pool->first;

    if (page != NULL) {
        pool->first = *(void **)page;
        pool->free_pages--;
        __builtin_memset(page, 0, PAGE_SIZE);
    }
    return page;
}

void *pool_take(struct page_pool *pool)
{
    void *page = pool_pop(pool);

    if (page != NULL) {
        pool->used_pages++;
    }
    return page;
}

void *pool_remove(struct page_pool *pool)
{
    return pool_pop(pool);
}
