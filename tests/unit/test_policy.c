// srcs: arch/x86/cpuid_policy.c arch/x86/msr_policy.c arch/x86/exit_cr.c hv/synthetic.c arch/x86/vlapic.c arch/x86/vlapic_timer.c arch/x86/vlapic_ipi.c tests/unit/fake_virt.c tests/unit/fake_hv.c
// SPDX-License-Identifier: Apache-2.0
// CPUID, MSR and control register policy. Also keeps docs/guest-cpu.md in step with the tables: when they differ,
// KEELSON_UPDATE_DOCS=1 rewrites the file.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/cpuid_table.h"
#include "arch/x86/host.h"
#include "arch/x86/msr_table.h"
#include "arch/x86/policy.h"
#include "arch/x86/vlapic_priv.h"
#include "arch/x86/x86.h"
#include "tests/unit/fake_hv.h"

static struct partition *part;
static struct vp *vp;
static bool intel_host = true;

// A host that claims every feature there is.
static void all_ones(uint32_t leaf, uint32_t subleaf, struct cpuid_result *out)
{
    *out = (struct cpuid_result){~0u, ~0u, ~0u, ~0u};
    if (leaf == 0) {
        *out = intel_host ? (struct cpuid_result){0x20, 0x756e6547, 0x6c65746e, 0x49656e69}
                          : (struct cpuid_result){0x20, 0x68747541, 0x444d4163, 0x69746e65};
    } else if (leaf == 0x80000000) {
        out->eax = 0x80000028;
    } else if (leaf == 0xd && subleaf >= 2) {
        static const uint32_t size[8] = {0, 0, 256, 64, 64, 64, 512, 1024};
        static const uint32_t offset[8] = {0, 0, 576, 960, 1024, 1088, 1152, 1664};

        *out = subleaf < 8 ? (struct cpuid_result){size[subleaf], offset[subleaf], 0, 0}
                           : (struct cpuid_result){0};
    } else if (leaf == 4 || leaf == 0x8000001d) { // L1d, L1i, L2, L3
        static const uint32_t type[4] = {0x121, 0x122, 0x143, 0x163};

        *out = (struct cpuid_result){.eax = subleaf < 4 ? type[subleaf] | 0xffffc000 : 0, .ebx = 0x1c0003f};
    }
}

static void bare(uint32_t leaf, uint32_t subleaf, struct cpuid_result *out)
{
    (void)subleaf;
    *out = (struct cpuid_result){0};
    if (leaf == 0) {
        *out = (struct cpuid_result){0x4, 0x756e6547, 0x6c65746e, 0x49656e69};
    } else if (leaf == 0x80000000) {
        out->eax = 0x80000004;
    }
}

static int setup(void **state)
{
    (void)state;
    intel_host = true;
    virt_caps.apicv = false;
    host_xcr0 = 0xe7;
    fake_tsc = 10000;
    fake_arch_capabilities = ~0ull;
    part = fake_partition_new(3, 0x10000);
    vp = part->vps[1];
    cpuid_policy_build(all_ones);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_partition_free(part);
    return 0;
}

static struct cpuid_result leaf(uint32_t n, uint32_t sub)
{
    struct cpuid_result r;

    cpuid_policy(vp, n, sub, &r);
    return r;
}

// --- CPUID ---

struct named_bit {
    const char *name;
    uint32_t leaf, subleaf, reg, bit;
};

static bool visible(const struct named_bit *b)
{
    struct cpuid_result r = leaf(b->leaf, b->subleaf);
    const uint32_t regs[4] = {r.eax, r.ebx, r.ecx, r.edx};

    return (regs[b->reg] >> b->bit & 1) != 0;
}

