// srcs: mgmt/devices/vm.c mgmt/devices/bus.c mgmt/devices/vpci.c mgmt/devices/virtq.c mgmt/devices/virtio.c mgmt/devices/vblk.c mgmt/devices/vrng.c mgmt/devices/vcon.c mgmt/devices/vnet.c mgmt/block/block.c mgmt/devices/guest_mem.c mgmt/devices/ioapic.c mgmt/devices/uart16550.c mgmt/devices/rtc.c mgmt/devices/power.c mgmt/devices/vcpu.c mgmt/devices/walk.c mgmt/devices/io_intercept.c mgmt/devices/mmio_intercept.c mgmt/devices/exec_insn.c mgmt/devices/full_insn.c mgmt/devices/alu.c arch/x86/decode.c tests/unit/fake_hvif.c
// libs: zydis
// SPDX-License-Identifier: Apache-2.0
// Serial port: registers as a driver probes them, interrupts, full rings, input.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/fake_hvif.h"

#define COM1 0x3f8
enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static struct fake_guest g;

static uint8_t in(int reg)
{
    return (uint8_t)fake_in(&g, (uint16_t)(COM1 + reg), 1);
}

static void out(int reg, uint8_t value)
{
    fake_out(&g, (uint16_t)(COM1 + reg), 1, value);
}

static void ioapic_write(uint8_t reg, uint32_t value)
{
    static const uint8_t store[] = {0x89, 0x07}; // mov %eax,(%rdi)
    uint32_t flags;

    for (int i = 0; i < 2; i++) {
        g.regs.gpr[7] = 0xfec00000 + (i ? 0x10 : 0);
        g.regs.gpr[0] = i ? value : reg;
        fake_mmio(&g, g.regs.gpr[7], true, store, sizeof(store));
        assert_true(fake_serve(&g, &flags));
    }
}

static int setup(void **state)
{
    (void)state;
    fake_reset();
    fake_guest_init(&g, 64);
    ioapic_write(0x10 + 4 * 2, 0x34); // pin 4: vector 0x34, edge, unmasked
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(&g);
    return 0;
}

static void test_reset_values(void **state)
{
    (void)state;
    assert_int_equal(in(IER), 0);
    assert_int_equal(in(IIR), 0x01);
    assert_int_equal(in(LCR), 0);
    assert_int_equal(in(LSR), 0x60);
    assert_int_equal(in(MSR), 0xb0);
    out(SCR, 0x5a);
    assert_int_equal(in(SCR), 0x5a);
    out(IER, 0xff); // upper bits do not exist
    assert_int_equal(in(IER), 0x0f);
}

static void test_divisor_latch(void **state)
{
    (void)state;
    assert_int_equal(in(DATA), 0);
    out(LCR, 0x83);
    out(DATA, 1);
    out(IER, 2);
    assert_int_equal(in(DATA), 1);
    assert_int_equal(in(IER), 2);
    out(LCR, 0x03);
    assert_int_equal(in(IER), 0);
}

// As Linux autoconfig() tells a 16550A.
static void test_probe_sequence(void **state)
{
    (void)state;
    out(MCR, 0x1a); // loopback, OUT2, RTS
    assert_int_equal(in(MSR)&0xf0, 0x90);
    out(MCR, 0);
    out(IIR, 0x01);
    assert_int_equal(in(IIR) >> 6, 3);
    out(IIR, 0x21); // no 64-byte FIFO
    assert_int_equal(in(IIR)&0x20, 0);
}

static void test_output(void **state)
{
    uint8_t byte;

    (void)state;
    out(DATA, 'h');
    assert_int_equal(fake.event_count, 1);
    assert_int_equal(fake.events[0].type, DP_EV_CONSOLE);
    out(DATA, 'i');
    assert_int_equal(fake.event_count, 1); // the reader has not caught up: it was told already
    assert_true(spsc_pop(&g.vm.com[0].tx, &byte));
    assert_int_equal(byte, 'h');
    assert_true(spsc_pop(&g.vm.com[0].tx, &byte));
    assert_int_equal(byte, 'i');
    out(DATA, '!');
    assert_int_equal(fake.event_count, 2);
}

