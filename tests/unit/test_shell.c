// srcs: mgmt/shell/shell.c mgmt/shell/line.c mgmt/shell/words.c mgmt/shell/table.c mgmt/shell/term.c mgmt/shell/command.c mgmt/shell/complete.c mgmt/shell/cmd_system.c mgmt/shell/cmd_node.c mgmt/shell/cmd_hv.c mgmt/shell/cmd_disk.c mgmt/block/block.c mgmt/block/disks.c mgmt/block/disk_io.c mgmt/block/gpt.c mgmt/core/auth.c mgmt/core/core.c mgmt/core/system.c mgmt/core/cloud_seed.c mgmt/block/fat_image.c mgmt/core/modules.c mgmt/core/system_run.c mgmt/core/partition.c mgmt/core/disk.c mgmt/block/ram_disk.c mgmt/core/partition_build.c mgmt/core/partition_stop.c mgmt/core/deposit.c mgmt/core/image.c mgmt/core/console.c mgmt/core/event.c mgmt/core/operation.c mgmt/core/notify.c mgmt/core/status.c mgmt/hvif/hvif_status.c tests/sim/hvif_sim.c tests/sim/dp_sim.c tests/sim/loader_sim.c tests/sim/plat_host.c tests/unit/fake_terminal.c mgmt/shell/cmd_store.c mgmt/core/keeper.c mgmt/core/network.c mgmt/vswitch/vswitch.c mgmt/vswitch/mac_table.c mgmt/vswitch/offload.c mgmt/vswitch/dhcp.c mgmt/shell/cmd_network.c
// libs: mbedtls
// SPDX-License-Identifier: Apache-2.0
// The shell at a terminal, over the real core on the simulated hypervisor: every command, completion, waiting,
// guest consoles.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/block/disk_io.h"
#include "mgmt/block/disks.h"
#include "mgmt/core/auth.h"
#include "mgmt/core/core.h"
#include "mgmt/core/event.h"
#include "mgmt/core/keeper.h"
#include "mgmt/core/system.h"
#include "mgmt/hcs/server.h"
#include "mgmt/shell/shell.h"
#include "mgmt/shell/term.h"
#include "mgmt/rt/cpu.h"
#include "mgmt/rt/wake.h"
#include "net/net.h"
#include "tests/sim/dp_sim.h"
#include "tests/sim/hvif_sim.h"
#include "tests/sim/plat_host.h"
#include "tests/unit/fake_terminal.h"

#define MB (1ull << 20)
#define CREATE "system create web --kernel kernel --memory 16"

// --- the network and the API, which are not under test ---

static bool network_started = true;

size_t net_addresses(char out[NET_ADDRESSES_MAX][NET_ADDRESS_TEXT])
{
    snprintf(out[0], NET_ADDRESS_TEXT, "192.0.2.7");
    snprintf(out[1], NET_ADDRESS_TEXT, "2001:db8::7");
    return 2;
}

bool net_link_up(void)
{
    return true;
}

const char *net_hostname(void)
{
    return network_started ? "node-7" : "";
}

void net_stats(struct net_stats *out)
{
    *out = (struct net_stats){.rx_frames = 1234567, .rx_bytes = 3 * MB, .tcp_connections = 5};
}

void api_server_fingerprint(char out[96])
{
    snprintf(out, 96, "AA:BB:CC");
}

void api_server_stats(struct http_stats *http, struct tls_stats *tls)
{
    *http = (struct http_stats){.requests = 4321, .websockets = 2};
    *tls = (struct tls_stats){.established = 3};
}

// --- a disk, and the data plane in front of it: both work whenever the doorbell rings ---

#define DISK_SECTORS (8u << 11)

static struct {
    struct block_device dev;
    struct block_queue queue;
    uint8_t medium[DISK_SECTORS * BLOCK_SECTOR];
    enum block_status status;
    bool held; // works later
} disk;

struct wake wake_data, wake_control;

gpa_t rt_virt_to_gpa(const void *va)
{
    return GPA((uint64_t)(uintptr_t)va);
}

static void disk_submit(struct block_device *dev, struct block_request *r)
{
    (void)dev;
    block_queue_push(&disk.queue, r);
}

