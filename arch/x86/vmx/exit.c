// SPDX-License-Identifier: Apache-2.0
// Running a VP: entry, and the table that turns the processor's exit reasons into struct vp_exit.
//
// Only the exit reason is read for every exit; each row says what else is worth reading. Nothing is decided
// here except what never concerns anybody above: host NMIs, machine checks, and the debug and alignment
// exceptions that are intercepted for the host's sake alone and go straight back to the guest.
#include "arch/x86/vmx/offsets.h"
#include "arch/x86/vmx/vmx.h"

_Static_assert(offsetof(struct hv_register_page, gpr) == 8, "entry.S: GPR()");

_Static_assert(offsetof(struct vp, regs) == 0, "entry.S");
_Static_assert(offsetof(struct vp, vmx.launched) == VP_LAUNCHED, "arch/x86/vmx/offsets.h");
_Static_assert(offsetof(struct vp, vmx.host_rsp_shadow) == VP_HOST_RSP_SHADOW, "arch/x86/vmx/offsets.h");

#define REASON_FAILED_ENTRY BIT(31)

struct exit_row {
    void (*fill)(struct vp *vp); // reads what there is to know; NULL: the instruction's length and no more
    uint8_t reason;              // enum vp_exit_reason
};

// The exit is not due to an instruction, and says no more.
static void fill_nothing(struct vp *vp)
{
    vp->exit.insn_len = 0;
}

// The VMX-preemption timer has run out, and stays at 0 until it is written.
static void fill_timer(struct vp *vp)
{
    fill_nothing(vp);
    vmx_restart_preemption_timer();
}

static void fill_length(struct vp *vp)
{
    vp->exit.insn_len = (uint8_t)vmread(VMCS_EXIT_INSN_LENGTH);
}

static void fill_qualification(struct vp *vp)
{
    fill_length(vp);
    vp->exit.qual[0] = vmread(VMCS_EXIT_QUALIFICATION);
}

static void fill_after_instruction(struct vp *vp)
{
    vp->exit.insn_len = 0; // RIP is past it
    vp->exit.qual[0] = vmread(VMCS_EXIT_QUALIFICATION);
}

// An NMI, a machine check, or an exception that is intercepted for the host's sake; true: dealt with here.
static bool is_for_host(struct vp *vp, uint32_t info)
{
    uint8_t vector = INTR_VECTOR(info);

    if (vector == VECTOR_MC) {
        __asm__ volatile("int $18");
        return true;
    }
    if ((info & INTR_NMI_UNBLOCKED) && vector != VECTOR_DF) {
        vmx_restore_nmi_blocking();
    }
    if (vp->vmx.exceptions & BIT(vector)) {
        return false;
    }
    if (vector == VECTOR_DB) {
        vmx_reflect_debug(vp, info, vp->exit.qual[0]);
    } else {
        vmx_reflect_alignment(info);
    }
    return true;
}

static void fill_exception(struct vp *vp)
{
    uint32_t info = (uint32_t)vmread(VMCS_EXIT_INTR_INFO);
    struct vp_exit *e = &vp->exit;

    fill_qualification(vp);
    if (INTR_TYPE(info) == INTR_TYPE_NMI) {
        __asm__ volatile("int $2"); // NMIs are blocked until the handler's IRET
        e->reason = EXIT_NMI;
        (void)vmx_requeue_event();
        return;
    }
    if (is_for_host(vp, info)) {
        // The guest goes on, but not before interrupts had their turn: where the delivery of the exception causes the
        // next one for ever, no entry gets as far as an instruction boundary, where they would end it.
        e->reason = EXIT_INTERRUPT;
        return;
    }
    e->exc.vector = INTR_VECTOR(info);
    e->exc.has_error = info & INTR_ERROR_VALID;
    e->exc.error = e->exc.has_error ? (uint32_t)vmread(VMCS_EXIT_ERROR_CODE) : 0;
    e->exc.address = e->exc.vector == VECTOR_PF ? e->qual[0] : 0;
}