// Named one by one, apart from the table, so that a wrong mask is seen.
static void test_hidden_features(void **state)
{
    static const struct named_bit hidden[] = {
        {"DTES64", 1, 0, 2, 2},
        {"MONITOR", 1, 0, 2, 3},
        {"VMX", 1, 0, 2, 5},
        {"SMX", 1, 0, 2, 6},
        {"EIST", 1, 0, 2, 7},
        {"TM2", 1, 0, 2, 8},
        {"SDBG", 1, 0, 2, 11},
        {"PDCM", 1, 0, 2, 15},
        {"DCA", 1, 0, 2, 18},
        {"OSXSAVE", 1, 0, 2, 27},
        {"PSN", 1, 0, 3, 18},
        {"DS", 1, 0, 3, 21},
        {"ACPI", 1, 0, 3, 22},
        {"TM", 1, 0, 3, 29},
        {"PBE", 1, 0, 3, 31},
        {"SGX", 7, 0, 1, 2},
        {"HLE", 7, 0, 1, 4},
        {"RTM", 7, 0, 1, 11},
        {"RDT-M", 7, 0, 1, 12},
        {"MPX", 7, 0, 1, 14},
        {"RDT-A", 7, 0, 1, 15},
        {"PT", 7, 0, 1, 25},
        {"PKU", 7, 0, 2, 3},
        {"OSPKE", 7, 0, 2, 4},
        {"WAITPKG", 7, 0, 2, 5},
        {"CET_SS", 7, 0, 2, 7},
        {"LA57", 7, 0, 2, 16},
        {"PKS", 7, 0, 2, 31},
        {"CET_IBT", 7, 0, 3, 20},
        {"AMX-BF16", 7, 0, 3, 22},
        {"AMX-TILE", 7, 0, 3, 24},
        {"IBRS", 7, 0, 3, 26},
        {"STIBP", 7, 0, 3, 27},
        {"SSBD", 7, 0, 3, 31},
        {"UINTR", 7, 0, 3, 5},
        {"XSAVES", 0xd, 1, 0, 3},
        {"XFD", 0xd, 1, 0, 4},
        {"SVM", 0x80000001, 0, 2, 2},
        {"SKINIT", 0x80000001, 0, 2, 12},
        {"IBS", 0x80000001, 0, 2, 10},
        {"LWP", 0x80000001, 0, 2, 15},
        {"PERFCTR", 0x80000001, 0, 2, 23},
        {"MONITORX", 0x80000001, 0, 2, 29},
        {"turbo", 6, 0, 0, 1},
        {"APERF", 6, 0, 2, 0},
        {"HWP", 6, 0, 0, 7},
        {"V_SPEC_CTRL", 0x80000008, 0, 1, 25},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
        if (visible(&hidden[i])) {
            fail_msg("%s is visible", hidden[i].name);
        }
    }
}

static void test_forced_features(void **state)
{
    static const struct named_bit forced[] = {
        {"x2APIC", 1, 0, 2, 21}, {"TSC deadline", 1, 0, 2, 24},          {"hypervisor", 1, 0, 2, 31},
        {"ARAT", 6, 0, 0, 2},    {"invariant TSC", 0x80000007, 0, 3, 8}, {"TSC_ADJUST", 7, 0, 1, 1},
        {"APIC", 1, 0, 3, 9},
    };
    static const struct named_bit optional[] = {
        {"AVX", 1, 0, 2, 28}, {"FPU", 1, 0, 3, 0}, {"SMEP", 7, 0, 1, 7}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(optional); i++) {
        assert_true(visible(&optional[i]));
    }
    cpuid_policy_build(bare);
    for (size_t i = 0; i < ARRAY_LEN(forced); i++) {
        if (!visible(&forced[i])) {
            fail_msg("%s is not visible", forced[i].name);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(optional); i++) {
        assert_false(visible(&optional[i]));
    }
    assert_int_equal(leaf(0x80000000, 0).eax, 0x80000008);
}

static void test_empty_leaves(void **state)
{
    static const uint32_t empty[] = {3,          5,          9,          0xa,        0xc,        0xe,
                                     0xf,        0x10,       0x12,       0x14,       0x17,       0x18,
                                     0x19,       0x1b,       0x1d,       0x1f,       0x20,       0x23,
                                     0x8000000a, 0x80000009, 0x8000001b, 0x8000001c, 0x8000001f, 0x80000020,
                                     0x80000022, 0x40000007, 0x400000ff, 0x40000102, 0x20000000, 0xffffffff};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(empty); i++) {
        struct cpuid_result r = leaf(empty[i], 0);

        if ((r.eax | r.ebx | r.ecx | r.edx) != 0) {
            fail_msg("leaf %#x is not empty", empty[i]);
        }
    }
}

