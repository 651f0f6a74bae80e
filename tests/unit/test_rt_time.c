// srcs: mgmt/rt/time_scale.c
// SPDX-License-Identifier: Apache-2.0
// Clock arithmetic of the management partition.
#include "mgmt/rt/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SECOND_NS 1000000000ull

static void scales_without_overflow(void **state)
{
    struct time_scale s = time_scale_make(2700038000ull, SECOND_NS);
    uint64_t year_ticks = 2700038000ull * 365 * 86400;
    uint64_t ns = time_scale_apply(s, year_ticks);
    uint64_t want = 365ull * 86400 * SECOND_NS;

    (void)state;
    assert_in_range(ns, want - want / 1000000000, want); // a billionth
    assert_int_equal(time_scale_apply(time_scale_make(1000000, SECOND_NS), 7), 7000);
}

// A deadline must have come when its interrupt comes, at any uptime: who finds it a nanosecond away waits for another.
static void deadlines_have_come_when_they_fire(void **state)
{
    static const uint64_t rates[] = {1000000, 25000001, 999999999, 2100000000, 2700038000ull, 5800000000ull};

    (void)state;
    for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct time_scale to_ns = time_scale_make(rates[i], SECOND_NS),
                          to_tsc = time_scale_make(SECOND_NS, rates[i]);

        for (uint64_t ns = 1; ns < 365ull * 86400 * SECOND_NS; ns = ns * 3 + 7) {
            uint64_t tsc = time_scale_reach(to_tsc, to_ns, ns), got = time_scale_apply(to_ns, tsc);

            assert_true(got >= ns);
            assert_true(got - ns <=
                        3 * (SECOND_NS / rates[i] + 1)); // and is not late by more than its rounding
        }
    }
}

static void small_corrections_are_slewed(void **state)
{
    struct time_wall w = {0};
    int64_t base = 1800000000000000ll;

    (void)state;
    time_wall_set(&w, 0, base);
    assert_int_equal(time_wall_get(&w, SECOND_NS), base + 1000000);
    time_wall_set(&w, SECOND_NS, base + 1000000 + 10000); // 10 ms ahead
    assert_int_equal(time_wall_get(&w, SECOND_NS), base + 1000000);
    assert_int_equal(time_wall_get(&w, 2 * SECOND_NS), base + 2000000 + 5000);
    assert_int_equal(time_wall_get(&w, 3 * SECOND_NS), base + 3000000 + 10000);
    assert_int_equal(time_wall_get(&w, 9 * SECOND_NS), base + 9000000 + 10000);
}

static void never_runs_backwards_on_a_slew(void **state)
{
    struct time_wall w = {0};
    int64_t last = 0;

    (void)state;
    time_wall_set(&w, 0, 1800000000000000ll);
    time_wall_set(&w, SECOND_NS, 1800000000000000ll + 500000); // half a second behind
    for (uint64_t ns = SECOND_NS; ns < 200 * SECOND_NS; ns += SECOND_NS / 3) {
        int64_t now = time_wall_get(&w, ns);

        assert_true(now > last);
        last = now;
    }
    assert_in_range(time_wall_get(&w, 201 * SECOND_NS), 1800000000000000ll + 200500000 - 2,
                    1800000000000000ll + 200500000);
}

static void large_corrections_step(void **state)
{
    struct time_wall w = {0};

    (void)state;
    time_wall_set(&w, 0, 1700000000000000ll);
    time_wall_set(&w, SECOND_NS, 1800000000000000ll);
    assert_int_equal(time_wall_get(&w, SECOND_NS), 1800000000000000ll);
}

static void reader_behind_the_writer(void **state)
{
    struct time_wall w = {0};

    (void)state;
    time_wall_set(&w, 5 * SECOND_NS, 1800000000000000ll);
    assert_int_equal(time_wall_get(&w, 4 * SECOND_NS), 1800000000000000ll - 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scales_without_overflow),
        cmocka_unit_test(small_corrections_are_slewed),
        cmocka_unit_test(never_runs_backwards_on_a_slew),
        cmocka_unit_test(large_corrections_step),
        cmocka_unit_test(reader_behind_the_writer),
        cmocka_unit_test(deadlines_have_come_when_they_fire),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
