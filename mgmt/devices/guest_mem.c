// SPDX-License-Identifier: Apache-2.0
// A guest's RAM as the management partition sees it, with every access bounded.

#include "mgmt/devices/guest_mem.h"

#include "mgmt/devices/machine.h"

static uint8_t *within(uint8_t *block, uint64_t block_size, uint64_t offset, uint64_t length)
{
    if (length == 0 || offset >= block_size || length > block_size - offset) {
        return NULL;
    }
    return block + offset;
}

uint8_t *guest_mem_at(const struct guest_mem *mem, gpa_t gpa, uint64_t length)
{
    if (gpa.v < MACHINE_RAM_HIGH_BASE) {
        return within(mem->ram, mem->low, gpa.v, length);
    }
    return within(mem->ram + mem->low, mem->high, gpa.v - MACHINE_RAM_HIGH_BASE, length);
}

bool guest_mem_read(const struct guest_mem *mem, gpa_t gpa, void *buf, size_t length)
{
    const uint8_t *from = guest_mem_at(mem, gpa, length);

    if (from == NULL) {
        return false;
    }
    __builtin_memcpy(buf, from, length);
    return true;
}

bool guest_mem_write(const struct guest_mem *mem, gpa_t gpa, const void *buf, size_t length)
{
    uint8_t *to = guest_mem_at(mem, gpa, length);

    if (to == NULL) {
        return false;
    }
    __builtin_memcpy(to, buf, length);
    return true;
}

bool guest_mem_zero(const struct guest_mem *mem, gpa_t gpa, uint64_t length)
{
    uint8_t *to = guest_mem_at(mem, gpa, length);

    if (to == NULL) {
        return false;
    }
    __builtin_memset(to, 0, length);
    return true;
}
