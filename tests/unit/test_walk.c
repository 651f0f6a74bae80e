// srcs: arch/x86/guest_walk.c arch/x86/decode.c arch/x86/vlapic.c arch/x86/vlapic_timer.c arch/x86/vlapic_ipi.c tests/unit/fake_virt.c tests/unit/fake_hv.c
// SPDX-License-Identifier: Apache-2.0
// The guest page-table walker: every paging mode, rights, bad entries, instruction fetch.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/guest_walk.h"
#include "arch/x86/x86.h"
#include "tests/unit/fake_hv.h"

#define MEMORY (1u << 20)
#define RW (TRANSLATE_READ | TRANSLATE_WRITE)

static struct partition *part;
static struct vp *vp;

static int setup(void **state)
{
    (void)state;
    part = fake_partition_new(1, MEMORY);
    vp = part->vps[0];
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_partition_free(part);
    return 0;
}

static void put64(uint64_t gpa, uint64_t value)
{
    memcpy(fake_memory(part) + gpa, &value, 8);
}

static void put32(uint64_t gpa, uint32_t value)
{
    memcpy(fake_memory(part) + gpa, &value, 4);
}

static void expect(uint64_t gva, unsigned access, uint64_t gpa)
{
    gpa_t got;
    uint32_t result;

    if (!vp_translate(vp, GVA(gva), access, &got, &result)) {
        fail_msg("%llx: result %u", (unsigned long long)gva, result);
    }
    assert_int_equal(result, TRANSLATE_OK);
    assert_int_equal(got.v, gpa);
}

static void expect_fault(uint64_t gva, unsigned access, uint32_t want)
{
    gpa_t got;
    uint32_t result;

    assert_false(vp_translate(vp, GVA(gva), access, &got, &result));
    assert_int_equal(result, want);
}

static void set_cpl(unsigned cpl)
{
    fake_set_segment(vp, HV_REG_SS, (struct hv_segment){.attributes = (uint16_t)(0xc093 | cpl << 5)});
}

static void test_no_paging(void **state)
{
    (void)state;
    expect(0x12345678, RW, 0x12345678);
}

static void test_4_level(void **state)
{
    (void)state;
    fake_long_mode(vp, 0x10000, 0);
    expect(0x7fffff, RW, 0x7fffff);
    put64(0x11000 + 8, 5ull << 30 | 0x87); // 1 GiB page
    expect(0x40000000 + 0x12345, RW, (5ull << 30) + 0x12345);
    put64(0x12000 + 8, 0x13000 | 7); // a table for 2 MiB..4 MiB
    put64(0x13000 + 8 * 3, 0x7654000 | 7);
    expect(0x203abc, RW, 0x7654abc);
    expect_fault(0x204000, RW, TRANSLATE_NOT_PRESENT);
    expect_fault(0x8000000000, RW, TRANSLATE_NOT_PRESENT);
    expect_fault(0x800000000000, RW, TRANSLATE_NOT_PRESENT); // not canonical
    put64(0x13000 + 8 * 4, BIT(45) | 7);                     // beyond the GPA space
    expect_fault(0x204000, RW, TRANSLATE_INVALID_FLAGS);
    put64(0x12000 + 8, MEMORY | 7); // a table where there is no memory
    expect_fault(0x203abc, RW, TRANSLATE_GPA_UNMAPPED);
}

static void test_5_level(void **state)
{
    (void)state;
    fake_long_mode(vp, 0x10000, 0);
    put64(0x20000 + 8 * 0x111, 0x10000 | 7);
    fake_set_reg(vp, HV_REG_CR3, 0x20000);
    fake_set_reg(vp, HV_REG_CR4, CR4_PAE | CR4_LA57);
    expect(0xff11000000000000 | 0x1234, RW, 0x1234);
    expect_fault(0x0011000000001234, RW, TRANSLATE_NOT_PRESENT);
    expect_fault(0x0111000000001234, RW, TRANSLATE_NOT_PRESENT); // not canonical
}