static bool disk_service(struct block_device *dev)
{
    struct block_request *r;

    while (!disk.held && (r = block_queue_pop(&disk.queue)) != NULL) {
        uint8_t *medium = disk.medium + r->sector * BLOCK_SECTOR;
        void *memory = (void *)(uintptr_t)r->segments[0].gpa;

        if (r->op == BLOCK_READ) {
            memcpy(memory, medium, r->segments[0].length);
        } else if (r->op == BLOCK_WRITE) {
            memcpy(medium, memory, r->segments[0].length);
        }
        block_complete(dev, r, disk.status);
    }
    return false;
}

void wake(struct wake *w)
{
    if (w == &wake_data) {
        disk_io_serve();
        (void)disks_service(0);
    }
}

static void make_disk(void)
{
    static const struct block_ops ops = {.name = "test", .submit = disk_submit, .service = disk_service};
    static const struct gpt gpt = {
        .source = GPT_PRIMARY,
        .count = 1,
        .partitions = {{.number = 4, .first = 4096, .blocks = 2048, .label = "keelson-state"}}};
    struct node_disk *d;

    disk.dev = (struct block_device){
        .ops = &ops, .model = "Test disk", .sectors = DISK_SECTORS, .max_sectors = 256, .max_segments = 1};
    for (unsigned i = 0; i < sizeof(disk.medium); i++) {
        disk.medium[i] = (uint8_t)(i / BLOCK_SECTOR + 'A');
    }
    d = disks_add(&disk.dev);
    assert_non_null(d);
    disks_set_partitions(d, &gpt, false);
}

// --- the operator ---

static void settle(void)
{
    plat_host_settle();
}

static void type(const char *keys)
{
    sim_hv_console_type(keys, strlen(keys));
    settle();
}

// Runs a command on an empty screen and returns all that is to be seen then.
static const char *run(const char *command)
{
    terminal_reset();
    type(command);
    type("\r");
    return terminal_text();
}

static void assert_shows(const char *text, const char *wanted)
{
    if (strstr(text, wanted) == NULL) {
        fail_msg("no \"%s\" in:\n%s", wanted, text);
    }
}

static void assert_lacks(const char *text, const char *unwanted)
{
    if (strstr(text, unwanted) != NULL) {
        fail_msg("\"%s\" in:\n%s", unwanted, text);
    }
}

#define SHOWS(command, wanted) assert_shows(run(command), wanted)

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

static int setup_group(void **state)
{
    static const struct core_node node = {.version = "1.2.3",
                                          .engine = "sim",
                                          .cpu_brand = "Simulated CPU",
                                          .hostname = "node-7",
                                          .cpu_count = 2,
                                          .tsc_hz = 1000000000};

    (void)state;
    plat_host_log_level(LOG_ERROR);
    sim_hv_console_reader(terminal_put);
    core_init(&node);
    dp_sim_init();
    disk_io_init();
    make_disk();
    put_image("kernel", "KERNEL", 3 * MB);
    put_image("kernel-old", "KERNEL", 3 * MB);
    put_image("junk", "junk", 4096);
    shell_start();
    shell_start(); // once
    settle();
    return 0;
}

static int setup(void **state)
{
    (void)state;
    type("\x03"); // whatever a failed test left on the line
    return 0;
}

// Each test leaves the prompt and no systems.
static int teardown(void **state)
{
    struct core_error error;

    (void)state;
    type("\x1d\x03");
    for (struct system *s = system_next(NULL), *next; s != NULL; s = next) {
        next = system_next(s);
        if (s->state != SYSTEM_STOPPED) {
            (void)!system_terminate(s, NULL, &error);
            settle();
        }
        (void)!system_delete(s, &error);
    }
    settle();
    return system_count() == 0 && strcmp(terminal_row(0), "keelson>") == 0 ? 0 : 1;
}

// --- commands ---

static void test_help(void **state)
{
    const char *text = run("help");

    (void)state;
    assert_shows(text, "system create ID");
    assert_shows(text, "hv exits [PARTITION]");
    assert_shows(text, "\nkeelson>\n");
    text = run("help system create");
    assert_shows(text, "--cmdline TEXT");
    assert_lacks(text, "system list");
    SHOWS("help image", "image delete IMAGE");
    SHOWS("help nothing", "error: there is no command 'nothing'");
    assert_true(terminal_widest() < 110);
}

