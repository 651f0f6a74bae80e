// srcs: mgmt/devices/vm.c mgmt/devices/bus.c mgmt/devices/guest_mem.c mgmt/devices/ioapic.c mgmt/devices/uart16550.c mgmt/devices/rtc.c mgmt/devices/power.c mgmt/devices/vcpu.c mgmt/devices/walk.c mgmt/devices/io_intercept.c mgmt/devices/mmio_intercept.c mgmt/devices/exec_insn.c mgmt/devices/full_insn.c mgmt/devices/alu.c arch/x86/decode.c tests/unit/fake_hvif.c
// libs: zydis
// SPDX-License-Identifier: Apache-2.0
// Real-time clock: calendar, formats, setting the time, alarm, update and periodic interrupts.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "mgmt/devices/rtc.h"
#include "tests/unit/fake_hvif.h"

#define NS_PER_MS 1000000ull

static struct ioapic ioapic;
static bool timers_moved;
static struct rtc rtc;

static uint8_t get(uint8_t reg)
{
    rtc_ops.write(&rtc, 0, reg);
    return rtc_ops.read(&rtc, 1);
}

static void set(uint8_t reg, uint8_t value)
{
    rtc_ops.write(&rtc, 0, reg);
    rtc_ops.write(&rtc, 1, value);
}

static void pass(uint64_t ms)
{
    fake.unix_ms += (int64_t)ms;
    fake.now_ns += ms * NS_PER_MS;
}

static bool irq(void)
{
    return ioapic.lines & BIT(8);
}

static int setup(void **state)
{
    (void)state;
    fake_reset();
    ioapic_init(&ioapic, 7);
    rtc_init(&rtc, (struct irq_line){&ioapic, 8}, &timers_moved);
    return 0;
}

static void check(uint8_t century, uint8_t year, uint8_t month, uint8_t day, uint8_t weekday, uint8_t hour,
                  uint8_t minute, uint8_t second)
{
    assert_int_equal(get(0x32), century);
    assert_int_equal(get(9), year);
    assert_int_equal(get(8), month);
    assert_int_equal(get(7), day);
    assert_int_equal(get(6), weekday);
    assert_int_equal(get(4), hour);
    assert_int_equal(get(2), minute);
    assert_int_equal(get(0), second);
}

static void test_calendar(void **state)
{
    static const struct {
        int64_t seconds;
        uint8_t bcd[8];
    } cases[] = {
        {0, {0x19, 0x70, 0x01, 0x01, 5, 0x00, 0x00, 0x00}},
        {951782399, {0x20, 0x00, 0x02, 0x28, 2, 0x23, 0x59, 0x59}},
        {951782400, {0x20, 0x00, 0x02, 0x29, 3, 0x00, 0x00, 0x00}},
        {1767225600, {0x20, 0x26, 0x01, 0x01, 5, 0x00, 0x00, 0x00}},
        {1795235131, {0x20, 0x26, 0x11, 0x21, 7, 0x04, 0x25, 0x31}},
        {4107542400, {0x21, 0x00, 0x03, 0x01, 2, 0x00, 0x00, 0x00}},
        {4102444799, {0x20, 0x99, 0x12, 0x31, 5, 0x23, 0x59, 0x59}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const uint8_t *c = cases[i].bcd;

        fake.unix_ms = cases[i].seconds * 1000;
        check(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]);
    }
}

static void test_formats(void **state)
{
    (void)state;
    fake.unix_ms += 15 * 3600000 + 45 * 60000;
    assert_int_equal(get(4), 0x15);
    set(0x0b, 0x06);
    assert_int_equal(get(4), 15);
    assert_int_equal(get(2), 45);
    set(0x0b, 0x00);
    assert_int_equal(get(4), 0x83); // 3 PM
    fake.unix_ms += 9 * 3600000;    // 00:45
    assert_int_equal(get(4), 0x12);
    assert_int_equal(get(0x0d), 0x80);
}

