// SPDX-License-Identifier: Apache-2.0
// Instructions that can touch a device register, in a form of our own, decoded by Zydis.
//
// The small decoder of arch/x86 knows plain moves, which is nearly all a driver uses. The rest comes here:
// read-modify-write arithmetic, exchanges, bit tests, conditional moves, string instructions, push and pop.
#ifndef MGMT_DEVICES_FULL_INSN_H
#define MGMT_DEVICES_FULL_INSN_H

#include "arch/x86/decode.h"

enum full_op {
    OP_MOV,
    OP_MOVZX,
    OP_MOVSX,
    OP_ADD,
    OP_OR,
    OP_ADC,
    OP_SBB,
    OP_AND,
    OP_SUB,
    OP_XOR,
    OP_CMP,
    OP_TEST,
    OP_INC,
    OP_DEC,
    OP_NEG,
    OP_NOT,
    OP_XCHG,
    OP_XADD,
    OP_CMPXCHG,
    OP_BT,
    OP_BTS,
    OP_BTR,
    OP_BTC,
    OP_SETCC,
    OP_CMOVCC,
    OP_PUSH,
    OP_POP,
    OP_MOVS,
    OP_STOS,
    OP_LODS,
    OP_CMPS,
    OP_SCAS,
};

enum operand_kind { OPERAND_NONE, OPERAND_REG, OPERAND_IMM, OPERAND_MEM };

struct full_operand {
    uint8_t kind;
    uint8_t size; // bytes
    uint8_t reg;
    bool high8;
    uint64_t imm; // sign-extended as the instruction says
};

struct full_insn {
    uint8_t op; // enum full_op
    uint8_t length;
    uint8_t condition;    // SETcc, CMOVcc: low four bits of the opcode
    uint8_t size;         // operand size in bytes
    uint8_t address_size; // bytes
    bool rep, repne;
    struct full_operand dst, src;
    struct { // of the one explicit memory operand; string instructions have only seg (of the source)
        uint8_t seg, base, index, scale;
        bool rip_relative;
        int64_t disp;
    } mem;
};

// False: not one of the above, or not complete in `length` bytes.
MUST_CHECK bool full_insn_decode(const uint8_t *bytes, size_t length, enum decode_mode mode,
                                 struct full_insn *insn);

#endif
