// srcs: mgmt/devices/vm.c mgmt/devices/bus.c mgmt/devices/vpci.c mgmt/devices/virtq.c mgmt/devices/virtio.c mgmt/devices/vblk.c mgmt/devices/vrng.c mgmt/devices/vcon.c mgmt/devices/vnet.c mgmt/block/block.c mgmt/devices/guest_mem.c mgmt/devices/ioapic.c mgmt/devices/uart16550.c mgmt/devices/rtc.c mgmt/devices/power.c mgmt/devices/vcpu.c mgmt/devices/walk.c mgmt/devices/io_intercept.c mgmt/devices/mmio_intercept.c mgmt/devices/exec_insn.c mgmt/devices/full_insn.c mgmt/devices/alu.c arch/x86/decode.c tests/unit/fake_hvif.c
// libs: zydis
// SPDX-License-Identifier: Apache-2.0
// I/O APIC: redirection entries, edge and level inputs, remote IRR, EOI.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "mgmt/devices/ioapic.h"
#include "tests/unit/fake_hvif.h"

static struct ioapic ioapic;

static void write_reg(uint8_t reg, uint32_t value)
{
    ioapic_ops.write(&ioapic, 0x00, 4, reg);
    ioapic_ops.write(&ioapic, 0x10, 4, value);
}

static uint32_t read_reg(uint8_t reg)
{
    ioapic_ops.write(&ioapic, 0x00, 4, reg);
    return (uint32_t)ioapic_ops.read(&ioapic, 0x10, 4);
}

static void line(uint8_t pin, bool high)
{
    irq_set(&(struct irq_line){&ioapic, pin}, high);
}

static int setup(void **state)
{
    (void)state;
    fake_reset();
    ioapic_init(&ioapic, 7);
    return 0;
}

static void test_registers(void **state)
{
    (void)state;
    assert_int_equal(read_reg(1), 0x00170020);
    write_reg(0, 0xff000000);
    assert_int_equal(read_reg(0), 0x0f000000);
    assert_int_equal(read_reg(2), 0x0f000000);
    assert_int_equal(read_reg(0x10), 0x10000); // masked at reset
    write_reg(0x10 + 2 * 23 + 1, 0x05ffffff);
    assert_int_equal(read_reg(0x10 + 2 * 23 + 1), 0x05000000);
    assert_int_equal(read_reg(0x10 + 2 * 24), 0xffffffff);
    write_reg(0x10 + 2 * 24, 0); // no such pin
    write_reg(0x10, 0xffffffff);
    assert_int_equal(read_reg(0x10), 0x1afff); // status and remote IRR are read-only
    assert_int_equal(ioapic_ops.read(&ioapic, 0, 1), 0x10);
    assert_int_equal(ioapic_ops.read(&ioapic, 0x20, 4), 0);
}

static void test_edge(void **state)
{
    (void)state;
    write_reg(0x10 + 8 + 1, 0x03000000);
    write_reg(0x10 + 8, 0x00834); // pin 4: vector 0x34, logical
    line(4, true);
    line(4, true);
    assert_int_equal(fake.interrupt_count, 1);
    assert_int_equal(fake.interrupts[0].vector, 0x34);
    assert_int_equal(fake.interrupts[0].destination, 3);
    assert_int_equal(fake.interrupts[0].control, 0);
    assert_int_equal(fake.interrupts[0].control_flags, 2);
    line(4, false);
    line(4, true);
    assert_int_equal(fake.interrupt_count, 2);
}

static void test_masked_edge_is_lost(void **state)
{
    (void)state;
    write_reg(0x10 + 8, 0x10034);
    line(4, true);
    write_reg(0x10 + 8, 0x00034);
    assert_int_equal(fake.interrupt_count, 0);
}

static void test_level(void **state)
{
    (void)state;
    write_reg(0x10 + 18, 0x08031); // pin 9, level
    line(9, true);
    assert_int_equal(fake.interrupt_count, 1);
    assert_int_equal(fake.interrupts[0].control_flags, 1);
    assert_int_equal(read_reg(0x10 + 18), 0x0c031);
    line(9, false);
    line(9, true); // remote IRR holds it back
    assert_int_equal(fake.interrupt_count, 1);
    ioapic_eoi(&ioapic, 0x32); // another vector
    assert_int_equal(fake.interrupt_count, 1);
    ioapic_eoi(&ioapic, 0x31); // line still high
    assert_int_equal(fake.interrupt_count, 2);
    line(9, false);
    ioapic_ops.write(&ioapic, 0x40, 4, 0x31); // EOI register
    assert_int_equal(fake.interrupt_count, 2);
    assert_int_equal(read_reg(0x10 + 18), 0x08031);
}

static void test_level_unmasked_while_high(void **state)
{
    (void)state;
    write_reg(0x10 + 18, 0x18031);
    line(9, true);
    assert_int_equal(fake.interrupt_count, 0);
    write_reg(0x10 + 18, 0x08031);
    assert_int_equal(fake.interrupt_count, 1);
}

static void test_switch_to_edge_clears_remote_irr(void **state)
{
    (void)state;
    write_reg(0x10 + 18, 0x08031);
    line(9, true);
    write_reg(0x10 + 18, 0x10031);
    write_reg(0x10 + 18, 0x18031);
    assert_int_equal(read_reg(0x10 + 18), 0x18031);
}

static void test_undeliverable(void **state)
{
    (void)state;
    write_reg(0x10, 0x0800f); // illegal vector
    line(0, true);
    write_reg(0x12, 0x00231); // SMI
    line(1, true);
    write_reg(0x14, 0x00731); // ExtINT
    line(2, true);
    assert_int_equal(fake.interrupt_count, 0);
    write_reg(0x16, 0x00400); // NMI
    line(3, true);
    assert_int_equal(fake.interrupt_count, 1);
    assert_int_equal(fake.interrupts[0].control, 4);
    // Nobody accepts: no remote IRR that nobody would clear.
    fake.interrupt_status = HV_STATUS_INVALID_PARAMETER;
    write_reg(0x10 + 18, 0x08031);
    line(9, true);
    assert_int_equal(read_reg(0x10 + 18), 0x08031);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_registers, setup),
        cmocka_unit_test_setup(test_edge, setup),
        cmocka_unit_test_setup(test_masked_edge_is_lost, setup),
        cmocka_unit_test_setup(test_level, setup),
        cmocka_unit_test_setup(test_level_unmasked_while_high, setup),
        cmocka_unit_test_setup(test_switch_to_edge_clears_remote_irr, setup),
        cmocka_unit_test_setup(test_undeliverable, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