static void test_without_avx(void **state)
{
    (void)state;
    host_xcr0 = 3;
    cpuid_policy_build(all_ones);
    assert_int_equal(leaf(1, 0).ecx & (1u << 28 | 1u << 12 | 1u << 29), 0);
    assert_int_equal(leaf(7, 0).ebx & (1u << 5 | 1u << 16), 0);
    host_xcr0 = 7;
    cpuid_policy_build(all_ones);
    assert_int_equal(leaf(1, 0).ecx & 1u << 28, 1u << 28);
    assert_int_equal(leaf(7, 0).ebx & (1u << 5 | 1u << 16), 1u << 5);
}

static void test_topology(void **state)
{
    struct cpuid_result r;

    (void)state;
    r = leaf(1, 0);
    assert_int_equal(r.ebx >> 24, 1);
    assert_int_equal(r.ebx >> 16 & 0xff, 4); // three VPs: ids take two bits
    assert_int_equal(r.edx >> 28 & 1, 1);
    r = leaf(0xb, 0);
    assert_int_equal(r.eax, 0);
    assert_int_equal(r.ebx, 1);
    assert_int_equal(r.ecx, 0x100);
    assert_int_equal(r.edx, 1);
    r = leaf(0xb, 1);
    assert_int_equal(r.eax, 2);
    assert_int_equal(r.ebx, 3);
    assert_int_equal(r.ecx, 0x201);
    r = leaf(0xb, 2);
    assert_int_equal(r.eax | r.ebx, 0);
    assert_int_equal(r.ecx, 2);
    assert_int_equal(leaf(4, 0).eax, 0x121 | 3u << 26);
    assert_int_equal(leaf(4, 3).eax, 0x163 | 3u << 14 | 3u << 26);
    assert_int_equal(leaf(4, 4).eax, 0);
    assert_int_equal(leaf(4, 1000000).eax, 0);
    assert_int_equal(leaf(0x8000001d, 3).eax, 0x163 | 3u << 14);
    part->vp_count = 1;
    r = leaf(1, 0);
    assert_int_equal(r.ebx >> 16 & 0xff, 1);
    assert_int_equal(r.edx >> 28 & 1, 0);
    assert_int_equal(leaf(4, 3).eax, 0x163);
    part->vp_count = 3;
}

static void test_amd_topology(void **state)
{
    struct cpuid_result r;

    (void)state;
    intel_host = false;
    cpuid_policy_build(all_ones);
    assert_int_equal(leaf(0, 0).eax, 0xd);
    r = leaf(0x80000008, 0);
    assert_int_equal(r.eax, 48 << 8 | 40);
    assert_int_equal(r.ecx, 2 << 12 | 2);
    assert_int_equal(leaf(0x80000001, 0).ecx >> 1 & 1, 1); // CMP_LEGACY
    r = leaf(0x8000001e, 0);
    assert_int_equal(r.eax, 1);
    assert_int_equal(r.ebx, 1);
    assert_int_equal(leaf(0x15, 0).eax, 0);
}

static void test_xsave(void **state)
{
    (void)state;
    assert_int_equal(leaf(0xd, 0).eax, 0xe7);
    assert_int_equal(leaf(0xd, 0).ecx, 1664 + 1024);
    vp->xcr0 = 1;
    assert_int_equal(leaf(0xd, 0).ebx, 576);
    vp->xcr0 = 7;
    assert_int_equal(leaf(0xd, 0).ebx, 576 + 256);
    assert_int_equal(leaf(0xd, 1).ebx, 576 + 256);
    vp->xcr0 = 0xe7;
    assert_int_equal(leaf(0xd, 0).ebx, 1664 + 1024);
    assert_int_equal(leaf(0xd, 1).ebx, 576 + 256 + 64 + 512 + 1024);
    assert_int_equal(leaf(0xd, 2).eax, 256);
    assert_int_equal(leaf(0xd, 3).eax, 0);
    assert_int_equal(leaf(0xd, 9).eax, 0);
    assert_int_equal(leaf(0xd, ~0u).eax, 0);
    fake_set_reg(vp, HV_REG_CR4, CR4_OSXSAVE);
    assert_int_equal(leaf(1, 0).ecx >> 27 & 1, 1);
}

static void test_apic_bit(void **state)
{
    (void)state;
    assert_true(vlapic_set_base(vp, 0xfee00000));
    assert_int_equal(leaf(1, 0).edx >> 9 & 1, 0);
    assert_int_equal(leaf(0x80000001, 0).edx >> 9 & 1, 0);
}

