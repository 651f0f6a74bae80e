// srcs: mgmt/devices/vm.c mgmt/devices/bus.c mgmt/devices/vpci.c mgmt/devices/virtq.c mgmt/devices/virtio.c mgmt/devices/vblk.c mgmt/devices/vrng.c mgmt/devices/vcon.c mgmt/devices/vnet.c mgmt/block/block.c mgmt/devices/guest_mem.c mgmt/devices/ioapic.c mgmt/devices/uart16550.c mgmt/devices/rtc.c mgmt/devices/power.c mgmt/devices/vcpu.c mgmt/devices/walk.c mgmt/devices/io_intercept.c mgmt/devices/mmio_intercept.c mgmt/devices/exec_insn.c mgmt/devices/full_insn.c mgmt/devices/alu.c arch/x86/decode.c tests/unit/fake_hvif.c mgmt/block/ram_disk.c tests/unit/fake_driver.c
// libs: zydis
// SPDX-License-Identifier: Apache-2.0
// Guests' PCI bus and the virtio transport, driven by the entropy and block devices: configuration space, BARs, MSI-X
// and INTx, negotiation, rings of good and of hostile drivers.
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
#define NEEDS_RESET 0x40

static struct fake_guest g;
static struct ram_disk disk;
static struct driver d;
static uint8_t *medium;

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
    fake_guest_add_disk(&g, &disk.device);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(&g);
    free(medium);
    return 0;
}

// --- PCI ---

static void test_bus(void **state)
{
    (void)state;
    assert_int_equal(driver_config_read(&g, 0, 0, 4), 0x00081b36);
    assert_int_equal(driver_config_read(&g, 0, 8, 4) >> 8, 0x060000);
    assert_int_equal(driver_config_read(&g, DISK, 0, 4), 0x10421af4);
    assert_int_equal(driver_config_read(&g, MACHINE_SLOT_RNG, 0, 4), 0x10441af4);
    assert_int_equal(driver_config_read(&g, 3, 0, 4), 0xffffffff);         // empty slot
    assert_int_equal(driver_config_read(&g, DISK, 0x1000, 4), 0xffffffff); // function 1
    assert_int_equal(driver_config_read(&g, DISK, 0x100, 4), 0);           // no extended capabilities
    driver_config_write(&g, DISK, 0, 4, 0);
    assert_int_equal(driver_config_read(&g, DISK, 0, 4), 0x10421af4);
}

static void test_mechanism_1(void **state)
{
    (void)state;
    fake_out(&g, 0xcf8, 4, 0x80000000 | DISK << 11);
    assert_int_equal(fake_in(&g, 0xcf8, 4), 0x80000000 | DISK << 11);
    assert_int_equal(fake_in(&g, 0xcfc, 4), 0x10421af4);
    assert_int_equal(fake_in(&g, 0xcfe, 2), 0x1042);
    assert_int_equal(fake_in(&g, 0xcfd, 1), 0x1a);
    fake_out(&g, 0xcfb, 1, 1); // narrower writes do not select
    assert_int_equal(fake_in(&g, 0xcfc, 2), 0x1af4);
    fake_out(&g, 0xcf8, 4, 0x80010000 | DISK << 11); // bus 1
    assert_int_equal(fake_in(&g, 0xcfc, 4), 0xffffffff);
    fake_out(&g, 0xcf8, 4, DISK << 11); // not enabled
    assert_int_equal(fake_in(&g, 0xcfc, 4), 0xffffffff);
    assert_int_equal(fake.event_count, 0);
    fake_out(&g, 0xcf9, 1, 6); // the reset port is still there
    assert_int_equal(fake.event_count, 1);
}

