// srcs: mgmt/devices/vm.c mgmt/devices/bus.c mgmt/devices/vpci.c mgmt/devices/virtq.c mgmt/devices/virtio.c mgmt/devices/vblk.c mgmt/devices/vrng.c mgmt/devices/vcon.c mgmt/devices/vnet.c mgmt/block/block.c mgmt/devices/guest_mem.c mgmt/devices/ioapic.c mgmt/devices/uart16550.c mgmt/devices/rtc.c mgmt/devices/power.c mgmt/devices/vcpu.c mgmt/devices/walk.c mgmt/devices/io_intercept.c mgmt/devices/mmio_intercept.c mgmt/devices/exec_insn.c mgmt/devices/full_insn.c mgmt/devices/alu.c arch/x86/decode.c tests/unit/fake_hvif.c
// libs: zydis
// SPDX-License-Identifier: Apache-2.0
// Intercepts from message to register page: port I/O and its string forms, device memory, faults, events.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "mgmt/devices/alu.h"
#include "mgmt/devices/vcpu.h"
#include "tests/unit/fake_hvif.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };
#define IOAPIC 0xfec00000ull
#define NOBODY 0xfec80000ull // mapped by the page tables, claimed by no device
#define CODE 0x8000ull
#define DATA 0x4000ull

static struct fake_guest g;
static uint32_t flags;

static int setup(void **state)
{
    (void)state;
    fake_reset();
    fake_guest_init(&g, 4096);
    g.regs.rip = CODE;
    g.regs.rflags = 2;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(&g);
    return 0;
}

// --- port I/O ---

static void test_port_sizes(void **state)
{
    (void)state;
    g.regs.gpr[RAX] = 0x1122334455667788;
    fake_io(&g, 0x3ff, 1, false, false, false);
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(g.regs.gpr[RAX], 0x1122334455667700);
    fake_io(&g, 0x80, 2, false, false, false); // nobody: all ones
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(g.regs.gpr[RAX], 0x112233445566ffff);
    fake_io(&g, 0xcf8, 4, false, false, false);
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(g.regs.gpr[RAX], 0xffffffff);
    assert_int_equal(flags, HV_XWAIT_ADVANCE);
    assert_int_equal(g.regs.rip, CODE); // advancing is the hypervisor's
    g.msg.io.info = 3;
    assert_false(fake_serve(&g, &flags)); // no such size
}

static void test_pci_probe_does_not_reset(void **state)
{
    (void)state;
    fake_out(&g, 0xcf8, 4, 0x80000600);
    fake_out(&g, 0xcfb, 1, 1);
    assert_int_equal(fake.event_count, 0);
}

static void string_code(const char *code, size_t length)
{
    memcpy(g.vm.ram + CODE, code, length);
}

static void test_rep_outsb(void **state)
{
    char text[300];
    uint8_t byte;

    (void)state;
    memset(text, 'k', sizeof(text));
    memcpy(g.vm.ram + DATA, text, sizeof(text));
    string_code("\xf3\x6e", 2);
    g.regs.gpr[RSI] = DATA;
    g.regs.gpr[RCX] = sizeof(text);
    fake_io(&g, 0x3f8, 1, true, true, true);
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(flags, 0); // a slice
    assert_int_equal(g.regs.gpr[RCX], sizeof(text) - 256);
    assert_int_equal(g.regs.gpr[RSI], DATA + 256);
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(flags, HV_XWAIT_ADVANCE);
    assert_int_equal(g.regs.gpr[RCX], 0);
    for (size_t i = 0; i < sizeof(text); i++) {
        assert_true(spsc_pop(&g.vm.com[0].tx, &byte));
        assert_int_equal(byte, 'k');
    }
}

static void test_rep_count_zero(void **state)
{
    (void)state;
    string_code("\xf3\x6e", 2);
    fake_io(&g, 0x3f8, 1, true, true, true);
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(flags, HV_XWAIT_ADVANCE);
    assert_int_equal(spsc_count(&g.vm.com[0].tx), 0);
}

static void test_insw_backwards(void **state)
{
    (void)state;
    string_code("\x66\x6d", 2);
    g.regs.gpr[RDI] = DATA;
    g.regs.gpr[RCX] = 99;
    g.regs.rflags |= 0x400;
    fake_io(&g, 0x3fe, 2, false, true, false);
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(flags, HV_XWAIT_ADVANCE);
    assert_int_equal(g.regs.gpr[RDI], DATA - 2);
    assert_int_equal(g.regs.gpr[RCX], 99);
    assert_int_equal(g.vm.ram[DATA], 0xb0);
    assert_int_equal(g.vm.ram[DATA + 1], 0);
}

