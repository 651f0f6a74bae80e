// srcs: hv/sched.c hv/runqueue.c hv/balance.c hv/share.c hv/timer.c tests/unit/fake_machine.c
// SPDX-License-Identifier: Apache-2.0
// The scheduler on processors in software: weights, caps and reservations, within 2 percentage points of a processor.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include "hv/cpu.h"
#include "hv/share.h"
#include "tests/unit/fake_machine.h"

#define SECOND (1000 * MACHINE_MS)
#define NO_CAP SHARE_UNIT
#define PERCENT(n) (SHARE_UNIT * (n) / 100)
#define TOLERANCE 20 // per mille

static int setup_1(void **state)
{
    (void)state;
    machine_start(1);
    return 0;
}

static int setup_2(void **state)
{
    (void)state;
    machine_start(2);
    return 0;
}

static int setup_4(void **state)
{
    (void)state;
    machine_start(4);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    machine_stop();
    return 0;
}

// What the VP got of a processor, per mille, in the last `ticks`.
static int share_of(const struct vp *vp, uint64_t ticks)
{
    return (int)(machine_work(vp) * 1000 / ticks);
}

static void expect_share(unsigned line, const struct vp *vp, uint64_t ticks, int low, int high)
{
    int got = share_of(vp, ticks);

    if (got < low - TOLERANCE || got > high + TOLERANCE) {
        fail_msg("line %u: %d per mille, wanted %d to %d", line, got, low, high);
    }
}

#define EXPECT_SHARE(vp, ticks, want) expect_share(__LINE__, (vp), (ticks), (want), (want))

static void settle_and_count(uint64_t ticks)
{
    machine_run(200 * MACHINE_MS);
    machine_count();
    machine_run(ticks);
}

// Spinning guests with these weights get these shares, per mille of a processor.
static void expect_weights(const uint32_t *weights, const int *shares, unsigned n)
{
    struct vp *vp[MACHINE_VPS];

    for (unsigned i = 0; i < n; i++) {
        vp[i] = machine_guest(weights[i], NO_CAP, 0);
    }
    settle_and_count(2 * SECOND);
    for (unsigned i = 0; i < n; i++) {
        EXPECT_SHARE(vp[i], 2 * SECOND, shares[i]);
    }
}

#define EXPECT_WEIGHTS(n, w, s) expect_weights((const uint32_t[n])w, (const int[n])s, n)
#define LIST(...)                                                                                            \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

// --- weights ---

static void test_weights_1(void **state)
{
    (void)state;
    EXPECT_WEIGHTS(3, LIST(100, 200, 700), LIST(100, 200, 700));
}

static void test_equal_1(void **state)
{
    (void)state;
    EXPECT_WEIGHTS(5, LIST(100, 100, 100, 100, 100), LIST(200, 200, 200, 200, 200));
}

// What a spinning VP does not run it waits; one alone never does.
static void test_waiting_is_counted(void **state)
{
    struct vp *vp[4];
    uint64_t before[4];

    (void)state;
    vp[0] = machine_guest(100, NO_CAP, 0);
    machine_run(SECOND);
    assert_true(vp[0]->wait_tsc < SECOND / 100);
    for (unsigned i = 1; i < 4; i++) {
        vp[i] = machine_guest(100, NO_CAP, 0);
    }
    machine_run(SECOND);
    for (unsigned i = 0; i < 4; i++) {
        before[i] = vp[i]->wait_tsc;
    }
    machine_run(2 * SECOND);
    for (unsigned i = 0; i < 4; i++) {
        int waited = (int)((vp[i]->wait_tsc - before[i]) * 1000 / (2 * SECOND));

        assert_true(waited > 750 - TOLERANCE && waited < 750 + TOLERANCE);
    }
}

static void test_extreme_1(void **state)
{
    (void)state;
    EXPECT_WEIGHTS(2, LIST(1, 10000), LIST(0, 1000));
}

// Three on two processors: somebody has to move all the time.
static void test_equal_2(void **state)
{
    (void)state;
    EXPECT_WEIGHTS(3, LIST(100, 100, 100), LIST(667, 667, 667));
}

static void test_weights_2(void **state)
{
    (void)state;
    EXPECT_WEIGHTS(4, LIST(100, 200, 300, 400), LIST(200, 400, 600, 800));
}

