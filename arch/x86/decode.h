// SPDX-License-Identifier: Apache-2.0
// A small instruction decoder: moves between a general register or an immediate and memory.
//
// Nearly every access to a device register or to the local APIC page is one of MOV, MOVZX, MOVSX, MOVSXD or
// MOVNTI with one memory operand. Those are decoded here in a few dozen steps; for everything else the
// decoder says "not plain" and the caller falls back to a full decoder or gives up. Pure functions without
// state: used by the hypervisor and by the device models of the management partition.
//
// Source: SDM 2A "Instruction Format", 2B "MOV", "MOVZX", "MOVSX/MOVSXD", "MOVNTI".
#ifndef ARCH_DECODE_H
#define ARCH_DECODE_H

#include <keelson/types.h>

#define DECODE_MAX_INSN 15 // bytes (SDM 2A "Instruction Prefixes": a longer instruction is #GP)
#define DECODE_NO_REG 0xff

// Default operand and address size of the code segment: CS.L and EFER.LMA give 64, else CS.D gives 32 or 16.
enum decode_mode { DECODE_16, DECODE_32, DECODE_64 };

struct insn_prefixes {
    uint8_t count; // bytes, REX included
    uint8_t rex;   // the REX byte, 0: none (64-bit mode only)
    uint8_t seg;   // override in force: 0 ES 1 CS 2 SS 3 DS 4 FS 5 GS (HV_REG_ES + n), DECODE_NO_REG
    bool operand_size, address_size, lock, rep, repne; // 66, 67, F0, F3, F2
};

enum insn_kind {
    INSN_LOAD,  // memory to register
    INSN_STORE, // register or immediate to memory
};

struct insn {         // a plain move
    uint8_t length;   // of the whole instruction, 1..15
    uint8_t kind;     // enum insn_kind
    uint8_t size;     // bytes of the memory operand: 1, 2, 4, 8
    uint8_t reg;      // register number 0 RAX .. 15 (order of HV_REG_RAX + n)
    uint8_t reg_size; // load: bytes of the register that are written (4 clears the upper half)
    bool high8;       // reg (0..3) means AH, CH, DH, BH
    bool sign_extend; // load: MOVSX, MOVSXD
    bool has_imm;     // store: the value is imm, not reg
    uint64_t imm;     // already cut to size

    // Memory operand: seg.base + base + (index << scale) + disp, cut to address_size before seg.base.
    uint8_t seg;          // 0 ES 1 CS 2 SS 3 DS 4 FS 5 GS
    uint8_t base, index;  // register numbers, DECODE_NO_REG: none
    uint8_t scale;        // 0..3
    uint8_t address_size; // bytes: 2, 4, 8
    bool linear32;        // the linear address is cut to 32 bits (outside 64-bit mode)
    bool rip_relative;    // base is the address of the next instruction
    int64_t disp;
};

// Decodes the prefixes at bytes[0..len). prefixes->count is less than len unless only prefixes are there.
void decode_prefixes(const uint8_t *bytes, size_t len, enum decode_mode mode, struct insn_prefixes *prefixes);

// Decodes one instruction. False: it is not a plain move with a memory operand, or bytes[] ends too early.
MUST_CHECK bool decode_insn(const uint8_t *bytes, size_t len, enum decode_mode mode, struct insn *insn);

// Linear address of the memory operand. gpr[] is in the order of HV_REG_RAX + n, next_rip the address of the
// following instruction, seg_base the base of insn->seg (0 for ES, CS, SS and DS in 64-bit mode).
uint64_t decode_address(const struct insn *insn, const uint64_t gpr[16], uint64_t next_rip,
                        uint64_t seg_base);

// Value that a store writes, cut to insn->size bytes.
uint64_t decode_store_value(const struct insn *insn, const uint64_t gpr[16]);

// New 64-bit content of insn->reg after a load: `mem` is what was read (insn->size bytes count), `old` the
// register's content before.
uint64_t decode_load_result(const struct insn *insn, uint64_t mem, uint64_t old);

#endif
