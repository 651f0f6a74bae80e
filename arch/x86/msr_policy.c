// SPDX-License-Identifier: Apache-2.0
// MSRs as guests see them; the tables are in msr_table.h, synthetic MSRs in hv/synthetic.c.
#include "arch/x86/msr_table.h"
#include "arch/x86/policy.h"
#include "arch/x86/vlapic.h"
#include "arch/x86/x86.h"
#include "hv/cpu.h"

#define MSR_TSC_ADJUST 0x3b

const struct msr_pass msr_pass_table[] = {
#define PASS_ROW(msr_, name_, guest_, root_) {msr_, guest_, root_},
    MSR_PASS_TABLE(PASS_ROW){0, MSR_TRAP, MSR_TRAP}};

enum vendor { ANY, INTEL, AMD };
enum on_write { IGNORE, ZERO, REFUSE };

static const struct constant_row {
    uint32_t msr;
    uint8_t vendor, write;
    uint64_t value;
} constant_rows[] = {
#define CONSTANT_ROW(msr_, name_, vendor_, write_, value_, what_) {msr_, vendor_, write_, value_},
    MSR_CONSTANT_TABLE(CONSTANT_ROW)};

static enum vendor host_vendor;
static uint64_t arch_capabilities;

// Bits of IA32_ARCH_CAPABILITIES that tell a guest it need not defend itself: RDCL_NO, RSBA, SKIP_L1DFL, SSB_NO,
// MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, FB_CLEAR, RRSBA, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO.
#define ARCH_CAPABILITIES_SHOWN                                                                              \
    (BIT(0) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(13) | BIT(14) | BIT(15) | BIT(17) |  \
     BIT(19) | BIT(20) | BIT(24) | BIT(26) | BIT(27))

static bool has_arch_capabilities(void)
{
    return cpuid_policy_has(7, 3, 29);
}

void msr_policy_init(void)
{
    struct cpuid_result r;
    static const struct partition nobody;
    static const struct vp no_vp = {.partition = (struct partition *)&nobody};

    cpuid_policy(&no_vp, 0, 0, &r);
    host_vendor = r.ebx == 0x756e6547 ? INTEL : AMD; // "Genu"; Hygon is AMD's
    arch_capabilities = 0;
    if (has_arch_capabilities() && rdmsr_safe(MSR_ARCH_CAPABILITIES, &arch_capabilities)) {
        arch_capabilities &= ARCH_CAPABILITIES_SHOWN;
    }
}

// --- features that guard registers ---

uint64_t policy_cr4_valid(void)
{
    static const struct {
        uint64_t cr4;
        uint32_t leaf;
        uint8_t reg, bit;
    } features[] = {
        {CR4_VME | CR4_PVI, 1, 3, 1}, {CR4_TSD, 1, 3, 4},  {CR4_DE, 1, 3, 2},       {CR4_PSE, 1, 3, 3},
        {CR4_PAE, 1, 3, 6},           {CR4_MCE, 1, 3, 7},  {CR4_PGE, 1, 3, 13},     {CR4_OSFXSR, 1, 3, 24},
        {CR4_OSXMMEXCPT, 1, 3, 25},   {CR4_UMIP, 7, 2, 2}, {CR4_FSGSBASE, 7, 1, 0}, {CR4_PCIDE, 1, 2, 17},
        {CR4_OSXSAVE, 1, 2, 26},      {CR4_SMEP, 7, 1, 7}, {CR4_SMAP, 7, 1, 20},
    };
    uint64_t valid = CR4_PCE; // harmless without counters: RDPMC is #GP

    for (size_t i = 0; i < ARRAY_LEN(features); i++) {
        valid |= cpuid_policy_has(features[i].leaf, features[i].reg, features[i].bit) ? features[i].cr4 : 0;
    }
    return valid;
}

uint64_t policy_efer_valid(void)
{
    uint64_t valid = 0;

    valid |= cpuid_policy_has(0x80000001, 3, 11) ? EFER_SCE : 0;
    valid |= cpuid_policy_has(0x80000001, 3, 20) ? EFER_NXE : 0;
    valid |= cpuid_policy_has(0x80000001, 3, 29) ? EFER_LME | EFER_LMA : 0;
    return valid;
}

