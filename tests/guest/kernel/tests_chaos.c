// SPDX-License-Identifier: Apache-2.0
// Micro-guests that do what nobody should, at random but repeatable (guest_args.seed). They may die of it; the
// hypervisor, the root and other guests may not even notice. Every way to end is good for the root.
#include "tests/guest/kernel/guests.h"

static uint64_t pick(const uint64_t *from, unsigned count)
{
    return from[random64() % count];
}
#define PICK(array) pick((array), ARRAY_LEN(array))

static bool one_in(unsigned n)
{
    return random64() % n == 0;
}

// A single bit, or a number of random magnitude.
static uint64_t random_value(void)
{
    uint64_t bit = random64() % 64;

    return one_in(2) ? 1ull << bit : random64() >> bit;
}

// --- hypercalls ---

static const uint16_t codes[] = {
#define CODE(code_, ...) code_,
    HVCALL_TABLE(CODE)};

static uint64_t random_address(void)
{
    static const uint64_t good[] = {GUEST_SCRATCH_GPA,
                                    GUEST_SCRATCH_GPA + 4096,
                                    GUEST_SCRATCH_GPA + 4096 - 8,
                                    GUEST_SCRATCH_GPA + 8,
                                    APIC_PAGE,
                                    0,
                                    GUEST_UNMAPPED_GPA,
                                    ~0ull,
                                    1ull << 46,
                                    (1ull << 46) - 8};

    return one_in(8) ? random64() : PICK(good);
}

static uint64_t random_input(void)
{
    uint64_t input = one_in(4) ? random64() & 0xffff : codes[random64() % ARRAY_LEN(codes)];

    input |= one_in(2) ? HVCALL_REP_COUNT(random64() % 8) : HVCALL_REP_COUNT(random64() & 0xfff);
    input |= one_in(4) ? HVCALL_REP_START(random64() & 0xfff) : 0;
    input |= one_in(4) ? HVCALL_FAST : 0;
    return one_in(16) ? input ^ BIT(random64() % 64) : input;
}

static void random_page(void)
{
    static const uint64_t words[] = {HV_PARTITION_ID_SELF, 0,          1,     1 | 1 << 16, 2 | 1 << 16,
                                     HV_VP_INDEX_SELF,     HV_REG_CR3, 0x100, ~0ull};
    uint64_t *page = (uint64_t *)HC_IN;

    for (unsigned i = 0; i < 16; i++) {
        page[i] = one_in(3) ? random64() : PICK(words);
    }
    if (one_in(2)) {
        page[0] = HV_PARTITION_ID_SELF;
    }
}

// The only calls that succeed are those that an ordinary partition has.
static void act_hypercall(void)
{
    uint64_t input = random_input(), result;
    uint16_t code = (uint16_t)input;

    if (one_in(8)) {
        random_page();
    }
    result = hypercall(input, random_address(), random_address());
    if (HVCALL_RESULT_STATUS(result) == HV_STATUS_SUCCESS) {
        CHECK(code == HVCALL_NOTIFY_LONG_SPIN_WAIT || code == HVCALL_GET_VP_REGISTERS);
    }
}

// --- MSRs, ports, memory ---

static uint32_t random_msr(void)
{
    static const uint64_t bases[] = {0,          0x100,      0x200,      0x400,      0x480,      0x600,
                                     0x800,      0xc80,      0xd00,      0x40000000, 0x40000080, 0x40000100,
                                     0xc0000080, 0xc0000100, 0xc0010000, 0xc0010100, 0xc0011000};

    return one_in(8) ? (uint32_t)random64() : (uint32_t)(PICK(bases) + random64() % 0x100);
}

static void act_msr(void)
{
    uint32_t msr = random_msr();
    uint64_t value = random64() >> random64() % 64;

    (void)CATCH(value ^= one_in(2) ? 0 : rdmsr(msr));
    if (one_in(2)) {
        (void)CATCH(wrmsr(msr, value));
    }
}

static void string_port(uint16_t port, bool out)
{
    uint64_t at = one_in(4) ? random_address() : GUEST_DATA_GPA, count = random64() % 40;

    if (out) {
        __asm__ volatile("rep outsb" : "+S"(at), "+c"(count) : "d"(port) : "memory");
    } else {
        __asm__ volatile("rep insw" : "+D"(at), "+c"(count) : "d"(port) : "memory");
    }
}

