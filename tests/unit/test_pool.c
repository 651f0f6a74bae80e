// srcs: mgmt/rt/pool.c
// SPDX-License-Identifier: Apache-2.0
// The chunk allocator behind the guest pool.
#include "mgmt/rt/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define MB (1ull << 20)
#define GB (1ull << 30)

struct fixture {
    struct pool pool;
    void *storage;
};

static struct fixture make(const struct boot_range *ranges, size_t count, uint64_t end)
{
    struct fixture f;
    size_t chunks = pool_chunks(end);

    f.storage = malloc(pool_storage_size(chunks));
    pool_init(&f.pool, chunks, f.storage);
    pool_add_ranges(&f.pool, ranges, count);
    return f;
}

static struct boot_range ram(uint64_t base, uint64_t end)
{
    return (struct boot_range){.base = base, .size = end - base, .type = BOOT_RANGE_RAM};
}

static struct boot_range other(uint64_t base, uint64_t end, uint32_t type)
{
    return (struct boot_range){.base = base, .size = end - base, .type = type};
}

static void takes_whole_chunks_of_ram_only(void **state)
{
    const struct boot_range ranges[] = {
        ram(0, 0xa0000),                           // below 1 MiB: never
        ram(1 * MB, 7 * MB),                       // chunks 1, 2 (2..6 MiB)
        other(7 * MB, 8 * MB, BOOT_RANGE_RUNTIME), // spoils chunk 3
        ram(8 * MB, 9 * MB),
        ram(9 * MB, 12 * MB),                         // neighbours: chunks 4, 5
        other(12 * MB, 14 * MB, BOOT_RANGE_MGMT),     //
        other(14 * MB, 16 * MB, BOOT_RANGE_ACPI_NVS), //
        ram(17 * MB, 20 * MB - 4096),                 // no whole chunk
    };
    struct fixture f = make(ranges, ARRAY_LEN(ranges), 20 * MB);
    uint64_t base;

    (void)state;
    assert_int_equal(f.pool.managed_count, 4);
    assert_int_equal(pool_largest_run(&f.pool), 2);
    assert_true(pool_alloc(&f.pool, 2, &base));
    assert_int_equal(base, 2 * MB);
    assert_true(pool_alloc(&f.pool, 2, &base));
    assert_int_equal(base, 8 * MB);
    assert_false(pool_alloc(&f.pool, 1, &base));
    free(f.storage);
}

static void gigabytes_come_aligned_from_the_top(void **state)
{
    const struct boot_range ranges[] = {ram(2 * MB, 3 * GB), ram(4 * GB, 6 * GB)};
    struct fixture f = make(ranges, 2, 6 * GB);
    uint64_t base;

    (void)state;
    assert_true(pool_alloc(&f.pool, 1, &base));
    assert_int_equal(base, 2 * MB);
    assert_true(pool_alloc(&f.pool, 512, &base));
    assert_int_equal(base, 5 * GB);
    assert_true(pool_alloc(&f.pool, 1024, &base)); // not 1 GiB aligned at 4..5: there is only one left
    assert_int_equal(base, 1 * GB);
    assert_true(pool_alloc(&f.pool, 512, &base));
    assert_int_equal(base, 4 * GB);
    assert_true(pool_alloc(&f.pool, 510, &base)); // 4 MiB .. 1 GiB
    assert_false(pool_alloc(&f.pool, 1, &base));
    free(f.storage);
}

static void whole_gigabytes_without_alignment_when_there_is_no_better(void **state)
{
    const struct boot_range ranges[] = {ram(512 * MB, 2 * GB - 256 * MB)};
    struct fixture f = make(ranges, 1, 2 * GB);
    uint64_t base;

    (void)state;
    assert_true(pool_alloc(&f.pool, 512, &base));
    assert_int_equal(base, 512 * MB);
    free(f.storage);
}

static void free_refuses_what_was_not_taken(void **state)
{
    const struct boot_range ranges[] = {ram(2 * MB, 10 * MB), ram(12 * MB, 14 * MB)};
    struct fixture f = make(ranges, 2, 14 * MB);
    uint64_t base;

    (void)state;
    assert_true(pool_alloc(&f.pool, 2, &base));
    assert_false(pool_free(&f.pool, base, 3));        // the third chunk is free already
    assert_false(pool_free(&f.pool, base + 4096, 1)); // misaligned
    assert_false(pool_free(&f.pool, 10 * MB, 1));     // not of the pool
    assert_false(pool_free(&f.pool, 14 * MB, 1));     // beyond
    assert_false(pool_free(&f.pool, base, SIZE_MAX)); // overflow
    assert_int_equal(f.pool.free_count, 3);
    assert_true(pool_free(&f.pool, base, 2));
    assert_false(pool_free(&f.pool, base, 2));
    assert_int_equal(f.pool.free_count, 5);
    free(f.storage);
}

static void random_use_ends_where_it_began(void **state)
{
    const struct boot_range ranges[] = {ram(2 * MB, 100 * MB), ram(130 * MB, 1100 * MB), ram(2 * GB, 5 * GB)};
    struct fixture f = make(ranges, 3, 5 * GB);
    size_t total = f.pool.free_count;
    struct {
        uint64_t base;
        size_t count;
    } held[64] = {0};

    (void)state;
    srand(7);
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)rand() % 64;

        if (held[n].count != 0) {
            assert_true(pool_free(&f.pool, held[n].base, held[n].count));
            held[n].count = 0;
        } else {
            size_t want = rand() % 50 == 0 ? 512 : 1 + (size_t)rand() % 40;

            held[n].count = pool_alloc(&f.pool, want, &held[n].base) ? want : 0;
        }
    }
    for (size_t n = 0; n < 64; n++) {
        if (held[n].count != 0) {
            assert_true(pool_free(&f.pool, held[n].base, held[n].count));
        }
    }
    assert_int_equal(f.pool.free_count, total);
    free(f.storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_whole_chunks_of_ram_only),
        cmocka_unit_test(gigabytes_come_aligned_from_the_top),
        cmocka_unit_test(whole_gigabytes_without_alignment_when_there_is_no_better),
        cmocka_unit_test(free_refuses_what_was_not_taken),
        cmocka_unit_test(random_use_ends_where_it_began),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