// Crosses from RAM that is mapped into a page that is not: whole elements before the fault stay done.
static void test_ins_page_fault(void **state)
{
    uint64_t *pd = (uint64_t *)(g.vm.ram + 0x12000);

    (void)state;
    pd[0] = 0x14003; // small pages from here on
    for (uint64_t i = 0; i < 0x20; i++) {
        ((uint64_t *)(g.vm.ram + 0x14000))[i] = i << 12 | 3;
    }
    ((uint64_t *)(g.vm.ram + 0x14000))[5] = 0;
    string_code("\xf3\x6c", 2);
    g.regs.gpr[RDI] = 0x4ffe;
    g.regs.gpr[RCX] = 10;
    fake_io(&g, 0x3ff, 1, false, true, true);
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(flags, 0);
    assert_int_equal(g.regs.gpr[RCX], 8);
    assert_int_equal(g.regs.gpr[RDI], 0x5000);
    assert_int_equal(fake.cr2, 0x5000);
    assert_int_equal(fake.pending, HV_PENDING_VALID | HV_PENDING_TYPE(3) | HV_PENDING_ERROR_VALID |
                                       HV_PENDING_VECTOR(14) | HV_PENDING_ERROR(2));
    // Accessed and dirty bits of the page that was written.
    assert_int_equal(((uint64_t *)(g.vm.ram + 0x14000))[4], 0x4063);
}

static void test_real_mode_outs(void **state)
{
    uint8_t byte;

    (void)state;
    fake_guest_real_mode(&g);
    fake.system[0].segment.base = 0x4000; // ES
    string_code("\x26\x6e", 2);           // outsb %es:(%si)
    g.regs.gpr[RSI] = 0xabcd0010;
    g.vm.ram[0x4010] = 'R';
    fake_io(&g, 0x3f8, 1, true, true, false);
    assert_true(fake_serve(&g, &flags));
    assert_true(spsc_pop(&g.vm.com[0].tx, &byte));
    assert_int_equal(byte, 'R');
    assert_int_equal(g.regs.gpr[RSI], 0xabcd0011); // upper half untouched
}

static void test_segment_limit(void **state)
{
    (void)state;
    fake_guest_protected_mode(&g);
    fake.system[3].segment.limit = 0xfff; // DS
    string_code("\x6f", 1);
    g.regs.gpr[RSI] = 0xffd;
    fake_io(&g, 0x3f8, 4, true, true, false);
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(flags, 0);
    assert_int_equal((fake.pending >> 16) & 0xffff, 13);
}

// --- device memory ---

struct mmio_case {
    const char *name;
    uint64_t gpa;
    uint8_t bytes[15], length;
    uint64_t rax, rbx; // before; RDI holds gpa
    uint64_t rax_after, flags_after;
};