static void access_port(uint16_t port)
{
    uint32_t value = (uint32_t)random64();

    switch (random64() % 8) {
    case 0:
        outb(port, (uint8_t)value);
        break;
    case 1:
        outw(port, (uint16_t)value);
        break;
    case 2:
        outl(port, value);
        break;
    case 3:
        (void)inb(port);
        break;
    case 4:
        (void)inw(port);
        break;
    case 5:
        (void)inl(port);
        break;
    default:
        string_port(one_in(4) ? port : PORT_ECHO, one_in(2));
    }
}

static void act_port(void)
{
    uint16_t port = (uint16_t)random64();

    if (port < PORT_CHAR || port > PORT_STEP) { // those are the tests' own
        (void)CATCH(access_port(port));
    }
}

static void move(uint64_t at)
{
    switch (random64() % 8) {
    case 0:
        *(volatile uint8_t *)at = 0x5a;
        break;
    case 1:
        *(volatile uint16_t *)at = 0x5a5a;
        break;
    case 2:
        *(volatile uint32_t *)at = 0x5a5a5a5a;
        break;
    case 3:
        *(volatile uint64_t *)at = ~0ull;
        break;
    case 4:
        (void)*(volatile uint8_t *)at;
        break;
    case 5:
        (void)*(volatile uint16_t *)at;
        break;
    case 6:
        (void)*(volatile uint32_t *)at;
        break;
    default:
        (void)*(volatile uint64_t *)at;
    }
}

static void touch(uint64_t at)
{
    uint64_t count = 3, from = GUEST_DATA_GPA, to = at;

    switch (random64() % 9) {
    case 0:
        __asm__ volatile("movdqu %%xmm0, (%0)" : : "r"(at) : "memory");
        break;
    case 1:
        __asm__ volatile("lock incl (%0)" : : "r"(at) : "memory", "cc");
        break;
    case 2:
        __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
        break;
    case 3:
        __asm__ volatile("xchg %%rax, (%0)" : : "r"(at) : "memory", "rax");
        break;
    case 4:
        __asm__ volatile("cmpxchg16b (%0)" : : "r"(at & ~15ull) : "memory", "rax", "rdx", "cc");
        break;
    case 5:
        __asm__ volatile("fxsave (%0)" : : "r"(at & ~15ull) : "memory");
        break;
    case 6:
        ((void (*)(void))at)();
        break;
    case 7:
        __asm__ volatile("pushq (%0); pop %%rax" : : "r"(at) : "memory", "rax");
        break;
    default:
        __asm__ volatile("mov %%rax, (%0)" : : "r"(at) : "memory");
    }
}

// The APIC's page, and addresses without memory: plain moves of all sizes, and what nobody expects there.
static void act_memory(void)
{
    static const uint64_t bases[] = {APIC_PAGE,  APIC_PAGE,          0xfec00000,
                                     0xe0000000, GUEST_UNMAPPED_GPA, 0xffe00000};
    uint64_t at = PICK(bases) + random64() % 4096;

    if (one_in(4)) {
        (void)CATCH(touch(at));
    } else {
        (void)CATCH(move(at));
    }
}

// --- the processor's state ---

static void act_control_register(void)
{
    uint64_t v = random_value();

    switch (random64() % 5) {
    case 0:
        (void)CATCH(write_cr0(read_cr0() ^ (v & 0xffff)));
        break;
    case 1:
        (void)CATCH(write_cr4(read_cr4() ^ v));
        break;
    case 2:
        (void)CATCH(__asm__ volatile("mov %0, %%cr8" : : "r"(v)));
        break;
    case 3:
        (void)CATCH(write_cr3(GUEST_TABLES_GPA | (v & 0xfff) | (one_in(8) ? v : 0)));
        break;
    default:
        (void)CATCH(__asm__ volatile("xsetbv" : : "a"((uint32_t)v), "c"(0), "d"((uint32_t)(v >> 32))));
    }
}

// Breakpoints stay off on AMD-V: QEMU 7.2 falls over those that a VMRUN has brought.
static uint64_t random_dr7(void)
{
    return on_svm() ? random_value() & ~0xffull : random_value();
}