static void test_bar_moves(void **state)
{
    (void)state;
    assert_int_equal(driver_config_read(&g, DISK, 0x10, 4), 0xc0080000);
    driver_config_write(&g, DISK, 0x10, 4, 0xffffffff);
    assert_int_equal(driver_config_read(&g, DISK, 0x10, 4), 0xffffc000); // 16 KiB
    driver_config_write(&g, DISK, 0x10, 4, 0xd0000000);
    d = (struct driver){.g = &g, .slot = DISK, .bar = 0xd0000000};
    assert_int_equal(driver_read(&d, 18, 2), 0xffff); // memory space is disabled
    driver_config_write(&g, DISK, 4, 2, 2);
    assert_int_equal(driver_read(&d, 18, 2), 1); // one queue
    d.bar = 0xc0080000;
    assert_int_equal(driver_read(&d, 18, 2), 0xffff);
    driver_config_write(&g, DISK, 0x10, 4, 0xfec00000); // outside the window: decodes nothing
    d.bar = 0xfec00000;
    assert_int_equal(driver_read(&d, 18, 2), 0);
}

static void test_configuration_window(void **state)
{
    uint8_t cap = (uint8_t)driver_config_read(&g, DISK, 0x34, 1);

    (void)state;
    while (driver_config_read(&g, DISK, cap + 3u, 1) != 5) { // VIRTIO_PCI_CAP_PCI_CFG
        cap = (uint8_t)driver_config_read(&g, DISK, cap + 1u, 1);
        assert_true(cap != 0);
    }
    driver_config_write(&g, DISK, cap + 8u, 4, 18);
    driver_config_write(&g, DISK, cap + 12u, 4, 2);
    assert_int_equal(driver_config_read(&g, DISK, cap + 16u, 2), 1); // num_queues, without any BAR
    driver_config_write(&g, DISK, cap + 8u, 4, 8);
    driver_config_write(&g, DISK, cap + 12u, 4, 4);
    driver_config_write(&g, DISK, cap + 16u, 4, 1);
    driver_find(&d, &g, DISK);
    assert_int_equal(driver_read(&d, 8, 4), 1);
    driver_config_write(&g, DISK, cap + 8u, 4, VIRTIO_BAR_SIZE - 1); // beyond the BAR: not done
    driver_config_write(&g, DISK, cap + 16u, 4, 1);
    driver_config_write(&g, DISK, cap + 4u, 1, 3); // no such BAR
    driver_config_write(&g, DISK, cap + 8u, 4, 8);
    driver_config_write(&g, DISK, cap + 16u, 4, 0);
    assert_int_equal(driver_read(&d, 8, 4), 1);
}

// The hypervisor's doorbells follow the BAR.
static void test_doorbells(void **state)
{
    uint32_t bell = VIRTIO_DOORBELL(DISK, 0);

    (void)state;
    assert_int_equal(fake.doorbell[bell], 0); // nothing is decoded yet
    driver_find(&d, &g, DISK);
    assert_int_equal(fake.doorbell[bell], 0xc0080000 + VIRTIO_NOTIFY_OFFSET);
    driver_config_write(&g, DISK, 0x10, 4, 0xc8000000);
    assert_int_equal(fake.doorbell[bell], 0xc8000000 + VIRTIO_NOTIFY_OFFSET);
    driver_config_write(&g, DISK, 0x10, 4, 0x1000);
    assert_int_equal(fake.doorbell[bell], 0);
    driver_config_write(&g, DISK, 0x10, 4, 0xdfffc000);
    assert_int_equal(fake.doorbell[bell], 0xdfffc000 + VIRTIO_NOTIFY_OFFSET);
    driver_config_write(&g, DISK, 4, 2, 0);
    assert_int_equal(fake.doorbell[bell], 0);
}

// --- interrupts ---

static void flush(void)
{
    struct driver_buffer b[] = {{DRIVER_BUFFERS, 16, false}, {DRIVER_BUFFERS + 0x1000, 1, true}};

    memset(driver_memory(&d, DRIVER_BUFFERS), 0, 16);
    driver_memory(&d, DRIVER_BUFFERS)[0] = 4;
    driver_memory(&d, DRIVER_BUFFERS + 0x1000)[0] = 0xee;
    driver_add(&d, 0, b, 2);
}

static void expect_used(uint32_t length, uint8_t status)
{
    uint16_t head;
    uint32_t n;

    assert_true(driver_used(&d, 0, &head, &n));
    assert_int_equal(n, length);
    assert_int_equal(driver_memory(&d, DRIVER_BUFFERS + 0x1000)[0], status);
}