static void test_setting_the_time(void **state)
{
    (void)state;
    set(0x0b, 0x82);
    set(0x32, 0x20);
    set(9, 0x30);
    set(8, 0x06);
    set(7, 0x15);
    set(4, 0x12);
    set(2, 0x34);
    set(0, 0x56);
    pass(5000); // frozen
    assert_int_equal(get(0), 0x56);
    set(0x0b, 0x02);
    check(0x20, 0x30, 0x06, 0x15, 7, 0x12, 0x34, 0x56);
    pass(4000);
    check(0x20, 0x30, 0x06, 0x15, 7, 0x12, 0x35, 0x00);
    set(2, 0x59); // one register, running
    check(0x20, 0x30, 0x06, 0x15, 7, 0x12, 0x59, 0x00);
}

static void test_garbage_time(void **state)
{
    (void)state;
    for (int value = 0; value < 256; value += 5) {
        for (uint8_t reg = 0; reg < 10; reg++) {
            set(reg, (uint8_t)value);
        }
        set(0x32, (uint8_t)value);
        (void)get(8);
        (void)rtc_deadline(&rtc);
    }
}

static void test_update_in_progress(void **state)
{
    (void)state;
    assert_int_equal(get(0x0a), 0x26);
    pass(999);
    assert_int_equal(get(0x0a), 0xa6);
    pass(1);
    assert_int_equal(get(0x0a), 0x26);
}

static void test_update_interrupt(void **state)
{
    (void)state;
    assert_int_equal(rtc_deadline(&rtc), 0); // an idle clock costs nothing
    set(0x0b, 0x12);
    assert_int_equal(rtc_deadline(&rtc), fake.now_ns + 1000 * NS_PER_MS);
    pass(1000);
    rtc_run(&rtc);
    assert_true(irq());
    assert_int_equal(get(0x0c) & 0xb0, 0x90); // PF runs by itself
    assert_false(irq());
    assert_int_equal(get(0x0c), 0);
}

static void test_alarm(void **state)
{
    (void)state;
    set(1, 0x05);
    set(3, 0x00);
    set(5, 0xc0); // any hour
    set(0x0b, 0x22);
    for (int i = 0; i < 4; i++) {
        pass(1000);
        rtc_run(&rtc);
        assert_false(irq());
    }
    pass(1000);
    rtc_run(&rtc);
    assert_true(irq());
    assert_int_equal(get(0x0c) & 0xb0, 0xb0);
}

static void test_periodic(void **state)
{
    (void)state;
    set(0x0b, 0x42); // rate 6: 976.562 us
    assert_int_equal(rtc_deadline(&rtc), fake.now_ns + 976562);
    fake.now_ns += 976562;
    rtc_run(&rtc);
    assert_true(irq());
    assert_int_equal(get(0x0c) & 0x40, 0x40);
    fake.now_ns += 10 * 976562 + 5;
    rtc_run(&rtc);
    assert_true(rtc_deadline(&rtc) > fake.now_ns);
    assert_true(rtc_deadline(&rtc) <= fake.now_ns + 976562);
    set(0x0a, 0x20); // rate 0: off
    assert_int_equal(rtc_deadline(&rtc), 0);
}

static void test_memory(void **state)
{
    (void)state;
    set(0x40, 0xab);
    assert_int_equal(get(0x40), 0xab);
    assert_int_equal(get(0x40 | 0x80), 0xab); // NMI mask bit
    assert_int_equal(rtc_ops.read(&rtc, 0), 0xff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_calendar, setup),
        cmocka_unit_test_setup(test_formats, setup),
        cmocka_unit_test_setup(test_setting_the_time, setup),
        cmocka_unit_test_setup(test_garbage_time, setup),
        cmocka_unit_test_setup(test_update_in_progress, setup),
        cmocka_unit_test_setup(test_update_interrupt, setup),
        cmocka_unit_test_setup(test_alarm, setup),
        cmocka_unit_test_setup(test_periodic, setup),
        cmocka_unit_test_setup(test_memory, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
