// srcs: boot/memmap.c
// SPDX-License-Identifier: Apache-2.0
// The loader's memory map: classes of memory, order, merging, contradictions, holes, carving, overflow.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "boot/memmap.h"

// EFI_MEMORY_TYPE, UEFI "Memory Allocation Services".
enum {
    RESERVED = 0,
    LOADER_DATA = 2,
    BOOT_DATA = 4,
    RUNTIME_CODE = 5,
    RUNTIME_DATA = 6,
    CONVENTIONAL = 7,
    UNUSABLE = 8,
    RECLAIM = 9,
    NVS = 10,
    MMIO = 11,
    PERSISTENT = 14
};
#define WB 0x8u
#define RUNTIME_ATTR BIT(63)
#define CAPACITY 64

static struct boot_range ranges[CAPACITY];
static struct memmap map;

static struct memmap_desc desc(uint32_t type, uint64_t base, uint64_t pages)
{
    return (struct memmap_desc){.type = type, .base = base, .pages = pages, .attr = WB};
}

static void fill(const struct memmap_desc *descs, size_t count)
{
    memmap_init(&map, ranges, CAPACITY);
    memmap_add_firmware(&map, descs, count * sizeof(*descs), sizeof(*descs));
}

static void expect(uint32_t index, uint64_t base, uint64_t size, uint32_t type)
{
    assert_true(index < map.count);
    assert_int_equal(ranges[index].base, base);
    assert_int_equal(ranges[index].size, size);
    assert_int_equal(ranges[index].type, type);
}

// What every map must be: sorted, without overlaps, page aligned, neighbours of one type merged.
static void expect_sound(void)
{
    for (uint32_t i = 0; i < map.count; i++) {
        assert_true(ranges[i].size != 0);
        assert_int_equal((ranges[i].base | ranges[i].size) % PAGE_SIZE, 0);
        if (i > 0) {
            uint64_t end = ranges[i - 1].base + ranges[i - 1].size;
            assert_true(end <= ranges[i].base);
            assert_true(end < ranges[i].base || ranges[i - 1].type != ranges[i].type);
        }
    }
}

static void test_unsorted_descriptors_are_sorted_and_merged(void **state)
{
    (void)state;
    const struct memmap_desc descs[] = {
        desc(CONVENTIONAL, 0x100000, 0x100), desc(RUNTIME_DATA, 0x300000, 1), desc(LOADER_DATA, 0x0, 0x9f),
        desc(BOOT_DATA, 0x200000, 0x100),    desc(NVS, 0x301000, 2),
    };
    fill(descs, ARRAY_LEN(descs));
    expect_sound();
    assert_int_equal(map.count, 4);
    expect(0, 0, 0x9f000, BOOT_RANGE_RAM);
    expect(1, 0x100000, 0x200000, BOOT_RANGE_RAM);
    expect(2, 0x300000, 0x1000, BOOT_RANGE_RUNTIME);
    expect(3, 0x301000, 0x2000, BOOT_RANGE_ACPI_NVS);
    assert_int_equal(memmap_memory_end(&map), 0x303000);
    assert_int_equal(memmap_ram_bytes(&map), 0x29f000);
}

static void test_each_class(void **state)
{
    static const struct {
        uint32_t efi, type;
    } rows[] = {
        {RESERVED, BOOT_RANGE_RESERVED},    {LOADER_DATA, BOOT_RANGE_RAM},
        {BOOT_DATA, BOOT_RANGE_RAM},        {RUNTIME_CODE, BOOT_RANGE_RUNTIME},
        {RUNTIME_DATA, BOOT_RANGE_RUNTIME}, {CONVENTIONAL, BOOT_RANGE_RAM},
        {UNUSABLE, BOOT_RANGE_RESERVED},    {RECLAIM, BOOT_RANGE_ACPI_RECLAIM},
        {NVS, BOOT_RANGE_ACPI_NVS},         {MMIO, BOOT_RANGE_MMIO},
        {PERSISTENT, BOOT_RANGE_RESERVED},  {0x80000001, BOOT_RANGE_RESERVED},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct memmap_desc one = desc(rows[i].efi, 0x1000, 1);
        fill(&one, 1);
        expect(0, 0x1000, 0x1000, rows[i].type);
    }
}

