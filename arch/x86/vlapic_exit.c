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

enum fetched { FETCHED_PLAIN, FETCHED_OTHER, FETCHED_NOTHING };

// A guest uses a handful of instructions for its APIC, often the same one in a row: the last one is kept. The bytes
// are fetched and compared each time, so code may change.
static enum fetched current_insn(struct vp *vp)
{
    struct decode_cache *c = &vp->apic_decoded;
    uint64_t bytes[2];
    enum decode_mode mode;
    size_t len = guest_fetch(vp, (uint8_t *)bytes, &mode);

    if (len == DECODE_MAX_INSN && c->bytes[0] == bytes[0] && c->bytes[1] == bytes[1] && c->mode == mode &&
        c->insn.length != 0) {
        return FETCHED_PLAIN;
    }
    if (!decode_insn((const uint8_t *)bytes, len, mode, &c->insn)) {
        c->insn.length = 0;
        return len == 0 ? FETCHED_NOTHING : FETCHED_OTHER;
    }
    c->bytes[0] = bytes[0];
    c->bytes[1] = bytes[1];
    c->mode = mode;
    return FETCHED_PLAIN;
}

enum vp_action vlapic_exit_mmio(struct vp *vp)
{
    const struct insn *insn = &vp->apic_decoded.insn;
    enum fetched fetched;
    uint32_t offset;

    if (!access_offset(vp, &offset)) {
        return vp_crash(vp, HV_MSG_UNSUPPORTED_FEATURE, vp->exit.raw);
    }
    fetched = current_insn(vp);
    if (fetched == FETCHED_NOTHING) {
        return VP_RESUME; // another VP has just changed the tables: the processor will fault by itself
    }
    if (fetched == FETCHED_OTHER) {
        return vp_crash(vp, HV_MSG_UNSUPPORTED_FEATURE, vp->exit.raw);
    }
    if (!perform(vp, insn, offset)) {
        return vp_inject_gp(vp);
    }
    vp->exit.insn_len = insn->length;
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
