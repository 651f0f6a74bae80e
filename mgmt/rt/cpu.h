// SPDX-License-Identifier: Apache-2.0
// The processor as the management partition uses it: instructions, per-VP data, descriptor tables, stacks.
//
// VP 0 is the data plane, VP 1 the control plane. Each has its own GDT, TSS and interrupt stacks; the IDT
// is shared. Interrupts and exceptions run on IST stacks, because prebuilt libraries may use the red zone.
// FS points to the VP's struct rt_vp, GS is not used.
#ifndef MGMT_RT_CPU_H
#define MGMT_RT_CPU_H

#include <keelson/abi.h>

#define RT_VPS 2
#define RT_VP_DATA 0
#define RT_VP_CONTROL 1

// Local APIC registers as MSRs (SDM 3A "x2APIC Register Address Space") and others that we use.
#define MSR_APIC_BASE 0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC_ID 0x802
#define MSR_X2APIC_TPR 0x808
#define MSR_X2APIC_EOI 0x80b
#define MSR_X2APIC_SVR 0x80f
#define MSR_X2APIC_ICR 0x830
#define MSR_X2APIC_LVT_TIMER 0x832
#define MSR_FS_BASE 0xc0000100

struct _reent; // NOLINT(cert-dcl37-c): newlib gave it this name

struct rt_vp { // found at %fs:0
    struct rt_vp *self;
    uint32_t index;
    uint32_t apic_id;
    struct _reent *reent; // newlib's per-thread state; control plane only
    uint64_t pad[2];
    uint64_t stack_guard; // %fs:0x28, where prebuilt libraries look for their stack canary
    uint8_t *call_in;     // hypercall input and output pages
    uint8_t *call_out;
    uint64_t call_in_gpa;
    uint64_t call_out_gpa;
};
_Static_assert(offsetof(struct rt_vp, stack_guard) == 0x28, "stack canary of the x86-64 ABI");

static inline struct rt_vp *rt_vp(void)
{
    struct rt_vp *vp;

    __asm__("mov %%fs:0, %0" : "=r"(vp));
    return vp;
}

static inline uint64_t cpu_rdmsr(uint32_t msr)
{
    uint32_t lo, hi;

    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t)hi << 32 | lo;
}

static inline void cpu_wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint64_t cpu_rdtsc(void)
{
    uint32_t lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}

static inline void cpu_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "a"(leaf), "c"(subleaf));
}

static inline void cpu_cli(void)
{
    __asm__ volatile("cli" : : : "memory");
}

static inline void cpu_sti(void)
{
    __asm__ volatile("sti" : : : "memory");
}

// Interrupts that became pending while they were off are taken before this returns; they are off again
// after it. STI delays recognition by one instruction, hence the NOP.
static inline void cpu_take_interrupts(void)
{
    __asm__ volatile("sti\n\tnop\n\tcli" : : : "memory");
}

// Sleeps until an interrupt, with no gap between switching interrupts on and halting; they are off after it.
static inline void cpu_sleep(void)
{
    __asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
}

static inline void cpu_pause(void)
{
    __asm__ volatile("pause");
}

static inline void cpu_send_interrupt(uint32_t apic_id, uint8_t vector)
{
    cpu_wrmsr(MSR_X2APIC_ICR, (uint64_t)apic_id << 32 | vector);
}

// Sets up the calling VP: descriptor tables, FS, SSE, x2APIC. Interrupts stay off.
void cpu_init(uint32_t index, const struct mgmt_boot_info *info);

// Root GPA of an address in the image or in the direct map.
gpa_t rt_virt_to_gpa(const void *va);

static inline void *rt_gpa_to_virt(gpa_t gpa)
{
    return (void *)(MGMT_DIRECT_BASE + gpa.v);
}

// Lowest address of the VP's own stack, which holds a known word while the stack has not run over.
bool cpu_stack_intact(uint32_t index);

#endif
