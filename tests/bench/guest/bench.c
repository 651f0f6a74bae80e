// SPDX-License-Identifier: Apache-2.0
// The measuring guest: ticks of single operations as a guest of the real device models sees them.
//
// It is started like a Linux kernel. Command line "measure": prints `BENCH name hundredths-of-ticks` lines on
// COM1, then `BENCH done`. Command line "spin": starts all other processors and keeps every one busy for ever.
// "count": counts rounds of a loop of two instructions at GUEST_COUNTER, for ever. "halt": stops at once.
#include <keelson/abi.h>

#include "arch/x86/x86.h"
#include "tests/bench/guest/bench.h"

#define COM1 0x3f8
#define IOAPIC_SELECT 0xfec00000ull
#define LAPIC 0xfee00000ull
#define LAPIC_VERSION 0x30
#define MOVED_LAPIC 0xd0000000ull
#define TOUCH_BASE 0x20000000ull
#define TOUCH_PAGES 4096
#define HYPERCALL_PAGE 0x30000ull
#define CALL_BLOCK 0x40000ull // input page, output page
#define SPIN_PAGE 0x20000ull
#define CMDLINE_PTR 0x228 // in struct boot_params
#define BATCHES 10
#define ROUNDS 1000

typedef uint64_t loop_fn(uint64_t count, uint64_t base);
loop_fn loop_null, loop_cpuid0, loop_cpuid1, loop_rdmsr_vp_index, loop_rdmsr_apic_base, loop_rdmsr_pat,
    loop_wrmsr_pat, loop_wrmsr_tsc_adjust, loop_wrmsr_tsc_deadline, loop_port_write, loop_port_read,
    loop_mem_write, loop_mem_read, loop_touch;
_Noreturn void loop_count(uint64_t *counter);
uint64_t loop_vmcall(uint64_t count, uint64_t block, uint64_t input);
uint64_t loop_vmmcall(uint64_t count, uint64_t block, uint64_t input);
extern uint64_t loop_last_result;
extern char spin_code[], spin_code_end[];
void bench_main(const uint8_t *boot_params);
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);

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

// --- console ---

static void put(const char *text)
{
    for (; *text != '\0'; text++) {
        while ((inb(COM1 + 5) & 0x20) == 0) {
        }
        outb(COM1, (uint8_t)*text);
    }
}

static void put_number(uint64_t n)
{
    char digits[21];
    unsigned i = sizeof(digits) - 1;

    digits[i] = '\0';
    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    put(digits + i);
}

static void report(const char *name, uint64_t hundredths)
{
    put("BENCH ");
    put(name);
    put(" ");
    put_number(hundredths);
    put("\n");
}

// --- loops ---

// The batch that took least: in the others the node had something else to do, such as the console.
static void measure(const char *name, loop_fn *loop, uint64_t base)
{
    uint64_t least = ~0ull;

    for (unsigned i = 0; i < BATCHES; i++) {
        uint64_t ticks = loop(ROUNDS, base);

        least = ticks < least ? ticks : least;
    }
    report(name, least * 100 / ROUNDS);
}

static void measure_call(const char *name, bool vmmcall, uint64_t input)
{
    uint64_t least = ~0ull;

    for (unsigned i = 0; i < BATCHES; i++) {
        uint64_t ticks = vmmcall ? loop_vmmcall(ROUNDS, CALL_BLOCK, input)
                                 : loop_vmcall(ROUNDS, CALL_BLOCK, input);

        least = ticks < least ? ticks : least;
    }
    report(name, least * 100 / ROUNDS);
}

