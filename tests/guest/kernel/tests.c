// SPDX-License-Identifier: Apache-2.0
// Micro-guests: one hypervisor behaviour each.
#include <keelson/abi.h>

#include "tests/guest/kernel/kernel.h"

#define TEST(name_, vps_, ends_, after_) static void guest_##name_(void);
#include "tests/guest/tests.def"
#undef TEST
#define TEST(name_, vps_, ends_, after_) {#name_, guest_##name_},
const struct guest_test guest_tests[] = {
#include "tests/guest/tests.def"
};
#undef TEST

static void guest_empty(void)
{
}

static void guest_cpuid(void)
{
    struct cpuid_regs r = cpuid(1, 0);

    CHECK((r.ecx & BIT(31)) != 0); // hypervisor present
    CHECK((r.ecx & BIT(21)) != 0); // x2APIC
    CHECK((r.ecx & BIT(24)) != 0); // TSC deadline
    CHECK((r.ecx & BIT(5)) == 0);  // VMX hidden
    CHECK((r.ebx >> 24) == 0);     // initial APIC id
    r = cpuid(0x40000000, 0);
    CHECK(r.eax >= 0x40000006);
    CHECK(r.ebx == 0x7263694d && r.ecx == 0x666f736f && r.edx == 0x76482074);
    CHECK(cpuid(0x40000001, 0).eax == 0x31237648);   // "Hv#1"
    CHECK((cpuid(0x80000001, 0).ecx & BIT(2)) == 0); // SVM hidden
    CHECK((cpuid(0x80000007, 0).edx & BIT(8)) != 0); // invariant TSC
}

static void guest_msr(void)
{
    uint64_t a;

    CHECK(rdmsr(0x40000002) == 0); // VP index
    a = rdmsr(0x40000020);         // reference counter runs
    while (rdmsr(0x40000020) == a) {
    }
    CHECK(rdmsr(0x40000022) / 1000000 == ARGS->tsc_hz / 1000000); // TSC frequency
    CHECK(CATCH(rdmsr(0x12345)) == VECTOR_GP);
    CHECK(CATCH(wrmsr(0x12345, 0)) == VECTOR_GP);
    CHECK(CATCH(wrmsr(MSR_EFER, 1ull << 40)) == VECTOR_GP);
    wrmsr(MSR_PAT, 0x0007040600070406ull);
    CHECK(rdmsr(MSR_PAT) == 0x0007040600070406ull);
    CHECK(CATCH(wrmsr(MSR_PAT, 2)) == VECTOR_GP);
    wrmsr(MSR_LSTAR, 0x1234567);
    CHECK(rdmsr(MSR_LSTAR) == 0x1234567);
    wrmsr(MSR_KERNEL_GS_BASE, 0x7654321);
    CHECK(rdmsr(MSR_KERNEL_GS_BASE) == 0x7654321);
}

static void guest_io(void)
{
    outl(PORT_ECHO, 0x12345678);
    CHECK(inl(PORT_ECHO) == 0x12345678);
    CHECK(inw(PORT_ECHO) == 0x5678);
    CHECK(inb(PORT_ECHO) == 0x78);
    CHECK(inb(0x1234) == 0xff);
}

static void store64(uint64_t at, uint64_t value)
{
    __asm__ volatile("mov %0, (%1)" : : "a"(value), "c"(at) : "memory");
}

static uint64_t load64(uint64_t at)
{
    uint64_t value;

    __asm__ volatile("mov (%1), %0" : "=a"(value) : "c"(at) : "memory");
    return value;
}

static void guest_mmio(void)
{
    store64(GUEST_UNMAPPED_GPA, 0x1122334455667788);
    store64(GUEST_UNMAPPED_GPA + 8, 42);
    CHECK(load64(GUEST_UNMAPPED_GPA) == 0x1122334455667788);
    CHECK(load64(GUEST_UNMAPPED_GPA + 8) == 42);
}

static bool on_svm(void)
{
    return ARGS->hypercall[2] == (char)0xd9;
}

