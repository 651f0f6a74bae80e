// SPDX-License-Identifier: Apache-2.0
// Integer arithmetic with x86 flags. Pure functions.
#ifndef MGMT_DEVICES_ALU_H
#define MGMT_DEVICES_ALU_H

#include "mgmt/devices/full_insn.h"

// Result of a `op` b in operands of `size` bytes (1, 2, 4, 8), cut to size; updates the status flags in
// *rflags as SDM 2 says for the instruction (undefined flags are cleared). One-operand forms ignore b.
// op: OP_ADD .. OP_NOT. OP_CMP and OP_TEST return a unchanged.
uint64_t alu(enum full_op op, uint64_t a, uint64_t b, uint8_t size, uint64_t *rflags);

// Condition codes of SETcc, CMOVcc: SDM 1 "EFLAGS Condition Codes".
bool alu_condition(uint8_t condition, uint64_t rflags);

#endif
