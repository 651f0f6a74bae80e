// srcs: arch/x86/decode.c
// SPDX-License-Identifier: Apache-2.0
// The small decoder: tables of encodings against expected operands, lengths, addresses and results.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/decode.h"

#define N DECODE_NO_REG

struct plain_case {
    const char *text;
    enum decode_mode mode;
    uint8_t bytes[16];
    struct insn want;
};

#define M32 .linear32 = true

static const struct plain_case plain_cases[] = {
    {"mov eax,[rbx]",
     DECODE_64,
     {0x8b, 0x03},
     {.length = 2,
      .kind = INSN_LOAD,
      .size = 4,
      .reg = 0,
      .reg_size = 4,
      .seg = 3,
      .base = 3,
      .index = N,
      .address_size = 8}},
    {"mov [rax+0x380],ecx",
     DECODE_64,
     {0x89, 0x88, 0x80, 3, 0, 0},
     {.length = 6,
      .kind = INSN_STORE,
      .size = 4,
      .reg = 1,
      .reg_size = 4,
      .seg = 3,
      .base = 0,
      .index = N,
      .address_size = 8,
      .disp = 0x380}},
    {"mov eax,[0xffffffffff5fd020] (sib, no base)",
     DECODE_64,
     {0x8b, 0x04, 0x25, 0x20, 0xd0, 0x5f, 0xff},
     {.length = 7,
      .kind = INSN_LOAD,
      .size = 4,
      .reg = 0,
      .reg_size = 4,
      .seg = 3,
      .base = N,
      .index = N,
      .address_size = 8,
      .disp = (int32_t)0xff5fd020}},
    {"mov r9,[r12+r13*8-8]",
     DECODE_64,
     {0x4f, 0x8b, 0x4c, 0xec, 0xf8},
     {.length = 5,
      .kind = INSN_LOAD,
      .size = 8,
      .reg = 9,
      .reg_size = 8,
      .seg = 3,
      .base = 12,
      .index = 13,
      .scale = 3,
      .address_size = 8,
      .disp = -8}},
    {"mov [rip+0x10],dx",
     DECODE_64,
     {0x66, 0x89, 0x15, 0x10, 0, 0, 0},
     {.length = 7,
      .kind = INSN_STORE,
      .size = 2,
      .reg = 2,
      .reg_size = 2,
      .seg = 3,
      .base = N,
      .index = N,
      .address_size = 8,
      .rip_relative = true,
      .disp = 0x10}},
    {"mov ah,[rsi]",
     DECODE_64,
     {0x8a, 0x26},
     {.length = 2,
      .kind = INSN_LOAD,
      .size = 1,
      .reg = 0,
      .reg_size = 1,
      .high8 = true,
      .seg = 3,
      .base = 6,
      .index = N,
      .address_size = 8}},
    {"mov spl,[rsi] (REX)",
     DECODE_64,
     {0x40, 0x8a, 0x26},
     {.length = 3,
      .kind = INSN_LOAD,
      .size = 1,
      .reg = 4,
      .reg_size = 1,
      .seg = 3,
      .base = 6,
      .index = N,
      .address_size = 8}},
    {"REX before 66 is ignored",
     DECODE_64,
     {0x48, 0x66, 0x8b, 0x03},
     {.length = 4,
      .kind = INSN_LOAD,
      .size = 2,
      .reg = 0,
      .reg_size = 2,
      .seg = 3,
      .base = 3,
      .index = N,
      .address_size = 8}},
    {"mov dword fs:[rdi],-1",
     DECODE_64,
     {0x64, 0xc7, 0x07, 0xff, 0xff, 0xff, 0xff},
     {.length = 7,
      .kind = INSN_STORE,
      .size = 4,
      .reg_size = 4,
      .has_imm = true,
      .imm = 0xffffffff,
      .seg = 4,
      .base = 7,
      .index = N,
      .address_size = 8}},
    {"mov qword [rdi],-2",
     DECODE_64,
     {0x48, 0xc7, 0x07, 0xfe, 0xff, 0xff, 0xff},
     {.length = 7,
      .kind = INSN_STORE,
      .size = 8,
      .reg_size = 8,
      .has_imm = true,
      .imm = ~1ull,
      .seg = 3,
      .base = 7,
      .index = N,
      .address_size = 8}},
    {"movzx eax,word [ecx]",
     DECODE_64,
     {0x67, 0x0f, 0xb7, 0x01},
     {.length = 4,
      .kind = INSN_LOAD,
      .size = 2,
      .reg_size = 4,
      .seg = 3,
      .base = 1,
      .index = N,
      .address_size = 4}},
    {"movsxd rax,[rcx]",
     DECODE_64,
     {0x48, 0x63, 0x01},
     {.length = 3,
      .kind = INSN_LOAD,
      .size = 4,
      .reg_size = 8,
      .sign_extend = true,
      .seg = 3,
      .base = 1,
      .index = N,
      .address_size = 8}},
    {"movabs al,[moffs64]",
     DECODE_64,
     {0xa0, 1, 2, 3, 4, 5, 6, 7, 8},
     {.length = 9,
      .kind = INSN_LOAD,
      .size = 1,
      .reg_size = 1,
      .seg = 3,
      .base = N,
      .index = N,
      .address_size = 8,
      .disp = 0x0807060504030201}},
    {"movnti [rax],rbx",
     DECODE_64,
     {0x48, 0x0f, 0xc3, 0x18},
     {.length = 4,
      .kind = INSN_STORE,
      .size = 8,
      .reg = 3,
      .reg_size = 8,
      .seg = 3,
      .base = 0,
      .index = N,
      .address_size = 8}},
    {"mov [ebp-4],eax uses SS",
     DECODE_32,
     {0x89, 0x45, 0xfc},
     {.length = 3,
      .kind = INSN_STORE,
      .size = 4,
      .reg_size = 4,
      .seg = 2,
      .base = 5,
      .index = N,
      .address_size = 4,
      .disp = -4,
      M32}},
    {"mov eax,es:[0xfee00020]",
     DECODE_32,
     {0x26, 0x8b, 0x05, 0x20, 0, 0xe0, 0xfe},
     {.length = 7,
      .kind = INSN_LOAD,
      .size = 4,
      .reg_size = 4,
      .seg = 0,
      .base = N,
      .index = N,
      .address_size = 4,
      .disp = (int32_t)0xfee00020,
      M32}},
    {"mov eax,[moffs32]",
     DECODE_32,
     {0xa1, 0x30, 0, 0xe0, 0xfe},
     {.length = 5,
      .kind = INSN_LOAD,
      .size = 4,
      .reg_size = 4,
      .seg = 3,
      .base = N,
      .index = N,
      .address_size = 4,
      .disp = 0xfee00030,
      M32}},
    {"mov ax,[bp+si]",
     DECODE_16,
     {0x8b, 0x02},
     {.length = 2,
      .kind = INSN_LOAD,
      .size = 2,
      .reg_size = 2,
      .seg = 2,
      .base = 5,
      .index = 6,
      .address_size = 2,
      M32}},
    {"mov [0x1234],al (16-bit modrm disp)",
     DECODE_16,
     {0x88, 0x06, 0x34, 0x12},
     {.length = 4,
      .kind = INSN_STORE,
      .size = 1,
      .reg_size = 1,
      .seg = 3,
      .base = N,
      .index = N,
      .address_size = 2,
      .disp = 0x1234,
      M32}},
    {"mov eax,[ecx] in 16-bit code",
     DECODE_16,
     {0x66, 0x67, 0x8b, 0x01},
     {.length = 4,
      .kind = INSN_LOAD,
      .size = 4,
      .reg_size = 4,
      .seg = 3,
      .base = 1,
      .index = N,
      .address_size = 4,
      M32}},
    {"mov [bx-2],cx",
     DECODE_16,
     {0x89, 0x4f, 0xfe},
     {.length = 3,
      .kind = INSN_STORE,
      .size = 2,
      .reg = 1,
      .reg_size = 2,
      .seg = 3,
      .base = 3,
      .index = N,
      .address_size = 2,
      .disp = -2,
      M32}},
};