// Runs at a device that nobody claims, which reads as all ones: enough to see what a load does.
static void test_loads(void **state)
{
    static const struct mmio_case cases[] = {
        {"mov (%rdi),%eax", NOBODY, {0x8b, 0x07}, 2, 0x1111111111111111, 0, 0xffffffff, 0},
        {"mov (%rdi),%al", NOBODY, {0x8a, 0x07}, 2, 0x1100, 0, 0x11ff, 0},
        {"mov (%rdi),%rax", NOBODY, {0x48, 0x8b, 0x07}, 3, 0, 0, ~0ull, 0},
        {"movzbl (%rdi),%eax", NOBODY, {0x0f, 0xb6, 0x07}, 3, ~0ull, 0, 0xff, 0},
        {"movswl (%rdi),%eax", NOBODY, {0x0f, 0xbf, 0x07}, 3, 0, 0, 0xffffffff, 0},
        {"movslq (%rdi),%rax", NOBODY, {0x48, 0x63, 0x07}, 3, 0, 0, ~0ull, 0},
        {"add (%rdi),%eax", NOBODY, {0x03, 0x07}, 2, 5, 0, 4, 0x11},
        {"and (%rdi),%ax", NOBODY, {0x66, 0x23, 0x07}, 3, 0x12348001, 0, 0x12348001, 0x80},
        {"cmp (%rdi),%al", NOBODY, {0x3a, 0x07}, 2, 0xff, 0, 0xff, 0x44},
        {"test %eax,(%rdi)", NOBODY, {0x85, 0x07}, 2, 0, 0, 0, 0x44},
        {"testb $0x80,(%rdi)", NOBODY, {0xf6, 0x07, 0x80}, 3, 0, 0, 0, 0x80},
        {"btl $31,(%rdi)", NOBODY, {0x0f, 0xba, 0x27, 0x1f}, 4, 0, 0, 0, 0x01},
        {"lods (%rsi),%eax", NOBODY, {0xad}, 1, 0, 0, 0xffffffff, 0},
        {"scas (%rdi),%eax", NOBODY, {0xaf}, 1, 0xffffffff, 0, 0xffffffff, 0x44},
        {"cmove (%rdi),%eax", NOBODY, {0x0f, 0x44, 0x07}, 3, 0x1234567800000001, 0, 1, 0},
        {"cmovne (%rdi),%eax", NOBODY, {0x0f, 0x45, 0x07}, 3, 1, 0, 0xffffffff, 0},
        {"xchg %eax,(%rdi)", NOBODY, {0x87, 0x07}, 2, 1, 0, 0xffffffff, 0},
        {"lock xadd %eax,(%rdi)", NOBODY, {0xf0, 0x0f, 0xc1, 0x07}, 4, 1, 0, 0xffffffff, 0x55},
        {"lock cmpxchg %ebx,(%rdi)", NOBODY, {0xf0, 0x0f, 0xb1, 0x1f}, 4, 1, 0, 0xffffffff, 0x11},
        {"mov (%rdi),%ah", NOBODY, {0x8a, 0x27}, 2, 0, 0, 0xff00, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct mmio_case *c = &cases[i];

        g.regs.rip = CODE;
        g.regs.rflags = 2;
        g.regs.gpr[RAX] = c->rax;
        g.regs.gpr[RBX] = c->rbx;
        g.regs.gpr[RDI] = c->gpa;
        g.regs.gpr[RSI] = c->gpa;
        fake_mmio(&g, c->gpa, false, c->bytes, c->length);
        if (!fake_serve(&g, &flags) || flags != HV_XWAIT_DIRTY || g.regs.rip != CODE + c->length ||
            g.regs.gpr[RAX] != c->rax_after || (g.regs.rflags & 0x8d5) != c->flags_after) {
            fail_msg("%s: rax %llx flags %llx rip %llx", c->name, (unsigned long long)g.regs.gpr[RAX],
                     (unsigned long long)g.regs.rflags, (unsigned long long)g.regs.rip);
        }
    }
}

// The I/O APIC's select register remembers what is stored.
static void test_stores(void **state)
{
    static const struct mmio_case cases[] = {
        {"mov %eax,(%rdi)", IOAPIC, {0x89, 0x07}, 2, 0x21, 0, 0x21, 0},
        {"movl $0x22,(%rdi)", IOAPIC, {0xc7, 0x07, 0x22, 0, 0, 0}, 6, 0, 0, 0x22, 0},
        {"mov %al,(%rdi)", IOAPIC, {0x88, 0x07}, 2, 0x23, 0, 0x23, 0},
        {"orl $0x30,(%rdi)", IOAPIC, {0x83, 0x0f, 0x30}, 3, 0, 0, 0x33, 0},
        {"andl $0xf,(%rdi)", IOAPIC, {0x83, 0x27, 0x0f}, 3, 0, 0, 0x03, 0},
        {"xorl $0xff,(%rdi)", IOAPIC, {0x81, 0x37, 0xff, 0, 0, 0}, 6, 0, 0, 0xfc, 0},
        {"subl $0x10,(%rdi)", IOAPIC, {0x83, 0x2f, 0x10}, 3, 0, 0, 0xec, 0},
        {"incl (%rdi)", IOAPIC, {0xff, 0x07}, 2, 0, 0, 0xed, 0},
        {"decl (%rdi)", IOAPIC, {0xff, 0x0f}, 2, 0, 0, 0xec, 0},
        {"notb (%rdi)", IOAPIC, {0xf6, 0x17}, 2, 0, 0, 0x13, 0},
        {"negb (%rdi)", IOAPIC, {0xf6, 0x1f}, 2, 0, 0, 0xed, 0},
        {"lock btrl $0,(%rdi)", IOAPIC, {0xf0, 0x0f, 0xba, 0x37, 0x00}, 5, 0, 0, 0xec, 0},
        {"btsl $1,(%rdi)", IOAPIC, {0x0f, 0xba, 0x2f, 0x01}, 4, 0, 0, 0xee, 0},
        {"btcl %eax,(%rdi)", IOAPIC, {0x0f, 0xbb, 0x07}, 3, 7, 0, 0x6e, 0},
        {"sete (%rdi)", IOAPIC, {0x0f, 0x94, 0x07}, 3, 0, 0, 0x00, 0},
        {"stos %eax,(%rdi)", IOAPIC, {0xab}, 1, 0x44, 0, 0x44, 0},
        {"xchg %eax,(%rdi)", IOAPIC, {0x87, 0x07}, 2, 0x55, 0, 0x55, 0},
        {"lock cmpxchg %ebx,(%rdi)", IOAPIC, {0xf0, 0x0f, 0xb1, 0x1f}, 4, 0x55, 0x66, 0x66, 0},
        {"lock xadd %eax,(%rdi)", IOAPIC, {0xf0, 0x0f, 0xc1, 0x07}, 4, 0x11, 0, 0x77, 0},
    };
    static const uint8_t load[] = {0x8b, 0x07};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct mmio_case *c = &cases[i];

        g.regs.rip = CODE;
        g.regs.rflags = 2;
        g.regs.gpr[RAX] = c->rax;
        g.regs.gpr[RBX] = c->rbx;
        g.regs.gpr[RDI] = c->gpa;
        fake_mmio(&g, c->gpa, true, c->bytes, c->length);
        if (!fake_serve(&g, &flags) || g.regs.rip != CODE + c->length) {
            fail_msg("%s is not emulated", c->name);
        }
        g.regs.gpr[RDI] = c->gpa;
        fake_mmio(&g, c->gpa, false, load, sizeof(load));
        assert_true(fake_serve(&g, &flags));
        if (g.regs.gpr[RAX] != c->rax_after) {
            fail_msg("%s: register holds %llx", c->name, (unsigned long long)g.regs.gpr[RAX]);
        }
    }
}

