// SPDX-License-Identifier: Apache-2.0
// The physical local APIC and its timer (SDM 3A "Advanced Programmable Interrupt Controller (APIC)").
//
// x2APIC mode where the processor has it, otherwise the memory-mapped registers, uncached. The mode is
// chosen by the boot processor. The timer is one-shot: TSC-deadline mode where there is one, otherwise a
// count of a frequency measured against the TSC. A deadline farther than one count fires early; the
// scheduler then finds nothing expired and arms it again.
#include "arch/x86/host_internal.h"

#define APIC_ID 0x20
#define APIC_TPR 0x80
#define APIC_EOI 0xb0
#define APIC_LDR 0xd0
#define APIC_DFR 0xe0
#define APIC_SVR 0xf0
#define APIC_IRR 0x200 // eight of 32 bits
#define APIC_ESR 0x280
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_LVT_TIMER 0x320
#define APIC_LVT_THERMAL 0x330
#define APIC_LVT_PERF 0x340
#define APIC_LVT_LINT0 0x350
#define APIC_LVT_LINT1 0x360
#define APIC_LVT_ERROR 0x370
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE 0x3e0

#define SVR_ENABLE BIT(8)
#define LVT_MASKED BIT(16)
#define LVT_NMI (4u << 8)
#define LVT_TSC_DEADLINE (2u << 17)
#define ICR_PENDING BIT(12)
#define ICR_ALL_BUT_SELF (3u << 18)
#define ICR_NMI (4u << 8)
#define ICR_ASSERT BIT(14)
#define DIVIDE_BY_1 0xb
#define COUNT_MAX 0xffffffffu

#define CPUID_X2APIC BIT(21)       // 1 ECX
#define CPUID_TSC_DEADLINE BIT(24) // 1 ECX

static bool x2apic, tsc_deadline;
static volatile uint8_t *mmio;
static uint64_t timer_ratio; // TSC ticks for 2^16 timer counts; one-shot mode

static uint32_t apic_read(uint32_t reg)
{
    if (x2apic) {
        return (uint32_t)rdmsr(MSR_X2APIC_BASE + (reg >> 4));
    }
    return *(volatile uint32_t *)(mmio + reg);
}

static void apic_write(uint32_t reg, uint32_t value)
{
    if (x2apic) {
        wrmsr(MSR_X2APIC_BASE + (reg >> 4), value);
    } else {
        *(volatile uint32_t *)(mmio + reg) = value;
    }
}

bool apic_is_x2apic(void)
{
    return x2apic;
}

uint32_t apic_id(void)
{
    return x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void apic_eoi(void)
{
    apic_write(APIC_EOI, 0);
}

// A processor in x2APIC mode cannot go back to xAPIC directly; firmware that uses x2APIC leaves it on.
static void choose_mode(void)
{
    uint32_t ecx = cpuid(1, 0).ecx;

    x2apic = ecx & CPUID_X2APIC;
    tsc_deadline = ecx & CPUID_TSC_DEADLINE;
    if (!x2apic) {
        mmio = host_map_device(SPA(rdmsr(MSR_APIC_BASE) & 0xffffff000ull), PAGE_SIZE);
    }
}

void apic_init_cpu(void)
{
    if (mmio == NULL && !x2apic) {
        choose_mode();
    }
    uint64_t base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;
    wrmsr(MSR_APIC_BASE, base); // xAPIC must be on before x2APIC can be
    if (x2apic) {
        wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
    }
    apic_write(APIC_SVR, SVR_ENABLE | HOST_VECTOR_SPURIOUS);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_LVT_TIMER, LVT_MASKED);
    apic_write(APIC_LVT_LINT0, LVT_MASKED);
    apic_write(APIC_LVT_LINT1, LVT_NMI); // NMI pin, by convention of PC platforms
    apic_write(APIC_LVT_ERROR, LVT_MASKED);
    this_cpu()->apic_id = apic_id();
    // Firmware may leave a request in service: each EOI retires one.
    for (unsigned i = 0; i < 8; i++) {
        apic_eoi();
    }
    if (tsc_deadline) {
        apic_write(APIC_LVT_TIMER, LVT_TSC_DEADLINE | HOST_VECTOR_TIMER);
        __asm__ volatile("mfence" : : : "memory"); // SDM 3A "TSC-Deadline Mode": order LVT and MSR
    } else {
        apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
        apic_write(APIC_LVT_TIMER, HOST_VECTOR_TIMER);
    }
}

