// SPDX-License-Identifier: Apache-2.0
// Registers of a VP in its VMCS and, for what VMX does not switch, in the processor.
//
// The guest sees CR0 and CR4 through masks: bits that the hypervisor owns come from a read shadow (CR0.NE,
// NW and CD; CR4.VMXE, MCE and whatever is not listed in control.c). Control registers set here may pass through
// combinations that an entry would refuse: a parent sets them one by one.
#include "arch/x86/vmx/vmx.h"

#define SEGMENT_TR 7 // HV_REG_ES .. HV_REG_TR in the order of the VMCS
#define RIGHTS_MASK 0xf0ffu
#define RIGHTS_PRESENT BIT(7)
#define RIGHTS_UNUSABLE_TO_PRESENT 9 // bits between them: what is unusable is not present
#define RIGHTS_BUSY BIT(1)
#define RFLAGS_VALID 0x3f7fd7ull
#define CR3_PDPT_MASK 0xffffffe0ull

// The VMCS field of a register that is one, 0 for others, by the name's group and number. Handlers ask for these on
// every exit.
#define NUMBERS 32u
#define GROUPS 16u
#define GROUP_MASK ((GROUPS - 1) << 16)
#define FIELD(name) [((name) >> 11) | ((name)&0xffff)]
static const uint16_t plain_fields[GROUPS * NUMBERS] = {
    FIELD(HV_REG_RIP) = VMCS_GUEST_RIP,
    FIELD(HV_REG_RFLAGS) = VMCS_GUEST_RFLAGS,
    FIELD(HV_REG_RSP) = VMCS_GUEST_RSP,
    FIELD(HV_REG_CR3) = VMCS_GUEST_CR3,
    FIELD(HV_REG_DR7) = VMCS_GUEST_DR7,
    FIELD(HV_REG_EFER) = VMCS_GUEST_EFER,
    FIELD(HV_REG_PAT) = VMCS_GUEST_PAT,
    FIELD(HV_REG_SYSENTER_CS) = VMCS_GUEST_SYSENTER_CS,
    FIELD(HV_REG_SYSENTER_EIP) = VMCS_GUEST_SYSENTER_EIP,
    FIELD(HV_REG_SYSENTER_ESP) = VMCS_GUEST_SYSENTER_ESP,
};

static inline uint32_t plain_field(uint32_t name)
{
    return (name & ~(GROUP_MASK | (NUMBERS - 1))) == 0 ? plain_fields[(name >> 11) | (name & (NUMBERS - 1))]
                                                       : 0;
}

// MSRs that stay in the processor while the VP is loaded.
static const struct live {
    uint32_t name, msr;
    uint32_t offset; // in struct vmx_vp
} live[] = {
    {HV_REG_KERNEL_GS_BASE, MSR_KERNEL_GS_BASE, offsetof(struct vmx_vp, msr_kernel_gs)},
    {HV_REG_STAR, MSR_STAR, offsetof(struct vmx_vp, msr_star)},
    {HV_REG_LSTAR, MSR_LSTAR, offsetof(struct vmx_vp, msr_lstar)},
    {HV_REG_CSTAR, MSR_CSTAR, offsetof(struct vmx_vp, msr_cstar)},
    {HV_REG_SFMASK, MSR_SFMASK, offsetof(struct vmx_vp, msr_sfmask)},
    {HV_REG_TSC_AUX, MSR_TSC_AUX, offsetof(struct vmx_vp, msr_tsc_aux)}, // last: needs RDTSCP
};

static unsigned live_count(void)
{
    return ARRAY_LEN(live) - (vmx_controls.rdtscp ? 0 : 1);
}

void vmx_save_msrs(struct vp *vp)
{
    for (unsigned i = 0; i < live_count(); i++) {
        *(uint64_t *)((uint8_t *)&vp->vmx + live[i].offset) = rdmsr(live[i].msr);
    }
}

