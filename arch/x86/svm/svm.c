// SPDX-License-Identifier: Apache-2.0
// AMD-V back end: enabling, VP life cycle, world switch, events (APM 2 chapter "Secure Virtual Machine").
#include "arch/x86/mitigations.h"
#include "arch/x86/vlapic_priv.h"
#include "arch/x86/svm/svm_priv.h"
#include "hv/gpa.h"

#define MSRPM_SIZE 8192u

// As on VT-x: #DB and #AC because a guest can make their delivery recurse inside the processor for ever
// (CVE-2015-5307, CVE-2015-8104), #MC because it is the host's.
#define ALWAYS_INTERCEPTED (BIT(VECTOR_DB) | BIT(VECTOR_AC) | BIT(VECTOR_MC))

static uint8_t iopm_all[3 * 4096] __attribute__((aligned(4096)));
static uint8_t msrpm_guest[MSRPM_SIZE] __attribute__((aligned(4096)));
static uint8_t msrpm_root[MSRPM_SIZE] __attribute__((aligned(4096)));
static bool has_pause_filter, has_tsc_aux;

// ASIDs of this processor: handed out in turn; a new generation flushes everything (APM 2 "TLB Control").
static struct asid_state {
    uint64_t generation; // upper bits count, low byte is the processor
    uint32_t next;
} asids[HV_MAX_CPUS];

static const struct npt_format npt = {
    .leaf_common = 0x65,   // present, user, accessed, dirty
    .leaf_uncached = 0x7d, // and PCD, PWT: UC by the host's PAT
    .table = 0x67,
    .write = BIT(1),
    .noexec = BIT(63),
    .present = BIT(0),
    .large = BIT(7),
    .addr_mask = 0x000ffffffffff000ull,
};

// --- processor ---

static void explain(char *why, size_t len, const char *text)
{
    size_t i = 0;

    for (; i + 1 < len && text[i] != '\0'; i++) {
        why[i] = text[i];
    }
    why[i] = '\0';
}

// QEMU's software AMD-V, as of 7.2 with a thread for each processor: whenever any processor loads x87 state (FXRSTOR,
// XRSTOR), cpu_clear_ignne() of target/i386/tcg/sysemu/fpu_helper.c reads and writes back flags of the first
// processor, without synchronization. An update of the first processor's own in between is lost: it stays under nested
// paging after an exit, or leaves out GIF. Guests use these instructions all the time, so the first processor must
// not enter or leave guest mode.
static bool is_threaded_tcg(void)
{
    struct cpuid_regs id = {0};

    if ((cpuid(1, 0).ecx & BIT(31)) != 0) {
        id = cpuid(0x40000000, 0);
    }
    return id.ebx == 0x54474354 && id.ecx == 0x43544743 && id.edx == 0x47435447; // "TCGTCGTCGTCG"
}

static bool svm_probe(struct virt_caps *caps, char *why, size_t len)
{
    struct cpuid_regs ext = cpuid_checked(0x80000001, 0);
    struct cpuid_regs svm = cpuid_checked(0x8000000a, 0);

    if ((ext.ecx & BIT(2)) == 0) {
        explain(why, len, "not in this processor");
        return false;
    }
    if ((rdmsr(MSR_VM_CR) & VM_CR_SVMDIS) != 0) {
        explain(why, len, "locked off by the firmware: enable SVM in its set-up");
        return false;
    }
    if ((svm.edx & BIT(0)) == 0) {
        explain(why, len, "nested paging missing");
        return false;
    }
    caps->next_rip = (svm.edx & BIT(3)) != 0;
    caps->decode_assist = (svm.edx & BIT(7)) != 0;
    caps->page_1g = (ext.edx & BIT(26)) != 0;
    caps->asid_count = svm.ebx;
    caps->spare_boot_cpu = is_threaded_tcg();
    has_pause_filter = (svm.edx & BIT(10)) != 0;
    has_tsc_aux = (ext.edx & BIT(27)) != 0; // RDTSCP
    return true;
}