static void test_weights_2_other_order(void **state)
{
    (void)state;
    EXPECT_WEIGHTS(4, LIST(400, 300, 200, 100), LIST(800, 600, 400, 200));
}

// One VP cannot have more than a processor; the others share what is left.
static void test_more_than_a_processor_2(void **state)
{
    (void)state;
    EXPECT_WEIGHTS(3, LIST(1000, 100, 100), LIST(1000, 500, 500));
}

static void test_little_weight_2(void **state)
{
    (void)state;
    EXPECT_WEIGHTS(3, LIST(1, 100, 100), LIST(10, 995, 995));
}

static void test_many_4(void **state)
{
    (void)state;
    EXPECT_WEIGHTS(10, LIST(100, 100, 100, 100, 100, 100, 100, 100, 200, 200),
                   LIST(333, 333, 333, 333, 333, 333, 333, 333, 667, 667));
}

// Who ran alone for long is not punished when others come, and nobody is starved by one who comes late.
static void test_history_2(void **state)
{
    struct vp *a = machine_guest(1, NO_CAP, 0), *b, *c;

    (void)state;
    machine_run(3 * SECOND); // far ahead in virtual time
    b = machine_guest(100, NO_CAP, 0);
    machine_run(3 * SECOND);
    c = machine_guest(100, NO_CAP, 0);
    settle_and_count(SECOND);
    EXPECT_SHARE(b, SECOND, 995);
    EXPECT_SHARE(c, SECOND, 995);
    machine_delete(b);
    settle_and_count(SECOND);
    EXPECT_SHARE(a, SECOND, 1000);
    b = machine_guest(1, NO_CAP, 0);
    settle_and_count(SECOND);
    EXPECT_SHARE(a, SECOND, 500);
    EXPECT_SHARE(b, SECOND, 500);
    EXPECT_SHARE(c, SECOND, 1000);
}

// Two processors whose virtual times have gone apart share fairly at once, whoever is ahead.
static void test_aligned_2(void **state)
{
    struct vp *vp[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        vp[0] = machine_guest(i % 2 == 0 ? 1 : 10000, NO_CAP, 0); // alone on one of them
        machine_run(3 * SECOND);
        machine_delete(vp[0]);
        for (unsigned k = 0; k < 3; k++) {
            vp[k] = machine_guest(100, NO_CAP, 0);
        }
        settle_and_count(SECOND);
        for (unsigned k = 0; k < 3; k++) {
            EXPECT_SHARE(vp[k], SECOND, 667);
            machine_delete(vp[k]);
        }
    }
}

// Nothing idles while somebody waits.
static void test_no_idling_4(void **state)
{
    struct vp *vp[6];
    uint64_t sum = 0;

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        vp[i] = machine_guest(100 + 100 * i, NO_CAP, 0);
        if (i < 2) {
            machine_load(vp[i], (3 + i) * MACHINE_MS, 5 * MACHINE_MS);
        }
    }
    settle_and_count(SECOND);
    for (unsigned i = 0; i < 6; i++) {
        sum += machine_work(vp[i]);
    }
    assert_in_range(sum, 4 * SECOND - SECOND / 50, 4 * SECOND);
}

// A VP that sleeps most of the time runs soon after it wakes, and has what it wants.
static void test_sleeper_1(void **state)
{
    struct vp *sleeper = machine_guest(100, NO_CAP, 0);

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        (void)machine_guest(100, NO_CAP, 0);
    }
    machine_load(sleeper, MACHINE_MS / 2, 9500 * MACHINE_MS / 1000);
    settle_and_count(SECOND);
    EXPECT_SHARE(sleeper, SECOND, 50);
    assert_in_range(machine_latency(sleeper), 0, MACHINE_MS);
}

// The data plane takes what it needs, the rest is shared.
static void test_data_plane_2(void **state)
{
    struct vp *vp[3];

    (void)state;
    machine_load(machine_data_plane(), MACHINE_MS / 5, MACHINE_MS * 4 / 5);
    for (unsigned i = 0; i < 3; i++) {
        vp[i] = machine_guest(100, NO_CAP, 0);
    }
    settle_and_count(2 * SECOND);
    EXPECT_SHARE(machine_data_plane(), 2 * SECOND, 200);
    assert_int_equal(machine_latency(machine_data_plane()), 0);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_SHARE(vp[i], 2 * SECOND, 600);
    }
}

