// SPDX-License-Identifier: Apache-2.0
// A small instruction decoder for plain moves; see decode.h.
//
// The instruction is read through a cursor that knows its end: running out of bytes sets `short_read`, reads
// give zero from then on, and the caller gets false at the end, so that no step needs a check of its own.
#include "arch/x86/decode.h"

#define REX_W 0x08
#define REX_R 0x04
#define REX_X 0x02
#define REX_B 0x01

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };
enum { REG_BX = 3, REG_SP = 4, REG_BP = 5, REG_SI = 6, REG_DI = 7 };

struct cursor {
    const uint8_t *bytes;
    size_t len, pos;
    bool short_read;
};

// What the opcode says about operands, before ModRM is read.
enum opcode_flags {
    OP_NONE = 0,
    OP_LOAD = 1 << 0,
    OP_STORE = 1 << 1,
    OP_IMM = 1 << 2,    // immediate of operand size, at most four bytes
    OP_MOFFS = 1 << 3,  // no ModRM: RAX and an absolute offset
    OP_BYTE = 1 << 4,   // memory operand of one byte
    OP_WORD = 1 << 5,   // memory operand of two bytes
    OP_DWORD = 1 << 6,  // memory operand of four bytes
    OP_EXTEND = 1 << 7, // register operand has the operand size whatever the memory operand's is
    OP_SIGNED = 1 << 8,
    OP_GROUP = 1 << 9,  // ModRM.reg must be 0
    OP_NO_66 = 1 << 10, // no operand size prefix
};

static uint8_t take_byte(struct cursor *c)
{
    if (c->pos >= c->len) {
        c->short_read = true;
        return 0;
    }
    return c->bytes[c->pos++];
}

static uint64_t take_le(struct cursor *c, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++) {
        v |= (uint64_t)take_byte(c) << (8 * i);
    }
    return v;
}

static uint64_t sign_extend(uint64_t v, unsigned bytes)
{
    unsigned shift = 64 - 8 * bytes;

    return (uint64_t)((int64_t)(v << shift) >> shift);
}

static uint64_t cut(uint64_t v, unsigned bytes)
{
    return bytes >= 8 ? v : v & (BIT(8 * bytes) - 1);
}

// One legacy prefix; false if the byte is none. In 64-bit mode ES, CS, SS and DS overrides do nothing; an FS
// or GS override before them stays in force.
static bool legacy_prefix(uint8_t byte, enum decode_mode mode, struct insn_prefixes *p)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
        if (mode != DECODE_64) {
            p->seg = (byte >> 3) & 3;
        }
        return true;
    case 0x64:
    case 0x65:
        p->seg = SEG_FS + (byte & 1);
        return true;
    case 0x66:
        p->operand_size = true;
        return true;
    case 0x67:
        p->address_size = true;
        return true;
    case 0xf0:
        p->lock = true;
        return true;
    case 0xf2:
        p->repne = true;
        return true;
    case 0xf3:
        p->rep = true;
        return true;
    }
    return false;
}

void decode_prefixes(const uint8_t *bytes, size_t len, enum decode_mode mode, struct insn_prefixes *prefixes)
{
    size_t n = 0;

    *prefixes = (struct insn_prefixes){.seg = DECODE_NO_REG};
    while (n < len) {
        if (legacy_prefix(bytes[n], mode, prefixes)) {
            prefixes->rex = 0; // a REX byte that is not the last prefix counts for nothing
        } else if (mode == DECODE_64 && (bytes[n] & 0xf0) == 0x40) {
            prefixes->rex = bytes[n];
        } else {
            break;
        }
        n++;
    }
    prefixes->count = (uint8_t)MIN(n, 255u);
}

static unsigned opcode_0f(uint8_t op)
{
    switch (op) {
    case 0xb6:
        return OP_LOAD | OP_EXTEND | OP_BYTE;
    case 0xb7:
        return OP_LOAD | OP_EXTEND | OP_WORD;
    case 0xbe:
        return OP_LOAD | OP_EXTEND | OP_BYTE | OP_SIGNED;
    case 0xbf:
        return OP_LOAD | OP_EXTEND | OP_WORD | OP_SIGNED;
    case 0xc3:
        return OP_STORE | OP_NO_66; // MOVNTI
    }
    return OP_NONE;
}

