// srcs: hv/log_limit.c
// SPDX-License-Identifier: Apache-2.0
// How much a partition may write to the log: bursts, rate, and what is said about the rest.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "hv/cpu.h"
#include "hv/log_limit.h"

#define HZ 1000000ull
#define INTERVAL (LOG_LIMIT_SECONDS * HZ)

uint64_t host_tsc_hz = HZ;
static uint64_t now;
static char said[128];
static unsigned lines;
static struct log_limit limit;

uint64_t host_tsc(void)
{
    return now;
}

void spin_wait(const spinlock_t *l, uint32_t ticket)
{
    (void)l;
    fail_msg("the lock is taken (%u)", ticket);
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    (void)level;
    va_start(ap, fmt);
    vsnprintf(said, sizeof(said), fmt, ap);
    va_end(ap);
    lines++;
}

static int setup(void **state)
{
    (void)state;
    now = 123 * HZ;
    lines = 0;
    limit = (struct log_limit){0};
    return 0;
}

static unsigned take(unsigned times)
{
    unsigned allowed = 0;

    for (unsigned i = 0; i < times; i++) {
        allowed += log_limit_take(&limit, 7);
    }
    return allowed;
}

static void test_burst(void **state)
{
    (void)state;
    assert_int_equal(take(1000), LOG_LIMIT_BURST);
    assert_int_equal(lines, 0);
}

static void test_one_more_each_interval(void **state)
{
    (void)state;
    assert_int_equal(take(1000), LOG_LIMIT_BURST);
    now += INTERVAL - 1;
    assert_int_equal(take(1), 0);
    now += 1;
    assert_int_equal(take(1000), 1);
    assert_string_equal(said, "partition 7: 993 reports left out");
    now += 3 * INTERVAL;
    assert_int_equal(take(1000), 3);
    assert_string_equal(said, "partition 7: 999 reports left out");
    assert_int_equal(lines, 2);
}

static void test_rests_fill_it_and_no_more(void **state)
{
    (void)state;
    (void)take(1000);
    now += 1000 * INTERVAL;
    assert_int_equal(take(1000), LOG_LIMIT_BURST);
}

// A slow trickle never runs into the limit, and half intervals are not lost.
static void test_trickle(void **state)
{
    unsigned allowed = 0;

    (void)state;
    (void)take(1000);
    for (unsigned i = 0; i < 100; i++) {
        now += INTERVAL / 2;
        allowed += take(1);
    }
    assert_int_equal(allowed, 50);
}

static void test_end(void **state)
{
    (void)state;
    log_limit_end(&limit, 7);
    assert_int_equal(lines, 0);
    (void)take(LOG_LIMIT_BURST + 5);
    log_limit_end(&limit, 7);
    assert_string_equal(said, "partition 7: 5 reports left out at its end");
}

#define CASE(fn) cmocka_unit_test_setup(fn, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_burst),
        CASE(test_one_more_each_interval),
        CASE(test_rests_fill_it_and_no_more),
        CASE(test_trickle),
        CASE(test_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
