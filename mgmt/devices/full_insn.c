// SPDX-License-Identifier: Apache-2.0
// Instructions that can touch a device register, in a form of our own, decoded by Zydis.

#include "mgmt/devices/full_insn.h"

#include <Zydis/Zydis.h>

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

// Mnemonics whose meaning does not depend on anything else.
static const struct {
    uint16_t mnemonic;
    uint8_t op;
} plain_ops[] = {
    {ZYDIS_MNEMONIC_MOV, OP_MOV},     {ZYDIS_MNEMONIC_MOVNTI, OP_MOV},   {ZYDIS_MNEMONIC_MOVZX, OP_MOVZX},
    {ZYDIS_MNEMONIC_MOVSX, OP_MOVSX}, {ZYDIS_MNEMONIC_MOVSXD, OP_MOVSX}, {ZYDIS_MNEMONIC_ADD, OP_ADD},
    {ZYDIS_MNEMONIC_OR, OP_OR},       {ZYDIS_MNEMONIC_ADC, OP_ADC},      {ZYDIS_MNEMONIC_SBB, OP_SBB},
    {ZYDIS_MNEMONIC_AND, OP_AND},     {ZYDIS_MNEMONIC_SUB, OP_SUB},      {ZYDIS_MNEMONIC_XOR, OP_XOR},
    {ZYDIS_MNEMONIC_CMP, OP_CMP},     {ZYDIS_MNEMONIC_TEST, OP_TEST},    {ZYDIS_MNEMONIC_INC, OP_INC},
    {ZYDIS_MNEMONIC_DEC, OP_DEC},     {ZYDIS_MNEMONIC_NEG, OP_NEG},      {ZYDIS_MNEMONIC_NOT, OP_NOT},
    {ZYDIS_MNEMONIC_XCHG, OP_XCHG},   {ZYDIS_MNEMONIC_XADD, OP_XADD},    {ZYDIS_MNEMONIC_CMPXCHG, OP_CMPXCHG},
    {ZYDIS_MNEMONIC_BT, OP_BT},       {ZYDIS_MNEMONIC_BTS, OP_BTS},      {ZYDIS_MNEMONIC_BTR, OP_BTR},
    {ZYDIS_MNEMONIC_BTC, OP_BTC},     {ZYDIS_MNEMONIC_PUSH, OP_PUSH},    {ZYDIS_MNEMONIC_POP, OP_POP},
};

// One-byte opcodes of the string instructions; the even one of a pair is the byte form.
static const struct {
    uint8_t opcode;
    uint8_t op;
} string_ops[] = {
    {0xa4, OP_MOVS}, {0xa6, OP_CMPS}, {0xaa, OP_STOS}, {0xac, OP_LODS}, {0xae, OP_SCAS},
};

static bool find_op(const ZydisDecodedInstruction *zi, uint8_t *op)
{
    for (size_t i = 0; i < ARRAY_LEN(plain_ops); i++) {
        if (plain_ops[i].mnemonic == zi->mnemonic) {
            *op = plain_ops[i].op;
            return true;
        }
    }
    if (zi->opcode_map == ZYDIS_OPCODE_MAP_0F && (zi->opcode & 0xf0) == 0x90) {
        *op = OP_SETCC;
        return true;
    }
    if (zi->opcode_map == ZYDIS_OPCODE_MAP_0F && (zi->opcode & 0xf0) == 0x40) {
        *op = OP_CMOVCC;
        return true;
    }
    return false;
}

static bool find_string_op(const ZydisDecodedInstruction *zi, uint8_t *op)
{
    if (zi->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(string_ops); i++) {
        if (string_ops[i].opcode == (zi->opcode & 0xfe)) {
            *op = string_ops[i].op;
            return true;
        }
    }
    return false;
}

static bool set_register(struct full_operand *operand, ZydisRegister reg)
{
    operand->kind = OPERAND_REG;
    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_GPR8:
        // AL..BL, AH..BH, SPL..DIL, R8B..R15B
        operand->reg = (uint8_t)(reg - ZYDIS_REGISTER_AL);
        operand->high8 = operand->reg >= 4 && operand->reg < 8;
        operand->reg = (uint8_t)(operand->reg < 4 ? operand->reg : operand->reg - 4);
        return true;
    case ZYDIS_REGCLASS_GPR16:
        operand->reg = (uint8_t)(reg - ZYDIS_REGISTER_AX);
        return true;
    case ZYDIS_REGCLASS_GPR32:
        operand->reg = (uint8_t)(reg - ZYDIS_REGISTER_EAX);
        return true;
    case ZYDIS_REGCLASS_GPR64:
        operand->reg = (uint8_t)(reg - ZYDIS_REGISTER_RAX);
        return true;
    default:
        return false; // segment, control, vector registers
    }
}

