// srcs: hv/synthetic.c arch/x86/vlapic.c arch/x86/vlapic_timer.c arch/x86/vlapic_ipi.c tests/unit/fake_virt.c tests/unit/fake_hv.c
// SPDX-License-Identifier: Apache-2.0
// Synthetic MSRs: hypercall page, reference time and its page, direct-mode timers, APIC shortcuts, privileges.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/policy.h"
#include "arch/x86/vlapic_priv.h"
#include "hv/cpu.h"
#include "tests/unit/fake_hv.h"

#define MEMORY 0x10000u
#define DIRECT(vector) (BIT(12) | (uint64_t)(vector) << 4)

static struct partition *part;
static struct vp *vp;

static int setup(void **state)
{
    (void)state;
    fake_tsc = 5000000;
    host_tsc_hz = FAKE_TSC_HZ;
    part = fake_partition_new(2, MEMORY);
    part->time_base_tsc = 1000000;
    vp = part->vps[1];
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_partition_free(part);
    return 0;
}

static uint64_t rd(uint32_t msr)
{
    uint64_t v;

    assert_true(synthetic_read(vp, msr, &v));
    return v;
}

static void wr(uint32_t msr, uint64_t v)
{
    if (!synthetic_write(vp, msr, v)) {
        fail_msg("write of %#x", msr);
    }
}

static void test_identity_and_hypercall_page(void **state)
{
    static const uint8_t vmcall_ret[] = {0x0f, 0x01, 0xc1, 0xc3};

    (void)state;
    assert_int_equal(rd(0x40000002), 1);
    wr(0x40000001, 0x3001); // no OS identity yet: stays disabled
    assert_int_equal(rd(0x40000001), 0x3000);
    wr(0x40000000, 0x8100000000000000);
    assert_false(synthetic_write(vp, 0x40000001, MEMORY | 1)); // beyond the GPA space
    assert_int_equal(rd(0x40000001), 0x3000);
    wr(0x40000001, 0x4001);
    assert_int_equal(rd(0x40000001), 0x4001);
    assert_memory_equal(fake_memory(part) + 0x4000, vmcall_ret, 4);
    wr(0x40000000, 0); // identity gone: disabled
    assert_int_equal(rd(0x40000001), 0x4000);
    wr(0x40000000, 1);
    wr(0x40000001, 0x5003); // locked
    wr(0x40000001, 0x6000);
    assert_int_equal(rd(0x40000001), 0x5003);
}

static void test_reference_time(void **state)
{
    static const uint64_t rates[] = {150000000, 999999999, 2100000000, 4999999999};

    (void)state;
    assert_int_equal(rd(0x40000020), 40000 - 1); // 4 ms; the fixed-point scale rounds down
    assert_false(synthetic_write(vp, 0x40000020, 0));
    assert_int_equal(rd(0x40000022), FAKE_TSC_HZ);
    assert_int_equal(rd(0x40000023), FAKE_TSC_HZ);
    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        uint64_t day = 86400ull * rates[i], want = 86400ull * 10000000, got;

        host_tsc_hz = rates[i];
        got = reference_time_at(part, part->time_base_tsc + day);
        assert_in_range(got, want - 1, want);
    }
}

// What a guest computes from the page must agree with the MSR, whatever its TSC offset is.
static void test_reference_page(void **state)
{
    static const uint64_t offsets[] = {0, -1000000ull, 123456789, -5000000ull};
    uint32_t last = 0;

    (void)state;
    assert_false(synthetic_write(vp, 0x40000021, MEMORY | 1));
    wr(0x40000021, 0x7001);
    for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
        struct {
            uint32_t sequence, reserved;
            uint64_t scale;
            int64_t offset;
        } page;
        uint64_t guest_tsc, time;

        vp->tsc_offset = offsets[i];
        reference_tsc_changed(vp);
        memcpy(&page, fake_memory(part) + 0x7000, sizeof(page));
        assert_int_not_equal(page.sequence, 0);
        assert_int_not_equal(page.sequence, last);
        last = page.sequence;
        guest_tsc = fake_tsc + vp->tsc_offset;
        if ((int64_t)(part->time_base_tsc + vp->tsc_offset) >= 0) { // TSC has not wrapped since the base
            time = (uint64_t)((unsigned __int128)guest_tsc * page.scale >> 64) + (uint64_t)page.offset;
            assert_in_range(time, rd(0x40000020), rd(0x40000020) + 1);
        }
    }
}

static bool posted(unsigned vector)
{
    bool set = (vp->pir[vector / 64] >> (vector & 63) & 1) != 0;

    memset(vp->pir, 0, sizeof(vp->pir));
    return set;
}

static void test_one_shot_timer(void **state)
{
    uint64_t deadline;

    (void)state;
    wr(0x400000b0, DIRECT(0xed) | 8); // auto enable
    assert_int_equal(rd(0x400000b0) & 1, 0);
    wr(0x400000b1, 50000); // 5 ms after the base: one from now
    assert_int_equal(rd(0x400000b0) & 1, 1);
    deadline = vp->stimer[0].deadline_tsc;
    assert_in_range(deadline, 6000000, 6000010);
    assert_int_equal(stimer_expire(vp, deadline - 1), deadline);
    assert_false(posted(0xed));
    assert_true(reference_time_at(part, deadline) >= 50000); // never early
    assert_int_equal(stimer_expire(vp, deadline), ~0ull);
    assert_true(posted(0xed));
    assert_int_equal(rd(0x400000b0) & 1, 0);
    wr(0x400000b1, 10); // long past
    assert_true(posted(0xed));
    assert_int_equal(rd(0x400000b0) & 1, 0);
    wr(0x400000b1, 60000);
    wr(0x400000b1, 0); // stops
    assert_int_equal(rd(0x400000b0) & 1, 0);
    assert_int_equal(vp->stimer[0].deadline_tsc, 0);
}