static void test_hypervisor_leaves(void **state)
{
    struct cpuid_result r = leaf(0x40000000, 0);

    (void)state;
    assert_int_equal(r.eax, 0x40000006);
    assert_memory_equal(&r.ebx, "Microsoft Hv", 12);
    assert_int_equal(leaf(0x40000001, 0).eax, 0x31237648);
    part->privileges = 0x200008a7b;
    r = leaf(0x40000003, 0);
    assert_int_equal(r.eax, 0x8a7b);
    assert_int_equal(r.ebx, 2);
    assert_int_equal(r.edx, 1u << 8 | 1u << 18 | 1u << 19);
    assert_int_equal(leaf(0x40000004, 0).eax & 8, 8);
    assert_int_equal(leaf(0x40000004, 0).ecx, 40);
    assert_int_equal(leaf(0x40000005, 0).eax, 64);
    virt_caps.apicv = true;
    cpuid_policy_build(all_ones);
    assert_int_equal(leaf(0x40000004, 0).eax & 8, 0); // the processor does it better
    r = leaf(0x40000100, 0);
    assert_int_equal(r.eax, 0x40000101);
    assert_memory_equal(&r.ebx, "KeelsonHv\0\0", 12);
    r = leaf(0x40000101, 0);
    assert_string_equal((const char *)&r, KEELSON_VERSION);
}

static void test_frequencies(void **state)
{
    struct cpuid_result r = leaf(0x15, 0);

    (void)state;
    assert_int_equal(r.eax, 1);
    assert_int_equal(r.ebx, 1);
    assert_int_equal(r.ecx, FAKE_TSC_HZ);
    assert_int_equal(leaf(0x16, 0).eax, 1000);
}

// --- MSRs ---

static uint64_t rd(uint32_t msr)
{
    uint64_t v;

    if (!msr_policy_read(vp, msr, &v)) {
        fail_msg("read of %#x", msr);
    }
    return v;
}

enum { ANY, INTEL, AMD };
enum { IGNORE, ZERO, REFUSE };
static const struct {
    uint32_t msr, vendor, write;
    uint64_t value;
    const char *name;
} constants[] = {
#define CONSTANT(msr_, name_, vendor_, write_, value_, what_) {msr_, vendor_, write_, value_, name_},
    MSR_CONSTANT_TABLE(CONSTANT)};

static void check_constants(uint32_t vendor)
{
    for (size_t i = 0; i < ARRAY_LEN(constants); i++) {
        if (constants[i].vendor != ANY && constants[i].vendor != vendor) {
            continue;
        }
        assert_int_equal(rd(constants[i].msr), constants[i].value);
        assert_int_equal(msr_policy_write(vp, constants[i].msr, 1), constants[i].write == IGNORE);
        assert_int_equal(msr_policy_write(vp, constants[i].msr, 0), constants[i].write != REFUSE);
        assert_int_equal(rd(constants[i].msr), constants[i].value);
    }
}

static void test_constants(void **state)
{
    uint64_t v;

    (void)state;
    check_constants(INTEL);
    assert_false(msr_policy_read(vp, 0xc0010015, &v));
    intel_host = false;
    cpuid_policy_build(all_ones);
    check_constants(AMD);
    assert_false(msr_policy_read(vp, 0x1a0, &v));
}

static void test_unknown_msrs(void **state)
{
    static const uint32_t unknown[] = {
        0x2,    0x48,       0x49,       0xc1,       0xe7,       0x10b,      0x186,      0x198,     0x1fc,
        0x20e0, 0x38d,      0x3f1,      0x400,      0x480,      0x491,      0x570,      0x606,     0xc80,
        0xda0,  0xc0000104, 0xc0010117, 0xc0010000, 0x40000003, 0x40000080, 0x4b564d00, 0xffffffff};
    uint64_t v;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
        if (msr_policy_read(vp, unknown[i], &v) || msr_policy_write(vp, unknown[i], 0)) {
            fail_msg("%#x is not refused", unknown[i]);
        }
    }
}

static void test_tsc(void **state)
{
    (void)state;
    vp->tsc_offset = 500;
    assert_int_equal(rd(0x10), 10500);
    assert_true(msr_policy_write(vp, 0x10, 20500));
    assert_int_equal(rd(0x10), 20500);
    assert_int_equal(rd(0x3b), 10000);
    assert_int_equal(fake_vp(vp)->tsc_offset, 10500);
    assert_true(msr_policy_write(vp, 0x3b, 0));
    assert_int_equal(rd(0x10), 10500);
    assert_true(msr_policy_write(vp, 0x6e0, 99)); // not in deadline mode: ignored
    assert_int_equal(rd(0x6e0), 0);
}

