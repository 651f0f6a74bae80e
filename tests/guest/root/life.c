// SPDX-License-Identifier: Apache-2.0
// Life of partitions: several at once, suspended, deleted while they run, looked at while they run.
#include "tests/guest/root/tests.h"

#include "mgmt/plat.h"

static struct guest guests[SLOTS];

static uint64_t counter(struct guest *g)
{
    return __atomic_load_n(&guest_args(g)->counter, __ATOMIC_RELAXED);
}

static void let_run(uint64_t ms)
{
    (void)serve_guests(ms);
}

static bool moves(struct guest *g)
{
    uint64_t before = counter(g);

    for (unsigned i = 0; i < TEST_MS / 5 && counter(g) == before; i++) {
        let_run(5);
    }
    return counter(g) != before;
}

static bool stands(struct guest *g)
{
    uint64_t before = counter(g);

    let_run(20);
    return counter(g) == before;
}

static bool start_spinning(struct guest *g, unsigned slot, uint32_t vps)
{
    return guest_build(g, slot, test_number("spin"), vps, 1) && guest_start(g) && WANT(moves(g));
}

// Guests with the same registers and different contents, on the same processors.
static bool run_together(const char *name)
{
    bool ok = true;

    for (unsigned i = 0; i < SLOTS; i++) {
        ok = guest_build(&guests[i], i, test_number(name), 2, i + 1) && ok;
    }
    for (unsigned i = 0; i < SLOTS && ok; i++) {
        ok = guest_start(&guests[i]);
    }
    ok = ok && WANT(serve_guests(3 * TEST_MS));
    for (unsigned i = 0; i < SLOTS; i++) {
        if (guests[i].failed_line != 0) {
            ok = complain(__LINE__, "state kept; the guest's check failed in line", guests[i].failed_line);
        }
        ok = guest_tear_down(&guests[i]) && ok;
    }
    return ok;
}

bool root_state_switch(void)
{
    bool ok = run_together("keep_state");

    return run_together("keep_avx") && ok;
}

// A guest that does whatever it can does it to itself alone: next to it another keeps its state and ends well.
static bool beside_chaos(uint32_t seed)
{
    bool ok = guest_build(&guests[0], 0, test_number("chaos"), 2, seed) &&
              guest_build(&guests[1], 1, test_number("keep_state"), 2, seed) && guest_start(&guests[0]) &&
              guest_start(&guests[1]);

    say_seed("chaos", seed);
    for (unsigned i = 0; i < TEST_MS / 20 && ok && !guests[1].done; i++) {
        let_run(20);
    }
    ok = ok && WANT(guests[1].done) && WANT(guests[1].failed_line == 0) &&
         WANT(guests[1].last_message == HV_MSG_IO_PORT);
    ok = guest_tear_down(&guests[0]) && ok;
    return guest_tear_down(&guests[1]) && ok;
}

bool root_neighbours(void)
{
    bool ok = true;

    for (uint32_t i = 0; i < 3; i++) {
        ok = beside_chaos(first_seed() + 100 + i) && ok;
    }
    return ok;
}

bool root_fair_share(void)
{
    bool ok = true;
    uint64_t least = ~0ull, most = 0;

    for (unsigned i = 0; i < SLOTS; i++) {
        ok = guest_build(&guests[i], i, test_number("spin"), 2, 1) && ok;
    }
    for (unsigned i = 0; i < SLOTS && ok; i++) {
        ok = guest_start(&guests[i]);
    }
    let_run(300);
    for (unsigned i = 0; i < SLOTS; i++) {
        least = MIN(least, counter(&guests[i]));
        most = MAX(most, counter(&guests[i]));
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        ok = guest_tear_down(&guests[i]) && ok;
    }
    return ok && WANT(least > 0) &&
           (least * 20 > most || complain(__LINE__, "shares alike; most is more by", most / least));
}

static uint64_t state_of(struct guest *g, uint32_t vp)
{
    struct hv_x_counters_out out;

    return must(hvif_counters(g->partition, vp, &out), "counters") ? out.value[HV_CTR_STATE] : ~0ull;
}

