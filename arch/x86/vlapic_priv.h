// SPDX-License-Identifier: Apache-2.0
// Between the files of the virtual local APIC: register offsets, access to the register page.
#ifndef ARCH_VLAPIC_PRIV_H
#define ARCH_VLAPIC_PRIV_H

#include "arch/x86/vlapic.h"

// Offsets in the register page (SDM 3A table "Local APIC Register Address Map").
enum apic_register {
    APIC_ID = 0x020,
    APIC_VERSION = 0x030,
    APIC_TPR = 0x080,
    APIC_APR = 0x090,
    APIC_PPR = 0x0a0,
    APIC_EOI = 0x0b0,
    APIC_RRD = 0x0c0,
    APIC_LDR = 0x0d0,
    APIC_DFR = 0x0e0,
    APIC_SVR = 0x0f0,
    APIC_ISR = 0x100, // eight registers each, 16 bytes apart
    APIC_TMR = 0x180,
    APIC_IRR = 0x200,
    APIC_ESR = 0x280,
    APIC_ICR = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_THERMAL = 0x330,
    APIC_LVT_PERF = 0x340,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INITIAL = 0x380,
    APIC_TIMER_CURRENT = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,
    APIC_SELF_IPI = 0x3f0,
};

#define APIC_BASE_DEFAULT 0xfee00000ull
#define APIC_SVR_ENABLE BIT(8)
#define APIC_LVT_MASKED BIT(16)
#define APIC_DFR_FLAT 0xffffffffu

// Bits of ESR (SDM 3A "Error Handling").
#define APIC_ERROR_SEND_VECTOR BIT(5)
#define APIC_ERROR_RECEIVE_VECTOR BIT(6)
#define APIC_ERROR_REGISTER BIT(7)

static inline uint32_t apic_get(const struct vp *vp, unsigned offset)
{
    return __atomic_load_n((const uint32_t *)((const char *)vp->apic_page + offset), __ATOMIC_RELAXED);
}

static inline void apic_set(struct vp *vp, unsigned offset, uint32_t value)
{
    __atomic_store_n((uint32_t *)((char *)vp->apic_page + offset), value, __ATOMIC_RELAXED);
}

static inline enum vlapic_mode vlapic_mode(const struct vp *vp)
{
    static const uint8_t mode[4] = {VLAPIC_OFF, VLAPIC_OFF, VLAPIC_XAPIC, VLAPIC_X2APIC};

    return mode[vp->apic.base_msr >> 10 & 3];
}

static inline bool vlapic_software_enabled(const struct vp *vp)
{
    return (apic_get(vp, APIC_SVR) & APIC_SVR_ENABLE) != 0;
}

// Highest vector of ISR, TMR or IRR, or 0: vectors below 16 never get there.
uint8_t vlapic_highest(const struct vp *vp, unsigned offset);
void vlapic_error(struct vp *vp, uint32_t bits); // records ESR bits, raises the error interrupt

// Timer (vlapic_timer.c).
void vlapic_timer_start(struct vp *vp, uint32_t initial);
uint32_t vlapic_timer_count(const struct vp *vp);
void vlapic_timer_set_divide(struct vp *vp, uint32_t value);
void vlapic_timer_set_lvt(struct vp *vp, uint32_t value);

// Interprocessor interrupts (vlapic_ipi.c). The destination is in icr bits 63:56 or, in x2APIC mode, 63:32.
void vlapic_send_icr(struct vp *vp, uint64_t icr);

#endif