static void test_msix(void **state)
{
    (void)state;
    driver_start(&d, &g, DISK, 0);
    flush();
    driver_kick(&d, 0);
    expect_used(1, 0);
    assert_int_equal(fake.interrupt_count, 1);
    assert_int_equal(fake.interrupts[0].vector, 0x40);
    assert_int_equal(fake.interrupts[0].destination, 0);
    driver_write(&d, 0x201c, 4, 1); // vector 1 masked
    flush();
    driver_kick(&d, 0);
    assert_int_equal(fake.interrupt_count, 1);
    assert_int_equal(driver_read(&d, 0x2800, 8), 2);
    driver_write(&d, 0x2010, 8, 0xfee01000); // both halves of the address
    driver_write(&d, 0x2018, 4, 0x55);
    driver_write(&d, 0x201c, 4, 0);
    assert_int_equal(fake.interrupt_count, 2);
    assert_int_equal(fake.interrupts[1].vector, 0x55);
    assert_int_equal(fake.interrupts[1].destination, 1);
    assert_int_equal(driver_read(&d, 0x2800, 4), 0);
    driver_write(&d, 0x2010, 4, 0x12345000); // no local APIC's address
    flush();
    driver_kick(&d, 0);
    assert_int_equal(fake.interrupt_count, 2);
    assert_int_equal(g.vm.devices->pci.dropped_messages, 1);
    driver_write(&d, 26, 2, 77); // no such vector
    assert_int_equal(driver_read(&d, 26, 2), 0xffff);
}

static void test_rung(void **state)
{
    (void)state;
    driver_start(&d, &g, DISK, 0);
    flush();
    vm_doorbells(&g.vm,
                 BIT(VIRTIO_DOORBELL(MACHINE_SLOT_RNG, 0)) | BIT(63)); // another device's, and nobody's
    driver_let_work(&g);
    assert_int_equal(driver_memory(&d, DRIVER_BUFFERS + 0x1000)[0], 0xee);
    vm_doorbells(&g.vm, BIT(VIRTIO_DOORBELL(DISK, 0)));
    driver_let_work(&g);
    expect_used(1, 0);
}

static void test_no_interrupt_wanted(void **state)
{
    (void)state;
    driver_start(&d, &g, DISK, 0);
    driver_memory(&d, d.queue[0].available)[0] = 1; // VIRTQ_AVAIL_F_NO_INTERRUPT
    flush();
    driver_kick(&d, 0);
    expect_used(1, 0);
    assert_int_equal(fake.interrupt_count, 0);
}

static void test_intx(void **state)
{
    (void)state;
    driver_find(&d, &g, DISK);
    driver_negotiate(&d, 0);
    driver_set_queue(&d, 0);
    driver_write(&d, 20, 1, 15);
    ioapic_ops.write(&g.vm.devices->ioapic, 0, 4, 0x10 + 2 * 16); // GSI 16: level, vector 0x61
    ioapic_ops.write(&g.vm.devices->ioapic, 0x10, 4, 0x8061);
    flush();
    driver_kick(&d, 0);
    assert_int_equal(fake.interrupt_count, 1);
    assert_int_equal(fake.interrupts[0].vector, 0x61);
    assert_int_equal(driver_config_read(&g, DISK, 6, 2) & 8, 8);
    assert_int_equal(driver_read(&d, 0x800, 1), 1); // ISR: reading acknowledges
    assert_int_equal(driver_read(&d, 0x800, 1), 0);
    assert_int_equal(driver_config_read(&g, DISK, 6, 2) & 8, 0);
    ioapic_eoi(&g.vm.devices->ioapic, 0x61);
    assert_int_equal(fake.interrupt_count, 1);
    driver_config_write(&g, DISK, 4, 2, 0x402); // interrupt disable
    flush();
    driver_kick(&d, 0);
    assert_int_equal(fake.interrupt_count, 1);
    driver_config_write(&g, DISK, 4, 2, 2);
    assert_int_equal(fake.interrupt_count, 2);
}

