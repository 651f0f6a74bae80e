// SPDX-License-Identifier: Apache-2.0
// The micro-guest kernel: traps, interrupts, processors, reporting. Tests are in tests_*.c.
#include "tests/guest/kernel/kernel.h"

struct gate { // SDM 3A "64-Bit IDT Gate Descriptors"
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_mid;
    uint32_t offset_high, zero;
};

extern char trap_stubs[], ap_code[], ap_code_end[];
extern uint64_t ap_stack;
void kernel_main(uint64_t test) __attribute__((noreturn));
void trap(struct frame *f);
void ap_main(void);

void *catch_buf[5];
volatile bool catch_armed;
volatile int caught_vector;
uint64_t caught_error, caught_cr2;
static struct gate idt[256] __attribute__((aligned(16)));
static void (*handlers[256])(struct frame *);

void *memcpy(void *to, const void *from, size_t n)
{
    void *d = to;

    __asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n) : : "memory");
    return to;
}

void *memset(void *to, int c, size_t n)
{
    void *d = to;

    __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
    return to;
}

void say(const char *text)
{
    for (; *text != '\0'; text++) {
        outb(PORT_CHAR, (uint8_t)*text);
    }
}

static void say_hex(uint64_t v)
{
    char text[17];

    for (unsigned i = 0; i < 16; i++) {
        text[i] = "0123456789abcdef"[v >> (60 - 4 * i) & 15];
    }
    text[16] = '\0';
    say(text);
}

void fail(unsigned line)
{
    outl(PORT_FAIL, line);
    for (;;) {
        __asm__ volatile("hlt");
    }
}

void trap(struct frame *f)
{
    if (catch_armed && f->vector < 32) {
        caught_vector = (int)f->vector;
        caught_error = f->error;
        caught_cr2 = read_cr2();
        catch_armed = false;
        __builtin_longjmp(catch_buf, 1);
    }
    if (handlers[f->vector] != NULL) {
        handlers[f->vector](f);
        return;
    }
    say("unexpected vector ");
    say_hex(f->vector);
    say(" error ");
    say_hex(f->error);
    say(" at ");
    say_hex(f->rip);
    say("\n");
    fail((unsigned)f->vector + 100000);
}

void on_interrupt(uint8_t vector, void (*fn)(struct frame *))
{
    handlers[vector] = fn;
}

static void build_idt(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t at = (uint64_t)trap_stubs + 16 * i;

        idt[i] = (struct gate){(uint16_t)at, 8, 0, 0x8e, (uint16_t)(at >> 16), (uint32_t)(at >> 32), 0};
    }
}

static void load_idt(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } ptr = {sizeof(idt) - 1, (uint64_t)idt};

    __asm__ volatile("lidt %0" : : "m"(ptr));
}

void apic_enable(void)
{
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC | APIC_BASE_ENABLE);
    wrmsr(0x80f, 0x1ff); // spurious vector 0xff, software enable
}

uint64_t hypercall(uint64_t input, uint64_t in_gpa, uint64_t out_gpa)
{
    register uint64_t r8 __asm__("r8") = out_gpa;
    uint64_t result;

    __asm__ volatile("call *%[page]"
                     : "=a"(result), "+c"(input), "+d"(in_gpa), "+r"(r8)
                     : [page] "r"((uint64_t)GUEST_ARGS_GPA)
                     : "memory", "r9", "r10", "r11");
    return result;
}

// --- processors ---

static void (*ap_function)(void);
volatile uint32_t ap_running;

void ap_main(void)
{
    void (*fn)(void) = ap_function;

    load_idt();
    __atomic_fetch_add(&ap_running, 1, __ATOMIC_SEQ_CST);
    fn();
    for (;;) {
        __asm__ volatile("hlt");
    }
}

void smp_start(uint32_t apic_id, void (*fn)(void))
{
    uint32_t before = ap_running;

    memcpy((void *)0x7000, ap_code, (size_t)(ap_code_end - ap_code));
    ap_stack = GUEST_STACK_TOP - 0x4000ull * apic_id;
    ap_function = fn;
    wrmsr(0x830, (uint64_t)apic_id << 32 | 0x4500); // INIT
    wrmsr(0x830, (uint64_t)apic_id << 32 | 0x4607); // SIPI, page 7
    while (ap_running == before) {
        cpu_pause();
    }
}

// --- ring 3 ---

static struct __attribute__((packed)) {
    uint32_t reserved0;
    uint64_t rsp[3], reserved1, ist[7], reserved2;
    uint16_t reserved3, io_map;
} tss;

void user_init(void)
{
    uint64_t *gdt = (uint64_t *)GUEST_GDT_GPA, base = (uint64_t)&tss;

    tss.rsp[0] = GUEST_DATA_GPA + 0xc000;
    tss.io_map = sizeof(tss);
    // SDM 3A "TSS Descriptor in 64-bit mode": available 64-bit TSS.
    gdt[6] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[7] = base >> 32;
    __asm__ volatile("ltr %w0" : : "r"(48));
}

// --- small things ---

bool on_svm(void)
{
    return ARGS->hypercall[2] == (char)0xd9;
}

void spin_us(uint64_t us)
{
    uint64_t end = rdtsc() + us * ARGS->tsc_hz / 1000000 + 1;

    while (rdtsc() < end) {
        cpu_pause();
    }
}

static uint64_t random_state;

void random_seed(uint64_t seed)
{
    random_state = seed * 0x9e3779b97f4a7c15ull + 1;
}

uint64_t random64(void) // xorshift64*
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1dull;
}

volatile uint32_t ticks;

void count_tick(struct frame *f)
{
    (void)f;
    ticks++;
    wrmsr(X2(APIC_EOI_REG), 0);
}

void wait_tick(uint32_t wanted)
{
    while (ticks < wanted) {
        __asm__ volatile("sti; hlt; cli");
    }
}

void kernel_main(uint64_t test)
{
    build_idt();
    load_idt();
    random_seed(ARGS->seed);
    guest_tests[test].fn();
    outl(PORT_DONE, 0);
    for (;;) {
        __asm__ volatile("hlt");
    }
}