static void test_wrong_lines(void **state)
{
    (void)state;
    SHOWS("", "keelson>\nkeelson>\n");
    SHOWS("frobnicate", "error: there is no command 'frobnicate'; try help");
    SHOWS("system", "error: system what? try help system");
    SHOWS("system frobnicate", "error: there is no command 'system frobnicate'; try help system");
    SHOWS("system show", "usage: system show SYSTEM");
    SHOWS("system show a b", "error: 'b' is too much");
    SHOWS("system list --force", "error: system list has no option --force");
    SHOWS("system create x --memory", "error: --memory needs a value: MB");
    SHOWS("system show \"x", "error: a \" is not closed");
    SHOWS("system show \xc2\xa0\xc3\xbc", "error: there is no system '\xc2\xa0\xc3\xbc'");
}

static void test_facts(void **state)
{
    const char *text = run("node");

    (void)state;
    assert_shows(text, "version        Keelson 1.2.3");
    assert_shows(text, "processors     2 x Simulated CPU");
    assert_shows(text, "2001:db8::7");
    assert_shows(text, "fingerprint    AA:BB:CC");
    SHOWS("version", "Keelson 1.2.3\n");
    text = run("network");
    assert_shows(text, "received       1,234,567 frames, 3.0 MiB, 0 dropped");
    assert_shows(text, "192.0.2.7");
    assert_shows(text, "TCP            5 connections");
    network_started = false;
    SHOWS("network", "error: the network has not started");
    network_started = true;
    assert_shows(run("memory"), "images         10.0 MiB");
}

static void test_images(void **state)
{
    const char *text = run("image list");

    (void)state;
    assert_shows(text, "kernel-old  3.0 MiB  Ready      0");
    assert_shows(run("image show junk"), "size           4.0 KiB (4,096 bytes)");
    SHOWS("image show nope", "error: there is no image 'nope'");
    SHOWS("image delete nope", "error: there is no image 'nope'");
    SHOWS(CREATE, "web: created");
    SHOWS("image delete kernel", "error: ");
    put_image("doomed", "x", 100);
    SHOWS("image delete doomed", "doomed: deleted");
    assert_null(image_find("doomed"));
}

static void test_create(void **state)
{
    struct system *s;

    (void)state;
    SHOWS("system create web", "error: a system needs at least --kernel IMAGE and --memory MB");
    SHOWS("system create web --kernel nope --memory 16", "error: kernel image 'nope' is not on this node");
    SHOWS("system create web --kernel kernel --memory x", "error: memory: 'x' is no size");
    SHOWS("system create web --kernel kernel --memory 0", "error: memory: '0' is no number from 1");
    SHOWS("system create web --kernel kernel --memory 15",
          "error: memory must be a positive multiple of 2 MB");
    SHOWS("system create web --kernel kernel --memory 16 --cpus 0", "error: cpus: '0' is no number from 1");
    SHOWS("system create web --kernel kernel --memory 16 --cpus 2x", "error: cpus: '2x' is no number");
    SHOWS("system create web --kernel junk --memory 16", "error: kernel image 'junk'");
    assert_int_equal(system_count(), 0);
    SHOWS("system create \"my web\" --memory=32M --cpus=2 --kernel kernel --initrd junk --owner me "
          "--cmdline \"console=ttyS0 quiet\"",
          "my web: created");
    s = system_find("my web");
    assert_non_null(s);
    assert_int_equal(s->cfg.memory_bytes, 32 * MB);
    assert_int_equal(s->cfg.vp_count, 2);
    assert_string_equal(s->cmdline, "console=ttyS0 quiet");
    assert_string_equal(s->owner, "me");
    assert_true(s->com[0].present);
    SHOWS("system create my\\ web --memory 1G --kernel kernel", "error: there is already a system 'my web'");
    assert_shows(run("system show my\\ web"), "command line   console=ttyS0 quiet");
}