static void fill_io(struct vp *vp)
{
    struct vp_exit *e = &vp->exit;
    uint64_t q = vmread(VMCS_EXIT_QUALIFICATION);

    fill_length(vp);
    e->qual[0] = q;
    e->io.size = (uint8_t)((q & 7) + 1);
    e->io.in = (q & BIT(3)) != 0;
    e->io.port = (uint16_t)(q >> 16);
    e->io.string = (q & BIT(4)) != 0;
    if ((q & BIT(4)) != 0) {
        e->io.rep = (q & BIT(5)) != 0;
        e->io.seg = vmx_controls.string_io_info ? (uint8_t)(vmread(VMCS_EXIT_INSN_INFO) >> 15 & 7) : 3;
    }
}

static void fill_cr(struct vp *vp)
{
    struct vp_exit *e = &vp->exit;
    uint64_t q = vmread(VMCS_EXIT_QUALIFICATION);

    fill_length(vp);
    e->qual[0] = q;
    e->cr.cr = q & 15;
    e->cr.kind = q >> 4 & 3;
    e->cr.gpr = q >> 8 & 15;
    e->cr.lmsw = (uint16_t)(q >> 16);
}

// SDM 3C "Exit Qualification for EPT Violations". The exit can hit during event delivery.
static void fill_gpa(struct vp *vp)
{
    struct vp_exit *e = &vp->exit;
    uint64_t q = vmread(VMCS_EXIT_QUALIFICATION);
    bool requeued = vmx_requeue_event();

    e->insn_len = 0; // not reported
    e->qual[0] = q;
    e->gpa.gpa = GPA(vmread(VMCS_GUEST_PHYSICAL));
    e->gpa.write = q & BIT(1);
    e->gpa.exec = q & BIT(2);
    e->gpa.present = q & (BIT(3) | BIT(4) | BIT(5));
    e->gpa.gva_valid = q & BIT(7);
    e->gpa.gva = GVA(e->gpa.gva_valid ? vmread(VMCS_GUEST_LINEAR) : 0);
    if ((q & INTR_NMI_UNBLOCKED) && !requeued) {
        vmx_restore_nmi_blocking();
    }
}

// SDM 3C "Exit Qualification for APIC-Access VM Exits from Linear Accesses and Guest-Physical Accesses".
static void fill_apic_access(struct vp *vp)
{
    struct vp_exit *e = &vp->exit;
    uint64_t q = vmread(VMCS_EXIT_QUALIFICATION);
    unsigned type = q >> 12 & 15;

    fill_length(vp);
    e->qual[0] = q;
    (void)vmx_requeue_event();
    e->apic.offset = q & 0xfff;
    e->apic.linear = type <= 1;
    e->apic.write = type == 1;
}

static void fill_apic_write(struct vp *vp)
{
    fill_after_instruction(vp);
    vp->exit.apic.offset = vp->exit.qual[0] & 0xfff;
    vp->exit.apic.write = true;
    vp->exit.apic.linear = true;
}

static void fill_unknown(struct vp *vp)
{
    fill_qualification(vp);
    (void)vmx_requeue_event();
}

#define UNKNOWN_ROW                                                                                          \
    {                                                                                                        \
        fill_unknown, EXIT_UNKNOWN                                                                           \
    }
#define VIRT_INSN_ROW                                                                                        \
    {                                                                                                        \
        NULL, EXIT_VIRT_INSN                                                                                 \
    }

