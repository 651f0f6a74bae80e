// SPDX-License-Identifier: Apache-2.0
// Executes an instruction with a memory operand on behalf of the guest; see full_insn.h for which.
//
// Order is everything here: first all translations, which may fault, then the reads and writes that devices
// notice, then registers, last RIP. A locked access to a device is not atomic against other VPs: one
// intercept is served at a time, so nothing else reaches the device meanwhile.

#include "mgmt/devices/alu.h"
#include "mgmt/devices/intercept.h"

#define SEG_BIG BIT(14)

// --- operands ---

static uint64_t effective_address(const struct vcpu *v, const struct full_insn *insn)
{
    uint64_t address = (uint64_t)insn->mem.disp;

    if (insn->mem.rip_relative) {
        address += v->regs->rip + insn->length;
    }
    if (insn->mem.base != DECODE_NO_REG) {
        address += v->regs->gpr[insn->mem.base];
    }
    if (insn->mem.index != DECODE_NO_REG) {
        address += v->regs->gpr[insn->mem.index] * insn->mem.scale;
    }
    return address & size_mask(insn->address_size);
}

static enum emu open_memory(struct vcpu *v, uint8_t seg, uint64_t offset, uint8_t size,
                            enum vcpu_access access, struct vcpu_span *span)
{
    uint64_t linear;
    enum emu result = vcpu_linear(v, seg, offset, size, access, &linear);

    return result == EMU_OK ? vcpu_span(v, linear, size, access, span) : result;
}

static uint64_t get(struct vcpu *v, const struct full_operand *operand, const struct vcpu_span *span)
{
    switch (operand->kind) {
    case OPERAND_REG:
        return vcpu_gpr(v, operand->reg, operand->size, operand->high8);
    case OPERAND_IMM:
        return operand->imm;
    case OPERAND_MEM:
        return vcpu_span_read(v, span);
    default:
        return 0;
    }
}

static void put(struct vcpu *v, const struct full_operand *operand, const struct vcpu_span *span,
                uint64_t value)
{
    if (operand->kind == OPERAND_REG) {
        vcpu_set_gpr(v, operand->reg, operand->size, operand->high8, value);
    } else {
        vcpu_span_write(v, span, value & size_mask(operand->size));
    }
}

static uint64_t sign_extended(uint64_t value, uint8_t size)
{
    unsigned shift = 64 - size * 8;

    return (uint64_t)((int64_t)(value << shift) >> shift);
}

// --- instructions with one explicit memory operand ---

static bool writes_memory(const struct full_insn *insn)
{
    switch (insn->op) {
    case OP_CMP:
    case OP_TEST:
    case OP_BT:
        return false;
    case OP_XCHG:
    case OP_XADD:
        return true;
    default:
        return insn->dst.kind == OPERAND_MEM;
    }
}

static void do_move(struct vcpu *v, const struct full_insn *insn, const struct vcpu_span *span)
{
    uint64_t value = get(v, &insn->src, span);

    if (insn->op == OP_MOVSX) {
        value = sign_extended(value, insn->src.size);
    }
    put(v, &insn->dst, span, value);
}

static void do_arithmetic(struct vcpu *v, const struct full_insn *insn, const struct vcpu_span *span)
{
    uint64_t rflags = v->regs->rflags;
    uint64_t a = get(v, &insn->dst, span);
    uint64_t b = get(v, &insn->src, span);
    uint64_t r = alu(insn->op, a, b, insn->size, &rflags);

    if (insn->op != OP_CMP && insn->op != OP_TEST) {
        put(v, &insn->dst, span, r);
    }
    vcpu_set_rflags(v, rflags);
}

static void do_exchange(struct vcpu *v, const struct full_insn *insn, const struct vcpu_span *span)
{
    uint64_t rflags = v->regs->rflags;
    uint64_t a = get(v, &insn->dst, span);
    uint64_t b = get(v, &insn->src, span);

    if (insn->op == OP_XADD) {
        put(v, &insn->dst, span, alu(OP_ADD, a, b, insn->size, &rflags));
        vcpu_set_rflags(v, rflags);
    } else {
        put(v, &insn->dst, span, b);
    }
    put(v, &insn->src, span, a);
}

