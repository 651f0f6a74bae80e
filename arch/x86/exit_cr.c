// SPDX-License-Identifier: Apache-2.0
// Exits of control register accesses and XSETBV.
//
// Only values that would be accepted by a processor with the guest's CPUID reach the back end. Source: SDM 3A
// "Control Registers", SDM 2B "MOV—Move to/from Control Registers", SDM 2D "XSETBV".
#include "arch/x86/host.h"
#include "arch/x86/policy.h"
#include "arch/x86/vlapic.h"
#include "arch/x86/x86.h"

enum { KIND_TO_CR, KIND_FROM_CR, KIND_CLTS, KIND_LMSW };

#define CR0_WRITABLE                                                                                         \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

static uint64_t read_gpr(struct vp *vp, unsigned n)
{
    return n == GPR_RSP ? vp_reg(vp, HV_REG_RSP) : vp_gpr(vp, n);
}

static void write_gpr(struct vp *vp, unsigned n, uint64_t value)
{
    if (n == GPR_RSP) {
        vp_set_reg(vp, HV_REG_RSP, value);
    } else {
        vp_set_gpr(vp, n, value);
    }
}

// May the guest have this CR0, given its CR4, EFER and code segment?
static bool cr0_allowed(struct vp *vp, uint64_t old, uint64_t value)
{
    union hv_register_value cs = {.u64 = 0};
    uint64_t cr4, efer;

    if (value >> 32 != 0 || (value & (CR0_NW | CR0_CD)) == CR0_NW || (value & (CR0_PG | CR0_PE)) == CR0_PG) {
        return false;
    }
    if (((old ^ value) & (CR0_PG | CR0_WP)) == 0) {
        return true;
    }
    cr4 = vp_reg(vp, HV_REG_CR4);
    efer = vp_reg(vp, HV_REG_EFER);
    if ((value & CR0_PG) == 0) {
        return (old & CR0_PG) == 0 || !((efer & EFER_LMA) && (cr4 & CR4_PCIDE));
    }
    if ((old & CR0_PG) == 0 && (efer & EFER_LME) != 0) {
        (void)virt->get_reg(vp, HV_REG_CS, &cs);
        return (cr4 & CR4_PAE) != 0 && (cs.segment.attributes & BIT(13)) == 0;
    }
    return true;
}

// Entering and leaving long mode happens with CR0.PG: EFER.LMA follows.
static void update_lma(struct vp *vp, uint64_t old, uint64_t value)
{
    uint64_t efer;

    if (((old ^ value) & CR0_PG) == 0) {
        return;
    }
    efer = vp_reg(vp, HV_REG_EFER);
    if ((efer & EFER_LME) != 0) {
        vp_set_reg(vp, HV_REG_EFER, value & CR0_PG ? efer | EFER_LMA : efer & ~EFER_LMA);
    }
}

static bool guest_write_cr0(struct vp *vp, uint64_t value)
{
    uint64_t old = vp_reg(vp, HV_REG_CR0);

    if (!cr0_allowed(vp, old, value)) {
        return false;
    }
    update_lma(vp, old, value);
    vp_set_reg(vp, HV_REG_CR0, (value & CR0_WRITABLE) | CR0_ET); // other bits are ignored
    if (((old ^ value) & (CR0_PG | CR0_WP)) != 0) {
        virt->flush_gva(vp);
    }
    return true;
}

static bool guest_write_cr4(struct vp *vp, uint64_t value)
{
    uint64_t old = vp_reg(vp, HV_REG_CR4);
    bool long_mode = (vp_reg(vp, HV_REG_EFER) & EFER_LMA) != 0;

    if ((value & ~policy_cr4_valid()) != 0 || (long_mode && (value & CR4_PAE) == 0)) {
        return false;
    }
    if ((value & ~old & CR4_PCIDE) != 0 && (!long_mode || (vp_reg(vp, HV_REG_CR3) & 0xfff) != 0)) {
        return false;
    }
    vp_set_reg(vp, HV_REG_CR4, value);
    if (((old ^ value) & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)) != 0) {
        virt->flush_gva(vp);
    }
    return true;
}