// By basic exit reason (SDM 3D appendix "VMX Basic Exit Reasons").
static const struct exit_row rows[] = {
    [0] = {fill_exception, EXIT_EXCEPTION},
    [1] = {fill_nothing, EXIT_INTERRUPT},
    [2] = {fill_nothing, EXIT_TRIPLE_FAULT},
    [3] = {fill_nothing, EXIT_INIT},
    [4] = UNKNOWN_ROW, // SIPI: only in the wait-for-SIPI state, which is not used
    [5] = UNKNOWN_ROW,
    [6] = UNKNOWN_ROW,
    [7] = {fill_nothing, EXIT_INTR_WINDOW},
    [8] = {fill_nothing, EXIT_NMI_WINDOW},
    [9] = {fill_qualification, EXIT_TASK_SWITCH},
    [10] = {NULL, EXIT_CPUID},
    [11] = VIRT_INSN_ROW, // GETSEC
    [12] = {NULL, EXIT_HLT},
    [13] = {NULL, EXIT_WBINVD}, // INVD
    [14] = UNKNOWN_ROW,
    [15] = {NULL, EXIT_RDPMC},
    [16] = UNKNOWN_ROW,
    [17] = UNKNOWN_ROW,
    [18] = {NULL, EXIT_HYPERCALL},
    [19] = VIRT_INSN_ROW, // VMCLEAR
    [20] = VIRT_INSN_ROW, // VMLAUNCH
    [21] = VIRT_INSN_ROW, // VMPTRLD
    [22] = VIRT_INSN_ROW, // VMPTRST
    [23] = VIRT_INSN_ROW, // VMREAD
    [24] = VIRT_INSN_ROW, // VMRESUME
    [25] = VIRT_INSN_ROW, // VMWRITE
    [26] = VIRT_INSN_ROW, // VMXOFF
    [27] = VIRT_INSN_ROW, // VMXON
    [28] = {fill_cr, EXIT_CR_ACCESS},
    [29] = UNKNOWN_ROW, // MOV DR
    [30] = {fill_io, EXIT_IO},
    [31] = {NULL, EXIT_RDMSR},
    [32] = {NULL, EXIT_WRMSR},
    [33] = UNKNOWN_ROW, // with bit 31: guest state refused
    [34] = UNKNOWN_ROW, // with bit 31: MSR loading
    [35] = UNKNOWN_ROW,
    [36] = {NULL, EXIT_MONITOR}, // MWAIT
    [37] = UNKNOWN_ROW,
    [38] = UNKNOWN_ROW,
    [39] = {NULL, EXIT_MONITOR},
    [40] = {NULL, EXIT_PAUSE},
    [41] = UNKNOWN_ROW, // with bit 31: machine check
    [42] = UNKNOWN_ROW,
    [43] = UNKNOWN_ROW, // TPR threshold: always 0
    [44] = {fill_apic_access, EXIT_APIC_ACCESS},
    [45] = {fill_after_instruction, EXIT_APIC_EOI},
    [46] = UNKNOWN_ROW,
    [47] = UNKNOWN_ROW,
    [48] = {fill_gpa, EXIT_GPA_FAULT},
    [49] = UNKNOWN_ROW,   // EPT misconfiguration
    [50] = VIRT_INSN_ROW, // INVEPT
    [51] = UNKNOWN_ROW,
    [52] = {fill_timer, EXIT_INTERRUPT},
    [53] = VIRT_INSN_ROW, // INVVPID
    [54] = {NULL, EXIT_WBINVD},
    [55] = {NULL, EXIT_XSETBV},
    [56] = {fill_apic_write, EXIT_APIC_WRITE},
    [57] = UNKNOWN_ROW,
    [58] = UNKNOWN_ROW,
    [59] = VIRT_INSN_ROW, // VMFUNC
    [60] = VIRT_INSN_ROW, // ENCLS
};

void vmx_entry_failed(struct vp *vp)
{
    uint32_t error = (uint32_t)vmread(VMCS_INSTRUCTION_ERROR);

    vp->vmx.launched = false;
    vp->exit = (struct vp_exit){.reason = EXIT_INVALID_STATE, .raw = (uint32_t)REASON_FAILED_ENTRY | error};
}

// Failed entries (bit 31) and reasons that no row names.
static SELDOM void exit_without_row(struct vp *vp, uint32_t reason)
{
    struct vp_exit *e = &vp->exit;

    e->raw = reason;
    e->insn_len = 0;
    e->qual[0] = vmread(VMCS_EXIT_QUALIFICATION);
    e->reason = EXIT_UNKNOWN;
    if (reason & REASON_FAILED_ENTRY) {
        vp->vmx.launched = false; // a failed VMLAUNCH leaves the VMCS as it was
        e->reason = EXIT_INVALID_STATE;
    }
}

void vmx_exit(struct vp *vp)
{
    uint64_t reason = vmread(VMCS_EXIT_REASON); // 32 bits
    const struct exit_row *row = &rows[reason];
    struct vp_exit *e = &vp->exit;

    if (__builtin_expect(reason >= ARRAY_LEN(rows), 0)) {
        exit_without_row(vp, (uint32_t)reason);
        return;
    }
    e->raw = (uint32_t)reason;
    e->reason = row->reason;
    if (row->fill != NULL) {
        row->fill(vp);
        return;
    }
    fill_length(vp);
}