static void test_efer(void **state)
{
    (void)state;
    assert_true(msr_policy_write(vp, 0xc0000080, EFER_SCE | EFER_LME | EFER_NXE | EFER_LMA));
    assert_int_equal(rd(0xc0000080), EFER_SCE | EFER_LME | EFER_NXE); // LMA is not the guest's to set
    assert_false(msr_policy_write(vp, 0xc0000080, EFER_SVME));
    assert_false(msr_policy_write(vp, 0xc0000080, BIT(1)));
    fake_set_reg(vp, HV_REG_CR0, CR0_PE | CR0_PG);
    assert_false(msr_policy_write(vp, 0xc0000080, EFER_SCE)); // LME while paging
    fake_set_reg(vp, HV_REG_EFER, EFER_LME | EFER_LMA);
    assert_true(msr_policy_write(vp, 0xc0000080, EFER_LME));
    assert_int_equal(rd(0xc0000080), EFER_LME | EFER_LMA);
}

static void test_memory_types(void **state)
{
    (void)state;
    msr_policy_reset(vp);
    assert_int_equal(rd(0x2ff), 0xc06);
    assert_int_equal(rd(0x277), 0x0007040600070406);
    assert_true(msr_policy_write(vp, 0x277, 0x0007010600070106));
    assert_int_equal(rd(0x277), 0x0007010600070106);
    assert_false(msr_policy_write(vp, 0x277, 0x0207010600070106));
    assert_true(msr_policy_write(vp, 0x200, 0xc0000006));
    assert_true(msr_policy_write(vp, 0x201, 0xffc0000800));
    assert_int_equal(rd(0x201), 0xffc0000800);
    assert_false(msr_policy_write(vp, 0x200, 0xc0000007));
    assert_false(msr_policy_write(vp, 0x201, BIT(40)));
    assert_false(msr_policy_write(vp, 0x210, 0));
    assert_true(msr_policy_write(vp, 0x250, 0x0606060606060606));
    assert_true(msr_policy_write(vp, 0x26f, 0x0505050505050505));
    assert_int_equal(rd(0x26f), 0x0505050505050505);
    assert_false(msr_policy_write(vp, 0x259, 0x0206060606060606));
    assert_true(msr_policy_write(vp, 0x2ff, 0xc06));
    assert_false(msr_policy_write(vp, 0x2ff, 0xc07));
    assert_false(msr_policy_write(vp, 0x2ff, 0x1c06));
}

static void test_arch_capabilities(void **state)
{
    uint64_t v;

    (void)state;
    assert_int_equal(rd(0x10a) & BIT(1), 0); // IBRS_ALL speaks of an MSR we do not offer
    assert_int_equal(rd(0x10a) & BIT(0), 1);
    assert_int_equal(rd(0x10a) & BIT(7), 0); // TSX_CTRL
    assert_false(msr_policy_write(vp, 0x10a, 0));
    cpuid_policy_build(bare);
    assert_false(msr_policy_read(vp, 0x10a, &v));
}

static void test_backend_msrs(void **state)
{
    static const uint32_t msrs[] = {0x175, 0x176, 0xc0000082, 0xc0000083, 0xc0000102};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(msrs); i++) {
        assert_true(msr_policy_write(vp, msrs[i], 0xffff800000001000));
        assert_int_equal(rd(msrs[i]), 0xffff800000001000);
        assert_false(msr_policy_write(vp, msrs[i], 0x800000000000));
    }
    assert_true(msr_policy_write(vp, 0xc0000103, 5));
    assert_int_equal(rd(0xc0000103), 5);
    assert_false(msr_policy_write(vp, 0xc0000103, BIT(32)));
}