// Two bits an MSR: read, write; three ranges of 8192 (APM 2 "MSR Intercepts").
static uint32_t msrpm_bit(uint32_t msr)
{
    if (msr < 0x2000) {
        return msr * 2;
    }
    if (msr >= 0xc0000000 && msr < 0xc0002000) {
        return 0x4000 + (msr - 0xc0000000) * 2;
    }
    return 0x8000 + (msr - 0xc0010000) * 2;
}

static void allow_msr(uint8_t *map, uint32_t msr, uint8_t rights)
{
    uint32_t bit = msrpm_bit(msr);

    map[bit / 8] &= (uint8_t) ~((unsigned)rights << (bit % 8));
}

static void build_bitmaps(void)
{
    __builtin_memset(iopm_all, 0xff, sizeof(iopm_all));
    __builtin_memset(msrpm_guest, 0xff, MSRPM_SIZE);
    __builtin_memset(msrpm_root, 0xff, MSRPM_SIZE);
    for (const struct msr_pass *m = msr_pass_table; m->msr != 0; m++) {
        allow_msr(msrpm_guest, m->msr, m->guest);
        allow_msr(msrpm_root, m->msr, m->root);
    }
}

static void svm_cpu_on(void)
{
    static bool built;
    struct cpu *c = this_cpu();

    hv_lock();
    if (!built) {
        build_bitmaps();
        built = true;
    }
    if (c->virt_save == NULL) {
        c->virt_save = partition_page_alloc(root_partition);
    }
    hv_unlock();
    if (c->virt_save == NULL) {
        panic("no memory for processor %u's host state", c->index);
    }
    asids[c->index] = (struct asid_state){.generation = 1ull << 8 | c->index, .next = virt_caps.asid_count};
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, this_arch_cpu()->virt_page.v);
    __asm__ volatile("vmsave %0" : : "a"(va_to_spa(c->virt_save).v) : "memory");
}

static void svm_cpu_off(void)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
}

// --- VP life cycle ---

static void init_intercepts(struct vp *vp, struct vmcb *v)
{
    v->intercept_misc1 = SVM_ICPT_INTR | SVM_ICPT_NMI | SVM_ICPT_INIT | SVM_ICPT_RDPMC | SVM_ICPT_CPUID |
                         SVM_ICPT_INVD | SVM_ICPT_HLT | SVM_ICPT_INVLPGA | SVM_ICPT_IOIO | SVM_ICPT_MSR |
                         SVM_ICPT_SHUTDOWN;
    v->intercept_misc2 = SVM_ICPT2_VMRUN | SVM_ICPT2_VMMCALL | SVM_ICPT2_VMLOAD | SVM_ICPT2_VMSAVE |
                         SVM_ICPT2_STGI | SVM_ICPT2_CLGI | SVM_ICPT2_SKINIT | SVM_ICPT2_WBINVD |
                         SVM_ICPT2_MONITOR | SVM_ICPT2_MWAIT | SVM_ICPT2_XSETBV;
    if (has_pause_filter) {
        v->intercept_misc1 |= SVM_ICPT_PAUSE;
        v->pause_count = 3000;
    }
    v->intercept_exceptions = ALWAYS_INTERCEPTED;
    v->iopm_base = va_to_spa(vp->partition->is_root ? root_io_bitmap : iopm_all).v;
    v->msrpm_base = va_to_spa(vp->partition->is_root ? msrpm_root : msrpm_guest).v;
}

static void svm_vp_init(struct vp *vp, void *const *pages)
{
    struct vmcb *v = pages[0];

    vp->svm.vmcb = v;
    vp->svm.vmcb_pa = va_to_spa(v).v;
    init_intercepts(vp, v);
    v->v_masking = 1;
    v->np_enable = 1;
    v->n_cr3 = va_to_spa(vp->partition->npt_root).v;
    v->g_pat = PAT_RESET;
    v->dr6 = vp->dr6;
    v->efer = EFER_SVME;
    vp_init_state(vp, false);
}

