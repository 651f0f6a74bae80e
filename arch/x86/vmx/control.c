// SPDX-License-Identifier: Apache-2.0
// What the processor's VMX can do, the controls of a VP, and the shared bitmaps.
//
// Controls are computed from the capability MSRs (SDM 3D appendix "VMX Capability Reporting Facility"): what
// is required must be there, or the processor is refused by name; what is optional is dropped.
#include "arch/x86/vmx/vmx.h"

#define MSR_VMX_BASIC 0x480
#define MSR_VMX_MISC 0x485
#define MSR_VMX_CR0_FIXED0 0x486
#define MSR_VMX_CR0_FIXED1 0x487
#define MSR_VMX_CR4_FIXED0 0x488
#define MSR_VMX_CR4_FIXED1 0x489
#define MSR_VMX_PROC2 0x48b
#define MSR_VMX_EPT_VPID 0x48c
#define MSR_VMX_TRUE_PIN 0x48d
#define MSR_VMX_TRUE_PROC 0x48e
#define MSR_VMX_TRUE_EXIT 0x48f
#define MSR_VMX_TRUE_ENTRY 0x490

#define BASIC_TRUE_CONTROLS BIT(55)
#define BASIC_STRING_IO_INFO BIT(54)

#define EPT_4_LEVELS BIT(6)
#define EPT_WRITE_BACK BIT(14)
#define EPT_PAGE_2M BIT(16)
#define EPT_PAGE_1G BIT(17)
#define EPT_INVEPT BIT(20)
#define EPT_INVEPT_SINGLE BIT(25)
#define EPT_INVEPT_ALL BIT(26)
#define VPID_INVVPID BIT(32)
#define VPID_SINGLE BIT(41)
#define VPID_ALL BIT(42)
#define EPT_VPID_REQUIRED                                                                                    \
    (EPT_4_LEVELS | EPT_WRITE_BACK | EPT_PAGE_2M | EPT_INVEPT | EPT_INVEPT_SINGLE | EPT_INVEPT_ALL |         \
     VPID_INVVPID | VPID_SINGLE | VPID_ALL)

#define FEATURE_CONTROL_LOCKED BIT(0)
#define FEATURE_CONTROL_VMX BIT(2)
#define CPUID_VMX BIT(5) // 1 ECX

// SDM 3C "Changes to Instruction Behavior: PAUSE": two PAUSEs at most `gap` ticks apart belong to one loop;
// a loop that lasts longer than `window` exits. Spin locks held for a moment stay below it.
#define PLE_GAP 128
#define PLE_WINDOW 16384

// Interrupts of the machine have their turn when a guest has run for this long. They end its run by themselves, but
// Bochs 2.7 computes at VM entry, from the host's point of view, whether they are masked, and again only when the guest
// changes RFLAGS.IF: one that has cleared it and spins would never be left again, and one that exits all the time would
// keep them waiting as long. Hence the timer is saved at exits and runs on (SDM 3C "VMX-Preemption Timer").
#define LONGEST_RUN_HZ 2000

// #DB and #AC are intercepted always: a guest can make their delivery recurse inside the processor for
// ever, and only an exit breaks that (CVE-2015-5307, CVE-2015-8104). #MC belongs to the host.
#define ALWAYS_INTERCEPTED (BIT(VECTOR_DB) | BIT(VECTOR_AC) | BIT(VECTOR_MC))

#define APICV_PROC2 (PROC2_APIC_REGISTERS | PROC2_INTERRUPT_DELIVERY)

#define MSR_BITMAP_BYTES 4096
#define MSR_LOW_END 0x2000u
#define MSR_HIGH_BASE 0xc0000000u
#define MSR_HIGH_OFFSET 1024
#define MSR_WRITE_OFFSET 2048
#define X2APIC_FIRST 0x800u

enum vapic_mode { VAPIC_OFF = 0, VAPIC_XAPIC = 1, VAPIC_X2APIC = 2 };

struct vmx_controls vmx_controls;

static uint8_t msr_bitmaps[2][2][MSR_BITMAP_BYTES] __attribute__((aligned(4096))); // [is root][x2APIC]

// --- capabilities ---

static bool refuse(char *why, size_t why_len, const char *text)
{
    size_t i = 0;

    for (; text[i] != 0 && i + 1 < why_len; i++) {
        why[i] = text[i];
    }
    why[i] = 0;
    return false;
}