// LMA is the processor's: writes of it are ignored. LME may not change while paging is on (SDM 3A "IA32_EFER MSR",
// APM 2 "Extended Feature Enable Register").
static bool write_efer(struct vp *vp, uint64_t value)
{
    uint64_t old = vp_reg(vp, HV_REG_EFER);

    if ((value & ~policy_efer_valid()) != 0) {
        return false;
    }
    if (((old ^ value) & EFER_LME) != 0 && (vp_reg(vp, HV_REG_CR0) & CR0_PG) != 0) {
        return false;
    }
    vp_set_reg(vp, HV_REG_EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
    return true;
}

static bool has_tsc_aux(void)
{
    return cpuid_policy_has(0x80000001, 3, 27) || cpuid_policy_has(7, 2, 22);
}

// --- time stamp counter ---

static void move_tsc(struct vp *vp, uint64_t delta)
{
    vp->tsc_offset += delta;
    virt->set_tsc_offset(vp, vp->tsc_offset);
    vlapic_tsc_changed(vp);
    reference_tsc_changed(vp);
}

// A write to TSC moves TSC_ADJUST by the same amount and the other way round (SDM 3B "Time-Stamp Counter Adjustment").
static bool write_tsc(struct vp *vp, uint64_t value)
{
    uint64_t delta = value - (host_tsc() + vp->tsc_offset);

    vp->tsc_adjust += delta;
    move_tsc(vp, delta);
    return true;
}

static bool write_tsc_adjust(struct vp *vp, uint64_t value)
{
    uint64_t delta = value - vp->tsc_adjust;

    vp->tsc_adjust = value;
    move_tsc(vp, delta);
    return true;
}

// --- memory types: kept for the guest's eyes only ---

static bool valid_memory_type(uint8_t type, bool pat)
{
    return type == 0 || type == 1 || type == 4 || type == 5 || type == 6 || (pat && type == 7);
}

static bool all_valid_types(uint64_t value, bool pat)
{
    for (unsigned i = 0; i < 8; i++) {
        if (!valid_memory_type((uint8_t)(value >> (8 * i)), pat)) {
            return false;
        }
    }
    return true;
}

// Guests start without firmware, and an operating system that finds the MTRRs disabled gives up PAT as well.
void msr_policy_reset(struct vp *vp)
{
    vp->mtrr_def = 0xc06; // enabled, fixed ranges too, write-back
    for (unsigned i = 0; i < ARRAY_LEN(vp->mtrr_fixed); i++) {
        vp->mtrr_fixed[i] = 0x0606060606060606;
    }
    for (unsigned i = 0; i < ARRAY_LEN(vp->mtrr_var); i++) {
        vp->mtrr_var[i] = 0;
    }
}

static bool write_pat(struct vp *vp, uint64_t value)
{
    if (!all_valid_types(value, true)) {
        return false;
    }
    vp_set_reg(vp, HV_REG_PAT, value);
    return true;
}

// The place of a fixed-range or variable-range MTRR, or NULL.
static uint64_t *mtrr_slot(struct vp *vp, uint32_t msr)
{
    if (msr >= MSR_MTRR_PHYSBASE0 && msr < MSR_MTRR_PHYSBASE0 + ARRAY_LEN(vp->mtrr_var)) {
        return &vp->mtrr_var[msr - MSR_MTRR_PHYSBASE0];
    }
    if (msr == MSR_MTRR_FIX64K) {
        return &vp->mtrr_fixed[0];
    }
    if (msr == MSR_MTRR_FIX16K || msr == MSR_MTRR_FIX16K + 1) {
        return &vp->mtrr_fixed[1 + msr - MSR_MTRR_FIX16K];
    }
    if (msr >= MSR_MTRR_FIX4K && msr < MSR_MTRR_FIX4K + 8) {
        return &vp->mtrr_fixed[3 + msr - MSR_MTRR_FIX4K];
    }
    return msr == MSR_MTRR_DEF_TYPE ? &vp->mtrr_def : NULL;
}

// SDM 3A "MTRRs": reserved bits and undefined types are #GP.
static bool mtrr_value_valid(const struct vp *vp, uint32_t msr, uint64_t value)
{
    uint64_t address = (BIT(vp->partition->gpa_width) - 1) & PAGE_MASK;

    if (msr == MSR_MTRR_DEF_TYPE) {
        return (value & ~0xcffull) == 0 && valid_memory_type((uint8_t)value, false);
    }
    if (msr >= MSR_MTRR_FIX64K) {
        return all_valid_types(value, false);
    }
    if ((msr & 1) != 0) {
        return (value & ~(address | BIT(11))) == 0;
    }
    return (value & ~(address | 0xff)) == 0 && valid_memory_type((uint8_t)value, false);
}

static bool write_mtrr(struct vp *vp, uint32_t msr, uint64_t value)
{
    uint64_t *slot = mtrr_slot(vp, msr);

    if (slot == NULL || !mtrr_value_valid(vp, msr, value)) {
        return false;
    }
    *slot = value;
    return true;
}

// --- registers of the back end ---

// Register names of MSRs that normally pass without an exit; the parent may have asked to see them.
static uint32_t register_of(uint32_t msr)
{
    switch (msr) {
    case MSR_SYSENTER_CS:
        return HV_REG_SYSENTER_CS;
    case MSR_SYSENTER_ESP:
        return HV_REG_SYSENTER_ESP;
    case MSR_SYSENTER_EIP:
        return HV_REG_SYSENTER_EIP;
    case MSR_STAR:
        return HV_REG_STAR;
    case MSR_LSTAR:
        return HV_REG_LSTAR;
    case MSR_CSTAR:
        return HV_REG_CSTAR;
    case MSR_SFMASK:
        return HV_REG_SFMASK;
    case MSR_KERNEL_GS_BASE:
        return HV_REG_KERNEL_GS_BASE;
    }
    return 0;
}

static const struct constant_row *constant_row(uint32_t msr)
{
    for (size_t i = 0; i < ARRAY_LEN(constant_rows); i++) {
        const struct constant_row *row = &constant_rows[i];

        if (row->msr == msr && (row->vendor == ANY || row->vendor == host_vendor)) {
            return row;
        }
    }
    return NULL;
}

// Everything that is read from plain storage, or not at all.
static bool read_rest(struct vp *vp, uint32_t msr, uint64_t *value)
{
    const uint64_t *mtrr = mtrr_slot(vp, msr);
    const struct constant_row *row;

    if (mtrr != NULL) {
        *value = *mtrr;
        return true;
    }
    if (register_of(msr) != 0) {
        *value = vp_reg(vp, register_of(msr));
        return true;
    }
    row = constant_row(msr);
    *value = row != NULL ? row->value : 0;
    return row != NULL;
}

static bool is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

static bool write_rest(struct vp *vp, uint32_t msr, uint64_t value)
{
    const struct constant_row *row;

    if (mtrr_slot(vp, msr) != NULL) {
        return write_mtrr(vp, msr, value);
    }
    if (register_of(msr) != 0) {
        if (msr != MSR_STAR && msr != MSR_SFMASK && msr != MSR_SYSENTER_CS && !is_canonical(value)) {
            return false;
        }
        vp_set_reg(vp, register_of(msr), value);
        return true;
    }
    row = constant_row(msr);
    return row != NULL && (row->write == IGNORE || (row->write == ZERO && value == 0));
}

bool msr_policy_read(struct vp *vp, uint32_t msr, uint64_t *value)
{
    if (msr >> 8 == 0x400000 || msr >> 8 == 0x400001) {
        return synthetic_read(vp, msr, value);
    }
    if (msr >> 8 == 8) {
        return vlapic_read_msr(vp, msr, value);
    }
    switch (msr) {
    case MSR_TSC:
        *value = host_tsc() + vp->tsc_offset;
        return true;
    case MSR_TSC_ADJUST:
        *value = vp->tsc_adjust;
        return true;
    case MSR_TSC_DEADLINE:
        *value = vlapic_tsc_deadline(vp);
        return true;
    case MSR_APIC_BASE:
        *value = vp->apic.base_msr;
        return true;
    case MSR_EFER:
        *value = vp_reg(vp, HV_REG_EFER);
        return true;
    case MSR_PAT:
        *value = vp_reg(vp, HV_REG_PAT);
        return true;
    case MSR_TSC_AUX:
        *value = vp_reg(vp, HV_REG_TSC_AUX);
        return has_tsc_aux();
    case MSR_ARCH_CAPABILITIES:
        *value = arch_capabilities;
        return has_arch_capabilities();
    }
    return read_rest(vp, msr, value);
}

static bool write_tsc_aux(struct vp *vp, uint64_t value)
{
    if (!has_tsc_aux() || value >> 32 != 0) {
        return false;
    }
    vp_set_reg(vp, HV_REG_TSC_AUX, value);
    return true;
}

bool msr_policy_write(struct vp *vp, uint32_t msr, uint64_t value)
{
    if (msr >> 8 == 0x400000 || msr >> 8 == 0x400001) {
        return synthetic_write(vp, msr, value);
    }
    if (msr >> 8 == 8) {
        return vlapic_write_msr(vp, msr, value);
    }
    switch (msr) {
    case MSR_TSC_DEADLINE:
        vlapic_set_tsc_deadline(vp, value);
        return true;
    case MSR_TSC:
        return write_tsc(vp, value);
    case MSR_TSC_ADJUST:
        return write_tsc_adjust(vp, value);
    case MSR_APIC_BASE:
        return vlapic_set_base(vp, value);
    case MSR_EFER:
        return write_efer(vp, value);
    case MSR_PAT:
        return write_pat(vp, value);
    case MSR_TSC_AUX:
        return write_tsc_aux(vp, value);
    }
    return write_rest(vp, msr, value);
}

enum vp_action exit_rdmsr(struct vp *vp)
{
    uint64_t value;

    if (!msr_policy_read(vp, (uint32_t)vp_gpr(vp, GPR_RCX), &value)) {
        return vp_inject_gp(vp);
    }
    vp_set_gpr(vp, GPR_RAX, (uint32_t)value);
    vp_set_gpr(vp, GPR_RDX, value >> 32);
    vp->exit.insn_len = (uint8_t)vp_insn_len(vp, 2);
    return VP_ADVANCE;
}

enum vp_action exit_wrmsr(struct vp *vp)
{
    uint64_t value = vp_gpr(vp, GPR_RDX) << 32 | (uint32_t)vp_gpr(vp, GPR_RAX);

    if ((uint32_t)vp_gpr(vp, GPR_RCX) == MSR_TSC_DEADLINE) { // by far the most frequent
        vlapic_set_tsc_deadline(vp, value);
    } else if (!msr_policy_write(vp, (uint32_t)vp_gpr(vp, GPR_RCX), value)) {
        return vp_inject_gp(vp);
    }
    vp->exit.insn_len = (uint8_t)vp_insn_len(vp, 2);
    return VP_ADVANCE;
}
