// srcs: boot/memmap.c
// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any bytes as the firmware's memory map; the result is sorted, merged, and believes no free page that
// was also said to be something else.
#include "boot/memmap.h"

#include <stdlib.h>
#include <string.h>

#define RANGES 64
#define WRITE_BACK 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_order(const struct memmap *map)
{
    must(map->count <= map->capacity);
    for (uint32_t i = 0; i < map->count; i++) {
        const struct boot_range *r = &map->ranges[i];

        must(r->size > 0 && r->base % PAGE_SIZE == 0 && r->size % PAGE_SIZE == 0);
        must(r->base + r->size <= BIT(52));
        must(i == 0 || r[-1].base + r[-1].size <= r->base);
        must(i == 0 || r[-1].type != r->type || r[-1].base + r[-1].size < r->base);
    }
}

static bool is_free(const struct memmap *map, uint64_t address)
{
    for (uint32_t i = 0; i < map->count; i++) {
        if (address >= map->ranges[i].base && address - map->ranges[i].base < map->ranges[i].size) {
            return map->ranges[i].type == BOOT_RANGE_RAM;
        }
    }
    return false;
}

static bool says_free(const struct memmap_desc *d)
{
    return d->type >= 1 && d->type <= 7 && d->type != 5 && d->type != 6 && (d->attr & WRITE_BACK) != 0;
}

static void check_restrictive(const struct memmap *map, const uint8_t *descs, size_t size, size_t stride)
{
    for (size_t at = 0; at + stride <= size; at += stride) {
        struct memmap_desc d;

        memcpy(&d, descs + at, sizeof d);
        if (d.pages != 0 && !says_free(&d)) {
            must(!is_free(map, d.base & PAGE_MASK));
        }
    }
}

// First byte: what is added to the size of a descriptor; second: capacity of the map. Then descriptors.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct boot_range ranges[RANGES];
    struct memmap map;
    uint64_t *descs;
    size_t stride;

    if (size < 2 || size > 8192) {
        return 0;
    }
    stride = sizeof(struct memmap_desc) + 8u * (data[0] % 4) - 8u * (data[0] >> 7);
    memmap_init(&map, ranges, 1 + data[1] % RANGES);
    descs = malloc(size);
    if (descs == NULL) {
        return 0;
    }
    memcpy(descs, data + 2, size - 2);
    memmap_add_firmware(&map, descs, size - 2, stride);
    must(stride >= sizeof(struct memmap_desc) || map.overflow);
    if (!map.overflow) {
        check_order(&map);
        check_restrictive(&map, (const uint8_t *)descs, size - 2, stride);
        must(memmap_memory_end(&map) <= BIT(52) && memmap_ram_bytes(&map) <= memmap_memory_end(&map));
        memmap_paint(&map, 0x100000, 0x200000, BOOT_RANGE_RESERVED, 0);
        must(map.overflow || !is_free(&map, 0x100000));
    }
    free(descs);
    return 0;
}
