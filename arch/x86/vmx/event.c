// SPDX-License-Identifier: Apache-2.0
// Events of a VP: injection, requeueing, windows, and stepping over an instruction.
//
// The VM-entry interruption-information field is the one place for the event of the next entry: the
// processor clears its valid bit at each exit.
#include "arch/x86/vmx/vmx.h"

#define BLOCKED_BY_INSTRUCTION (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)
#define ERROR_CODE_MASK 0xffffu

static uint64_t wrap_rip(uint64_t rip)
{
    // Outside 64-bit code EIP wraps, and an entry refuses a larger value.
    bool long_mode = (vmread(VMCS_GUEST_EFER) & EFER_LMA) && (vmread(VMCS_GUEST_CS_RIGHTS) & RIGHTS_LONG);
    return long_mode ? rip : (uint32_t)rip;
}

void vmx_advance_rip(struct vp *vp, uint64_t length)
{
    uint64_t old = vmread(VMCS_GUEST_RIP);
    uint64_t rip = old + length;

    (void)vp;
    if (__builtin_expect((old ^ rip) >> 32 != 0, 0)) {
        rip = wrap_rip(rip);
    }
    vmwrite(VMCS_GUEST_RIP, rip);
    uint64_t blocking = vmread(VMCS_GUEST_INTERRUPTIBILITY);
    if (blocking & BLOCKED_BY_INSTRUCTION) {
        vmwrite(VMCS_GUEST_INTERRUPTIBILITY, blocking & ~BLOCKED_BY_INSTRUCTION);
    }
    // The instruction counts as executed for single stepping (SDM 3C "Pending Debug Exceptions"), and RF was held for it
    // alone (SDM 3B "Instruction-Breakpoint Exception Condition").
    uint64_t flags = vmread(VMCS_GUEST_RFLAGS);
    if (__builtin_expect((flags & (RFLAGS_TF | RFLAGS_RF)) != 0, 0)) {
        vmwrite(VMCS_GUEST_RFLAGS, flags & ~RFLAGS_RF);
        if (flags & RFLAGS_TF) {
            vmwrite(VMCS_GUEST_PENDING_DEBUG, vmread(VMCS_GUEST_PENDING_DEBUG) | DR6_BS);
        }
    }
}

static void put_event(uint32_t type, uint8_t vector, bool has_error, uint32_t error)
{
    uint64_t info = INTR_VALID | type << 8 | vector;

    // In real mode no error code is pushed, and an entry with one is refused.
    if (has_error && (vmread(VMCS_GUEST_CR0) & CR0_PE)) {
        info |= INTR_ERROR_VALID;
        vmwrite(VMCS_ENTRY_ERROR_CODE, error & ERROR_CODE_MASK);
    }
    vmwrite(VMCS_ENTRY_INTR_INFO, info);
}

void vmx_inject(struct vp *vp, enum event_type type, uint8_t vector, bool has_error, uint32_t error)
{
    put_event(type, vector, has_error, error);
    if (type == EVENT_NMI) {
        vmx_nmi_blocked(vp);
    }
    if (type == EVENT_SW_INT || type == EVENT_SW_EXC) {
        vmwrite(VMCS_ENTRY_INSN_LENGTH, vp->exit.insn_len);
    }
}

bool vmx_event_pending(struct vp *vp)
{
    (void)vp;
    return vmread(VMCS_ENTRY_INTR_INFO) & INTR_VALID;
}

bool vmx_interruptible(struct vp *vp)
{
    return (vmread(VMCS_GUEST_RFLAGS) & RFLAGS_IF) &&
           (vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKED_BY_INSTRUCTION) == 0 && !vmx_event_pending(vp);
}

// --- NMIs ---

// Bochs 2.7 blocks NMIs at an entry that says so, and never unblocks them at one that does not: a VP that is entered
// after one in its NMI handler comes back as if it were in one as well. Nothing but its own NMI can have done that.
bool vmx_nmis_used;

void vmx_nmi_note_loaded(struct vp *vp)
{
    vp->vmx.nmi_blocked = (vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKED_BY_NMI) != 0;
}

void vmx_nmi_blocked(struct vp *vp)
{
    vmx_nmis_used = true;
    vp->vmx.nmi_blocked = true;
}

void vmx_nmi_settle_used(struct vp *vp)
{
    uint64_t blocking;

    if (vp->vmx.nmi_blocked) {
        return;
    }
    blocking = vmread(VMCS_GUEST_INTERRUPTIBILITY);
    if ((blocking & BLOCKED_BY_NMI) != 0) {
        vmwrite(VMCS_GUEST_INTERRUPTIBILITY, blocking & ~BLOCKED_BY_NMI);
    }
}

