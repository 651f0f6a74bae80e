// SPDX-License-Identifier: Apache-2.0
// View of one VP while one of its intercepts is served: registers, address translation, memory, faults.
//
// A `struct vcpu` lives on the stack for one intercept. General registers, RIP and RFLAGS are in the
// register page; segments and control registers are fetched when first needed, which costs a hypercall.
//
// Functions that can end in an exception return enum emu. EMU_FAULT means v->fault is filled; nothing of
// the instruction has happened then, apart from completed iterations of a repeated string instruction.
#ifndef MGMT_DEVICES_VCPU_H
#define MGMT_DEVICES_VCPU_H

#include "arch/x86/decode.h"
#include "mgmt/devices/vm_priv.h"

enum emu {
    EMU_OK,
    EMU_FAULT, // inject v->fault
    EMU_RETRY, // nothing done: let the guest execute the instruction again
    EMU_STOP,  // cannot be emulated: the VP is stopped
};

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT };
enum { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI };

enum { VECTOR_UD = 6, VECTOR_SS = 12, VECTOR_GP = 13, VECTOR_PF = 14 };

#define PF_PRESENT 0x01u
#define PF_WRITE 0x02u
#define PF_USER 0x04u
#define PF_RESERVED 0x08u
#define PF_FETCH 0x10u

#define RFLAGS_CF BIT(0)
#define RFLAGS_PF BIT(2)
#define RFLAGS_AF BIT(4)
#define RFLAGS_ZF BIT(6)
#define RFLAGS_SF BIT(7)
#define RFLAGS_DF BIT(10)
#define RFLAGS_OF BIT(11)
#define RFLAGS_AC BIT(18)
#define RFLAGS_STATUS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

struct vcpu_fault {
    uint8_t vector;
    bool has_error;
    uint32_t error;
    uint64_t cr2;
};

struct vcpu {
    struct dp_vm *vm;
    struct vm_devices *dev;
    uint32_t index;
    struct hv_register_page *regs;
    const struct hv_intercept_header *hdr; // of the message, which stands still while the VP is suspended
    enum decode_mode mode;                 // of the code segment
    uint8_t cpl;
    bool long_mode; // EFER.LMA
    bool protected_mode;

    bool have_system;
    struct hv_segment seg[SEG_COUNT];
    uint64_t cr0, cr3, cr4, efer;

    struct vcpu_fault fault;

    struct { // last translation, so that string instructions walk once a page; first the intercept's own
        bool valid, write;
        uint64_t page, gpa;
    } tlb;
};

enum vcpu_access { ACCESS_READ = 0, ACCESS_WRITE = 1, ACCESS_FETCH = 2 };

// Up to two pieces: what an access of at most 8 bytes touches.
struct vcpu_span {
    struct {
        uint64_t gpa;
        uint8_t *ram; // NULL: a device
        uint8_t size;
    } piece[2];
    uint8_t pieces;
};

void vcpu_init(struct vcpu *v, struct dp_vm *vm, uint32_t index, const struct hv_intercept_header *hdr);

// Fetches segments and control registers. False: the hypervisor refused.
MUST_CHECK bool vcpu_need_system(struct vcpu *v);

// Linear address of seg:offset for an access of `size` bytes, with the checks of SDM 3A "Limit Checking",
// "Type Checking" and canonical addresses.
MUST_CHECK enum emu vcpu_linear(struct vcpu *v, uint8_t seg, uint64_t offset, uint8_t size,
                                enum vcpu_access access, uint64_t *linear);

// Walks the guest's page tables, sets accessed and dirty bits.
MUST_CHECK enum emu vcpu_translate(struct vcpu *v, uint64_t linear, enum vcpu_access access, uint64_t *gpa);

// Translates all of an access before any of it happens.
MUST_CHECK enum emu vcpu_span(struct vcpu *v, uint64_t linear, uint8_t size, enum vcpu_access access,
                              struct vcpu_span *span);
uint64_t vcpu_span_read(struct vcpu *v, const struct vcpu_span *span);
void vcpu_span_write(struct vcpu *v, const struct vcpu_span *span, uint64_t value);

// Fetches the instruction at CS:RIP, up to DECODE_MAX_INSN bytes and to the end of what is mapped.
MUST_CHECK enum emu vcpu_fetch(struct vcpu *v, uint8_t bytes[DECODE_MAX_INSN], uint8_t *length);

MUST_CHECK enum emu vcpu_raise(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error);

// Puts v->fault into the VP. False: the hypervisor refused.
MUST_CHECK bool vcpu_inject(struct vcpu *v);

// Register access by size; a 4-byte write clears the upper half. high8: AH, CH, DH, BH.
uint64_t vcpu_gpr(const struct vcpu *v, uint8_t reg, uint8_t size, bool high8);
void vcpu_set_gpr(struct vcpu *v, uint8_t reg, uint8_t size, bool high8, uint64_t value);
void vcpu_set_rip(struct vcpu *v, uint64_t rip);
void vcpu_set_rflags(struct vcpu *v, uint64_t rflags);

static inline uint64_t size_mask(uint8_t size)
{
    return size >= 8 ? ~0ull : (1ull << (size * 8)) - 1;
}

#endif
