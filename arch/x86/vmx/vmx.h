// SPDX-License-Identifier: Apache-2.0
// Between the files of the VT-x back end. Nothing outside arch/x86/vmx includes this.
//
// Who owns what in a VMCS: control.c the controls, bitmaps and APIC virtualization; registers.c the guest
// state that virt_ops get_reg/set_reg name; event.c the entry interruption field, interruptibility and
// windows; vmx.c host state, load and unload; exit.c reads the exit information.
#ifndef ARCH_VMX_H
#define ARCH_VMX_H

#include "arch/x86/host_internal.h"
#include "arch/x86/vmx/vmcs.h"
#include "hv/vp.h"

struct vmx_controls { // decided by vmx_probe(); constant afterwards
    uint32_t revision;
    uint32_t pin, proc, proc2, exit, entry; // of every VP; proc and proc2 vary by VP on top of these
    uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
    uint32_t longest_run; // VMX-preemption timer
    bool string_io_info;  // instruction information of INS and OUTS names the segment
    bool rdtscp;
};
extern struct vmx_controls vmx_controls;

// control.c
bool vmx_probe(struct virt_caps *caps, char *why, size_t why_len);
void vmx_init_zero_fields(void);         // on the current VMCS, first
void vmx_init_controls(struct vp *vp);   // then this
void vmx_restart_preemption_timer(void); // on the current VMCS
void vmx_set_proc(struct vp *vp, uint64_t set, uint64_t clear);
void vmx_apicv_sync(struct vp *vp, uint8_t rvi, uint8_t svi);
uint8_t vmx_apicv_rvi(struct vp *vp);
void vmx_apicv_eoi_exit(struct vp *vp, const uint64_t bitmap[4]);
void vmx_apicv_mode(struct vp *vp, unsigned mode);
void vmx_set_tsc_offset(struct vp *vp, uint64_t offset);
void vmx_set_exceptions(struct vp *vp, uint32_t mask);
void vmx_set_dr_intercept(struct vp *vp, bool on);

// registers.c
uint32_t vmx_mode(struct vp *vp);
void vmx_exit_state(struct vp *vp, struct hv_intercept_header *h);
bool vmx_get_reg(struct vp *vp, uint32_t name, union hv_register_value *value);
bool vmx_set_reg(struct vp *vp, uint32_t name, const union hv_register_value *value);
void vmx_init_registers(struct vp *vp); // INIT state
void vmx_save_msrs(struct vp *vp);      // processor <-> vp->vmx.msr_*
void vmx_restore_msrs(const struct vp *vp);

// event.c
void vmx_advance_rip(struct vp *vp, uint64_t length);
void vmx_inject(struct vp *vp, enum event_type type, uint8_t vector, bool has_error, uint32_t error);
bool vmx_event_pending(struct vp *vp);
bool vmx_interruptible(struct vp *vp);
bool vmx_nmi_allowed(struct vp *vp);
void vmx_nmi_blocked(struct vp *vp); // by an event or state given to the VP
void vmx_want_windows(struct vp *vp, bool interrupt, bool nmi);
bool vmx_requeue_event(void);        // what IDT vectoring says was being delivered; false if nothing
void vmx_restore_nmi_blocking(void); // IRET had lifted it when the exit hit
void vmx_reflect_debug(struct vp *vp, uint32_t info, uint64_t dr6_bits);
void vmx_reflect_alignment(uint32_t info);

// NMIs: where there have never been any, nothing is to be looked after.
extern bool vmx_nmis_used;
SELDOM void vmx_nmi_note_loaded(struct vp *vp);
SELDOM void vmx_nmi_settle_used(struct vp *vp);

static inline void vmx_nmi_loaded(struct vp *vp) // after VMPTRLD
{
    if (__builtin_expect(vmx_nmis_used, 0)) {
        vmx_nmi_note_loaded(vp);
    }
}

static inline void vmx_nmi_settle(struct vp *vp) // before it is left, and before the blocking is looked at
{
    if (__builtin_expect(vmx_nmis_used, 0)) {
        vmx_nmi_settle_used(vp);
    }
}

// entry.S: one entry; comes back from vmx_exit() or vmx_entry_failed(). General registers are taken from and
// left in vp->regs->gpr[].
void vmx_vp_run(struct vp *vp);
extern const uint8_t vmx_exit_point[];

// exit.c: called by entry.S
void vmx_exit(struct vp *vp);         // fills vp->exit
void vmx_entry_failed(struct vp *vp); // the entry instruction itself failed

// dump.c
void vmx_dump(struct vp *vp);

// vmx.c
void vmx_flush_gpa(struct partition *p);
void vmx_flush_gva(struct vp *vp);
uint64_t vmx_eptp(const struct partition *p);

#endif