static unsigned opcode_plain(uint8_t op, enum decode_mode mode)
{
    switch (op) {
    case 0x63:
        return mode == DECODE_64 ? OP_LOAD | OP_EXTEND | OP_DWORD | OP_SIGNED : OP_NONE;
    case 0x88:
        return OP_STORE | OP_BYTE;
    case 0x89:
        return OP_STORE;
    case 0x8a:
        return OP_LOAD | OP_BYTE;
    case 0x8b:
        return OP_LOAD;
    case 0xa0:
        return OP_LOAD | OP_MOFFS | OP_BYTE;
    case 0xa1:
        return OP_LOAD | OP_MOFFS;
    case 0xa2:
        return OP_STORE | OP_MOFFS | OP_BYTE;
    case 0xa3:
        return OP_STORE | OP_MOFFS;
    case 0xc6:
        return OP_STORE | OP_IMM | OP_GROUP | OP_BYTE;
    case 0xc7:
        return OP_STORE | OP_IMM | OP_GROUP;
    }
    return OP_NONE;
}

static unsigned operand_size(unsigned flags, enum decode_mode mode, const struct insn_prefixes *p)
{
    if (p->rex & REX_W) {
        return 8;
    }
    if (flags & OP_NO_66) {
        return 4; // in 16-bit code too
    }
    return (mode == DECODE_16) == p->operand_size ? 4 : 2;
}

static unsigned address_size(enum decode_mode mode, const struct insn_prefixes *p)
{
    if (mode == DECODE_64) {
        return p->address_size ? 4 : 8;
    }
    return (mode == DECODE_16) == p->address_size ? 4 : 2;
}

// MOVSXD with a 16-bit register is read differently by different processors; MOVNTI has no prefixed form.
static bool is_plain(unsigned flags, unsigned size, const struct insn_prefixes *p)
{
    if (flags == OP_NONE || p->lock || ((flags & OP_DWORD) != 0 && size == 2)) {
        return false;
    }
    return (flags & OP_NO_66) == 0 || !(p->operand_size || p->rep || p->repne);
}

static void set_sizes(unsigned flags, unsigned size, struct insn *insn)
{
    insn->size = flags & OP_BYTE ? 1 : flags & OP_WORD ? 2 : flags & OP_DWORD ? 4 : size;
    insn->reg_size = flags & OP_EXTEND ? size : insn->size;
    insn->sign_extend = flags & OP_SIGNED;
}

// Without REX the byte registers 4..7 are AH, CH, DH and BH (SDM 2A "REX Prefixes").
static void set_register(unsigned number, const struct insn_prefixes *p, struct insn *insn)
{
    insn->reg = number;
    if (insn->reg_size == 1 && !p->rex && number >= 4) {
        insn->reg = number - 4;
        insn->high8 = true;
    }
}

// SDM 2A table "16-Bit Addressing Forms with the ModR/M Byte".
static void address_16(struct cursor *c, unsigned mod, unsigned rm, struct insn *insn)
{
    static const uint8_t base[8] = {REG_BX, REG_BX, REG_BP, REG_BP, REG_SI, REG_DI, REG_BP, REG_BX};
    static const uint8_t index[4] = {REG_SI, REG_DI, REG_SI, REG_DI};

    if (mod == 0 && rm == 6) {
        insn->disp = (int64_t)take_le(c, 2);
        return;
    }
    insn->base = base[rm];
    insn->index = rm < 4 ? index[rm] : DECODE_NO_REG;
    if (mod != 0) {
        insn->disp = (int64_t)sign_extend(take_le(c, mod), mod);
    }
}

static void address_sib(struct cursor *c, unsigned mod, uint8_t rex, struct insn *insn)
{
    uint8_t sib = take_byte(c);
    unsigned index = ((sib >> 3) & 7) | (rex & REX_X ? 8 : 0);

    insn->scale = sib >> 6;
    insn->index = index == REG_SP ? DECODE_NO_REG : index;
    if ((sib & 7) == REG_BP && mod == 0) {
        insn->disp = (int64_t)sign_extend(take_le(c, 4), 4);
    } else {
        insn->base = (sib & 7) | (rex & REX_B ? 8 : 0);
    }
}

// SDM 2A table "32-Bit Addressing Forms with the ModR/M Byte" and "RIP-Relative Addressing".
static void address_32(struct cursor *c, unsigned mod, unsigned rm, uint8_t rex, bool long_mode,
                       struct insn *insn)
{
    if (rm == REG_SP) {
        address_sib(c, mod, rex, insn);
    } else if (rm == REG_BP && mod == 0) {
        insn->disp = (int64_t)sign_extend(take_le(c, 4), 4);
        insn->rip_relative = long_mode;
    } else {
        insn->base = rm | (rex & REX_B ? 8 : 0);
    }
    if (mod == 1) {
        insn->disp = (int64_t)sign_extend(take_le(c, 1), 1);
    } else if (mod == 2) {
        insn->disp = (int64_t)sign_extend(take_le(c, 4), 4);
    }
}