static void guest_exceptions(void)
{
    CHECK(CATCH(__asm__ volatile("ud2")) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("vmxoff")) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("vmrun %%rax" : : "a"(0))) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("monitor" : : "a"(0), "c"(0), "d"(0))) == VECTOR_UD);
    CHECK(CATCH(load64(1ull << 40)) == VECTOR_PF);
    CHECK(caught_cr2 == 1ull << 40);
    if (!on_svm()) { // QEMU's software processor does not check these, and AMD-V has no need to intercept them
        CHECK(CATCH(load64(0x8000000000000000ull)) == VECTOR_GP);
        CHECK(CATCH(write_cr0(read_cr0() & ~CR0_PE)) == VECTOR_GP);
        CHECK(CATCH(write_cr4(read_cr4() | BIT(63))) == VECTOR_GP);
        CHECK(CATCH(write_cr4(read_cr4() | CR4_VMXE)) == VECTOR_GP);
    }
    CHECK(CATCH(__asm__ volatile("xsetbv" : : "a"(0), "c"(0), "d"(0))) != -1);
}

static void guest_hypercall_errors(void)
{
    uint64_t *in = (uint64_t *)HC_IN;

    CHECK(hypercall(0x7777, (uint64_t)HC_IN, (uint64_t)HC_OUT) == HV_STATUS_INVALID_HYPERCALL_CODE);
    CHECK(hypercall(HVCALL_GET_VP_REGISTERS, (uint64_t)HC_IN, (uint64_t)HC_OUT) ==
          HV_STATUS_INVALID_HYPERCALL_INPUT); // no reps
    CHECK(hypercall(HVCALL_GET_VP_REGISTERS | HVCALL_REP_COUNT(1), (uint64_t)HC_IN + 1, (uint64_t)HC_OUT) ==
          HV_STATUS_INVALID_ALIGNMENT);
    CHECK(hypercall(HVCALL_GET_VP_REGISTERS | HVCALL_REP_COUNT(1), 0x40000000, (uint64_t)HC_OUT) ==
          HV_STATUS_INVALID_PARAMETER);
    CHECK(hypercall(HVCALL_CREATE_PARTITION, (uint64_t)HC_IN, (uint64_t)HC_OUT) == HV_STATUS_ACCESS_DENIED);
    CHECK(hypercall(HVCALL_X_GET_INFO, (uint64_t)HC_IN, (uint64_t)HC_OUT) == HV_STATUS_ACCESS_DENIED);
    CHECK(hypercall(HVCALL_X_INTERCEPT_WAIT | HVCALL_FAST, 0, 0) == HV_STATUS_ACCESS_DENIED);
    in[0] = HV_PARTITION_ID_SELF;
    in[1] = 0;
    CHECK(hypercall(HVCALL_CREATE_VP, (uint64_t)HC_IN, (uint64_t)HC_OUT) == HV_STATUS_ACCESS_DENIED);
    CHECK(hypercall(HVCALL_GET_PARTITION_ID, (uint64_t)HC_IN, (uint64_t)HC_OUT) == HV_STATUS_ACCESS_DENIED);
}

static void prepare_get_registers(uint32_t name)
{
    struct hv_vp_registers_in *in = (void *)HC_IN;

    *in = (struct hv_vp_registers_in){.partition = HV_PARTITION_ID_SELF, .vp_index = HV_VP_INDEX_SELF};
    *(uint32_t *)(in + 1) = name;
}

static void guest_get_registers(void)
{
    const uint64_t call = HVCALL_GET_VP_REGISTERS | HVCALL_REP_COUNT(1);

    prepare_get_registers(HV_REG_CR3);
    CHECK(hypercall(call, (uint64_t)HC_IN, (uint64_t)HC_OUT) == HVCALL_REP_COUNT(1));
    CHECK(*(uint64_t *)HC_OUT == read_cr3());
    prepare_get_registers(0x99999999);
    CHECK(hypercall(call, (uint64_t)HC_IN, (uint64_t)HC_OUT) == HV_STATUS_INVALID_PARAMETER);
}

