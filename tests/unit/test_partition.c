// srcs: hv/hypercall.c hv/hvcall_partition.c hv/hvcall_vp.c hv/hvcall_x.c hv/partition.c hv/vp.c hv/gpa.c hv/frames.c hv/intercept.c hv/interrupt.c hv/synthetic.c hv/exit.c hv/doorbell.c hv/trace.c hv/sched.c hv/runqueue.c hv/balance.c hv/share.c hv/watchdog.c hv/log_limit.c hv/timer.c hv/lock.c arch/x86/vlapic.c arch/x86/vlapic_timer.c arch/x86/vlapic_ipi.c arch/x86/vlapic_exit.c arch/x86/msr_policy.c arch/x86/cpuid_policy.c arch/x86/exit_cr.c arch/x86/guest_walk.c arch/x86/decode.c tests/unit/fake_virt.c tests/unit/fake_node.c
// SPDX-License-Identifier: Apache-2.0
// Partitions, their memory and VPs, by hypercalls on the real hypervisor above a fake processor.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "hv/cpu.h"
#include "hv/frames.h"
#include "hv/sched.h"
#include "hv/trace.h"
#include "tests/unit/fake_node.h"

#define FIRST_PAGE (NODE_ROOT_PAGE + 512ull)
#define GUEST_PAGE 0x100ull
#define APIC_PAGE 0xfee00ull

static struct fake_node_account before;

static hv_status_t call(uint64_t input, const void *in, size_t len)
{
    return (hv_status_t)HVCALL_RESULT_STATUS(fake_node_call(input, in, len, NULL, 0));
}

static uint64_t create(void)
{
    struct hv_create_partition_in in = {.flags = 0};
    uint64_t id = 0;

    assert_int_equal(HVCALL_RESULT_STATUS(fake_node_call(HVCALL_CREATE_PARTITION, &in, sizeof(in), &id, 8)),
                     0);
    return id;
}

static void deposit(uint64_t id, uint64_t first, unsigned pages)
{
    uint64_t in[65] = {id};

    for (unsigned i = 0; i < pages; i++) {
        in[1 + i] = first + i;
    }
    assert_int_equal(call(HVCALL_DEPOSIT_MEMORY | HVCALL_REP_COUNT(pages), in, sizeof(in)),
                     HV_STATUS_SUCCESS);
}

static uint64_t build(uint32_t vps)
{
    uint64_t id = create();

    deposit(id, FIRST_PAGE, 40);
    assert_int_equal(call(HVCALL_INITIALIZE_PARTITION, &id, 8), HV_STATUS_SUCCESS);
    for (uint32_t i = 0; i < vps; i++) {
        struct hv_create_vp_in in = {.partition = id, .vp_index = i};

        assert_int_equal(call(HVCALL_CREATE_VP, &in, sizeof(in)), HV_STATUS_SUCCESS);
    }
    return id;
}

static void take_down(uint64_t id)
{
    struct hv_withdraw_in in = {.partition = id};

    (void)call(HVCALL_FINALIZE_PARTITION, &id, 8);
    while (call(HVCALL_WITHDRAW_MEMORY | HVCALL_REP_COUNT(1), &in, sizeof(in)) == HV_STATUS_SUCCESS) {
    }
    assert_int_equal(call(HVCALL_DELETE_PARTITION, &id, 8), HV_STATUS_SUCCESS);
}

static int setup(void **state)
{
    static bool started;

    (void)state;
    if (!started) {
        started = true;
        fake_node_start();
        assert_int_equal(trace_start(), HV_STATUS_SUCCESS); // its rings stay
        trace_stop();
    }
    cpus[0].current = fake_node_root();
    virt_caps.apicv = false;
    before = fake_node_account();
    return 0;
}

// Whatever a test has done, nothing of it is left.
static int teardown(void **state)
{
    struct fake_node_account after = fake_node_account();

    (void)state;
    fake_node_kick = NULL;
    return memcmp(&before, &after, sizeof(before));
}

// --- deletion of a VP ---

static struct {
    struct partition *p;
    struct vp *held; // found by the other processor before the deletion
    uint64_t free_pages;
    unsigned kicks;
} other;