static void test_exit_handlers(void **state)
{
    struct fake_event e;

    (void)state;
    vp->exit = (struct vp_exit){.insn_len = 2};
    vp->regs->gpr[GPR_RCX] = 0x40000002;
    vp->regs->gpr[GPR_RAX] = vp->regs->gpr[GPR_RDX] = ~0ull;
    assert_int_equal(exit_rdmsr(vp), VP_ADVANCE);
    assert_int_equal(vp->regs->gpr[GPR_RAX], 1);
    assert_int_equal(vp->regs->gpr[GPR_RDX], 0);
    vp->regs->gpr[GPR_RCX] = 0x48;
    assert_int_equal(exit_wrmsr(vp), VP_RESUME);
    e = fake_take_event(vp);
    assert_true(e.pending && e.type == EVENT_EXCEPTION && e.vector == 13 && e.has_error && e.error == 0);
    vp->regs->gpr[GPR_RAX] = 0xffffffff40000001;
    assert_int_equal(exit_cpuid(vp), VP_ADVANCE);
    assert_int_equal(vp->regs->gpr[GPR_RAX], 0x31237648);
}

// --- control registers ---

static bool move_to_cr(uint8_t cr, uint64_t value)
{
    vp->exit = (struct vp_exit){.insn_len = 3, .cr = {.cr = cr, .gpr = 9, .kind = 0}};
    vp->regs->gpr[9] = value;
    if (exit_cr_access(vp) == VP_ADVANCE) {
        return true;
    }
    assert_int_equal(fake_take_event(vp).vector, 13);
    return false;
}

static void test_cr0(void **state)
{
    (void)state;
    assert_true(move_to_cr(0, CR0_PE | CR0_ET));
    assert_int_equal(fake_reg(vp, HV_REG_CR0), CR0_PE | CR0_ET);
    assert_false(move_to_cr(0, CR0_PG));
    assert_false(move_to_cr(0, CR0_PE | CR0_NW));
    assert_false(move_to_cr(0, CR0_PE | BIT(32)));
    assert_true(move_to_cr(0, CR0_PE | BIT(12))); // reserved low bits are ignored
    assert_int_equal(fake_reg(vp, HV_REG_CR0), CR0_PE | CR0_ET);
    fake_set_reg(vp, HV_REG_EFER, EFER_LME);
    assert_false(move_to_cr(0, CR0_PE | CR0_PG)); // long mode without PAE
    fake_set_reg(vp, HV_REG_CR4, CR4_PAE);
    assert_true(move_to_cr(0, CR0_PE | CR0_PG));
    assert_int_equal(fake_reg(vp, HV_REG_EFER), EFER_LME | EFER_LMA);
    fake_set_reg(vp, HV_REG_CR4, CR4_PAE | CR4_PCIDE);
    assert_false(move_to_cr(0, CR0_PE)); // PCIDE would be left without long mode
    fake_set_reg(vp, HV_REG_CR4, CR4_PAE);
    assert_true(move_to_cr(0, CR0_PE));
    assert_int_equal(fake_reg(vp, HV_REG_EFER), EFER_LME);
}

static void test_cr4_cr3_cr8(void **state)
{
    (void)state;
    assert_true(move_to_cr(4, CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXSAVE | CR4_SMEP));
    assert_false(move_to_cr(4, CR4_VMXE));
    assert_false(move_to_cr(4, CR4_SMXE));
    assert_false(move_to_cr(4, CR4_LA57));
    assert_false(move_to_cr(4, BIT(23)));             // CET
    assert_false(move_to_cr(4, CR4_PAE | CR4_PCIDE)); // not in long mode
    fake_set_reg(vp, HV_REG_EFER, EFER_LME | EFER_LMA);
    assert_true(move_to_cr(4, CR4_PAE | CR4_PCIDE));
    assert_false(move_to_cr(4, CR4_PGE)); // PAE cannot go in long mode
    assert_true(move_to_cr(3, BIT(63) | 0x5001));
    assert_int_equal(fake_reg(vp, HV_REG_CR3), 0x5001);
    assert_false(move_to_cr(3, BIT(40)));
    assert_true(move_to_cr(4, CR4_PAE));
    assert_false(move_to_cr(4, CR4_PAE | CR4_PCIDE)); // CR3 has a PCID already
    assert_false(move_to_cr(3, BIT(63) | 0x5000));
    assert_true(move_to_cr(8, 9));
    assert_int_equal(vlapic_tpr(vp), 0x90);
    assert_false(move_to_cr(8, 16));
    vp->exit = (struct vp_exit){.insn_len = 4, .cr = {.cr = 8, .gpr = 3, .kind = 1}};
    assert_int_equal(exit_cr_access(vp), VP_ADVANCE);
    assert_int_equal(vp->regs->gpr[3], 9);
    cpuid_policy_build(bare);
    assert_false(move_to_cr(4, CR4_PAE | CR4_SMEP)); // a feature the guest does not see
}