static void test_life_cycle(void **state)
{
    struct system *s;

    (void)state;
    run(CREATE);
    s = system_find("web");
    SHOWS("system list", "web  Created     1  16.0 MiB  console  -");
    SHOWS("system stop nope", "error: there is no system 'nope'");
    SHOWS("system pause web", "error: system 'web' cannot be paused: it is Created");
    SHOWS("system start web", "web: started\nkeelson>\n");
    assert_int_equal(s->state, SYSTEM_RUNNING);
    assert_shows(run("system show web"), "state          Running");
    SHOWS("system pause web", "web: paused\n");
    SHOWS("system resume web", "web: resumed\n");
    SHOWS("system delete web", "error: system 'web' is Running; terminate it first");
    SHOWS("poweroff", "error: 1 system runs and would end; say --force, or shut it down first");
    SHOWS("system shutdown web", "web: shut down\n");
    SHOWS("system list", "GracefulExit");
    SHOWS("system start web", "error: system 'web' has ended");
    SHOWS("system delete web", "web: deleted\n");
    run(CREATE);
    run("system start web");
    SHOWS("system stop web", "web: terminated\n");
    assert_shows(run("operation list"), "Terminate  web      Done");
    SHOWS("events", "SystemExited       web              terminated by a client");
    assert_lacks(run("events 1"), "SystemStarted");
}

// The prompt waits for the operation, keys for the prompt; Ctrl-C ends the waiting alone.
static void test_waiting(void **state)
{
    (void)state;
    run(CREATE);
    run("system start web");
    dp_sim_hold_detach(true);
    terminal_reset();
    type("system stop web\r");
    assert_string_equal(terminal_row(0), ""); // no prompt
    type("version\r");
    assert_lacks(terminal_text(), "Keelson");
    plat_host_advance_ms(300);
    settle();
    assert_shows(terminal_row(0), "web: terminating, ");
    type("\x03");
    assert_shows(terminal_text(), "^C: operation ");
    assert_string_equal(terminal_row(0), "keelson>");
    SHOWS("operation list", "Pending");
    dp_sim_hold_detach(false);
    plat_host_advance_ms(300);
    settle();
    assert_shows(run("system list"), "Stopped");

    run(CREATE);
    run("system start web");
    dp_sim_hold_detach(true);
    terminal_reset();
    type("system stop web\rversion\r");
    dp_sim_hold_detach(false);
    plat_host_advance_ms(300);
    settle();
    assert_shows(terminal_text(), "web: terminated\nkeelson> version\nKeelson 1.2.3\nkeelson>");
}

// A client may close the operation that the shell waits for.
static void test_operation_closed(void **state)
{
    (void)state;
    run(CREATE);
    run("system start web");
    dp_sim_hold_detach(true);
    terminal_reset();
    type("system stop web\r");
    operation_close(operation_first());
    dp_sim_hold_detach(false);
    plat_host_advance_ms(300);
    settle();
    assert_shows(terminal_text(), "web: terminated\nkeelson>");
}

static void test_failing_start(void **state)
{
    (void)state;
    run(CREATE);
    sim_hv_fail_only("create_vp");
    sim_hv_fail(1, HV_STATUS_OPERATION_DENIED, 1);
    assert_shows(run("system start web"), "error: ");
    assert_string_equal(terminal_row(0), "keelson>");
    sim_hv_fail(0, HV_STATUS_SUCCESS, 0);
    sim_hv_fail_only(NULL);
    SHOWS("system start web", "web: started");
}

// --- guest consoles ---

static void test_console(void **state)
{
    struct system *s;
    char history[4096];
    uint64_t sequence = 0;

    (void)state;
    SHOWS("console nope", "error: there is no system 'nope'");
    run(CREATE);
    SHOWS("console web --port 1", "error: the system's document has no such ComPorts or VirtioSerial entry");
    SHOWS("console web --port 2", "error: the system's document has no such ComPorts or VirtioSerial entry");
    SHOWS("console web --port 3", "error: port: '3' is no number from 0 to 2");
    run("system start web");
    s = system_find("web");
    terminal_reset();
    type("console web\r");
    assert_shows(terminal_text(), "[web: serial port 0, Ctrl-] leaves]");
    console_read(&s->com[0], &sequence, history, 16, NULL);
    history[sequence < 16 ? sequence : 16] = '\0';
    history[strcspn(history, "\r\n")] = '\0';
    assert_true(strlen(history) > 3);
    assert_shows(terminal_text(), history); // the banner
    type("hello guest\r");
    assert_shows(terminal_text(), "hello guest");
    terminal_reset();
    type("\x1d");
    assert_shows(terminal_text(), "[web: detached]\nkeelson>");
    assert_int_equal(s->refs, 0);
    // Again: all the history, and the rest of what was typed goes to the prompt.
    terminal_reset();
    type("system console web\r");
    assert_shows(terminal_text(), "hello guest");
    type("\x1dversion\r");
    assert_shows(terminal_text(), "keelson> version\nKeelson 1.2.3\n");
}