static void test_rights(void **state)
{
    (void)state;
    fake_long_mode(vp, 0x10000, 0);
    put64(0x12000 + 8, 0x13000 | 7);
    put64(0x13000 + 0, 0x30000 | 1);            // supervisor, read-only
    put64(0x13000 + 8, 0x31000 | 5);            // user, read-only
    put64(0x13000 + 16, 0x32000 | 7 | BIT(63)); // user, read-write, no execute
    set_cpl(0);
    expect(0x200000, TRANSLATE_READ | TRANSLATE_EXECUTE, 0x30000);
    expect_fault(0x200000, TRANSLATE_WRITE, TRANSLATE_PRIVILEGE);
    expect_fault(0x202000, TRANSLATE_EXECUTE, TRANSLATE_PRIVILEGE);
    expect(0x202000, 0, 0x32000); // no check asked for
    fake_set_reg(vp, HV_REG_CR0, CR0_PE | CR0_PG);
    expect(0x200000, TRANSLATE_WRITE, 0x30000); // WP clear
    set_cpl(3);
    expect_fault(0x200000, TRANSLATE_READ, TRANSLATE_PRIVILEGE);
    expect(0x200000, TRANSLATE_READ | TRANSLATE_SUPERVISOR, 0x30000);
    expect(0x201000, TRANSLATE_READ, 0x31000);
    expect_fault(0x201000, TRANSLATE_WRITE, TRANSLATE_PRIVILEGE);
    expect(0x202000, RW, 0x32000);
    set_cpl(0);
    fake_set_reg(vp, HV_REG_CR4, CR4_PAE | CR4_SMEP | CR4_SMAP);
    expect_fault(0x201000, TRANSLATE_EXECUTE, TRANSLATE_PRIVILEGE);
    expect_fault(0x201000, TRANSLATE_READ, TRANSLATE_PRIVILEGE);
    fake_set_reg(vp, HV_REG_RFLAGS, 2 | BIT(18)); // AC
    expect(0x201000, TRANSLATE_READ, 0x31000);
    fake_set_reg(vp, HV_REG_EFER, EFER_LME | EFER_LMA); // NX becomes a reserved bit
    expect_fault(0x202000, TRANSLATE_READ, TRANSLATE_INVALID_FLAGS);
}

static void test_pae(void **state)
{
    (void)state;
    fake_set_reg(vp, HV_REG_CR0, CR0_PE | CR0_PG);
    fake_set_reg(vp, HV_REG_CR4, CR4_PAE);
    fake_set_reg(vp, HV_REG_CR3, 0x20020); // PDPTEs need only 32-byte alignment
    put64(0x20020 + 8 * 3, 0x21000 | 1);   // no rights bits in a PDPTE
    put64(0x21000 + 8 * 1, 0x22000 | 7);
    put64(0x21000 + 8 * 2, 0x1200000 | 0x87);
    put64(0x22000 + 8 * 0x1ff, BIT(36) | 0x5000 | 7);
    set_cpl(0);
    expect(0xc03ff123, RW, BIT(36) | 0x5123);
    expect(0xc0412345, RW, 0x1212345);
    expect_fault(0x00000000, RW, TRANSLATE_NOT_PRESENT);
}

static void test_32_bit(void **state)
{
    (void)state;
    fake_set_reg(vp, HV_REG_CR0, CR0_PE | CR0_PG);
    fake_set_reg(vp, HV_REG_CR3, 0x20000);
    put32(0x20000 + 4 * 0x301, 0x21000 | 7);
    put32(0x21000 + 4 * 0x3ff, 0x54000 | 7);
    put32(0x20000 + 4 * 2, 0x00c00000 | 0x3 << 13 | 0x87); // 4 MiB page above 4 GiB by PSE-36
    set_cpl(0);
    expect(0xc07ff010, RW, 0x54010);
    expect_fault(0x00812345, RW, TRANSLATE_GPA_UNMAPPED); // without CR4.PSE it is a table
    fake_set_reg(vp, HV_REG_CR4, CR4_PSE);
    expect(0x00812345, RW, 0x300c12345);
}

static void test_fetch(void **state)
{
    uint8_t bytes[16];
    enum decode_mode mode;

    (void)state;
    for (unsigned i = 0; i < MEMORY / 2; i++) {
        fake_memory(part)[MEMORY / 2 + i] = (uint8_t)i;
    }
    fake_long_mode(vp, 0x10000, 0x80123);
    assert_int_equal(guest_fetch(vp, bytes, &mode), 15);
    assert_int_equal(mode, DECODE_64);
    assert_int_equal(bytes[0], 0x23);
    assert_int_equal(bytes[14], 0x31);
    // Across pages that are not neighbours.
    put64(0x12000 + 8, 0x13000 | 7);
    put64(0x13000, 0x80000 | 7);
    put64(0x13008, 0x90000 | 7);
    fake_set_reg(vp, HV_REG_RIP, 0x200ffd);
    fake_memory(part)[0x90000] = 0xaa;
    assert_int_equal(guest_fetch(vp, bytes, &mode), 15);
    assert_int_equal(bytes[2], 0xff);
    assert_int_equal(bytes[3], 0xaa);
    put64(0x13008, 0);
    assert_int_equal(guest_fetch(vp, bytes, &mode), 3);
    put64(0x13000, 0);
    assert_int_equal(guest_fetch(vp, bytes, &mode), 0);
}

