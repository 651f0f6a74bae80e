// SPDX-License-Identifier: Apache-2.0
// The firmware's memory map as sorted ranges: classify, overlay, merge.
#include "boot/memmap.h"

_Static_assert(sizeof(struct memmap_desc) == 40, "EFI_MEMORY_DESCRIPTOR, UEFI GetMemoryMap()");

// UEFI "Memory Allocation Services", table of EFI_MEMORY_TYPE.
enum {
    EFI_TYPE_LOADER_CODE = 1,
    EFI_TYPE_LOADER_DATA = 2,
    EFI_TYPE_BOOT_CODE = 3,
    EFI_TYPE_BOOT_DATA = 4,
    EFI_TYPE_RUNTIME_CODE = 5,
    EFI_TYPE_RUNTIME_DATA = 6,
    EFI_TYPE_CONVENTIONAL = 7,
    EFI_TYPE_ACPI_RECLAIM = 9,
    EFI_TYPE_ACPI_NVS = 10,
    EFI_TYPE_MMIO = 11,
    EFI_TYPE_MMIO_PORT = 12,
};

#define EFI_ATTR_WRITE_BACK 0x8u
#define PHYSICAL_LIMIT BIT(52) // the widest physical address of the architecture

void memmap_init(struct memmap *map, struct boot_range *ranges, uint32_t capacity)
{
    *map = (struct memmap){.ranges = ranges, .capacity = capacity};
}

static uint32_t classify(const struct memmap_desc *desc)
{
    switch (desc->type) {
    case EFI_TYPE_LOADER_CODE:
    case EFI_TYPE_LOADER_DATA:
    case EFI_TYPE_BOOT_CODE:
    case EFI_TYPE_BOOT_DATA:
    case EFI_TYPE_CONVENTIONAL:
        // Memory that cannot be cached write-back is of no use to anyone above us.
        return desc->attr & EFI_ATTR_WRITE_BACK ? BOOT_RANGE_RAM : BOOT_RANGE_RESERVED;
    case EFI_TYPE_RUNTIME_CODE:
    case EFI_TYPE_RUNTIME_DATA:
        return BOOT_RANGE_RUNTIME;
    case EFI_TYPE_ACPI_RECLAIM:
        return BOOT_RANGE_ACPI_RECLAIM;
    case EFI_TYPE_ACPI_NVS:
        return BOOT_RANGE_ACPI_NVS;
    case EFI_TYPE_MMIO:
    case EFI_TYPE_MMIO_PORT:
        return BOOT_RANGE_MMIO;
    default:
        return BOOT_RANGE_RESERVED; // also persistent, unaccepted and unusable memory
    }
}

static void remove_at(struct memmap *map, uint32_t at)
{
    for (uint32_t i = at; i + 1 < map->count; i++) {
        map->ranges[i] = map->ranges[i + 1];
    }
    map->count--;
}

static bool insert_at(struct memmap *map, uint32_t at, struct boot_range range)
{
    if (map->count == map->capacity) {
        map->overflow = true;
        return false;
    }
    for (uint32_t i = map->count; i > at; i--) {
        map->ranges[i] = map->ranges[i - 1];
    }
    map->ranges[at] = range;
    map->count++;
    return true;
}

static uint64_t range_end(const struct boot_range *range)
{
    return range->base + range->size;
}

// Removes [base, end) from every range and returns the index where a range starting at `base` belongs.
static uint32_t cut(struct memmap *map, uint64_t base, uint64_t end)
{
    uint32_t i = 0;
    while (i < map->count && range_end(&map->ranges[i]) <= base) {
        i++;
    }
    if (i < map->count && map->ranges[i].base < base) {
        struct boot_range tail = map->ranges[i];
        map->ranges[i].size = base - map->ranges[i].base;
        i++;
        if (range_end(&tail) > end) {
            tail.size = range_end(&tail) - end;
            tail.base = end;
            insert_at(map, i, tail);
            return i;
        }
    }
    while (i < map->count && range_end(&map->ranges[i]) <= end) {
        remove_at(map, i);
    }
    if (i < map->count && map->ranges[i].base < end) {
        map->ranges[i].size = range_end(&map->ranges[i]) - end;
        map->ranges[i].base = end;
    }
    return i;
}

// Joins range `at` with its successor when they touch and have one type.
static bool merge_with_next(struct memmap *map, uint32_t at)
{
    if (at + 1 >= map->count) {
        return false;
    }
    struct boot_range *range = &map->ranges[at];
    const struct boot_range *next = &map->ranges[at + 1];
    if (range->type != next->type || range_end(range) != next->base) {
        return false;
    }
    range->size += next->size;
    range->efi_attr &= next->efi_attr; // what holds for all of it
    remove_at(map, at + 1);
    return true;
}

void memmap_paint(struct memmap *map, uint64_t base, uint64_t size, uint32_t type, uint32_t attr)
{
    if (size == 0) {
        return;
    }
    uint32_t at = cut(map, base, base + size);
    struct boot_range range = {.base = base, .size = size, .type = type, .efi_attr = attr};
    if (!insert_at(map, at, range)) {
        return;
    }
    merge_with_next(map, at);
    if (at > 0) {
        merge_with_next(map, at - 1);
    }
}

static void add_descriptor(struct memmap *map, const struct memmap_desc *desc, bool ram_pass)
{
    uint64_t base = desc->base & PAGE_MASK;
    uint32_t type = classify(desc);
    if ((type == BOOT_RANGE_RAM) != ram_pass || base >= PHYSICAL_LIMIT || desc->pages == 0) {
        return;
    }
    uint64_t pages = MIN(desc->pages, (PHYSICAL_LIMIT - base) >> PAGE_SHIFT);
    memmap_paint(map, base, pages << PAGE_SHIFT, type, (uint32_t)desc->attr);
}

void memmap_add_firmware(struct memmap *map, const void *descs, size_t size, size_t stride)
{
    const uint8_t *bytes = descs;
    if (stride < sizeof(struct memmap_desc)) {
        map->overflow = true;
        return;
    }
    // Free memory first: whatever else is said about the same addresses is painted over it.
    for (int pass = 0; pass < 2; pass++) {
        for (size_t at = 0; at + stride <= size; at += stride) {
            add_descriptor(map, (const struct memmap_desc *)(bytes + at), pass == 0);
        }
    }
}

static bool is_memory(uint32_t type)
{
    return type != BOOT_RANGE_MMIO && type != BOOT_RANGE_RESERVED;
}

uint64_t memmap_memory_end(const struct memmap *map)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < map->count; i++) {
        if (is_memory(map->ranges[i].type)) {
            end = MAX(end, range_end(&map->ranges[i]));
        }
    }
    return end;
}

uint64_t memmap_ram_bytes(const struct memmap *map)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < map->count; i++) {
        if (map->ranges[i].type == BOOT_RANGE_RAM) {
            bytes += map->ranges[i].size;
        }
    }
    return bytes;
}
