// srcs: tests/sim/guest_disk_run.c tests/sim/guest_disk.c mgmt/state/state.c mgmt/state/state_image.c mgmt/state/state_metrics.c mgmt/block_metrics.c mgmt/state/state_activity.c mgmt/core/keeper.c mgmt/core/image.c mgmt/core/event.c mgmt/core/notify.c mgmt/core/status.c mgmt/hvif/hvif_status.c tests/sim/disk_sim.c tests/sim/plat_host.c mgmt/store/check.c mgmt/store/db.c mgmt/store/fiber.c mgmt/store/fiber_switch.S mgmt/store/layout.c mgmt/store/map.c mgmt/store/record.c mgmt/store/scrub.c mgmt/store/space.c mgmt/store/store.c mgmt/store/txn.c mgmt/store/upload.c mgmt/store/vfs.c mgmt/store/volume.c mgmt/store/volume_delete.c mgmt/store/volume_flush.c mgmt/store/volume_io.c mgmt/store/volume_load.c mgmt/store/worker.c mgmt/state/state_disk.c mgmt/state/state_disks.c mgmt/block/mapped_disk.c mgmt/block/block.c mgmt/state/state_upload.c
// libs: sqlite3 mbedtls
// SPDX-License-Identifier: Apache-2.0
// Guests' disks in the store: copy-on-write, discard, accounting, a full store, and power cuts over many seeds;
// KEELSON_SEED=S runs that one, KEELSON_SEEDS=N so many (make soak).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/core/event.h"
#include "tests/sim/guest_disk.h"
#include "tests/sim/guest_disk_run.h"
#include "tests/sim/plat_host.h"

#define SEEDS 25
#define FAILING_SEEDS 10
#define FAULTY_SEEDS 8
#define MIB (1u << 20)
#define MIB_SECTORS 2048u
#define PARTITION (24u * MIB_SECTORS)

// --- power cuts ---

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

static void run_seeds(uint64_t otherwise, bool errors, struct guest_disk_run_counts *counts)
{
    uint64_t first = number_of("KEELSON_SEED", 1);
    uint64_t count = number_of("KEELSON_SEEDS", getenv("KEELSON_SEED") != NULL ? 1 : otherwise);

    for (uint64_t seed = first; seed < first + count; seed++) {
        struct guest_disk_run_options options = {
            .seed = seed, .lives = 3, .error_every = errors ? 20 + seed % 200 : 0};
        const char *wrong = guest_disk_run(&options, counts);

        if (wrong != NULL) {
            fail_msg("KEELSON_SEED=%llu: %s", (unsigned long long)seed, wrong);
        }
    }
}

static void flushed_writes_survive(void **state)
{
    struct guest_disk_run_counts c = {0};

    (void)state;
    run_seeds(SEEDS, false, &c);
    print_message(
        "%llu cuts; %llu reads, %llu writes, %llu flushes, %llu discards; %llu allocations, %llu misses, "
        "%llu commits; %llu writes found the store full\n",
        (unsigned long long)c.cuts, (unsigned long long)c.reads, (unsigned long long)c.writes,
        (unsigned long long)c.flushes, (unsigned long long)c.discards, (unsigned long long)c.allocations,
        (unsigned long long)c.misses, (unsigned long long)c.commits, (unsigned long long)c.full);
    assert_true(c.allocations < c.writes); // some went in place
    assert_true(c.commits < c.flushes);    // some were the medium's alone, or shared
    assert_true(c.failed <= c.full + c.cuts * 18);
    assert_true(c.discards > 0 && c.misses > 0);
}

static void disk_errors_lose_nothing(void **state)
{
    struct guest_disk_run_counts counts = {0};

    (void)state;
    run_seeds(FAILING_SEEDS, true, &counts);
    assert_true(counts.failed > 0);
}

static void a_missing_flush_is_found(void **state)
{
    struct guest_disk_run_counts counts = {0};
    unsigned disk = 0, maps = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= FAULTY_SEEDS; seed++) {
        struct guest_disk_run_options lies = {.seed = seed, .lives = 1, .lies_about_flush = true};
        struct guest_disk_run_options forgets = {.seed = seed, .lives = 1, .forgets_maps = true};

        disk += guest_disk_run(&lies, &counts) != NULL;
        maps += guest_disk_run(&forgets, &counts) != NULL;
    }
    assert_true(disk > FAULTY_SEEDS / 2);
    assert_true(maps > FAULTY_SEEDS / 2);
}

// --- function by function ---

static int setup(void **state)
{
    (void)state;
    guest_disk_node_init(PARTITION, 7);
    return guest_disk_node_start() ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    guest_disk_node_stop();
    guest_disk_node_end();
    return 0;
}