static void test_push_and_pop(void **state)
{
    static const uint8_t push[] = {0xff, 0x37}; // push (%rdi)
    static const uint8_t pop[] = {0x8f, 0x07};  // pop (%rdi)
    static const uint8_t load[] = {0x8b, 0x07};

    (void)state;
    g.regs.gpr[RDI] = NOBODY;
    g.regs.gpr[RSP] = DATA + 8;
    fake_mmio(&g, NOBODY, false, push, sizeof(push));
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(g.regs.gpr[RSP], DATA);
    assert_true(g.regs.dirty & HV_DIRTY_RSP);
    assert_int_equal(*(uint64_t *)(g.vm.ram + DATA), ~0ull);
    g.vm.ram[DATA] = 0x12;
    g.regs.gpr[RDI] = IOAPIC;
    fake_mmio(&g, IOAPIC, true, pop, sizeof(pop));
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(g.regs.gpr[RSP], DATA + 8);
    fake_mmio(&g, IOAPIC, false, load, sizeof(load));
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(g.regs.gpr[RAX], 0x12);
}

static void test_rep_movs_from_device_to_ram(void **state)
{
    static const uint8_t movs[] = {0xf3, 0xa5};

    (void)state;
    g.regs.gpr[RSI] = NOBODY;
    g.regs.gpr[RDI] = DATA;
    g.regs.gpr[RCX] = 300;
    fake_mmio(&g, NOBODY, false, movs, sizeof(movs));
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(g.regs.gpr[RCX], 300 - 256);
    assert_int_equal(g.regs.rip, CODE);
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(g.regs.gpr[RCX], 0);
    assert_int_equal(g.regs.rip, CODE + 2);
    assert_int_equal(g.regs.gpr[RDI], DATA + 1200);
    for (int i = 0; i < 1200; i++) {
        assert_int_equal(g.vm.ram[DATA + i], 0xff);
    }
    assert_int_equal(g.vm.ram[DATA + 1200], 0);
}

static void test_repe_cmps_stops(void **state)
{
    static const uint8_t cmps[] = {0xf3, 0xa6};

    (void)state;
    memset(g.vm.ram + DATA, 0xff, 3);
    g.regs.gpr[RSI] = NOBODY;
    g.regs.gpr[RDI] = DATA;
    g.regs.gpr[RCX] = 10;
    fake_mmio(&g, NOBODY, false, cmps, sizeof(cmps));
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(g.regs.gpr[RCX], 6); // the fourth differed
    assert_int_equal(g.regs.rip, CODE + 2);
    assert_false(g.regs.rflags & 0x40);
}

static void test_instruction_is_fetched_when_absent(void **state)
{
    static const uint8_t code[] = {0x8b, 0x05, 0xfa, 0xff, 0x1f, 0x00}; // mov 0x1ffffa(%rip),%eax

    (void)state;
    memcpy(g.vm.ram + 0x8ffd, code, sizeof(code)); // across a page boundary
    g.regs.rip = 0x8ffd;
    ((uint64_t *)(g.vm.ram + 0x12000))[1] = 0xfec00083; // virtual 2 MiB: device memory
    fake_mmio(&g, 0xfec00000 + 0x8ffd + 6 + 0x1ffffa - 0x200000, false, code, 0);
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(g.regs.gpr[RAX], 0xffffffff);
    assert_int_equal(g.regs.rip, 0x9003);
    // Only part of a rare instruction in the message: the rest is fetched too.
    memcpy(g.vm.ram + CODE, "\x48\x81\x0f\x78\x56\x34\x12", 7); // orq $0x12345678,(%rdi)
    g.regs.rip = CODE;
    g.regs.gpr[RDI] = NOBODY;
    fake_mmio(&g, NOBODY, true, g.vm.ram + CODE, 3);
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(g.regs.rip, CODE + 7);
}

static void test_access_across_ram_and_device(void **state)
{
    static const uint8_t load[] = {0x48, 0x8b, 0x07};
    uint64_t *pd = (uint64_t *)(g.vm.ram + 0x12000);

    (void)state;
    pd[0] = 0x14003;
    for (uint64_t i = 0; i < 0x20; i++) {
        ((uint64_t *)(g.vm.ram + 0x14000))[i] = i << 12 | 3;
    }
    ((uint64_t *)(g.vm.ram + 0x14000))[5] = NOBODY | 3;
    memcpy(g.vm.ram + 0x4ffd, "\x01\x02\x03", 3);
    g.regs.gpr[RDI] = 0x4ffd;
    fake_mmio(&g, NOBODY, false, load, sizeof(load));
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(g.regs.gpr[RAX], 0xffffffffff030201);
}