static bool set_address_register(uint8_t *out, ZydisRegister reg)
{
    struct full_operand operand;

    *out = DECODE_NO_REG;
    if (reg == ZYDIS_REGISTER_NONE) {
        return true;
    }
    if (!set_register(&operand, reg)) {
        return false;
    }
    *out = operand.reg;
    return true;
}

static bool set_memory(struct full_insn *insn, const ZydisDecodedOperandMem *mem)
{
    if (mem->type != ZYDIS_MEMOP_TYPE_MEM || mem->segment < ZYDIS_REGISTER_ES ||
        mem->segment > ZYDIS_REGISTER_GS) {
        return false;
    }
    insn->mem.seg = (uint8_t)(mem->segment - ZYDIS_REGISTER_ES); // ES CS SS DS FS GS, as in HV_REG_ES..
    insn->mem.disp = mem->disp.has_displacement ? mem->disp.value : 0;
    insn->mem.scale = mem->scale;
    insn->mem.rip_relative = mem->base == ZYDIS_REGISTER_RIP || mem->base == ZYDIS_REGISTER_EIP;
    if (insn->mem.rip_relative) {
        insn->mem.base = DECODE_NO_REG;
        insn->mem.index = DECODE_NO_REG;
        return true;
    }
    return set_address_register(&insn->mem.base, mem->base) &&
           set_address_register(&insn->mem.index, mem->index);
}

static bool set_operand(struct full_insn *insn, struct full_operand *out, const ZydisDecodedOperand *in)
{
    out->size = (uint8_t)(in->size / 8);
    switch (in->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        return set_register(out, in->reg.value);
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        out->kind = OPERAND_IMM;
        out->imm = in->imm.value.u;
        return true;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        out->kind = OPERAND_MEM;
        return (out->size == 1 || out->size == 2 || out->size == 4 || out->size == 8) &&
               set_memory(insn, &in->mem);
    default:
        return false;
    }
}

static bool set_operands(struct full_insn *insn, const ZydisDecodedInstruction *zi,
                         const ZydisDecodedOperand *operands)
{
    bool memory;

    if (zi->operand_count_visible < 1 || zi->operand_count_visible > 2 ||
        !set_operand(insn, &insn->dst, &operands[0])) {
        return false;
    }
    if (zi->operand_count_visible == 2 && !set_operand(insn, &insn->src, &operands[1])) {
        return false;
    }
    memory = insn->dst.kind == OPERAND_MEM || insn->src.kind == OPERAND_MEM;
    insn->size = insn->dst.size;
    return memory;
}

static ZydisStackWidth stack_width(enum decode_mode mode)
{
    return mode == DECODE_64   ? ZYDIS_STACK_WIDTH_64
           : mode == DECODE_32 ? ZYDIS_STACK_WIDTH_32
                               : ZYDIS_STACK_WIDTH_16;
}

static ZydisMachineMode machine_mode(enum decode_mode mode)
{
    return mode == DECODE_64   ? ZYDIS_MACHINE_MODE_LONG_64
           : mode == DECODE_32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
                               : ZYDIS_MACHINE_MODE_LONG_COMPAT_16;
}

static void set_string(struct full_insn *insn, const ZydisDecodedInstruction *zi,
                       const struct insn_prefixes *prefixes, enum decode_mode mode)
{
    if (!(zi->opcode & 1)) {
        insn->size = 1;
    } else if (prefixes->rex & 0x08) {
        insn->size = 8;
    } else {
        insn->size = (mode == DECODE_16) != prefixes->operand_size ? 2 : 4;
    }
    insn->mem.seg = prefixes->seg == DECODE_NO_REG ? SEG_DS : prefixes->seg;
    insn->rep = prefixes->rep;
    insn->repne = prefixes->repne;
}

bool full_insn_decode(const uint8_t *bytes, size_t length, enum decode_mode mode, struct full_insn *insn)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    struct insn_prefixes prefixes;

    if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, machine_mode(mode), stack_width(mode))) ||
        !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, length, &zi, operands)) ||
        zi.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
        return false;
    }
    *insn = (struct full_insn){.length = zi.length, .address_size = (uint8_t)(zi.address_width / 8)};
    if (find_string_op(&zi, &insn->op)) {
        decode_prefixes(bytes, length, mode, &prefixes);
        set_string(insn, &zi, &prefixes, mode);
        return true;
    }
    insn->condition = zi.opcode & 0xf;
    return find_op(&zi, &insn->op) && set_operands(insn, &zi, operands);
}