static void test_event_index(void **state)
{
    uint16_t event = 2;

    (void)state;
    driver_start(&d, &g, DISK, VIRTIO_F_EVENT_IDX);
    memcpy(driver_memory(&d, d.queue[0].available + 4 + DRIVER_QUEUE_SIZE * 2), &event, 2);
    flush();
    driver_kick(&d, 0);
    flush();
    driver_kick(&d, 0);
    assert_int_equal(fake.interrupt_count, 0);
    flush();
    driver_kick(&d, 0);
    assert_int_equal(fake.interrupt_count, 1); // for the third
    memcpy(&event, driver_memory(&d, d.queue[0].used + 4 + DRIVER_QUEUE_SIZE * 8), 2);
    assert_int_equal(event, 3); // and wants to hear of the fourth
}

// --- negotiation and reset ---

static void test_features(void **state)
{
    (void)state;
    driver_find(&d, &g, DISK);
    driver_negotiate(&d, 0);
    assert_true(d.offered & VIRTIO_F_VERSION_1);
    assert_int_equal(driver_status(&d), 11);
    driver_write(&d, 8, 4, 0);
    driver_write(&d, 12, 4, 0x40); // too late
    assert_int_equal(driver_read(&d, 12, 4), 0);
    driver_negotiate(&d, BIT(40)); // not offered
    assert_int_equal(driver_status(&d), 3);
    driver_write(&d, 20, 1, 0);
    assert_int_equal(driver_status(&d), 0);
    driver_write(&d, 20, 1, 11); // without VERSION_1
    assert_int_equal(driver_status(&d), 3);
}

static void test_queue_registers(void **state)
{
    (void)state;
    driver_find(&d, &g, DISK);
    driver_negotiate(&d, 0);
    driver_write(&d, 22, 2, 1); // no such queue
    assert_int_equal(driver_read(&d, 24, 2), 0);
    driver_write(&d, 22, 2, 0);
    assert_int_equal(driver_read(&d, 24, 2), 128);
    driver_write(&d, 24, 2, 100); // no power of two
    assert_int_equal(driver_read(&d, 24, 2), 128);
    driver_write(&d, 24, 2, 256);
    assert_int_equal(driver_read(&d, 24, 2), 128);
    driver_set_queue(&d, 0);
    assert_int_equal(driver_read(&d, 28, 2), 1);
    driver_write(&d, 32, 4, 0x5000); // fixed while enabled
    assert_int_equal(driver_read(&d, 32, 4), DRIVER_RINGS);
    driver_write(&d, 20, 1, 0);
    assert_int_equal(driver_read(&d, 28, 2), 0);
    driver_write(&d, 32, 4, FAKE_RAM - 16); // not all of it is RAM
    driver_write(&d, 28, 2, 1);
    assert_int_equal(driver_read(&d, 28, 2), 0);
    assert_int_equal(driver_status(&d), NEEDS_RESET);
    driver_write(&d, 20, 1, 0);
    driver_write(&d, 32, 4, DRIVER_RINGS + 8); // misaligned
    driver_write(&d, 28, 2, 1);
    assert_int_equal(driver_status(&d), NEEDS_RESET);
}

static void test_reset_waits_for_requests(void **state)
{
    (void)state;
    driver_start(&d, &g, DISK, 0);
    disk.device.pending = false;
    flush();
    driver_write(&d, VIRTIO_NOTIFY_OFFSET, 2, 0);
    g.vm.disk[0].served = false; // the disk takes its time
    driver_let_work(&g);
    driver_write(&d, 20, 1, 0);
    assert_int_not_equal(driver_status(&d), 0);
    assert_false(vm_quiesce(&g.vm));
    while (block_service(&disk.device)) {
    }
    assert_int_equal(driver_status(&d), 0);
    assert_true(vm_quiesce(&g.vm));
    assert_int_equal(driver_memory(&d, DRIVER_BUFFERS + 0x1000)[0], 0xee); // nothing was written any more
    assert_int_equal(driver_memory(&d, d.queue[0].used)[2], 0);
}

// --- hostile rings: each ends in DEVICE_NEEDS_RESET, and a reset makes the device good again ---