void vmx_restore_msrs(const struct vp *vp)
{
    for (unsigned i = 0; i < live_count(); i++) {
        wrmsr(live[i].msr, *(const uint64_t *)((const uint8_t *)&vp->vmx + live[i].offset));
    }
}

// --- segments and tables ---

static void get_segment(unsigned n, struct hv_segment *s)
{
    uint64_t rights = vmread(VMCS_GUEST_ES_RIGHTS + 2 * n);

    s->selector = (uint16_t)vmread(VMCS_GUEST_ES_SELECTOR + 2 * n);
    s->limit = (uint32_t)vmread(VMCS_GUEST_ES_LIMIT + 2 * n);
    s->base = vmread(VMCS_GUEST_ES_BASE + 2 * n);
    s->attributes = rights & RIGHTS_MASK & ~(rights >> RIGHTS_UNUSABLE_TO_PRESENT & RIGHTS_PRESENT);
}

static void set_segment(unsigned n, const struct hv_segment *s)
{
    uint64_t rights = s->attributes & RIGHTS_MASK;

    if ((rights & RIGHTS_PRESENT) == 0) {
        rights |= RIGHTS_UNUSABLE;
    }
    if (n == SEGMENT_TR) {
        rights |= RIGHTS_BUSY; // the processor only knows busy task registers
    }
    vmwrite(VMCS_GUEST_ES_SELECTOR + 2 * n, s->selector);
    vmwrite(VMCS_GUEST_ES_LIMIT + 2 * n, s->limit);
    vmwrite(VMCS_GUEST_ES_BASE + 2 * n, s->base);
    vmwrite(VMCS_GUEST_ES_RIGHTS + 2 * n, rights);
}

static void get_table(uint32_t name, struct hv_table *t)
{
    bool idt = name == HV_REG_IDTR;

    *t = (struct hv_table){
        .limit = (uint16_t)vmread(idt ? VMCS_GUEST_IDTR_LIMIT : VMCS_GUEST_GDTR_LIMIT),
        .base = vmread(idt ? VMCS_GUEST_IDTR_BASE : VMCS_GUEST_GDTR_BASE),
    };
}

static void set_table(uint32_t name, const struct hv_table *t)
{
    bool idt = name == HV_REG_IDTR;

    vmwrite(idt ? VMCS_GUEST_IDTR_LIMIT : VMCS_GUEST_GDTR_LIMIT, t->limit);
    vmwrite(idt ? VMCS_GUEST_IDTR_BASE : VMCS_GUEST_GDTR_BASE, t->base);
}

// --- control registers ---

static uint64_t get_cr(uint64_t mask, uint32_t field, uint32_t shadow)
{
    return (vmread(field) & ~mask) | (vmread(shadow) & mask);
}

// With PAE paging outside long mode an entry takes the four PDPTEs from the VMCS (SDM 3C "Loading
// Page-Directory-Pointer-Table Entries").
static void load_pdptes(struct vp *vp)
{
    uint64_t entries[4] = {0};

    if ((vmread(VMCS_GUEST_CR0) & CR0_PG) == 0 || (vmread(VMCS_GUEST_CR4) & CR4_PAE) == 0 ||
        (vmread(VMCS_GUEST_EFER) & EFER_LMA) != 0) {
        return;
    }
    gpa_t table = GPA(vmread(VMCS_GUEST_CR3) & CR3_PDPT_MASK);
    if (!vp_read_gpa(vp->partition, table, entries, sizeof(entries))) {
        __builtin_memset(entries, 0, sizeof(entries)); // not memory: nothing is mapped
    }
    for (unsigned i = 0; i < 4; i++) {
        vmwrite(VMCS_GUEST_PDPTE0 + 2 * i, entries[i]);
    }
}