// The second processor: in the middle of sending an interrupt to a VP that it has found, and only then through with it.
static void serve_late(uint32_t index)
{
    if (index != 1) {
        return;
    }
    other.kicks++;
    assert_null(other.p->vps[1]);                                 // nobody finds it any more,
    assert_int_equal(other.p->pool.free_pages, other.free_pages); // but its pages are still its own
    fake_node_as(1);
    vp_post_interrupt(other.held, 0x40, false);
    cpu_serve_calls();
    fake_node_as(0);
}

static void test_delete_vp_waits_for_all_processors(void **state)
{
    uint64_t id = build(2);
    struct hv_vp_in in = {.partition = id, .vp_index = 1};

    (void)state;
    other.p = partition_lookup(root_partition, id);
    other.held = other.p->vps[1];
    other.free_pages = other.p->pool.free_pages;
    other.kicks = 0;
    cpus[1].online = true;
    cpu_count = 2;
    fake_node_kick = serve_late;
    assert_int_equal(call(HVCALL_DELETE_VP, &in, sizeof(in)), HV_STATUS_SUCCESS);
    cpu_count = 1;
    cpus[1].online = false;
    fake_node_kick = NULL;
    assert_int_equal(other.kicks, 1);
    assert_true(other.p->pool.free_pages > other.free_pages);
    take_down(id);
}

// --- registers ---

