// SPDX-License-Identifier: Apache-2.0
// The test root partition: a guest being tested, and the table of tests.
#ifndef TESTS_GUEST_ROOT_H
#define TESTS_GUEST_ROOT_H

#include "mgmt/hvif/hvif.h"
#include "tests/guest/abi.h"

#define DEPOSIT_PAGES 128
#define MAX_VPS 8
#define STOPPED 0xffffffffu

struct guest {
    uint64_t partition;
    uint32_t vps;
    uint8_t *ram;
    struct {
        struct hv_register_page *regs;
        const struct hv_message *msg;
    } vp[MAX_VPS];
    bool done;
    uint32_t failed_line;  // 0: none
    uint32_t last_message; // type of the last intercept
    uint64_t last_gpa;     // of the last memory intercept
    uint32_t echo;
    uint32_t eois;
    uint64_t device[8];
    uint64_t hv_pages; // hypervisor pages that the partition needed
};

// Row i runs the kernel's test i (tests/guest/kernel/tests.c); both tables come from tests/guest/tests.def.
struct root_test {
    const char *name;
    uint32_t vps;       // 0: one
    uint32_t ends_with; // message type of the last intercept: normally HV_MSG_IO_PORT
    bool (*after)(struct guest *g);
};
extern const struct root_test root_tests[];

extern const uint8_t guest_kernel[], guest_kernel_end[];

// Length of a MOV between RAX and memory with a 64-bit base register and no displacement or disp8/32.
unsigned guest_move_length(const uint8_t *insn);

void put(const char *text);
void put_number(uint64_t n);

#endif
