// srcs: arch/x86/decode.c
// libs: zydis
// SPDX-License-Identifier: Apache-2.0
// The small decoder against Zydis: whatever it takes for a plain move must be one, with the same length, operands and
// immediate. Input: mode, then the instruction.
#include <stdlib.h>
#include <string.h>
#include <Zydis/Zydis.h>
#include "arch/x86/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static const struct {
    ZydisMachineMode machine;
    ZydisStackWidth stack;
} modes[] = {
    [DECODE_16] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
    [DECODE_32] = {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
    [DECODE_64] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
};

static bool is_move(ZydisMnemonic m)
{
    return m == ZYDIS_MNEMONIC_MOV || m == ZYDIS_MNEMONIC_MOVZX || m == ZYDIS_MNEMONIC_MOVSX ||
           m == ZYDIS_MNEMONIC_MOVSXD || m == ZYDIS_MNEMONIC_MOVNTI;
}

static uint8_t register_number(ZydisRegister r)
{
    if (r == ZYDIS_REGISTER_NONE) {
        return DECODE_NO_REG;
    }
    return (uint8_t)ZydisRegisterGetId(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r));
}

static void compare_memory(const struct insn *insn, const ZydisDecodedOperand *m)
{
    static const ZydisRegister segments[] = {ZYDIS_REGISTER_ES, ZYDIS_REGISTER_CS, ZYDIS_REGISTER_SS,
                                             ZYDIS_REGISTER_DS, ZYDIS_REGISTER_FS, ZYDIS_REGISTER_GS};
    bool rip = m->mem.base == ZYDIS_REGISTER_RIP || m->mem.base == ZYDIS_REGISTER_EIP;

    require(m->size == insn->size * 8u);
    // In 64-bit mode SS and DS are alike and the decoder does not tell them apart.
    require(m->mem.segment == segments[insn->seg] || (!insn->linear32 && insn->seg == 3));
    require(insn->rip_relative == rip);
    if (!rip) {
        require(register_number(m->mem.base) == insn->base);
    }
    require(register_number(m->mem.index) == insn->index);
    if (insn->index != DECODE_NO_REG) {
        require(1u << insn->scale == MAX(m->mem.scale, 1));
    }
    uint64_t mask = insn->address_size == 8 ? ~0ull : (1ull << (8 * insn->address_size)) - 1;
    require((((uint64_t)m->mem.disp.value ^ (uint64_t)insn->disp) & mask) == 0);
}

static void compare_register(const struct insn *insn, const ZydisDecodedOperand *r)
{
    bool high = r->reg.value >= ZYDIS_REGISTER_AH && r->reg.value <= ZYDIS_REGISTER_BH;

    require(r->size == insn->reg_size * 8u);
    require(insn->high8 == high);
    require(high ? insn->reg == r->reg.value - ZYDIS_REGISTER_AH
                 : register_number(r->reg.value) == insn->reg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction full;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    struct insn insn;
    enum decode_mode mode;

    if (size < 2) {
        return 0;
    }
    mode = (enum decode_mode)(data[0] % 3);
    data++;
    size--;
    if (!decode_insn(data, size, mode, &insn)) {
        return 0;
    }
    require(insn.length >= 2 && insn.length <= MIN(size, DECODE_MAX_INSN));
    ZydisDecoderInit(&decoder, modes[mode].machine, modes[mode].stack);
    require(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, data, size, &full, op)));
    require(is_move(full.mnemonic));
    require(full.length == insn.length);
    require(full.address_width == insn.address_size * 8u);
    require(op[insn.kind == INSN_LOAD].type == ZYDIS_OPERAND_TYPE_MEMORY);
    compare_memory(&insn, &op[insn.kind == INSN_LOAD]);
    if (insn.has_imm) {
        uint64_t mask = insn.size == 8 ? ~0ull : (1ull << (8 * insn.size)) - 1;

        require((op[1].imm.value.u & mask) == insn.imm);
    } else {
        compare_register(&insn, &op[insn.kind == INSN_LOAD ? 0 : 1]);
    }
    return 0;
}