static void test_memory_that_is_not_write_back_is_reserved(void **state)
{
    struct memmap_desc one = desc(CONVENTIONAL, 0x1000, 1);
    (void)state;
    one.attr = 0x1;
    fill(&one, 1);
    expect(0, 0x1000, 0x1000, BOOT_RANGE_RESERVED);
}

static void test_the_stricter_description_wins(void **state)
{
    const struct memmap_desc descs[] = {
        desc(RESERVED, 0x5000, 1),
        desc(CONVENTIONAL, 0x0, 16),
        desc(CONVENTIONAL, 0x8000, 16),
        desc(RUNTIME_DATA, 0xf000, 2),
    };
    (void)state;
    fill(descs, ARRAY_LEN(descs));
    expect_sound();
    assert_int_equal(map.count, 5);
    expect(0, 0x0, 0x5000, BOOT_RANGE_RAM);
    expect(1, 0x5000, 0x1000, BOOT_RANGE_RESERVED);
    expect(2, 0x6000, 0x9000, BOOT_RANGE_RAM);
    expect(3, 0xf000, 0x2000, BOOT_RANGE_RUNTIME);
    expect(4, 0x11000, 0x7000, BOOT_RANGE_RAM);
}

static void test_holes_stay_holes(void **state)
{
    const struct memmap_desc descs[] = {desc(CONVENTIONAL, 0x100000000, 0x80000),
                                        desc(CONVENTIONAL, 0, 0x80000), desc(MMIO, 0xfec00000, 1)};
    (void)state;
    fill(descs, ARRAY_LEN(descs));
    assert_int_equal(map.count, 3);
    assert_int_equal(memmap_memory_end(&map), 0x180000000);
    assert_int_equal(memmap_ram_bytes(&map), 0x100000000);
}

static void test_device_space_is_not_the_end_of_memory(void **state)
{
    const struct memmap_desc descs[] = {desc(CONVENTIONAL, 0, 16), desc(MMIO, BIT(40), 16),
                                        desc(RESERVED, BIT(41), 16)};
    (void)state;
    fill(descs, ARRAY_LEN(descs));
    assert_int_equal(memmap_memory_end(&map), 16 * PAGE_SIZE);
}

static void test_nonsense_is_ignored_or_bounded(void **state)
{
    const struct memmap_desc descs[] = {
        desc(CONVENTIONAL, 0x1000, 0),            // empty
        desc(CONVENTIONAL, BIT(52), 1),           // beyond any physical address
        desc(MMIO, BIT(52) - 0x2000, UINT64_MAX), // longer than the address space
        desc(CONVENTIONAL, 0x1800, 1),            // not on a page
    };
    (void)state;
    fill(descs, ARRAY_LEN(descs));
    expect_sound();
    assert_int_equal(map.count, 2);
    expect(0, 0x1000, 0x1000, BOOT_RANGE_RAM);
    expect(1, BIT(52) - 0x2000, 0x2000, BOOT_RANGE_MMIO);
}

static void test_a_longer_stride_is_followed(void **state)
{
    struct {
        struct memmap_desc desc;
        uint64_t newer_field;
    } descs[2] = {{desc(CONVENTIONAL, 0, 1), ~0ull}, {desc(NVS, 0x1000, 1), ~0ull}};
    (void)state;
    memmap_init(&map, ranges, CAPACITY);
    memmap_add_firmware(&map, descs, sizeof(descs), sizeof(descs[0]));
    assert_int_equal(map.count, 2);
    memmap_init(&map, ranges, CAPACITY);
    memmap_add_firmware(&map, descs, sizeof(descs), 8);
    assert_true(map.overflow);
}

