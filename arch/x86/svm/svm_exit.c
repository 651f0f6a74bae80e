// SPDX-License-Identifier: Apache-2.0
// AMD-V back end: from EXITCODE and EXITINFO to struct vp_exit (APM 2 Appendix C "SVM Intercept Exit Codes").
#include "arch/x86/decode.h"
#include "arch/x86/guest_walk.h"
#include "arch/x86/svm/svm_priv.h"

static uint32_t reason_of(uint64_t code)
{
    if (code >= SVM_EXIT_EXCEPTION0 && code <= SVM_EXIT_EXCEPTION31) {
        return EXIT_EXCEPTION;
    }
    switch (code) {
    case SVM_EXIT_WRITE_CR8:
        return EXIT_CR_ACCESS;
    case SVM_EXIT_INTR:
        return EXIT_INTERRUPT;
    case SVM_EXIT_NMI:
        return EXIT_NMI;
    case SVM_EXIT_INIT:
        return EXIT_INIT;
    case SVM_EXIT_VINTR:
        return EXIT_INTR_WINDOW;
    case SVM_EXIT_RDPMC:
        return EXIT_RDPMC;
    case SVM_EXIT_CPUID:
        return EXIT_CPUID;
    case SVM_EXIT_IRET:
        return EXIT_NMI_WINDOW;
    case SVM_EXIT_INVD:
    case SVM_EXIT_WBINVD:
        return EXIT_WBINVD;
    case SVM_EXIT_PAUSE:
        return EXIT_PAUSE;
    case SVM_EXIT_HLT:
        return EXIT_HLT;
    case SVM_EXIT_IOIO:
        return EXIT_IO;
    case SVM_EXIT_MSR:
        return EXIT_RDMSR; // or WRMSR, see below
    case SVM_EXIT_TASK_SWITCH:
        return EXIT_TASK_SWITCH;
    case SVM_EXIT_SHUTDOWN:
        return EXIT_TRIPLE_FAULT;
    case SVM_EXIT_VMMCALL:
        return EXIT_HYPERCALL;
    case SVM_EXIT_MONITOR:
    case SVM_EXIT_MWAIT:
    case SVM_EXIT_MWAIT_COND:
        return EXIT_MONITOR;
    case SVM_EXIT_XSETBV:
        return EXIT_XSETBV;
    case SVM_EXIT_NPF:
        return EXIT_GPA_FAULT;
    case SVM_EXIT_INVLPGA:
    case SVM_EXIT_VMRUN:
    case SVM_EXIT_VMLOAD ... SVM_EXIT_SKINIT:
        return EXIT_VIRT_INSN;
    case ~0ull:
    case 0xffffffffull:
        return EXIT_INVALID_STATE;
    default:
        return EXIT_UNKNOWN;
    }
}

// EXITINFO1 of IOIO: type 0, string 2, rep 3, sizes 6:4, address sizes 9:7, segment 12:10, port 31:16.
static void decode_io(struct vp *vp, const struct vmcb *v)
{
    uint64_t info = v->exit_info1;

    vp->exit.io.port = (uint16_t)(info >> 16);
    vp->exit.io.in = (info & 1) != 0;
    vp->exit.io.string = (info & BIT(2)) != 0;
    vp->exit.io.rep = (info & BIT(3)) != 0;
    vp->exit.io.size = (uint8_t)(info >> 4 & 7);
    vp->exit.io.seg = virt_caps.decode_assist ? (uint8_t)(info >> 10 & 7) : 3;
    vp->exit.insn_len = (uint8_t)(v->exit_info2 - v->rip);
}

// EXITINFO1 of a nested page fault is a page-fault error code; EXITINFO2 the guest-physical address.
static void decode_npf(struct vp *vp, const struct vmcb *v)
{
    uint64_t error = v->exit_info1;

    vp->exit.gpa.gpa = GPA(v->exit_info2);
    vp->exit.gpa.gva = GVA(0);
    vp->exit.gpa.gva_valid = false;
    vp->exit.gpa.present = (error & 1) != 0;
    vp->exit.gpa.write = (error & 2) != 0;
    vp->exit.gpa.exec = (error & BIT(4)) != 0;
}

// An exception that is intercepted for the host's sake alone goes back to the guest; DR6, DR7 and RIP are as its
// delivery wants them (APM 2 "#DB (Debug)"). Interrupts have their turn first: where the delivery causes the next one
// for ever, no VMRUN gets as far as an instruction boundary, where they would end it.
static void reflect(struct vp *vp, struct vmcb *v, uint8_t vector)
{
    if (vector == VECTOR_MC) {
        __asm__ volatile("int $18");
        return;
    }
    v->event_inj = vector | SVM_EVENT_TYPE(EVENT_EXCEPTION) | SVM_EVENT_VALID;
    if (vector == VECTOR_AC) {
        v->event_inj |= SVM_EVENT_ERROR_VALID | (v->exit_info1 & 0xffffffff) << 32;
    }
    vp->exit.reason = EXIT_INTERRUPT;
}

// True: the guest does not see this #DB, since it comes from a step of ours (step_over_iret()).
static bool end_step(struct vp *vp, struct vmcb *v)
{
    uint64_t before = vp->svm.nmi_step_dr6;

    vp->svm.nmi_step_dr6 = 0;
    if ((v->dr6 & DR6_BS) == 0) { // a breakpoint on the IRET: once more behind its handler
        v->rflags &= ~RFLAGS_TF;
        return false;
    }
    v->dr6 = before;
    vp->exit.reason = EXIT_INTERRUPT;
    return true;
}

