// srcs: tests/sim/store_run.c tests/sim/disk_sim.c tests/sim/plat_host.c mgmt/store/check.c mgmt/store/db.c mgmt/store/fiber.c mgmt/store/fiber_switch.S mgmt/store/layout.c mgmt/store/map.c mgmt/store/record.c mgmt/store/space.c mgmt/store/store.c mgmt/store/txn.c mgmt/store/upload.c mgmt/store/vfs.c mgmt/store/volume.c mgmt/store/volume_delete.c mgmt/store/volume_flush.c mgmt/store/volume_io.c mgmt/store/volume_load.c mgmt/store/worker.c
// libs: sqlite3 mbedtls
// SPDX-License-Identifier: Apache-2.0
// Power cuts at random moments, over many seeds; KEELSON_SEED=S runs that one, KEELSON_SEEDS=N so many
// (make soak).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/plat_host.h"
#include "tests/sim/store_run.h"

#define SEEDS 30
#define FAILING_SEEDS 10
#define LYING_SEEDS 10

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

// Runs `otherwise` seeds, or those that the environment names; the first failure ends the test.
static void run_seeds(uint64_t otherwise, bool errors, struct store_run_counts *counts)
{
    uint64_t first = number_of("KEELSON_SEED", 1);
    uint64_t count = number_of("KEELSON_SEEDS", getenv("KEELSON_SEED") != NULL ? 1 : otherwise);

    for (uint64_t seed = first; seed < first + count; seed++) {
        struct store_run_options options = {
            .seed = seed, .lives = 3, .error_every = errors ? 20 + seed % 200 : 0};
        const char *wrong = store_run(&options, counts);

        if (wrong != NULL) {
            fail_msg("KEELSON_SEED=%llu: %s", (unsigned long long)seed, wrong);
        }
    }
}

static void acknowledged_work_survives(void **state)
{
    struct store_run_counts counts = {0};

    (void)state;
    run_seeds(SEEDS, false, &counts);
    print_message("%llu cuts, %llu disk requests, %llu transactions in %llu commits\n",
                  (unsigned long long)counts.cuts, (unsigned long long)counts.requests,
                  (unsigned long long)counts.transactions, (unsigned long long)counts.commits);
    assert_true(counts.transactions > counts.commits); // commits were shared
}

// A disk that fails now and then costs requests, and at worst the store until the next start, but nothing acknowledged.
static void disk_errors_lose_nothing(void **state)
{
    struct store_run_counts counts = {0};

    (void)state;
    run_seeds(FAILING_SEEDS, true, &counts);
}

// The same run must notice a disk that acknowledges flushes without making them.
static void missing_flush_is_found(void **state)
{
    struct store_run_counts counts = {0};
    unsigned found = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= LYING_SEEDS; seed++) {
        struct store_run_options options = {.seed = seed, .lives = 1, .lies_about_flush = true};

        found += store_run(&options, &counts) != NULL;
    }
    assert_true(found > LYING_SEEDS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acknowledged_work_survives),
        cmocka_unit_test(disk_errors_lose_nothing),
        cmocka_unit_test(missing_flush_is_found),
    };

    plat_host_log_off();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
