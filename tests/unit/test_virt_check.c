// srcs:
// SPDX-License-Identifier: Apache-2.0
// Which processors the loader refuses, and by which words: virt_check.c with a processor made of tables. A
// register that is read although the processor does not have it would be a #GP in the firmware.
#define KEELSON_BOOT_X86_H // instead of the instructions

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static struct cpuid leaf_1, leaf_80000000, leaf_80000001, leaf_8000000a;
static uint64_t feature_control, procbased, procbased2, ept_vpid, vm_cr;

static struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    assert_int_equal(subleaf, 0);
    switch (leaf) {
    case 1:
        return leaf_1;
    case 0x80000000:
        return leaf_80000000;
    case 0x80000001:
        assert_true(leaf_80000000.eax >= leaf);
        return leaf_80000001;
    case 0x8000000a:
        assert_true(leaf_80000000.eax >= leaf);
        return leaf_8000000a;
    default:
        fail_msg("CPUID leaf %#x", leaf);
        return leaf_1;
    }
}

static uint64_t rdmsr(uint32_t msr)
{
    bool vmx = (leaf_1.ecx & 1u << 5) != 0, svm = (leaf_80000001.ecx & 1u << 2) != 0;

    assert_true(msr == 0xc0010114 ? svm : vmx);
    switch (msr) {
    case 0x3a:
        return feature_control;
    case 0x482:
        return procbased;
    case 0x48b:
        assert_true((procbased & 1ull << 63) != 0);
        return procbased2;
    case 0x48c:
        assert_true((procbased2 & (1ull << 33 | 1ull << 37)) != 0);
        return ept_vpid;
    case 0xc0010114:
        return vm_cr;
    default:
        fail_msg("MSR %#x", msr);
        return 0;
    }
}

#include "boot/virt_check.c"

static int no_engine(void **state)
{
    (void)state;
    leaf_1 = (struct cpuid){0};
    leaf_80000000 = (struct cpuid){.eax = 0x80000008};
    leaf_80000001 = (struct cpuid){.edx = 1u << 20}; // no-execute pages
    leaf_8000000a = (struct cpuid){0};
    feature_control = vm_cr = 0;
    procbased = procbased2 = ept_vpid = 0;
    return 0;
}

// A processor with everything, left unlocked by its firmware.
static int vtx(void **state)
{
    no_engine(state);
    leaf_1.ecx = 1u << 5;
    procbased = 1ull << 63;
    procbased2 = (1ull << 1 | 1ull << 5 | 1ull << 7) << 32;
    ept_vpid = 1u << 6 | 1u << 14 | 1u << 16;
    return 0;
}

static int amdv(void **state)
{
    no_engine(state);
    leaf_80000000.eax = 0x8000000a;
    leaf_80000001.ecx = 1u << 2;
    leaf_8000000a.edx = 1;
    return 0;
}

static void expect_refusal(const char *words)
{
    const char *engine = NULL;
    const char *why = virt_check(&engine);

    assert_non_null(why);
    assert_non_null(strstr(why, words));
}

static void expect_engine(const char *words)
{
    const char *engine = NULL;

    assert_null(virt_check(&engine));
    assert_non_null(strstr(engine, words));
}

static void test_neither(void **state)
{
    (void)state;
    expect_refusal("neither VT-x nor AMD-V");
    leaf_80000000.eax = 0x80000000;
    expect_refusal("no no-execute pages");
}

static void test_vtx(void **state)
{
    (void)state;
    expect_engine("VT-x with EPT");
    feature_control = 1u << 0 | 1u << 2; // locked, on outside SMX
    expect_engine("VT-x with EPT");
    feature_control = 1u << 0 | 1u << 1; // on in SMX only
    expect_refusal("locked off by the firmware");
    feature_control = 1u << 0;
    expect_refusal("VT-x is locked off by the firmware: enable VT-x");
}

static void test_vtx_lacks(void **state)
{
    static const struct {
        uint64_t *msr;
        unsigned bit;
        const char *words;
    } rows[] = {
        {&procbased, 63, "no secondary controls"},
        {&procbased2, 33, "no EPT"},
        {&procbased2, 39, "no unrestricted guest"},
        {&procbased2, 37, "no VPID"},
        {&ept_vpid, 6, "4-level tables"},
        {&ept_vpid, 14, "write-back memory"},
        {&ept_vpid, 16, "2 MiB pages"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        vtx(state);
        *rows[i].msr &= ~(1ull << rows[i].bit);
        expect_refusal(rows[i].words);
    }
}

static void test_amdv(void **state)
{
    (void)state;
    expect_engine("AMD-V with NPT");
    vm_cr = 1u << 4; // SVMDIS
    expect_refusal("AMD-V is locked off by the firmware: enable SVM");
    vm_cr = 0;
    leaf_8000000a.edx = 0;
    expect_refusal("no nested paging (NPT)");
    leaf_80000000.eax = 0x80000008; // the leaf that would say so is absent
    expect_refusal("no nested paging (NPT)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_neither, no_engine),
        cmocka_unit_test_setup(test_vtx, vtx),
        cmocka_unit_test_setup(test_vtx_lacks, vtx),
        cmocka_unit_test_setup(test_amdv, amdv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
