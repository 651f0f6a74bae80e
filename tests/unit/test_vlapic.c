// srcs: arch/x86/vlapic.c arch/x86/vlapic_timer.c arch/x86/vlapic_ipi.c arch/x86/vlapic_exit.c arch/x86/decode.c arch/x86/guest_walk.c tests/unit/fake_virt.c tests/unit/fake_hv.c
// SPDX-License-Identifier: Apache-2.0
// The virtual local APIC: registers, priorities, timers, destinations, page accesses, APIC virtualization.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/vlapic_priv.h"
#include "hv/cpu.h"
#include "tests/unit/fake_hv.h"

#define MEMORY (4u << 20)

static struct partition *part;
static struct vp *vp0;

static int setup(void **state)
{
    (void)state;
    fake_tsc = 1000000;
    virt_caps.apicv = false;
    part = fake_partition_new(4, MEMORY);
    vp0 = part->vps[0];
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_partition_free(part);
    return 0;
}

static uint32_t rd(struct vp *vp, uint32_t offset)
{
    uint64_t v;

    assert_true(vlapic_read(vp, offset, &v));
    return (uint32_t)v;
}

static void wr(struct vp *vp, uint32_t offset, uint32_t value)
{
    assert_true(vlapic_write(vp, offset, value));
}

static void enable(struct vp *vp)
{
    wr(vp, APIC_SVR, 0x1ff);
}

static void go_x2apic(struct vp *vp)
{
    assert_true(vlapic_set_base(vp, vp->apic.base_msr | BIT(10)));
}

static int deliver_next(struct vp *vp)
{
    int v;

    vlapic_sync(vp);
    v = vlapic_pending(vp);
    if (v >= 0) {
        vlapic_accept(vp, (uint8_t)v);
    }
    return v;
}

static void test_power_on(void **state)
{
    (void)state;
    assert_int_equal(rd(part->vps[3], APIC_ID), 3u << 24);
    assert_int_equal(rd(vp0, APIC_VERSION), 0x50014);
    assert_int_equal(rd(vp0, APIC_SVR), 0xff);
    assert_int_equal(rd(vp0, APIC_DFR), 0xffffffff);
    assert_int_equal(rd(vp0, APIC_LVT_LINT0), 0x10000);
    assert_int_equal(vp0->apic.base_msr, 0xfee00900);
    assert_int_equal(part->vps[1]->apic.base_msr, 0xfee00800);
}

static void test_priorities(void **state)
{
    (void)state;
    enable(vp0);
    vp_post_interrupt(vp0, 0x41, false);
    vp_post_interrupt(vp0, 0x62, false);
    assert_int_equal(deliver_next(vp0), 0x62);
    assert_int_equal(rd(vp0, APIC_PPR), 0x60);
    assert_int_equal(deliver_next(vp0), -1); // 0x41 waits for 0x62
    vp_post_interrupt(vp0, 0x65, false);
    assert_int_equal(deliver_next(vp0), -1); // same class
    vp_post_interrupt(vp0, 0xf1, false);
    assert_int_equal(deliver_next(vp0), 0xf1); // nests
    wr(vp0, APIC_EOI, 0);
    assert_int_equal(rd(vp0, APIC_PPR), 0x60);
    wr(vp0, APIC_EOI, 0);
    assert_int_equal(deliver_next(vp0), 0x65);
    wr(vp0, APIC_EOI, 0);
    wr(vp0, APIC_TPR, 0x40);
    assert_int_equal(rd(vp0, APIC_PPR), 0x40);
    assert_int_equal(deliver_next(vp0), -1);
    assert_false(vlapic_has_pending(vp0));
    wr(vp0, APIC_TPR, 0x3f);
    assert_true(vlapic_has_pending(vp0));
    assert_int_equal(deliver_next(vp0), 0x41);
    wr(vp0, APIC_EOI, 0);
    wr(vp0, APIC_EOI, 0); // without anything in service: ignored
    assert_int_equal(vp0->apic.isr_top, 0);
}

