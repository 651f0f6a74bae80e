// srcs: mgmt/core/system.c mgmt/core/cloud_seed.c mgmt/block/fat_image.c mgmt/core/modules.c mgmt/core/system_run.c mgmt/core/partition.c mgmt/core/disk.c mgmt/block/ram_disk.c mgmt/block/block.c mgmt/core/partition_build.c mgmt/core/partition_stop.c mgmt/core/deposit.c mgmt/core/image.c mgmt/core/console.c mgmt/core/event.c mgmt/core/operation.c mgmt/core/notify.c mgmt/core/status.c mgmt/hvif/hvif_status.c tests/sim/hvif_sim.c tests/sim/dp_sim.c tests/sim/loader_sim.c tests/sim/plat_host.c mgmt/core/network.c mgmt/core/keeper.c mgmt/vswitch/vswitch.c mgmt/vswitch/mac_table.c mgmt/vswitch/offload.c mgmt/vswitch/dhcp.c tests/unit/fat_read.c
// libs: mbedtls
// SPDX-License-Identifier: Apache-2.0
// Life cycle of systems on the simulated hypervisor: every state, every failing hypercall, every page back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/block/ram_disk.h"
#include "mgmt/core/deposit.h"
#include "mgmt/core/event.h"
#include "mgmt/core/system.h"
#include "tests/sim/dp_sim.h"
#include "tests/sim/hvif_sim.h"
#include "tests/sim/plat_host.h"
#include "tests/unit/fat_read.h"

#define MB (1ull << 20)

static uint64_t pool_free_at_start;
static bool with_devices; // config() has PCI devices as well

static void put_image(const char *name, const char *content, size_t size)
{
    struct core_error error;
    struct image_upload *up;
    char *bytes = calloc(1, size);

    assert_non_null(bytes);
    memcpy(bytes, content, strlen(content));
    assert_int_equal(image_upload_begin(name, size, &up, &error), CORE_OK);
    assert_int_equal(image_upload_write(up, bytes, size, &error), CORE_OK);
    assert_int_equal(image_upload_finish(up, NULL, NULL, &error), CORE_OK);
    free(bytes);
}

static uint64_t pool_free(void)
{
    uint64_t total, free_bytes;

    plat_pool_usage(&total, &free_bytes);
    return free_bytes;
}

static const uint8_t node_mac[6] = {2, 0, 0, 0, 0, 0x77};

static int setup_group(void **state)
{
    (void)state;
    plat_host_log_level(LOG_ERROR);
    network_init(node_mac);
    system_init();
    dp_sim_init();
    put_image("kernel", "KERNEL", 3 * MB);
    put_image("initrd", "cpio", 4096);
    put_image("junk", "junk", 4096);
    put_image("disk", "DISK", 2 * MB + 700);
    pool_free_at_start = pool_free();
    return 0;
}

// Nothing may be left over: pages, partitions, guests, timers.
static void assert_nothing_left(void)
{
    struct sim_hv_usage usage;
    uint64_t pages, chunks;

    plat_host_settle();
    sim_hv_usage(&usage);
    assert_int_equal(usage.partitions, 0);
    assert_int_equal(usage.deposited, 0);
    assert_int_equal(usage.mapped, 0);
    assert_int_equal(usage.state_pages, 0);
    assert_int_equal(dp_sim_attached(), 0);
    deposit_usage(&pages, &chunks);
    assert_int_equal(pages, 0);
    assert_int_equal(chunks, 0);
    assert_int_equal(pool_free(), pool_free_at_start);
    assert_int_equal(plat_host_armed(), 0);
}

static int teardown(void **state)
{
    struct core_error error;

    (void)state;
    with_devices = false;
    sim_hv_fail(0, 0, 0);
    sim_hv_fail_only(NULL);
    sim_hv_no_huge_pages(false);
    sim_hv_needs(2, 8, 7, 1);
    dp_sim_block(false);
    dp_sim_hold_detach(false);
    for (struct system *s = system_next(NULL), *next; s != NULL; s = next) {
        next = system_next(s);
        if (s->state != SYSTEM_STOPPED) {
            (void)system_terminate(s, NULL, &error);
        }
    }
    plat_host_settle();
    for (struct system *s = system_next(NULL); s != NULL; s = system_next(NULL)) {
        plat_host_step(10);
        (void)system_delete(s, &error);
    }
    assert_nothing_left();
    return 0;
}

static struct system_config config(void)
{
    struct system_config cfg = {
        .owner = "test",
        .memory_bytes = 32 * MB,
        .vp_count = 2,
        .weight = 100,
        .cap = SYSTEM_CAP_NONE,
        .com = {true, false},
        .kernel = "kernel",
        .initrd = "initrd",
        .cmdline = "console=ttyS0",
    };

    if (with_devices) {
        cfg.disk[0] = (struct disk_source){.path = "disk"};
        cfg.disk[1] = (struct disk_source){.path = "disk", .read_only = true};
        cfg.disk_count = 2;
        cfg.nic[0].endpoint = "";
        cfg.nic_count = 1;
        cfg.com[DP_CONSOLE_VIRTIO] = true;
    }
    return cfg;
}