static void test_fs_relative(void **state)
{
    static const uint8_t store[] = {0x64, 0x89, 0x07}; // mov %eax,%fs:(%rdi)
    static const uint8_t load[] = {0x64, 0x8b, 0x07};

    (void)state;
    fake.system[4].segment.base = IOAPIC - 0x100;
    g.regs.gpr[RDI] = 0x100;
    g.regs.gpr[RAX] = 0x17;
    fake_mmio(&g, IOAPIC, true, store, sizeof(store));
    assert_true(fake_serve(&g, &flags));
    fake_mmio(&g, IOAPIC, false, load, sizeof(load));
    g.regs.gpr[RAX] = 0;
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(g.regs.gpr[RAX], 0x17);
}

static void test_protected_mode_store(void **state)
{
    static const uint8_t store[] = {0x89, 0x07};

    (void)state;
    fake_guest_protected_mode(&g);
    g.regs.gpr[RDI] = IOAPIC | 0xabull << 32; // upper half is not there in 32-bit code
    g.regs.gpr[RAX] = 1;
    fake_mmio(&g, IOAPIC, true, store, sizeof(store));
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(g.regs.rip, CODE + 2);
}

static void test_decoding_is_remembered(void **state)
{
    static const uint8_t add[] = {0x03, 0x07};
    struct vm_counters counters;

    (void)state;
    g.regs.gpr[RDI] = NOBODY;
    for (int i = 0; i < 5; i++) {
        fake_mmio(&g, NOBODY, false, add, sizeof(add));
        assert_true(fake_serve(&g, &flags));
    }
    vm_get_counters(&g.vm, &counters);
    assert_int_equal(counters.full_decodes, 1);
    assert_int_equal(counters.mmio, 5);
    assert_int_equal(counters.unclaimed_mmio, 5);
}

// --- ends ---

static void expect_event(enum dp_event_type type, uint32_t code)
{
    assert_int_equal(fake.event_count, 1);
    assert_int_equal(fake.events[0].type, type);
    assert_int_equal(fake.events[0].code, code);
    assert_ptr_equal(fake.events[0].vm, &g.vm);
}

static void test_instruction_beyond_us_stops_the_guest(void **state)
{
    static const uint8_t movdqu[] = {0xf3, 0x0f, 0x6f, 0x07};

    (void)state;
    g.regs.gpr[RDI] = NOBODY;
    memcpy(g.vm.ram + CODE, movdqu, sizeof(movdqu));
    fake_mmio(&g, NOBODY, false, movdqu, sizeof(movdqu));
    assert_false(fake_serve(&g, &flags));
    expect_event(DP_EV_CRASH, HV_MSG_UNMAPPED_GPA);
}

static void test_execution_in_device_memory(void **state)
{
    (void)state;
    fake_mmio(&g, NOBODY, false, (const uint8_t *)"", 0);
    g.msg.intercept.access = 2;
    assert_false(fake_serve(&g, &flags));
    expect_event(DP_EV_CRASH, HV_MSG_UNMAPPED_GPA);
}

static void test_triple_fault_and_unknown_messages(void **state)
{
    static const uint32_t types[] = {
        HV_MSG_UNRECOVERABLE_EXCEPTION,
        HV_MSG_UNSUPPORTED_FEATURE,
        HV_MSG_INVALID_VP_REGISTER_VALUE,
        HV_MSG_GPA_INTERCEPT,
        HV_MSG_CPUID,
        0x12345678,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        fake.event_count = 0;
        g.msg.header.type = types[i];
        assert_false(fake_serve(&g, &flags));
        expect_event(DP_EV_CRASH, types[i]);
    }
}

static void test_msr_gets_general_protection(void **state)
{
    (void)state;
    g.msg.header.type = HV_MSG_MSR;
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(flags, 0);
    assert_int_equal((fake.pending >> 16) & 0xffff, 13);
}

static void test_power_off(void **state)
{
    (void)state;
    fake_out(&g, MACHINE_SLEEP_CONTROL_PORT, 1, 3 << 2 | 0x20); // S3 does not exist
    assert_int_equal(fake.event_count, 0);
    fake_out(&g, MACHINE_SLEEP_CONTROL_PORT, 1, 5 << 2 | 0x20);
    expect_event(DP_EV_POWER_OFF, 0);
    fake_out(&g, 0x80, 1, 0); // another VP: told once
    assert_int_equal(fake.event_count, 1);
}

static void test_reset(void **state)
{
    (void)state;
    fake_out(&g, MACHINE_RESET_PORT, 1, 0x02); // only announces
    assert_int_equal(fake.event_count, 0);
    fake_out(&g, MACHINE_RESET_PORT, 1, MACHINE_RESET_VALUE);
    expect_event(DP_EV_RESET, 0);
}