static void svm_vp_fini(struct vp *vp)
{
    vp->svm.vmcb = NULL;
}

static void svm_vp_load(struct vp *vp)
{
    mitigations_switch(this_arch_cpu(), vp->partition);
}

static void svm_vp_unload(struct vp *vp)
{
    (void)vp; // the VMCB is memory at all times
}

// VMSAVE and VMLOAD switch the SYSCALL MSRs with every entry; TSC_AUX they do not.
static void svm_context_save(struct vp *vp)
{
    vp->dr6 = vmcb_of(vp)->dr6;
    if (has_tsc_aux) {
        vp->svm.tsc_aux = rdmsr(MSR_TSC_AUX);
    }
}

static void svm_context_restore(struct vp *vp)
{
    vmcb_of(vp)->dr6 = vp->dr6;
    if (has_tsc_aux) {
        wrmsr(MSR_TSC_AUX, vp->svm.tsc_aux);
    }
}

static uint32_t svm_mode(struct vp *vp)
{
    const struct vmcb *v = vmcb_of(vp);

    return v->cpl | (uint32_t)(v->cr0 & CR0_PE ? VP_MODE_PE : 0) |
           (uint32_t)(v->cr0 & CR0_AM ? VP_MODE_AM : 0) | (uint32_t)(v->efer & EFER_LMA ? VP_MODE_LMA : 0) |
           (uint32_t)(v->cs.attrib & BIT(9) ? VP_MODE_CS_L : 0) |
           (uint32_t)(v->cs.attrib & BIT(10) ? VP_MODE_CS_D : 0);
}

static void svm_exit_state(struct vp *vp, struct hv_intercept_header *h)
{
    const struct vmcb *v = vmcb_of(vp);
    struct hv_register_page *regs = vp->regs;
    union hv_register_value cs;

    regs->rip = h->rip = v->rip;
    regs->rflags = h->rflags = v->rflags;
    regs->gpr[GPR_RSP] = v->rsp;
    (void)svm_get_reg(vp, HV_REG_CS, &cs);
    h->cs = cs.segment;
    h->execution_state = svm_mode(vp) & VP_MODE_STATE;
}

// A VP keeps its ASID while this processor's generation lasts.
static void refresh_asid(struct vp *vp, struct asid_state *a)
{
    struct vmcb *v = vmcb_of(vp);

    v->tlb_control = 0;
    if (vp->svm.asid_generation == a->generation) {
        return;
    }
    if (a->next >= virt_caps.asid_count) {
        a->generation += 1ull << 8;
        a->next = 1;
        v->tlb_control = 1; // flush all
    }
    vp->svm.asid_generation = a->generation;
    v->asid = a->next++;
}

// An event whose delivery the exit interrupted is delivered again at the next entry. Software interrupts
// and INT3/INTO are not: RIP still points at them, so they execute again.
static void requeue_event(struct vmcb *v)
{
    uint64_t info = v->exit_int_info;
    unsigned type = (unsigned)(info >> 8) & 7;
    unsigned vector = (unsigned)info & 0xff;

    if ((info & SVM_EVENT_VALID) == 0 || type == EVENT_SW_INT ||
        (type == EVENT_EXCEPTION && (vector == 3 || vector == 4))) {
        return;
    }
    if (type == EVENT_EXCEPTION && vector >= 32) {
        return; // so QEMU names a virtual interrupt whose delivery faulted; V_IRQ is still set
    }
    if (type == EVENT_EXT_INT) {
        v->v_irq &= 0xfe; // taken, as far as V_IRQ is concerned
    }
    v->event_inj = info;
}

// QEMU's VMRUN forgets that interrupts are held off for one more instruction (STI, MOV SS). A guest that left between STI
// and HLT would take what it waits for before the HLT, and sleep on. So that instruction is single-stepped, with V_IRQ
// kept back meanwhile. (A PUSHF there shows TF; an instruction that faults takes TF along into its handler's frame.)
static bool forgets_shadow(const struct vmcb *v)
{
    return virt_caps.spare_boot_cpu && (v->rflags & RFLAGS_TF) == 0 && (v->event_inj & SVM_EVENT_VALID) == 0;
}