static volatile uint32_t ticks;

static void count_tick(struct frame *f)
{
    (void)f;
    ticks++;
    wrmsr(0x80b, 0); // EOI
}

static void wait_tick(uint32_t wanted)
{
    while (ticks < wanted) {
        __asm__ volatile("sti; hlt; cli");
    }
}

static void guest_apic_timer(void)
{
    apic_enable();
    on_interrupt(0x40, count_tick);
    wrmsr(0x832, 0x40040); // TSC deadline
    wrmsr(MSR_TSC_DEADLINE, rdtsc() + ARGS->tsc_hz / 1000);
    wait_tick(1);
    wrmsr(0x832, 0x40); // one shot
    wrmsr(0x83e, 0xb);  // divide by 1
    wrmsr(0x838, 100000);
    wait_tick(2);
    wrmsr(0x832, 0x20040); // periodic
    wrmsr(0x838, 100000);
    wait_tick(5);
    wrmsr(0x838, 0);
}

static void guest_assert_interrupt(void)
{
    apic_enable();
    on_interrupt(0x51, count_tick);
    outl(PORT_ASSERT, 0x51);
    wait_tick(1);
}

static void guest_level_interrupt(void)
{
    apic_enable();
    on_interrupt(0x52, count_tick);
    outl(PORT_ASSERT, 0x10052);
    wait_tick(1);
    CHECK(inb(0x1234) == 0xff); // the EOI message has been sent before this exit
}

static volatile uint32_t here;

static void ap_check(void)
{
    uint64_t index = rdmsr(0x40000002);

    CHECK(cpuid(1, 0).ebx >> 24 == index);
    __atomic_fetch_add(&here, 1, __ATOMIC_SEQ_CST);
}

static void guest_smp(void)
{
    apic_enable();
    for (uint32_t i = 1; i < ARGS->vp_count; i++) {
        smp_start(i, ap_check);
    }
    while (here != ARGS->vp_count - 1) {
        cpu_pause();
    }
}

static void guest_triple_fault(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } none = {0, 0};

    __asm__ volatile("lidt %0; ud2" : : "m"(none));
}

static void guest_unmapped(void)
{
    load64(GUEST_CHECKED_GPA);
    fail(__LINE__);
}

// --- figures: ticks an operation, averaged over BENCH_N; names as in build/bench.json ---

#define BENCH_N 1000u
#define BENCH(name, ...)                                                                                     \
    do {                                                                                                     \
        uint64_t start_ = rdtsc();                                                                           \
        for (unsigned i_ = 0; i_ < BENCH_N; i_++) {                                                          \
            __VA_ARGS__;                                                                                     \
        }                                                                                                    \
        report(name, (rdtsc() - start_) / BENCH_N);                                                          \
    } while (0)

static void guest_bench(void)
{
    const uint64_t get = HVCALL_GET_VP_REGISTERS | HVCALL_REP_COUNT(1);
    uint64_t far = rdtsc() + ARGS->tsc_hz * 1000;

    BENCH("null", __asm__ volatile("nop"));
    BENCH("exit.cpuid", __asm__ volatile("cpuid" : : "a"(0), "c"(0) : "rbx", "rdx"));
    prepare_get_registers(HV_REG_CR3);
    BENCH("exit.hypercall", hypercall(get, (uint64_t)HC_IN, (uint64_t)HC_OUT));
    BENCH("exit.rdmsr", rdmsr(0x40000002));
    BENCH("io.port.device", outb(PORT_ECHO, 0));
    BENCH("io.mmio.device", store64(GUEST_UNMAPPED_GPA, 0));
    BENCH("exit.lapic", *(volatile uint32_t *)0xfee00030);
    apic_enable();
    wrmsr(0x832, 0x40040);
    BENCH("exit.wrmsr", wrmsr(MSR_TSC_DEADLINE, far));
    wrmsr(MSR_TSC_DEADLINE, 0);
}