bool vmx_nmi_allowed(struct vp *vp)
{
    uint64_t blocking = BLOCKED_BY_INSTRUCTION | BLOCKED_BY_SMI | BLOCKED_BY_NMI;

    vmx_nmi_settle(vp);
    return (vmread(VMCS_GUEST_INTERRUPTIBILITY) & blocking) == 0 && !vmx_event_pending(vp);
}

void vmx_want_windows(struct vp *vp, bool interrupt, bool nmi)
{
    uint64_t want = 0;

    // An NMI window opens in the shadow of STI, where some processors refuse the injection: wait for the
    // interrupt window there, which comes one instruction later.
    if (nmi && (vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKED_BY_STI)) {
        nmi = false;
        interrupt = true;
    }
    want |= interrupt ? PROC_INTERRUPT_WINDOW : 0;
    want |= nmi ? PROC_NMI_WINDOW : 0;
    vmx_set_proc(vp, want, (PROC_INTERRUPT_WINDOW | PROC_NMI_WINDOW) & ~want);
}

bool vmx_requeue_event(void)
{
    uint32_t info = (uint32_t)vmread(VMCS_IDT_VECTORING_INFO);

    if ((info & INTR_VALID) == 0) {
        return false;
    }
    switch (INTR_TYPE(info)) {
    case INTR_TYPE_NMI: // the injection blocks NMIs again, and must find them unblocked
        vmwrite(VMCS_GUEST_INTERRUPTIBILITY, vmread(VMCS_GUEST_INTERRUPTIBILITY) & ~BLOCKED_BY_NMI);
        break;
    case INTR_TYPE_SW_INTERRUPT:
    case INTR_TYPE_PRIVILEGED:
    case INTR_TYPE_SW_EXCEPTION: // RIP is at the instruction; the return address needs its length
        vmwrite(VMCS_ENTRY_INSN_LENGTH, vmread(VMCS_EXIT_INSN_LENGTH));
        break;
    default:
        break;
    }
    if (info & INTR_ERROR_VALID) {
        vmwrite(VMCS_ENTRY_ERROR_CODE, vmread(VMCS_IDT_VECTORING_ERROR) & ERROR_CODE_MASK);
    }
    vmwrite(VMCS_ENTRY_INTR_INFO, info & (INTR_VALID | INTR_ERROR_VALID | 0x7ff));
    return true;
}

void vmx_restore_nmi_blocking(void)
{
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, vmread(VMCS_GUEST_INTERRUPTIBILITY) | BLOCKED_BY_NMI);
}

// An intercepted #DB has changed nothing yet: DR6 and DR7.GD are updated as its delivery would have done
// (SDM 3C "Information for VM Exits Due to Vectored Events", "Debug Exceptions").
void vmx_reflect_debug(struct vp *vp, uint32_t info, uint64_t dr6_bits)
{
    uint64_t blocking = vmread(VMCS_GUEST_INTERRUPTIBILITY);

    (void)vp;
    if (INTR_TYPE(info) != INTR_TYPE_PRIVILEGED) {
        write_dr6((read_dr6() & ~0xfull) | (dr6_bits & 0xe00f));
        vmwrite(VMCS_GUEST_DR7, vmread(VMCS_GUEST_DR7) & ~DR7_GD);
    } else {
        vmwrite(VMCS_ENTRY_INSN_LENGTH, vmread(VMCS_EXIT_INSN_LENGTH));
    }
    // An entry with a shadow and TF set wants BS pending (SDM 3C "Checks on Guest Non-Register State").
    if ((blocking & BLOCKED_BY_INSTRUCTION) && (vmread(VMCS_GUEST_RFLAGS) & RFLAGS_TF)) {
        vmwrite(VMCS_GUEST_PENDING_DEBUG, vmread(VMCS_GUEST_PENDING_DEBUG) | DR6_BS);
    }
    vmwrite(VMCS_ENTRY_INTR_INFO, info & (INTR_VALID | 0x7ff));
}

void vmx_reflect_alignment(uint32_t info)
{
    vmwrite(VMCS_ENTRY_ERROR_CODE, vmread(VMCS_EXIT_ERROR_CODE) & ERROR_CODE_MASK);
    vmwrite(VMCS_ENTRY_INTR_INFO, info & (INTR_VALID | INTR_ERROR_VALID | 0x7ff));
}