static struct system *create(const char *id)
{
    struct system_config cfg = config();
    struct core_error error = {0};
    struct system *s = NULL;

    assert_int_equal(system_create(id, &cfg, &s, &error), CORE_OK);
    return s;
}

static void turn_until_idle(struct system *s)
{
    for (int i = 0; i < 30000 && system_busy(s); i++) {
        plat_host_step(1);
    }
    assert_false(system_busy(s));
}

static enum core_status start(struct system *s)
{
    struct core_error error = {0};
    struct operation *op = operation_create(OPERATION_START, s->id);
    enum core_status status = system_start(s, op, &error);

    if (status == CORE_OK) {
        turn_until_idle(s);
        assert_int_equal(op->state, OPERATION_DONE);
        status = op->error.status;
    }
    operation_close(op);
    return status;
}

static enum core_status terminate(struct system *s)
{
    struct core_error error = {0};
    struct operation *op = operation_create(OPERATION_TERMINATE, s->id);
    enum core_status status = system_terminate(s, op, &error);

    if (status == CORE_OK) {
        turn_until_idle(s);
        assert_int_equal(op->state, OPERATION_DONE);
        assert_int_equal(op->error.status, CORE_OK);
        assert_int_equal(s->state, SYSTEM_STOPPED);
    }
    operation_close(op);
    return status;
}

static void type(struct system *s, const char *text)
{
    assert_int_equal(console_write(&s->com[0], text, strlen(text)), strlen(text));
    plat_host_settle();
}

static void assert_console_has(struct system *s, const char *wanted)
{
    char buf[4096];
    uint64_t sequence = 0;
    size_t n = console_read(&s->com[0], &sequence, buf, sizeof buf - 1, NULL);

    buf[n] = '\0';
    assert_non_null(strstr(buf, wanted));
}

static void test_start_run_terminate(void **state)
{
    struct system *s = create("one");
    gpa_t source;
    uint64_t size, rip;

    (void)state;
    assert_int_equal(start(s), CORE_OK);
    assert_int_equal(s->state, SYSTEM_RUNNING);
    assert_true(sim_hv_vp_runs(s->partition.id, 0));
    assert_true(sim_hv_vp_runs(s->partition.id, 1));
    assert_true(sim_hv_lookup(s->partition.id, GPA(0), &source, &size));
    assert_int_equal(source.v, s->partition.ram.v);
    assert_int_equal(size, PAGE_SIZE_2M);
    assert_true(sim_hv_register(s->partition.id, 0, HV_REG_RIP, &rip));
    assert_int_equal(rip, 0x1000000);
    plat_host_settle();
    assert_console_has(s, "simulated guest: 2 VP(s), 32 MB");
    type(s, "hello\n");
    assert_console_has(s, "hello\r\n");
    assert_int_equal(terminate(s), CORE_OK);
    assert_int_equal(s->exit, SYSTEM_EXIT_FORCED);
    assert_nothing_left();
}

static void test_huge_pages(void **state)
{
    struct system_config cfg = config();
    struct core_error error;
    struct system *s;
    gpa_t source;
    uint64_t size;

    (void)state;
    cfg.memory_bytes = 1024 * MB;
    assert_int_equal(system_create("huge", &cfg, &s, &error), CORE_OK);
    assert_int_equal(start(s), CORE_OK);
    assert_true(sim_hv_lookup(s->partition.id, GPA(0), &source, &size));
    assert_int_equal(size, PAGE_SIZE_1G);
    assert_int_equal(terminate(s), CORE_OK);

    sim_hv_no_huge_pages(true); // falls back to 2 MiB
    assert_int_equal(system_create("huge", &cfg, &s, &error), CORE_OK);
    assert_int_equal(start(s), CORE_OK);
    assert_true(sim_hv_lookup(s->partition.id, GPA(1022 * MB), &source, &size));
    assert_int_equal(size, PAGE_SIZE_2M);
    assert_int_equal(terminate(s), CORE_OK);
}

static void test_memory_above_the_hole(void **state)
{
    struct system_config cfg = config();
    struct core_error error;
    struct system *s;
    gpa_t source;
    uint64_t size;

    (void)state;
    cfg.memory_bytes = 3074 * MB;
    assert_int_equal(system_create("big", &cfg, &s, &error), CORE_OK);
    assert_int_equal(start(s), CORE_OK);
    assert_true(sim_hv_lookup(s->partition.id, GPA(3072 * MB - 4096), &source, &size));
    assert_false(sim_hv_lookup(s->partition.id, GPA(3072 * MB), &source, &size));
    assert_true(sim_hv_lookup(s->partition.id, GPA(4096 * MB), &source, &size));
    assert_int_equal(source.v, s->partition.ram.v + 3072 * MB);
    assert_int_equal(terminate(s), CORE_OK);
}

static void test_guest_powers_off(void **state)
{
    struct system *s = create("off");

    (void)state;
    assert_int_equal(start(s), CORE_OK);
    plat_host_settle();
    type(s, "poweroff\n");
    turn_until_idle(s);
    assert_int_equal(s->state, SYSTEM_STOPPED);
    assert_int_equal(s->exit, SYSTEM_EXIT_GRACEFUL);
    assert_int_equal(s->cause, SYSTEM_CAUSE_POWER_OFF);
    assert_console_has(s, "powering off"); // the last words are kept
    assert_nothing_left();
}