static void test_dr6_beyond_32_bits_is_refused(void **state)
{
    uint64_t id = build(1);
    struct vp *vp = partition_lookup(root_partition, id)->vps[0];
    union hv_register_value v = {.u128 = {0xffff0ff1, 0}};

    (void)state;
    assert_int_equal(vp_set_register(vp, HV_REG_DR6, &v), HV_STATUS_SUCCESS);
    v.u64 = 1ull << 32;
    assert_int_equal(vp_set_register(vp, HV_REG_DR6, &v), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(vp->dr6, 0xffff0ff1);
    take_down(id);
}

static void test_apic_switched_off_leaves_timer_heap(void **state)
{
    uint64_t id = build(1);
    struct vp *vp = partition_lookup(root_partition, id)->vps[0];
    union hv_register_value off = {.u128 = {vp->apic.base_msr & ~BIT(11), 0}};

    (void)state;
    vp->apic.timer_deadline = 1ull << 60;
    vp_timers_changed(vp);
    sched_timers_release(vp);
    assert_true(vp->in_heap);
    assert_int_equal(vp_set_register(vp, HV_REG_APIC_BASE, &off), HV_STATUS_SUCCESS);
    assert_true(vp->next_deadline == ~0ull);
    assert_false(vp->in_heap);
    take_down(id);
}

// --- memory ---

static hv_status_t map(uint64_t id, uint64_t source, uint32_t flags)
{
    struct {
        struct hv_map_gpa_in fixed;
        uint64_t page;
    } in = {{.partition = id, .gpa_page = GUEST_PAGE, .flags = flags}, source};

    return call(HVCALL_MAP_GPA_PAGES | HVCALL_REP_COUNT(1), &in, sizeof(in));
}

static hv_status_t unmap(uint64_t id, uint64_t page)
{
    struct hv_unmap_gpa_in in = {.partition = id, .gpa_page = page};

    return call(HVCALL_UNMAP_GPA_PAGES | HVCALL_REP_COUNT(1), &in, sizeof(in));
}

static void test_map_without_rights_maps_nothing(void **state)
{
    uint64_t id = build(0), page = FIRST_PAGE + 100;

    (void)state;
    assert_int_equal(map(id, page, 0), HV_STATUS_SUCCESS);
    assert_int_equal(frame_of(SPA(page << PAGE_SHIFT))->mapped, 0);
    assert_int_equal(map(id, page, HV_MAP_READ), HV_STATUS_SUCCESS);
    assert_int_equal(frame_of(SPA(page << PAGE_SHIFT))->mapped, 1);
    assert_int_equal(unmap(id, GUEST_PAGE), HV_STATUS_SUCCESS);
    assert_int_equal(frame_of(SPA(page << PAGE_SHIFT))->mapped, 0);
    take_down(id);
}

static void test_apic_page_stays(void **state)
{
    uint64_t id;

    (void)state;
    virt_caps.apicv = true;
    id = build(0);
    assert_int_equal(unmap(id, APIC_PAGE), HV_STATUS_OPERATION_DENIED);
    take_down(id);
}

static void test_initialization_can_be_tried_again(void **state)
{
    uint64_t id = create();
    struct partition *p = partition_lookup(root_partition, id);

    (void)state;
    virt_caps.apicv = true;
    for (unsigned pages = 1; pages < 5; pages++) { // tables down to the APIC's page, and that page
        deposit(id, FIRST_PAGE + pages, 1);
        assert_int_equal(call(HVCALL_INITIALIZE_PARTITION, &id, 8), HV_STATUS_INSUFFICIENT_MEMORY);
        assert_int_equal(p->pool.used_pages, 0);
        assert_int_equal(p->pool.free_pages, pages);
    }
    deposit(id, FIRST_PAGE + 5, 1);
    assert_int_equal(call(HVCALL_INITIALIZE_PARTITION, &id, 8), HV_STATUS_SUCCESS);
    take_down(id);
}

// --- the trace ---

static void exit_by_cpuid(struct vp *vp)
{
    vp->exit.reason = EXIT_CPUID;
    vp->exit.qual[0] = 7;
}

static void read_trace(uint64_t sequence, struct hv_x_trace_out *out)
{
    struct hv_x_trace_in in = {.action = HV_X_TRACE_READ, .sequence = sequence};

    assert_int_equal(HVCALL_RESULT_STATUS(fake_node_call(HVCALL_X_TRACE, &in, sizeof(in), out, sizeof(*out))),
                     0);
}

static hv_status_t trace(uint32_t action, uint32_t cpu)
{
    struct hv_x_trace_in in = {.action = action, .cpu = cpu};

    return call(HVCALL_X_TRACE, &in, sizeof(in));
}

// Nothing is written while it is off; what is written is read in order, and the oldest goes first.
static void test_trace(void **state)
{
    const struct virt_ops *off = virt;
    struct hv_x_trace_out out;
    uint64_t id = build(1), next = 0, count = 0;
    struct vp *vp = partition_lookup(root_partition, id)->vps[0];

    (void)state;
    fake_virt_guest = exit_by_cpuid;
    virt->vp_run(vp);
    trace_left(vp);
    read_trace(0, &out);
    assert_int_equal(out.count, 0);
    assert_int_equal(trace(HV_X_TRACE_START, 0), HV_STATUS_SUCCESS);
    vp->run_tsc = 11;
    vp->wait_tsc = 12;
    fake_set_reg(vp, HV_REG_RIP, 0x1234);
    virt->vp_load(vp);
    virt->vp_run(vp);
    trace_left(vp);
    read_trace(0, &out);
    assert_int_equal(out.count, 3);
    assert_int_equal(out.record[0].type, HV_X_TRACE_SWITCH_IN);
    assert_int_equal(out.record[0].a, 11);
    assert_int_equal(out.record[0].b, 12);
    assert_int_equal(out.record[0].partition, id & 0xffff);
    assert_int_equal(out.record[1].type, HV_X_TRACE_EXIT);
    assert_int_equal(out.record[1].reason, EXIT_CPUID);
    assert_int_equal(out.record[1].a, 0x1234);
    assert_int_equal(out.record[1].b, 7);
    assert_int_equal(out.record[2].type, HV_X_TRACE_SWITCH_OUT);
    assert_int_equal(out.record[2].reason, vp->block & 0xffff);
    for (unsigned i = 0; i < 1000; i++) {
        virt->vp_run(vp);
    }
    assert_int_equal(trace(HV_X_TRACE_STOP, 0), HV_STATUS_SUCCESS);
    assert_ptr_equal(virt, off);
    virt->vp_run(vp);
    for (;;) {
        read_trace(next, &out);
        if (out.count == 0) {
            break;
        }
        count += out.count;
        next = out.sequence + out.count;
    }
    assert_int_equal(next, 1003);
    assert_int_equal(count, TRACE_RECORDS - 64);
    read_trace(5000, &out); // not there yet
    assert_int_equal(out.sequence, 1003);
    assert_int_equal(trace(HV_X_TRACE_READ, 1), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(trace(HV_X_TRACE_READ, 0xffffffff), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(trace(3, 0), HV_STATUS_INVALID_PARAMETER);
    take_down(id);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_delete_vp_waits_for_all_processors),
        CASE(test_dr6_beyond_32_bits_is_refused),
        CASE(test_apic_switched_off_leaves_timer_heap),
        CASE(test_map_without_rights_maps_nothing),
        CASE(test_apic_page_stays),
        CASE(test_initialization_can_be_tried_again),
        CASE(test_trace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
