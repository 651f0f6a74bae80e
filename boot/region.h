// SPDX-License-Identifier: Apache-2.0
// The memory that the loader takes for hypervisor, management image and trampoline.
//
//   hypervisor region (2 MiB aligned, EfiLoaderData until the firmware is gone)
//   +-----------------+-----------+-------------+-------------+------------------------------+
//   | image and .bss  | boot_info | 16 KiB stack| page tables | free: frame table, heap, ... |
//   +-----------------+-----------+-------------+-------------+------------------------------+
//   hv_base                                                   hv_free               hv_base+hv_size
#ifndef KEELSON_BOOT_REGION_H
#define KEELSON_BOOT_REGION_H

#include "boot/elf.h"
#include "boot/paging.h"
#include <keelson/bootinfo.h>

struct region {
    struct boot_info *info; // inside the region
    uint64_t stack_top;     // SPA
    struct paging_arena tables;
    uint64_t map_end; // end of the identity and direct maps
};

// Allocates everything, loads both images, copies `found` into the region and sets the address fields of the
// copy. memory_end is the first address above all memory. Refuses the machine when memory does not suffice.
struct region region_prepare(const struct boot_info *found, const struct elf_image *hv,
                             const struct elf_image *mgmt, uint64_t memory_end);

#endif