static void act_debug_register(void)
{
    uint64_t v = random_value();

    switch (random64() % 6) {
    case 0:
        (void)CATCH(__asm__ volatile("mov %0, %%dr0" : : "r"(v)));
        break;
    case 1:
        (void)CATCH(__asm__ volatile("mov %0, %%dr3" : : "r"(v)));
        break;
    case 2:
        (void)CATCH(__asm__ volatile("mov %0, %%dr6" : : "r"(v)));
        break;
    case 3:
        (void)CATCH(__asm__ volatile("mov %0, %%dr4" : : "r"(v)));
        break;
    case 4: // single steps
        (void)CATCH(__asm__ volatile("pushf; orl $0x100, (%%rsp); popf; cpuid"
                                     :
                                     : "a"(0), "c"(0)
                                     : "rbx", "rdx", "cc"));
        break;
    default:
        (void)CATCH(__asm__ volatile("mov %0, %%dr7" : : "r"(random_dr7())));
    }
}

struct __attribute__((packed)) table_pointer {
    uint16_t limit;
    uint64_t base;
};

static void load_table(bool idt)
{
    struct table_pointer old, new = {(uint16_t)random64(), random_value()};

    if (idt) { // an exception meanwhile would be the last
        __asm__ volatile("sidt %0; lidt %1; lidt %0" : "+m"(old) : "m"(new));
    } else {
        __asm__ volatile("sgdt %0; lgdt %1; lgdt %0" : "+m"(old) : "m"(new));
    }
}

static void act_descriptor(void)
{
    uint64_t v = random64() % 64 * 8 | random64() % 8;

    switch (random64() % 7) {
    case 0:
        (void)CATCH(__asm__ volatile("mov %w0, %%fs" : : "r"(v)));
        break;
    case 1:
        (void)CATCH(__asm__ volatile("mov %w0, %%es" : : "r"(v)));
        break;
    case 2:
        (void)CATCH(__asm__ volatile("lldt %w0" : : "r"(v)));
        break;
    case 3:
        (void)CATCH(__asm__ volatile("ltr %w0" : : "r"(v)));
        break;
    case 4:
        (void)CATCH(load_table(true));
        break;
    case 5: // an available TSS or LDT, or nonsense, where the two above may find it
        ((uint64_t *)GUEST_GDT_GPA)[6 + random64() % 2] = one_in(2) ? random64() : 0x000089000000ffff;
        break;
    default:
        (void)CATCH(load_table(false));
    }
}

// Any bit of any entry but those of the memory that the kernel itself is in; then the page is used.
static void act_page_tables(void)
{
    uint64_t *tables = (uint64_t *)GUEST_TABLES_GPA;
    uint64_t high = one_in(2), n = 2 + random64() % 500;
    uint64_t at = (high ? 3ull << 30 : 0) + (n << 21) + random64() % (1u << 21);

    tables[1024 + 512 * high + n] ^= 1ull << random64() % 64;
    if (one_in(16)) {
        tables[one_in(2) ? 5 : 512 + 1 + random64() % 2] = random64();
    }
    if (one_in(4)) {
        write_cr3(read_cr3());
    } else {
        (void)CATCH(__asm__ volatile("invlpg (%0)" : : "r"(at) : "memory"));
    }
    (void)CATCH(move(at));
}

// --- interrupts ---

static void ignore(struct frame *f)
{
    if (f->vector >= 32 && (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC) != 0) {
        wrmsr(X2(APIC_EOI_REG), 0);
    }
}

static void write_apic(void)
{
    uint32_t reg = (uint32_t)(random64() % 64) << 4;
    uint64_t value = random_value();

    if (one_in(4)) {
        wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) ^ (1ull << (8 + random64() % 6)));
    } else if ((rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC) != 0) {
        wrmsr(X2(reg), reg == APIC_ICR_REG && !one_in(16) ? ICR_SELF | (value & 0xff) : value);
    } else {
        xapic_write(reg, (uint32_t)value);
    }
}

static void act_apic(void)
{
    (void)CATCH(write_apic());
    if (one_in(2)) {
        (void)CATCH(__asm__ volatile("sti; nop; nop; cli"));
    }
}

// --- instructions ---

