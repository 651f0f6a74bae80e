// SPDX-License-Identifier: Apache-2.0
// VT-x back end: enabling the extension, VMCS life cycle, host state, flushes, the ops table.
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/mitigations.h"

#define FEATURE_CONTROL_LOCKED BIT(0)
#define FEATURE_CONTROL_VMX BIT(2)
#define EPTP_WRITE_BACK 6
#define EPTP_4_LEVELS (3u << 3)
#define NO_CPU (~0u)

// SDM 3C "Format of EPT Entries". Ignore-PAT is not set: the guest's own types combine with these, and
// memory that it maps uncached stays coherent.
static const struct npt_format ept_format = {
    .leaf_common = 6u << 3, // write-back
    .leaf_uncached = 0,
    .table = 7,
    .read = 1,
    .write = 2,
    .exec = 4,
    .noexec = 0,
    .present = 7,
    .large = BIT(7),
    .addr_mask = 0x000ffffffffff000ull,
};

static SELDOM __attribute__((noreturn)) void failed(const char *what)
{
    panic("%s failed on processor %u", what, this_cpu()->index);
}

static inline void must(bool ok, const char *what)
{
    if (__builtin_expect(!ok, 0)) {
        failed(what);
    }
}

// --- processors ---

static void vmx_cpu_on(void)
{
    struct arch_cpu *arch = this_arch_cpu();
    uint64_t feature = rdmsr(MSR_FEATURE_CONTROL);

    if ((feature & FEATURE_CONTROL_LOCKED) == 0) {
        wrmsr(MSR_FEATURE_CONTROL, feature | FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX);
    } else if ((feature & FEATURE_CONTROL_VMX) == 0) {
        panic("VT-x is locked off on processor %u, but not on the first", this_cpu()->index);
    }
    write_cr0((read_cr0() | vmx_controls.cr0_fixed0) & vmx_controls.cr0_fixed1);
    write_cr4((read_cr4() | vmx_controls.cr4_fixed0 | CR4_VMXE) & vmx_controls.cr4_fixed1);
    *(uint32_t *)spa_to_va(arch->virt_page) = vmx_controls.revision;
    must(vmxon(arch->virt_page), "VMXON");
    must(invept(INV_ALL_CONTEXTS, 0), "INVEPT");
    must(invvpid(INV_ALL_CONTEXTS, 0), "INVVPID");
    arch->virt_on = true;
}

static void vmx_cpu_off(void)
{
    if (!this_arch_cpu()->virt_on) {
        return;
    }
    this_arch_cpu()->virt_on = false;
    __asm__ volatile("vmxoff" : : : "cc", "memory");
    write_cr4(read_cr4() & ~CR4_VMXE);
}

// --- VPs ---

uint64_t vmx_eptp(const struct partition *p)
{
    return va_to_spa(p->npt_root).v | EPTP_WRITE_BACK | EPTP_4_LEVELS;
}

// The part of the host state that does not depend on the processor.
static void init_host_state(void)
{
    vmwrite(VMCS_HOST_CS_SELECTOR, HOST_CS);
    vmwrite(VMCS_HOST_SS_SELECTOR, HOST_DS);
    vmwrite(VMCS_HOST_DS_SELECTOR, HOST_DS);
    vmwrite(VMCS_HOST_ES_SELECTOR, HOST_DS);
    vmwrite(VMCS_HOST_TR_SELECTOR, HOST_TR);
    vmwrite(VMCS_HOST_CR3, paging_cr3());
    vmwrite(VMCS_HOST_IDTR_BASE, idt_base());
    vmwrite(VMCS_HOST_PAT, PAT_RESET);
    vmwrite(VMCS_HOST_EFER, rdmsr(MSR_EFER));
    vmwrite(VMCS_HOST_RIP, (uint64_t)vmx_exit_point);
}

static SELDOM void set_host_processor(struct vp *vp)
{
    struct cpu *c = this_cpu();
    struct arch_cpu *arch = c->arch;

    vmwrite(VMCS_HOST_CR0, read_cr0());
    vmwrite(VMCS_HOST_CR4, read_cr4());
    vmwrite(VMCS_HOST_GS_BASE, (uint64_t)c);
    vmwrite(VMCS_HOST_TR_BASE, (uint64_t)&arch->tss);
    vmwrite(VMCS_HOST_GDTR_BASE, (uint64_t)arch->gdt);
    vp->vmx.last_cpu = c->index;
    // Translations cached here may be older than the guest's last invalidation on another processor.
    vmx_flush_gva(vp);
}

static inline void make_current(struct arch_cpu *arch, struct vp *vp)
{
    must(vmptrld(&vp->vmx.vmcs), "VMPTRLD");
    arch->vmcs_owner = vp;
}

