// SPDX-License-Identifier: Apache-2.0
// Turns the firmware's memory map into the sorted, merged ranges of struct boot_info.
//
// Pure code without firmware calls: it runs after ExitBootServices() and in host tests.
#ifndef KEELSON_BOOT_MEMMAP_H
#define KEELSON_BOOT_MEMMAP_H

#include <keelson/bootinfo.h>

// EFI_MEMORY_DESCRIPTOR (UEFI GetMemoryMap()), repeated so that this module builds without EFI headers.
struct memmap_desc {
    uint32_t type;
    uint32_t pad;
    uint64_t base;
    uint64_t virtual_base;
    uint64_t pages;
    uint64_t attr;
};

struct memmap {
    struct boot_range *ranges;
    uint32_t count;
    uint32_t capacity;
    bool overflow; // a range was dropped because `ranges` was full: the map must not be used
};

// Starts an empty map over `ranges`, which the caller owns.
void memmap_init(struct memmap *map, struct boot_range *ranges, uint32_t capacity);

// Fills the map from the raw result of GetMemoryMap(): `size` bytes of descriptors, `stride` bytes each.
// Where the firmware contradicts itself the more restrictive description wins.
void memmap_add_firmware(struct memmap *map, const void *descs, size_t size, size_t stride);

// Gives [base, base + size) the type and attributes, whatever was there. Both are page aligned.
void memmap_paint(struct memmap *map, uint64_t base, uint64_t size, uint32_t type, uint32_t attr);

// First address above all memory (not device space) in the map.
uint64_t memmap_memory_end(const struct memmap *map);

// Bytes of free RAM in the map.
uint64_t memmap_ram_bytes(const struct memmap *map);

#endif