// With PCIDs bit 63 asks to keep translations, which is always allowed to be ignored.
static bool guest_write_cr3(struct vp *vp, uint64_t value)
{
    bool pcid = (vp_reg(vp, HV_REG_CR4) & CR4_PCIDE) != 0;

    if (pcid) {
        value &= ~BIT(63);
    }
    if ((vp_reg(vp, HV_REG_EFER) & EFER_LMA) && value >> vp->partition->gpa_width != 0) {
        return false;
    }
    vp_set_reg(vp, HV_REG_CR3, value);
    virt->flush_gva(vp);
    return true;
}

static bool guest_write_cr8(struct vp *vp, uint64_t value)
{
    if (value > 15) {
        return false;
    }
    vlapic_set_tpr(vp, (uint8_t)(value << 4));
    return true;
}

static bool move_to_cr(struct vp *vp)
{
    uint64_t value = read_gpr(vp, vp->exit.cr.gpr);

    switch (vp->exit.cr.cr) {
    case 0:
        return guest_write_cr0(vp, value);
    case 3:
        return guest_write_cr3(vp, value);
    case 4:
        return guest_write_cr4(vp, value);
    case 8:
        return guest_write_cr8(vp, value);
    }
    return false;
}

static bool move_from_cr(struct vp *vp)
{
    static const uint32_t names[5] = {HV_REG_CR0, 0, HV_REG_CR2, HV_REG_CR3, HV_REG_CR4};
    uint8_t cr = vp->exit.cr.cr;

    if (cr == 8) {
        write_gpr(vp, vp->exit.cr.gpr, vlapic_tpr(vp) >> 4);
        return true;
    }
    if (cr >= ARRAY_LEN(names) || names[cr] == 0) {
        return false;
    }
    write_gpr(vp, vp->exit.cr.gpr, vp_reg(vp, names[cr]));
    return true;
}

static bool clear_ts(struct vp *vp)
{
    vp_set_reg(vp, HV_REG_CR0, vp_reg(vp, HV_REG_CR0) & ~CR0_TS);
    return true;
}

// LMSW loads the low four bits of CR0 and can set PE but not clear it (SDM 2A "LMSW").
static bool load_msw(struct vp *vp)
{
    uint64_t old = vp_reg(vp, HV_REG_CR0);

    return guest_write_cr0(vp, (old & ~0xeull) | (vp->exit.cr.lmsw & 0xf));
}

static bool perform(struct vp *vp)
{
    switch (vp->exit.cr.kind) {
    case KIND_TO_CR:
        return move_to_cr(vp);
    case KIND_FROM_CR:
        return move_from_cr(vp);
    case KIND_CLTS:
        return clear_ts(vp);
    case KIND_LMSW:
        return load_msw(vp);
    }
    return false;
}

enum vp_action exit_cr_access(struct vp *vp)
{
    unsigned opcode_bytes = vp->exit.cr.kind == KIND_CLTS ? 2 : 3;

    vp->exit.insn_len = (uint8_t)vp_insn_len(vp, opcode_bytes);
    return perform(vp) ? VP_ADVANCE : vp_inject_gp(vp);
}

// SDM 1 "XCR0": x87 always; AVX needs SSE; the three AVX-512 components go together and need AVX.
bool policy_xcr0_valid(uint64_t value)
{
    const uint64_t avx512 = BIT(5) | BIT(6) | BIT(7);

    if ((value & ~host_xcr0) != 0 || (value & 1) == 0) {
        return false;
    }
    if ((value & BIT(2)) != 0 && (value & BIT(1)) == 0) {
        return false;
    }
    return (value & avx512) == 0 || ((value & avx512) == avx512 && (value & BIT(2)) != 0);
}

enum vp_action exit_xsetbv(struct vp *vp)
{
    uint64_t value = vp_gpr(vp, GPR_RDX) << 32 | (uint32_t)vp_gpr(vp, GPR_RAX);

    if ((vp_reg(vp, HV_REG_CR4) & CR4_OSXSAVE) == 0) {
        return vp_inject_ud(vp);
    }
    if (vp_cpl(vp) != 0 || (uint32_t)vp_gpr(vp, GPR_RCX) != 0 || !policy_xcr0_valid(value)) {
        return vp_inject_gp(vp);
    }
    vp->xcr0 = value;
    fpu_set_xcr0(value);
    vp->exit.insn_len = (uint8_t)vp_insn_len(vp, 3);
    return VP_ADVANCE;
}
