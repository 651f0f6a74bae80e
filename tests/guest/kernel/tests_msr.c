// SPDX-License-Identifier: Apache-2.0
// Micro-guests about MSRs: plain, synthetic, passed through; and state that must survive VP switches.
#include "tests/guest/kernel/guests.h"

#define MSR_GUEST_OS_ID 0x40000000
#define MSR_HYPERCALL 0x40000001
#define MSR_VP_INDEX 0x40000002
#define MSR_VP_RUNTIME 0x40000010
#define MSR_TIME_REF_COUNT 0x40000020
#define MSR_REFERENCE_TSC 0x40000021
#define MSR_TSC_FREQUENCY 0x40000022
#define MSR_APIC_FREQUENCY 0x40000023
#define MSR_SYN_EOI 0x40000070
#define MSR_SYN_ICR 0x40000071
#define MSR_SYN_TPR 0x40000072
#define MSR_VP_ASSIST 0x40000073
#define MSR_STIMER_CONFIG(n) (0x400000b0 + 2 * (n))
#define MSR_STIMER_COUNT(n) (0x400000b1 + 2 * (n))
#define MSR_TSC_INVARIANT 0x40000118
#define MSR_TSC_ADJUST 0x3b

void guest_msr(void)
{
    uint64_t a;

    CHECK(rdmsr(MSR_VP_INDEX) == 0);
    a = rdmsr(MSR_TIME_REF_COUNT);
    while (rdmsr(MSR_TIME_REF_COUNT) == a) {
    }
    CHECK(rdmsr(MSR_TSC_FREQUENCY) / 1000000 == ARGS->tsc_hz / 1000000);
    CHECK(CATCH(rdmsr(0x12345)) == VECTOR_GP);
    CHECK(CATCH(wrmsr(0x12345, 0)) == VECTOR_GP);
    CHECK(CATCH(wrmsr(MSR_EFER, 1ull << 40)) == VECTOR_GP);
    CHECK(CATCH(wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_LME)) == VECTOR_GP); // paging is on
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    CHECK((rdmsr(MSR_EFER) & (EFER_SCE | EFER_LMA)) == (EFER_SCE | EFER_LMA));
    CHECK((rdmsr(MSR_EFER) & EFER_SVME) == 0);
    wrmsr(MSR_PAT, 0x0007040600070406ull);
    CHECK(rdmsr(MSR_PAT) == 0x0007040600070406ull);
    CHECK(CATCH(wrmsr(MSR_PAT, 2)) == VECTOR_GP);
    wrmsr(MSR_LSTAR, 0x1234567);
    CHECK(rdmsr(MSR_LSTAR) == 0x1234567);
    wrmsr(MSR_KERNEL_GS_BASE, 0x7654321);
    CHECK(rdmsr(MSR_KERNEL_GS_BASE) == 0x7654321);
    CHECK(CATCH(rdmsr(0x480)) == VECTOR_GP);              // VMX capabilities
    CHECK(CATCH(wrmsr(0xc0010117, 0x1000)) == VECTOR_GP); // VM_HSAVE_PA
    CHECK(CATCH(wrmsr(MSR_XSS, 1)) == VECTOR_GP);
    (void)rdmsr(MSR_MTRRCAP);
    wrmsr(MSR_MTRR_PHYSBASE0, 0x80000000ull | 6);
    CHECK(rdmsr(MSR_MTRR_PHYSBASE0) == (0x80000000ull | 6));
    CHECK(CATCH(wrmsr(MSR_MTRR_PHYSBASE0, 2)) == VECTOR_GP);
    CHECK(CATCH(wrmsr(MSR_MTRR_DEF_TYPE, 0x100)) == VECTOR_GP);
}

void guest_tsc(void)
{
    uint64_t before = rdtsc(), moved, unmoved;

    while (rdtsc() == before) { // Bochs with several processors counts in steps
    }
    before = rdtsc();
    wrmsr(MSR_TSC, before + (1ull << 40));
    moved = rdtsc();
    CHECK(moved >= before + (1ull << 40));
    unmoved = moved - rdmsr(MSR_TSC_ADJUST); // where it would have been
    CHECK(unmoved >= before && unmoved < moved);
    wrmsr(MSR_TSC_ADJUST, 0);
    CHECK(rdtsc() >= unmoved && rdtsc() - unmoved < 1ull << 40);
    CHECK(rdmsr(MSR_TSC_ADJUST) == 0);
}

