// SPDX-License-Identifier: Apache-2.0
// Integer arithmetic with x86 flags.

#include "mgmt/devices/alu.h"

#include "mgmt/devices/vcpu.h"

static uint64_t flag(bool on, uint64_t bit)
{
    return on ? bit : 0;
}

static uint64_t result_flags(uint64_t r, uint8_t size)
{
    return flag(r == 0, RFLAGS_ZF) | flag(r >> (size * 8 - 1) & 1, RFLAGS_SF) |
           flag(!__builtin_parity((uint8_t)r), RFLAGS_PF);
}

static bool sign(uint64_t v, uint8_t size)
{
    return v >> (size * 8 - 1) & 1;
}

static uint64_t add(uint64_t a, uint64_t b, bool carry, uint8_t size, uint64_t *status)
{
    uint64_t r = (a + b + carry) & size_mask(size);
    bool carry_out = r < a || (carry && r == a);

    *status = result_flags(r, size) | flag(carry_out, RFLAGS_CF) | flag((a ^ b ^ r) & 0x10, RFLAGS_AF) |
              flag(sign(~(a ^ b) & (a ^ r), size), RFLAGS_OF);
    return r;
}

static uint64_t subtract(uint64_t a, uint64_t b, bool borrow, uint8_t size, uint64_t *status)
{
    uint64_t r = (a - b - borrow) & size_mask(size);

    *status = result_flags(r, size) | flag(a < b || (borrow && a == b), RFLAGS_CF) |
              flag((a ^ b ^ r) & 0x10, RFLAGS_AF) | flag(sign((a ^ b) & (a ^ r), size), RFLAGS_OF);
    return r;
}

static uint64_t logic(uint64_t r, uint8_t size, uint64_t *status)
{
    *status = result_flags(r, size);
    return r;
}

uint64_t alu(enum full_op op, uint64_t a, uint64_t b, uint8_t size, uint64_t *rflags)
{
    bool carry = *rflags & RFLAGS_CF;
    uint64_t status = *rflags & RFLAGS_STATUS;
    uint64_t r = a;

    a &= size_mask(size);
    b &= size_mask(size);
    switch (op) {
    case OP_ADD:
        r = add(a, b, false, size, &status);
        break;
    case OP_ADC:
        r = add(a, b, carry, size, &status);
        break;
    case OP_SUB:
        r = subtract(a, b, false, size, &status);
        break;
    case OP_SBB:
        r = subtract(a, b, carry, size, &status);
        break;
    case OP_CMP:
        (void)subtract(a, b, false, size, &status);
        break;
    case OP_AND:
        r = logic(a & b, size, &status);
        break;
    case OP_OR:
        r = logic(a | b, size, &status);
        break;
    case OP_XOR:
        r = logic(a ^ b, size, &status);
        break;
    case OP_TEST:
        (void)logic(a & b, size, &status);
        break;
    case OP_INC: // INC and DEC leave CF alone
        r = add(a, 1, false, size, &status);
        status = (status & ~RFLAGS_CF) | flag(carry, RFLAGS_CF);
        break;
    case OP_DEC:
        r = subtract(a, 1, false, size, &status);
        status = (status & ~RFLAGS_CF) | flag(carry, RFLAGS_CF);
        break;
    case OP_NEG:
        r = subtract(0, a, false, size, &status);
        break;
    case OP_NOT: // no flags
        r = ~a & size_mask(size);
        break;
    default:
        break;
    }
    *rflags = (*rflags & ~RFLAGS_STATUS) | status;
    return r;
}

bool alu_condition(uint8_t condition, uint64_t rflags)
{
    bool less = !(rflags & RFLAGS_SF) != !(rflags & RFLAGS_OF);
    bool holds = false;

    switch (condition >> 1) {
    case 0:
        holds = rflags & RFLAGS_OF;
        break;
    case 1:
        holds = rflags & RFLAGS_CF;
        break;
    case 2:
        holds = rflags & RFLAGS_ZF;
        break;
    case 3:
        holds = rflags & (RFLAGS_CF | RFLAGS_ZF);
        break;
    case 4:
        holds = rflags & RFLAGS_SF;
        break;
    case 5:
        holds = rflags & RFLAGS_PF;
        break;
    case 6:
        holds = less;
        break;
    default:
        holds = less || (rflags & RFLAGS_ZF);
        break;
    }
    return holds != (condition & 1);
}