static void test_power_button(void **state)
{
    static const uint8_t store[] = {0x89, 0x07};

    (void)state;
    for (int i = 0; i < 2; i++) { // pin 9: vector 0x31, level
        g.regs.gpr[RDI] = IOAPIC + (i ? 0x10 : 0);
        g.regs.gpr[RAX] = i ? 0x8031 : 0x10 + 18;
        fake_mmio(&g, g.regs.gpr[RDI], true, store, sizeof(store));
        assert_true(fake_serve(&g, &flags));
    }
    vm_power_button(&g.vm);
    assert_int_equal(fake.interrupt_count, 1);
    assert_int_equal(fake.interrupts[0].vector, 0x31);
    assert_int_equal(fake_in(&g, MACHINE_GED_STATUS_PORT, 1), MACHINE_GED_POWER_BUTTON);
    fake_out(&g, MACHINE_GED_STATUS_PORT, 1, MACHINE_GED_POWER_BUTTON);
    g.msg.header.type = HV_MSG_APIC_EOI;
    g.msg.eoi.vector = 0x31;
    assert_true(fake_serve(&g, &flags));
    assert_int_equal(flags, 0);
    assert_int_equal(fake.interrupt_count, 1);
}

static void test_hypervisor_refuses_registers(void **state)
{
    static const uint8_t add[] = {0x03, 0x07};

    (void)state;
    fake.register_status = HV_STATUS_INVALID_VP_STATE;
    g.regs.gpr[RDI] = NOBODY;
    fake_mmio(&g, NOBODY, false, add, sizeof(add));
    assert_false(fake_serve(&g, &flags));
    expect_event(DP_EV_CRASH, HV_MSG_UNMAPPED_GPA);
}

// --- page tables ---

static enum emu translate(uint64_t linear, enum vcpu_access access, uint8_t cpl, uint64_t *gpa)
{
    struct vcpu v;

    vcpu_init(&v, &g.vm, 0, &g.msg.intercept);
    v.cpl = cpl;
    v.fault.error = 0xdead;
    enum emu result = vcpu_translate(&v, linear, access, gpa);

    if (result == EMU_FAULT) {
        *gpa = v.fault.error;
    }
    return result;
}

static void test_rights(void **state)
{
    static const struct {
        uint64_t pte, cr0, cr4;
        uint8_t cpl;
        enum vcpu_access access;
        int64_t error; // -1: allowed
    } cases[] = {
        {0x5003, BIT(16), 0, 0, ACCESS_WRITE, -1},
        {0x5001, BIT(16), 0, 0, ACCESS_WRITE, 3},
        {0x5001, 0, 0, 0, ACCESS_WRITE, -1},
        {0x5003, BIT(16), 0, 3, ACCESS_READ, 5},
        {0x5007, BIT(16), 0, 3, ACCESS_WRITE, -1},
        {0x5005, BIT(16), 0, 3, ACCESS_WRITE, 7},
        {0x5005, 0, 0, 3, ACCESS_WRITE, 7},
        {0x5000, 0, 0, 3, ACCESS_WRITE, 6},
        {0x5007 | BIT(63), 0, 0, 3, ACCESS_FETCH, 0x15},
        {0x5007 | BIT(63), 0, 0, 3, ACCESS_READ, -1},
        {0x5007, 0, BIT(20), 0, ACCESS_FETCH, 0x11},
        {0x5007, 0, BIT(21), 0, ACCESS_READ, 1},
        {0x5007, 0, BIT(21), 3, ACCESS_READ, -1},
    };
    uint64_t gpa;

    (void)state;
    for (int level = 0x10000; level < 0x13000; level += 0x1000) {
        *(uint64_t *)(g.vm.ram + level) |= 7;
    }
    *(uint64_t *)(g.vm.ram + 0x12000) = 0x14007;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        *(uint64_t *)(g.vm.ram + 0x14028) = cases[i].pte;
        fake.system[6].u64 = 0x80000031 | cases[i].cr0;
        fake.system[8].u64 = 0x20 | cases[i].cr4;
        if (cases[i].error < 0) {
            assert_int_equal(translate(0x5123, cases[i].access, cases[i].cpl, &gpa), EMU_OK);
            assert_int_equal(gpa, 0x5123);
        } else {
            assert_int_equal(translate(0x5123, cases[i].access, cases[i].cpl, &gpa), EMU_FAULT);
            assert_int_equal(gpa, cases[i].error);
        }
    }
}

static void test_table_outside_ram(void **state)
{
    uint64_t gpa;

    (void)state;
    *(uint64_t *)(g.vm.ram + 0x12000) = 0xfec00007;
    assert_int_equal(translate(0x5123, ACCESS_READ, 0, &gpa), EMU_FAULT);
    assert_int_equal(gpa, 9); // reserved bits: reads as all ones
    fake.system[7].u64 = 0xfffffff000;
    assert_int_equal(translate(0x5123, ACCESS_READ, 0, &gpa), EMU_FAULT);
}

