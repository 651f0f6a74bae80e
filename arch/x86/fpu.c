// SPDX-License-Identifier: Apache-2.0
// FPU and extended state of VPs: XSAVE where the processor has it, otherwise FXSAVE.
//
// The hypervisor is compiled without vector registers, so a VP's state stays in the processor until
// another VP is loaded; switching is eager. XSAVEOPT skips what did not change. IA32_XSS is 0: supervisor
// states are not offered. SDM 1 "Managing State Using the XSAVE Feature Set".
#include "arch/x86/host_internal.h"
#include "hv/vp.h"

#define CPUID_XSAVE BIT(26)   // 1 ECX
#define CPUID_XSAVEOPT BIT(0) // Dh/1 EAX
#define CPUID_XSAVES BIT(3)   // Dh/1 EAX
#define FXSAVE_BYTES 512
#define XSAVE_HEADER_BYTES 64

#define XCR0_X87 BIT(0)
#define XCR0_SSE BIT(1)
#define XCR0_AVX BIT(2)
#define XCR0_AVX512 (BIT(5) | BIT(6) | BIT(7))
// MPX is gone from processors and PKRU belongs to CR4.PKE, which guests do not get.
#define XCR0_OFFERED (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512)

#define FCW_RESET 0x037f // what FNINIT and most firmware leave; SDM 3A lists 0x0040 for power-up
#define MXCSR_RESET 0x1f80

uint32_t host_xsave_size = FXSAVE_BYTES;
uint64_t host_xcr0;

static bool has_xsave, has_xsaveopt, has_xsaves;

void fpu_init(void)
{
    has_xsave = cpuid(1, 0).ecx & CPUID_XSAVE;
    if (!has_xsave) {
        return;
    }
    struct cpuid_regs leaf = cpuid(0xd, 0);
    uint32_t features = cpuid(0xd, 1).eax;
    host_xcr0 = ((uint64_t)leaf.edx << 32 | leaf.eax) & XCR0_OFFERED;
    if ((host_xcr0 & XCR0_AVX512) != XCR0_AVX512) {
        host_xcr0 &= ~XCR0_AVX512;
    }
    has_xsaveopt = features & CPUID_XSAVEOPT;
    has_xsaves = features & CPUID_XSAVES;
}

void fpu_init_cpu(void)
{
    if (!has_xsave) {
        return;
    }
    write_cr4(read_cr4() | CR4_OSXSAVE);
    write_xcr0(host_xcr0);
    if (has_xsaves) {
        wrmsr(MSR_XSS, 0);
    }
    // EBX: bytes for the features enabled in XCR0 right now.
    host_xsave_size = MAX(cpuid(0xd, 0).ebx, (uint32_t)(FXSAVE_BYTES + XSAVE_HEADER_BYTES));
}

void fpu_init_area(void *area)
{
    uint8_t *p = area;

    for (uint32_t i = 0; i < host_xsave_size; i++) {
        p[i] = 0;
    }
    p[0] = FCW_RESET & 0xff;
    p[1] = FCW_RESET >> 8;
    p[24] = MXCSR_RESET & 0xff;
    p[25] = MXCSR_RESET >> 8;
    if (has_xsave) {
        p[FXSAVE_BYTES] = XCR0_X87 | XCR0_SSE; // XSTATE_BV: the two above are not in their initial state
    }
}

// QEMU's AMD-V does not exit for XSETBV, intercepted or not: what the guest has made of XCR0 is in the register.
void fpu_read_xcr0(struct vp *vp)
{
    if (has_xsave) {
        vp->xcr0 = read_xcr0() & host_xcr0;
    }
}

// XSAVE and XRSTOR look at XCR0, which is the guest's while its VP is loaded: use all components, so that
// a guest cannot hide state from the switch by clearing a bit of XCR0.
void fpu_save(struct vp *vp)
{
    uint8_t *area = vp->fpu;

    if (!has_xsave) {
        __asm__ volatile("fxsave64 %0" : "=m"(*(uint8_t(*)[FXSAVE_BYTES])area));
        return;
    }
    fpu_read_xcr0(vp);
    if (vp->xcr0 != host_xcr0) {
        write_xcr0(host_xcr0);
    }
    if (has_xsaveopt) {
        __asm__ volatile("xsaveopt64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
    } else {
        __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
    }
}

void fpu_restore(struct vp *vp)
{
    uint8_t *area = vp->fpu;

    if (!has_xsave) {
        __asm__ volatile("fxrstor64 %0" : : "m"(*(const uint8_t(*)[FXSAVE_BYTES])area));
        return;
    }
    // fpu_save() left all components enabled, and so does every processor's start.
    __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
    if (vp->xcr0 != host_xcr0) {
        write_xcr0(vp->xcr0);
    }
}

void fpu_set_xcr0(uint64_t value)
{
    write_xcr0(value);
}