// The second fetch in a page is answered from the cache; every way to change what is there must be noticed.
static void test_fetch_cache(void **state)
{
    uint8_t bytes[16];
    enum decode_mode mode;

    (void)state;
    fake_long_mode(vp, 0x10000, 0x200100);
    put64(0x12000 + 8, 0x13000 | 7);
    put64(0x13000, 0x80000 | 7);
    memset(fake_memory(part) + 0x80000, 0x11, 0x1000);
    memset(fake_memory(part) + 0x90000, 0x22, 0x1000);
    assert_int_equal(guest_fetch(vp, bytes, &mode), 15);
    assert_non_null(vp->fetch.code);
    fake_set_reg(vp, HV_REG_RIP, 0x200200);
    fake_memory(part)[0x80200] = 0x33; // code changes
    assert_int_equal(guest_fetch(vp, bytes, &mode), 15);
    assert_int_equal(bytes[0], 0x33);
    put64(0x13000, 0x90000 | 7); // the leaf changes
    assert_int_equal(guest_fetch(vp, bytes, &mode), 15);
    assert_int_equal(bytes[0], 0x22);
    put64(0x14000, 0x80000 | 7);
    put64(0x12000 + 8, 0x14000 | 7); // a table changes
    assert_int_equal(guest_fetch(vp, bytes, &mode), 15);
    assert_int_equal(bytes[0], 0x33);
    put64(0x20000, 0x11000 | 7);
    fake_set_reg(vp, HV_REG_CR3, 0x20000); // another address space
    put64(0x12000 + 8, 0x13000 | 7);
    assert_int_equal(guest_fetch(vp, bytes, &mode), 15);
    assert_int_equal(bytes[0], 0x22);
    put64(0x20000, 0);
    assert_int_equal(guest_fetch(vp, bytes, &mode), 0);
    put64(0x20000, 0x11000 | 7);
    assert_int_equal(guest_fetch(vp, bytes, &mode), 15);
    vp->fetch.code = NULL; // would crash if it were used: the GPA space has changed
    part->gpa_generation++;
    assert_int_equal(guest_fetch(vp, bytes, &mode), 15);
    fake_set_reg(vp, HV_REG_RIP, 0x200ff8); // near the end of the page
    put64(0x13008, 0x80000 | 7);
    assert_int_equal(guest_fetch(vp, bytes, &mode), 15);
    assert_int_equal(bytes[8], 0x11);
}

static void test_code_modes(void **state)
{
    uint8_t bytes[16];
    enum decode_mode mode;

    (void)state;
    fake_memory(part)[0x1234] = 0x77;
    fake_set_segment(vp, HV_REG_CS, (struct hv_segment){.base = 0x1000, .limit = 0xffff, .attributes = 0x9b});
    fake_set_reg(vp, HV_REG_RIP, 0x234);
    assert_int_equal(guest_fetch(vp, bytes, &mode), 15);
    assert_int_equal(mode, DECODE_16);
    assert_int_equal(bytes[0], 0x77);
    fake_set_segment(vp, HV_REG_CS,
                     (struct hv_segment){.base = 0x1000, .limit = 0xffff, .attributes = 0x409b});
    assert_int_equal(guest_code_mode(vp), DECODE_32);
    fake_set_segment(vp, HV_REG_CS, (struct hv_segment){.attributes = 0x209b});
    assert_int_equal(guest_code_mode(vp), DECODE_16); // L counts only in long mode
    fake_set_reg(vp, HV_REG_EFER, EFER_LMA);
    assert_int_equal(guest_code_mode(vp), DECODE_64);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_no_paging), CASE(test_4_level),     CASE(test_5_level),
        CASE(test_rights),    CASE(test_pae),         CASE(test_32_bit),
        CASE(test_fetch),     CASE(test_fetch_cache), CASE(test_code_modes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
