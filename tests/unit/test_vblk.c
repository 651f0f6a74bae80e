// srcs: mgmt/devices/vm.c mgmt/devices/bus.c mgmt/devices/vpci.c mgmt/devices/virtq.c mgmt/devices/virtio.c mgmt/devices/vblk.c mgmt/devices/vrng.c mgmt/devices/vcon.c mgmt/devices/vnet.c mgmt/block/block.c mgmt/devices/guest_mem.c mgmt/devices/ioapic.c mgmt/devices/uart16550.c mgmt/devices/rtc.c mgmt/devices/power.c mgmt/devices/vcpu.c mgmt/devices/walk.c mgmt/devices/io_intercept.c mgmt/devices/mmio_intercept.c mgmt/devices/exec_insn.c mgmt/devices/full_insn.c mgmt/devices/alu.c arch/x86/decode.c tests/unit/fake_hvif.c mgmt/block/ram_disk.c tests/unit/fake_driver.c
// libs: zydis
// SPDX-License-Identifier: Apache-2.0
// Guests' block device over a disk in memory: data of every shape, limits, refusals, requests in parts, reset.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "mgmt/block/ram_disk.h"
#include "tests/unit/fake_driver.h"

#define SECTORS 4096u
#define DISK MACHINE_SLOT_DISK
#define HEADER DRIVER_BUFFERS
#define STATUS (DRIVER_BUFFERS + 0x800)
#define DATA (DRIVER_BUFFERS + 0x1000)

enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11 };
#define F_READ_ONLY BIT(5)
#define F_FLUSH BIT(9)
#define F_DISCARD BIT(13)

static struct fake_guest g;
static struct ram_disk disk;
static struct driver d;
static uint8_t *medium;

static void start(uint64_t features)
{
    fake_guest_add_disk(&g, &disk.device);
    driver_start(&d, &g, DISK, features);
}

static int setup(void **state)
{
    (void)state;
    fake_reset();
    medium = malloc(SECTORS * 512);
    for (uint32_t i = 0; i < SECTORS * 512; i++) {
        medium[i] = (uint8_t)(i * 7 + i / 512);
    }
    ram_disk_init(&disk, medium, SECTORS, false, "serial-1");
    fake_guest_init(&g, 256);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(&g);
    free(medium);
    return 0;
}

// One request of up to 13 pieces of data; returns its status, and the used length in *length.
static uint8_t request(uint32_t type, uint64_t sector, const struct driver_buffer *data, uint16_t count,
                       uint32_t *length)
{
    struct driver_buffer b[15] = {{HEADER, 16, false}};
    uint16_t head, used;

    memset(driver_memory(&d, HEADER), 0, 16);
    memcpy(driver_memory(&d, HEADER), &type, 4);
    memcpy(driver_memory(&d, HEADER + 8), &sector, 8);
    driver_memory(&d, STATUS)[0] = 0xee;
    memcpy(&b[1], data, count * sizeof(*data));
    b[count + 1] = (struct driver_buffer){STATUS, 1, true};
    head = driver_add(&d, 0, b, (uint16_t)(count + 2));
    driver_kick(&d, 0);
    assert_true(driver_used(&d, 0, &used, length));
    assert_int_equal(head, used);
    return driver_memory(&d, STATUS)[0];
}