static void restart(void)
{
    guest_disk_node_stop();
    assert_true(guest_disk_node_start());
}

static void write_filled(struct mapped_disk *d, uint64_t sector, uint32_t sectors, uint8_t value)
{
    memset(guest_disk_memory(0), value, (size_t)sectors * BLOCK_SECTOR);
    assert_int_equal(guest_disk_request(d, BLOCK_WRITE, sector, sectors), BLOCK_OK);
}

static void expect_filled(struct mapped_disk *d, uint64_t sector, uint32_t sectors, uint8_t value)
{
    uint8_t *memory = guest_disk_memory(0);

    memset(memory, (uint8_t)~value, (size_t)sectors * BLOCK_SECTOR);
    assert_int_equal(guest_disk_request(d, BLOCK_READ, sector, sectors), BLOCK_OK);
    for (size_t i = 0; i < (size_t)sectors * BLOCK_SECTOR; i++) {
        if (memory[i] != value) {
            fail_msg("sector %llu: %02x instead of %02x", (unsigned long long)(sector + i / BLOCK_SECTOR),
                     memory[i], value);
        }
    }
}

static uint64_t allocated(const char *name)
{
    struct kept_disk_info info;

    assert_true(disk_keeper()->find(name, &info));
    return info.allocated;
}

static uint64_t free_bytes(void)
{
    struct store_info info;

    store_get_info(state_store(), &info);
    return info.free_bytes;
}

// A child shows its base until it writes; neither sees the other's writes; each has only what it wrote.
static void children_are_isolated(void **state)
{
    struct mapped_disk *a, *b;
    uint64_t before = free_bytes();

    (void)state;
    assert_int_equal(guest_disk_create("a", 4 * MIB, ""), CORE_OK);
    assert_int_equal(allocated("a"), 0);
    a = guest_disk_open("a", false);
    expect_filled(a, 0, 512, 0);
    write_filled(a, 100, 300, 0x11);
    expect_filled(a, 0, 100, 0);
    expect_filled(a, 100, 300, 0x11);
    expect_filled(a, 400, 100, 0);
    assert_int_equal(guest_disk_request(a, BLOCK_FLUSH, 0, 0), BLOCK_OK);
    guest_disk_close(a);
    assert_int_equal(guest_disk_snapshot("a", "base"), CORE_OK); // waits for the last flush
    assert_int_equal(guest_disk_create("b", 6 * MIB, "base"), CORE_OK);
    assert_int_equal(allocated("base"), MIB);
    assert_int_equal(allocated("a") + allocated("b"), 0);
    a = guest_disk_open("a", false);
    b = guest_disk_open("b", false);
    expect_filled(a, 100, 300, 0x11);
    expect_filled(b, 100, 300, 0x11);
    expect_filled(b, 5 * MIB_SECTORS, 10, 0);
    write_filled(a, 110, 1, 0x22);
    write_filled(b, 5 * MIB_SECTORS, 1, 0x33);
    expect_filled(b, 100, 300, 0x11);
    expect_filled(a, 111, 289, 0x11); // copied with the grain, or the base's
    expect_filled(a, 110, 1, 0x22);
    guest_disk_close(a);
    guest_disk_close(b);
    restart();
    a = guest_disk_open("base", true);
    expect_filled(a, 100, 300, 0x11);
    assert_int_equal(guest_disk_request(a, BLOCK_WRITE, 0, 1), BLOCK_INVALID);
    guest_disk_close(a);
    assert_int_equal(before - free_bytes(), 3 * MIB);
    assert_int_equal(guest_disk_remove("base"), CORE_IN_USE);
    assert_int_equal(guest_disk_remove("a"), CORE_OK);
    assert_int_equal(guest_disk_remove("b"), CORE_OK);
    assert_int_equal(guest_disk_remove("base"), CORE_OK);
    for (unsigned i = 0; i < 3000 && free_bytes() != before; i++) {
        guest_disk_turn();
    }
    assert_int_equal(free_bytes(), before);
}