static void assert_same_insn(const char *text, const struct insn *got, const struct insn *want)
{
#define SAME(field)                                                                                          \
    if (got->field != want->field) {                                                                         \
        fail_msg("%s: " #field " is %llx, want %llx", text, (unsigned long long)got->field,                  \
                 (unsigned long long)want->field);                                                           \
    }
    SAME(length);
    SAME(kind);
    SAME(size);
    SAME(reg);
    SAME(reg_size);
    SAME(high8);
    SAME(sign_extend);
    SAME(has_imm);
    SAME(imm);
    SAME(seg);
    SAME(base);
    SAME(index);
    SAME(scale);
    SAME(address_size);
    SAME(linear32);
    SAME(rip_relative);
    SAME(disp);
#undef SAME
}

static void test_plain_moves(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(plain_cases); i++) {
        const struct plain_case *c = &plain_cases[i];
        struct insn got;

        if (!decode_insn(c->bytes, sizeof(c->bytes), c->mode, &got)) {
            fail_msg("%s: not decoded", c->text);
        }
        assert_same_insn(c->text, &got, &c->want);
    }
}

// Each instruction, cut short by any number of bytes, is refused, and nothing is read beyond the end (the
// copy is exact, so the address sanitizer would see it).
static void test_truncated(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(plain_cases); i++) {
        const struct plain_case *c = &plain_cases[i];

        for (size_t len = 0; len < c->want.length; len++) {
            uint8_t copy[16];
            struct insn got;

            memcpy(copy + sizeof(copy) - len, c->bytes, len);
            assert_false(decode_insn(copy + sizeof(copy) - len, len, c->mode, &got));
        }
    }
}