static void test_software_disabled(void **state)
{
    (void)state;
    vp_post_interrupt(vp0, 0x41, false);
    assert_int_equal(deliver_next(vp0), -1);
    enable(vp0);
    assert_int_equal(deliver_next(vp0), -1); // it was dropped
    wr(vp0, APIC_LVT_TIMER, 0x33);
    assert_int_equal(rd(vp0, APIC_LVT_TIMER), 0x33);
    wr(vp0, APIC_SVR, 0xff);
    assert_int_equal(rd(vp0, APIC_LVT_TIMER), 0x10033);
    wr(vp0, APIC_LVT_TIMER, 0x33);
    assert_int_equal(rd(vp0, APIC_LVT_TIMER), 0x10033); // the mask stays while disabled
}

static void test_level_and_eoi(void **state)
{
    (void)state;
    enable(vp0);
    vp_post_interrupt(vp0, 0x51, true);
    assert_int_equal(deliver_next(vp0), 0x51);
    assert_int_equal(rd(vp0, APIC_TMR + 0x20), 1u << 0x11);
    wr(vp0, APIC_EOI, 0);
    assert_int_equal(fake_eoi_vector, 0x51);
    fake_eoi_vector = -1;
    vp_post_interrupt(vp0, 0x51, false);
    assert_int_equal(deliver_next(vp0), 0x51);
    assert_int_equal(rd(vp0, APIC_TMR + 0x20), 0);
    wr(vp0, APIC_EOI, 0);
    assert_int_equal(fake_eoi_vector, -1);
}

static void test_errors(void **state)
{
    (void)state;
    enable(vp0);
    wr(vp0, APIC_LVT_ERROR, 0xe1);
    wr(vp0, APIC_ICR, 0x0f | 1 << 18);      // vector 15 to self
    assert_int_equal(rd(vp0, APIC_ESR), 0); // not latched yet
    wr(vp0, APIC_ESR, 0);
    assert_int_equal(rd(vp0, APIC_ESR), 0x20);
    wr(vp0, APIC_ESR, 0);
    assert_int_equal(rd(vp0, APIC_ESR), 0);
    assert_int_equal(deliver_next(vp0), 0xe1);
    wr(vp0, 0x40, 0); // no register
    wr(vp0, APIC_ESR, 0);
    assert_int_equal(rd(vp0, APIC_ESR), 0x80);
}

static void test_read_only(void **state)
{
    (void)state;
    wr(vp0, APIC_ID, 0x55000000);
    assert_int_equal(rd(vp0, APIC_ID), 0);
    wr(vp0, APIC_VERSION, 0);
    assert_int_equal(rd(vp0, APIC_VERSION), 0x50014);
    wr(vp0, APIC_ISR, ~0u);
    assert_int_equal(rd(vp0, APIC_ISR), 0);
    wr(vp0, APIC_DFR, 0);
    assert_int_equal(rd(vp0, APIC_DFR), 0x0fffffff);
    wr(vp0, APIC_LDR, 0x12345678);
    assert_int_equal(rd(vp0, APIC_LDR), 0x12000000);
    enable(vp0);
    wr(vp0, APIC_LVT_LINT0, ~0u);
    assert_int_equal(rd(vp0, APIC_LVT_LINT0), 0x1a7ff);
    wr(vp0, APIC_ICR, 0xfff3ffff & ~0x700u); // to nobody in particular: reserved bits read back zero
    assert_int_equal(rd(vp0, APIC_ICR) & (1u << 12), 0);
}