// --- caps ---

static void test_cap_alone_1(void **state)
{
    static const unsigned caps[] = {1, 5, 10, 33, 50, 75, 99};

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(caps); i++) {
        struct vp *vp = machine_guest(100, PERCENT(caps[i]), 0);

        settle_and_count(SECOND);
        EXPECT_SHARE(vp, SECOND, (int)(10 * caps[i]));
        machine_delete(vp);
    }
}

// Each VP is capped for itself, wherever it runs; what they leave goes to who has no cap.
static void test_caps_2(void **state)
{
    struct vp *a = machine_guest(10000, PERCENT(30), 0), *b = machine_guest(100, PERCENT(60), 0);
    struct vp *c = machine_guest(100, NO_CAP, 0), *d = machine_guest(100, NO_CAP, 0);

    (void)state;
    settle_and_count(2 * SECOND);
    EXPECT_SHARE(a, 2 * SECOND, 300);
    expect_share(__LINE__, b, 2 * SECOND, 540, 600);
    expect_share(__LINE__, c, 2 * SECOND, 550, 590);
    expect_share(__LINE__, d, 2 * SECOND, 550, 590);
}

static void test_cap_and_two_2(void **state)
{
    struct vp *a = machine_guest(10000, PERCENT(30), 0), *b = machine_guest(100, NO_CAP, 0);
    struct vp *c = machine_guest(100, NO_CAP, 0);

    (void)state;
    settle_and_count(SECOND);
    EXPECT_SHARE(a, SECOND, 300);
    EXPECT_SHARE(b, SECOND, 850);
    EXPECT_SHARE(c, SECOND, 850);
}

// It runs and sleeps: the cap holds in each period, time that was not used is not saved.
static void test_cap_and_sleep_1(void **state)
{
    struct vp *vp = machine_guest(100, PERCENT(20), 0);

    (void)state;
    machine_load(vp, 3 * MACHINE_MS, 27 * MACHINE_MS);
    settle_and_count(SECOND);
    expect_share(__LINE__, vp, SECOND, 90, 110);
    machine_load(vp, 100 * MACHINE_MS, 400 * MACHINE_MS);
    settle_and_count(3 * SECOND);
    expect_share(__LINE__, vp, 3 * SECOND, 90, 120);
}

static void test_cap_changes_1(void **state)
{
    struct vp *vp = machine_guest(100, NO_CAP, 0);

    (void)state;
    settle_and_count(SECOND);
    EXPECT_SHARE(vp, SECOND, 1000);
    machine_limits(vp, PERCENT(25), 0);
    settle_and_count(SECOND);
    EXPECT_SHARE(vp, SECOND, 250);
    machine_limits(vp, PERCENT(50), 0);
    settle_and_count(SECOND);
    EXPECT_SHARE(vp, SECOND, 500);
    machine_limits(vp, NO_CAP, 0);
    settle_and_count(SECOND);
    EXPECT_SHARE(vp, SECOND, 1000);
}

// --- reservations ---

static void test_reservation_1(void **state)
{
    struct vp *vp = machine_guest(1, NO_CAP, PERCENT(50)), *others[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        others[i] = machine_guest(10000, NO_CAP, 0);
    }
    settle_and_count(2 * SECOND);
    EXPECT_SHARE(vp, 2 * SECOND, 500);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_SHARE(others[i], 2 * SECOND, 125);
    }
}

// Whoever has more by weight than it reserved has that, and not both.
static void test_reservation_below_weight_1(void **state)
{
    struct vp *vp = machine_guest(100, NO_CAP, PERCENT(10)), *other = machine_guest(100, NO_CAP, 0);

    (void)state;
    settle_and_count(2 * SECOND);
    EXPECT_SHARE(vp, 2 * SECOND, 500);
    EXPECT_SHARE(other, 2 * SECOND, 500);
}