static void test_guest_resets(void **state)
{
    struct system *s = create("again");
    uint64_t ram;

    (void)state;
    assert_int_equal(start(s), CORE_OK);
    ram = s->partition.ram.v;
    plat_host_settle();
    type(s, "reset\n");
    turn_until_idle(s);
    assert_int_equal(s->state, SYSTEM_RUNNING);
    assert_int_equal(s->resets, 1);
    assert_int_equal(s->partition.ram.v, ram); // in place
    plat_host_settle();
    type(s, "still here\n");
    assert_console_has(s, "still here\r\n");
    assert_int_equal(terminate(s), CORE_OK);
    assert_nothing_left();
}

static void test_stop_on_reset(void **state)
{
    struct system_config cfg = config();
    struct core_error error;
    struct system *s;

    (void)state;
    cfg.stop_on_reset = true;
    assert_int_equal(system_create("sor", &cfg, &s, &error), CORE_OK);
    assert_int_equal(start(s), CORE_OK);
    plat_host_settle();
    type(s, "reset\n");
    turn_until_idle(s);
    assert_int_equal(s->state, SYSTEM_STOPPED);
    assert_int_equal(s->cause, SYSTEM_CAUSE_RESET);
}

static void test_terminate_during_reset(void **state)
{
    struct core_error error;

    (void)state;
    for (int turns = 0; turns < 12; turns++) {
        struct system *s = create("reset-stop");

        assert_int_equal(start(s), CORE_OK);
        plat_host_settle();
        dp_sim_emit(s->partition.vm, DP_EV_RESET, 0, 0);
        for (int i = 0; i < turns; i++) {
            plat_host_step(0);
        }
        assert_int_equal(system_terminate(s, NULL, &error), CORE_OK);
        turn_until_idle(s);
        assert_int_equal(s->state, SYSTEM_STOPPED);
        assert_int_equal(s->exit, SYSTEM_EXIT_FORCED);
        assert_nothing_left();
    }
}

static void test_guest_crashes(void **state)
{
    struct system *s = create("crash");

    (void)state;
    assert_int_equal(start(s), CORE_OK);
    plat_host_settle();
    type(s, "triple\n");
    turn_until_idle(s);
    assert_int_equal(s->state, SYSTEM_STOPPED);
    assert_int_equal(s->exit, SYSTEM_EXIT_UNEXPECTED);
    assert_int_equal(s->cause, SYSTEM_CAUSE_TRIPLE_FAULT);
    assert_non_null(strstr(s->exit_text, "rip=1000000"));
    assert_int_equal(sim_hv_last_system_action(), HV_X_DUMP);
    assert_nothing_left();
}

static void test_shutdown(void **state)
{
    struct system *s = create("down");
    struct operation *op = operation_create(OPERATION_SHUTDOWN, "down");
    struct core_error error;

    (void)state;
    assert_int_equal(system_shutdown(s, op, &error), CORE_INVALID_STATE); // not started
    assert_int_equal(start(s), CORE_OK);
    assert_int_equal(system_shutdown(s, op, &error), CORE_OK);
    assert_int_equal(system_shutdown(s, NULL, &error), CORE_ALREADY_STOPPED);
    while (s->state != SYSTEM_STOPPED) {
        plat_host_step(1);
    }
    assert_int_equal(op->state, OPERATION_DONE);
    assert_int_equal(op->error.status, CORE_OK);
    assert_int_equal(s->exit, SYSTEM_EXIT_GRACEFUL);
    assert_int_equal(system_shutdown(s, NULL, &error), CORE_ALREADY_STOPPED);
    operation_close(op);
}

// Every verb in every state: what is allowed and what is answered otherwise.
static void test_verbs_in_states(void **state)
{
    static const struct {
        enum system_state in;
        enum core_status start, pause, resume, terminate;
    } table[] = {
        {SYSTEM_CREATED, CORE_OK, CORE_INVALID_STATE, CORE_INVALID_STATE, CORE_OK},
        {SYSTEM_RUNNING, CORE_INVALID_STATE, CORE_OK, CORE_INVALID_STATE, CORE_OK},
        {SYSTEM_PAUSED, CORE_INVALID_STATE, CORE_INVALID_STATE, CORE_OK, CORE_OK},
        {SYSTEM_STOPPED, CORE_ALREADY_STOPPED, CORE_ALREADY_STOPPED, CORE_ALREADY_STOPPED,
         CORE_ALREADY_STOPPED},
    };
    struct core_error error;

    (void)state;
    for (size_t row = 0; row < ARRAY_LEN(table); row++) {
        for (int verb = 0; verb < 4; verb++) {
            struct system *s = create("verbs");
            enum core_status got = CORE_OK, want = CORE_OK;

            if (table[row].in == SYSTEM_RUNNING || table[row].in == SYSTEM_PAUSED) {
                assert_int_equal(start(s), CORE_OK);
            }
            if (table[row].in == SYSTEM_PAUSED) {
                assert_int_equal(system_pause(s, NULL, &error), CORE_OK);
                assert_false(sim_hv_vp_runs(s->partition.id, 0));
            }
            if (table[row].in == SYSTEM_STOPPED) {
                assert_int_equal(terminate(s), CORE_OK);
            }
            switch (verb) {
            case 0:
                got = start(s), want = table[row].start;
                break;
            case 1:
                got = system_pause(s, NULL, &error), want = table[row].pause;
                break;
            case 2:
                got = system_resume(s, NULL, &error), want = table[row].resume;
                break;
            case 3:
                got = terminate(s), want = table[row].terminate;
                break;
            }
            assert_int_equal(got, want);
            if (s->state != SYSTEM_STOPPED) {
                assert_int_equal(
                    system_create("verbs", &(struct system_config){.kernel = "kernel"}, &s, &error),
                    CORE_EXISTS);
                assert_int_equal(system_delete(s, &error), CORE_INVALID_STATE);
                assert_int_equal(terminate(s), CORE_OK);
            }
            assert_int_equal(system_delete(s, &error), CORE_OK);
            assert_nothing_left();
        }
    }
}