// Each mode change of SDM 3A "x2APIC State Transitions".
static void test_base_msr(void **state)
{
    static const struct {
        unsigned from, to; // EN and EXTD as bits 1 and 0
        bool ok;
    } cases[] = {
        {0, 0, true},  {0, 2, true}, {0, 3, false}, {0, 1, false}, {2, 0, true}, {2, 3, true},
        {2, 1, false}, {3, 0, true}, {3, 2, false}, {3, 1, false}, {3, 3, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t want = 0xfee00000 | (uint64_t)cases[i].to << 10;

        vp0->apic.base_msr = 0xfee00100 | (uint64_t)cases[i].from << 10;
        if (vlapic_set_base(vp0, want) != cases[i].ok) {
            fail_msg("%u -> %u", cases[i].from, cases[i].to);
        }
        assert_int_equal(vp0->apic.base_msr & 0x100, 0x100); // BSP cannot be changed
    }
    vp0->apic.base_msr = 0xfee00900;
    assert_false(vlapic_set_base(vp0, 0xfee00901));
    assert_false(vlapic_set_base(vp0, 0xfee00a00));
    assert_false(vlapic_set_base(vp0, BIT(40) | 0x900));
    assert_true(vlapic_set_base(vp0, 0xfed00900));
}

static void test_x2apic_rules(void **state)
{
    static const struct {
        uint32_t msr;
        bool read, write;
        uint64_t value; // for the write
    } cases[] = {
        {0x802, true, false, 0},       {0x803, true, false, 0},
        {0x808, true, true, 0x20},     {0x808, true, false, 0x100},
        {0x80a, true, false, 0},       {0x80b, false, true, 0},
        {0x80b, false, false, 1},      {0x80d, true, false, 0},
        {0x80e, false, false, 0},      {0x80f, true, true, 0x1ff},
        {0x80f, true, false, 0x10000}, {0x828, true, true, 0},
        {0x828, true, false, 1},       {0x830, true, true, 0x5000000040},
        {0x830, true, false, BIT(31)}, {0x831, false, false, 0},
        {0x832, true, true, 0x40040},  {0x832, true, false, BIT(20)},
        {0x835, true, true, 0x10700},  {0x838, true, true, 5},
        {0x838, true, false, BIT(32)}, {0x839, true, false, 0},
        {0x83e, true, true, 0xb},      {0x83e, true, false, 4},
        {0x83f, false, true, 0x40},    {0x83f, false, false, 0x100},
        {0x840, false, false, 0},      {0x8ff, false, false, 0},
        {0x804, false, false, 0},      {0x82f, false, false, 0},
    };

    (void)state;
    go_x2apic(vp0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t v;

        if (vlapic_read_msr(vp0, cases[i].msr, &v) != cases[i].read) {
            fail_msg("read of %#x", cases[i].msr);
        }
        if (vlapic_write_msr(vp0, cases[i].msr, cases[i].value) != cases[i].write) {
            fail_msg("write of %#x to %#x", (unsigned)cases[i].value, cases[i].msr);
        }
    }
}

static void test_x2apic_identity(void **state)
{
    uint64_t v;

    (void)state;
    assert_false(vlapic_read_msr(vp0, 0x802, &v)); // xAPIC mode
    go_x2apic(part->vps[3]);
    assert_true(vlapic_read_msr(part->vps[3], 0x802, &v));
    assert_int_equal(v, 3);
    assert_true(vlapic_read_msr(part->vps[3], 0x80d, &v));
    assert_int_equal(v, 1 << 3);
}

static unsigned got(unsigned vector)
{
    unsigned mask = 0;

    for (unsigned i = 0; i < part->vp_count; i++) {
        if (part->vps[i]->pir[vector / 64] & BIT(vector & 63)) {
            mask |= 1u << i;
        }
        memset(part->vps[i]->pir, 0, sizeof(part->vps[i]->pir));
    }
    return mask;
}

static void test_destinations_xapic(void **state)
{
    static const uint8_t cluster_ldr[4] = {0x11, 0x12, 0x21, 0x22};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        enable(part->vps[i]);
        wr(part->vps[i], APIC_LDR, 1u << (24 + i));
    }
    assert_int_equal(vlapic_deliver(part, NULL, 2, false, 0, 0, 0x40, false), 1);
    assert_int_equal(got(0x40), 0x4);
    assert_int_equal(vlapic_deliver(part, NULL, 9, false, 0, 0, 0x40, false), 0);
    assert_int_equal(vlapic_deliver(part, NULL, 0xff, false, 0, 0, 0x40, false), 4);
    assert_int_equal(got(0x40), 0xf);
    assert_int_equal(vlapic_deliver(part, NULL, 0x0a, true, 0, 0, 0x40, false), 2);
    assert_int_equal(got(0x40), 0xa);
    assert_int_equal(vlapic_deliver(part, NULL, 0x0a, true, 0, 1, 0x40, false), 1); // lowest priority
    assert_int_equal(got(0x40), 0x2);
    wr(part->vps[1], APIC_TPR, 0x80);
    assert_int_equal(vlapic_deliver(part, NULL, 0x0a, true, 0, 1, 0x40, false), 1);
    assert_int_equal(got(0x40), 0x8);
    assert_int_equal(vlapic_deliver(part, vp0, 0, false, 3, 0, 0x40, false), 3);
    assert_int_equal(got(0x40), 0xe);
    assert_int_equal(vlapic_deliver(part, vp0, 0, false, 2, 0, 0x40, false), 4);
    assert_int_equal(got(0x40), 0xf);
    assert_int_equal(vlapic_deliver(part, vp0, 0, false, 0, 0, 0x0f, false), 0); // vector too low
    for (unsigned i = 0; i < 4; i++) {
        wr(part->vps[i], APIC_DFR, 0);
        wr(part->vps[i], APIC_LDR, (uint32_t)cluster_ldr[i] << 24);
    }
    assert_int_equal(vlapic_deliver(part, NULL, 0x13, true, 0, 0, 0x40, false), 2);
    assert_int_equal(got(0x40), 0x3);
    assert_int_equal(vlapic_deliver(part, NULL, 0x22, true, 0, 0, 0x40, false), 1);
    assert_int_equal(got(0x40), 0x8);
    assert_int_equal(vlapic_deliver(part, NULL, 0xf1, true, 0, 0, 0x40, false), 2); // all clusters
    assert_int_equal(got(0x40), 0x5);
}

