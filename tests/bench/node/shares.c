// SPDX-License-Identifier: Apache-2.0
// Weights, caps and reservations: the part of the only processor's ticks that guests spend in a loop that counts.
//
// A row of trials[] is a set of guests that run at once. Each guest with a name gives a figure, in hundredths of a
// percent, and NAME.set, what it was to get.
#include "tests/bench/node/node.h"

#include "mgmt/hvif/hvif.h"
#include "tests/bench/guest/bench.h"

#include <stdio.h>

#define GUESTS_MAX 2u
#define GUEST_MEMORY (8ull << 20)
#define SETTLE_NS 100000000ull   // the starts are not measured
#define MEASURE_NS 1000000000ull // 50 periods of caps and reservations
#define PERCENT(n) (0x10000u * (n) / 100)

static const struct trial {
    struct share {
        const char *name;              // NULL: nobody asks
        uint32_t weight, cap, reserve; // as in struct system_config; 0: the standard
        unsigned set_percent;          // of the processor
    } guest[GUESTS_MAX];
    unsigned count;
} trials[] = {
    {{{"sched.weight_1_of_4", 100, 0, 0, 25}, {"sched.weight_3_of_4", 300, 0, 0, 75}}, 2},
    {{{"sched.cap_alone", 0, PERCENT(25), 0, 25}}, 1},
    {{{"sched.cap", 10000, PERCENT(25), 0, 25}, {"sched.cap_rest", 100, 0, 0, 75}}, 2},
    {{{"sched.reservation", 1, 0, PERCENT(60), 60}, {NULL, 10000, 0, 0, 0}}, 2},
};

static struct {
    unsigned trial;
    unsigned guest; // the next to start or to end
    struct system *system[GUESTS_MAX];
    uint64_t counted[GUESTS_MAX];
    uint64_t start_tsc;
    struct plat_timer timer;
    void (*done)(void);
} run;

static void start_next(void);
static void stop_next(void);

// Of a running guest; the guest writes it all the while.
static uint64_t counter(unsigned i)
{
    const uint8_t *ram = plat_pool_va(run.system[i]->partition.ram);

    return __atomic_load_n((const uint64_t *)(ram + GUEST_COUNTER), __ATOMIC_RELAXED);
}

static void report_share(const struct share *share, uint64_t count, uint64_t ticks)
{
    char name[64];

    if (share->name != NULL) {
        bench_report(share->name, (count * GUEST_COUNT_TICKS * 10000 + ticks / 2) / ticks);
        snprintf(name, sizeof name, "%s.set", share->name);
        bench_report(name, share->set_percent * 100ull);
    }
}

static void measured(struct plat_timer *timer)
{
    const struct trial *trial = &trials[run.trial];
    uint64_t ticks = __builtin_ia32_rdtsc() - run.start_tsc;

    (void)timer;
    for (unsigned i = 0; i < trial->count; i++) {
        run.counted[i] = counter(i) - run.counted[i];
    }
    for (unsigned i = 0; i < trial->count; i++) {
        report_share(&trial->guest[i], run.counted[i], ticks);
    }
    run.guest = 0;
    stop_next();
}

static void settled(struct plat_timer *timer)
{
    run.start_tsc = __builtin_ia32_rdtsc();
    for (unsigned i = 0; i < trials[run.trial].count; i++) {
        run.counted[i] = counter(i);
    }
    plat_timer_start(timer, MEASURE_NS, measured);
}

static void started(uint64_t end_tsc)
{
    (void)end_tsc;
    run.guest++;
    start_next();
}

static void start_next(void)
{
    const struct trial *trial = &trials[run.trial];
    const struct share *share = &trial->guest[run.guest];
    char id[16];

    if (run.guest == trial->count) {
        plat_timer_start(&run.timer, SETTLE_NS, settled);
        return;
    }
    snprintf(id, sizeof id, "share%u", run.guest);
    run.system[run.guest] = bench_create(id, &(struct system_config){.memory_bytes = GUEST_MEMORY,
                                                                     .weight = share->weight,
                                                                     .cap = share->cap,
                                                                     .reserve = share->reserve,
                                                                     .cmdline = "count"});
    if (run.system[run.guest] != NULL) {
        bench_start(run.system[run.guest], started);
    }
}

static void stopped(uint64_t end_tsc)
{
    (void)end_tsc;
    run.guest++;
    stop_next();
}

static void stop_next(void)
{
    if (run.guest < trials[run.trial].count) {
        bench_stop(run.system[run.guest], stopped);
        return;
    }
    run.guest = 0;
    run.trial++;
    if (run.trial < ARRAY_LEN(trials)) {
        start_next();
    } else {
        run.done();
    }
}

void shares_run(void (*done)(void))
{
    run.done = done;
    start_next();
}