static uint64_t to_reference(uint64_t tsc) // units of 100 ns
{
    return (uint64_t)((unsigned __int128)tsc * 10000000 / ARGS->tsc_hz);
}

// Reference time passes as the TSC does, however long this processor is kept away from us.
static void check_reference_time(void)
{
    uint64_t first = rdtsc(), a = rdmsr(MSR_TIME_REF_COUNT), second = rdtsc(), third, b;

    spin_us(1000);
    third = rdtsc();
    b = rdmsr(MSR_TIME_REF_COUNT);
    CHECK(b - a + 2 >= to_reference(third - second));
    CHECK(b - a <= to_reference(rdtsc() - first) + 2);
}

void guest_synthetic_msrs(void)
{
    uint64_t a;

    CHECK(rdmsr(MSR_GUEST_OS_ID) == 0 && rdmsr(MSR_HYPERCALL) == 0);
    wrmsr(MSR_HYPERCALL, GUEST_DATA_GPA | 1); // without an identity it stays off
    CHECK((rdmsr(MSR_HYPERCALL) & 1) == 0);
    wrmsr(MSR_GUEST_OS_ID, 0x8100000000000042ull);
    CHECK(rdmsr(MSR_GUEST_OS_ID) == 0x8100000000000042ull);
    CHECK(CATCH(wrmsr(MSR_HYPERCALL, 0x40000000 | 1)) == VECTOR_GP); // no memory there
    wrmsr(MSR_HYPERCALL, GUEST_DATA_GPA | 1);
    CHECK(rdmsr(MSR_HYPERCALL) == (GUEST_DATA_GPA | 1));
    __asm__ volatile("call *%1"
                     : "=a"(a)
                     : "r"((uint64_t)GUEST_DATA_GPA), "c"(0x7777), "d"(0)
                     : "r8", "r9", "r10", "r11", "memory");
    CHECK(a == HV_STATUS_INVALID_HYPERCALL_CODE);
    wrmsr(MSR_HYPERCALL, GUEST_DATA_GPA | 3); // locked
    wrmsr(MSR_HYPERCALL, 0);
    CHECK(rdmsr(MSR_HYPERCALL) == (GUEST_DATA_GPA | 3));
    a = rdmsr(MSR_VP_RUNTIME);
    spin_us(200);
    CHECK(rdmsr(MSR_VP_RUNTIME) > a);
    CHECK(CATCH(wrmsr(MSR_VP_RUNTIME, 0)) == VECTOR_GP);
    CHECK(CATCH(wrmsr(MSR_VP_INDEX, 0)) == VECTOR_GP);
    CHECK(CATCH(wrmsr(MSR_TSC_FREQUENCY, 0)) == VECTOR_GP);
    CHECK(rdmsr(MSR_APIC_FREQUENCY) != 0);
    CHECK(CATCH(rdmsr(MSR_SYN_EOI)) == VECTOR_GP);
    wrmsr(MSR_SYN_TPR, 0x30);
    CHECK(rdmsr(MSR_SYN_TPR) == 0x30 && xapic_read(APIC_TPR_REG) == 0x30);
    CHECK(CATCH(wrmsr(MSR_SYN_TPR, 0x100)) == VECTOR_GP);
    wrmsr(MSR_SYN_TPR, 0);
    CHECK(CATCH(wrmsr(MSR_VP_ASSIST, 0x40000000 | 1)) == VECTOR_GP);
    wrmsr(MSR_VP_ASSIST, (GUEST_DATA_GPA + 0x2000) | 1);
    CHECK(rdmsr(MSR_VP_ASSIST) == ((GUEST_DATA_GPA + 0x2000) | 1));
    wrmsr(MSR_TSC_INVARIANT, 1);
    CHECK(rdmsr(MSR_TSC_INVARIANT) == 1);
    CHECK(CATCH(wrmsr(MSR_TSC_INVARIANT, 2)) == VECTOR_GP);
    CHECK(CATCH(rdmsr(0x40000003)) == VECTOR_GP); // reset: not offered
    CHECK(CATCH(rdmsr(0x40000080)) == VECTOR_GP); // SynIC: not offered
    CHECK(CATCH(wrmsr(0x400000f0, 0)) == VECTOR_GP);
    check_reference_time();
    wrmsr(MSR_GUEST_OS_ID, 0);
    CHECK((rdmsr(MSR_HYPERCALL) & 1) == 0);
}