struct shadow_step { // as the guest was before it
    uint64_t rip, dr6;
    uint8_t v_irq; // its pending bit
};

static SELDOM void begin_shadow_step(struct vmcb *v, struct shadow_step *s)
{
    *s = (struct shadow_step){.rip = v->rip, .dr6 = v->dr6, .v_irq = v->v_irq & 1};
    v->rflags |= RFLAGS_TF;
    v->v_irq &= 0xfe;
}

// Every exit ends the step; where the instruction has not been executed the next entry begins again.
static SELDOM void end_shadow_step(struct vmcb *v, const struct shadow_step *s)
{
    bool stepped = v->exit_code == SVM_EXIT_EXCEPTION0 + VECTOR_DB && (v->dr6 & DR6_BS) != 0;

    v->v_irq |= s->v_irq;
    v->rflags &= ~RFLAGS_TF;
    if (!stepped) {
        v->interrupt_shadow |= v->rip == s->rip;
        return;
    }
    v->dr6 &= ~DR6_BS;
    if ((v->dr6 & DR6_BREAKPOINTS) == 0) { // no breakpoint besides: nothing that the guest should see
        v->dr6 = s->dr6;
        v->exit_code = SVM_EXIT_INTR;
    }
}

static void svm_vp_run(struct vp *vp)
{
    struct vmcb *v = vmcb_of(vp);
    struct cpu *c = this_cpu();
    uint8_t *tpr = (uint8_t *)vp->apic_page + 0x80;
    bool step = __builtin_expect((v->interrupt_shadow & 1) != 0, 0) && forgets_shadow(v);
    struct shadow_step shadow;
    bool may_lose;

    if (step) {
        begin_shadow_step(v, &shadow);
    }
    may_lose = virt_caps.spare_boot_cpu && (v->v_irq & 1) != 0;
    refresh_asid(vp, &asids[c->index]);
    v->v_tpr = *tpr >> 4;
    v->rax = vp->regs->gpr[GPR_RAX];
    svm_enter(vp->regs->gpr, vp->svm.vmcb_pa, va_to_spa(c->virt_save).v);
    vp->regs->gpr[GPR_RAX] = v->rax;
    if (v->v_tpr != *tpr >> 4) {
        *tpr = (uint8_t)(v->v_tpr << 4);
    }
    v->event_inj = 0;
    requeue_event(v);
    if (step) {
        end_shadow_step(v, &shadow);
    }
    if (__builtin_expect(may_lose, 0)) {
        apic_look_again();
    }
    vp->svm.by_v_irq = vp->svm.by_v_irq && (v->v_irq & 1) != 0; // else it was taken
    svm_decode_exit(vp);
}

// Lengths of the opcodes that exit, for processors that do not save the next RIP.
static unsigned opcode_bytes(uint64_t code)
{
    switch (code) {
    case SVM_EXIT_HLT:
        return 1;
    case SVM_EXIT_VMMCALL:
    case SVM_EXIT_XSETBV:
        return 3;
    default:
        return 2; // CPUID, RDMSR, WRMSR, INVD, WBINVD, PAUSE
    }
}

static void svm_advance_rip(struct vp *vp, uint64_t length)
{
    struct vmcb *v = vmcb_of(vp);

    if (length == 0) {
        length = vp_insn_len(vp, opcode_bytes(v->exit_code));
    }
    v->rip += length;
    if ((v->cs.attrib & BIT(9)) == 0 || (v->efer & EFER_LMA) == 0) {
        v->rip &= 0xffffffff;
    }
    v->interrupt_shadow &= ~1ull;
    v->rflags &=
        ~RFLAGS_RF; // held for this one instruction (SDM 3B "Instruction-Breakpoint Exception Condition")
    // The instruction counts as executed for single stepping; a trap that the processor would have taken.
    if (__builtin_expect((v->rflags & RFLAGS_TF) != 0, 0) && (v->event_inj & SVM_EVENT_VALID) == 0) {
        v->dr6 |= DR6_BS;
        v->event_inj = VECTOR_DB | SVM_EVENT_TYPE(EVENT_EXCEPTION) | SVM_EVENT_VALID;
    }
}