// LMA follows LME and PG; the entry control must say the same.
static void update_long_mode(struct vp *vp)
{
    uint64_t efer = vmread(VMCS_GUEST_EFER) & ~EFER_LMA;
    uint64_t entry = vmx_controls.entry;

    if ((efer & EFER_LME) && (vmread(VMCS_GUEST_CR0) & CR0_PG)) {
        efer |= EFER_LMA;
        entry |= ENTRY_IA32E;
    }
    vmwrite(VMCS_GUEST_EFER, efer);
    vmwrite(VMCS_ENTRY_CONTROLS, entry);
    load_pdptes(vp);
    vmx_flush_gva(vp);
}

static bool set_cr0(struct vp *vp, uint64_t value)
{
    if (value >> 32 || ((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD))) {
        return false;
    }
    // PE and PG are the guest's with unrestricted guest, whatever the fixed bits say.
    uint64_t fixed = vmx_controls.cr0_fixed0 & ~(CR0_PE | CR0_PG);
    vmwrite(VMCS_CR0_SHADOW, value);
    vmwrite(VMCS_GUEST_CR0, ((value & ~(CR0_CD | CR0_NW)) | fixed | CR0_ET) & vmx_controls.cr0_fixed1);
    update_long_mode(vp);
    return true;
}

static bool set_cr4(struct vp *vp, uint64_t value)
{
    uint64_t hidden = CR4_VMXE | CR4_MCE;

    if (value & ~(vmx_controls.cr4_fixed1 | CR4_MCE)) {
        return false;
    }
    vmwrite(VMCS_CR4_SHADOW, value);
    vmwrite(VMCS_GUEST_CR4, value | ((hidden | vmx_controls.cr4_fixed0) & vmx_controls.cr4_fixed1));
    update_long_mode(vp);
    return true;
}

static bool set_efer(struct vp *vp, uint64_t value)
{
    if (value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) {
        return false;
    }
    vmwrite(VMCS_GUEST_EFER, value);
    update_long_mode(vp);
    return true;
}

// --- events and interrupt state in TLFS form ---

static uint64_t get_pending(void)
{
    uint64_t info = vmread(VMCS_ENTRY_INTR_INFO);
    uint64_t value = HV_PENDING_VALID | HV_PENDING_TYPE(INTR_TYPE(info)) |
                     HV_PENDING_VECTOR(INTR_VECTOR(info));

    if ((info & INTR_VALID) == 0) {
        return 0;
    }
    if (info & INTR_ERROR_VALID) {
        value |= HV_PENDING_ERROR_VALID | HV_PENDING_ERROR(vmread(VMCS_ENTRY_ERROR_CODE));
    }
    return value;
}

static bool set_pending(struct vp *vp, uint64_t value)
{
    unsigned type = value >> 1 & 7;
    uint64_t vector = value >> 16 & 0xffff;

    if ((value & HV_PENDING_VALID) == 0) {
        vmwrite(VMCS_ENTRY_INTR_INFO, 0);
        return true;
    }
    if (vector > 255 || type == 1 || type > 6 || (type == EVENT_NMI && vector != VECTOR_NMI) ||
        (type == EVENT_EXCEPTION && vector > 31)) {
        return false;
    }
    vmx_inject(vp, (enum event_type)type, (uint8_t)vector, value & HV_PENDING_ERROR_VALID,
               (uint32_t)(value >> 32));
    return true;
}

static uint64_t get_interrupt_state(void)
{
    uint64_t b = vmread(VMCS_GUEST_INTERRUPTIBILITY);

    return (b & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS) ? 1 : 0) | (b & BLOCKED_BY_NMI ? 2 : 0);
}

static bool set_interrupt_state(struct vp *vp, uint64_t value)
{
    if (value & ~3ull) {
        return false;
    }
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
            (value & 1 ? BLOCKED_BY_MOV_SS : 0) | (value & 2 ? BLOCKED_BY_NMI : 0));
    if (value & 2) {
        vmx_nmi_blocked(vp);
    }
    return true;
}

// --- the interface ---

static const struct live *find_live(uint32_t name)
{
    for (unsigned i = 0; i < live_count(); i++) {
        if (live[i].name == name) {
            return &live[i];
        }
    }
    return NULL;
}