static void test_create_refuses(void **state)
{
    struct system_config cfg;
    struct core_error error;
    struct system *s;

    (void)state;
#define REFUSED(change, want)                                                                                \
    cfg = config();                                                                                          \
    change;                                                                                                  \
    assert_int_equal(system_create("x", &cfg, &s, &error), want);                                            \
    assert_int_equal(error.status, want);                                                                    \
    assert_true(strlen(error.text) > 10);
    REFUSED(cfg.memory_bytes = 0, CORE_INVALID)
    REFUSED(cfg.memory_bytes = 33 * MB + 1, CORE_INVALID)
    REFUSED(cfg.memory_bytes = 1ull << 50, CORE_NO_MEMORY)
    REFUSED(cfg.vp_count = 0, CORE_INVALID)
    REFUSED(cfg.vp_count = DP_MAX_VPS + 1, CORE_INVALID)
    REFUSED(cfg.kernel = "missing", CORE_NO_IMAGE)
    REFUSED(cfg.initrd = "missing", CORE_NO_IMAGE)
    REFUSED(cfg.initrd = "initrd,missing", CORE_NO_IMAGE)
    REFUSED(cfg.initrd = "initrd,", CORE_INVALID)
    REFUSED(cfg.kernel = "junk", CORE_BAD_IMAGE)
#undef REFUSED
    cfg = config();
    assert_int_equal(system_create("", &cfg, &s, &error), CORE_INVALID);
    assert_int_equal(system_create("a/b", &cfg, &s, &error), CORE_INVALID);
    assert_int_equal(system_create("a\nb", &cfg, &s, &error), CORE_INVALID);
    assert_int_equal(system_count(), 0);
}

// Names and arguments of modules, as one text.
static void test_modules(void **state)
{
    struct module_list m;
    struct core_error error;
    char text[MODULES_TEXT_MAX + 2];

    (void)state;
    assert_int_equal(module_list_read(NULL, &m, &error), CORE_OK);
    assert_int_equal(m.count, 0);
    assert_int_equal(module_list_read("", &m, &error), CORE_OK);
    assert_int_equal(m.count, 0);
    assert_int_equal(module_list_read("a,b  x,,y z=,,, c", &m, &error), CORE_OK);
    assert_int_equal(m.count, 3);
    assert_string_equal(m.module[0].name, "a");
    assert_string_equal(m.module[0].arguments, "");
    assert_string_equal(m.module[1].name, "b");
    assert_string_equal(m.module[1].arguments, "x,y z=,");
    assert_string_equal(m.module[2].name, "c");
    module_list_free(&m);
    assert_int_equal(m.count, 0);
    assert_int_equal(module_list_read("a,", &m, &error), CORE_INVALID);
    assert_int_equal(module_list_read(",a", &m, &error), CORE_INVALID);
    assert_non_null(strstr(error.text, "module 0 has no name"));
    assert_int_equal(module_list_read("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", &m, &error), CORE_INVALID);
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(module_list_read(text, &m, &error), CORE_INVALID);
}

// Each image is in use as long as the system may need it.
static void test_modules_of_a_system(void **state)
{
    struct system_config cfg = config();
    struct core_error error;
    struct system *s;

    (void)state;
    cfg.initrd = "initrd one,disk two";
    assert_int_equal(system_create("modules", &cfg, &s, &error), CORE_OK);
    assert_int_equal(s->cfg.module_count, 2);
    assert_string_equal(s->cfg.module[1].name, "disk");
    assert_string_equal(s->cfg.module[1].arguments, "two");
    assert_int_equal(image_deletable("disk", &error), CORE_IN_USE);
    assert_int_equal(system_terminate(s, NULL, &error), CORE_OK);
    plat_host_settle();
    assert_int_equal(image_deletable("disk", &error), CORE_OK);
}