// --- events ---

// A virtual interrupt that is always deliverable (APM 2 "Virtual Interrupts"): taken as soon as the guest's IF allows.
static void set_v_irq(struct vmcb *v, uint8_t vector, bool intercepted)
{
    v->v_irq |= 1;
    v->v_prio = 0x1f;
    v->v_vector = vector;
    if (intercepted) {
        v->intercept_misc1 |= SVM_ICPT_VINTR;
    } else {
        v->intercept_misc1 &= ~(uint32_t)SVM_ICPT_VINTR;
    }
}

// Interrupts go by V_IRQ, since the caller has found the guest interruptible: the processor takes it first of all.
// (After EVENTINJ, QEMU 7.2 keeps the vector in exception_index; if another thread asks the processor to leave its loop
// at that moment, the vector is delivered once more, whatever IF says: cpu_handle_exception().)
static void svm_inject(struct vp *vp, enum event_type type, uint8_t vector, bool has_error, uint32_t error)
{
    struct vmcb *v = vmcb_of(vp);

    if (type == EVENT_EXT_INT) {
        set_v_irq(v, vector, false);
        vp->svm.by_v_irq = true;
        return;
    }
    v->event_inj = vector | SVM_EVENT_TYPE(type) | SVM_EVENT_VALID;
    if (has_error) {
        v->event_inj |= SVM_EVENT_ERROR_VALID | (uint64_t)error << 32;
    }
    if (type == EVENT_NMI) {
        vp->svm.nmi_masked = true;
        v->intercept_misc1 |= SVM_ICPT_IRET;
    }
}

static bool svm_event_pending(struct vp *vp)
{
    return vp->svm.by_v_irq || (vmcb_of(vp)->event_inj & SVM_EVENT_VALID) != 0;
}

static bool svm_interruptible(struct vp *vp)
{
    const struct vmcb *v = vmcb_of(vp);

    return (v->rflags & RFLAGS_IF) != 0 && (v->interrupt_shadow & 1) == 0 && !svm_event_pending(vp);
}

static bool svm_nmi_allowed(struct vp *vp)
{
    const struct vmcb *v = vmcb_of(vp);

    // Not before the IRET that ends the previous handler has executed.
    return !vp->svm.nmi_masked && (v->interrupt_shadow & 1) == 0 && v->rip != vp->svm.nmi_iret_rip;
}

// Writes of CR8 reach the VMCB without an exit; only while an interrupt waits for one do they have to exit. (The
// processor could compare priorities itself, but QEMU takes equal ones for deliverable and would exit for ever.)
// With a virtual interrupt pending they exit too: QEMU 7.2 fails an assertion of its own there.
static bool masked_by_tpr(const struct vp *vp)
{
    uint8_t waiting = vlapic_highest(vp, APIC_IRR);

    return waiting != 0 && waiting >> 4 <= vlapic_tpr(vp) >> 4;
}

// With another NMI waiting, the IRET that ends a handler is stepped over: nothing else exits behind it. A guest that
// steps by itself exits anyway. (Should the IRET fault, the handler finds TF in its frame; the step comes later then.)
static void step_over_iret(struct vp *vp, struct vmcb *v)
{
    if (!vp->svm.nmi_masked && v->rip == vp->svm.nmi_iret_rip && (v->rflags & RFLAGS_TF) == 0 &&
        !svm_event_pending(vp)) {
        vp->svm.nmi_step_dr6 = v->dr6;
        v->rflags |= RFLAGS_TF;
    }
}