static bool get_live(struct vp *vp, uint32_t name, uint64_t *value)
{
    const struct live *l = find_live(name);

    if (l != NULL) {
        *value = vp->context_live ? rdmsr(l->msr) : *(uint64_t *)((uint8_t *)&vp->vmx + l->offset);
    }
    return l != NULL;
}

// PE and AM are the guest's own bits (control.c), so the real CR0 has them. One shift takes each field to its place:
// DPL from bit 5, PE from 0, AM from 18, LMA from 10, L and D from 13.
static inline uint32_t mode_of(uint32_t cs_rights, uint32_t cr0)
{
    uint32_t ss = (uint32_t)vmread(VMCS_GUEST_ES_RIGHTS + 4);
    uint32_t efer = (uint32_t)vmread(VMCS_GUEST_EFER);

    return (ss >> 5 & VP_MODE_CPL) | (cr0 << 2 & VP_MODE_PE) | (efer >> 6 & VP_MODE_LMA) |
           (cs_rights << 3 & (VP_MODE_CS_L | VP_MODE_CS_D));
}

uint32_t vmx_mode(struct vp *vp)
{
    (void)vp;
    return mode_of((uint32_t)vmread(VMCS_GUEST_CS_RIGHTS), (uint32_t)vmread(VMCS_GUEST_CR0));
}

void vmx_exit_state(struct vp *vp, struct hv_intercept_header *h)
{
    struct hv_register_page *regs = vp->regs;
    uint32_t cr0 = (uint32_t)vmread(VMCS_GUEST_CR0);

    regs->rip = h->rip = vmread(VMCS_GUEST_RIP);
    regs->rflags = h->rflags = vmread(VMCS_GUEST_RFLAGS);
    regs->gpr[GPR_RSP] = vmread(VMCS_GUEST_RSP);
    get_segment(HV_REG_CS - HV_REG_ES, &h->cs);
    h->execution_state = (uint16_t)((mode_of(h->cs.attributes, cr0) & VP_MODE_STATE) |
                                    (cr0 >> 15 & VP_MODE_AM));
}

static __attribute__((noinline)) bool get_other(struct vp *vp, uint32_t name, union hv_register_value *value)
{
    value->u128[0] = 0;
    value->u128[1] = 0;
    switch (name) {
    case HV_REG_ES ... HV_REG_TR:
        get_segment(name - HV_REG_ES, &value->segment);
        return true;
    case HV_REG_IDTR:
    case HV_REG_GDTR:
        get_table(name, &value->table);
        return true;
    case HV_REG_CR0:
        value->u64 = get_cr(vp->vmx.cr0_mask, VMCS_GUEST_CR0, VMCS_CR0_SHADOW);
        return true;
    case HV_REG_CR2:
        value->u64 = vp->context_live ? read_cr2() : vp->cr2;
        return true;
    case HV_REG_CR4:
        value->u64 = get_cr(vp->vmx.cr4_mask, VMCS_GUEST_CR4, VMCS_CR4_SHADOW);
        return true;
    case HV_REG_PENDING_INTERRUPTION:
        value->u64 = get_pending();
        return true;
    case HV_REG_INTERRUPT_STATE:
        value->u64 = get_interrupt_state();
        return true;
    default:
        return get_live(vp, name, &value->u64);
    }
}

bool vmx_get_reg(struct vp *vp, uint32_t name, union hv_register_value *value)
{
    uint32_t field = plain_field(name);

    if (field != 0) {
        value->u128[0] = vmread(field);
        value->u128[1] = 0;
        return true;
    }
    return get_other(vp, name, value);
}

static bool pat_is_valid(uint64_t pat)
{
    for (unsigned i = 0; i < 8; i++) {
        uint8_t type = (uint8_t)(pat >> (8 * i));
        if (type > 7 || type == 2 || type == 3) {
            return false;
        }
    }
    return true;
}