static void test_not_enough_memory_to_start(void **state)
{
    struct system_config cfg = config();
    struct core_error error;
    struct system *a, *b;
    gpa_t hog; // others use nearly all memory
    size_t hog_chunks = (pool_free() - 100 * MB) / PAGE_SIZE_2M | 1;

    (void)state;
    assert_true(plat_pool_alloc(hog_chunks, &hog));
    cfg.memory_bytes = 64 * MB;
    assert_int_equal(system_create("a", &cfg, &a, &error), CORE_OK);
    assert_int_equal(system_create("b", &cfg, &b, &error), CORE_OK);
    assert_int_equal(start(a), CORE_OK);
    assert_int_equal(start(b), CORE_NO_MEMORY);
    assert_int_equal(b->state, SYSTEM_CREATED);
    assert_int_equal(terminate(a), CORE_OK);
    assert_int_equal(start(b), CORE_OK); // now there is room
    assert_int_equal(terminate(b), CORE_OK);
    plat_pool_free(hog, hog_chunks);
}

// The hypervisor refuses call after call, first to last: each time everything is undone.
static void test_each_hypercall_fails_while_building(void **state)
{
    uint64_t before, calls;
    struct system *s;

    (void)state;
    with_devices = true;
    s = create("probe");
    before = sim_hv_calls();
    assert_int_equal(start(s), CORE_OK);
    calls = sim_hv_calls() - before;
    assert_int_equal(terminate(s), CORE_OK);
    assert_true(calls > 15);

    for (uint64_t n = 1; n <= calls; n++) {
        s = create("fails");
        sim_hv_fail(n, HV_STATUS_OPERATION_FAILED, 1);
        assert_int_equal(start(s), CORE_HYPERVISOR);
        sim_hv_fail(0, 0, 0);
        if (s->state == SYSTEM_CREATED) { // it may be started again
            assert_nothing_left();
            assert_int_equal(start(s), CORE_OK);
            assert_int_equal(terminate(s), CORE_OK);
        } else { // failed when it began to run
            turn_until_idle(s);
            assert_int_equal(s->state, SYSTEM_STOPPED);
        }
        assert_nothing_left();
    }
}

// Every hypercall may ask for memory once more.
static void test_each_hypercall_wants_more_memory(void **state)
{
    (void)state;
    for (size_t need = 0; need < 300; need += 97) {
        struct system *s = create("hungry");

        sim_hv_needs(need, need * 2, need, need);
        assert_int_equal(start(s), CORE_OK);
        plat_host_settle();
        assert_int_equal(terminate(s), CORE_OK);
        assert_nothing_left();
    }
}

// A deposit can itself find our own pool too small.
static void test_own_tables_want_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 8; n++) {
        struct system *s = create("own");

        sim_hv_fail_only("deposit_memory");
        sim_hv_fail(n, HV_STATUS_INSUFFICIENT_MEMORY, 1);
        assert_int_equal(start(s), CORE_OK);
        sim_hv_fail(0, 0, 0);
        assert_int_equal(terminate(s), CORE_OK);
        assert_nothing_left();
    }
}

static void test_endless_hunger_ends(void **state)
{
    struct system *s = create("endless");

    (void)state;
    sim_hv_fail_only("create_vp");
    sim_hv_fail(1, HV_STATUS_INSUFFICIENT_MEMORY, 1000000);
    assert_int_equal(start(s), CORE_HYPERVISOR);
    sim_hv_fail(0, 0, 0);
    assert_nothing_left();
    assert_int_equal(s->state, SYSTEM_CREATED);
}

// What the hypervisor cannot promise is refused with the numbers that were asked for, and leaves nothing.
static void test_reservation_refused(void **state)
{
    struct system_config cfg = config();
    struct core_error error = {0};
    struct system *s;
    struct operation *op = operation_create(OPERATION_START, "greedy");

    (void)state;
    cfg.reserve = 0x10000 * 3 / 4;
    cfg.vp_count = 2;
    assert_int_equal(system_create("greedy", &cfg, &s, &error), CORE_OK);
    sim_hv_fail_only("set_partition_property");
    sim_hv_fail(1, HV_STATUS_NO_RESOURCES, 1);
    assert_int_equal(system_start(s, op, &error), CORE_OK);
    turn_until_idle(s);
    sim_hv_fail(0, 0, 0);
    assert_int_equal(op->error.status, CORE_LIMIT);
    assert_non_null(strstr(op->error.text, "cannot reserve 75.0% of a processor for each of 2 virtual"));
    operation_close(op);
    assert_nothing_left();
    assert_int_equal(s->state, SYSTEM_CREATED);
}

static void test_terminate_at_each_turn_of_building(void **state)
{
    (void)state;
    for (int turns = 0; turns < 60; turns += 3) {
        struct core_error error;
        struct system *s = create("cut");
        struct operation *start_op = operation_create(OPERATION_START, "cut");
        struct operation *stop_op = operation_create(OPERATION_TERMINATE, "cut");

        assert_int_equal(system_start(s, start_op, &error), CORE_OK);
        for (int i = 0; i < turns && system_busy(s); i++) {
            plat_host_step(0);
        }
        assert_int_equal(system_terminate(s, stop_op, &error), CORE_OK);
        assert_int_equal(system_terminate(s, NULL, &error), CORE_ALREADY_STOPPED);
        turn_until_idle(s);
        assert_int_equal(s->state, SYSTEM_STOPPED);
        assert_int_equal(start_op->state, OPERATION_DONE);
        assert_int_equal(stop_op->state, OPERATION_DONE);
        operation_close(start_op);
        operation_close(stop_op);
        assert_nothing_left();
    }
}

