// SPDX-License-Identifier: Apache-2.0
// What it costs to create, start and end a guest beside others, and what guests take besides their memory.
//
// Guests are added until there are GUESTS_MAX, and then taken away, the last one first. A figure's name ends in the
// number of guests that there were, the measured one included. All of them have stopped at once: none disturbs.
#include "tests/bench/node/node.h"

#include "mgmt/core/deposit.h"
#include "mgmt/hvif/hvif.h"

#include <stdio.h>

#define GUESTS_MAX 64u
#define GUEST_MEMORY (8ull << 20)

static const unsigned measured_at[] = {1, 8, GUESTS_MAX};

static struct {
    unsigned count; // guests that exist
    struct system *system[GUESTS_MAX];
    uint64_t start_tsc;
    uint64_t overhead; // without any
    void (*done)(void);
} run;

static void report(const char *what, unsigned count, uint64_t value)
{
    char name[64];

    for (size_t i = 0; i < ARRAY_LEN(measured_at); i++) {
        if (measured_at[i] == count) {
            snprintf(name, sizeof name, "scale.%s_%u", what, count);
            bench_report(name, value * 100);
        }
    }
}

// Bytes of the management partition's heap, and of pages that the hypervisor has been given.
static uint64_t overhead(void)
{
    uint64_t heap, used, pages, chunks;

    plat_heap_usage(&heap, &used);
    deposit_usage(&pages, &chunks);
    return used + pages * PAGE_SIZE;
}

static void stop_last(void);

static void stopped(uint64_t end_tsc)
{
    struct core_error error;

    report("stop", run.count, end_tsc - run.start_tsc);
    run.count--;
    if (system_delete(run.system[run.count], &error) != CORE_OK) {
        bench_give_up("delete", error.text);
    } else if (run.count > 0) {
        stop_last();
    } else {
        run.done();
    }
}

static void stop_last(void)
{
    run.start_tsc = __builtin_ia32_rdtsc();
    bench_stop(run.system[run.count - 1], stopped);
}

static void add_next(void);

static void started(uint64_t end_tsc)
{
    run.count++;
    report("start", run.count, end_tsc - run.start_tsc);
    report("memory", run.count, (overhead() - run.overhead) / run.count);
    if (run.count < GUESTS_MAX) {
        add_next();
    } else {
        stop_last();
    }
}

static void add_next(void)
{
    const struct system_config config = {.memory_bytes = GUEST_MEMORY, .cmdline = "halt", .com = {true}};
    struct system **s = &run.system[run.count];
    char id[16];

    snprintf(id, sizeof id, "scale%u", run.count);
    run.start_tsc = __builtin_ia32_rdtsc();
    *s = bench_create(id, &config);
    report("create", run.count + 1, __builtin_ia32_rdtsc() - run.start_tsc);
    if (*s != NULL) {
        run.start_tsc = __builtin_ia32_rdtsc();
        bench_start(*s, started);
    }
}

void scale_run(void (*done)(void))
{
    run.done = done;
    run.overhead = overhead();
    add_next();
}