static void do_compare_exchange(struct vcpu *v, const struct full_insn *insn, const struct vcpu_span *span)
{
    uint64_t rflags = v->regs->rflags;
    uint64_t accumulator = vcpu_gpr(v, GPR_RAX, insn->size, false);
    uint64_t old = get(v, &insn->dst, span);

    (void)alu(OP_CMP, accumulator, old, insn->size, &rflags);
    // Memory is written in both cases: SDM 2A "CMPXCHG".
    if (rflags & RFLAGS_ZF) {
        put(v, &insn->dst, span, get(v, &insn->src, span));
    } else {
        put(v, &insn->dst, span, old);
        vcpu_set_gpr(v, GPR_RAX, insn->size, false, old);
    }
    vcpu_set_rflags(v, rflags);
}

static void do_bit(struct vcpu *v, const struct full_insn *insn, const struct vcpu_span *span)
{
    uint64_t bit = BIT(get(v, &insn->src, span) & (insn->size * 8u - 1));
    uint64_t value = get(v, &insn->dst, span);

    vcpu_set_rflags(v, (v->regs->rflags & ~RFLAGS_CF) | (value & bit ? RFLAGS_CF : 0));
    switch (insn->op) {
    case OP_BTS:
        put(v, &insn->dst, span, value | bit);
        break;
    case OP_BTR:
        put(v, &insn->dst, span, value & ~bit);
        break;
    case OP_BTC:
        put(v, &insn->dst, span, value ^ bit);
        break;
    default:
        break;
    }
}

static void do_conditional(struct vcpu *v, const struct full_insn *insn, const struct vcpu_span *span)
{
    bool holds = alu_condition(insn->condition, v->regs->rflags);

    if (insn->op == OP_SETCC) {
        put(v, &insn->dst, span, holds);
    } else {
        uint64_t value = get(v, &insn->src,
                             span); // read whatever the condition; a 32-bit form clears the top

        put(v, &insn->dst, span, holds ? value : get(v, &insn->dst, span));
    }
}

static void execute(struct vcpu *v, const struct full_insn *insn, const struct vcpu_span *span)
{
    switch (insn->op) {
    case OP_MOV:
    case OP_MOVZX:
    case OP_MOVSX:
        do_move(v, insn, span);
        break;
    case OP_XCHG:
    case OP_XADD:
        do_exchange(v, insn, span);
        break;
    case OP_CMPXCHG:
        do_compare_exchange(v, insn, span);
        break;
    case OP_BT:
    case OP_BTS:
    case OP_BTR:
    case OP_BTC:
        do_bit(v, insn, span);
        break;
    case OP_SETCC:
    case OP_CMOVCC:
        do_conditional(v, insn, span);
        break;
    default:
        do_arithmetic(v, insn, span);
        break;
    }
}

// A register bit offset reaches beyond the operand: SDM 2A "BT", memory addressing of bit strings.
static uint64_t bit_string_offset(const struct vcpu *v, const struct full_insn *insn)
{
    int64_t offset;

    if (insn->op < OP_BT || insn->op > OP_BTC || insn->src.kind != OPERAND_REG) {
        return 0;
    }
    offset = (int64_t)sign_extended(vcpu_gpr(v, insn->src.reg, insn->size, false), insn->size);
    return (uint64_t)((offset >> 3) & -(int64_t)insn->size);
}

static enum emu exec_general(struct vcpu *v, const struct full_insn *insn)
{
    const struct full_operand *mem = insn->dst.kind == OPERAND_MEM ? &insn->dst : &insn->src;
    uint64_t offset = (effective_address(v, insn) + bit_string_offset(v, insn)) &
                      size_mask(insn->address_size);
    struct vcpu_span span;
    enum emu result = open_memory(v, insn->mem.seg, offset, mem->size,
                                  writes_memory(insn) ? ACCESS_WRITE : ACCESS_READ, &span);