static void spoil_index(void)
{
    driver_memory(&d, d.queue[0].available)[2] = DRIVER_QUEUE_SIZE + 1;
}

static void spoil_head(void)
{
    driver_make_available(&d, 0, DRIVER_QUEUE_SIZE);
}

static void spoil_loop(void)
{
    driver_descriptor(&d, 0, 0, DRIVER_BUFFERS, 16, DESC_NEXT, 0);
    driver_make_available(&d, 0, 0);
}

static void spoil_next(void)
{
    driver_descriptor(&d, 0, 0, DRIVER_BUFFERS, 16, DESC_NEXT, 999);
    driver_make_available(&d, 0, 0);
}

static void spoil_address(void)
{
    driver_descriptor(&d, 0, 0, FAKE_RAM - 8, 16, 0, 0);
    driver_make_available(&d, 0, 0);
}

static void spoil_wrap(void)
{
    driver_descriptor(&d, 0, 0, UINT64_MAX - 4, 16, 0, 0);
    driver_make_available(&d, 0, 0);
}

static void spoil_order(void)
{
    driver_descriptor(&d, 0, 0, DRIVER_BUFFERS, 16, DESC_NEXT | DESC_WRITE, 1);
    driver_descriptor(&d, 0, 1, DRIVER_BUFFERS, 16, 0, 0);
    driver_make_available(&d, 0, 0);
}

static void spoil_empty(void)
{
    driver_descriptor(&d, 0, 0, DRIVER_BUFFERS, 0, 0, 0);
    driver_make_available(&d, 0, 0);
}

static void spoil_indirect_next(void)
{
    driver_descriptor(&d, 0, 0, DRIVER_BUFFERS, 32, DESC_INDIRECT | DESC_NEXT, 1);
    driver_make_available(&d, 0, 0);
}

static void spoil_indirect_length(void)
{
    driver_descriptor(&d, 0, 0, DRIVER_BUFFERS, 33, DESC_INDIRECT, 0);
    driver_make_available(&d, 0, 0);
}

static void spoil_indirect_nested(void)
{
    uint64_t inner[2] = {DRIVER_BUFFERS, 16 | (uint64_t)DESC_INDIRECT << 32};

    memcpy(driver_memory(&d, DRIVER_BUFFERS), inner, 16);
    driver_descriptor(&d, 0, 0, DRIVER_BUFFERS, 16, DESC_INDIRECT, 0);
    driver_make_available(&d, 0, 0);
}

static void spoil_no_status(void)
{
    driver_descriptor(&d, 0, 0, DRIVER_BUFFERS, 16, 0, 0);
    driver_make_available(&d, 0, 0);
}

static void test_hostile_rings(void **state)
{
    static void (*const spoils[])(void) = {
        spoil_index,         spoil_head,
        spoil_loop,          spoil_next,
        spoil_address,       spoil_wrap,
        spoil_order,         spoil_empty,
        spoil_indirect_next, spoil_indirect_length,
        spoil_no_status,     spoil_indirect_nested,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(spoils); i++) {
        uint32_t before;

        driver_start(&d, &g, DISK, VIRTIO_F_INDIRECT_DESC);
        before = fake.interrupt_count;
        spoils[i]();
        driver_kick(&d, 0);
        if (!(driver_status(&d) & NEEDS_RESET)) {
            fail_msg("ring %zu was accepted", i);
        }
        assert_int_equal(fake.interrupt_count, before + 1); // configuration changed
        assert_int_equal(driver_memory(&d, d.queue[0].used)[2], 0);
        flush();
        driver_kick(&d, 0);
        assert_int_equal(driver_memory(&d, d.queue[0].used)[2], 0); // dead until it is reset
        driver_start(&d, &g, DISK, 0);
        flush();
        driver_kick(&d, 0);
        expect_used(1, 0);
        assert_int_equal(driver_status(&d), 15);
    }
}