// What the hypervisor defers while a partition is taken down is asked again.
static void test_slow_hypervisor_at_the_end(void **state)
{
    static const char *const calls[] = {"finalize_partition", "withdraw_memory", "delete_partition"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        struct system *s = create("slow");

        assert_int_equal(start(s), CORE_OK);
        sim_hv_fail_only(calls[i]);
        sim_hv_fail(1, HV_STATUS_TIME_OUT, 3);
        assert_int_equal(terminate(s), CORE_OK);
        assert_nothing_left();
        sim_hv_fail_only(NULL);
    }
}

static void test_full_command_ring(void **state)
{
    struct system *s = create("full");
    struct core_error error;

    (void)state;
    dp_sim_block(true);
    assert_int_equal(system_start(s, NULL, &error), CORE_OK);
    for (int i = 0; i < 100; i++) {
        plat_host_step(1);
    }
    assert_true(system_busy(s)); // waits for room
    dp_sim_block(false);
    turn_until_idle(s);
    assert_int_equal(s->state, SYSTEM_RUNNING);
    plat_host_settle();
    dp_sim_block(true);
    assert_int_equal(system_terminate(s, NULL, &error), CORE_OK);
    for (int i = 0; i < 20; i++) {
        plat_host_step(1);
    }
    assert_true(system_busy(s));
    dp_sim_block(false);
    turn_until_idle(s);
    assert_nothing_left();
}

// Nothing is freed while the data plane still has its pointers, and nothing is said about the guest.
static void test_data_plane_lets_go_late(void **state)
{
    struct system *s = create("late");
    struct core_error error;

    (void)state;
    assert_int_equal(start(s), CORE_OK);
    plat_host_settle();
    dp_sim_hold_detach(true);
    assert_int_equal(system_terminate(s, NULL, &error), CORE_OK);
    for (int i = 0; i < 20; i++) {
        plat_host_step(1);
    }
    assert_non_null(s->partition.vm);
    assert_int_equal(console_write(&s->com[0], "x", 1), 0);
    dp_sim_hold_detach(false);
    turn_until_idle(s);
    assert_nothing_left();
}

static void test_many_systems(void **state)
{
    enum { COUNT = 40 };
    struct core_error error;
    char id[16];

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        snprintf(id, sizeof id, "vm%d", i);
        assert_int_equal(system_start(create(id), NULL, &error), CORE_OK);
    }
    for (int i = 0; i < 3000; i++) {
        plat_host_step(0);
    }
    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        assert_int_equal(s->state, SYSTEM_RUNNING);
        assert_int_equal(system_terminate(s, NULL, &error), CORE_OK);
    }
    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        turn_until_idle(s);
    }
    assert_nothing_left();
}

static void test_stopped_systems_are_bounded(void **state)
{
    char id[16];

    (void)state;
    for (int i = 0; i < SYSTEM_STOPPED_KEPT + 20; i++) {
        snprintf(id, sizeof id, "s%d", i);
        assert_int_equal(terminate(create(id)), CORE_OK);
    }
    create("last");
    assert_true(system_count() <= SYSTEM_STOPPED_KEPT + 2);
    assert_null(system_find("s0"));
    assert_non_null(system_find(id));
}

static void test_images_in_use(void **state)
{
    struct core_error error;
    struct image_upload *up;
    struct system *s = create("user");

    (void)state;
    assert_int_equal(image_delete("kernel", &error), CORE_IN_USE);
    assert_int_equal(image_upload_begin("initrd", 10, &up, &error), CORE_IN_USE);
    assert_int_equal(terminate(s), CORE_OK);
    assert_int_equal(image_upload_begin("initrd", 10, &up, &error), CORE_OK);
    image_upload_abort(up);
}

