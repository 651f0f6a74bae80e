// SPDX-License-Identifier: Apache-2.0
// Emulation of one intercepted access. Private to mgmt/devices; vm.c dispatches.
//
// Both update the register page; port accesses say in *flags whether the instruction is to be skipped, the others move
// RIP by themselves. Long repeated string instructions are done in slices: RCX, RSI and RDI move on, RIP stays, and the
// guest executes the instruction again, so that neither the data plane nor an interrupt of the guest waits for a long
// one.
#ifndef MGMT_DEVICES_INTERCEPT_H
#define MGMT_DEVICES_INTERCEPT_H

#include "mgmt/devices/vcpu.h"

#define STRING_SLICE 256 // iterations a completion

#define IO_INFO_SIZE 0x7 // struct hv_io_intercept, info
#define IO_INFO_STRING BIT(3)
#define IO_INFO_REP BIT(4)

static inline bool io_size_is_valid(uint8_t size)
{
    return size == 1 || size == 2 || size == 4;
}

MUST_CHECK enum emu io_intercept_string(struct vcpu *v, const struct hv_io_intercept *msg, uint32_t *flags);
MUST_CHECK enum emu mmio_intercept(struct vcpu *v, const struct hv_memory_intercept *msg);

// Everything the small decoder does not know (exec_insn.c). The caller has fetched `length` bytes.
MUST_CHECK enum emu exec_full_insn(struct vcpu *v, const uint8_t *bytes, uint8_t length);

// One string index register moved on by one element, cut to the address size.
static inline void string_step(struct vcpu *v, uint8_t reg, uint8_t address_size, uint8_t element)
{
    uint64_t step = v->regs->rflags & RFLAGS_DF ? 0 - (uint64_t)element : element;

    vcpu_set_gpr(v, reg, address_size, false, v->regs->gpr[reg] + step);
}

#endif