// Writes to what is owned do not involve the control plane, nor do flushes while the map stays as it is.
static void only_what_is_new_asks(void **state)
{
    struct mapped_disk *d;
    uint64_t allocations, misses, commits;

    (void)state;
    assert_int_equal(guest_disk_create("d", 2 * MIB, ""), CORE_OK);
    d = guest_disk_open("d", false);
    write_filled(d, 0, 512, 1);
    assert_int_equal(guest_disk_request(d, BLOCK_FLUSH, 0, 0), BLOCK_OK);
    allocations = d->allocations;
    misses = d->misses;
    commits = d->commits;
    for (unsigned i = 0; i < 20; i++) {
        write_filled(d, i * 20, 100, (uint8_t)i);
        expect_filled(d, i * 20, 100, (uint8_t)i);
        assert_int_equal(guest_disk_request(d, BLOCK_FLUSH, 0, 0), BLOCK_OK);
    }
    assert_int_equal(d->allocations, allocations);
    assert_int_equal(d->misses, misses);
    assert_int_equal(d->commits, commits);
    write_filled(d, 512, 1, 2);
    assert_int_equal(d->allocations, allocations + 1);
    assert_int_equal(guest_disk_request(d, BLOCK_FLUSH, 0, 0), BLOCK_OK);
    assert_int_equal(d->commits, commits + 1);
    guest_disk_close(d);
}

// A request that goes on with its next part when the last one is done, as a guest's device does with long ones.
static struct mapped_disk *parts_of;
static unsigned parts_done;

static void part_done(struct block_request *r)
{
    assert_int_equal(r->status, BLOCK_OK);
    if (++parts_done < 8) {
        r->sector += r->sectors;
        block_submit(&parts_of->device, r);
    }
}

static void a_request_may_go_on_when_done(void **state)
{
    static const enum block_op ops[] = {BLOCK_WRITE, BLOCK_WRITE, BLOCK_READ}; // new, owned, read

    (void)state;
    assert_int_equal(guest_disk_create("d", 4 * MIB, ""), CORE_OK);
    parts_of = guest_disk_open("d", false);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        struct block_request r = {.op = ops[i], .sectors = 512, .segment_count = 1, .done = part_done};

        r.segments[0] = (struct block_segment){guest_disk_gpa(0), 512 * BLOCK_SECTOR};
        parts_done = 0;
        block_submit(&parts_of->device, &r);
        while (parts_done < 8) {
            guest_disk_turn();
            assert_false(guest_disk_idle());
        }
    }
    guest_disk_close(parts_of);
}

// A write through (no flush will follow) is there after a power cut.
static void write_through_is_durable(void **state)
{
    struct block_request r = {.op = BLOCK_WRITE, .fua = true, .sector = 77, .sectors = 3, .segment_count = 1};
    struct mapped_disk *d;

    (void)state;
    assert_int_equal(guest_disk_create("d", 2 * MIB, ""), CORE_OK);
    d = guest_disk_open("d", false);
    for (unsigned i = 0; i < 2; i++) { // the first allocates
        r.sector = 77 + i * 3;
        memset(guest_disk_memory(0), 0x41 + (int)i, 3 * BLOCK_SECTOR);
        assert_int_equal(guest_disk_request_raw(d, &r), BLOCK_OK);
    }
    disk_sim_cut(&guest_disk_sim);
    guest_disk_close(d);
    guest_disk_node_stop();
    disk_sim_restart(&guest_disk_sim, 9);
    assert_true(guest_disk_node_start());
    d = guest_disk_open("d", false);
    expect_filled(d, 77, 3, 0x41);
    expect_filled(d, 80, 3, 0x42);
    guest_disk_close(d);
}

// Whole grains come back, and their extents with the commit; the edges stay.
static void discards_give_space_back(void **state)
{
    struct mapped_disk *d;
    uint64_t before;

    (void)state;
    assert_int_equal(guest_disk_create("d", 4 * MIB - 512, ""), CORE_OK);
    before = free_bytes();
    d = guest_disk_open("d", false);
    for (unsigned i = 0; i < 16; i++) {
        write_filled(d, i * 512, i < 15 ? 512 : 511, 0x77);
    }
    assert_int_equal(guest_disk_request(d, BLOCK_FLUSH, 0, 0), BLOCK_OK);
    assert_int_equal(before - free_bytes(), 4 * MIB);
    assert_int_equal(guest_disk_request(d, BLOCK_DISCARD, MIB_SECTORS - 64, 3 * MIB_SECTORS + 63), BLOCK_OK);
    expect_filled(d, MIB_SECTORS - 128, 128, 0x77); // not a whole grain
    expect_filled(d, MIB_SECTORS, 512, 0);
    expect_filled(d, 4 * MIB_SECTORS - 129, 128, 0); // to the end: what is behind it is nobody's
    assert_int_equal(before - free_bytes(), 4 * MIB);
    assert_int_equal(guest_disk_request(d, BLOCK_FLUSH, 0, 0), BLOCK_OK);
    assert_int_equal(before - free_bytes(), MIB);
    write_filled(d, MIB_SECTORS, 1, 0x78);
    expect_filled(d, MIB_SECTORS + 1, 127, 0); // nothing of before
    assert_int_equal(guest_disk_request(d, BLOCK_DISCARD, 0, 4 * MIB_SECTORS - 1), BLOCK_OK);
    assert_int_equal(before - free_bytes(), MIB); // what was never recorded is free at once
    guest_disk_close(d);
    restart();
    assert_int_equal(allocated("d"), 0);
    assert_int_equal(free_bytes(), before);
}

