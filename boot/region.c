// SPDX-License-Identifier: Apache-2.0
// Allocates and fills the hypervisor's region and the management image's.
#include "boot/region.h"

#include "boot/console.h"
#include "boot/mem.h"

#define FOUR_GIB (4ull << 30)
#define STACK_BYTES (16ull << 10)
#define HEAP_BYTES (6ull << 20)
#define FRAME_TABLE_ENTRY 4            // bytes for each 4 KiB page below the end of memory
#define MGMT_TABLES_BYTES (1ull << 20) // for the page tables that the hypervisor adds
#define TRAMPOLINE_LIMIT 0x9f000ull

// Allocates `size` bytes at a multiple of 2 MiB below `limit`; 0 when there is no such memory.
static uint64_t allocate_below(uint64_t size, uint64_t limit)
{
    EFI_PHYSICAL_ADDRESS start = limit - 1;
    UINTN pages = EFI_SIZE_TO_PAGES(size + PAGE_SIZE_2M);
    if (EFI_ERROR(BS->AllocatePages(AllocateMaxAddress, EfiLoaderData, pages, &start))) {
        return 0;
    }
    uint64_t base = ALIGN_UP(start, PAGE_SIZE_2M);
    uint64_t end = start + pages * PAGE_SIZE;
    if (base > start) {
        BS->FreePages(start, (base - start) / PAGE_SIZE);
    }
    if (end > base + size) {
        BS->FreePages(base + size, (end - base - size) / PAGE_SIZE);
    }
    return base;
}

// Prefers memory below 4 GiB: processors that start in 32-bit mode can only load a CR3 from there.
static uint64_t allocate(uint64_t size, const CHAR16 *what)
{
    uint64_t base = allocate_below(size, FOUR_GIB);
    if (base == 0) {
        base = allocate_below(size, UINT64_MAX);
    }
    if (base == 0) {
        console_refuse(L"there is no free block of %ld MiB of memory for %s.", size >> 20, what);
    }
    return base;
}

static uint64_t allocate_trampoline(void)
{
    EFI_PHYSICAL_ADDRESS page = TRAMPOLINE_LIMIT - 1;
    if (EFI_ERROR(BS->AllocatePages(AllocateMaxAddress, EfiLoaderData, 1, &page))) {
        console_refuse(L"there is no free page below 640 KiB to start processors from.");
    }
    return page;
}

static uint64_t image_bytes(const struct elf_image *image)
{
    return ALIGN_UP(image->vend - image->vbase, PAGE_SIZE);
}

static void load_mgmt(struct boot_info *info, const struct elf_image *mgmt)
{
    info->mgmt_size = ALIGN_UP(image_bytes(mgmt) + MGMT_TABLES_BYTES, PAGE_SIZE_2M);
    info->mgmt_base = allocate(info->mgmt_size, L"the management partition");
    info->mgmt_vbase = mgmt->vbase;
    info->mgmt_entry = mgmt->entry;
    info->mgmt_segment_count = elf_segments(mgmt, info->mgmt_segments, BOOT_MAX_SEGMENTS);
    if (info->mgmt_segment_count == 0) {
        console_refuse(L"the management partition has more than %d segments.", BOOT_MAX_SEGMENTS);
    }
    mem_set((void *)info->mgmt_base, 0, info->mgmt_size);
    elf_load(mgmt, (uint8_t *)info->mgmt_base);
}

struct region region_prepare(const struct boot_info *found, const struct elf_image *hv,
                             const struct elf_image *mgmt, uint64_t memory_end)
{
    uint64_t map_end = ALIGN_UP(MAX(memory_end, FOUR_GIB), PAGE_SIZE_1G);
    uint64_t image = image_bytes(hv);
    uint64_t info_bytes = ALIGN_UP(sizeof(struct boot_info), PAGE_SIZE);
    uint64_t fixed = image + info_bytes + STACK_BYTES + paging_bytes(map_end);
    uint64_t frame_table = (memory_end >> PAGE_SHIFT) * FRAME_TABLE_ENTRY;
    uint64_t size = ALIGN_UP(fixed + frame_table + HEAP_BYTES, PAGE_SIZE_2M);
    uint64_t base = allocate(size, L"the hypervisor");

    struct region region = {.info = (struct boot_info *)(base + image), .map_end = map_end};
    region.stack_top = base + image + info_bytes + STACK_BYTES;
    region.tables.next = region.stack_top;
    region.tables.end = base + fixed;

    elf_load(hv, (uint8_t *)base);
    mem_set((uint8_t *)base + image, 0, info_bytes + STACK_BYTES);
    *region.info = *found;
    region.info->hv_base = base;
    region.info->hv_size = size;
    region.info->hv_image_size = image;
    region.info->hv_free = base + fixed;
    region.info->trampoline = allocate_trampoline();
    load_mgmt(region.info, mgmt);
    return region;
}
