// SPDX-License-Identifier: Apache-2.0
// The hypervisor's own page tables (SDM 3A "4-Level Paging"); the layout is drawn in host_internal.h.
//
// Built once by the boot processor from free memory of the hypervisor's region, then shared by all. Later
// only device pages are added, from a small reserve. Cache types of the memory map's ranges are left to
// the MTRRs: a large page may reach past the end of its range.
#include "arch/x86/host_internal.h"

#define ENTRIES 512
#define PTE_PRESENT BIT(0)
#define PTE_WRITE BIT(1)
#define PTE_UNCACHED (BIT(3) | BIT(4)) // PWT and PCD: PAT entry 3
#define PTE_ACCESSED_DIRTY (BIT(5) | BIT(6))
#define PTE_LARGE BIT(7)
#define PTE_GLOBAL BIT(8)
#define PTE_NX BIT(63)
#define PTE_ADDR 0x000ffffffffff000ull
#define PTE_TABLE (PTE_PRESENT | PTE_WRITE | BIT(5))

#define LEVEL_4K 1
#define LEVEL_2M 2
#define LEVEL_1G 3
#define RESERVE_PAGES 24

#define CPUID_PAGE_1G BIT(26) // 80000001h EDX

static uint64_t *root;
static uint64_t arena_next, arena_end; // SPAs
static uint64_t image_spa;

static const uint64_t rights_bits[] = {
    [PAGE_RX] = PTE_PRESENT | PTE_GLOBAL | PTE_ACCESSED_DIRTY,
    [PAGE_R] = PTE_PRESENT | PTE_GLOBAL | PTE_ACCESSED_DIRTY | PTE_NX,
    [PAGE_RW] = PTE_PRESENT | PTE_GLOBAL | PTE_ACCESSED_DIRTY | PTE_WRITE | PTE_NX,
    [PAGE_UNCACHED] = PTE_PRESENT | PTE_GLOBAL | PTE_ACCESSED_DIRTY | PTE_WRITE | PTE_NX | PTE_UNCACHED,
};

spa_t paging_take_page(void)
{
    if (arena_next + PAGE_SIZE > arena_end) {
        panic("no memory left for the hypervisor's page tables and stacks");
    }
    spa_t page = SPA(arena_next);
    uint64_t *p = spa_to_va(page);
    for (unsigned i = 0; i < PAGE_SIZE / sizeof(*p); i++) {
        p[i] = 0;
    }
    arena_next += PAGE_SIZE;
    return page;
}

static unsigned slot(uint64_t va, unsigned level)
{
    return (va >> (PAGE_SHIFT + 9 * (level - 1))) % ENTRIES;
}

// Replaces a large page by a table of the next smaller size that maps the same.
static void split(uint64_t *entry, unsigned level)
{
    spa_t table = paging_take_page();
    uint64_t *t = spa_to_va(table);
    uint64_t step = BIT(PAGE_SHIFT + 9 * (level - 2));
    uint64_t large = level - 1 == LEVEL_4K ? 0 : PTE_LARGE;

    for (unsigned i = 0; i < ENTRIES; i++) {
        t[i] = ((*entry & ~PTE_LARGE) | large) + i * step;
    }
    *entry = table.v | PTE_TABLE;
}

// The entry that maps `va` at `level`, with tables made and large pages split on the way.
static uint64_t *entry_for(uint64_t va, unsigned level)
{
    uint64_t *table = root;

    for (unsigned l = 4; l > level; l--) {
        uint64_t *entry = &table[slot(va, l)];
        if ((*entry & PTE_PRESENT) == 0) {
            *entry = paging_take_page().v | PTE_TABLE;
        } else if (*entry & PTE_LARGE) {
            split(entry, l);
        }
        table = spa_to_va(SPA(*entry & PTE_ADDR));
    }
    return &table[slot(va, level)];
}

void paging_map(uint64_t va, spa_t spa, enum page_rights rights)
{
    *entry_for(va, LEVEL_4K) = spa.v | rights_bits[rights];
    invlpg((void *)va);
}

// True if `va` is mapped by anything; fills no tables.
static bool is_mapped(uint64_t va)
{
    const uint64_t *table = root;

    for (unsigned l = 4;; l--) {
        uint64_t entry = table[slot(va, l)];
        if ((entry & PTE_PRESENT) == 0) {
            return false;
        }
        if (l == LEVEL_4K || (entry & PTE_LARGE)) {
            return true;
        }
        table = spa_to_va(SPA(entry & PTE_ADDR));
    }
}