static void decode_exception(struct vp *vp, struct vmcb *v)
{
    uint8_t vector = (uint8_t)(v->exit_code - SVM_EXIT_EXCEPTION0);

    if (vector == VECTOR_DB && vp->svm.nmi_step_dr6 != 0 && end_step(vp, v)) {
        return;
    }
    if ((vp->svm.exceptions & BIT(vector)) == 0) {
        reflect(vp, v, vector);
        return;
    }
    vp->exit.exc.vector = vector;
    vp->exit.exc.has_error = (BIT(vector) & (BIT(8) | 0x7c00 | BIT(17))) != 0;
    vp->exit.exc.error = (uint32_t)v->exit_info1;
    vp->exit.exc.address = vector == VECTOR_PF ? v->exit_info2 : 0;
}

// MOV CR8: which register is in the instruction alone, without decode assists (APM 3 "MOV CRn"). If the code has
// changed meanwhile the guest gets some register's value, as it may.
static void decode_cr8(struct vp *vp)
{
    struct insn_prefixes prefixes;
    enum decode_mode mode;
    uint8_t bytes[16] = {0};
    size_t len = guest_fetch(vp, bytes, &mode);

    decode_prefixes(bytes, len, mode, &prefixes);
    vp->exit.cr.cr = 8;
    vp->exit.cr.kind = 0;
    vp->exit.cr.gpr = (uint8_t)((bytes[MIN(prefixes.count + 2, 15)] & 7) | (prefixes.rex & 1) << 3);
}

// The handler that NMIs interrupted is returning; the next NMI may come once the IRET is done.
static void end_nmi(struct vp *vp, struct vmcb *v)
{
    vp->svm.nmi_masked = false;
    vp->svm.nmi_iret_rip = v->rip;
    v->intercept_misc1 &= ~(uint32_t)SVM_ICPT_IRET;
}

static uint8_t saved_length(const struct vmcb *v)
{
    uint64_t length = v->next_rip - v->rip;

    return virt_caps.next_rip && v->next_rip != 0 && length <= DECODE_MAX_INSN ? (uint8_t)length : 0;
}

void svm_decode_exit(struct vp *vp)
{
    struct vmcb *v = vmcb_of(vp);

    vp->exit.reason = reason_of(v->exit_code);
    vp->exit.raw = (uint32_t)v->exit_code;
    vp->exit.qual[0] = v->exit_info1;
    vp->exit.qual[1] = v->exit_info2;
    vp->exit.insn_len = saved_length(v);
    switch (vp->exit.reason) {
    case EXIT_RDMSR:
        vp->exit.reason = (v->exit_info1 & 1) != 0 ? EXIT_WRMSR : EXIT_RDMSR;
        break;
    case EXIT_IO:
        decode_io(vp, v);
        break;
    case EXIT_CR_ACCESS:
        decode_cr8(vp);
        break;
    case EXIT_GPA_FAULT:
        decode_npf(vp, v);
        break;
    case EXIT_EXCEPTION:
        decode_exception(vp, v);
        break;
    case EXIT_NMI_WINDOW:
        end_nmi(vp, v);
        break;
    default:
        break;
    }
}

static void dump_segment(const char *name, const struct vmcb_segment *s)
{
    LOGN("  %s %04x base %016llx limit %08x attr %03x", name, s->selector, (unsigned long long)s->base,
         s->limit, s->attrib);
}

void svm_dump(struct vp *vp)
{
    const struct vmcb *v = vmcb_of(vp);

    LOGN("VMCB of partition %u VP %u: exit %#llx info %#llx %#llx int %#llx inj %#llx shadow %llx",
         vp->partition->index, vp->index, (unsigned long long)v->exit_code, (unsigned long long)v->exit_info1,
         (unsigned long long)v->exit_info2, (unsigned long long)v->exit_int_info,
         (unsigned long long)v->event_inj, (unsigned long long)v->interrupt_shadow);
    LOGN("  rip %016llx rsp %016llx rflags %llx cpl %u", (unsigned long long)v->rip,
         (unsigned long long)v->rsp, (unsigned long long)v->rflags, v->cpl);
    LOGN("  cr0 %llx cr2 %llx cr3 %llx cr4 %llx efer %llx", (unsigned long long)v->cr0,
         (unsigned long long)v->cr2, (unsigned long long)v->cr3, (unsigned long long)v->cr4,
         (unsigned long long)v->efer);
    for (unsigned i = 0; i < 16; i += 4) {
        LOGN("  r%02u %016llx %016llx %016llx %016llx", i, (unsigned long long)vp->regs->gpr[i],
             (unsigned long long)vp->regs->gpr[i + 1], (unsigned long long)vp->regs->gpr[i + 2],
             (unsigned long long)vp->regs->gpr[i + 3]);
    }
    dump_segment("cs", &v->cs);
    dump_segment("ss", &v->ss);
    dump_segment("ds", &v->ds);
    dump_segment("tr", &v->tr);
    dump_segment("gdtr", &v->gdtr);
    dump_segment("idtr", &v->idtr);
}
