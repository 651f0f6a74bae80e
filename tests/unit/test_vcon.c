// srcs: mgmt/devices/vm.c mgmt/devices/bus.c mgmt/devices/vpci.c mgmt/devices/virtq.c mgmt/devices/virtio.c mgmt/devices/vblk.c mgmt/devices/vrng.c mgmt/devices/vcon.c mgmt/devices/vnet.c mgmt/block/block.c mgmt/devices/guest_mem.c mgmt/devices/ioapic.c mgmt/devices/uart16550.c mgmt/devices/rtc.c mgmt/devices/power.c mgmt/devices/vcpu.c mgmt/devices/walk.c mgmt/devices/io_intercept.c mgmt/devices/mmio_intercept.c mgmt/devices/exec_insn.c mgmt/devices/full_insn.c mgmt/devices/alu.c arch/x86/decode.c tests/unit/fake_hvif.c tests/unit/fake_driver.c
// libs: zydis
// SPDX-License-Identifier: Apache-2.0
// Guests' virtio console: bytes both ways, a slow reader, a guest without buffers, hostile buffers.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/fake_driver.h"

enum { RECEIVE, TRANSMIT };
#define DATA DRIVER_BUFFERS

static struct fake_guest g;
static struct driver d;

static int setup(void **state)
{
    (void)state;
    fake_reset();
    fake_guest_init(&g, 256);
    fake_guest_add_console(&g);
    driver_start(&d, &g, MACHINE_SLOT_CONSOLE, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(&g);
    return 0;
}

static size_t take(char *to)
{
    size_t n = 0;

    while (spsc_pop(&g.vm.com[DP_CONSOLE_VIRTIO].tx, &to[n])) {
        n++;
    }
    to[n] = '\0';
    return n;
}

static void type(const char *text)
{
    for (; *text != '\0'; text++) {
        assert_true(spsc_push(&g.vm.com[DP_CONSOLE_VIRTIO].rx, text));
    }
    vm_console_changed(&g.vm);
    driver_let_work(&g);
}

static void test_output(void **state)
{
    struct driver_buffer b[] = {{DATA, 3, false}, {DATA + 100, 2, false}};
    char text[65];
    uint16_t head;
    uint32_t n;

    (void)state;
    memcpy(driver_memory(&d, DATA), "abc", 3);
    memcpy(driver_memory(&d, DATA + 100), "de", 2);
    driver_add(&d, TRANSMIT, b, 2);
    driver_kick(&d, TRANSMIT);
    assert_int_equal(take(text), 5);
    assert_string_equal(text, "abcde");
    assert_true(driver_used(&d, TRANSMIT, &head, &n));
    assert_int_equal(n, 0);
    assert_int_equal(fake.event_count, 1);
    assert_int_equal(fake.events[0].type, DP_EV_CONSOLE);
    assert_int_equal(fake.interrupts[0].vector, 0x41);
}

// 150 bytes through a ring of 64: the buffer is the guest's again when the last byte is out.
static void test_slow_reader(void **state)
{
    struct driver_buffer b = {DATA, 150, false};
    char text[65], all[200] = "";
    uint16_t head;
    uint32_t n;

    (void)state;
    for (int i = 0; i < 150; i++) {
        driver_memory(&d, DATA)[i] = (uint8_t)('a' + i % 26);
    }
    driver_add(&d, TRANSMIT, &b, 1);
    driver_kick(&d, TRANSMIT);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(take(text), 64);
        strcat(all, text);
        assert_false(driver_used(&d, TRANSMIT, &head, &n));
        vm_console_changed(&g.vm);
        driver_let_work(&g);
    }
    assert_true(driver_used(&d, TRANSMIT, &head, &n));
    assert_int_equal(take(text), 22);
    strcat(all, text);
    assert_memory_equal(all, driver_memory(&d, DATA), 150);
}

static void test_input(void **state)
{
    struct driver_buffer b = {DATA, 4, true};
    uint16_t head;
    uint32_t n;

    (void)state;
    type("hel"); // no buffer yet: waits
    assert_int_equal(spsc_count(&g.vm.com[DP_CONSOLE_VIRTIO].rx), 3);
    driver_add(&d, RECEIVE, &b, 1);
    driver_kick(&d, RECEIVE);
    assert_true(driver_used(&d, RECEIVE, &head, &n));
    assert_int_equal(n, 3);
    assert_memory_equal(driver_memory(&d, DATA), "hel", 3);
    driver_add(&d, RECEIVE, &b, 1);
    driver_kick(&d, RECEIVE);
    assert_false(driver_used(&d, RECEIVE, &head, &n));
    type("lo world");
    assert_true(driver_used(&d, RECEIVE, &head, &n));
    assert_int_equal(n, 4);
    assert_memory_equal(driver_memory(&d, DATA), "lo w", 4);
    driver_add(&d, RECEIVE, &b, 1);
    driver_kick(&d, RECEIVE);
    assert_true(driver_used(&d, RECEIVE, &head, &n));
    assert_memory_equal(driver_memory(&d, DATA), "orld", 4);
}

// A reset in the middle of a buffer forgets how far it was.
static void test_reset(void **state)
{
    struct driver_buffer b = {DATA, 100, false};
    char text[65];

    (void)state;
    memset(driver_memory(&d, DATA), 'x', 100);
    driver_add(&d, TRANSMIT, &b, 1);
    driver_kick(&d, TRANSMIT);
    assert_int_equal(take(text), 64);
    driver_start(&d, &g, MACHINE_SLOT_CONSOLE, 0);
    b.length = 10;
    driver_add(&d, TRANSMIT, &b, 1);
    driver_kick(&d, TRANSMIT);
    assert_int_equal(take(text), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_output, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(test_input, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