static void test_reservation_and_cap_1(void **state)
{
    struct vp *vp = machine_guest(100, PERCENT(40), PERCENT(40));

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        (void)machine_guest(10000, NO_CAP, 0);
    }
    settle_and_count(2 * SECOND);
    EXPECT_SHARE(vp, 2 * SECOND, 400);
}

static void test_reservation_and_two_2(void **state)
{
    struct vp *a = machine_guest(1, NO_CAP, PERCENT(50)), *b = machine_guest(10000, NO_CAP, 0);
    struct vp *c = machine_guest(10000, NO_CAP, 0);

    (void)state;
    settle_and_count(SECOND);
    // When it has had its own, it runs on until somebody comes over: at most a slice in each period.
    expect_share(__LINE__, a, SECOND, 500, 560);
    expect_share(__LINE__, b, SECOND, 720, 750);
    expect_share(__LINE__, c, SECOND, 720, 750);
}

static void test_reservations_2(void **state)
{
    struct vp *a = machine_guest(1, NO_CAP, PERCENT(80)), *b = machine_guest(1, NO_CAP, PERCENT(50));
    struct vp *c = machine_guest(1, NO_CAP, PERCENT(30));

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        (void)machine_guest(10000, NO_CAP, 0);
    }
    settle_and_count(2 * SECOND);
    expect_share(__LINE__, a, 2 * SECOND, 800, 1000);
    expect_share(__LINE__, b, 2 * SECOND, 500, 700);
    expect_share(__LINE__, c, 2 * SECOND, 300, 500);
}

// A VP that sleeps finds its reservation when it wakes.
static void test_reservation_of_a_sleeper_2(void **state)
{
    struct vp *vp = machine_guest(1, NO_CAP, PERCENT(50));

    (void)state;
    machine_load(vp, 8 * MACHINE_MS, 12 * MACHINE_MS);
    for (unsigned i = 0; i < 5; i++) {
        (void)machine_guest(10000, NO_CAP, 0);
    }
    settle_and_count(2 * SECOND);
    expect_share(__LINE__, vp, 2 * SECOND, 390, 400);
    assert_in_range(machine_latency(vp), 0, MACHINE_MS);
}

// The control plane answers in time although guests have reserved the machine.
static void test_control_plane_1(void **state)
{
    struct vp *vp = machine_guest(10000, NO_CAP, PERCENT(90));

    (void)state;
    machine_load(machine_control_plane(), MACHINE_MS, 19 * MACHINE_MS);
    settle_and_count(2 * SECOND);
    EXPECT_SHARE(machine_control_plane(), 2 * SECOND, 50);
    expect_share(__LINE__, vp, 2 * SECOND, 930, 950);
}

// VPs without limits cost no more switches than slices ask for; those with limits a few a period.
static void test_switches_1(void **state)
{
    struct vp *vp = machine_guest(100, NO_CAP, 0);

    (void)state;
    settle_and_count(SECOND);
    assert_in_range(machine_switches(), 0, 2);
    machine_delete(vp);
    (void)machine_guest(100, PERCENT(50), PERCENT(10));
    settle_and_count(SECOND);
    assert_in_range(machine_switches(), 50, 110);
}

// --- anything ---

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(random_state >> 33) % n;
}

struct any {
    struct vp *vp;
    uint32_t cap, reserve;
    bool spins;
};

static void change_any(struct any *a)
{
    static const uint32_t weights[] = {1, 10, 50, 100, 100, 100, 200, 1000, 10000};

    if (a->vp != NULL) {
        machine_delete(a->vp);
        a->vp = NULL;
        if (random_below(3) == 0) {
            return;
        }
    }
    a->spins = random_below(3) != 0;
    a->cap = random_below(2) ? NO_CAP : PERCENT(5 + random_below(95));
    a->reserve = random_below(3) ? 0 : PERCENT(random_below(60));
    a->reserve = MIN(a->reserve, a->cap);
    a->vp = machine_guest(weights[random_below(ARRAY_LEN(weights))], a->cap, 0);
    if (share_fits(a->vp->partition, 1, a->reserve)) {
        machine_limits(a->vp, a->cap, a->reserve);
    } else {
        a->reserve = 0;
    }
    if (!a->spins) {
        machine_load(a->vp, (1 + random_below(8000)) * (MACHINE_MS / 1000),
                     (1 + random_below(30000)) * (MACHINE_MS / 1000));
    }
}

