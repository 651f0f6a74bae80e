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
#define GUEST_CHECKED_GPA 0x30000000u  // unmapped: the root crashes the guest's VP

// Ports.
#define PORT_CHAR 0xe9   // one byte of text
#define PORT_FAIL 0xf4   // 32 bits: line of the failed check
#define PORT_DONE 0xf5   // the test ends
#define PORT_VALUE 0xf6  // 32 bits: a figure for the bench, with its name in guest_args.name
#define PORT_ECHO 0xf7   // reads return the last value written; also the device of the bench
#define PORT_ASSERT 0xf8 // 32 bits: vector that the root asserts on VP (value >> 8)

struct guest_args {
    char hypercall[8]; // VMCALL or VMMCALL, RET
    uint64_t tsc_hz;
    uint32_t vp_count;
    uint32_t is_bench;
    char name[32];      // written by the kernel before PORT_VALUE
    uint64_t partition; // id
};

#endif