static void test_other_paging_modes(void **state)
{
    uint32_t *pd = (uint32_t *)(g.vm.ram + 0x20000);
    uint64_t gpa;

    (void)state;
    fake_guest_protected_mode(&g);
    fake.system[6].u64 |= 0x80000000;
    fake.system[7].u64 = 0x20000;
    pd[0] = 0x21003;
    pd[1] = 0x00c00083;
    ((uint32_t *)(g.vm.ram + 0x21000))[7] = 0x9003;
    assert_int_equal(translate(0x7abc, ACCESS_READ, 0, &gpa), EMU_OK);
    assert_int_equal(gpa, 0x9abc);
    fake.system[8].u64 = 0x10; // PSE
    assert_int_equal(translate(0x412345, ACCESS_READ, 0, &gpa), EMU_OK);
    assert_int_equal(gpa, 0xc12345);
    fake.system[8].u64 = 0x20; // PAE
    fake.system[7].u64 = 0x22020;
    *(uint64_t *)(g.vm.ram + 0x22020 + 8) = 0x23001;
    *(uint64_t *)(g.vm.ram + 0x23000) = 0x4000000083;
    assert_int_equal(translate(0x40012345, ACCESS_READ, 0, &gpa), EMU_OK);
    assert_int_equal(gpa, 0x4000012345);
    assert_int_equal(*(uint64_t *)(g.vm.ram + 0x22028), 0x23001); // no accessed bit up there
}

// --- arithmetic against this machine's own ---

// The stack pointer steps over the red zone first.
#define NATIVE2(name, insn)                                                                                  \
    static uint64_t name(uint64_t a, uint64_t b, uint8_t size, uint64_t *rflags)                             \
    {                                                                                                        \
        uint64_t f = *rflags;                                                                                \
        switch (size) {                                                                                      \
        case 1:                                                                                              \
            __asm__("lea -128(%%rsp), %%rsp; push %1; popf; " insn                                           \
                    "b %b2, %b0; pushf; pop %1; lea 128(%%rsp), %%rsp"                                       \
                    : "+q"(a), "+r"(f)                                                                       \
                    : "q"(b)                                                                                 \
                    : "cc");                                                                                 \
            break;                                                                                           \
        case 2:                                                                                              \
            __asm__("lea -128(%%rsp), %%rsp; push %1; popf; " insn                                           \
                    "w %w2, %w0; pushf; pop %1; lea 128(%%rsp), %%rsp"                                       \
                    : "+r"(a), "+r"(f)                                                                       \
                    : "r"(b)                                                                                 \
                    : "cc");                                                                                 \
            break;                                                                                           \
        case 4:                                                                                              \
            __asm__("lea -128(%%rsp), %%rsp; push %1; popf; " insn                                           \
                    "l %k2, %k0; pushf; pop %1; lea 128(%%rsp), %%rsp"                                       \
                    : "+r"(a), "+r"(f)                                                                       \
                    : "r"(b)                                                                                 \
                    : "cc");                                                                                 \
            break;                                                                                           \
        default:                                                                                             \
            __asm__("lea -128(%%rsp), %%rsp; push %1; popf; " insn                                           \
                    "q %2, %0; pushf; pop %1; lea 128(%%rsp), %%rsp"                                         \
                    : "+r"(a), "+r"(f)                                                                       \
                    : "r"(b)                                                                                 \
                    : "cc");                                                                                 \
            break;                                                                                           \
        }                                                                                                    \
        *rflags = f;                                                                                         \
        return a;                                                                                            \
    }
#define NATIVE1(name, insn)                                                                                  \
    static uint64_t name(uint64_t a, uint64_t b, uint8_t size, uint64_t *rflags)                             \
    {                                                                                                        \
        uint64_t f = *rflags;                                                                                \
        (void)b;                                                                                             \
        switch (size) {                                                                                      \
        case 1:                                                                                              \
            __asm__("lea -128(%%rsp), %%rsp; push %1; popf; " insn                                           \
                    "b %b0; pushf; pop %1; lea 128(%%rsp), %%rsp"                                            \
                    : "+q"(a), "+r"(f)                                                                       \
                    :                                                                                        \
                    : "cc");                                                                                 \
            break;                                                                                           \
        case 2:                                                                                              \
            __asm__("lea -128(%%rsp), %%rsp; push %1; popf; " insn                                           \
                    "w %w0; pushf; pop %1; lea 128(%%rsp), %%rsp"                                            \
                    : "+r"(a), "+r"(f)                                                                       \
                    :                                                                                        \
                    : "cc");                                                                                 \
            break;                                                                                           \
        case 4:                                                                                              \
            __asm__("lea -128(%%rsp), %%rsp; push %1; popf; " insn                                           \
                    "l %k0; pushf; pop %1; lea 128(%%rsp), %%rsp"                                            \
                    : "+r"(a), "+r"(f)                                                                       \
                    :                                                                                        \
                    : "cc");                                                                                 \
            break;                                                                                           \
        default:                                                                                             \
            __asm__("lea -128(%%rsp), %%rsp; push %1; popf; " insn                                           \
                    "q %0; pushf; pop %1; lea 128(%%rsp), %%rsp"                                             \
                    : "+r"(a), "+r"(f)                                                                       \
                    :                                                                                        \
                    : "cc");                                                                                 \
            break;                                                                                           \
        }                                                                                                    \
        *rflags = f;                                                                                         \
        return a;                                                                                            \
    }