void apic_send_ipi(uint32_t id, uint32_t icr_low)
{
    // Stores before the IPI must be visible to its receiver; WRMSR in x2APIC mode does not serialise.
    __asm__ volatile("mfence" : : : "memory");
    if (x2apic) {
        wrmsr(MSR_X2APIC_BASE + (APIC_ICR >> 4), (uint64_t)id << 32 | icr_low);
        return;
    }
    while (apic_read(APIC_ICR) & ICR_PENDING) {
        cpu_pause();
    }
    apic_write(APIC_ICR_HIGH, id << 24);
    apic_write(APIC_ICR, icr_low);
}

void apic_send_nmi_to_others(void)
{
    apic_send_ipi(0, ICR_ALL_BUT_SELF | ICR_ASSERT | ICR_NMI);
}

void cpu_kick(uint32_t index)
{
    apic_send_ipi(cpus[index].apic_id, ICR_ASSERT | HOST_VECTOR_KICK);
}

// Bochs compares a deadline with a count of its own, which a reset does not take back as it does the TSC: from then on
// every deadline is over at once. The interrupt that this leaves pending is taken later, and is no harm.
static bool deadlines_work(void)
{
    wrmsr(MSR_TSC_DEADLINE, rdtsc() + host_tsc_hz);
    tsc_delay_us(10);
    bool fired = apic_read(APIC_IRR + HOST_VECTOR_TIMER / 32 * 0x10) & BIT(HOST_VECTOR_TIMER % 32);
    wrmsr(MSR_TSC_DEADLINE, 0);
    return !fired;
}

// A VMRUN of QEMU 7.2 adds its flag for a virtual interrupt to those for real ones without a lock (helper_vmrun()), and so may
// lose one that another thread sets at that moment: the local APIC has the request, and the processor does not know of it.
// When the task priority is written the APIC looks again. (The virtual one is safe: V_IRQ stays set until it is taken.)
void apic_look_again(void)
{
    apic_write(APIC_TPR, 0);
}

void apic_timer_calibrate(void)
{
    if (tsc_deadline && deadlines_work()) {
        return;
    }
    if (tsc_deadline) {
        LOGW("the local APIC timer takes no TSC deadlines though CPUID says so: it counts instead");
        tsc_deadline = false;
    }
    apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
    apic_write(APIC_LVT_TIMER, LVT_MASKED);
    apic_write(APIC_TIMER_INITIAL, COUNT_MAX);
    uint64_t start = rdtsc();
    uint32_t first = apic_read(APIC_TIMER_CURRENT);
    tsc_delay_us(10000);
    uint32_t counts = first - apic_read(APIC_TIMER_CURRENT);
    uint64_t ticks = rdtsc() - start;
    apic_write(APIC_TIMER_INITIAL, 0);
    apic_write(APIC_LVT_TIMER, HOST_VECTOR_TIMER);
    if (counts == 0) {
        panic("the local APIC timer does not count");
    }
    timer_ratio = MAX((ticks << 16) / counts, 1ull);
}

void host_timer_arm(uint64_t deadline)
{
    if (tsc_deadline) {
        wrmsr(MSR_TSC_DEADLINE, deadline == ~0ull ? 0 : deadline);
        return;
    }
    uint64_t count = 0; // stops the timer
    if (deadline != ~0ull) {
        uint64_t now = rdtsc();
        uint64_t ticks = deadline > now ? deadline - now : 0;
        uint64_t max_ticks = ((uint64_t)COUNT_MAX >> 16) * timer_ratio;
        count = ticks >= max_ticks ? COUNT_MAX & ~0xffffu : (ticks << 16) / timer_ratio + 1;
    }
    apic_write(APIC_TIMER_INITIAL, (uint32_t)count);
}