static void test_carving(void **state)
{
    struct memmap_desc one = desc(CONVENTIONAL, 0, 0x1000);
    (void)state;
    fill(&one, 1);
    memmap_paint(&map, 0x200000, 0x200000, BOOT_RANGE_HV, WB);
    memmap_paint(&map, 0x0, 0x1000, BOOT_RANGE_RESERVED, WB);
    memmap_paint(&map, 0x3ff000, 0x2000, BOOT_RANGE_MGMT, WB); // over an end of another
    memmap_paint(&map, 0x5000, 0, BOOT_RANGE_MGMT, WB);
    expect_sound();
    assert_int_equal(map.count, 5);
    expect(1, 0x1000, 0x1ff000, BOOT_RANGE_RAM);
    expect(2, 0x200000, 0x1ff000, BOOT_RANGE_HV);
    expect(3, 0x3ff000, 0x2000, BOOT_RANGE_MGMT);
    expect(4, 0x401000, 0xbff000, BOOT_RANGE_RAM);
}

static void test_merged_attributes_hold_for_all(void **state)
{
    struct memmap_desc descs[2] = {desc(RUNTIME_DATA, 0, 1), desc(RUNTIME_CODE, 0x1000, 1)};
    (void)state;
    descs[0].attr = 0xf | RUNTIME_ATTR;
    descs[1].attr = 0x8;
    fill(descs, 2);
    assert_int_equal(map.count, 1);
    assert_int_equal(ranges[0].efi_attr, 0x8);
}

static void test_overflow_is_told(void **state)
{
    struct memmap_desc descs[CAPACITY + 1];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(descs); i++) {
        descs[i] = desc(CONVENTIONAL, i * 0x10000, 1);
    }
    fill(descs, CAPACITY);
    assert_false(map.overflow);
    fill(descs, CAPACITY + 1);
    assert_true(map.overflow);
    assert_int_equal(map.count, CAPACITY);
}

// Any sequence of paintings leaves the same picture as painting pages one by one.
static void test_random_painting_against_a_page_array(void **state)
{
    enum { PAGES = 48 };
    uint8_t picture[PAGES] = {0};
    (void)state;
    srandom(1);
    memmap_init(&map, ranges, CAPACITY);
    for (int step = 0; step < 20000; step++) {
        unsigned base = (unsigned)random() % PAGES;
        unsigned pages = (unsigned)random() % (PAGES - base + 1);
        uint8_t type = (uint8_t)(1 + random() % 8);
        memmap_paint(&map, base * PAGE_SIZE, pages * PAGE_SIZE, type, 0);
        memset(picture + base, type, pages);
        expect_sound();
        uint8_t seen[PAGES] = {0};
        for (uint32_t i = 0; i < map.count; i++) {
            memset(seen + ranges[i].base / PAGE_SIZE, (int)ranges[i].type, ranges[i].size / PAGE_SIZE);
        }
        assert_memory_equal(seen, picture, PAGES);
    }
    assert_false(map.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unsorted_descriptors_are_sorted_and_merged),
        cmocka_unit_test(test_each_class),
        cmocka_unit_test(test_memory_that_is_not_write_back_is_reserved),
        cmocka_unit_test(test_the_stricter_description_wins),
        cmocka_unit_test(test_holes_stay_holes),
        cmocka_unit_test(test_device_space_is_not_the_end_of_memory),
        cmocka_unit_test(test_nonsense_is_ignored_or_bounded),
        cmocka_unit_test(test_a_longer_stride_is_followed),
        cmocka_unit_test(test_carving),
        cmocka_unit_test(test_merged_attributes_hold_for_all),
        cmocka_unit_test(test_overflow_is_told),
        cmocka_unit_test(test_random_painting_against_a_page_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