static void test_clts_lmsw(void **state)
{
    (void)state;
    fake_set_reg(vp, HV_REG_CR0, CR0_PE | CR0_TS | CR0_ET);
    vp->exit = (struct vp_exit){.cr = {.kind = 2}};
    assert_int_equal(exit_cr_access(vp), VP_ADVANCE);
    assert_int_equal(fake_reg(vp, HV_REG_CR0), CR0_PE | CR0_ET);
    vp->exit = (struct vp_exit){.cr = {.kind = 3, .lmsw = 0xfff8}};
    assert_int_equal(exit_cr_access(vp), VP_ADVANCE);
    assert_int_equal(fake_reg(vp, HV_REG_CR0), CR0_PE | CR0_TS | CR0_ET); // PE cannot be cleared
}

static void xsetbv(uint64_t value, uint32_t index)
{
    vp->exit = (struct vp_exit){.insn_len = 3};
    vp->regs->gpr[GPR_RAX] = (uint32_t)value;
    vp->regs->gpr[GPR_RDX] = value >> 32;
    vp->regs->gpr[GPR_RCX] = index;
}

static void test_xsetbv(void **state)
{
    static const uint64_t bad[] = {0, 2, 5, 0x27, 0x67, 0xe3, 0x207, BIT(63) | 7};

    (void)state;
    xsetbv(7, 0);
    assert_int_equal(exit_xsetbv(vp), VP_RESUME);
    assert_int_equal(fake_take_event(vp).vector, 6); // without CR4.OSXSAVE
    fake_set_reg(vp, HV_REG_CR4, CR4_OSXSAVE);
    assert_int_equal(exit_xsetbv(vp), VP_ADVANCE);
    assert_int_equal(vp->xcr0, 7);
    assert_int_equal(fake_hardware_xcr0, 7);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        xsetbv(bad[i], 0);
        assert_int_equal(exit_xsetbv(vp), VP_RESUME);
        assert_int_equal(fake_take_event(vp).vector, 13);
    }
    xsetbv(7, 1);
    assert_int_equal(exit_xsetbv(vp), VP_RESUME);
    assert_int_equal(fake_take_event(vp).vector, 13);
    xsetbv(0xe7, 0);
    assert_int_equal(exit_xsetbv(vp), VP_ADVANCE);
    assert_int_equal(vp->xcr0, 0xe7);
}

// --- the document ---

#define DOC "docs/guest-cpu.md"
#define BEGIN_MARK                                                                                           \
    "<!-- tables: generated from arch/x86/cpuid_table.h and msr_table.h by tests/unit/test_policy.c -->\n"
#define END_MARK "<!-- end of tables -->\n"