// A disk is a copy: what is written to it lives through a reset and is gone with the system; the image stays.
static void test_disks(void **state)
{
    struct core_error error;
    struct block_device *device;
    struct system *s;
    uint8_t *medium;
    uint64_t free_bytes = pool_free();

    (void)state;
    with_devices = true;
    s = create("disks");
    assert_int_equal(image_delete("disk", &error), CORE_IN_USE);
    assert_int_equal(start(s), CORE_OK);
    assert_true(free_bytes - pool_free() >= 32 * MB + 2 * 4 * MB);
    assert_int_equal(s->partition.vm->disk_count, 2);
    assert_int_equal(s->partition.vm->nic_count, 1);
    assert_int_equal(s->partition.vm->nic[0].mac[0] & 3, 2); // made, local, a station's
    assert_ptr_equal(s->partition.vm->nic[0].port->home, network_find_switch(NETWORK_DEFAULT)->vswitch);
    assert_true(s->partition.vm->nic[0].port->settings.guarded);
    assert_memory_equal(s->partition.vm->nic[0].port->settings.mac, s->partition.vm->nic[0].mac, 6);
    assert_int_equal(network_find_switch(NETWORK_DEFAULT)->adapters, 1);
    assert_true(s->partition.vm->disk[1].device->read_only);
    device = s->partition.vm->disk[0].device;
    assert_false(device->read_only);
    assert_int_equal(device->sectors, (2 * MB + 700 + 511) / 512);
    medium = ((struct ram_disk *)device)->medium;
    assert_memory_equal(medium, "DISK", 5);
    assert_int_equal(medium[device->sectors * 512 - 1], 0);
    memcpy(medium, "mine", 5);
    plat_host_settle();
    type(s, "reset\n");
    turn_until_idle(s);
    assert_int_equal(s->resets, 1);
    medium = ((struct ram_disk *)s->partition.vm->disk[0].device)->medium;
    assert_memory_equal(medium, "mine", 5);
    assert_int_equal(terminate(s), CORE_OK);
    assert_nothing_left();
    s = create("others");
    assert_int_equal(start(s), CORE_OK);
    assert_memory_equal(((struct ram_disk *)s->partition.vm->disk[0].device)->medium, "DISK", 5);
    assert_int_equal(terminate(s), CORE_OK);
}

static void kept(void *arg, const struct core_error *error)
{
    assert_null(error);
    ++*(unsigned *)arg;
}

#define ENDPOINT "12345678-9abc-4def-8101-02030405060a"

// Adapters take endpoints and addresses, and give them back when their system ends.
static void test_adapters(void **state)
{
    static const struct switch_port_settings settings = {
        .guarded = true, .vlan = 5, .mac = {2, 1, 1, 1, 1, 1}};
    struct network_switch *node = network_find_switch(NETWORK_DEFAULT), *lab;
    struct system_config cfg;
    struct core_error error;
    struct system *s, *other;
    unsigned done = 0;

    (void)state;
    assert_int_equal(network_add_switch("lab", kept, &done, &error), CORE_OK);
    assert_int_equal(network_add_endpoint(ENDPOINT, "lab", &settings, kept, &done, &error), CORE_OK);
    assert_int_equal(done, 2);
    lab = network_find_switch("lab");
    with_devices = true;
    cfg = config();
    cfg.nic[0].endpoint = "12345678-9ABC-4def-8101-02030405060a";
    cfg.nic[1] = (struct system_nic){.endpoint = "", .mac = {2, 1, 1, 1, 1, 2}};
    cfg.nic_count = 2;
    assert_int_equal(system_create("adapters", &cfg, &s, &error), CORE_OK);
    assert_int_equal(start(s), CORE_OK);
    assert_ptr_equal(s->partition.vm->nic[0].port->home, lab->vswitch);
    assert_int_equal(s->partition.vm->nic[0].port->settings.vlan, 5);
    assert_memory_equal(s->partition.vm->nic[0].mac, settings.mac, 6);
    assert_ptr_equal(s->partition.vm->nic[1].port->home, node->vswitch);
    assert_int_equal(lab->adapters + node->adapters, 2);
    assert_int_equal(network_delete_endpoint(ENDPOINT, kept, &done, &error), CORE_IN_USE);
    assert_int_equal(network_delete_switch("lab", kept, &done, &error), CORE_IN_USE);
    assert_int_equal(system_create("second", &cfg, &other, &error), CORE_IN_USE); // the endpoint
    cfg.nic[0].endpoint = "";
    assert_int_equal(system_create("second", &cfg, &other, &error), CORE_IN_USE); // the address
    memcpy(cfg.nic[1].mac, node_mac, 6);
    assert_int_equal(system_create("second", &cfg, &other, &error), CORE_IN_USE);
    cfg.nic[0].endpoint = cfg.nic[1].endpoint = "12345678-9abc-4def-8101-000000000000";
    assert_int_equal(system_create("second", &cfg, &other, &error), CORE_INVALID);
    type(s, "reset\n");
    turn_until_idle(s);
    assert_memory_equal(s->partition.vm->nic[0].mac, settings.mac, 6); // the same again
    assert_int_equal(lab->adapters, 1);
    assert_int_equal(terminate(s), CORE_OK);
    assert_int_equal(lab->adapters + node->adapters, 0);
    cfg.nic[0].endpoint = cfg.nic[1].endpoint = ENDPOINT; // one cannot serve two
    assert_int_equal(system_create("second", &cfg, &other, &error), CORE_INVALID);
    cfg.nic[0].endpoint = cfg.nic[1].endpoint = "";
    memcpy(cfg.nic[0].mac, settings.mac, 6);
    memcpy(cfg.nic[1].mac, settings.mac, 6);
    assert_int_equal(system_create("second", &cfg, &other, &error), CORE_INVALID);
    assert_int_equal(network_delete_endpoint(ENDPOINT, kept, &done, &error), CORE_OK);
    assert_int_equal(network_delete_switch("lab", kept, &done, &error), CORE_OK);
    assert_int_equal(done, 4);
    assert_null(network_find_switch("lab"));
}

