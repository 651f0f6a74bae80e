// SPDX-License-Identifier: Apache-2.0
// The guest's own address translation: page-table walks and instruction fetch (owner processor).
//
// vp_translate() and vp_fetch_insn() of hv/vp.h are implemented beside these. Tables are read through the
// partition's GPA space, each entry once; accessed and dirty bits are not set, since the accesses made on
// behalf of the guest are those of an instruction that the processor has already translated.
#ifndef ARCH_GUEST_WALK_H
#define ARCH_GUEST_WALK_H

#include "arch/x86/decode.h"
#include "hv/vp.h"

// Results of vp_translate(), as in struct hv_translate_gva_out.
enum translate_result {
    TRANSLATE_OK = 0,
    TRANSLATE_NOT_PRESENT = 1,
    TRANSLATE_PRIVILEGE = 2,
    TRANSLATE_INVALID_FLAGS = 3, // a reserved bit is set in an entry
    TRANSLATE_GPA_UNMAPPED = 4,  // a table lies outside the GPA space
};

// Bits of the access parameter of vp_translate().
enum translate_access {
    TRANSLATE_READ = 1,
    TRANSLATE_WRITE = 2,
    TRANSLATE_EXECUTE = 4,
    TRANSLATE_SUPERVISOR = 8, // check as if CPL were 0 (implicit accesses; "privilege exempt")
};

// How the current code segment is decoded.
enum decode_mode guest_code_mode(struct vp *vp);
// Copies up to 15 bytes of the current instruction and tells how to decode it. Returns the bytes readable.
size_t guest_fetch(struct vp *vp, uint8_t bytes[16], enum decode_mode *mode);

#endif