// How many of a processor the spinning guests without a cap could use, and how much was used.
static void check_any(const struct any *any, unsigned n, uint64_t ticks)
{
    uint64_t used = machine_work(machine_data_plane()) + machine_work(machine_control_plane());
    unsigned greedy = 0;

    for (unsigned i = 0; i < n; i++) {
        if (any[i].vp == NULL) {
            continue;
        }
        used += machine_work(any[i].vp);
        greedy += any[i].spins && any[i].cap == NO_CAP;
        expect_share(__LINE__, any[i].vp, ticks,
                     any[i].spins ? (int)(any[i].reserve * 1000ull / SHARE_UNIT) : 0,
                     (int)(any[i].cap * 1000ull / SHARE_UNIT));
    }
    if (greedy >= cpu_count) {
        assert_in_range(used, cpu_count * (ticks - ticks / 100), cpu_count * ticks);
    }
}

static void run_anything(uint64_t seed)
{
    struct any any[12] = {0};

    random_state = seed;
    machine_load(machine_data_plane(), MACHINE_MS / 20, MACHINE_MS);
    machine_load(machine_control_plane(), MACHINE_MS / 2, 17 * MACHINE_MS);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 4; i++) {
            change_any(&any[random_below(ARRAY_LEN(any))]);
        }
        settle_and_count(SECOND);
        check_any(any, ARRAY_LEN(any), SECOND);
    }
}

static void test_anything_1(void **state)
{
    (void)state;
    run_anything(1);
}

static void test_anything_2(void **state)
{
    (void)state;
    run_anything(2);
}

static void test_anything_4(void **state)
{
    (void)state;
    run_anything(3);
}

// --- admission ---

static void test_admission_2(void **state)
{
    struct vp *a = machine_guest(100, NO_CAP, PERCENT(60));

    (void)state;
    assert_true(share_fits(a->partition, 2, PERCENT(90))); // a tenth is management's
    assert_false(share_fits(a->partition, 2, PERCENT(91)));
    assert_false(share_fits(a->partition, 1, PERCENT(91)));
    assert_false(share_fits(a->partition, 3, PERCENT(60))); // no processor has room for the third
    assert_false(share_fits(a->partition, 3, PERCENT(46)));
    assert_true(share_fits(a->partition, 4, PERCENT(45)));
    assert_true(share_fits(a->partition, 8, 0));
    (void)machine_guest(100, NO_CAP, PERCENT(30));
    assert_true(share_fits(a->partition, 1, PERCENT(90)));
    assert_true(share_fits(a->partition, 2, PERCENT(60)));
    assert_false(share_fits(a->partition, 2, PERCENT(61)));
}

#define CASE(fn, n) cmocka_unit_test_setup_teardown(fn, setup_##n, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_weights_1, 1),
        CASE(test_equal_1, 1),
        CASE(test_waiting_is_counted, 1),
        CASE(test_extreme_1, 1),
        CASE(test_equal_2, 2),
        CASE(test_weights_2, 2),
        CASE(test_weights_2_other_order, 2),
        CASE(test_more_than_a_processor_2, 2),
        CASE(test_little_weight_2, 2),
        CASE(test_many_4, 4),
        CASE(test_history_2, 2),
        CASE(test_aligned_2, 2),
        CASE(test_no_idling_4, 4),
        CASE(test_sleeper_1, 1),
        CASE(test_data_plane_2, 2),
        CASE(test_cap_alone_1, 1),
        CASE(test_caps_2, 2),
        CASE(test_cap_and_two_2, 2),
        CASE(test_cap_and_sleep_1, 1),
        CASE(test_cap_changes_1, 1),
        CASE(test_reservation_1, 1),
        CASE(test_reservation_below_weight_1, 1),
        CASE(test_reservation_and_cap_1, 1),
        CASE(test_reservation_and_two_2, 2),
        CASE(test_reservations_2, 2),
        CASE(test_reservation_of_a_sleeper_2, 2),
        CASE(test_control_plane_1, 1),
        CASE(test_switches_1, 1),
        CASE(test_anything_1, 1),
        CASE(test_anything_2, 2),
        CASE(test_anything_4, 4),
        CASE(test_admission_2, 2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
