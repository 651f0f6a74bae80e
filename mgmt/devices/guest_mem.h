// SPDX-License-Identifier: Apache-2.0
// A guest's RAM as the management partition sees it, with every access bounded.
//
// RAM is one virtually contiguous block: `low` bytes from GPA 0, then `high` bytes from 4 GiB. A guest
// runs while we read: what is read is a private copy, and nothing here trusts it.
#ifndef MGMT_DEVICES_GUEST_MEM_H
#define MGMT_DEVICES_GUEST_MEM_H

#include <keelson/types.h>

struct guest_mem {
    uint8_t *ram;
    uint64_t low;  // bytes from GPA 0, at most MACHINE_RAM_LOW_MAX
    uint64_t high; // bytes from MACHINE_RAM_HIGH_BASE
};

// Address of [gpa, gpa + length) when all of it is RAM, else NULL. Length 0 gives NULL.
uint8_t *guest_mem_at(const struct guest_mem *mem, gpa_t gpa, uint64_t length);

MUST_CHECK bool guest_mem_read(const struct guest_mem *mem, gpa_t gpa, void *buf, size_t length);
MUST_CHECK bool guest_mem_write(const struct guest_mem *mem, gpa_t gpa, const void *buf, size_t length);
MUST_CHECK bool guest_mem_zero(const struct guest_mem *mem, gpa_t gpa, uint64_t length);

#endif