static void test_not_plain(void **state)
{
    static const struct {
        enum decode_mode mode;
        uint8_t bytes[16];
    } cases[] = {
        {DECODE_64, {0x89, 0xc8}},             // register to register
        {DECODE_64, {0xf0, 0x89, 0x03}},       // LOCK MOV: #UD
        {DECODE_64, {0x01, 0x03}},             // ADD
        {DECODE_64, {0xa4}},                   // MOVSB
        {DECODE_64, {0x87, 0x03}},             // XCHG
        {DECODE_64, {0xc7, 0x0b, 1, 2, 3, 4}}, // group 11 /1
        {DECODE_64, {0xc7, 0xf8, 1, 2, 3, 4}}, // XBEGIN
        {DECODE_32, {0x63, 0x01}},             // ARPL
        {DECODE_32, {0x48}},                   // DEC EAX
        {DECODE_64, {0x0f, 0x10, 0x03}},       // MOVUPS
        {DECODE_64, {0x66, 0x0f, 0xc3, 0x18}}, // #UD
        {DECODE_64,
         {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct insn got;

        if (decode_insn(cases[i].bytes, sizeof(cases[i].bytes), cases[i].mode, &got)) {
            fail_msg("case %zu decoded as a plain move", i);
        }
    }
}

// Fourteen prefixes and a two-byte move make sixteen bytes: too long, though all bytes are there.
static void test_too_long(void **state)
{
    uint8_t bytes[16];
    struct insn got;

    (void)state;
    memset(bytes, 0x66, 14);
    bytes[14] = 0x8b;
    bytes[15] = 0x03;
    assert_false(decode_insn(bytes, 16, DECODE_64, &got));
    assert_true(decode_insn(bytes + 1, 15, DECODE_64, &got));
    assert_int_equal(got.length, 15);
}

static void test_addresses(void **state)
{
    uint64_t gpr[16] = {[1] = 0x1000, [3] = 0xffff, [5] = 0xffffffff, [6] = 0x10, [12] = 0x8000000000000000};
    struct insn i = {.base = 3, .index = 6, .address_size = 2, .linear32 = true, .disp = 2};

    (void)state;
    assert_int_equal(decode_address(&i, gpr, 0, 0xf0000), 0xf0011);
    i = (struct insn){.base = 5, .index = N, .address_size = 4, .linear32 = true, .disp = 5};
    assert_int_equal(decode_address(&i, gpr, 0, 0xfffffffe), 2);
    i = (struct insn){.base = 12, .index = 1, .scale = 3, .address_size = 8, .disp = -1};
    assert_int_equal(decode_address(&i, gpr, 0, 1), 0x8000000000008000);
    i = (struct insn){.base = N, .index = N, .rip_relative = true, .address_size = 8, .disp = -8};
    assert_int_equal(decode_address(&i, gpr, 0xffffffff81000000, 0), 0xffffffff80fffff8);
}

static void test_values(void **state)
{
    uint64_t gpr[16] = {[0] = 0x1122334455667788, [9] = 0xfedcba9876543210};
    struct insn i = {.kind = INSN_STORE, .size = 4, .reg = 9};
    uint64_t old = 0xaaaaaaaaaaaaaaaa;

    (void)state;
    assert_int_equal(decode_store_value(&i, gpr), 0x76543210);
    i = (struct insn){.kind = INSN_STORE, .size = 1, .reg = 0, .high8 = true};
    assert_int_equal(decode_store_value(&i, gpr), 0x77);
    i = (struct insn){.size = 1, .reg_size = 1};
    assert_int_equal(decode_load_result(&i, 0x1ff, old), 0xaaaaaaaaaaaaaaff);
    i.high8 = true;
    assert_int_equal(decode_load_result(&i, 0x1ff, old), 0xaaaaaaaaaaaaffaa);
    i = (struct insn){.size = 2, .reg_size = 2};
    assert_int_equal(decode_load_result(&i, 0x12345, old), 0xaaaaaaaaaaaa2345);
    i = (struct insn){.size = 4, .reg_size = 4};
    assert_int_equal(decode_load_result(&i, ~0ull, old), 0xffffffff);
    i = (struct insn){.size = 1, .reg_size = 4, .sign_extend = true};
    assert_int_equal(decode_load_result(&i, 0x80, old), 0xffffff80);
    i = (struct insn){.size = 4, .reg_size = 8, .sign_extend = true};
    assert_int_equal(decode_load_result(&i, 0x80000000, old), 0xffffffff80000000);
    i = (struct insn){.size = 1, .reg_size = 2, .sign_extend = true};
    assert_int_equal(decode_load_result(&i, 0x80, old), 0xaaaaaaaaaaaaff80);
    i = (struct insn){.size = 8, .reg_size = 8};
    assert_int_equal(decode_load_result(&i, 0x123456789abcdef0, old), 0x123456789abcdef0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_moves), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_not_plain),   cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_addresses),   cmocka_unit_test(test_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
