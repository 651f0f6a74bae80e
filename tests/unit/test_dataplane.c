// srcs: mgmt/dataplane/dp.c mgmt/dataplane/work.c mgmt/dataplane/vmset.c mgmt/dataplane/frame_link.c mgmt/dataplane/frame_port.c mgmt/dataplane/uplink.c mgmt/drivers/frames.c mgmt/vswitch/vswitch.c mgmt/vswitch/mac_table.c mgmt/vswitch/offload.c mgmt/vswitch/dhcp.c
// SPDX-License-Identifier: Apache-2.0
// What the planes share: the set of guests, commands and events with a full ring, frames as a link.
#include "mgmt/dataplane/dataplane.h"
#include "mgmt/dataplane/frame_link.h"
#include "mgmt/dataplane/uplink.h"
#include "mgmt/plat.h"
#include "mgmt/rt/wake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static unsigned data_wakes, control_wakes;
struct wake wake_data, wake_control;

void wake(struct wake *w)
{
    data_wakes += w == &wake_data;
}

void plat_wake(void)
{
    control_wakes++;
}

static int setup(void **state)
{
    (void)state;
    dp_rings_init();
    dp_events_kept = false;
    data_wakes = control_wakes = 0;
    while (vmset_count > 0) {
        vmset_remove(vmset_list[0]);
    }
    return 0;
}

// --- the set ---

static void set_keeps_what_it_has(void **state)
{
    enum { COUNT = DATAPLANE_MAX_VMS };
    struct dp_vm *vms = aligned_alloc(64, ALIGN_UP(sizeof(struct dp_vm), (size_t)64) * (COUNT + 1));
    bool in[COUNT] = {false};
    uint32_t count = 0;

    (void)state;
    assert_non_null(vms);
    srand(3);
    for (int i = 0; i < 200000; i++) {
        uint32_t n = (uint32_t)rand() % COUNT;

        if (in[n]) {
            vmset_remove(&vms[n]);
        } else {
            assert_true(vmset_add(&vms[n]));
        }
        in[n] = !in[n];
        count += in[n] ? 1 : (uint32_t)-1;
        assert_int_equal(vmset_count, count);
        n = (uint32_t)rand() % COUNT;
        assert_int_equal(vmset_has(&vms[n]), in[n]);
    }
    for (uint32_t n = 0; n < COUNT; n++) {
        assert_int_equal(vmset_has(&vms[n]), in[n]);
        assert_true(vmset_add(&vms[n])); // twice is once
    }
    assert_int_equal(vmset_count, COUNT);
    assert_false(vmset_add(&vms[COUNT]));
    assert_false(vmset_has(&vms[COUNT]));
    assert_false(vmset_has(NULL));
    setup(NULL);
    free(vms);
}

// --- work ---

static void work_is_a_queue(void **state)
{
    struct dp_vm vms[3] = {0};

    (void)state;
    assert_false(dp_work_waiting());
    assert_null(dp_work_take());
    for (int round = 0; round < 2; round++) { // twice is once
        for (int i = 0; i < 3; i++) {
            dp_work(&vms[i]);
        }
    }
    assert_ptr_equal(dp_work_take(), &vms[0]);
    dp_work(&vms[0]); // wants another turn: behind the others
    dp_work_forget(&vms[1]);
    dp_work_forget(&vms[1]);
    assert_ptr_equal(dp_work_take(), &vms[2]);
    assert_ptr_equal(dp_work_take(), &vms[0]);
    assert_false(dp_work_waiting());
    dp_work(&vms[0]);
    dp_work(&vms[1]);
    dp_work_forget(&vms[1]); // the last
    dp_work(&vms[2]);
    assert_ptr_equal(dp_work_take(), &vms[0]);
    assert_ptr_equal(dp_work_take(), &vms[2]);
    assert_null(dp_work_take());
}

// --- events ---

static void events_arrive_in_order(void **state)
{
    struct dp_vm vm = {0};
    struct dp_event ev;

    (void)state;
    dp_emit(&vm, DP_EV_CONSOLE, 1, 0);
    dp_emit(&vm, DP_EV_CRASH, 3, 0x80000021);
    assert_int_equal(control_wakes, 2);
    assert_true(dp_poll_event(&ev));
    assert_int_equal(ev.type, DP_EV_CONSOLE);
    assert_int_equal(ev.arg, 1);
    assert_ptr_equal(ev.vm, &vm);
    assert_true(dp_poll_event(&ev));
    assert_int_equal(ev.code, 0x80000021);
    assert_false(dp_poll_event(&ev));
    assert_int_equal(data_wakes, 0);
}