static void test_destinations_x2apic(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        go_x2apic(part->vps[i]);
        assert_true(vlapic_write_msr(part->vps[i], 0x80f, 0x1ff));
    }
    assert_true(vlapic_write_msr(vp0, 0x830, 3ull << 32 | 0x40));
    assert_int_equal(got(0x40), 0x8);
    assert_true(vlapic_write_msr(vp0, 0x830, 0xffffffffull << 32 | 0x40));
    assert_int_equal(got(0x40), 0xf);
    assert_true(vlapic_write_msr(vp0, 0x830, 0x6ull << 32 | 0x840)); // logical, cluster 0
    assert_int_equal(got(0x40), 0x6);
    assert_true(vlapic_write_msr(vp0, 0x830, 0x10006ull << 32 | 0x840)); // cluster 1: nobody
    assert_int_equal(got(0x40), 0);
    assert_true(vlapic_write_msr(vp0, 0x83f, 0x41));
    assert_int_equal(got(0x41), 0x1);
}

static void test_init_sipi_nmi(void **state)
{
    struct vp *vp1 = part->vps[1];

    (void)state;
    wr(vp0, APIC_ICR_HIGH, 1u << 24);
    wr(vp0, APIC_ICR, 0xc500); // INIT, level, assert
    assert_true(vp1->requests & VP_REQ_INIT);
    vp1->requests = 0;
    wr(vp0, APIC_ICR, 0x8500); // INIT de-assert
    assert_int_equal(vp1->requests, 0);
    wr(vp0, APIC_ICR, 0x0069a);
    assert_true(vp1->requests & VP_REQ_SIPI);
    assert_int_equal(vp1->sipi_vector, 0x9a);
    wr(vp0, APIC_ICR, 0x0400);
    assert_true(vp1->requests & VP_REQ_NMI);
    assert_int_equal(part->vps[2]->requests & (VP_REQ_INIT | VP_REQ_SIPI | VP_REQ_NMI), 0);
}