static bool set_plain(struct vp *vp, uint32_t name, uint32_t field, uint64_t v)
{
    switch (name) {
    case HV_REG_EFER:
        return set_efer(vp, v);
    case HV_REG_CR3:
        vmwrite(field, v);
        load_pdptes(vp);
        vmx_flush_gva(vp);
        return true;
    case HV_REG_PAT:
        if (!pat_is_valid(v)) {
            return false;
        }
        break;
    case HV_REG_RFLAGS:
        v = (v & RFLAGS_VALID) | RFLAGS_FIXED;
        break;
    case HV_REG_DR7:
        if (v >> 32) {
            return false;
        }
        v |= DR7_INIT;
        break;
    default:
        break;
    }
    vmwrite(field, v);
    return true;
}

// The processor itself judges the value; where the MSR is somebody else's now, that is put back.
static bool set_live(struct vp *vp, const struct live *l, uint64_t value)
{
    uint64_t other;

    if (l->name == HV_REG_TSC_AUX && value >> 32 != 0) { // reserved; not every emulator judges it
        return false;
    }
    if (vp->context_live) {
        return wrmsr_safe(l->msr, value);
    }
    other = rdmsr(l->msr);
    if (!wrmsr_safe(l->msr, value)) {
        return false;
    }
    wrmsr(l->msr, other);
    *(uint64_t *)((uint8_t *)&vp->vmx + l->offset) = value;
    return true;
}

bool vmx_set_reg(struct vp *vp, uint32_t name, const union hv_register_value *value)
{
    uint32_t field = plain_field(name);
    const struct live *l;

    if (field != 0) {
        return set_plain(vp, name, field, value->u64);
    }
    l = find_live(name);
    if (l != NULL) {
        return set_live(vp, l, value->u64);
    }
    switch (name) {
    case HV_REG_ES ... HV_REG_TR:
        set_segment(name - HV_REG_ES, &value->segment);
        return true;
    case HV_REG_IDTR:
    case HV_REG_GDTR:
        set_table(name, &value->table);
        return true;
    case HV_REG_CR0:
        return set_cr0(vp, value->u64);
    case HV_REG_CR2:
        vp->cr2 = value->u64;
        if (vp->context_live) {
            write_cr2(value->u64);
        }
        return true;
    case HV_REG_CR4:
        return set_cr4(vp, value->u64);
    case HV_REG_PENDING_INTERRUPTION:
        return set_pending(vp, value->u64);
    case HV_REG_INTERRUPT_STATE:
        return set_interrupt_state(vp, value->u64);
    default:
        return false;
    }
}

// SDM 3A "Processor State After Reset", column INIT. Fields not named here are 0 (control.c).
void vmx_init_registers(struct vp *vp)
{
    static const struct hv_segment data = {.limit = 0xffff, .attributes = 0x93};
    static const struct hv_segment code = {
        .base = 0xffff0000, .limit = 0xffff, .selector = 0xf000, .attributes = 0x9b};
    static const struct hv_segment ldtr = {.limit = 0xffff, .attributes = 0x82};
    static const struct hv_segment tr = {.limit = 0xffff, .attributes = 0x8b};
    static const struct hv_table table = {.limit = 0xffff};

    for (unsigned n = 0; n < 6; n++) {
        set_segment(n, n == HV_REG_CS - HV_REG_ES ? &code : &data);
    }
    set_segment(HV_REG_LDTR - HV_REG_ES, &ldtr);
    set_segment(SEGMENT_TR, &tr);
    set_table(HV_REG_IDTR, &table);
    set_table(HV_REG_GDTR, &table);
    (void)set_cr4(vp, 0);
    (void)set_cr0(vp, CR0_CD | CR0_NW | CR0_ET);
    vmwrite(VMCS_GUEST_PAT, PAT_RESET);
    vmwrite(VMCS_GUEST_DR7, DR7_INIT);
    vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
    vmwrite(VMCS_GUEST_RIP, 0xfff0);
    vp->regs->gpr[GPR_RDX] = 0x600; // a processor of family 6
}