static void test_indirect_needs_negotiation(void **state)
{
    uint64_t table[4] = {DRIVER_BUFFERS + 0x2000, 16 | (uint64_t)DESC_NEXT << 32 | 1ull << 48,
                         DRIVER_BUFFERS + 0x1000, 1 | (uint64_t)DESC_WRITE << 32};

    (void)state;
    for (int negotiated = 0; negotiated < 2; negotiated++) {
        driver_start(&d, &g, DISK, negotiated ? VIRTIO_F_INDIRECT_DESC : 0);
        memset(driver_memory(&d, DRIVER_BUFFERS + 0x2000), 0, 16);
        driver_memory(&d, DRIVER_BUFFERS + 0x2000)[0] = 4;                   // flush
        memcpy(driver_memory(&d, DRIVER_BUFFERS + 4), table, sizeof(table)); // at no particular alignment
        driver_descriptor(&d, 0, 5, DRIVER_BUFFERS + 4, 32, DESC_INDIRECT, 0);
        driver_make_available(&d, 0, 5);
        driver_kick(&d, 0);
        if (negotiated) {
            expect_used(1, 0);
        } else {
            assert_true(driver_status(&d) & NEEDS_RESET);
        }
    }
}

// --- entropy ---

static void fill_entropy(uint8_t n)
{
    for (uint8_t i = 1; i <= n; i++) {
        assert_true(spsc_push(&g.vm.entropy, &i));
    }
    vm_entropy_filled(&g.vm);
    driver_let_work(&g);
}

static void test_entropy(void **state)
{
    struct driver_buffer b = {DRIVER_BUFFERS, 20, true};
    uint16_t head;
    uint32_t n;

    (void)state;
    driver_start(&d, &g, MACHINE_SLOT_RNG, 0);
    assert_int_equal(fake.event_count, 0); // nothing wanted yet
    driver_add(&d, 0, &b, 1);
    driver_kick(&d, 0);
    assert_false(driver_used(&d, 0, &head, &n));
    assert_int_equal(fake.event_count, 1);
    assert_int_equal(fake.events[0].type, DP_EV_ENTROPY);
    fill_entropy(30);
    assert_true(driver_used(&d, 0, &head, &n));
    assert_int_equal(n, 20);
    assert_int_equal(driver_memory(&d, DRIVER_BUFFERS)[19], 20);
    driver_add(&d, 0, &b, 1);
    driver_kick(&d, 0);
    assert_true(driver_used(&d, 0, &head, &n));
    assert_int_equal(n, 10); // what there was
    assert_int_equal(driver_memory(&d, DRIVER_BUFFERS)[0], 21);
}

// A greedy guest is asked for no more often than every two milliseconds; a lost answer is asked for again.
static void test_entropy_rate(void **state)
{
    struct driver_buffer b = {DRIVER_BUFFERS, 20, true};
    uint64_t deadline;

    (void)state;
    driver_start(&d, &g, MACHINE_SLOT_RNG, 0);
    driver_add(&d, 0, &b, 1);
    for (int i = 0; i < 10; i++) {
        driver_kick(&d, 0);
    }
    assert_int_equal(fake.event_count, 1);
    deadline = vm_next_deadline(&g.vm);
    assert_int_equal(deadline, fake.now_ns + VRNG_ASK_NS);
    fake.now_ns = deadline;
    vm_run_timers(&g.vm, fake.now_ns);
    driver_let_work(&g);
    assert_int_equal(fake.event_count, 2);
    fill_entropy(40);
    assert_true(driver_used(&d, 0, &(uint16_t){0}, &(uint32_t){0}));
    fake.now_ns += VRNG_ASK_NS;
    vm_run_timers(&g.vm, fake.now_ns);
    driver_let_work(&g);
    assert_int_equal(fake.event_count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bus, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mechanism_1, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bar_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configuration_window, setup, teardown),
        cmocka_unit_test_setup_teardown(test_doorbells, setup, teardown),
        cmocka_unit_test_setup_teardown(test_msix, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rung, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_interrupt_wanted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_intx, setup, teardown),
        cmocka_unit_test_setup_teardown(test_event_index, setup, teardown),
        cmocka_unit_test_setup_teardown(test_features, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue_registers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_waits_for_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_rings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_indirect_needs_negotiation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_entropy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_entropy_rate, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
