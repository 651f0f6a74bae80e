// srcs:
// SPDX-License-Identifier: Apache-2.0
// The ring between the planes: order, full and empty, wrap of the counters, two threads.
#include "mgmt/spsc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#define COUNT 200000u

static void full_and_empty(void **state)
{
    uint32_t slots[4], v;
    struct spsc r;

    (void)state;
    spsc_init(&r, slots, 4, sizeof(uint32_t));
    assert_false(spsc_pop(&r, &v));
    for (v = 0; v < 4; v++) {
        assert_true(spsc_push(&r, &v));
    }
    assert_false(spsc_push(&r, &v));
    assert_int_equal(spsc_count(&r), 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(spsc_pop(&r, &v));
        assert_int_equal(v, i);
    }
    assert_false(spsc_pop(&r, &v));
}

static void counters_wrap(void **state)
{
    uint32_t slots[4], v;
    struct spsc r;

    (void)state;
    spsc_init(&r, slots, 4, sizeof(uint32_t));
    r.head = r.tail = UINT32_MAX - 1;
    for (v = 0; v < 4; v++) {
        assert_true(spsc_push(&r, &v));
    }
    assert_false(spsc_push(&r, &v));
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(spsc_pop(&r, &v));
        assert_int_equal(v, i);
    }
    assert_int_equal(spsc_count(&r), 0);
}

struct element {
    uint64_t a, b, c;
};

static void *produce(void *arg)
{
    for (uint64_t i = 0; i < COUNT; i++) {
        struct element e = {i, ~i, i * 3};

        while (!spsc_push(arg, &e)) {
            sched_yield();
        }
    }
    return NULL;
}

static void two_threads(void **state)
{
    static struct element slots[64];
    static struct spsc r;
    pthread_t thread;

    (void)state;
    spsc_init(&r, slots, 64, sizeof(struct element));
    assert_int_equal(pthread_create(&thread, NULL, produce, &r), 0);
    for (uint64_t i = 0; i < COUNT; i++) {
        struct element e;

        while (!spsc_pop(&r, &e)) {
            sched_yield();
        }
        assert_true(e.a == i && e.b == ~i && e.c == i * 3);
    }
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_and_empty),
        cmocka_unit_test(counters_wrap),
        cmocka_unit_test(two_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