static void a_full_ring_loses_nothing(void **state)
{
    struct dp_vm noisy = {0}, vm = {0};
    struct dp_event ev;
    unsigned n = 0;

    (void)state;
    while (noisy.kept.types == 0) {
        dp_emit(&noisy, DP_EV_CONSOLE, 0, 0);
        n++;
    }
    dp_emit(&vm, DP_EV_CONSOLE, 1, 0);
    dp_emit(&vm, DP_EV_RESET, 0, 7);
    assert_true(dp_events_kept);
    assert_true(dp_poll_event(&ev));
    assert_int_equal(data_wakes, 1); // asks for the rest
    assert_true(dp_poll_event(&ev));
    assert_true(dp_poll_event(&ev));
    dp_events_kept = false;
    dp_flush_kept(&noisy);
    dp_flush_kept(&vm);
    assert_false(dp_events_kept);
    for (unsigned i = 0; i < n - 3; i++) {
        assert_true(dp_poll_event(&ev));
        assert_ptr_equal(ev.vm, &noisy);
    }
    assert_true(dp_poll_event(&ev));
    assert_ptr_equal(ev.vm, &vm);
    assert_int_equal(ev.type, DP_EV_CONSOLE);
    assert_true(dp_poll_event(&ev));
    assert_int_equal(ev.type, DP_EV_RESET);
    assert_int_equal(ev.code, 7);
    assert_false(dp_poll_event(&ev));
}

static void nothing_follows_detached(void **state)
{
    struct dp_vm vm = {0};
    struct dp_event ev;

    (void)state;
    vm.kept.types = 1u << DP_EV_CONSOLE;
    assert_true(dp_emit_detached(&vm));
    dp_flush_kept(&vm);
    assert_true(dp_poll_event(&ev));
    assert_int_equal(ev.type, DP_EV_DETACHED);
    assert_false(dp_poll_event(&ev));
}

static void commands_ring_the_doorbell(void **state)
{
    struct dp_command cmd = {.type = DP_CMD_CONSOLE};
    unsigned n = 0;

    (void)state;
    while (dp_send(&cmd)) {
        n++;
    }
    assert_int_equal(data_wakes, n);
    assert_true(n >= 256);
}

// --- frames ---

static struct frame_rings rings;
static struct frame_link link_under_test;
static uint8_t *memory;

static int setup_link(void **state)
{
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 9};

    setup(state);
    memory = calloc(1, FRAME_MEMORY);
    memset(&rings, 0, sizeof(rings));
    frame_rings_init(&rings, memory, 0x1000000, 12, 256, 64);
    frame_link_init(&link_under_test, &rings, mac);
    return 0;
}

static int teardown_link(void **state)
{
    (void)state;
    free(memory);
    return 0;
}

static void sends_through_the_rings(void **state)
{
    struct net_link *l = &link_under_test.link;
    struct frame f;
    uint8_t *p, *again;

    (void)state;
    assert_int_equal(l->mac[5], 9);
    p = l->ops->tx_reserve(l, 100);
    assert_non_null(p);
    again = l->ops->tx_reserve(l, 50); // abandoned, and given out once more
    assert_ptr_equal(p, again);
    memcpy(p, "hello", 5);
    l->ops->tx_commit(l, 50);
    l->ops->tx_commit(l, 50); // nothing is reserved now
    assert_int_equal(data_wakes, 0);
    l->ops->tx_flush(l);
    l->ops->tx_flush(l);
    assert_int_equal(data_wakes, 1);
    assert_true(spsc_pop(&rings.tx, &f));
    assert_int_equal(f.length, 50);
    assert_memory_equal(memory + frame_offset(true, f.index) + 12, "hello", 5);
    assert_false(spsc_pop(&rings.tx, &f));
    assert_null(l->ops->tx_reserve(l, 1519));
}

static void says_when_it_is_full(void **state)
{
    struct net_link *l = &link_under_test.link;
    unsigned n = 0;

    (void)state;
    while (l->ops->tx_reserve(l, 60) != NULL) {
        l->ops->tx_commit(l, 60);
        n++;
    }
    assert_int_equal(n, 64);
    assert_int_equal(data_wakes, 1); // sent frames may have to be collected
}

static void receives_through_the_rings(void **state)
{
    struct net_link *l = &link_under_test.link;
    struct frame f;
    const uint8_t *p;
    size_t len;

    (void)state;
    assert_null(l->ops->rx_peek(l, &len));
    for (unsigned i = 0; i < 40; i++) {
        assert_true(spsc_pop(&rings.rx_free, &f));
        f.length = (uint16_t)(60 + i);
        frame_data(&rings, false, f.index)[0] = (uint8_t)i;
        assert_true(spsc_push(&rings.rx, &f));
    }
    for (unsigned i = 0; i < 40; i++) {
        p = l->ops->rx_peek(l, &len);
        assert_non_null(p);
        assert_ptr_equal(l->ops->rx_peek(l, &len), p);
        assert_int_equal(len, 60 + i);
        assert_int_equal(p[0], i);
        l->ops->rx_release(l);
    }
    assert_null(l->ops->rx_peek(l, &len));
    assert_int_equal(spsc_count(&rings.rx_free), 256);
    assert_int_equal(data_wakes, 0); // nobody waits for buffers
}

// --- NIC and management address as ports ---

// A driver that is a wire: what is sent is kept, what is to be received is put into its rings by the test.
static struct {
    struct nic nic;
    struct frame_rings rings;
    uint8_t *memory;
    unsigned services;
    bool more;
} wire;

