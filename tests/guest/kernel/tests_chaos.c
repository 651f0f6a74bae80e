// SPDX-License-Identifier: Apache-2.0
// Micro-guests that do what nobody should, at random but repeatable (guest_args.seed). They may die of it; the
// hypervisor, the root and other guests may not even notice. Every way to end is good for the root.
#include "tests/guest/kernel/guests.h"

static uint64_t pick(const uint64_t *from, unsigned count)
{
    return from[random64() % count];
}

static const uint16_t codes[] = {
#define CODE(code_, ...) code_,
    HVCALL_TABLE(CODE)};

static uint64_t random_address(void)
{
    static const uint64_t good[] = {GUEST_SCRATCH_GPA,
                                    GUEST_SCRATCH_GPA + 4096,
                                    GUEST_SCRATCH_GPA + 4096 - 8,
                                    GUEST_SCRATCH_GPA + 8,
                                    0xfee00000,
                                    0,
                                    GUEST_UNMAPPED_GPA,
                                    ~0ull,
                                    1ull << 46,
                                    (1ull << 46) - 8};

    return random64() % 8 == 0 ? random64() : pick(good, ARRAY_LEN(good));
}

static uint64_t random_input(void)
{
    uint64_t input = random64() % 4 == 0 ? random64() & 0xffff : codes[random64() % ARRAY_LEN(codes)];

    input |= random64() % 2 ? HVCALL_REP_COUNT(random64() % 8) : HVCALL_REP_COUNT(random64() & 0xfff);
    input |= random64() % 4 == 0 ? HVCALL_REP_START(random64() & 0xfff) : 0;
    input |= random64() % 4 == 0 ? HVCALL_FAST : 0;
    return random64() % 16 == 0 ? input ^ BIT(random64() % 64) : input;
}

static void random_page(void)
{
    static const uint64_t words[] = {HV_PARTITION_ID_SELF, 0,          1,     1 | 1 << 16, 2 | 1 << 16,
                                     HV_VP_INDEX_SELF,     HV_REG_CR3, 0x100, ~0ull};
    uint64_t *page = (uint64_t *)HC_IN;

    for (unsigned i = 0; i < 16; i++) {
        page[i] = random64() % 3 == 0 ? random64() : pick(words, ARRAY_LEN(words));
    }
    if (random64() % 2) {
        page[0] = HV_PARTITION_ID_SELF;
    }
}

// Ten thousand calls; the only ones that succeed are those that an ordinary partition has.
void guest_hypercall_garbage(void)
{
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t input = random_input(), result;
        uint16_t code = (uint16_t)input;

        if (i % 8 == 0) {
            random_page();
        }
        result = hypercall(input, random_address(), random_address());
        if (HVCALL_RESULT_STATUS(result) == HV_STATUS_SUCCESS) {
            CHECK(code == HVCALL_NOTIFY_LONG_SPIN_WAIT || code == HVCALL_GET_VP_REGISTERS);
        }
    }
}

static uint32_t random_msr(void)
{
    static const uint64_t bases[] = {0,          0x100,      0x200,      0x400,      0x480,      0x600,
                                     0x800,      0xc80,      0xd00,      0x40000000, 0x40000080, 0x40000100,
                                     0xc0000080, 0xc0000100, 0xc0010000, 0xc0010100, 0xc0011000};

    return random64() % 8 == 0 ? (uint32_t)random64()
                               : (uint32_t)(pick(bases, ARRAY_LEN(bases)) + random64() % 0x100);
}

void guest_storm_msr(void)
{
    for (unsigned i = 0; i < 4000; i++) {
        uint32_t msr = random_msr();
        uint64_t value = random64() >> random64() % 64;

        (void)CATCH(value ^= random64() % 2 ? 0 : rdmsr(msr));
        if (random64() % 2) {
            (void)CATCH(wrmsr(msr, value));
        }
    }
}

void guest_storm_port(void)
{
    for (unsigned i = 0; i < 2000; i++) {
        uint16_t port = (uint16_t)random64();
        uint32_t value = (uint32_t)random64();

        if (port >= PORT_CHAR && port <= PORT_STEP) {
            continue;
        }
        switch (random64() % 6) {
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
        default:
            (void)inl(port);
        }
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

// Unusual instructions on the APIC's page and on addresses without memory.
void guest_storm_mmio(void)
{
    for (unsigned i = 0; i < 500; i++) {
        static const uint64_t bases[] = {APIC_PAGE, APIC_PAGE, 0xfec00000, 0xe0000000, 0xffe00000};

        (void)CATCH(touch(pick(bases, ARRAY_LEN(bases)) + random64() % 4096));
    }
}

// Random bytes as instructions.
void guest_random_code(void)
{
    uint8_t *code = (uint8_t *)(GUEST_DATA_GPA + 0x40000);

    for (unsigned i = 0; i < 2000; i++) {
        for (unsigned n = 0; n < 64; n += 8) {
            *(uint64_t *)(code + n) = random64();
        }
        if (random64() % 2) { // often something that exits
            code[random64() % 8] = 0x0f;
        }
        (void)CATCH(((void (*)(void))code)());
    }
}

// Random control register, descriptor table and segment values.
void guest_storm_cr(void)
{
    for (unsigned i = 0; i < 300; i++) {
        uint64_t v = random64() % 2 ? 1ull << random64() % 64 : random64() >> random64() % 64;

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
            (void)CATCH(__asm__ volatile("mov %0, %%dr7" : : "r"(v)));
            break;
        default:
            (void)CATCH(__asm__ volatile("xsetbv" : : "a"((uint32_t)v), "c"(0), "d"((uint32_t)(v >> 32))));
        }
    }
}
