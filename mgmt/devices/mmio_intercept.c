// SPDX-License-Identifier: Apache-2.0
// Access to guest-physical memory that is not RAM: plain moves at once, the rest through exec_insn.c.

#include "mgmt/devices/intercept.h"

#define INFO_GVA_VALID 0x1

static bool is_ram(const struct vcpu *v, uint64_t gpa)
{
    return guest_mem_at(&v->dev->mem, GPA(gpa), 1) != NULL;
}

// Base of the operand's segment; in 64-bit mode only FS and GS cost a hypercall.
static bool segment_base(struct vcpu *v, uint8_t seg, uint64_t *base)
{
    if (v->mode == DECODE_64 && seg < SEG_FS) {
        *base = 0;
        return true;
    }
    if (!vcpu_need_system(v)) {
        return false;
    }
    *base = v->seg[seg].base;
    return true;
}

// True when the operand is what was intercepted, whole: then its GPA is known without a walk. An access
// that crosses into another page is not.
static bool operand_is_intercepted(const struct insn *insn, uint64_t linear, uint64_t gpa)
{
    uint64_t offset = linear & (PAGE_SIZE - 1);

    return offset == (gpa & (PAGE_SIZE - 1)) && offset + insn->size <= PAGE_SIZE;
}

static void plain_move(struct vcpu *v, const struct insn *insn, uint64_t gpa)
{
    struct bus *bus = &v->dev->bus;

    if (insn->kind == INSN_STORE) {
        bus_mmio_write(bus, gpa, insn->size, decode_store_value(insn, v->regs->gpr));
    } else {
        uint64_t value = decode_load_result(insn, bus_mmio_read(bus, gpa, insn->size),
                                            v->regs->gpr[insn->reg]);

        vcpu_set_gpr(v, insn->reg, 8, false, value);
    }
    vcpu_set_rip(v, v->regs->rip + insn->length);
}

// The message may hold nothing, or only the part of the instruction that lies in its first page: then fetch.
static enum emu exec_rare(struct vcpu *v, const struct hv_memory_intercept *msg, uint8_t length)
{
    uint8_t bytes[DECODE_MAX_INSN];
    enum emu result = length == 0 ? EMU_STOP : exec_full_insn(v, msg->insn_bytes, length);

    if (result == EMU_STOP && length < DECODE_MAX_INSN) {
        result = vcpu_fetch(v, bytes, &length);
        return result == EMU_OK ? exec_full_insn(v, bytes, length) : result;
    }
    return result;
}

// The processor has walked the page tables for this access and found it allowed.
static void remember_translation(struct vcpu *v, const struct hv_memory_intercept *msg)
{
    if (msg->info & INFO_GVA_VALID) {
        v->tlb.valid = true;
        v->tlb.write = msg->hdr.access == ACCESS_WRITE;
        v->tlb.page = msg->gva & PAGE_MASK;
        v->tlb.gpa = msg->gpa & PAGE_MASK;
    }
}

// The instruction as a plain move, or NULL. Drivers use few instructions for a device, and each of them often: it is
// decoded once. Its bytes are compared each time, so code may change.
static const struct insn *plain_insn(struct vcpu *v, const struct hv_memory_intercept *msg, uint8_t length)
{
    struct plain_cache *c = &v->dev->plain_cache[v->regs->rip % PLAIN_CACHE_SIZE];
    uint64_t bytes[2];

    __builtin_memcpy(bytes, msg->insn_bytes, sizeof(bytes));
    if (c->length == length && length != 0 && c->bytes[0] == bytes[0] && c->bytes[1] == bytes[1] &&
        c->mode == v->mode) {
        return &c->insn;
    }
    c->length = 0;
    if (!decode_insn((const uint8_t *)bytes, length, v->mode, &c->insn)) {
        return NULL;
    }
    c->bytes[0] = bytes[0];
    c->bytes[1] = bytes[1];
    c->length = length;
    c->mode = v->mode;
    return &c->insn;
}

// False: not a plain move, or not one whose operand is just what was intercepted.
static bool serve_plain_move(struct vcpu *v, const struct hv_memory_intercept *msg, uint8_t length)
{
    const struct insn *insn = plain_insn(v, msg, length);
    uint64_t base, linear;

    if (insn == NULL || !segment_base(v, insn->seg, &base)) {
        return false;
    }
    linear = decode_address(insn, v->regs->gpr, v->regs->rip + insn->length, base);
    if (!operand_is_intercepted(insn, linear, msg->gpa)) {
        return false;
    }
    plain_move(v, insn, msg->gpa);
    return true;
}

enum emu mmio_intercept(struct vcpu *v, const struct hv_memory_intercept *msg)
{
    uint8_t length = MIN(msg->insn_byte_count, DECODE_MAX_INSN);

    // Code in device memory, and pages we mapped without a right, are beyond what a machine like ours has.
    if (msg->hdr.access == ACCESS_FETCH || is_ram(v, msg->gpa)) {
        return EMU_STOP;
    }
    if (serve_plain_move(v, msg, length)) {
        return EMU_OK;
    }
    remember_translation(v, msg);
    return exec_rare(v, msg, length);
}