// `wanted` plus what the processor insists on; 0 if something in `wanted` is not to be had. Default1
// controls that TRUE capability MSRs allow to be 0 stay 0.
static uint32_t choose(uint32_t msr, uint64_t wanted, uint64_t optional)
{
    uint64_t cap = rdmsr(msr);
    uint32_t must = (uint32_t)cap, may = (uint32_t)(cap >> 32);

    if ((wanted & ~(uint64_t)may) != 0) {
        return 0;
    }
    return must | (uint32_t)wanted | ((uint32_t)optional & may);
}

static uint64_t optional_proc2(void)
{
    uint64_t optional = PROC2_PAUSE_LOOP | PROC2_ENCLS;

    optional |= cpuid_checked(0x80000001, 0).edx & BIT(27) ? PROC2_RDTSCP : 0;
    optional |= cpuid_checked(7, 0).ebx & BIT(10) ? PROC2_INVPCID : 0;
    optional |= cpuid_checked(0xd, 1).eax & BIT(3) ? PROC2_XSAVES : 0;
    return optional;
}

static bool choose_controls(struct vmx_controls *c)
{
    c->pin = choose(MSR_VMX_TRUE_PIN, PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI,
                    PIN_PREEMPTION_TIMER);
    c->proc = choose(MSR_VMX_TRUE_PROC,
                     PROC_TSC_OFFSET | PROC_HLT | PROC_MWAIT | PROC_RDPMC | PROC_TPR_SHADOW |
                         PROC_MSR_BITMAPS | PROC_MONITOR | PROC_SECONDARY,
                     0);
    c->proc2 = choose(MSR_VMX_PROC2, PROC2_EPT | PROC2_VPID | PROC2_WBINVD | PROC2_UNRESTRICTED,
                      optional_proc2());
    c->exit = choose(MSR_VMX_TRUE_EXIT,
                     EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_SAVE_EFER |
                         EXIT_LOAD_EFER,
                     (c->pin & PIN_PREEMPTION_TIMER) != 0 ? EXIT_SAVE_PREEMPTION_TIMER : 0);
    c->entry = choose(MSR_VMX_TRUE_ENTRY, ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER, 0);
    c->rdtscp = c->proc2 & PROC2_RDTSCP;
    return c->pin != 0 && c->proc != 0 && c->proc2 != 0 && c->exit != 0 && c->entry != 0;
}

static bool has_apicv(void)
{
    uint32_t may = (uint32_t)(rdmsr(MSR_VMX_PROC2) >> 32);
    uint32_t needed = PROC2_APIC_ACCESS | PROC2_X2APIC | APICV_PROC2;

    return (may & needed) == needed;
}

// Bochs (2.7, and later ones) looks at its own interrupts alone when it asks whether one may be taken, and then takes
// the guest's first: one that RFLAGS.IF holds back arrives all the same when an interrupt of the machine does, in the
// middle of what the guest protects by CLI. What tells it apart are posted interrupts, which every processor has that
// delivers virtual ones.
static bool delivers_masked(void)
{
    return (rdmsr(MSR_VMX_TRUE_PIN) >> 32 & PIN_POSTED_INTERRUPTS) == 0;
}

static const char *missing_feature(void)
{
    if ((cpuid(1, 0).ecx & CPUID_VMX) == 0) {
        return "the processor has no VT-x";
    }
    uint64_t feature = rdmsr(MSR_FEATURE_CONTROL);
    if ((feature & FEATURE_CONTROL_LOCKED) && (feature & FEATURE_CONTROL_VMX) == 0) {
        return "VT-x is locked off by the firmware";
    }
    if ((rdmsr(MSR_VMX_BASIC) & BASIC_TRUE_CONTROLS) == 0) {
        return "VT-x without the TRUE control capabilities";
    }
    if ((rdmsr(MSR_VMX_TRUE_PROC) >> 32 & PROC_SECONDARY) == 0) {
        return "VT-x without secondary controls";
    }
    uint64_t proc2 = rdmsr(MSR_VMX_PROC2) >> 32;
    if ((proc2 & PROC2_EPT) == 0) {
        return "VT-x without EPT";
    }
    if ((proc2 & PROC2_UNRESTRICTED) == 0) {
        return "VT-x without unrestricted guest";
    }
    if ((proc2 & PROC2_VPID) == 0) {
        return "VT-x without VPID";
    }
    if ((rdmsr(MSR_VMX_EPT_VPID) & EPT_VPID_REQUIRED) != EPT_VPID_REQUIRED) {
        return "EPT without 4 levels, write-back, 2 MiB pages, INVEPT or INVVPID";
    }
    return NULL;
}