// The seed's disk is the last one, read-only, and there again after a reset; it says the adapter's address.
static void test_seed(void **state)
{
    struct system_config cfg;
    struct core_error error;
    struct block_device *device;
    struct system *s;
    size_t length;
    char *text, mac[18];
    const uint8_t *m;

    (void)state;
    with_devices = true;
    cfg = config();
    cfg.has_seed = true;
    cfg.seed = (struct seed_config){.host_name = "seeded", .network = true};
    assert_int_equal(system_create("seeded", &cfg, &s, &error), CORE_OK);
    assert_int_equal(start(s), CORE_OK);
    type(s, "reset\n");
    turn_until_idle(s);
    assert_int_equal(s->resets, 1);
    assert_int_equal(s->partition.vm->disk_count, 3);
    device = s->partition.vm->disk[2].device;
    assert_true(device->read_only);
    assert_string_equal(device->serial, "keelson-seed");
    text = fat_read(((struct ram_disk *)device)->medium, device->sectors * BLOCK_SECTOR, "network-config",
                    &length);
    m = s->partition.vm->nic[0].mac;
    (void)snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
    assert_non_null(strstr(text, mac));
    free(text);
    assert_int_equal(terminate(s), CORE_OK);
    assert_nothing_left();
}

static void test_seed_refused(void **state)
{
    static char key[SEED_FILE_MAX];
    struct system_config cfg;
    struct core_error error;
    struct system *s;

    (void)state;
    with_devices = true;
    cfg = config();
    cfg.has_seed = true;
    memset(key, 'k', sizeof key - 1);
    cfg.seed = (struct seed_config){.key = {key}, .key_count = 1};
    assert_int_equal(system_create("refused", &cfg, &s, &error), CORE_INVALID);
    assert_non_null(strstr(error.text, "user-data"));
    assert_null(system_find("refused"));
    assert_nothing_left(); // neither images nor adapters are held
    assert_int_equal(network_find_switch(NETWORK_DEFAULT)->adapters, 0);
    cfg.seed = (struct seed_config){.host_name = "a"};
    for (cfg.disk_count = 0; cfg.disk_count < DP_MAX_DISKS; cfg.disk_count++) {
        cfg.disk[cfg.disk_count] = (struct disk_source){.path = "disk", .read_only = true};
    }
    assert_int_equal(system_create("refused", &cfg, &s, &error), CORE_LIMIT);
    cfg.disk_count--;
    assert_int_equal(system_create("full", &cfg, &s, &error), CORE_OK);
    assert_int_equal(terminate(s), CORE_OK);
}

static void test_disk_refused(void **state)
{
    struct system_config cfg;
    struct core_error error;
    struct system *s;
    uint64_t hog_chunks;
    gpa_t hog;

    (void)state;
    with_devices = true;
    cfg = config();
    cfg.disk[1].path = "nothing";
    assert_int_equal(system_create("refused", &cfg, &s, &error), CORE_NO_IMAGE);
    assert_non_null(strstr(error.text, "nothing"));
    cfg.disk_count = DP_MAX_DISKS + 1;
    assert_int_equal(system_create("refused", &cfg, &s, &error), CORE_LIMIT);
    s = create("large"); // memory for the guest, but not for its disks
    hog_chunks = pool_free() / PAGE_SIZE_2M - 32 / 2 - 1;
    assert_true(plat_pool_alloc(hog_chunks, &hog));
    assert_int_equal(start(s), CORE_NO_MEMORY);
    plat_pool_free(hog, hog_chunks);
    assert_nothing_left();
    assert_int_equal(start(s), CORE_OK);
    assert_int_equal(terminate(s), CORE_OK);
}

static void test_reader_outlives_system(void **state)
{
    struct core_error error;
    struct system *s = create("held");

    (void)state;
    system_ref(s);
    assert_int_equal(terminate(s), CORE_OK);
    assert_int_equal(system_delete(s, &error), CORE_OK);
    assert_true(s->deleted);
    assert_null(system_find("held"));
    system_unref(s); // frees it; the sanitizer would tell
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, teardown)
    const struct CMUnitTest tests[] = {
        T(test_start_run_terminate),
        T(test_huge_pages),
        T(test_memory_above_the_hole),
        T(test_guest_powers_off),
        T(test_guest_resets),
        T(test_stop_on_reset),
        T(test_terminate_during_reset),
        T(test_guest_crashes),
        T(test_shutdown),
        T(test_verbs_in_states),
        T(test_create_refuses),
        T(test_modules),
        T(test_modules_of_a_system),
        T(test_not_enough_memory_to_start),
        T(test_each_hypercall_fails_while_building),
        T(test_each_hypercall_wants_more_memory),
        T(test_own_tables_want_memory),
        T(test_endless_hunger_ends),
        T(test_reservation_refused),
        T(test_terminate_at_each_turn_of_building),
        T(test_slow_hypervisor_at_the_end),
        T(test_full_command_ring),
        T(test_data_plane_lets_go_late),
        T(test_many_systems),
        T(test_stopped_systems_are_bounded),
        T(test_images_in_use),
        T(test_disks),
        T(test_adapters),
        T(test_seed),
        T(test_seed_refused),
        T(test_disk_refused),
        T(test_reader_outlives_system),
    };

    return cmocka_run_group_tests(tests, setup_group, NULL);
}