static void test_console_of_ending_guest(void **state)
{
    (void)state;
    run(CREATE);
    terminal_reset();
    type("console web\r"); // before it runs
    assert_shows(terminal_text(), "Ctrl-] leaves]");
    type("ignored");
    type("\x1d");
    run("system start web");
    type("console web\r");
    terminal_reset();
    type("poweroff\r");
    plat_host_advance_ms(300);
    settle();
    assert_shows(terminal_text(), "[web: powered off by the guest]\nkeelson>");
    SHOWS("console web", "[web: powered off by the guest]\nkeelson>"); // its last words stay
}

static bool output_seen;

static void second_reader(struct notify *n)
{
    (void)n;
    output_seen = true;
}

static void test_two_readers(void **state)
{
    struct notify other = {0};
    struct system *s;

    (void)state;
    run(CREATE);
    run("system start web");
    s = system_find("web");
    type("console web\r");
    notify_add(&s->com[0].readers, &other, second_reader);
    terminal_reset();
    type("both\r");
    assert_true(output_seen);
    assert_shows(terminal_text(), "both");
    type("\x1d");
    output_seen = false;
    assert_int_equal(console_write(&s->com[0], "more\r", 5), 5);
    settle();
    assert_true(output_seen); // the other one stays
    notify_remove(&s->com[0].readers, &other);
}

static void test_deleted_while_attached(void **state)
{
    struct core_error error;

    (void)state;
    run(CREATE);
    run("system start web");
    type("console web\r");
    dp_sim_hold_detach(true);
    assert_int_equal(system_terminate(system_find("web"), NULL, &error), CORE_OK);
    dp_sim_hold_detach(false);
    plat_host_advance_ms(300);
    settle();
    assert_shows(terminal_text(), "[web: terminated by a client]\nkeelson>");
    SHOWS("system delete web", "web: deleted");
}

// --- the hypervisor ---

static void test_hv(void **state)
{
    char number[64];

    (void)state;
    assert_shows(run("hv partitions"), "root       management");
    run(CREATE);
    SHOWS("hv exits web", "error: system 'web' is Created and has no partition");
    run("system start web");
    assert_shows(run("hv partitions"), "web");
    SHOWS("hv vps web", "runs");
    snprintf(number, sizeof number, "hv exits %llu", (unsigned long long)system_find("web")->partition.id);
    SHOWS(number, "all         0  0.0 %");
    SHOWS("hv exits root", "REASON");
    SHOWS("hv exits nope", "error: there is no partition 'nope'");
    SHOWS("hv exits", "REASON");
    SHOWS("hv memory", "deposited");
    SHOWS("hv log", "simulated hypervisor");
    SHOWS("hv loglevel", "0 (error)");
    SHOWS("hv loglevel debug", "keelson>");
    assert_int_equal(sim_hv_last_system_action(), HV_X_SET_LOG_LEVEL);
    SHOWS("hv loglevel 9", "error: level: '9' is no number from 0 to 4");
    SHOWS("hv dump root 0", "error: the management partition cannot stop itself");
    SHOWS("hv dump web 0", "keelson>");
    assert_int_equal(sim_hv_last_system_action(), HV_X_DUMP);
    SHOWS("hv dump web 99", "error: VP: '99' is no number");
}

// --- secret and end ---

static bool all_zero(uint64_t first, uint64_t sectors)
{
    for (uint64_t i = first * BLOCK_SECTOR; i < (first + sectors) * BLOCK_SECTOR; i++) {
        if (disk.medium[i] != 0) {
            return false;
        }
    }
    return true;
}