static uint64_t metric(const char *family, const char *labels)
{
    uint64_t value;

    if (!guest_disk_metric(family, labels, &value)) {
        fail_msg("%s{%s} is not in /metrics", family, labels);
    }
    return value;
}

// What a disk has seen is counted over the guests that had it, side by side or one after the other, and under its name.
static void metrics_add_up(void **state)
{
    struct mapped_disk *a, *b;
    uint64_t value;

    (void)state;
    assert_int_equal(guest_disk_create("m", 4 * MIB, ""), CORE_OK);
    assert_int_equal(metric("store_disk_size_bytes", "disk=m"), 4 * MIB);
    assert_int_equal(metric("store_disk_requests_total", "disk=m,operation=write"), 0);
    a = guest_disk_open("m", false);
    write_filled(a, 0, 300, 1);
    expect_filled(a, 0, 100, 1);
    assert_int_equal(guest_disk_request(a, BLOCK_FLUSH, 0, 0), BLOCK_OK);
    assert_int_equal(guest_disk_request(a, BLOCK_WRITE, 4 * MIB_SECTORS, 1), BLOCK_INVALID);
    assert_int_equal(metric("store_disk_requests_total", "disk=m,operation=write"), 2);
    assert_int_equal(metric("store_disk_bytes_total", "disk=m,operation=write"), 300 * BLOCK_SECTOR);
    assert_int_equal(metric("store_disk_bytes_total", "disk=m,operation=read"), 100 * BLOCK_SECTOR);
    assert_int_equal(metric("store_disk_requests_total", "disk=m,operation=flush"), 1);
    assert_int_equal(metric("store_disk_errors_total", "disk=m"), 1);
    assert_int_equal(metric("store_disk_allocated_bytes", "disk=m"), MIB);
    assert_int_equal(metric("store_disk_allocations_total", "disk=m"), a->allocations);
    assert_int_equal(metric("store_disk_map_commits_total", "disk=m"), 1);
    guest_disk_close(a);
    assert_int_equal(guest_disk_snapshot("m", "l"), CORE_OK);
    assert_int_equal(metric("store_disk_bytes_total", "disk=m,operation=write"), 300 * BLOCK_SECTOR);
    assert_int_equal(metric("store_disk_bytes_total", "disk=l,operation=write"), 0);
    a = guest_disk_open("m", false);
    write_filled(a, 0, 10, 2);
    assert_int_equal(metric("store_disk_bytes_total", "disk=m,operation=write"), 310 * BLOCK_SECTOR);
    guest_disk_close(a);
    a = guest_disk_open("l", true);
    b = guest_disk_open("l", true);
    expect_filled(a, 0, 7, 1);
    expect_filled(b, 0, 8, 1);
    guest_disk_close(a);
    assert_int_equal(metric("store_disk_bytes_total", "disk=l,operation=read"), 15 * BLOCK_SECTOR);
    guest_disk_close(b);
    assert_int_equal(metric("store_disk_bytes_total", "disk=l,operation=read"), 15 * BLOCK_SECTOR);
    assert_int_equal(guest_disk_remove("m"), CORE_OK);
    assert_false(guest_disk_metric("store_disk_size_bytes", "disk=m", &value));
    assert_int_equal(guest_disk_create("m", MIB, ""), CORE_OK); // another one
    assert_int_equal(metric("store_disk_requests_total", "disk=m,operation=write"), 0);
}

static const struct event *last_event(enum event_type type)
{
    uint64_t oldest, next;

    event_range(&oldest, &next);
    for (uint64_t n = next; n-- > oldest;) {
        if (event_get(n)->type == type) {
            return event_get(n);
        }
    }
    return NULL;
}

