// SPDX-License-Identifier: Apache-2.0
// Between the test root partition (tests/guest/root) and the micro-guest kernel (tests/guest/kernel).
//
// The root loads the kernel's flat binary at GUEST_KERNEL_GPA, writes struct guest_args at GUEST_ARGS_GPA
// and starts VP 0 in 64-bit mode with RDI = test number. The kernel reports through I/O ports.
#ifndef TESTS_GUEST_ABI_H
#define TESTS_GUEST_ABI_H

#include <keelson/types.h>

#define GUEST_MEMORY (4ull << 20)
#define GUEST_TABLES_GPA 0x2000u // PML4, PDPT, PD: identity map of the first GiB, 2 MiB pages
#define GUEST_ARGS_GPA 0x8000u
#define GUEST_GDT_GPA 0x9000u
#define GUEST_SCRATCH_GPA 0xa000u // one page for hypercall input, one for output, one spare
#define GUEST_KERNEL_GPA 0x100000u
#define GUEST_STACK_TOP 0x200000u      // of VP 0; the others below, 16 KiB each
#define GUEST_DATA_GPA 0x300000u       // free for tests
#define GUEST_UNMAPPED_GPA 0x20000000u // emulated device memory
#define GUEST_DOORBELL_GPA                                                                                   \
    (GUEST_UNMAPPED_GPA + 0x800)      // in the emulated device, which sees what does not ring
#define GUEST_CHECKED_GPA 0x30000000u // unmapped: the root crashes the guest's VP

// Ports.
#define PORT_CHAR 0xe9   // one byte of text
#define PORT_FAIL 0xf4   // 32 bits: line of the failed check
#define PORT_DONE 0xf5   // the test ends
#define PORT_ECHO 0xf7   // reads return the last value written; string output is collected
#define PORT_ASSERT 0xf8 // 32 bits: HvCallAssertVirtualInterrupt, see ASSERT_*
#define PORT_STEP 0xf9   // 32 bits: for the root's half of the test

#define ASSERT_DEST(id) ((uint32_t)(id) << 8)
#define ASSERT_LEVEL BIT(16)
#define ASSERT_LOGICAL BIT(17)
#define ASSERT_TYPE(t) ((uint32_t)(t) << 24)

// Selectors in the GDT that the root provides.
#define SEL_CODE64 8
#define SEL_DATA 16
#define SEL_CODE32 24
#define SEL_USER_DATA 32
#define SEL_USER_CODE 40

#define GUEST_REAL_GPA 0x10000u // 16-bit code, copied by the root
#define GUEST_PROT_GPA 0x20000u // 32-bit code
#define GUEST_PAE_GPA 0x40000u  // tables of the 32-bit guests

struct guest_args {
    char hypercall[8]; // VMCALL or VMMCALL, RET
    uint64_t tsc_hz;
    uint32_t vp_count;
    uint32_t seed;
    uint64_t partition; // id
    uint64_t counter;   // counted up by tests that spin
};

// At GUEST_KERNEL_GPA + 16: code for other modes, to be copied below 1 MiB.
struct guest_modes {
    uint64_t real, real_end, prot, prot_end, pae, pae_end, compat, compat_end, task, task_end;
    uint64_t real_events, real_events_end, prot_events, prot_events_end;
};

#endif