static void test_one_shot(void **state)
{
    (void)state;
    enable(vp0);
    wr(vp0, APIC_TIMER_DIVIDE, 0x3); // 16
    wr(vp0, APIC_LVT_TIMER, 0x40);
    wr(vp0, APIC_TIMER_INITIAL, 1000);
    assert_int_equal(vp0->apic.timer_deadline, 1000000 + 16000);
    fake_tsc += 8000;
    assert_int_equal(rd(vp0, APIC_TIMER_CURRENT), 500);
    wr(vp0, APIC_TIMER_DIVIDE, 0xb); // 1: the remaining 500 counts take 500 ticks
    assert_int_equal(vp0->apic.timer_deadline, fake_tsc + 500);
    assert_int_equal(vlapic_timer_expire(vp0, fake_tsc + 499), fake_tsc + 500);
    fake_tsc += 500;
    assert_int_equal(vlapic_timer_expire(vp0, fake_tsc), ~0ull);
    assert_int_equal(deliver_next(vp0), 0x40);
    assert_int_equal(rd(vp0, APIC_TIMER_CURRENT), 0);
    assert_int_equal(rd(vp0, APIC_TIMER_INITIAL), 1000);
}

static void test_periodic(void **state)
{
    (void)state;
    enable(vp0);
    wr(vp0, APIC_TIMER_DIVIDE, 0xb);
    wr(vp0, APIC_LVT_TIMER, 0x20040);
    wr(vp0, APIC_TIMER_INITIAL, 100000);
    fake_tsc += 350000; // three and a half periods late
    assert_int_equal(rd(vp0, APIC_TIMER_CURRENT), 50000);
    assert_int_equal(vlapic_timer_expire(vp0, fake_tsc), fake_tsc + 50000);
    assert_int_equal(deliver_next(vp0), 0x40);
    wr(vp0, APIC_TIMER_INITIAL, 0);
    assert_int_equal(vlapic_timer_expire(vp0, ~0ull >> 1), ~0ull);
    wr(vp0, APIC_TIMER_INITIAL, 1); // shorter than is good for anybody
    assert_int_equal(vp0->apic.timer_deadline, fake_tsc + FAKE_TSC_HZ / 100000);
}

static void test_tsc_deadline(void **state)
{
    (void)state;
    enable(vp0);
    vp0->tsc_offset = -900000ull; // guest TSC is 100000
    vlapic_set_tsc_deadline(vp0, 150000);
    assert_int_equal(vlapic_tsc_deadline(vp0), 0); // not in deadline mode
    wr(vp0, APIC_LVT_TIMER, 0x40040);
    vlapic_set_tsc_deadline(vp0, 150000);
    assert_int_equal(vlapic_tsc_deadline(vp0), 150000);
    assert_int_equal(vp0->apic.timer_deadline, 1050000);
    wr(vp0, APIC_TIMER_INITIAL, 77);
    assert_int_equal(rd(vp0, APIC_TIMER_INITIAL), 0);
    assert_int_equal(vlapic_timer_expire(vp0, 1050000), ~0ull);
    assert_int_equal(vlapic_tsc_deadline(vp0), 0);
    assert_int_equal(deliver_next(vp0), 0x40);
    vlapic_eoi(vp0);
    vlapic_set_tsc_deadline(vp0, 99999); // past: at once
    assert_int_equal(vlapic_tsc_deadline(vp0), 0);
    assert_int_equal(deliver_next(vp0), 0x40);
    vlapic_set_tsc_deadline(vp0, ~0ull); // beyond all times
    assert_true(vp0->apic.timer_deadline > BIT(63));
    vp0->tsc_offset = 0;
    vlapic_set_tsc_deadline(vp0, 2000000);
    vp0->tsc_offset = 500000;
    vlapic_tsc_changed(vp0);
    assert_int_equal(vp0->apic.timer_deadline, 1500000);
    wr(vp0, APIC_LVT_TIMER, 0x40); // leaving the mode disarms
    assert_int_equal(vp0->apic.timer_deadline, 0);
}