    if (result == EMU_OK) {
        execute(v, insn, &span);
    }
    return result;
}

// --- PUSH and POP ---

static uint8_t stack_address_size(const struct vcpu *v)
{
    return v->mode == DECODE_64 ? 8 : v->seg[SEG_SS].attributes & SEG_BIG ? 4 : 2;
}

static enum emu exec_push(struct vcpu *v, const struct full_insn *insn)
{
    uint8_t width;
    uint64_t top;
    struct vcpu_span from, to;
    enum emu result = open_memory(v, insn->mem.seg, effective_address(v, insn), insn->size, ACCESS_READ,
                                  &from);

    if (result != EMU_OK) {
        return result;
    }
    width = stack_address_size(v); // segments were fetched with the operand
    top = (v->regs->gpr[GPR_RSP] - insn->size) & size_mask(width);
    result = open_memory(v, SEG_SS, top, insn->size, ACCESS_WRITE, &to);
    if (result == EMU_OK) {
        vcpu_span_write(v, &to, vcpu_span_read(v, &from));
        vcpu_set_gpr(v, GPR_RSP, width, false, top);
    }
    return result;
}

// An operand addressed through RSP sees it already incremented: SDM 2B "POP".
static enum emu exec_pop(struct vcpu *v, const struct full_insn *insn)
{
    uint64_t old = v->regs->gpr[GPR_RSP];
    uint8_t width;
    uint64_t operand;
    struct vcpu_span from, to;
    enum emu result;

    if (!vcpu_need_system(v)) {
        return EMU_STOP;
    }
    width = stack_address_size(v);
    result = open_memory(v, SEG_SS, old & size_mask(width), insn->size, ACCESS_READ, &from);
    if (result != EMU_OK) {
        return result;
    }
    operand = effective_address(v, insn) + (insn->mem.base == GPR_RSP ? insn->size : 0);
    result = open_memory(v, insn->mem.seg, operand & size_mask(insn->address_size), insn->size, ACCESS_WRITE,
                         &to);
    if (result == EMU_OK) {
        vcpu_span_write(v, &to, vcpu_span_read(v, &from));
        vcpu_set_gpr(v, GPR_RSP, width, false, old + insn->size);
    }
    return result;
}

// --- string instructions ---

static bool uses_source(uint8_t op)
{
    return op == OP_MOVS || op == OP_LODS || op == OP_CMPS;
}

static bool uses_destination(uint8_t op)
{
    return op != OP_LODS;
}

static void string_element(struct vcpu *v, const struct full_insn *insn, const struct vcpu_span *source,
                           const struct vcpu_span *destination)
{
    uint64_t rflags = v->regs->rflags;
    uint64_t a = uses_source(insn->op) ? vcpu_span_read(v, source) : vcpu_gpr(v, GPR_RAX, insn->size, false);

    switch (insn->op) {
    case OP_MOVS:
    case OP_STOS:
        vcpu_span_write(v, destination, a);
        break;
    case OP_LODS:
        vcpu_set_gpr(v, GPR_RAX, insn->size, false, a);
        break;
    default: // CMPS, SCAS
        (void)alu(OP_CMP, a, vcpu_span_read(v, destination), insn->size, &rflags);
        vcpu_set_rflags(v, rflags);
        break;
    }
}

static enum emu string_iteration(struct vcpu *v, const struct full_insn *insn)
{
    bool stores = insn->op == OP_MOVS || insn->op == OP_STOS;
    struct vcpu_span source = {.pieces = 0};
    struct vcpu_span destination = {.pieces = 0};
    enum emu result = EMU_OK;