static void print_cpuid(FILE *f)
{
    fprintf(
        f,
        "\n## CPUID bits shown if the host has them\n\n| leaf | register | bits | what |\n|---|---|---|---|\n");
#define ROW(leaf_, sub_, reg_, xcr0_, mask_, what_)                                                          \
    fprintf(f, "| %#x.%u | %s | %#x | %s%s |\n", (unsigned)(leaf_), sub_, #reg_, (unsigned)(mask_), what_,   \
            (xcr0_) == 0              ? ""                                                                   \
            : (xcr0_) == XCR0_FOR_AVX ? " (with AVX state)"                                                  \
                                      : " (with AVX-512 state)");
    CPUID_ALLOW_TABLE(ROW)
#undef ROW
    fprintf(f, "\n## CPUID bits always shown\n\n| leaf | register | bits | what |\n|---|---|---|---|\n");
#define ROW(leaf_, sub_, reg_, mask_, what_)                                                                 \
    fprintf(f, "| %#x.%u | %s | %#x | %s |\n", (unsigned)(leaf_), sub_, #reg_, (unsigned)(mask_), what_);
    CPUID_FORCE_TABLE(ROW)
#undef ROW
    fprintf(f, "\n## CPUID leaves copied from the host\n\n| leaf | what |\n|---|---|\n");
#define ROW(leaf_, what_) fprintf(f, "| %#x | %s |\n", (unsigned)(leaf_), what_);
    CPUID_PASS_TABLE(ROW)
#undef ROW
    fprintf(f, "\n## CPUID leaves completed for the VP\n\n| leaf | what |\n|---|---|\n");
#define ROW(leaf_, handler_, what_) fprintf(f, "| %#x | %s |\n", (unsigned)(leaf_), what_);
    CPUID_COMPUTED_TABLE(ROW)
#undef ROW
}

static void print_msrs(FILE *f)
{
    static const char *const rights[] = {"traps", "reads pass", "writes pass", "reads and writes pass"};
    static const char *const vendors[] = {"any", "Intel", "AMD"};
    static const char *const writes[] = {"ignored", "zero only", "#GP"};

    fprintf(f, "\n## MSRs accessed without an exit\n\n| MSR | name | access |\n|---|---|---|\n");
#define ROW(msr_, name_, guest_, root_)                                                                      \
    fprintf(f, "| %#x | %s | %s |\n", (unsigned)(msr_), name_, rights[guest_]);
    MSR_PASS_TABLE(ROW)
#undef ROW
    fprintf(f, "\n## MSRs with a state of their own\n\n| MSR | what |\n|---|---|\n");
#define ROW(first_, last_, what_)                                                                            \
    fprintf(f, (first_) == (last_) ? "| %#x%.0u | %s |\n" : "| %#x-%#x | %s |\n", (unsigned)(first_),        \
            (first_) == (last_) ? 0 : (unsigned)(last_), what_);
    MSR_ACTIVE_TABLE(ROW)
#undef ROW
    fprintf(
        f,
        "\n## Constant MSRs\n\n| MSR | name | vendor | value | writes | what |\n|---|---|---|---|---|---|\n");
#define ROW(msr_, name_, vendor_, write_, value_, what_)                                                     \
    fprintf(f, "| %#x | %s | %s | %#llx | %s | %s |\n", (unsigned)(msr_), name_, vendors[vendor_],           \
            (unsigned long long)(value_), writes[write_], what_);
    MSR_CONSTANT_TABLE(ROW)
#undef ROW
}

static char *read_text(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = calloc(1, 1 << 18);

    assert_non_null(f);
    (void)!fread(text, 1, (1 << 18) - 1, f);
    fclose(f);
    return text;
}

static void test_document(void **state)
{
    char *doc = read_text(DOC), *begin = strstr(doc, BEGIN_MARK), *end = strstr(doc, END_MARK),
         *tables = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&tables, &size);
    bool same;

    (void)state;
    print_cpuid(f);
    print_msrs(f);
    fputc('\n', f);
    fclose(f);
    assert_true(begin != NULL && end != NULL);
    begin += strlen(BEGIN_MARK);
    same = (size_t)(end - begin) == size && memcmp(begin, tables, size) == 0;
    if (!same && getenv("KEELSON_UPDATE_DOCS") != NULL) {
        f = fopen(DOC, "w");
        assert_non_null(f);
        fprintf(f, "%.*s%s%s", (int)(begin - doc), doc, tables, end);
        fclose(f);
        same = true;
    }
    free(doc);
    free(tables);
    if (!same) {
        fail_msg(DOC " is out of step: run this test from the root of the tree with KEELSON_UPDATE_DOCS=1");
    }
}

// A pointer through which the document's rows are also checked against behaviour: each active MSR answers.
static void test_active_msrs(void **state)
{
    static const uint32_t ranges[][2] = {
#define ROW(first_, last_, what_) {first_, last_},
        MSR_ACTIVE_TABLE(ROW)
#undef ROW
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        for (uint32_t msr = ranges[i][0]; msr <= ranges[i][1]; msr++) {
            if (msr >> 8 != 8) { // x2APIC has tests of its own
                (void)rd(msr);
            }
        }
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_hidden_features),
        CASE(test_forced_features),
        CASE(test_empty_leaves),
        CASE(test_without_avx),
        CASE(test_topology),
        CASE(test_amd_topology),
        CASE(test_xsave),
        CASE(test_apic_bit),
        CASE(test_hypervisor_leaves),
        CASE(test_frequencies),
        CASE(test_constants),
        CASE(test_unknown_msrs),
        CASE(test_tsc),
        CASE(test_efer),
        CASE(test_memory_types),
        CASE(test_arch_capabilities),
        CASE(test_backend_msrs),
        CASE(test_exit_handlers),
        CASE(test_cr0),
        CASE(test_cr4_cr3_cr8),
        CASE(test_clts_lmsw),
        CASE(test_xsetbv),
        CASE(test_active_msrs),
        CASE(test_document),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
