// srcs: mgmt/devices/vm.c mgmt/devices/bus.c mgmt/devices/vpci.c mgmt/devices/virtq.c mgmt/devices/virtio.c mgmt/devices/vblk.c mgmt/devices/vrng.c mgmt/devices/vcon.c mgmt/devices/vnet.c mgmt/block/block.c mgmt/devices/guest_mem.c mgmt/devices/ioapic.c mgmt/devices/uart16550.c mgmt/devices/rtc.c mgmt/devices/power.c mgmt/devices/vcpu.c mgmt/devices/walk.c mgmt/devices/io_intercept.c mgmt/devices/mmio_intercept.c mgmt/devices/exec_insn.c mgmt/devices/full_insn.c mgmt/devices/alu.c arch/x86/decode.c tests/unit/fake_hvif.c tests/unit/fake_driver.c
// libs: zydis
// SPDX-License-Identifier: Apache-2.0
// Guests' network device: frames out in every layout, offloads, frames in with and without merged buffers, link.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/fake_driver.h"

enum { RECEIVE, TRANSMIT };
#define SLOT MACHINE_SLOT_NIC
#define HEADER DRIVER_BUFFERS
#define DATA (DRIVER_BUFFERS + 0x1000)
#define NEEDS_RESET 0x40

#define F_CSUM BIT(0)
#define F_GUEST_CSUM BIT(1)
#define F_GUEST_TSO4 BIT(7)
#define F_GUEST_TSO6 BIT(8)
#define F_HOST_TSO4 BIT(11)
#define F_MERGE BIT(15)

static struct fake_guest g;
static struct driver d;
static struct switch_port *const port = (struct switch_port *)0x1234;
static const uint8_t mac[6] = {2, 0, 0, 1, 2, 3};
static uint8_t payload[5000];