// --- MSR bitmaps (SDM 3C "MSR-Bitmap Address"): a set bit exits ---

static void pass_msr(uint8_t *bitmap, uint32_t msr, uint8_t rights)
{
    uint32_t offset = 0, n = msr;

    if (msr >= MSR_HIGH_BASE) {
        offset = MSR_HIGH_OFFSET;
        n = msr - MSR_HIGH_BASE;
    }
    if (n >= MSR_LOW_END) {
        return; // outside both ranges an access always exits
    }
    uint8_t mask = (uint8_t) ~(1u << (n & 7));
    if (rights & MSR_PASS_READ) {
        bitmap[offset + n / 8] &= mask;
    }
    if (rights & MSR_PASS_WRITE) {
        bitmap[MSR_WRITE_OFFSET + offset + n / 8] &= mask;
    }
}

// What the processor virtualizes in x2APIC mode. ICR and the timer's current count stay with software.
static void pass_x2apic(uint8_t *bitmap)
{
    static const uint8_t readable[] = {0x02, 0x03, 0x08, 0x0a, 0x0d, 0x0f, 0x28, 0x32,
                                       0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x3e};

    for (unsigned i = 0; i < ARRAY_LEN(readable); i++) {
        pass_msr(bitmap, X2APIC_FIRST + readable[i], MSR_PASS_READ);
    }
    for (uint32_t reg = 0x10; reg < 0x28; reg++) { // ISR, TMR, IRR
        pass_msr(bitmap, X2APIC_FIRST + reg, MSR_PASS_READ);
    }
    pass_msr(bitmap, X2APIC_FIRST + 0x08, MSR_PASS_WRITE); // TPR
    pass_msr(bitmap, X2APIC_FIRST + 0x0b, MSR_PASS_WRITE); // EOI
    pass_msr(bitmap, X2APIC_FIRST + 0x3f, MSR_PASS_WRITE); // self IPI
}

static void build_msr_bitmaps(void)
{
    __builtin_memset(msr_bitmaps, 0xff, sizeof(msr_bitmaps));
    for (const struct msr_pass *m = msr_pass_table; m->msr != 0; m++) {
        for (unsigned x2apic = 0; x2apic < 2; x2apic++) {
            pass_msr(msr_bitmaps[false][x2apic], m->msr, m->guest);
            pass_msr(msr_bitmaps[true][x2apic], m->msr, m->root);
        }
    }
    pass_x2apic(msr_bitmaps[false][true]);
    pass_x2apic(msr_bitmaps[true][true]);
}

bool vmx_probe(struct virt_caps *caps, char *why, size_t why_len)
{
    struct vmx_controls *c = &vmx_controls;
    const char *missing = missing_feature();

    if (missing != NULL) {
        return refuse(why, why_len, missing);
    }
    if (!choose_controls(c)) {
        return refuse(why, why_len, "VT-x without a control that Keelson needs");
    }
    c->revision = (uint32_t)rdmsr(MSR_VMX_BASIC) & 0x7fffffff;
    c->string_io_info = rdmsr(MSR_VMX_BASIC) & BASIC_STRING_IO_INFO;
    c->longest_run = (uint32_t)MIN(host_tsc_hz / LONGEST_RUN_HZ >> (rdmsr(MSR_VMX_MISC) & 31),
                                   (uint64_t)UINT32_MAX);
    c->cr0_fixed0 = rdmsr(MSR_VMX_CR0_FIXED0);
    c->cr0_fixed1 = rdmsr(MSR_VMX_CR0_FIXED1);
    c->cr4_fixed0 = rdmsr(MSR_VMX_CR4_FIXED0);
    c->cr4_fixed1 = rdmsr(MSR_VMX_CR4_FIXED1);
    build_msr_bitmaps();
    *caps = (struct virt_caps){
        .apicv = has_apicv(),
        .apicv_faulty = delivers_masked(),
        .next_rip = true,
        .page_1g = rdmsr(MSR_VMX_EPT_VPID) & EPT_PAGE_1G,
        .asid_count = 65536,
    };
    return true;
}