    if (uses_source(insn->op)) {
        result = open_memory(v, insn->mem.seg, vcpu_gpr(v, GPR_RSI, insn->address_size, false), insn->size,
                             ACCESS_READ, &source);
    }
    if (result == EMU_OK && uses_destination(insn->op)) {
        result = open_memory(v, SEG_ES, vcpu_gpr(v, GPR_RDI, insn->address_size, false), insn->size,
                             stores ? ACCESS_WRITE : ACCESS_READ, &destination);
    }
    if (result != EMU_OK) {
        return result;
    }
    string_element(v, insn, &source, &destination);
    if (uses_source(insn->op)) {
        string_step(v, GPR_RSI, insn->address_size, insn->size);
    }
    if (uses_destination(insn->op)) {
        string_step(v, GPR_RDI, insn->address_size, insn->size);
    }
    return EMU_OK;
}

// REPE and REPNE end by the zero flag, for the instructions that compare.
static bool string_goes_on(const struct vcpu *v, const struct full_insn *insn)
{
    bool zero = v->regs->rflags & RFLAGS_ZF;

    if (insn->op != OP_CMPS && insn->op != OP_SCAS) {
        return true;
    }
    return insn->repne ? !zero : zero;
}

// *done: the instruction is complete and RIP may move on.
static enum emu exec_string(struct vcpu *v, const struct full_insn *insn, bool *done)
{
    bool repeated = insn->rep || insn->repne;
    uint64_t left = repeated ? vcpu_gpr(v, GPR_RCX, insn->address_size, false) : 1;

    for (int i = 0; i < STRING_SLICE && left > 0; i++) {
        enum emu result = string_iteration(v, insn);

        if (result != EMU_OK) {
            return result;
        }
        left--;
        if (repeated) {
            vcpu_set_gpr(v, GPR_RCX, insn->address_size, false, left);
            if (!string_goes_on(v, insn)) {
                left = 0;
            }
        }
    }
    *done = left == 0;
    return EMU_OK;
}

// --- decoding, remembered ---

static const struct full_insn *lookup(struct vm_devices *dev, const uint8_t *bytes, uint8_t length,
                                      uint8_t mode)
{
    for (int i = 0; i < INSN_CACHE_SIZE; i++) {
        const struct insn_cache *slot = &dev->insn_cache[i];

        if (slot->length != 0 && slot->mode == mode && slot->length <= length &&
            __builtin_memcmp(slot->bytes, bytes, slot->length) == 0) {
            return &slot->insn;
        }
    }
    return NULL;
}

// A loop that polls a register decodes its instruction once.
static const struct full_insn *decode(struct vcpu *v, const uint8_t *bytes, uint8_t length)
{
    struct vm_devices *dev = v->dev;
    const struct full_insn *known = lookup(dev, bytes, length, v->mode);
    struct insn_cache *slot = &dev->insn_cache[dev->insn_cache_next];

    if (known != NULL) {
        return known;
    }
    slot->length = 0;
    dev->counters.full_decodes++;
    if (!full_insn_decode(bytes, length, v->mode, &slot->insn)) {
        return NULL;
    }
    slot->length = slot->insn.length;
    slot->mode = v->mode;
    __builtin_memcpy(slot->bytes, bytes, slot->length);
    dev->insn_cache_next = (dev->insn_cache_next + 1) % INSN_CACHE_SIZE;
    return &slot->insn;
}

enum emu exec_full_insn(struct vcpu *v, const uint8_t *bytes, uint8_t length)
{
    const struct full_insn *insn = decode(v, bytes, length);
    bool done = true;
    enum emu result;

    if (insn == NULL) {
        return EMU_STOP;
    }
    switch (insn->op) {
    case OP_PUSH:
        result = exec_push(v, insn);
        break;
    case OP_POP:
        result = exec_pop(v, insn);
        break;
    case OP_MOVS:
    case OP_STOS:
    case OP_LODS:
    case OP_CMPS:
    case OP_SCAS:
        result = exec_string(v, insn, &done);
        break;
    default:
        result = exec_general(v, insn);
        break;
    }
    if (result == EMU_OK && done) {
        vcpu_set_rip(v, v->regs->rip + insn->length);
    }
    return result;
}
