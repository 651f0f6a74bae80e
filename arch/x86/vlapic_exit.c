// SPDX-License-Identifier: Apache-2.0
// Virtual local APIC: exits caused by accesses to its page.
#include "arch/x86/vlapic_priv.h"

#include "arch/x86/guest_walk.h"
#include "hv/cpu.h"

// Registers are 32 bits at multiples of 16 bytes. Narrow reads inside one give its bytes; anything else is
// undefined (SDM 3A "Local APIC Register Address Map") and reads zero.
static bool page_read(struct vp *vp, uint32_t offset, uint64_t *value)
{
    *value = 0;
    if ((offset & 0xc) != 0) {
        return true;
    }
    if (!vlapic_read(vp, offset & ~3u, value)) {
        return false;
    }
    *value >>= 8 * (offset & 3);
    return true;
}

static bool page_write(struct vp *vp, uint32_t offset, uint64_t value, unsigned size)
{
    return (offset & 0xf) != 0 || size < 4 || vlapic_write(vp, offset, (uint32_t)value);
}

// Offset in the APIC page; false if the exit is no ordinary data access to it.
static bool access_offset(const struct vp *vp, uint32_t *offset)
{
    if (vp->exit.reason == EXIT_APIC_ACCESS) {
        *offset = vp->exit.apic.offset;
        return vp->exit.apic.linear;
    }
    *offset = vp->exit.gpa.gpa.v & ~PAGE_MASK;
    return !vp->exit.gpa.exec;
}

static bool perform(struct vp *vp, const struct insn *insn, uint32_t offset)
{
    uint64_t value;

    if (insn->kind == INSN_STORE) {
        return page_write(vp, offset, decode_store_value(insn, vp->regs->gpr), insn->size);
    }
    if (!page_read(vp, offset, &value)) {
        return false;
    }
    vp_set_gpr(vp, insn->reg, decode_load_result(insn, value, vp_gpr(vp, insn->reg)));
    return true;
}

enum vp_action vlapic_exit_mmio(struct vp *vp)
{
    uint8_t bytes[16];
    enum decode_mode mode;
    struct insn insn;
    uint32_t offset;
    size_t len;

    if (!access_offset(vp, &offset)) {
        return vp_crash(vp, HV_MSG_UNSUPPORTED_FEATURE, vp->exit.raw);
    }
    len = guest_fetch(vp, bytes, &mode);
    if (len == 0) {
        return VP_RESUME; // another VP changed the tables meanwhile: let the processor fault
    }
    if (!decode_insn(bytes, len, mode, &insn)) {
        return vp_crash(vp, HV_MSG_UNSUPPORTED_FEATURE, vp->exit.raw);
    }
    if (!perform(vp, &insn, offset)) {
        return vp_inject_gp(vp);
    }
    vp->exit.insn_len = insn.length;
    return VP_ADVANCE;
}

// The processor has already written the value to the page and RIP is past the instruction.
enum vp_action vlapic_exit_write(struct vp *vp)
{
    uint32_t offset = vp->exit.apic.offset & ~0xfu;
    uint64_t value = apic_get(vp, offset);

    if (vlapic_mode(vp) == VLAPIC_X2APIC && offset == APIC_ICR) {
        value |= (uint64_t)apic_get(vp, APIC_ICR + 4) << 32;
    }
    return vlapic_write(vp, offset, value) ? VP_RESUME : vp_inject_gp(vp);
}