// --- controls of a VP ---

static uint64_t guest_owned_cr4(void)
{
    uint64_t bits = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE |
                    CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP |
                    CR4_SMAP;

    return bits & vmx_controls.cr4_fixed1;
}

static void init_bitmaps(const struct vp *vp)
{
    if (vp->partition->is_root) {
        uint64_t io = va_to_spa(root_io_bitmap).v;
        vmwrite(VMCS_IO_BITMAP_A, io);
        vmwrite(VMCS_IO_BITMAP_B, io + PAGE_SIZE);
    }
    vmwrite(VMCS_MSR_BITMAP, va_to_spa(msr_bitmaps[vp->partition->is_root][false]).v);
}

void vmx_restart_preemption_timer(void)
{
    if ((vmx_controls.pin & PIN_PREEMPTION_TIMER) != 0) {
        vmwrite(VMCS_GUEST_PREEMPTION_TIMER, vmx_controls.longest_run);
    }
}

void vmx_init_controls(struct vp *vp)
{
    struct vmx_vp *v = &vp->vmx;
    const struct vmx_controls *c = &vmx_controls;

    v->pin = c->pin;
    v->proc = c->proc | (uint32_t)(vp->partition->is_root ? PROC_IO_BITMAPS : PROC_UNCONDITIONAL_IO);
    v->proc |= PROC_CR8_LOAD;
    v->proc2 = c->proc2;
    v->apicv_mode = VAPIC_OFF;
    vmwrite(VMCS_PIN_CONTROLS, v->pin);
    vmx_restart_preemption_timer();
    vmwrite(VMCS_PROC_CONTROLS, v->proc);
    vmwrite(VMCS_PROC2_CONTROLS, v->proc2);
    vmwrite(VMCS_EXIT_CONTROLS, c->exit);
    vmwrite(VMCS_ENTRY_CONTROLS, c->entry);
    vmx_set_exceptions(vp, 0);
    init_bitmaps(vp);
    vmwrite(VMCS_VPID, vp->vpid);
    vmwrite(VMCS_EPT_POINTER, vmx_eptp(vp->partition));
    vmwrite(VMCS_VIRTUAL_APIC, va_to_spa(vp->apic_page).v);
    vmwrite(VMCS_TPR_THRESHOLD, 0); // writes of CR8 exit until the processor delivers interrupts itself
    vmwrite(VMCS_LINK_POINTER, ~0ull);
    if (v->proc2 & PROC2_PAUSE_LOOP) {
        vmwrite(VMCS_PLE_GAP, PLE_GAP);
        vmwrite(VMCS_PLE_WINDOW, PLE_WINDOW);
    }
    if (v->proc2 & PROC2_XSAVES) {
        vmwrite(VMCS_XSS_EXIT_BITMAP, 0); // IA32_XSS is 0: nothing to intercept
    }
    if (v->proc2 & PROC2_ENCLS) {
        vmwrite(VMCS_ENCLS_EXIT_BITMAP, ~0ull);
    }
    v->cr0_mask = CR0_NE | CR0_NW | CR0_CD;
    v->cr4_mask = ~guest_owned_cr4();
    vmwrite(VMCS_CR0_MASK, v->cr0_mask);
    vmwrite(VMCS_CR4_MASK, v->cr4_mask);
}