// The guest is told, so is the operator, once; nothing that was there is lost, and what is owned can be written.
static void a_full_store_is_an_error(void **state)
{
    struct mapped_disk *d;
    uint64_t oldest, after_first, next, room;
    uint32_t fits;

    (void)state;
    assert_int_equal(guest_disk_create("d", 64 * MIB, ""), CORE_OK);
    room = free_bytes();
    fits = (uint32_t)(room / MIB);
    d = guest_disk_open("d", false);
    for (uint32_t i = 0; i < fits; i++) {
        write_filled(d, (uint64_t)i * MIB_SECTORS, 100, (uint8_t)(i + 1));
    }
    assert_int_equal(free_bytes(), 0);
    assert_null(last_event(EVENT_DISK_FULL));
    assert_int_equal(guest_disk_request(d, BLOCK_WRITE, (uint64_t)fits * MIB_SECTORS, 1), BLOCK_NO_SPACE);
    assert_non_null(last_event(EVENT_DISK_FULL));
    assert_string_equal(last_event(EVENT_DISK_FULL)->subject, "d");
    event_range(&oldest, &after_first);
    assert_int_equal(guest_disk_request(d, BLOCK_WRITE, (uint64_t)fits * MIB_SECTORS, 1), BLOCK_NO_SPACE);
    event_range(&oldest, &next);
    assert_int_equal(next, after_first);
    expect_filled(d, (uint64_t)fits * MIB_SECTORS, 8, 0);
    write_filled(d, 0, 100, 0xaa);
    write_filled(d, 1000, 100, 0xab); // another grain of an extent that it has
    assert_int_equal(guest_disk_request(d, BLOCK_FLUSH, 0, 0), BLOCK_OK);
    guest_disk_close(d);
    restart();
    d = guest_disk_open("d", false);
    expect_filled(d, 0, 100, 0xaa);
    expect_filled(d, 1000, 100, 0xab);
    for (uint32_t i = 1; i < fits; i++) {
        expect_filled(d, (uint64_t)i * MIB_SECTORS, 100, (uint8_t)(i + 1));
    }
    guest_disk_close(d);
    assert_int_equal(guest_disk_remove("d"), CORE_OK);
}

static void refusals_say_why(void **state)
{
    struct mapped_disk *d;

    (void)state;
    assert_int_equal(guest_disk_create("a/b", MIB, ""), CORE_INVALID);
    assert_int_equal(guest_disk_create("", MIB, ""), CORE_INVALID);
    assert_int_equal(guest_disk_create("d", 0, ""), CORE_INVALID);
    assert_int_equal(guest_disk_create("d", 513, ""), CORE_INVALID);
    assert_int_equal(guest_disk_create("d", 1ull << 50, ""), CORE_INVALID);
    assert_int_equal(guest_disk_create("d", MIB, "none"), CORE_NOT_FOUND);
    assert_int_equal(guest_disk_create("d", MIB, ""), CORE_OK);
    assert_int_equal(guest_disk_create("d", MIB, ""), CORE_EXISTS);
    assert_int_equal(guest_disk_create("e", MIB, "d"), CORE_INVALID); // no snapshot
    assert_int_equal(guest_disk_resize("d", MIB - 512), CORE_INVALID);
    assert_int_equal(guest_disk_resize("d", 2 * MIB), CORE_OK);
    assert_int_equal(guest_disk_resize("none", 2 * MIB), CORE_NOT_FOUND);
    d = guest_disk_open("d", false);
    assert_int_equal(d->device.sectors, 2 * MIB_SECTORS);
    assert_int_equal(guest_disk_snapshot("d", "s"), CORE_IN_USE);
    assert_int_equal(guest_disk_remove("d"), CORE_IN_USE);
    guest_disk_close(d);
    assert_int_equal(guest_disk_snapshot("d", "d"), CORE_EXISTS);
    assert_int_equal(guest_disk_snapshot("d", "s"), CORE_OK);
    assert_int_equal(guest_disk_snapshot("s", "t"), CORE_INVALID);
    assert_int_equal(guest_disk_resize("s", 4 * MIB), CORE_INVALID);
    assert_int_equal(guest_disk_create("e", MIB, "s"), CORE_INVALID); // smaller than its base
    assert_int_equal(guest_disk_create("e", 0, "s"), CORE_OK);
    assert_int_equal(guest_disk_remove("none"), CORE_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(children_are_isolated, setup, teardown),
        cmocka_unit_test_setup_teardown(metrics_add_up, setup, teardown),
        cmocka_unit_test_setup_teardown(only_what_is_new_asks, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_may_go_on_when_done, setup, teardown),
        cmocka_unit_test_setup_teardown(write_through_is_durable, setup, teardown),
        cmocka_unit_test_setup_teardown(discards_give_space_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_store_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_say_why, setup, teardown),
        cmocka_unit_test(flushed_writes_survive),
        cmocka_unit_test(disk_errors_lose_nothing),
        cmocka_unit_test(a_missing_flush_is_found),
    };

    plat_host_log_off();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