// With everything that can be due.
static __attribute__((noinline)) void load_with_care(struct arch_cpu *arch, struct vp *vp)
{
    if (arch->vmcs_owner != NULL) {
        vmx_nmi_settle(arch->vmcs_owner);
    }
    make_current(arch, vp);
    if (vp->vmx.last_cpu != this_cpu()->index) {
        set_host_processor(vp);
    }
    vmx_nmi_loaded(vp);
    mitigations_switch(arch, vp->partition);
}

// A device access turns to two VPs, so a switch among those of one processor is short where the processor needs no
// barriers.
static void vmx_vp_load(struct vp *vp)
{
    struct cpu *c = this_cpu();
    struct arch_cpu *arch = c->arch;

    if (vp->vmx.last_cpu != c->index || vmx_nmis_used || mitigations_ibpb) {
        load_with_care(arch, vp);
        return;
    }
    make_current(arch, vp);
    arch->last_partition = vp->partition;
}

// The VP may be another than the one that was loaded last: several VMCSs are active on a processor.
static void vmx_vp_unload(struct vp *vp)
{
    struct arch_cpu *arch = this_arch_cpu();

    if (arch->vmcs_owner == vp) {
        vmx_nmi_settle(vp);
        arch->vmcs_owner = NULL;
    }
    must(vmclear(&vp->vmx.vmcs), "VMCLEAR");
    vp->vmx.launched = false;
}

static void vmx_context_save(struct vp *vp)
{
    vp->cr2 = read_cr2();
    vp->dr6 = read_dr6();
    vmx_save_msrs(vp);
}

static void vmx_context_restore(struct vp *vp)
{
    vmx_restore_msrs(vp);
    write_cr2(vp->cr2);
    write_dr6(vp->dr6);
}

// Works on the new VMCS in between, whatever VP is loaded here.
static void vmx_vp_init(struct vp *vp, void *const *pages)
{
    struct vp *current = this_cpu()->current;

    *(uint32_t *)pages[0] = vmx_controls.revision;
    vp->vmx = (struct vmx_vp){.vmcs = va_to_spa(pages[0]).v, .last_cpu = NO_CPU};
    must(vmclear(&vp->vmx.vmcs) && vmptrld(&vp->vmx.vmcs), "VMPTRLD");
    vmx_init_zero_fields();
    vmx_init_controls(vp);
    vmx_init_registers(vp);
    init_host_state();
    must(vmclear(&vp->vmx.vmcs), "VMCLEAR");
    if (current != NULL) {
        must(vmptrld(&current->vmx.vmcs), "VMPTRLD");
    }
}

static void vmx_vp_fini(struct vp *vp)
{
    (void)vp; // vp_unload() has written everything back: the VMCS page is plain memory again
}

// --- flushes on this processor ---

void vmx_flush_gpa(struct partition *p)
{
    // A processor that has not enabled VMX yet has nothing cached, and starts with a flush.
    if (this_arch_cpu()->virt_on) {
        must(invept(INV_SINGLE_CONTEXT, vmx_eptp(p)), "INVEPT");
    }
}

void vmx_flush_gva(struct vp *vp)
{
    must(invvpid(INV_SINGLE_CONTEXT, vp->vpid), "INVVPID");
}

const struct virt_ops vmx_ops = {
    .name = "vmx",
    .hypercall_insn = {0x0f, 0x01, 0xc1}, // VMCALL
    .probe = vmx_probe,
    .cpu_on = vmx_cpu_on,
    .cpu_off = vmx_cpu_off,
    .npt = &ept_format,
    .vp_pages = 1,
    .vp_init = vmx_vp_init,
    .vp_fini = vmx_vp_fini,
    .vp_load = vmx_vp_load,
    .vp_unload = vmx_vp_unload,
    .context_save = vmx_context_save,
    .context_restore = vmx_context_restore,
    .vp_run = vmx_vp_run,
    .mode = vmx_mode,
    .exit_state = vmx_exit_state,
    .get_reg = vmx_get_reg,
    .set_reg = vmx_set_reg,
    .advance_rip = vmx_advance_rip,
    .inject = vmx_inject,
    .event_pending = vmx_event_pending,
    .interruptible = vmx_interruptible,
    .nmi_allowed = vmx_nmi_allowed,
    .want_windows = vmx_want_windows,
    .set_tsc_offset = vmx_set_tsc_offset,
    .set_exceptions = vmx_set_exceptions,
    .set_dr_intercept = vmx_set_dr_intercept,
    .apicv_sync = vmx_apicv_sync,
    .apicv_rvi = vmx_apicv_rvi,
    .apicv_eoi_exit = vmx_apicv_eoi_exit,
    .apicv_mode = vmx_apicv_mode,
    .flush_gpa = vmx_flush_gpa,
    .flush_gva = vmx_flush_gva,
    .dump = vmx_dump,
};
