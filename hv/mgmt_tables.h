// SPDX-License-Identifier: Apache-2.0
// First page tables of the management partition: W^X, built in its own memory.
#ifndef HV_MGMT_TABLES_H
#define HV_MGMT_TABLES_H

#include <keelson/bootinfo.h>

// Zeroed pages at the end of the management range, taken one after the other.
struct arena {
    uint64_t base, next, end; // SPA = the management partition's GPA
    uint8_t *va;              // of base
};

// Takes `size` bytes, rounded up to pages. Returns their SPA; 0: there are not so many left.
MUST_CHECK uint64_t arena_take(struct arena *a, uint64_t size);
void *arena_va(const struct arena *a, uint64_t spa);

struct mgmt_tables_plan {
    uint64_t direct_end;     // the direct map covers 0..direct_end; a multiple of 1 GiB
    uint64_t hypercall_page; // SPA: the one page that is executed in the direct map
    bool pages_1g;           // the processor has them
};

// Builds what <keelson/bootinfo.h> promises for mgmt.elf. Returns CR3; 0: the arena is too small.
MUST_CHECK uint64_t mgmt_tables_build(struct arena *a, const struct boot_info *info,
                                      const struct mgmt_tables_plan *plan);

#endif