// A new VMCS has no defined contents (SDM 3C "Initializing a VMCS"): what nobody else writes is made 0.
void vmx_init_zero_fields(void)
{
    static const uint16_t fields[] = {
        VMCS_PF_ERROR_MASK,
        VMCS_PF_ERROR_MATCH,
        VMCS_CR3_TARGET_COUNT,
        VMCS_EXIT_MSR_STORE_COUNT,
        VMCS_EXIT_MSR_LOAD_COUNT,
        VMCS_ENTRY_MSR_LOAD_COUNT,
        VMCS_ENTRY_INTR_INFO,
        VMCS_TSC_OFFSET,
        VMCS_GUEST_INTERRUPT_STATUS,
        VMCS_GUEST_DEBUGCTL,
        VMCS_GUEST_EFER,
        VMCS_GUEST_INTERRUPTIBILITY,
        VMCS_GUEST_ACTIVITY,
        VMCS_GUEST_PENDING_DEBUG,
        VMCS_GUEST_SYSENTER_CS,
        VMCS_GUEST_SYSENTER_ESP,
        VMCS_GUEST_SYSENTER_EIP,
        VMCS_GUEST_CR3,
        VMCS_GUEST_RSP,
        VMCS_HOST_FS_SELECTOR,
        VMCS_HOST_GS_SELECTOR,
        VMCS_HOST_FS_BASE,
        VMCS_HOST_SYSENTER_CS,
        VMCS_HOST_SYSENTER_ESP,
        VMCS_HOST_SYSENTER_EIP,
    };

    for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
        // Only processors with virtual-interrupt delivery have an interrupt status.
        if (fields[i] != VMCS_GUEST_INTERRUPT_STATUS || has_apicv()) {
            vmwrite(fields[i], 0);
        }
    }
    for (unsigned i = 0; i < 4 && has_apicv(); i++) {
        vmwrite(VMCS_EOI_EXIT0 + 2 * i, 0);
    }
}

void vmx_set_proc(struct vp *vp, uint64_t set, uint64_t clear)
{
    uint32_t proc = (vp->vmx.proc | (uint32_t)set) & ~(uint32_t)clear;

    if (proc != vp->vmx.proc) {
        vp->vmx.proc = proc;
        vmwrite(VMCS_PROC_CONTROLS, proc);
    }
}

void vmx_set_tsc_offset(struct vp *vp, uint64_t offset)
{
    (void)vp;
    vmwrite(VMCS_TSC_OFFSET, offset);
}

void vmx_set_exceptions(struct vp *vp, uint32_t mask)
{
    vp->vmx.exceptions = mask;
    vmwrite(VMCS_EXCEPTION_BITMAP, mask | ALWAYS_INTERCEPTED);
}

void vmx_set_dr_intercept(struct vp *vp, bool on)
{
    vmx_set_proc(vp, on ? PROC_MOV_DR : 0, on ? 0 : PROC_MOV_DR);
}

// --- APIC virtualization (SDM 3C "APIC Virtualization and Virtual Interrupts") ---

void vmx_apicv_sync(struct vp *vp, uint8_t rvi, uint8_t svi)
{
    (void)vp;
    vmwrite(VMCS_GUEST_INTERRUPT_STATUS, rvi | (uint32_t)svi << 8);
}

uint8_t vmx_apicv_rvi(struct vp *vp)
{
    (void)vp;
    return (uint8_t)vmread(VMCS_GUEST_INTERRUPT_STATUS);
}

void vmx_apicv_eoi_exit(struct vp *vp, const uint64_t bitmap[4])
{
    (void)vp;
    for (unsigned i = 0; i < 4; i++) {
        vmwrite(VMCS_EOI_EXIT0 + 2 * i, bitmap[i]);
    }
}

void vmx_apicv_mode(struct vp *vp, unsigned mode)
{
    static const uint32_t mode_bits[] = {
        [VAPIC_OFF] = 0,
        [VAPIC_XAPIC] = PROC2_APIC_ACCESS | APICV_PROC2,
        [VAPIC_X2APIC] = PROC2_X2APIC | APICV_PROC2,
    };
    struct vmx_vp *v = &vp->vmx;

    v->apicv_mode = (uint8_t)mode;
    v->proc2 = (v->proc2 & ~(uint32_t)(PROC2_APIC_ACCESS | PROC2_X2APIC | APICV_PROC2)) | mode_bits[mode];
    vmwrite(VMCS_PROC2_CONTROLS, v->proc2);
    vmwrite(VMCS_APIC_ACCESS, vp->partition->apic_access.v);
    vmwrite(VMCS_MSR_BITMAP, va_to_spa(msr_bitmaps[vp->partition->is_root][mode == VAPIC_X2APIC]).v);
    vmx_set_proc(vp, mode == VAPIC_OFF ? PROC_CR8_LOAD : 0, mode == VAPIC_OFF ? 0 : PROC_CR8_LOAD);
    vmx_flush_gva(vp); // translations of the APIC page may be cached without the redirection
}