void guest_reference_tsc(void)
{
    volatile struct {
        uint32_t sequence, reserved;
        uint64_t scale;
        int64_t offset;
    } *page = (void *)(GUEST_DATA_GPA + 0x3000);

    CHECK(CATCH(wrmsr(MSR_REFERENCE_TSC, 0x40000000 | 1)) == VECTOR_GP);
    wrmsr(MSR_REFERENCE_TSC, (GUEST_DATA_GPA + 0x3000) | 1);
    CHECK(page->sequence != 0 && page->sequence != 0xffffffff);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t before = rdmsr(MSR_TIME_REF_COUNT), tsc = rdtsc();
        uint64_t time = (uint64_t)((unsigned __int128)tsc * page->scale >> 64) + (uint64_t)page->offset;
        uint64_t after = rdmsr(MSR_TIME_REF_COUNT);

        CHECK(time + 2 >= before && time <= after + 2); // both are rounded
        wrmsr(0x10, rdtsc() + (1ull << 33));            // the page follows a change of the TSC
    }
    wrmsr(MSR_REFERENCE_TSC, 0);
}

void guest_synthetic_timers(void)
{
    uint64_t start;

    apic_enable();
    on_interrupt(0x61, count_tick);
    CHECK(CATCH(wrmsr(MSR_STIMER_CONFIG(0), 1ull << 40)) == VECTOR_GP);
    start = rdmsr(MSR_TIME_REF_COUNT);
    wrmsr(MSR_STIMER_CONFIG(0), 0x1000 | 0x61 << 4 | 8); // direct, auto enable, one shot
    wrmsr(MSR_STIMER_COUNT(0), start + 200000);
    CHECK((rdmsr(MSR_STIMER_CONFIG(0)) & 1) != 0 || rdmsr(MSR_TIME_REF_COUNT) >= start + 200000);
    wait_tick(1);
    CHECK(rdmsr(MSR_TIME_REF_COUNT) >= start + 200000); // never early
    CHECK((rdmsr(MSR_STIMER_CONFIG(0)) & 1) == 0);
    wrmsr(MSR_STIMER_COUNT(3), 2000);
    wrmsr(MSR_STIMER_CONFIG(3), 0x1000 | 0x61 << 4 | 2 | 1); // periodic
    wait_tick(5);
    wrmsr(MSR_STIMER_CONFIG(3), 0);
    wrmsr(MSR_STIMER_CONFIG(1), 0x1000 | 0x61 << 4 | 8);
    wrmsr(MSR_STIMER_COUNT(1), 1); // long ago: at once
    wait_tick(ticks + 1);
    wrmsr(MSR_STIMER_COUNT(2), 1000);
    wrmsr(MSR_STIMER_CONFIG(2), 3); // no direct mode and no SynIC: switched off again
    CHECK((rdmsr(MSR_STIMER_CONFIG(2)) & 1) == 0);
}

// --- state of a VP that others' state must not disturb ---

struct fx { // SDM 1 "FXSAVE Area"
    uint8_t bytes[512];
} __attribute__((aligned(16)));

struct kept {
    uint64_t msr[10], dr[4];
    struct fx fx;
};

static const uint32_t kept_msrs[] = {MSR_STAR,         MSR_LSTAR,       MSR_CSTAR,          MSR_SFMASK,
                                     MSR_FS_BASE,      MSR_GS_BASE,     MSR_KERNEL_GS_BASE, MSR_SYSENTER_CS,
                                     MSR_SYSENTER_ESP, MSR_SYSENTER_EIP};

static void make_state(struct kept *k, uint64_t seed)
{
    uint64_t s = seed * 0x9e3779b97f4a7c15ull + 1;

    for (unsigned i = 0; i < 10; i++) {
        k->msr[i] = (s ^ (s >> 20) ^ i * 0x1111) & 0x7fffffff;
    }
    k->msr[7] &= 0xffff;
    for (unsigned i = 0; i < 4; i++) {
        k->dr[i] = s + i;
    }
    __asm__ volatile("fninit; fxsave %0" : "=m"(k->fx));
    for (unsigned i = 160; i < 416; i++) { // XMM0 .. XMM15
        k->fx.bytes[i] = (uint8_t)(s >> (i % 56)) ^ (uint8_t)i;
    }
    k->fx.bytes[0] = 0x7f; // FCW: default precision
    k->fx.bytes[1] = 0x03;
    k->fx.bytes[24] = 0x80;                         // MXCSR
    k->fx.bytes[25] = 0x1f | (seed & 1 ? 0x60 : 0); // rounding by seed
}