static void measure_calls(void)
{
    struct hv_vp_registers_in *in = (void *)CALL_BLOCK;
    const uint64_t get_one = HVCALL_GET_VP_REGISTERS | HVCALL_REP_COUNT(1);
    bool vmmcall;

    wrmsr(0x40000000, 0x8100000000000001ull);
    wrmsr(0x40000001, HYPERCALL_PAGE | 1);
    vmmcall = *(const uint8_t *)(HYPERCALL_PAGE + 2) == 0xd9;
    *in = (struct hv_vp_registers_in){.partition = HV_PARTITION_ID_SELF, .vp_index = HV_VP_INDEX_SELF};
    *(uint32_t *)(in + 1) = HV_REG_CR3;
    measure_call("exit.hypercall", vmmcall, get_one);
    if (loop_last_result != HVCALL_REP_COUNT(1) || *(const uint64_t *)(CALL_BLOCK + 4096) != read_cr3()) {
        put("BENCH error: the measured hypercall failed\n");
    }
    measure_call("exit.hypercall_unknown", vmmcall, 0x7777);
}

// With APIC virtualization an APIC at its usual place is read without an exit; one that the guest has moved is
// emulated. Without, both are emulated.
static void measure_lapic(void)
{
    uint64_t base = rdmsr(MSR_APIC_BASE);

    measure("exit.lapic_apicv", loop_mem_read, LAPIC + LAPIC_VERSION);
    wrmsr(MSR_APIC_BASE, (base & 0xfff) | MOVED_LAPIC);
    measure("exit.lapic_trap", loop_mem_read, MOVED_LAPIC + LAPIC_VERSION);
    wrmsr(MSR_APIC_BASE, base);
}

static void measure_all(void)
{
    measure("null", loop_null, 0);
    measure("exit.cpuid", loop_cpuid0, 0);
    measure("exit.cpuid_leaf1", loop_cpuid1, 0);
    measure_calls();
    measure("exit.rdmsr", loop_rdmsr_vp_index, 0);
    measure("exit.rdmsr_apic_base", loop_rdmsr_apic_base, 0);
    measure("exit.rdmsr_pat", loop_rdmsr_pat, 0);
    measure("exit.wrmsr_pat", loop_wrmsr_pat, 0);
    measure("exit.wrmsr_tsc_adjust", loop_wrmsr_tsc_adjust, 0);
    measure_lapic();
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
    wrmsr(0x832, 0x40040); // timer in TSC-deadline mode
    measure("exit.wrmsr", loop_wrmsr_tsc_deadline, 0);
    wrmsr(MSR_TSC_DEADLINE, 0);
    measure("io.port.device", loop_port_write, 0);
    measure("io.port.device_read", loop_port_read, 0);
    measure("io.mmio.device", loop_mem_write, IOAPIC_SELECT);
    measure("io.mmio.device_read", loop_mem_read, IOAPIC_SELECT);
    report("mem.first_touch", loop_touch(TOUCH_PAGES, TOUCH_BASE) * 100 / TOUCH_PAGES);
    put("BENCH done\n");
}

static void spin(void)
{
    volatile uint16_t *count = (volatile uint16_t *)(SPIN_PAGE + (uint64_t)(spin_code_end - spin_code) - 2);

    memcpy((void *)SPIN_PAGE, spin_code, (size_t)(spin_code_end - spin_code));
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
    wrmsr(0x80f, 0x1ff);
    wrmsr(0x830, 0xc4500);                     // INIT to all but self
    wrmsr(0x830, 0xc4600 | (SPIN_PAGE >> 12)); // SIPI
    put("spinning\n");
    for (;;) {
        if (*count == 0xffff) { // never: keeps the counter alive for a reader of guest memory
            cpu_pause();
        }
    }
}

void bench_main(const uint8_t *boot_params)
{
    const char *cmdline = (const char *)(uint64_t) * (const uint32_t *)(boot_params + CMDLINE_PTR);

    if (cmdline[0] == 'h') {
        return;
    }
    if (cmdline[0] == 'c') {
        loop_count((uint64_t *)GUEST_COUNTER);
    }
    put("BENCH start\n");
    if (cmdline[0] == 's') {
        spin();
    }
    measure_all();
}