static void test_masked_timer(void **state)
{
    (void)state;
    enable(vp0);
    wr(vp0, APIC_TIMER_DIVIDE, 0xb);
    wr(vp0, APIC_LVT_TIMER, 0x10040);
    wr(vp0, APIC_TIMER_INITIAL, 100);
    assert_int_equal(vlapic_timer_expire(vp0, fake_tsc + 100), ~0ull);
    assert_int_equal(deliver_next(vp0), -1);
}

static void mmio(struct vp *vp, const uint8_t *code, size_t len, uint64_t offset)
{
    memcpy(fake_memory(part) + 0x5000, code, len);
    fake_set_reg(vp, HV_REG_RIP, 0x5000);
    vp->exit = (struct vp_exit){.reason = EXIT_GPA_FAULT, .gpa = {.gpa = GPA(0xfee00000 + offset)}};
}

static void test_page_access(void **state)
{
    static const uint8_t load[] = {0x8b, 0x03};                 // mov eax,[rbx]
    static const uint8_t load8[] = {0x0f, 0xb6, 0x0b};          // movzx ecx,byte [rbx]
    static const uint8_t store[] = {0xc7, 0x03, 0x30, 0, 0, 0}; // mov dword [rbx],0x30
    static const uint8_t add[] = {0x01, 0x03};                  // add [rbx],eax

    (void)state;
    fake_long_mode(vp0, 0x10000, 0x5000);
    mmio(vp0, load, sizeof(load), APIC_VERSION);
    vp0->regs->gpr[GPR_RAX] = ~0ull;
    assert_int_equal(vlapic_exit_mmio(vp0), VP_ADVANCE);
    assert_int_equal(vp0->exit.insn_len, 2);
    assert_int_equal(vp0->regs->gpr[GPR_RAX], 0x50014);
    mmio(vp0, load8, sizeof(load8), APIC_VERSION + 2);
    assert_int_equal(vlapic_exit_mmio(vp0), VP_ADVANCE);
    assert_int_equal(vp0->regs->gpr[GPR_RCX], 0x05);
    mmio(vp0, store, sizeof(store), APIC_TPR);
    assert_int_equal(vlapic_exit_mmio(vp0), VP_ADVANCE);
    assert_int_equal(vp0->exit.insn_len, 6);
    assert_int_equal(rd(vp0, APIC_TPR), 0x30);
    mmio(vp0, store, sizeof(store), APIC_TPR + 4); // not a register
    assert_int_equal(vlapic_exit_mmio(vp0), VP_ADVANCE);
    mmio(vp0, add, sizeof(add), APIC_TPR);
    assert_int_equal(vlapic_exit_mmio(vp0), VP_RESCHED);
    assert_true(vp0->block & VP_BLOCK_DEAD);
    mmio(vp0, store, sizeof(store), APIC_TPR); // after a refused one nothing stale is used
    assert_int_equal(vlapic_exit_mmio(vp0), VP_ADVANCE);
    assert_int_equal(vp0->exit.insn_len, 6);
}