static void test_disks(void **state)
{
    (void)state;
    assert_shows(run("disks"), "disk0    Test disk      8.0 MiB  test");
    assert_shows(run("disk list"), "disk0p4  keelson-state  1.0 MiB  test");
    assert_shows(run("disk read disk0 1"), "1f0  42 42 42");
    SHOWS("disk read disk0p4 1", "000  42 42 42"); // sector 4097 looks like sector 1
    SHOWS("disk read disk0p4 2048", "error: sector: '2048' is no number from 0 to 2047");
    SHOWS("disk read disk7 0", "error: there is no disk 'disk7'");
    SHOWS("disk wipe disk0p4", "error: disk0p4 would lose what it holds; say --force");
    assert_false(all_zero(4096, 1));
    SHOWS("disk wipe disk0p4 --force", "disk0p4: wiped");
    assert_true(all_zero(4096, 2048));
    assert_false(all_zero(4095, 1) || all_zero(6144, 1));
    SHOWS("disk wipe disk0 --force", "disk0: wiped");
    assert_true(all_zero(0, 2048) && all_zero(DISK_SECTORS - 2048, 2048));
    assert_false(all_zero(2048, 1) || all_zero(DISK_SECTORS - 2049, 1));
    assert_int_equal(disk.dev.counters.requests[BLOCK_FLUSH], 2);
    disk.status = BLOCK_IO_ERROR;
    SHOWS("disk read disk0 1", "error: disk0: input/output error");
    SHOWS("disk wipe disk0 --force", "error: disk0: input/output error");
    disk.status = BLOCK_OK;
}

static void info_of_disk0p4(struct keeper_info *out)
{
    *out = (struct keeper_info){.place = "disk0p4", .problem = ""};
}

// Neither the partition that the store uses nor the disk around it.
static void test_no_wipe_of_the_store(void **state)
{
    static const struct keeper k = {.get_info = info_of_disk0p4};
    uint64_t writes = disk.dev.counters.requests[BLOCK_WRITE];

    (void)state;
    keeper_set(&k);
    SHOWS("disk wipe disk0p4 --force", "error: disk0p4 holds the state partition, which is in use");
    SHOWS("disk wipe disk0 --force", "error: disk0 holds the state partition, which is in use");
    keeper_set(NULL);
    assert_int_equal(disk.dev.counters.requests[BLOCK_WRITE], writes);
    SHOWS("disk wipe disk0p4", "say --force");
}

static void test_switches(void **state)
{
    static const struct switch_port_settings address = {.guarded = true, .mac = {2, 0, 0, 0, 0, 0x1f}};
    static const struct switch_port_settings wire = {.trunk = true};
    static struct switch_port uplink, management;

    (void)state;
    switch_port_init(&uplink, network_find_switch(NETWORK_DEFAULT)->vswitch, &wire);
    switch_port_init(&management, network_find_switch(NETWORK_DEFAULT)->vswitch, &address);
    uplink.counters.dropped_spoofed = 2;
    uplink.counters.dropped_vlan = 5;
    management.counters.rx_frames = 31;
    network_set_node_ports(&uplink, &management);
    SHOWS("switch list", "external");
    SHOWS("switch show default", "(uplink)      any                -     0, trunk");
    SHOWS("switch show default", "02:00:00:00:00:1f");
    assert_shows(terminal_text(), "  7");
    assert_shows(terminal_text(), "  31");
    SHOWS("switch show none", "error: there is no switch 'none'");
    assert_shows(run("switch show def\t"), "(management)");
    network_set_node_ports(NULL, NULL);
}

// The prompt waits for a slow disk, and keys wait for the prompt.
static void test_slow_disk(void **state)
{
    (void)state;
    disk.held = true;
    assert_lacks(run("disk read disk0 3000"), "1f0");
    type("version\r");
    assert_lacks(terminal_text(), "Keelson 1.2.3");
    disk.held = false;
    disk.dev.pending = true;
    wake(&wake_data);
    settle();
    assert_shows(terminal_text(), "1f0");
    assert_shows(terminal_text(), "Keelson 1.2.3");
}

static void test_secret(void **state)
{
    const char *text = run("secret new");
    const char *at = strstr(text, "administrator secret: ");
    struct auth_identity id;
    char header[64];

    (void)state;
    assert_non_null(at);
    snprintf(header, sizeof header, "Bearer %.32s", at + strlen("administrator secret: "));
    assert_int_equal(auth_check(header, (const uint8_t *)"peer", 4, &id), AUTH_OK);
    run("secret new");
    assert_int_equal(auth_check(header, (const uint8_t *)"peer", 4, &id), AUTH_REFUSED);
}