// Opcodes that exit or change the mode, and the prefixes that decoders stumble over.
static unsigned emit(uint8_t *to)
{
    static const uint32_t opcodes[] = {
        0xa20f,   0x320f,   0x300f,     0x090f,     0x080f,     0x330f,     0xf4,       0x90f3,
        0xc1010f, 0xd9010f, 0xd1010f,   0xc8010f,   0xf9010f,   0xd8010f,   0x20010f,   0x060f,
        0xc0200f, 0xe0220f, 0xc0220f,   0xf0230f,   0x6e,       0xec,       0xef,       0xa4f3,
        0x340f,   0x050f,   0xcf,       0x80cd,     0xcc,       0xf1,       0x9d,       0x380f,
        0xcb,     0xca010f, 0x82380f66, 0x07c70ff0, 0x37c70ff3, 0x1e0ff3fa, 0xfb000f66, 0x07ae0f};
    static const uint8_t prefixes[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x64, 0x48, 0x4f};
    uint32_t opcode = opcodes[random64() % ARRAY_LEN(opcodes)];
    unsigned n = 0;

    while (n < 6 && one_in(3)) {
        to[n++] = prefixes[random64() % ARRAY_LEN(prefixes)];
    }
    for (; opcode != 0; opcode >>= 8) {
        to[n++] = (uint8_t)opcode;
    }
    return n;
}

static void act_code(void)
{
    uint8_t *code = (uint8_t *)(GUEST_DATA_GPA + 0x40000);

    for (unsigned n = 0; n < 64; n += 8) {
        *(uint64_t *)(code + n) = random64();
    }
    if (one_in(2)) {
        (void)emit(code + emit(code));
    } else if (one_in(2)) { // often something that exits
        code[random64() % 8] = 0x0f;
    }
    (void)CATCH(((void (*)(void))code)());
    __asm__ volatile("push $2; popf" : : : "cc", "memory");
}

// --- the tests ---

static void repeat(void (*act)(void), unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        act();
    }
}

void guest_hypercall_garbage(void)
{
    repeat(act_hypercall, 10000);
}

void guest_storm_msr(void)
{
    repeat(act_msr, 4000);
}

void guest_storm_port(void)
{
    repeat(act_port, 2000);
}

void guest_storm_mmio(void)
{
    repeat(act_memory, 1000);
}

void guest_storm_cr(void)
{
    repeat(act_control_register, 300);
}

void guest_storm_tables(void)
{
    on_interrupt(VECTOR_DB, ignore);
    for (unsigned i = 0; i < 1000; i++) {
        act_descriptor();
        act_page_tables();
        act_debug_register();
    }
}

void guest_storm_apic(void)
{
    for (unsigned i = 16; i < 256; i++) {
        if (i != VECTOR_DB) {
            on_interrupt((uint8_t)i, ignore);
        }
    }
    repeat(act_apic, 4000);
}

void guest_random_code(void)
{
    repeat(act_code, 2000);
}

// The second processor disturbs the first one, and itself, by whatever one processor can send another.
static void disturb(void)
{
    static const uint64_t commands[] = {ICR_NMI,           ICR_NMI,  0x40,        0x41,
                                        ICR_LOWEST | 0x42, ICR_INIT, ICR_SIPI | 7};

    apic_enable();
    for (uint64_t n = ARGS->seed; n < ARGS->seed + 400; n++) {
        uint32_t command = (uint32_t)commands[n * 0x9e3779b97f4a7c15ull % (n % 64 == 0 ? 7 : 5)];

        x2_icr((uint32_t)(n & 1), command | (n % 7 == 0 ? ICR_ALL : 0));
        spin_us(20);
    }
}

// Everything at once.
void guest_chaos(void)
{
    static void (*const acts[])(void) = {
        act_hypercall,      act_msr,        act_port,        act_memory, act_control_register,
        act_debug_register, act_descriptor, act_page_tables, act_apic,   act_code,
    };

    apic_enable();
    for (unsigned i = 1; i < 256; i++) {
        if (i <= 2 || i >= 32) {
            on_interrupt((uint8_t)i, ignore);
        }
    }
    if (ARGS->vp_count > 1) {
        smp_start(1, disturb);
    }
    for (unsigned i = 0; i < 2000; i++) {
        acts[random64() % (i < 1000 ? 9 : ARRAY_LEN(acts))]();
    }
}
