// SPDX-License-Identifier: Apache-2.0
// Four-level page tables with 2 MiB pages (SDM 3A "4-Level Paging").
#include "boot/paging.h"

#include "boot/mem.h"

#define ENTRIES 512
#define PTE_PRESENT BIT(0)
#define PTE_WRITE BIT(1)
#define PTE_LARGE BIT(7)
#define PML4_SHIFT 39
#define PDPT_SHIFT 30
#define PD_SHIFT 21

static uint64_t units(uint64_t bytes, unsigned shift)
{
    return (bytes + BIT(shift) - 1) >> shift;
}

static unsigned slot(uint64_t address, unsigned shift)
{
    return (address >> shift) % ENTRIES;
}

uint64_t paging_bytes(uint64_t map_end)
{
    uint64_t linear = units(map_end, PML4_SHIFT) + units(map_end, PDPT_SHIFT);
    uint64_t image = 2;
    return (2 /* roots */ + 2 * linear + image) * PAGE_SIZE;
}

static uint64_t *new_table(struct paging_arena *arena)
{
    uint64_t *table = (uint64_t *)arena->next;
    arena->next += PAGE_SIZE;
    mem_set(table, 0, PAGE_SIZE);
    return table;
}

// Returns the table that `entry` points to, made when there is none.
static uint64_t *descend(struct paging_arena *arena, uint64_t *entry)
{
    if ((*entry & PTE_PRESENT) == 0) {
        *entry = (uint64_t)new_table(arena) | PTE_PRESENT | PTE_WRITE;
    }
    return (uint64_t *)(*entry & PAGE_MASK);
}

static void map(struct paging_arena *arena, uint64_t *root, uint64_t va, uint64_t pa, uint64_t size)
{
    for (uint64_t done = 0; done < size; done += PAGE_SIZE_2M) {
        uint64_t *pdpt = descend(arena, &root[slot(va + done, PML4_SHIFT)]);
        uint64_t *pd = descend(arena, &pdpt[slot(va + done, PDPT_SHIFT)]);
        pd[slot(va + done, PD_SHIFT)] = (pa + done) | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
    }
}

struct paging_roots paging_build(struct paging_arena *arena, const struct paging_plan *plan)
{
    uint64_t *boot = new_table(arena);
    uint64_t *runtime = new_table(arena);
    unsigned direct = slot(HV_DIRECT_BASE, PML4_SHIFT);
    unsigned image = slot(HV_IMAGE_BASE, PML4_SHIFT);

    map(arena, boot, 0, 0, plan->map_end);
    map(arena, runtime, 0, 0, plan->map_end);
    map(arena, boot, HV_IMAGE_BASE, plan->image_base, plan->image_size);
    // Identity and direct map hold the same entries, so they can share the tables below the root.
    for (unsigned i = 0; i < units(plan->map_end, PML4_SHIFT); i++) {
        boot[direct + i] = boot[i];
        runtime[direct + i] = boot[i];
    }
    runtime[image] = boot[image];
    return (struct paging_roots){.boot = (uint64_t)boot, .runtime = (uint64_t)runtime};
}
