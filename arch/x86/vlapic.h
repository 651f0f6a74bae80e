// SPDX-License-Identifier: Apache-2.0
// The virtual local APIC: xAPIC page and x2APIC MSRs, priorities, IPIs, timer (SDM 3A "APIC").
//
// All functions run on the VP's owner processor unless they say otherwise. Registers live in
// vp->apic_page with the layout of the memory-mapped APIC, which is also the virtual-APIC page when the
// processor virtualizes the APIC (virt_caps.apicv).
#ifndef ARCH_VLAPIC_H
#define ARCH_VLAPIC_H

#include "hv/vp.h"

enum vlapic_mode { VLAPIC_OFF = 0, VLAPIC_XAPIC = 1, VLAPIC_X2APIC = 2 }; // as virt->apicv_mode() wants it

void vlapic_init(struct vp *vp);  // power-on state
void vlapic_reset(struct vp *vp); // INIT: as power-on but keeps the APIC id and base

// Accesses by the guest. Return false: #GP(0) (x2APIC rules). Offsets as in the xAPIC page.
MUST_CHECK bool vlapic_read(struct vp *vp, uint32_t offset, uint64_t *value);
MUST_CHECK bool vlapic_write(struct vp *vp, uint32_t offset, uint64_t value);
MUST_CHECK bool vlapic_read_msr(struct vp *vp, uint32_t msr, uint64_t *value); // 0x800..0x8ff
MUST_CHECK bool vlapic_write_msr(struct vp *vp, uint32_t msr, uint64_t value);
MUST_CHECK bool vlapic_set_base(struct vp *vp, uint64_t value); // IA32_APIC_BASE

// Takes posted vectors (vp->pir) into IRR and brings the hardware's view of the APIC up to date. Called with
// the VP loaded before each entry when VP_REQ_INTERRUPT is set; vlapic_init() and every change of mode set it.
void vlapic_sync(struct vp *vp);
// Does the processor virtualize this APIC, and deliver by itself? Not while it is off or at an unusual address.
static inline bool vlapic_in_hardware(const struct vp *vp)
{
    return vp->apic.hw_mode == VLAPIC_XAPIC || vp->apic.hw_mode == VLAPIC_X2APIC;
}
// Highest vector above the processor priority, or -1.
int vlapic_pending(struct vp *vp);
void vlapic_accept(struct vp *vp, uint8_t vector); // IRR -> ISR: it is being injected
void vlapic_eoi(struct vp *vp);
bool vlapic_has_pending(const struct vp *vp); // any CPU, approximate: would an HLT end now?

// Timer. Its input clock is the TSC (HV_X64_MSR_APIC_FREQUENCY says so). Each change ends in
// vp_timers_changed().
// Fires what has expired by `now` (host TSC); returns the next deadline or ~0.
uint64_t vlapic_timer_expire(struct vp *vp, uint64_t now);
uint64_t vlapic_tsc_deadline(const struct vp *vp); // IA32_TSC_DEADLINE
void vlapic_set_tsc_deadline(struct vp *vp, uint64_t guest_tsc);
void vlapic_tsc_changed(struct vp *vp); // vp->tsc_offset has another value

// Both halves of ICR in one value, as HV_X64_MSR_ICR has them; the destination is in the upper 32 bits in the form of
// the current mode (xAPIC: bits 63:56).
MUST_CHECK bool vlapic_read_icr(struct vp *vp, uint64_t *value);
MUST_CHECK bool vlapic_write_icr(struct vp *vp, uint64_t value);

// Task priority as CR8 and HV_X64_MSR_TPR know it.
static inline uint8_t vlapic_tpr(const struct vp *vp)
{
    return *(const volatile uint8_t *)((const char *)vp->apic_page + 0x80);
}
void vlapic_set_tpr(struct vp *vp, uint8_t tpr);

// Sends an interrupt into a partition, from any CPU: used by IPIs, HvCallAssertVirtualInterrupt, MSIs.
// delivery: 0 fixed, 1 lowest priority, 4 NMI, 5 INIT, 6 SIPI (vector: start page). shorthand as in ICR bits
// 19:18; 1 (self) and 3 (all but self) need a sender. destination: 32-bit APIC id or logical destination
// (8 bits where the targets are in xAPIC mode); physical 0xff and 0xffffffff mean all. Returns the number of
// VPs that got it.
unsigned vlapic_deliver(struct partition *p, struct vp *sender, uint64_t destination, bool logical,
                        unsigned shorthand, unsigned delivery, uint8_t vector, bool level);

// Exit handlers (rows of the exit table in hv/exit.c).
enum vp_action vlapic_exit_mmio(struct vp *vp);  // EXIT_GPA_FAULT on the APIC page, EXIT_APIC_ACCESS
enum vp_action vlapic_exit_write(struct vp *vp); // EXIT_APIC_WRITE
enum vp_action vlapic_exit_eoi(struct vp *vp);   // EXIT_APIC_EOI

// Called by vlapic_eoi() for vectors in apic.eoi_notify (hv/interrupt.c).
void hv_apic_eoi(struct vp *vp, uint8_t vector);

#endif