static int setup(void **state)
{
    (void)state;
    fake_reset();
    fake_guest_init(&g, 256);
    fake_guest_add_nic(&g, port, mac);
    for (size_t i = 0; i < sizeof(payload); i++) {
        payload[i] = (uint8_t)(i * 3);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(&g);
    return 0;
}

static void set_header(const uint8_t *bytes)
{
    memcpy(driver_memory(&d, HEADER), bytes, 12);
}

static void transmit(const struct driver_buffer *b, uint16_t count)
{
    uint16_t head;
    uint32_t n;

    driver_add(&d, TRANSMIT, b, count);
    driver_kick(&d, TRANSMIT);
    assert_true(driver_used(&d, TRANSMIT, &head, &n));
    assert_int_equal(n, 0);
}

static void test_identity(void **state)
{
    (void)state;
    driver_start(&d, &g, SLOT, 0);
    assert_int_equal(driver_config_read(&g, SLOT, 0, 4), 0x10411af4);
    assert_int_equal(driver_read(&d, 0x1000, 4), 0x01000002);
    assert_int_equal(driver_read(&d, 0x1004, 2), 0x0302);
    assert_int_equal(driver_read(&d, 0x1006, 2), 1); // link is up
    assert_true(d.offered & F_MERGE);
}

static void test_transmit(void **state)
{
    struct driver_buffer whole = {HEADER, 12 + 60, false};
    struct driver_buffer cut[] = {{HEADER, 5, false}, {HEADER + 5, 7 + 3, false}, {DATA, 500, false}};

    (void)state;
    driver_start(&d, &g, SLOT, 0);
    memset(driver_memory(&d, HEADER), 0, 12);
    memcpy(driver_memory(&d, HEADER + 12), payload, 60);
    transmit(&whole, 1);
    assert_int_equal(fake.sent_count, 1);
    assert_ptr_equal(fake.sent_to, port);
    assert_int_equal(fake.sent.length, 60);
    assert_memory_equal(fake.sent_bytes, payload, 60);
    assert_int_equal(fake.flush_count, 1);
    memcpy(driver_memory(&d, DATA), payload + 3, 500); // three bytes of the Ethernet header, then the rest
    transmit(cut, 3);
    assert_int_equal(fake.sent.length, 503);
    assert_memory_equal(fake.sent_bytes, payload, 503);
    assert_int_equal(fake.sent.pieces[0].length, 14);
}

static void test_transmit_refused(void **state)
{
    struct driver_buffer shortest = {HEADER, 12 + 13, false}, none = {HEADER, 11, false};
    struct driver_buffer giant[] = {{HEADER, 12, false}, {DATA, SWITCH_FRAME_MAX + 1, false}};

    (void)state;
    driver_start(&d, &g, SLOT, 0);
    memset(driver_memory(&d, HEADER), 0, 12);
    transmit(&shortest, 1);
    transmit(&none, 1);
    transmit(giant, 2);
    assert_int_equal(fake.sent_count, 0);
    assert_int_equal(g.vm.devices->nic[0].malformed, 3);
    assert_int_equal(driver_status(&d), 15);
}

static void test_offloads(void **state)
{
    static const uint8_t checksum[12] = {1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0};
    static const uint8_t beyond[12] = {1, 0, 0, 0, 0, 0, 90, 0, 9, 0, 0, 0}; // 101 of 100 bytes
    static const uint8_t tso[12] = {1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0};
    static const uint8_t no_size[12] = {1, 1, 54, 0, 0, 0, 34, 0, 16, 0, 0, 0};
    static const uint8_t udp[12] = {1, 3, 54, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0};
    struct driver_buffer b[] = {{HEADER, 12, false}, {DATA, 100, false}};

    (void)state;
    driver_start(&d, &g, SLOT, F_CSUM | F_HOST_TSO4);
    set_header(checksum);
    transmit(b, 2);
    assert_true(fake.sent.offload.needs_checksum);
    assert_int_equal(fake.sent.offload.checksum_start, 34);
    assert_int_equal(fake.sent.offload.checksum_offset, 16);
    set_header(tso);
    transmit(b, 2);
    assert_int_equal(fake.sent.offload.gso_type, 1);
    assert_int_equal(fake.sent.offload.gso_size, 1460);
    assert_int_equal(fake.sent_count, 2);
    set_header(beyond);
    transmit(b, 2);
    set_header(no_size);
    transmit(b, 2);
    set_header(udp);
    transmit(b, 2);
    assert_int_equal(fake.sent_count, 2);
    driver_start(&d, &g, SLOT, 0); // nothing negotiated: nothing may be left undone
    set_header(checksum);
    transmit(b, 2);
    assert_int_equal(fake.sent_count, 2);
}

// --- reception ---

static bool receive(uint32_t length, const struct switch_offload *offload)
{
    void *user;
    const struct switch_port_user *ops = vm_nic_user(&g.vm, 0, &user);
    struct switch_frame f = {
        .pieces = {{payload, 14}, {payload + 14, length - 14}}, .piece_count = 2, .length = length};
    bool taken;

    if (offload != NULL) {
        f.offload = *offload;
    }
    taken = ops->deliver(user, &f);
    ops->flush(user);
    return taken;
}

static void test_receive(void **state)
{
    struct driver_buffer b[] = {{HEADER, 12, true}, {DATA, 1514, true}};
    uint16_t head;
    uint32_t n;

    (void)state;
    assert_false(receive(100, NULL)); // no driver yet
    driver_start(&d, &g, SLOT, 0);
    assert_false(receive(100, NULL)); // no buffer
    driver_add(&d, RECEIVE, b, 2);
    memset(driver_memory(&d, HEADER), 0xee, 12);
    assert_false(receive(1515, NULL)); // does not fit, and the buffer is still there
    assert_true(receive(1514, NULL));
    assert_true(driver_used(&d, RECEIVE, &head, &n));
    assert_int_equal(n, 1526);
    assert_memory_equal(driver_memory(&d, DATA), payload, 1514);
    assert_int_equal(driver_memory(&d, HEADER)[0], 0);
    assert_int_equal(driver_memory(&d, HEADER)[10], 1); // num_buffers
    assert_int_equal(fake.interrupts[0].vector, 0x40);
    assert_false(driver_used(&d, RECEIVE, &head, &n));
}

static void test_merged_buffers(void **state)
{
    struct driver_buffer b = {DATA, 1000, true};
    uint16_t head;
    uint32_t n;

    (void)state;
    driver_start(&d, &g, SLOT, F_MERGE);
    for (uint64_t i = 0; i < 3; i++) {
        b.gpa = DATA + i * 0x1000;
        driver_add(&d, RECEIVE, &b, 1);
    }
    assert_false(receive(4000, NULL)); // four would be needed
    assert_true(receive(2500, NULL));
    assert_true(driver_used(&d, RECEIVE, &head, &n));
    assert_int_equal(head, 0);
    assert_int_equal(n, 1000);
    assert_true(driver_used(&d, RECEIVE, &head, &n));
    assert_int_equal(n, 1000);
    assert_true(driver_used(&d, RECEIVE, &head, &n));
    assert_int_equal(n, 512);
    assert_int_equal(driver_memory(&d, DATA)[10], 3);
    assert_memory_equal(driver_memory(&d, DATA + 12), payload, 988);
    assert_memory_equal(driver_memory(&d, DATA + 0x1000), payload + 988, 1000);
    assert_memory_equal(driver_memory(&d, DATA + 0x2000), payload + 1988, 512);
}

static void test_receive_offload(void **state)
{
    const struct switch_offload o = {
        .needs_checksum = true, .checksum_start = 34, .checksum_offset = 16, .gso_type = 1, .gso_size = 1400};
    struct driver_buffer b = {DATA, 2000, true};
    void *user;

    (void)state;
    driver_start(&d, &g, SLOT, F_GUEST_CSUM | F_GUEST_TSO4);
    assert_false(vm_nic_user(&g.vm, 0, &user)->takes_offload); // not all of them
    driver_start(&d, &g, SLOT, F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6);
    assert_true(vm_nic_user(&g.vm, 0, &user)->takes_offload);
    driver_add(&d, RECEIVE, &b, 1);
    assert_true(receive(1800, &o));
    assert_int_equal(driver_memory(&d, DATA)[0], 1);
    assert_int_equal(driver_memory(&d, DATA)[1], 1);
    assert_int_equal(driver_memory(&d, DATA)[6], 34);
    driver_write(&d, 20, 1, 0);
    assert_false(vm_nic_user(&g.vm, 0, &user)->takes_offload);
}

static void test_hostile_receive_buffers(void **state)
{
    struct driver_buffer readable = {DATA, 2000, false}, tiny = {DATA, 11, true};

    (void)state;
    driver_start(&d, &g, SLOT, F_MERGE);
    driver_add(&d, RECEIVE, &readable, 1);
    assert_false(receive(100, NULL));
    assert_true(driver_status(&d) & NEEDS_RESET);
    driver_start(&d, &g, SLOT, F_MERGE);
    driver_add(&d, RECEIVE, &tiny, 1);
    assert_false(receive(100, NULL));
    assert_true(driver_status(&d) & NEEDS_RESET);
    driver_start(&d, &g, SLOT, F_MERGE);
    driver_make_available(&d, RECEIVE, 999);
    assert_false(receive(100, NULL));
    assert_true(driver_status(&d) & NEEDS_RESET);
}

static void test_link(void **state)
{
    void *user;
    const struct switch_port_user *ops = vm_nic_user(&g.vm, 0, &user);
    uint64_t generation;

    (void)state;
    driver_start(&d, &g, SLOT, BIT(16));
    generation = driver_read(&d, 21, 1);
    ops->link(user, false);
    assert_int_equal(driver_read(&d, 0x1006, 2), 0);
    assert_int_not_equal(driver_read(&d, 21, 1), generation);
    assert_int_equal(fake.interrupts[0].vector, 0x3f); // configuration changed
    ops->link(user, false);
    assert_int_equal(fake.interrupt_count, 1);
    ops->link(user, true);
    assert_int_equal(driver_read(&d, 0x1006, 2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_transmit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_transmit_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_offloads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_merged_buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive_offload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_receive_buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_link, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