static void load_state(const struct kept *k)
{
    for (unsigned i = 0; i < 10; i++) {
        wrmsr(kept_msrs[i], k->msr[i]);
    }
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr1" : : "r"(k->dr[0]), "r"(k->dr[1]));
    __asm__ volatile("mov %0, %%dr2; mov %1, %%dr3" : : "r"(k->dr[2]), "r"(k->dr[3]));
    __asm__ volatile("mov %0, %%cr2" : : "r"(k->dr[0]));
    __asm__ volatile("fxrstor %0" : : "m"(k->fx));
}

static void check_state(const struct kept *k)
{
    struct fx now;
    uint64_t v;

    for (unsigned i = 0; i < 10; i++) {
        CHECK(rdmsr(kept_msrs[i]) == k->msr[i]);
    }
    __asm__ volatile("mov %%dr0, %0" : "=r"(v));
    CHECK(v == k->dr[0]);
    __asm__ volatile("mov %%dr3, %0" : "=r"(v));
    CHECK(v == k->dr[3]);
    CHECK(read_cr2() == k->dr[0]);
    __asm__ volatile("fxsave %0" : "=m"(now));
    for (unsigned i = 160; i < 416; i++) {
        CHECK(now.bytes[i] == k->fx.bytes[i]);
    }
    CHECK(now.bytes[25] == k->fx.bytes[25]);
}

static volatile uint32_t keepers_done;

static void keep_state(void)
{
    struct kept k;
    uint64_t index = rdmsr(MSR_VP_INDEX);

    apic_enable();
    make_state(&k, ARGS->seed * 64 + index);
    load_state(&k);
    for (unsigned i = 0; i < 60; i++) {
        if ((i & 3) == 3) { // sleep: somebody else runs here meanwhile
            wrmsr(X2(APIC_LVT_TIMER_REG), 0x40000 | 0x40);
            wrmsr(MSR_TSC_DEADLINE, rdtsc() + ARGS->tsc_hz / 5000);
            __asm__ volatile("sti; hlt; cli");
        } else {
            spin_us(300);
        }
        if ((i & 7) == 0) {
            outb(PORT_ECHO, 0); // the root runs here meanwhile
        }
        check_state(&k);
    }
    __atomic_fetch_add(&keepers_done, 1, __ATOMIC_SEQ_CST);
}

// Run by several guests at once (root_state_switch()).
void guest_keep_state(void)
{
    on_interrupt(0x40, count_tick);
    apic_enable();
    for (uint32_t i = 1; i < ARGS->vp_count; i++) {
        smp_start(i, keep_state);
    }
    keep_state();
    while (keepers_done != ARGS->vp_count) {
        cpu_pause();
    }
}

// The upper halves of YMM registers, where there are any.
void guest_keep_avx(void)
{
    uint8_t *data = (uint8_t *)GUEST_DATA_GPA;

    if ((cpuid(1, 0).ecx & (BIT(26) | BIT(28))) != (BIT(26) | BIT(28))) {
        return;
    }
    write_cr4(read_cr4() | CR4_OSXSAVE);
    __asm__ volatile("xsetbv" : : "a"(7), "c"(0), "d"(0));
    for (unsigned i = 0; i < 32; i++) {
        data[i] = (uint8_t)(ARGS->seed * 37 + i);
    }
    __asm__ volatile("vmovdqu (%0), %%ymm0; vmovdqu (%0), %%ymm15" : : "r"(data) : "memory");
    for (unsigned n = 0; n < 40; n++) {
        spin_us(300);
        outb(PORT_ECHO, 0);
        __asm__ volatile("vmovdqu %%ymm0, 32(%0); vmovdqu %%ymm15, 64(%0)" : : "r"(data) : "memory");
        for (unsigned i = 0; i < 32; i++) {
            CHECK(data[32 + i] == data[i] && data[64 + i] == data[i]);
        }
    }
}