static bool wire_service(struct nic *nic)
{
    (void)nic;
    wire.services++;
    return wire.more;
}

static const struct nic_ops wire_ops = {.name = "wire", .service = wire_service};
static struct vswitch node_switch;
static struct frame_rings *stack_rings;
static uint64_t now;

uint64_t plat_now_ns(void)
{
    return now;
}

static int setup_uplink(void **state)
{
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 9};

    setup_link(state);
    memset(&wire, 0, sizeof wire);
    wire.memory = calloc(1, FRAME_MEMORY);
    frame_rings_init(&wire.rings, wire.memory, 0, 12, 64, 64);
    wire.nic = (struct nic){.ops = &wire_ops, .rings = &wire.rings};
    memcpy(wire.nic.mac, mac, sizeof mac);
    vswitch_init(&node_switch, 1);
    stack_rings = uplink_start(&wire.nic, &node_switch, memory);
    frame_link_init(&link_under_test, stack_rings, mac);
    return 0;
}

static int teardown_uplink(void **state)
{
    free(wire.memory);
    return teardown_link(state);
}

static void stack_sends(const char *bytes, size_t length)
{
    struct net_link *l = &link_under_test.link;
    void *p = l->ops->tx_reserve(l, length);

    assert_non_null(p);
    memcpy(p, bytes, length);
    l->ops->tx_commit(l, length);
    l->ops->tx_flush(l);
}

static void wire_brings(const char *bytes, uint16_t length)
{
    struct frame f;

    assert_true(spsc_pop(&wire.rings.rx_free, &f));
    f.length = length;
    memcpy(frame_data(&wire.rings, false, f.index), bytes, length);
    assert_true(spsc_push(&wire.rings.rx, &f));
}

#define STACK "\2\0\0\0\0\x09"
#define OUTSIDE "\2\0\0\0\0\x01"

static void frames_go_out_and_in(void **state)
{
    struct net_link *l = &link_under_test.link;
    struct frame f;
    size_t len;

    (void)state;
    assert_false(uplink_wanted());
    stack_sends(OUTSIDE STACK "\x08\0hello", 19);
    uplink_rung();
    assert_true(uplink_wanted());
    uplink_serve();
    assert_false(uplink_wanted());
    assert_int_equal(wire.services, 1);
    assert_true(spsc_pop(&wire.rings.tx, &f));
    assert_int_equal(f.length, 19);
    assert_memory_equal(frame_data(&wire.rings, true, f.index), OUTSIDE STACK "\x08\0hello", 19);
    assert_int_equal(spsc_count(&stack_rings->tx_free), FRAME_BUFFERS);
    control_wakes = 0;
    wire_brings(STACK OUTSIDE "\x08\0there", 19);
    wire_brings("", 0);                                      // damaged
    wire_brings("\2\0\0\0\0\x33" OUTSIDE "\x08\0other", 19); // for somebody else
    uplink_serve();
    assert_true(uplink_wanted()); // once more, so that the driver gets its buffers
    assert_int_equal(control_wakes, 1);
    assert_int_equal(spsc_count(&wire.rings.rx_free), 64);
    assert_memory_equal(l->ops->rx_peek(l, &len), STACK OUTSIDE "\x08\0there", 19);
    assert_int_equal(len, 19);
    l->ops->rx_release(l);
    assert_null(l->ops->rx_peek(l, &len));
    uplink_serve();
    assert_false(uplink_wanted());
    assert_int_equal(uplink_port()->counters.rx_frames, 2);
    assert_int_equal(uplink_management_port()->counters.tx_frames, 1);
}

static void a_full_nic_drops_and_counts(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        stack_sends(OUTSIDE STACK "\x08\0", 14);
    }
    uplink_serve();
    assert_true(uplink_wanted()); // more than its budget
    uplink_serve();
    assert_false(uplink_wanted());
    assert_int_equal(uplink_port()->counters.tx_frames, 64);
    assert_int_equal(uplink_port()->counters.dropped_no_room, 36);
}

static void link_state_is_passed_on(void **state)
{
    struct net_link *l = &link_under_test.link;

    (void)state;
    assert_false(l->ops->is_up(l));
    wire.rings.link_up = 1;
    uplink_serve();
    assert_true(l->ops->is_up(l));
    assert_int_equal(control_wakes, 1);
}

#define TEST(fn) cmocka_unit_test_setup(fn, setup)
#define UPLINK_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_uplink, teardown_uplink)
#define LINK_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_link, teardown_link)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(work_is_a_queue),
        TEST(set_keeps_what_it_has),
        TEST(events_arrive_in_order),
        TEST(a_full_ring_loses_nothing),
        TEST(nothing_follows_detached),
        TEST(commands_ring_the_doorbell),
        LINK_TEST(sends_through_the_rings),
        LINK_TEST(says_when_it_is_full),
        LINK_TEST(receives_through_the_rings),
        UPLINK_TEST(frames_go_out_and_in),
        UPLINK_TEST(a_full_nic_drops_and_counts),
        UPLINK_TEST(link_state_is_passed_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
