// srcs: hv/mgmt_tables.c
// SPDX-License-Identifier: Apache-2.0
// The management partition's first page tables: what each address may do, and a memory that is too small.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "hv/mgmt_tables.h"

#define ARENA_PAGES 64
#define ARENA_BASE 0x40f00000ull
#define MGMT_BASE 0x40a00000ull
#define MGMT_VBASE 0x400000ull
#define TEXT (MGMT_VBASE)
#define RODATA (MGMT_VBASE + 0x5000)
#define DATA (MGMT_VBASE + 0x7000)
#define DATA_SIZE 0x4f8123ull // over 2 MiB boundaries
#define HYPERCALL 0x40f3f000ull
#define DIRECT_END (4ull << 30)

#define WRITE BIT(1)
#define LARGE BIT(7)
#define NX BIT(63)
#define ADDR 0x000ffffffffff000ull

static struct arena arena;
static struct boot_info info;
static uint64_t cr3;

static int setup(void **state)
{
    (void)state;
    arena = (struct arena){
        .base = ARENA_BASE,
        .next = ARENA_BASE,
        .end = ARENA_BASE + ARENA_PAGES * PAGE_SIZE,
        .va = calloc(ARENA_PAGES, PAGE_SIZE),
    };
    memset(&info, 0, sizeof(info));
    info.mgmt_base = MGMT_BASE;
    info.mgmt_vbase = MGMT_VBASE;
    info.mgmt_segment_count = 3;
    info.mgmt_segments[0] = (struct boot_segment){TEXT, 0x4321, BOOT_SEGMENT_READ | BOOT_SEGMENT_EXEC, 0};
    info.mgmt_segments[1] = (struct boot_segment){RODATA, 0x1001, BOOT_SEGMENT_READ, 0};
    info.mgmt_segments[2] = (struct boot_segment){DATA, DATA_SIZE, BOOT_SEGMENT_READ | BOOT_SEGMENT_WRITE, 0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(arena.va);
    return 0;
}

static bool build(bool pages_1g)
{
    const struct mgmt_tables_plan plan = {
        .direct_end = DIRECT_END,
        .hypercall_page = HYPERCALL,
        .pages_1g = pages_1g,
    };

    cr3 = mgmt_tables_build(&arena, &info, &plan);
    return cr3 != 0;
}

// The entry that maps `va`, 0 if there is none, and the address it leads to.
static uint64_t entry_of(uint64_t va, uint64_t *pa)
{
    uint64_t at = cr3;

    for (unsigned shift = 39;; shift -= 9) {
        uint64_t entry = ((uint64_t *)arena_va(&arena, at))[va >> shift & 511];

        if ((entry & 1) == 0 || shift == 12 || (entry & LARGE) != 0) {
            *pa = (entry & ADDR) + (va & (BIT(shift) - 1));
            return entry & 1 ? entry : 0;
        }
        assert_true((entry & (WRITE | NX)) == WRITE); // rights are the last entry's matter
        at = entry & ADDR;
    }
}

static void expect(uint64_t va, uint64_t pa, uint64_t rights)
{
    uint64_t got;
    uint64_t entry = entry_of(va, &got);

    if (entry == 0 || got != pa || (entry & (WRITE | NX)) != rights) {
        fail_msg("%#llx: entry %#llx", (unsigned long long)va, (unsigned long long)entry);
    }
}

static void expect_nothing(uint64_t va)
{
    uint64_t pa;

    assert_int_equal(entry_of(va, &pa), 0);
}

static void expect_image(void)
{
    uint64_t pa = MGMT_BASE - MGMT_VBASE;

    expect(TEXT, TEXT + pa, 0);
    expect(TEXT + 0x4fff, TEXT + 0x4fff + pa, 0);
    expect(RODATA, RODATA + pa, NX);
    expect(RODATA + 0x1fff, RODATA + 0x1fff + pa, NX);
    for (uint64_t va = DATA; va < DATA + DATA_SIZE; va += 0x1000) {
        expect(va, va + pa, WRITE | NX);
    }
    expect_nothing(0);
    expect_nothing(TEXT - 1);
    expect_nothing(ALIGN_UP(DATA + DATA_SIZE, PAGE_SIZE));
}

static void expect_direct(void)
{
    for (uint64_t at = 0; at < DIRECT_END; at += PAGE_SIZE) {
        bool constant = at >= MGMT_BASE && at < MGMT_BASE + (DATA - TEXT);
        uint64_t rights = constant ? NX : at == HYPERCALL ? 0 : WRITE | NX;

        expect(MGMT_DIRECT_BASE + at, at, rights);
    }
    expect_nothing(MGMT_DIRECT_BASE + DIRECT_END);
}

static void test_pages_1g(void **state)
{
    (void)state;
    assert_true(build(true));
    expect_image();
    expect_direct();
    assert_true(arena.next <= ARENA_BASE + 12 * PAGE_SIZE); // large pages where they fit
}

static void test_pages_2m(void **state)
{
    (void)state;
    assert_true(build(false));
    expect_image();
    expect_direct();
}

// Nothing is both written and executed, wherever one looks.
static void test_no_address_is_both(void **state)
{
    (void)state;
    assert_true(build(true));
    for (unsigned page = 0; page < (arena.next - ARENA_BASE) / PAGE_SIZE; page++) {
        const uint64_t *table = (const uint64_t *)(const void *)(arena.va + page * PAGE_SIZE);

        for (unsigned i = 0; i < 512; i++) {
            bool leads_on = (table[i] & ADDR) >= ARENA_BASE && (table[i] & ADDR) < arena.next &&
                            (table[i] & (LARGE | NX)) == 0;

            assert_true((table[i] & 1) == 0 || leads_on || (table[i] & WRITE) == 0 || (table[i] & NX) != 0);
        }
    }
}

static void test_too_small(void **state)
{
    uint64_t end;

    assert_true(build(true));
    end = arena.next;
    for (uint64_t pages = 0; ARENA_BASE + pages * PAGE_SIZE < end; pages++) {
        teardown(state);
        setup(state);
        arena.end = ARENA_BASE + pages * PAGE_SIZE;
        assert_false(build(true));
        assert_true(arena.next <= arena.end);
    }
}

static void test_take(void **state)
{
    (void)state;
    assert_int_equal(arena_take(&arena, 1), ARENA_BASE);
    assert_int_equal(arena_take(&arena, PAGE_SIZE + 1), ARENA_BASE + PAGE_SIZE);
    assert_int_equal(arena_take(&arena, (ARENA_PAGES - 3) * PAGE_SIZE + 1), 0);
    assert_int_equal(arena_take(&arena, (ARENA_PAGES - 3) * PAGE_SIZE), ARENA_BASE + 3 * PAGE_SIZE);
    assert_int_equal(arena_take(&arena, 1), 0);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_pages_1g),  CASE(test_pages_2m), CASE(test_no_address_is_both),
        CASE(test_too_small), CASE(test_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