static void test_end(void **state)
{
    (void)state;
    run(CREATE);
    run("system start web");
    SHOWS("reboot", "error: 1 system runs");
    SHOWS("reboot --force", "the node restarts");
    plat_host_advance_ms(1000);
    settle();
    assert_int_equal(sim_hv_last_system_action(), HV_X_REBOOT);
    run("system stop web");
    SHOWS("poweroff", "the node powers off");
    plat_host_advance_ms(1000);
    settle();
    assert_int_equal(sim_hv_last_system_action(), HV_X_POWER_OFF);
}

// --- completion ---

static void assert_completes(const char *keys, const char *row)
{
    terminal_reset();
    type("\x15"); // an empty line
    type(keys);
    assert_string_equal(terminal_row(0), row);
    type("\x15");
}

static void test_completion(void **state)
{
    (void)state;
    run("system create \"my web\" --kernel kernel --memory 16");
    run("system create max --kernel kernel --memory 16");
    assert_completes("ver\t", "keelson> version");
    assert_completes("syst\tsh\t", "keelson> system sh");
    assert_shows(terminal_text(), "sh");
    assert_completes("system sho\tma\t", "keelson> system show max");
    assert_completes("system show my\t", "keelson> system show my\\ web");
    assert_completes("system show m\t", "keelson> system show m");
    assert_completes("system show m\t\t", "keelson> system show m");
    assert_completes("image show j\t", "keelson> image show junk");
    assert_completes("image show ker\t", "keelson> image show kernel");
    assert_completes("system create x --ker\tju\t", "keelson> system create x --kernel junk");
    assert_completes("system create x --m\t", "keelson> system create x --memory");
    assert_completes("console \"m\t", "keelson> console \"m");
    assert_completes("hv loglevel d\t", "keelson> hv loglevel debug");
    assert_completes("hv exits r\t", "keelson> hv exits root");
    assert_completes("frob\t", "keelson> frob");
    assert_completes("system list \t", "keelson> system list");
    terminal_reset();
    type("hv \t");
    assert_shows(terminal_text(), "partitions  vps  exits  memory  log  loglevel  dump");
    assert_string_equal(terminal_row(0), "keelson> hv");
    type("\x15\t");
    assert_shows(terminal_text(), "system  console  image  store  switch  event  events  operation");
    assert_true(terminal_widest() <= TERM_WIDTH);
}

// --- the line is slow ---

static void test_slow_line(void **state)
{
    (void)state;
    terminal_reset();
    sim_hv_console_room(100);
    type("help\r");
    assert_lacks(terminal_text(), "image delete");
    assert_true(term_pending() > 500);
    type("\x03"); // gives up what is queued
    assert_int_equal(term_pending(), strlen("^C\r\n\rkeelson> \x1b[K"));
    sim_hv_console_room(SIZE_MAX);
    plat_host_advance_ms(20);
    settle();
    assert_string_equal(terminal_row(0), "keelson>");
    terminal_reset();
    sim_hv_console_room(100);
    type("help\r");
    for (unsigned i = 0; i < 100 && term_pending() > 0; i++) {
        sim_hv_console_room(100);
        plat_host_advance_ms(20);
        settle();
    }
    sim_hv_console_room(SIZE_MAX);
    assert_shows(terminal_text(), "poweroff");
    assert_string_equal(terminal_row(0), "keelson>");
    assert_int_equal(term_pending(), 0);
}

static void test_harmless_text(void **state)
{
    (void)state;
    terminal_reset();
    term_print("a\x1b[2Jb\xc2\x9b"
               "c\n");
    settle();
    assert_shows(terminal_text(), "a?[2Jb??c");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_help),
        TEST(test_wrong_lines),
        TEST(test_facts),
        TEST(test_images),
        TEST(test_create),
        TEST(test_life_cycle),
        TEST(test_waiting),
        TEST(test_operation_closed),
        TEST(test_failing_start),
        TEST(test_console),
        TEST(test_console_of_ending_guest),
        TEST(test_two_readers),
        TEST(test_deleted_while_attached),
        TEST(test_hv),
        TEST(test_disks),
        TEST(test_no_wipe_of_the_store),
        TEST(test_switches),
        TEST(test_slow_disk),
        TEST(test_secret),
        TEST(test_end),
        TEST(test_completion),
        TEST(test_slow_line),
    };
    const struct CMUnitTest last[] = {cmocka_unit_test(test_harmless_text)};

    plat_host_manual_clock();
    return cmocka_run_group_tests(tests, setup_group, NULL) + cmocka_run_group_tests(last, NULL, NULL);
}