static void test_apicv(void **state)
{
    struct fake_vp *f = fake_vp(vp0);

    (void)state;
    virt_caps.apicv = true;
    vlapic_sync(vp0);
    assert_int_equal(f->apic_mode, VLAPIC_XAPIC);
    enable(vp0);
    vp_post_interrupt(vp0, 0x41, false);
    vp_post_interrupt(vp0, 0x62, true);
    vlapic_sync(vp0);
    assert_int_equal(f->rvi, 0x62);
    assert_int_equal(f->svi, 0);
    assert_int_equal(f->eoi_exit[1], BIT(0x62 - 64));
    assert_int_equal(f->eoi_exit_updates, 1);
    assert_true(vlapic_has_pending(vp0));
    // The processor delivers 0x62 and virtualizes its EOI.
    apic_set(vp0, APIC_IRR + 0x30, 0);
    apic_set(vp0, APIC_ISR + 0x30, 1u << 2);
    f->rvi = 0x41;
    assert_int_equal(vlapic_pending(vp0), -1);
    apic_set(vp0, APIC_ISR + 0x30, 0);
    vp0->exit = (struct vp_exit){.reason = EXIT_APIC_EOI, .qual = {0x62}};
    assert_int_equal(vlapic_exit_eoi(vp0), VP_RESUME);
    assert_int_equal(fake_eoi_vector, 0x62);
    // A trapped write of ICR: the value is in the page already.
    enable(part->vps[2]);
    apic_set(vp0, APIC_ICR_HIGH, 2u << 24);
    apic_set(vp0, APIC_ICR, 0x77);
    vp0->exit = (struct vp_exit){.reason = EXIT_APIC_WRITE, .apic = {.offset = APIC_ICR}};
    assert_int_equal(vlapic_exit_write(vp0), VP_RESUME);
    assert_int_equal(got(0x77), 0x4);
    // A trapped write of a read-only register is undone; one that changes the timer's mode disarms it.
    apic_set(vp0, APIC_ID, 0x12345678);
    vp0->exit.apic.offset = APIC_ID;
    assert_int_equal(vlapic_exit_write(vp0), VP_RESUME);
    assert_int_equal(rd(vp0, APIC_ID), 0);
    wr(vp0, APIC_LVT_TIMER, 0x50);
    wr(vp0, APIC_TIMER_INITIAL, 1000);
    assert_int_not_equal(vp0->apic.timer_deadline, 0);
    apic_set(vp0, APIC_LVT_TIMER, 0x40050);
    vp0->exit.apic.offset = APIC_LVT_TIMER;
    assert_int_equal(vlapic_exit_write(vp0), VP_RESUME);
    assert_int_equal(vp0->apic.timer_deadline, 0);
    go_x2apic(vp0);
    vlapic_sync(vp0);
    assert_int_equal(f->apic_mode, VLAPIC_X2APIC);
    assert_true(vlapic_set_base(vp0, 0xfee00000));
    vlapic_sync(vp0);
    assert_int_equal(f->apic_mode, VLAPIC_OFF);
    assert_true(vlapic_set_base(vp0, 0xfed00800)); // moved: software
    vlapic_sync(vp0);
    assert_int_equal(f->apic_mode, VLAPIC_OFF);
}

static void test_reset(void **state)
{
    (void)state;
    enable(vp0);
    wr(vp0, APIC_LDR, 0x01000000);
    vp_post_interrupt(vp0, 0x41, false);
    go_x2apic(vp0);
    vlapic_reset(vp0);
    assert_int_equal(rd(vp0, APIC_SVR), 0xff);
    assert_int_equal(vp0->apic.base_msr & 0xc00, 0xc00);
    assert_int_equal(rd(vp0, APIC_LDR), 1);
    enable(vp0);
    assert_int_equal(deliver_next(vp0), -1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_power_on),
        CASE(test_priorities),
        CASE(test_software_disabled),
        CASE(test_level_and_eoi),
        CASE(test_errors),
        CASE(test_read_only),
        CASE(test_base_msr),
        CASE(test_x2apic_rules),
        CASE(test_x2apic_identity),
        CASE(test_destinations_xapic),
        CASE(test_destinations_x2apic),
        CASE(test_init_sipi_nmi),
        CASE(test_one_shot),
        CASE(test_periodic),
        CASE(test_tsc_deadline),
        CASE(test_masked_timer),
        CASE(test_page_access),
        CASE(test_apicv),
        CASE(test_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