static void test_back_pressure_loses_nothing(void **state)
{
    uint8_t byte, expected = 0, sent = 0;
    struct vm_counters counters;

    (void)state;
    out(IIR, 0x01); // FIFO on
    for (int round = 0; round < 50; round++) {
        while (in(LSR)&0x20) {
            out(DATA, sent++);
        }
        while (spsc_pop(&g.vm.com[0].tx, &byte)) {
            assert_int_equal(byte, expected++);
        }
        vm_console_changed(&g.vm);
    }
    assert_true(sent != expected || spsc_count(&g.vm.com[0].tx) == 0);
    vm_get_counters(&g.vm, &counters);
    assert_int_equal(counters.com_overrun[0], 0);
    // A driver that does not look loses what neither ring nor FIFO holds, and it is counted.
    for (int i = 0; i < 64 + 16 + 5; i++) {
        out(DATA, 'x');
    }
    vm_get_counters(&g.vm, &counters);
    assert_true(counters.com_overrun[0] > 0);
}

static void test_full_ring_raises_thre_when_drained(void **state)
{
    uint8_t byte;

    (void)state;
    out(MCR, 0x08);
    out(IIR, 0x01);
    for (int i = 0; i < 65; i++) {
        out(DATA, 'x');
    }
    assert_int_equal(in(LSR)&0x60, 0);
    out(IER, 0x02);
    assert_int_equal(fake.interrupt_count, 0); // transmitter is not empty
    assert_true(vm_next_deadline(&g.vm) != VM_NO_DEADLINE);
    assert_true(spsc_pop(&g.vm.com[0].tx, &byte));
    // No word from the control plane: the retry finds the room.
    fake.now_ns += 20000000;
    vm_run_timers(&g.vm, fake.now_ns);
    assert_int_equal(fake.interrupt_count, 1);
    assert_int_equal(fake.interrupts[0].vector, 0x34);
    assert_int_equal(in(IIR), 0xc2);
    assert_int_equal(in(IIR), 0xc1); // acknowledged by reading
}

// A reader that never comes is reminded ever more rarely; one that keeps up costs no timer.
static void test_reminders_become_rare(void **state)
{
    uint8_t byte;
    uint32_t before;

    (void)state;
    out(DATA, 'x');
    before = fake.event_count;
    for (int i = 0; i < 10000; i++) {
        fake.now_ns += 1000000;
        vm_run_timers(&g.vm, fake.now_ns);
    }
    assert_in_range(fake.event_count - before, 8, 20); // in ten seconds
    assert_true(spsc_pop(&g.vm.com[0].tx, &byte));
    fake.now_ns += 2000000000;
    vm_run_timers(&g.vm, fake.now_ns);
    assert_true(vm_next_deadline(&g.vm) == VM_NO_DEADLINE);
}

static void test_thre_interrupt_repeats_on_enable(void **state)
{
    (void)state;
    out(MCR, 0x08);
    out(IER, 0x02);
    assert_int_equal(fake.interrupt_count, 1);
    assert_int_equal(in(IIR), 0x02);
    out(IER, 0x00);
    out(IER, 0x02);
    assert_int_equal(fake.interrupt_count, 2);
    assert_int_equal(in(IIR), 0x02);
    out(DATA, 'a');
    assert_int_equal(fake.interrupt_count, 3);
}

static void test_out2_gates_the_interrupt(void **state)
{
    (void)state;
    out(IER, 0x02);
    assert_int_equal(fake.interrupt_count, 0);
    assert_int_equal(in(IIR), 0x02); // pending all the same
    out(IER, 0);
    out(IER, 2);
    out(MCR, 0x08);
    assert_int_equal(fake.interrupt_count, 1);
}

static void type(const char *text)
{
    for (; *text; text++) {
        assert_true(spsc_push(&g.vm.com[0].rx, text));
    }
    vm_console_changed(&g.vm);
}

