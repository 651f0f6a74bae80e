// SPDX-License-Identifier: Apache-2.0
// Four-level page tables of the management partition (SDM 3A "4-Level Paging").
#include "hv/mgmt_tables.h"

#define ENTRIES 512
#define PTE_PRESENT BIT(0)
#define PTE_WRITE BIT(1)
#define PTE_LARGE BIT(7)
#define PTE_NX BIT(63)
#define PTE_ADDR 0x000ffffffffff000ull
#define PTE_TABLE (PTE_PRESENT | PTE_WRITE)

#define LEVEL_4K 1u
#define LEVEL_2M 2u
#define LEVEL_1G 3u

#define DATA (PTE_PRESENT | PTE_WRITE | PTE_NX)
#define CONSTANT (PTE_PRESENT | PTE_NX)

uint64_t arena_take(struct arena *a, uint64_t size)
{
    uint64_t at = a->next;

    size = ALIGN_UP(size, PAGE_SIZE);
    if (size > a->end - at) {
        return 0;
    }
    a->next += size;
    return at;
}

void *arena_va(const struct arena *a, uint64_t spa)
{
    return a->va + (spa - a->base);
}

static uint64_t level_size(unsigned level)
{
    return BIT(PAGE_SHIFT + 9 * (level - 1));
}

static unsigned slot(uint64_t va, unsigned level)
{
    return (va >> (PAGE_SHIFT + 9 * (level - 1))) % ENTRIES;
}

// Puts a table below `entry`; if a large page is there, one that maps the same.
static bool make_table(struct arena *a, uint64_t *entry, unsigned level)
{
    uint64_t spa = arena_take(a, PAGE_SIZE);
    uint64_t step = level_size(level - 1);
    uint64_t page = level - 1 == LEVEL_4K ? *entry & ~PTE_LARGE : *entry;
    uint64_t *table;

    if (spa == 0) {
        return false;
    }
    table = arena_va(a, spa);
    for (unsigned i = 0; (*entry & PTE_PRESENT) != 0 && i < ENTRIES; i++) {
        table[i] = page + i * step;
    }
    *entry = spa | PTE_TABLE;
    return true;
}

// The entry for `va` at `level`, with tables made and large pages split on the way; NULL: no memory.
static uint64_t *entry_for(struct arena *a, uint64_t pml4, uint64_t va, unsigned level)
{
    uint64_t *table = arena_va(a, pml4);

    for (unsigned l = 4; l > level; l--) {
        uint64_t *entry = &table[slot(va, l)];

        if (((*entry & PTE_PRESENT) == 0 || (*entry & PTE_LARGE) != 0) && !make_table(a, entry, l)) {
            return NULL;
        }
        table = arena_va(a, *entry & PTE_ADDR);
    }
    return &table[slot(va, level)];
}

static unsigned largest_level(uint64_t va, uint64_t pa, uint64_t left, unsigned level)
{
    while (level > LEVEL_4K && (((va | pa) & (level_size(level) - 1)) != 0 || left < level_size(level))) {
        level--;
    }
    return level;
}

// Maps va..va + size to pa with pages up to `max_level`; replaces what is there.
static bool map(struct arena *a, uint64_t pml4, uint64_t va, uint64_t pa, uint64_t size, unsigned max_level,
                uint64_t rights)
{
    for (uint64_t done = 0; done < size;) {
        unsigned level = largest_level(va + done, pa + done, size - done, max_level);
        uint64_t *entry = entry_for(a, pml4, va + done, level);

        if (entry == NULL) {
            return false;
        }
        *entry = (pa + done) | rights | (level == LEVEL_4K ? 0 : PTE_LARGE);
        done += level_size(level);
    }
    return true;
}

static uint64_t rights_of(const struct boot_segment *s)
{
    return (s->rights & BOOT_SEGMENT_WRITE) != 0  ? DATA
           : (s->rights & BOOT_SEGMENT_EXEC) != 0 ? PTE_PRESENT
                                                  : CONSTANT;
}

// Where it is linked; and what may not be written there must not be writable by its other address.
static bool map_segment(struct arena *a, uint64_t pml4, const struct boot_info *info,
                        const struct boot_segment *s)
{
    uint64_t pa = info->mgmt_base + (s->vaddr - info->mgmt_vbase);
    uint64_t size = ALIGN_UP(s->size, PAGE_SIZE);
    uint64_t alias = (s->rights & BOOT_SEGMENT_WRITE) != 0 ? DATA : CONSTANT;

    return map(a, pml4, s->vaddr, pa, size, LEVEL_2M, rights_of(s)) &&
           map(a, pml4, MGMT_DIRECT_BASE + pa, pa, size, LEVEL_2M, alias);
}

uint64_t mgmt_tables_build(struct arena *a, const struct boot_info *info, const struct mgmt_tables_plan *plan)
{
    uint64_t pml4 = arena_take(a, PAGE_SIZE);
    unsigned level = plan->pages_1g ? LEVEL_1G : LEVEL_2M;

    if (pml4 == 0 || !map(a, pml4, MGMT_DIRECT_BASE, 0, plan->direct_end, level, DATA)) {
        return 0;
    }
    for (uint32_t i = 0; i < info->mgmt_segment_count; i++) {
        if (!map_segment(a, pml4, info, &info->mgmt_segments[i])) {
            return 0;
        }
    }
    if (!map(a, pml4, MGMT_DIRECT_BASE + plan->hypercall_page, plan->hypercall_page, PAGE_SIZE, LEVEL_4K,
             PTE_PRESENT)) {
        return 0;
    }
    return pml4;
}