static void test_never_early(void **state)
{
    static const uint64_t rates[] = {150000000, 999999999, 2100000001, 4999999999};

    (void)state;
    wr(0x400000b0, DIRECT(0xed) | 8);
    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        for (uint64_t count = 12345; count < BIT(50); count = count * 3 + 7) {
            host_tsc_hz = rates[i];
            fake_tsc = part->time_base_tsc;
            wr(0x400000b1, count);
            assert_true(reference_time_at(part, vp->stimer[0].deadline_tsc) >= count);
            assert_true(reference_time_at(part, vp->stimer[0].deadline_tsc) <= count + count / 1000000 + 2);
        }
    }
    wr(0x400000b1, ~0ull); // saturates
    assert_true(vp->stimer[0].deadline_tsc > BIT(61));
}

static void test_periodic_timer(void **state)
{
    uint64_t first;

    (void)state;
    wr(0x400000b3, 10000); // 1 ms
    wr(0x400000b2, DIRECT(0x55) | 3);
    first = vp->stimer[1].deadline_tsc;
    assert_in_range(first, 6000000, 6000010);
    assert_in_range(stimer_expire(vp, first + 2500000), first + 2999990,
                    first + 3000020); // missed ones skipped
    assert_true(posted(0x55));
    wr(0x400000b3, 1); // absurdly short
    wr(0x400000b2, DIRECT(0x55) | 3);
    assert_true(vp->stimer[1].deadline_tsc >= fake_tsc + 10000);
    wr(0x400000b2, 0);
    assert_int_equal(stimer_expire(vp, ~0ull >> 1), ~0ull);
}

static void test_bad_timers(void **state)
{
    (void)state;
    wr(0x400000b5, 1000000);
    wr(0x400000b4, BIT(16) | 1); // SINT 1: there is no SynIC
    assert_int_equal(rd(0x400000b4) & 1, 0);
    wr(0x400000b4, DIRECT(15) | 1); // vector too low
    assert_int_equal(rd(0x400000b4) & 1, 0);
    assert_false(synthetic_write(vp, 0x400000b4, BIT(20)));
    assert_false(synthetic_write(vp, 0x400000b8, 0));
}

static void test_apic_msrs(void **state)
{
    (void)state;
    assert_true(vlapic_write(vp, APIC_SVR, 0x1ff));
    vp_post_interrupt(vp, 0x41, true);
    vlapic_sync(vp);
    vlapic_accept(vp, 0x41);
    assert_false(synthetic_write(vp, 0x40000070, BIT(32)));
    wr(0x40000070, 0);
    assert_int_equal(fake_eoi_vector, 0x41);
    wr(0x40000072, 0x50);
    assert_int_equal(rd(0x40000072), 0x50);
    assert_false(synthetic_write(vp, 0x40000072, 0x100));
    wr(0x40000071, 1ull << 56 | 0x42); // to itself by id
    assert_true(posted(0x42));
    assert_int_equal(rd(0x40000071), 1ull << 56 | 0x42);
    wr(0x40000073, 0x8001);
    assert_int_equal(rd(0x40000073), 0x8001);
    assert_false(synthetic_write(vp, 0x40000073, MEMORY | 1));
}

static void test_privileges(void **state)
{
    static const uint32_t msrs[] = {0x40000000, 0x40000001, 0x40000002, 0x40000010, 0x40000020,
                                    0x40000021, 0x40000022, 0x40000023, 0x40000071, 0x40000072,
                                    0x40000073, 0x400000b0, 0x400000b7, 0x40000118};
    uint64_t v;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(msrs); i++) {
        part->privileges = ~0ull;
        if (!synthetic_read(vp, msrs[i], &v)) {
            fail_msg("%#x", msrs[i]);
        }
        part->privileges = 0;
        assert_false(synthetic_read(vp, msrs[i], &v));
        assert_false(synthetic_write(vp, msrs[i], 0));
    }
    part->privileges = ~0ull;
    assert_false(synthetic_read(vp, 0x40000003, &v)); // RESET is not offered
    assert_false(synthetic_read(vp, 0x40000080, &v)); // nor a SynIC
    assert_false(synthetic_write(vp, 0x40000118, 2));
    wr(0x40000118, 1);
    assert_int_equal(rd(0x40000118), 1);
}

static void test_reset(void **state)
{
    (void)state;
    wr(0x400000b0, DIRECT(0xed) | 8);
    wr(0x400000b1, 60000);
    synthetic_reset(vp);
    assert_int_equal(rd(0x400000b0), 0);
    assert_int_equal(stimer_expire(vp, ~0ull >> 1), ~0ull);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_identity_and_hypercall_page),
        CASE(test_reference_time),
        CASE(test_reference_page),
        CASE(test_one_shot_timer),
        CASE(test_never_early),
        CASE(test_periodic_timer),
        CASE(test_bad_timers),
        CASE(test_apic_msrs),
        CASE(test_privileges),
        CASE(test_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