bool root_suspend_resume(void)
{
    struct guest *g = &guests[0];
    bool ok = start_spinning(g, 0, 1);

    for (unsigned i = 0; i < 10 && ok; i++) {
        ok = set_register(g, 0, HV_REG_EXPLICIT_SUSPEND, 1) &&
             WANT(get_register(g, 0, HV_REG_EXPLICIT_SUSPEND) == 1) && WANT(state_of(g, 0) == 2) &&
             WANT(stands(g)) && set_register(g, 0, HV_REG_EXPLICIT_SUSPEND, 0) && WANT(moves(g));
    }
    return guest_tear_down(g) && ok;
}

bool root_partition_suspend(void)
{
    struct guest *g = &guests[0];
    bool ok = start_spinning(g, 0, 2);
    uint64_t value = 0;

    for (unsigned i = 0; i < 5 && ok; i++) {
        ok = must(hvif_set_property(g->partition, HV_PROP_SUSPEND, 1), "suspend") &&
             must(hvif_get_property(g->partition, HV_PROP_SUSPEND, &value), "property") && WANT(value == 1) &&
             WANT(stands(g)) && must(hvif_set_property(g->partition, HV_PROP_SUSPEND, 0), "resume") &&
             WANT(moves(g));
    }
    return guest_tear_down(g) && ok;
}

bool root_delete_running(void)
{
    bool ok = true;

    for (unsigned i = 0; i < 10 && ok; i++) {
        ok = start_spinning(&guests[0], 0, 1 + i % 4);
        if (ok && i % 2) {
            ok = must(hvif_delete_vp(guests[0].partition, i % 4 == 3 ? 1 : 0), "delete VP");
        }
        ok = guest_tear_down(&guests[0]) && ok;
    }
    return ok;
}

// VPs come and go while a sibling sends them interrupts without end.
bool root_delete_under_fire(void)
{
    struct guest *g = &guests[0];
    bool ok = guest_build(g, 0, test_number("ipi_storm"), 4, 1) && guest_start(g) && WANT(moves(g));

    for (uint32_t i = 0; i < 12 && ok; i++) {
        ok = must(hvif_delete_vp(g->partition, 1 + i % 3), "delete VP") && WANT(moves(g)) &&
             must(hvif_create_vp(g->partition, 1 + i % 3), "create VP") && WANT(moves(g));
    }
    return guest_tear_down(g) && ok;
}

bool root_registers_running(void)
{
    struct guest *g = &guests[0];
    bool ok = start_spinning(g, 0, 2);

    for (unsigned i = 0; i < 200 && ok; i++) {
        uint64_t rip = get_register(g, i & 1, HV_REG_RIP);

        ok = WANT(rip >= GUEST_KERNEL_GPA && rip < GUEST_STACK_TOP) &&
             set_register(g, i & 1, HV_REG_R15, 0x5555 + i) &&
             WANT(get_register(g, i & 1, HV_REG_CR3) == GUEST_TABLES_GPA);
        if ((i & 31) == 0) {
            let_run(2);
        }
    }
    ok = ok && WANT(moves(g));
    return guest_tear_down(g) && ok;
}

// A completion for a VP that waits for none is refused and changes nothing.
bool root_stale_completion(void)
{
    struct guest *g = &guests[0];
    uint64_t cookie;
    bool ok = start_spinning(g, 0, 1);

    for (unsigned i = 0; i < 50 && ok; i++) {
        ok = WANT(hvif_intercept_wait(g->partition, 0, HV_XWAIT_ADVANCE, &cookie) ==
                  HV_STATUS_INVALID_VP_STATE);
    }
    ok = ok && WANT(hvif_intercept_wait(g->partition, 5, 0, &cookie) == HV_STATUS_INVALID_VP_INDEX);
    ok = ok && WANT(hvif_intercept_wait(g->partition, ~0u, 0, &cookie) == HV_STATUS_INVALID_VP_INDEX);
    ok = ok && WANT(hvif_intercept_wait(0x123456789, 0, 0, &cookie) == HV_STATUS_INVALID_PARTITION_ID);
    ok = ok &&
         WANT(hvif_intercept_wait(HV_PARTITION_ID_SELF, 0, 0, &cookie) == HV_STATUS_INVALID_PARTITION_ID);
    ok = ok && WANT(hvif_intercept_wait(0, 0, 0, &cookie) == HV_STATUS_SUCCESS) && WANT(cookie == 0);
    ok = ok && WANT(moves(g));
    return guest_tear_down(g) && ok;
}