NATIVE2(native_add, "add")
NATIVE2(native_or, "or")
NATIVE2(native_adc, "adc")
NATIVE2(native_sbb, "sbb")
NATIVE2(native_and, "and")
NATIVE2(native_sub, "sub")
NATIVE2(native_xor, "xor")
NATIVE2(native_cmp, "cmp")
NATIVE2(native_test, "test")
NATIVE1(native_inc, "inc")
NATIVE1(native_dec, "dec")
NATIVE1(native_neg, "neg")
NATIVE1(native_not, "not")

static void test_alu_against_native(void **state)
{
    static uint64_t (*const native[])(uint64_t, uint64_t, uint8_t, uint64_t *) = {
        [OP_ADD] = native_add,   [OP_OR] = native_or,   [OP_ADC] = native_adc, [OP_SBB] = native_sbb,
        [OP_AND] = native_and,   [OP_SUB] = native_sub, [OP_XOR] = native_xor, [OP_CMP] = native_cmp,
        [OP_TEST] = native_test, [OP_INC] = native_inc, [OP_DEC] = native_dec, [OP_NEG] = native_neg,
        [OP_NOT] = native_not,
    };
    static const uint64_t values[] = {
        0,
        1,
        2,
        0xf,
        0x10,
        0x7f,
        0x80,
        0x81,
        0xff,
        0x100,
        0x7fff,
        0x8000,
        0xffff,
        0x7fffffff,
        0x80000000,
        0xffffffff,
        0x7fffffffffffffff,
        0x8000000000000000,
        0xffffffffffffffff,
        0x123456789abcdef0,
    };

    (void)state;
    for (int op = OP_ADD; op <= OP_NOT; op++) {
        bool logical = op == OP_OR || op == OP_AND || op == OP_XOR || op == OP_TEST;
        uint64_t compared = RFLAGS_STATUS & ~(logical ? RFLAGS_AF : 0); // AF is undefined there

        for (uint8_t size = 1; size <= 8; size *= 2) {
            for (size_t n = 0; n < ARRAY_LEN(values) * ARRAY_LEN(values) * 2; n++) {
                uint64_t a = values[n / 2 % ARRAY_LEN(values)] & size_mask(size);
                uint64_t b = values[n / 2 / ARRAY_LEN(values)] & size_mask(size);
                uint64_t ours = 0x202 | (n & 1), theirs = ours;
                uint64_t r = alu((enum full_op)op, a, b, size, &ours);
                uint64_t expected = native[op](a, b, size, &theirs) & size_mask(size);

                if (r != expected || ((ours ^ theirs) & compared)) {
                    fail_msg("op %d size %d a %llx b %llx: %llx flags %llx, native %llx flags %llx", op, size,
                             (unsigned long long)a, (unsigned long long)b, (unsigned long long)r,
                             (unsigned long long)ours, (unsigned long long)expected,
                             (unsigned long long)theirs);
                }
            }
        }
    }
}

static void test_conditions(void **state)
{
    (void)state;
    for (uint64_t f = 0; f < 0x1000; f++) {
        bool cf = f & 1, pf = f & 4, zf = f & 0x40, sf = f & 0x80, of = f & 0x800;
        const bool expected[] = {of, cf, zf, cf || zf, sf, pf, sf != of, zf || sf != of};

        for (uint8_t c = 0; c < 16; c++) {
            assert_int_equal(alu_condition(c, f), expected[c / 2] != (c & 1));
        }
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_port_sizes),
        T(test_pci_probe_does_not_reset),
        T(test_rep_outsb),
        T(test_rep_count_zero),
        T(test_insw_backwards),
        T(test_ins_page_fault),
        T(test_real_mode_outs),
        T(test_segment_limit),
        T(test_loads),
        T(test_stores),
        T(test_push_and_pop),
        T(test_rep_movs_from_device_to_ram),
        T(test_repe_cmps_stops),
        T(test_instruction_is_fetched_when_absent),
        T(test_access_across_ram_and_device),
        T(test_fs_relative),
        T(test_protected_mode_store),
        T(test_decoding_is_remembered),
        T(test_instruction_beyond_us_stops_the_guest),
        T(test_execution_in_device_memory),
        T(test_triple_fault_and_unknown_messages),
        T(test_msr_gets_general_protection),
        T(test_power_off),
        T(test_reset),
        T(test_power_button),
        T(test_hypervisor_refuses_registers),
        T(test_rights),
        T(test_table_outside_ram),
        T(test_other_paging_modes),
        cmocka_unit_test(test_alu_against_native),
        cmocka_unit_test(test_conditions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