static void map_memory(uint64_t base, uint64_t end, bool pages_1g)
{
    uint64_t at = ALIGN_DOWN(base, PAGE_SIZE_2M);

    while (at < end) {
        uint64_t va = HV_DIRECT_BASE + at;
        if (is_mapped(va)) {
            at += PAGE_SIZE_2M;
        } else if (pages_1g && at % PAGE_SIZE_1G == 0 && end - at >= PAGE_SIZE_1G) {
            *entry_for(va, LEVEL_1G) = at | PTE_LARGE | rights_bits[PAGE_RW];
            at += PAGE_SIZE_1G;
        } else {
            *entry_for(va, LEVEL_2M) = at | PTE_LARGE | rights_bits[PAGE_RW];
            at += PAGE_SIZE_2M;
        }
    }
}

static bool is_memory(uint32_t type)
{
    switch (type) {
    case BOOT_RANGE_RAM:
    case BOOT_RANGE_ACPI_RECLAIM:
    case BOOT_RANGE_ACPI_NVS:
    case BOOT_RANGE_RUNTIME:
    case BOOT_RANGE_HV:
    case BOOT_RANGE_MGMT:
        return true;
    default:
        return false;
    }
}

static void map_direct(const struct boot_info *info)
{
    bool pages_1g = cpuid_checked(0x80000001, 0).edx & CPUID_PAGE_1G;

    map_memory(0, PAGE_SIZE_2M, false);
    for (uint32_t i = 0; i < info->range_count; i++) {
        const struct boot_range *r = &info->ranges[i];
        if (is_memory(r->type)) {
            map_memory(r->base, r->base + r->size, pages_1g);
        }
    }
}

static void map_section(const uint8_t *start, const uint8_t *end, enum page_rights rights,
                        enum page_rights direct_rights)
{
    for (uint64_t va = (uint64_t)start; va < (uint64_t)end; va += PAGE_SIZE) {
        spa_t spa = SPA(image_spa + (va - HV_IMAGE_BASE));
        paging_map(va, spa, rights);
        paging_map(HV_DIRECT_BASE + spa.v, spa, direct_rights);
    }
}

void paging_init(struct boot_info *info)
{
    arena_next = ALIGN_UP(info->hv_free, PAGE_SIZE);
    arena_end = info->hv_base + info->hv_size;
    image_spa = info->hv_base;

    root = spa_to_va(paging_take_page());
    map_direct(info);
    // The alias of constant sections in the direct map must not be writable either.
    map_section(hv_text_start, hv_text_end, PAGE_RX, PAGE_R);
    map_section(hv_rodata_start, hv_rodata_end, PAGE_R, PAGE_R);
    map_section(hv_data_start, hv_image_end, PAGE_RW, PAGE_RW);
    write_cr3(paging_cr3());
}

void paging_finish(struct boot_info *info)
{
    uint64_t *runtime = spa_to_va(SPA(info->efi_runtime_pt & PTE_ADDR));

    arena_end = arena_next + RESERVE_PAGES * PAGE_SIZE;
    if (arena_end > info->hv_base + info->hv_size) {
        panic("the hypervisor's region is too small");
    }
    info->hv_free = arena_end;
    if (info->efi_runtime_pt != 0) {
        for (unsigned i = ENTRIES / 2; i < ENTRIES; i++) {
            runtime[i] = root[i];
        }
    }
}

uint64_t paging_cr3(void)
{
    return va_to_spa(root).v;
}

void *host_map_device(spa_t base, uint64_t size)
{
    for (uint64_t at = ALIGN_DOWN(base.v, PAGE_SIZE); at < base.v + size; at += PAGE_SIZE) {
        paging_map(HV_DIRECT_BASE + at, SPA(at), PAGE_UNCACHED);
    }
    return spa_to_va(base);
}

void *host_map_memory(spa_t base, uint64_t size)
{
    for (uint64_t at = ALIGN_DOWN(base.v, PAGE_SIZE); at < base.v + size; at += PAGE_SIZE) {
        if (!is_mapped(HV_DIRECT_BASE + at)) {
            paging_map(HV_DIRECT_BASE + at, SPA(at), PAGE_R);
        }
    }
    return spa_to_va(base);
}
