// SPDX-License-Identifier: Apache-2.0
// The page tables that the hypervisor starts on, as <keelson/bootinfo.h> promises them.
#ifndef KEELSON_BOOT_PAGING_H
#define KEELSON_BOOT_PAGING_H

#include <keelson/bootinfo.h>

// A bump allocator over the part of the hypervisor's region that holds page tables.
struct paging_arena {
    uint64_t next; // SPA of the next free page, also the pointer to it: firmware maps memory one to one
    uint64_t end;
};

struct paging_plan {
    uint64_t map_end;    // the identity and direct maps cover [0, map_end)
    uint64_t image_base; // SPA that HV_IMAGE_BASE maps to, 2 MiB aligned
    uint64_t image_size; // bytes to map there
};

struct paging_roots {
    uint64_t boot;    // CR3 for the hypervisor's entry
    uint64_t runtime; // CR3 for calls into EFI runtime services
};

// Bytes of page tables that paging_build() takes for a map of this size.
uint64_t paging_bytes(uint64_t map_end);

// Builds both sets of tables. The arena holds at least paging_bytes(plan->map_end). The two sets share the
// tables of the direct and image maps, but the runtime set has an identity map of its own, so that the
// hypervisor may take its own apart.
struct paging_roots paging_build(struct paging_arena *arena, const struct paging_plan *plan);

#endif