static void set_segment(const struct insn_prefixes *p, enum decode_mode mode, struct insn *insn)
{
    bool stack = insn->base == REG_BP || insn->base == REG_SP;

    if (p->seg != DECODE_NO_REG) {
        insn->seg = p->seg;
    } else {
        insn->seg = stack && mode != DECODE_64 ? SEG_SS : SEG_DS;
    }
}

static bool modrm_operands(struct cursor *c, unsigned flags, enum decode_mode mode,
                           const struct insn_prefixes *p, struct insn *insn)
{
    uint8_t modrm = take_byte(c);
    unsigned mod = modrm >> 6, reg = (modrm >> 3) & 7, rm = modrm & 7;

    if (mod == 3 || ((flags & OP_GROUP) && reg != 0)) {
        return false;
    }
    set_register(reg | (p->rex & REX_R ? 8 : 0), p, insn);
    if (insn->address_size == 2) {
        address_16(c, mod, rm, insn);
    } else {
        address_32(c, mod, rm, p->rex, mode == DECODE_64, insn);
    }
    return true;
}

static void immediate_operand(struct cursor *c, struct insn *insn)
{
    unsigned bytes = MIN(insn->size, 4);

    insn->has_imm = true;
    insn->imm = cut(sign_extend(take_le(c, bytes), bytes), insn->size);
}

static unsigned take_opcode(struct cursor *c, enum decode_mode mode)
{
    uint8_t op = take_byte(c);

    return op == 0x0f ? opcode_0f(take_byte(c)) : opcode_plain(op, mode);
}

bool decode_insn(const uint8_t *bytes, size_t len, enum decode_mode mode, struct insn *insn)
{
    struct insn_prefixes p;
    struct cursor c = {.bytes = bytes, .len = MIN(len, DECODE_MAX_INSN)};
    unsigned flags, size;

    decode_prefixes(bytes, c.len, mode, &p);
    c.pos = p.count;
    flags = take_opcode(&c, mode);
    size = operand_size(flags, mode, &p);
    if (!is_plain(flags, size, &p)) {
        return false;
    }
    *insn = (struct insn){
        .kind = flags & OP_LOAD ? INSN_LOAD : INSN_STORE,
        .base = DECODE_NO_REG,
        .index = DECODE_NO_REG,
        .address_size = address_size(mode, &p),
        .linear32 = mode != DECODE_64,
    };
    set_sizes(flags, size, insn);
    if (flags & OP_MOFFS) {
        insn->disp = (int64_t)take_le(&c, insn->address_size);
    } else if (!modrm_operands(&c, flags, mode, &p, insn)) {
        return false;
    }
    if (flags & OP_IMM) {
        immediate_operand(&c, insn);
    }
    set_segment(&p, mode, insn);
    insn->length = (uint8_t)c.pos;
    return !c.short_read;
}

uint64_t decode_address(const struct insn *insn, const uint64_t gpr[16], uint64_t next_rip, uint64_t seg_base)
{
    uint64_t offset = (uint64_t)insn->disp;

    if (insn->base != DECODE_NO_REG) {
        offset += gpr[insn->base];
    }
    if (insn->index != DECODE_NO_REG) {
        offset += gpr[insn->index] << insn->scale;
    }
    if (insn->rip_relative) {
        offset += next_rip;
    }
    return cut(cut(offset, insn->address_size) + seg_base, insn->linear32 ? 4 : 8);
}

uint64_t decode_store_value(const struct insn *insn, const uint64_t gpr[16])
{
    if (insn->has_imm) {
        return insn->imm;
    }
    return cut(insn->high8 ? gpr[insn->reg] >> 8 : gpr[insn->reg], insn->size);
}

uint64_t decode_load_result(const struct insn *insn, uint64_t mem, uint64_t old)
{
    uint64_t value = cut(mem, insn->size);

    if (insn->sign_extend) {
        value = cut(sign_extend(value, insn->size), insn->reg_size);
    }
    if (insn->high8) {
        return (old & ~0xff00ull) | value << 8;
    }
    if (insn->reg_size >= 4) {
        return value; // a 32-bit result clears the upper half
    }
    return (old & ~(BIT(8 * insn->reg_size) - 1)) | value;
}