// The interrupt window is a virtual interrupt that exits instead of being taken. While V_IRQ delivers one, the end of
// its handler is when to look again; its EOI, which exits, comes before that as a rule.
static void svm_want_windows(struct vp *vp, bool interrupt, bool nmi)
{
    struct vmcb *v = vmcb_of(vp);

    v->intercept_cr = interrupt || masked_by_tpr(vp) ? SVM_ICPT_WRITE_CR8 : 0;
    if (nmi) { // while they are masked, the intercept of IRET is on
        step_over_iret(vp, v);
    }
    if (vp->svm.by_v_irq) {
        v->intercept_misc1 |= interrupt ? SVM_ICPT_IRET : 0;
    } else if (interrupt) {
        set_v_irq(v, 0, true);
    } else {
        v->v_irq &= 0xfe;
        v->intercept_misc1 &= ~(uint32_t)SVM_ICPT_VINTR;
    }
}

// --- the rest ---

static void svm_set_tsc_offset(struct vp *vp, uint64_t offset)
{
    vmcb_of(vp)->tsc_offset = offset;
}

static void svm_set_exceptions(struct vp *vp, uint32_t mask)
{
    vp->svm.exceptions = mask;
    vmcb_of(vp)->intercept_exceptions = mask | ALWAYS_INTERCEPTED;
}

static void svm_set_dr_intercept(struct vp *vp, bool on)
{
    vmcb_of(vp)->intercept_dr = on ? 0xffffffff : 0;
}

static void svm_flush_gpa(struct partition *p)
{
    struct asid_state *a = &asids[this_cpu()->index];

    (void)p; // without flush by ASID, every VP of this processor starts with a fresh one
    a->generation += 1ull << 8;
    a->next = virt_caps.asid_count;
}

static void svm_flush_gva(struct vp *vp)
{
    vp->svm.asid_generation = 0;
}

static void no_apicv_sync(struct vp *vp, uint8_t rvi, uint8_t svi)
{
    (void)vp;
    (void)rvi;
    (void)svi;
}

static uint8_t no_apicv_rvi(struct vp *vp)
{
    (void)vp;
    return 0;
}

static void no_apicv_eoi_exit(struct vp *vp, const uint64_t bitmap[4])
{
    (void)vp;
    (void)bitmap;
}

static void no_apicv_mode(struct vp *vp, unsigned mode)
{
    (void)vp;
    (void)mode;
}

const struct virt_ops svm_ops = {
    .name = "svm",
    .hypercall_insn = {0x0f, 0x01, 0xd9}, // VMMCALL
    .probe = svm_probe,
    .cpu_on = svm_cpu_on,
    .cpu_off = svm_cpu_off,
    .npt = &npt,
    .vp_pages = 1,
    .vp_init = svm_vp_init,
    .vp_fini = svm_vp_fini,
    .vp_load = svm_vp_load,
    .vp_unload = svm_vp_unload,
    .context_save = svm_context_save,
    .context_restore = svm_context_restore,
    .vp_run = svm_vp_run,
    .mode = svm_mode,
    .exit_state = svm_exit_state,
    .get_reg = svm_get_reg,
    .set_reg = svm_set_reg,
    .advance_rip = svm_advance_rip,
    .inject = svm_inject,
    .event_pending = svm_event_pending,
    .interruptible = svm_interruptible,
    .nmi_allowed = svm_nmi_allowed,
    .want_windows = svm_want_windows,
    .set_tsc_offset = svm_set_tsc_offset,
    .set_exceptions = svm_set_exceptions,
    .set_dr_intercept = svm_set_dr_intercept,
    .apicv_sync = no_apicv_sync,
    .apicv_rvi = no_apicv_rvi,
    .apicv_eoi_exit = no_apicv_eoi_exit,
    .apicv_mode = no_apicv_mode,
    .flush_gpa = svm_flush_gpa,
    .flush_gva = svm_flush_gva,
    .dump = svm_dump,
};