static void test_read_and_write(void **state)
{
    struct driver_buffer out[] = {{DATA + 0x4000, 512, false}, {DATA + 0x8000, 1024, false}};
    struct driver_buffer in[] = {{DATA, 1024, true}, {DATA + 0x2000, 512, true}};
    uint32_t n;

    (void)state;
    start(0);
    assert_int_equal(request(IN, 7, in, 2, &n), 0);
    assert_int_equal(n, 1537);
    assert_memory_equal(driver_memory(&d, DATA), medium + 7 * 512, 1024);
    assert_memory_equal(driver_memory(&d, DATA + 0x2000), medium + 9 * 512, 512);
    memset(driver_memory(&d, DATA + 0x4000), 0x11, 512);
    memset(driver_memory(&d, DATA + 0x8000), 0x22, 1024);
    assert_int_equal(request(OUT, SECTORS - 3, out, 2, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(medium[(SECTORS - 3) * 512], 0x11);
    assert_int_equal(medium[SECTORS * 512 - 1], 0x22);
}

// Header, data and status may share descriptors and pieces may be cut anywhere, as long as memory is contiguous.
static void test_any_layout(void **state)
{
    struct driver_buffer b[] = {{DATA, 100, true}, {DATA + 100, 413, true}};
    uint8_t header[16] = {0};
    uint16_t head;
    uint32_t n;

    (void)state;
    start(0);
    memcpy(driver_memory(&d, HEADER), header, 16);
    struct driver_buffer all[] = {{HEADER, 6, false}, {HEADER + 6, 10, false}, b[0], b[1]};

    driver_memory(&d, DATA + 512)[0] = 0xee;
    driver_add(&d, 0, all, 4);
    driver_kick(&d, 0);
    assert_true(driver_used(&d, 0, &head, &n));
    assert_int_equal(n, 513);
    assert_memory_equal(driver_memory(&d, DATA), medium, 512);
    assert_int_equal(driver_memory(&d, DATA + 512)[0], 0); // status behind the data
}

// A request that is longer than the medium takes goes in parts.
static void test_parts(void **state)
{
    struct driver_buffer in[] = {{DATA, 512 * 10, true}, {DATA + 0x8000, 512 * 11, true}};
    uint32_t n;

    (void)state;
    disk.device.max_sectors = 4;
    disk.device.max_segments = 1;
    start(0);
    assert_int_equal(request(IN, 100, in, 2, &n), 0);
    assert_int_equal(n, 512 * 21 + 1);
    assert_memory_equal(driver_memory(&d, DATA), medium + 100 * 512, 512 * 10);
    assert_memory_equal(driver_memory(&d, DATA + 0x8000), medium + 110 * 512, 512 * 11);
    assert_int_equal(disk.device.counters.requests[BLOCK_READ], 3 + 3);
    assert_int_equal(disk.device.counters.queued, 0);
}

static void test_refused(void **state)
{
    struct driver_buffer one = {DATA, 512, true}, odd = {DATA, 500, true},
                         split[] = {{DATA, 256, true}, {DATA + 512, 256, true}};
    struct driver_buffer misaligned = {DATA + 2, 512, true};
    uint32_t n;

    (void)state;
    start(0);
    assert_int_equal(request(IN, SECTORS, &one, 1, &n), 1);
    assert_int_equal(n, 1);
    assert_int_equal(request(IN, UINT64_MAX, &one, 1, &n), 1);
    assert_int_equal(request(IN, 0, &one, 0, &n), 1);
    assert_int_equal(request(IN, 0, &odd, 1, &n), 1);
    assert_int_equal(request(IN, 0, split, 2, &n), 1);
    assert_int_equal(request(IN, 0, &misaligned, 1, &n), 1);
    assert_int_equal(g.vm.devices->disk[0].unreachable, 4);
    assert_int_equal(request(99, 0, &one, 1, &n), 2);
    assert_int_equal(driver_status(&d), 15); // none of it is a reason for a reset
    assert_int_equal(request(IN, 0, &one, 1, &n), 0);
}

static void test_identity(void **state)
{
    struct driver_buffer id = {DATA, 20, true};
    uint32_t n;

    (void)state;
    start(0);
    assert_int_equal(request(GET_ID, 0, &id, 1, &n), 0);
    assert_int_equal(n, 21);
    assert_string_equal((char *)driver_memory(&d, DATA), "serial-1");
    id.length = 19;
    assert_int_equal(request(GET_ID, 0, &id, 1, &n), 1);
    assert_int_equal(driver_read(&d, 0x1000, 4), SECTORS);
    assert_int_equal(driver_read(&d, 0x1000 + 12, 4), 64);  // seg_max
    assert_int_equal(driver_read(&d, 0x1000 + 20, 4), 512); // blk_size
    assert_int_equal(driver_read(&d, 0x1000 + 24, 1), 3);   // 4 KiB physical
    assert_int_equal(driver_read(&d, 0x10fc, 4), 0);
}

static void test_discard(void **state)
{
    struct driver_buffer range = {DATA, 16, false};
    uint64_t fields[2] = {5, 3};
    uint32_t n;

    (void)state;
    start(F_DISCARD);
    assert_true(d.offered & F_DISCARD);
    memcpy(driver_memory(&d, DATA), fields, 16);
    assert_int_equal(request(DISCARD, 0, &range, 1, &n), 0);
    assert_int_equal(medium[5 * 512], 0);
    assert_int_equal(medium[8 * 512 - 1], 0);
    assert_int_not_equal(medium[8 * 512 + 1], 0);
    fields[1] = 3 | 1ull << 32; // unmap: not for this type
    memcpy(driver_memory(&d, DATA), fields, 16);
    assert_int_equal(request(DISCARD, 0, &range, 1, &n), 2);
    fields[0] = SECTORS - 1;
    fields[1] = 2;
    memcpy(driver_memory(&d, DATA), fields, 16);
    assert_int_equal(request(DISCARD, 0, &range, 1, &n), 1);
}

static void test_read_only(void **state)
{
    struct driver_buffer out = {DATA, 512, false};
    uint8_t before = medium[0];
    uint32_t n;

    (void)state;
    ram_disk_init(&disk, medium, SECTORS, true, "");
    start(0);
    assert_true(d.offered & F_READ_ONLY);
    assert_false(d.offered & F_DISCARD);
    driver_memory(&d, DATA)[0] = (uint8_t)~before;
    assert_int_equal(request(OUT, 0, &out, 1, &n), 1);
    assert_int_equal(medium[0], before);
}

// A device that records what it is given, and answers when the test wants.
static struct block_request *taken[VBLK_REQUESTS + 4];
static unsigned taken_count;

static void take(struct block_device *dev, struct block_request *r)
{
    (void)dev;
    taken[taken_count++] = r;
}

static bool nothing(struct block_device *dev)
{
    (void)dev;
    return false;
}

static const struct block_ops slow_ops = {.name = "slow", .submit = take, .service = nothing};

// Without FLUSH every write must be on the medium when it is done; with it, none.
static void test_write_cache(void **state)
{
    struct driver_buffer b[] = {{HEADER, 16, false}, {DATA, 512, false}, {STATUS, 1, true}};

    (void)state;
    for (int flush = 0; flush < 2; flush++) {
        taken_count = 0;
        g.vm.disk_count = 0;
        disk.device.ops = &slow_ops;
        disk.device.write_cache = true;
        start(flush ? F_FLUSH : 0);
        assert_true(d.offered & F_FLUSH);
        memset(driver_memory(&d, HEADER), 0, 16);
        driver_memory(&d, HEADER)[0] = OUT;
        driver_add(&d, 0, b, 3);
        driver_kick(&d, 0);
        assert_int_equal(taken_count, 1);
        assert_int_equal(taken[0]->fua, !flush);
        block_complete(&disk.device, taken[0], BLOCK_OK);
        if (flush) {
            driver_memory(&d, HEADER)[0] = FLUSH;
            driver_add(&d, 0, (struct driver_buffer[]){b[0], b[2]}, 2);
            driver_kick(&d, 0);
            assert_int_equal(taken_count, 2);
            assert_int_equal(taken[1]->op, BLOCK_FLUSH);
            block_complete(&disk.device, taken[1], BLOCK_IO_ERROR);
            assert_int_equal(driver_memory(&d, STATUS)[0], 1);
        }
    }
}

// More chains than the device has requests wait in the queue and come when others are done.
static void test_more_than_fit(void **state)
{
    struct driver_buffer b[] = {{HEADER, 16, false}, {STATUS, 1, true}};
    uint16_t head;
    uint32_t n;
    unsigned used = 0;

    (void)state;
    taken_count = 0;
    disk.device.ops = &slow_ops;
    disk.device.write_cache = true;
    start(F_FLUSH);
    memset(driver_memory(&d, HEADER), 0, 16);
    driver_memory(&d, HEADER)[0] = FLUSH;
    for (unsigned i = 0; i < VBLK_REQUESTS + 2; i++) { // the same two descriptors again and again
        d.queue[0].next_free = 0;
        driver_add(&d, 0, b, 2);
        driver_kick(&d, 0);
    }
    assert_int_equal(taken_count, VBLK_REQUESTS);
    for (unsigned i = 0; i < VBLK_REQUESTS + 2; i++) {
        assert_true(i < taken_count);
        block_complete(&disk.device, taken[i], BLOCK_OK);
        driver_let_work(&g);
        used += driver_used(&d, 0, &head, &n);
    }
    assert_int_equal(used, VBLK_REQUESTS + 2);
    assert_int_equal(g.vm.devices->disk[0].in_flight, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read_and_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_any_layout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_discard, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_cache, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_than_fit, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