static void test_input_interrupts(void **state)
{
    (void)state;
    out(MCR, 0x08);
    out(IIR, 0x41); // FIFO on, trigger at 4
    out(IER, 0x01);
    type("ab");
    assert_int_equal(fake.interrupt_count, 1);
    assert_int_equal(in(IIR), 0xcc); // below the trigger: timeout
    type("cd");
    assert_int_equal(in(IIR), 0xc4);
    assert_int_equal(in(LSR)&1, 1);
    assert_int_equal(in(DATA), 'a');
    assert_int_equal(in(DATA), 'b');
    assert_int_equal(in(DATA), 'c');
    assert_int_equal(in(DATA), 'd');
    assert_int_equal(in(LSR)&1, 0);
    assert_int_equal(in(IIR), 0xc1);
    assert_int_equal(fake.interrupt_count, 1); // one edge
    type("e");
    assert_int_equal(fake.interrupt_count, 2);
}

static void test_long_input_waits_in_the_ring(void **state)
{
    (void)state;
    out(IIR, 0x01);
    type("0123456789abcdefghijklmnopqrstuvwxyz");
    for (const char *p = "0123456789abcdefghijklmnopqrstuvwxyz"; *p; p++) {
        assert_int_equal(in(LSR)&1, 1);
        assert_int_equal(in(DATA), *p);
    }
    assert_int_equal(in(LSR)&1, 0);
}

static void test_loopback_data_and_overrun(void **state)
{
    (void)state;
    out(MCR, 0x10);
    out(DATA, 0x42);
    assert_int_equal(in(LSR)&1, 1);
    out(DATA, 0x43); // no FIFO: one byte
    assert_int_equal(in(LSR)&2, 2);
    assert_int_equal(in(LSR)&2, 0);
    assert_int_equal(in(DATA), 0x42);
    assert_int_equal(spsc_count(&g.vm.com[0].tx), 0);
}

static void test_modem_deltas(void **state)
{
    (void)state;
    (void)in(MSR);
    out(MCR, 0x10); // loopback with all outputs off: CTS, DSR, DCD drop
    assert_int_equal(in(MSR), 0x0b);
    out(MCR, 0x14); // OUT1 -> RI on: no delta until it goes off
    assert_int_equal(in(MSR), 0x40);
    out(MCR, 0x10);
    assert_int_equal(in(MSR), 0x04);
}

static void test_interrupt_priority(void **state)
{
    (void)state;
    out(MCR, 0x10);
    out(IER, 0x0f);
    out(DATA, 1);
    out(DATA, 2); // overrun
    assert_int_equal(in(IIR), 0x06);
    (void)in(LSR);
    assert_int_equal(in(IIR), 0x04);
    (void)in(DATA);
    assert_int_equal(in(IIR), 0x02);
    assert_int_equal(in(IIR), 0x00);
    (void)in(MSR);
    assert_int_equal(in(IIR), 0x01);
}

static void test_wide_access_is_bytewise(void **state)
{
    (void)state;
    fake_out(&g, COM1 + SCR, 2, 0xff77); // second byte beyond the port's range
    assert_int_equal(fake_in(&g, COM1 + MSR, 2), 0x77b0);
    assert_int_equal(fake_in(&g, COM1 + SCR, 2), 0xff77);
}

static void test_absent_port(void **state)
{
    struct vm_counters before, after;

    (void)state;
    g.vm.com[1].present = false;
    vm_devices_init(&g.vm);
    vm_get_counters(&g.vm, &before);
    assert_int_equal(fake_in(&g, 0x2f8 + LSR, 1), 0xff);
    vm_get_counters(&g.vm, &after);
    assert_int_equal(after.unclaimed_ports, before.unclaimed_ports + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reset_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_divisor_latch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_probe_sequence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_output, setup, teardown),
        cmocka_unit_test_setup_teardown(test_back_pressure_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_ring_raises_thre_when_drained, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reminders_become_rare, setup, teardown),
        cmocka_unit_test_setup_teardown(test_thre_interrupt_repeats_on_enable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out2_gates_the_interrupt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_input_interrupts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_input_waits_in_the_ring, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loopback_data_and_overrun, setup, teardown),
        cmocka_unit_test_setup_teardown(test_modem_deltas, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interrupt_priority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wide_access_is_bytewise, setup, teardown),
        cmocka_unit_test_setup_teardown(test_absent_port, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
