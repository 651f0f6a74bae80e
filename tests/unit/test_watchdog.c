// srcs: hv/watchdog.c tests/unit/fake_virt.c
// SPDX-License-Identifier: Apache-2.0
// Watchdogs: whose processor looks when, and what ends the node.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "hv/cpu.h"
#include "hv/exit.h"
#include "hv/watchdog.h"
#include "tests/unit/fake_virt.h"

#define HZ 1000ull // ticks a second

struct cpu cpus[HV_MAX_CPUS];
uint32_t cpu_count = 2;
uint64_t host_tsc_hz = HZ;
const char *const exit_reason_names[EXIT_REASON_COUNT] = {[0] = "none"};

static uint64_t now = 1;
static struct vp vps[2];
static jmp_buf ended;
static char record[256];

uint64_t host_tsc(void)
{
    return now;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    (void)level;
    va_start(ap, fmt);
    vsnprintf(record, sizeof(record), fmt, ap);
    va_end(ap);
}

void panic(const char *fmt, ...)
{
    (void)fmt;
    longjmp(ended, 1);
}

static int setup(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        vps[i] = (struct vp){.index = i, .cpu = i};
        virt->vp_init(&vps[i], NULL);
        watchdog_set(&vps[i], 0);
    }
    record[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        virt->vp_fini(&vps[i]);
    }
    return 0;
}

// Looks on processor `cpu` at `at`. Returns when it has to look again, 0 if the node ended.
static uint64_t look(uint32_t cpu, uint64_t at)
{
    now = at;
    return setjmp(ended) != 0 ? 0 : watchdog_check(cpu, now);
}

static void test_off(void **state)
{
    (void)state;
    assert_true(look(0, 1) == ~0ull);
    watchdog_set(&vps[0], 10);
    watchdog_set(&vps[0], 0);
    assert_true(look(0, 1000 * HZ) == ~0ull);
}

static void test_each_call_counts_anew(void **state)
{
    (void)state;
    now = 5 * HZ;
    watchdog_set(&vps[0], 10);
    assert_int_equal(look(0, 14 * HZ), 15 * HZ);
    watchdog_set(&vps[0], 10);
    assert_int_equal(look(0, 15 * HZ), 24 * HZ);
}

static void test_runs_out(void **state)
{
    (void)state;
    now = 0;
    watchdog_set(&vps[0], 10);
    watchdog_set(&vps[1], 12);
    assert_int_equal(look(0, 10 * HZ - 1), 10 * HZ);
    assert_int_equal(look(0, 10 * HZ), 0);
    assert_non_null(strstr(record, "VP 0, processor 0: silent for 10 s"));
    assert_true(fake_vp(&vps[0])->loaded); // its registers can be shown here
}

// Another processor leaves the owner the first second.
static void test_other_processor_looks_later(void **state)
{
    (void)state;
    now = 0;
    watchdog_set(&vps[1], 10);
    assert_int_equal(look(0, 10 * HZ), 11 * HZ);
    assert_int_equal(look(0, 11 * HZ), 0);
    assert_non_null(strstr(record, "VP 1, processor 1: silent for 11 s"));
    assert_false(fake_vp(&vps[1])->loaded);
}

// Who looks too late does not blame the VP, but only once.
static void test_the_machine_stood_still(void **state)
{
    (void)state;
    now = 0;
    watchdog_set(&vps[0], 10);
    assert_int_equal(look(0, 100 * HZ), 101 * HZ);
    assert_int_equal(look(0, 101 * HZ), 0);
    teardown(NULL);
    setup(NULL);
    now = 0;
    watchdog_set(&vps[0], 10);
    assert_int_equal(look(0, 100 * HZ), 101 * HZ);
    watchdog_set(&vps[0], 10);
    assert_int_equal(look(0, 101 * HZ), 110 * HZ);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_off),
        CASE(test_each_call_counts_anew),
        CASE(test_runs_out),
        CASE(test_other_processor_looks_later),
        CASE(test_the_machine_stood_still),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
