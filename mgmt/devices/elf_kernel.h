// SPDX-License-Identifier: Apache-2.0
// ELF executables as kernels: what to load, the entry point, the PVH note.
//
// Sources: System V gABI chapters 4 and 5 (ELF header, program header, note section); Xen
// xen/include/public/elfnote.h (XEN_ELFNOTE_PHYS32_ENTRY). The file is untrusted.
#ifndef MGMT_DEVICES_ELF_KERNEL_H
#define MGMT_DEVICES_ELF_KERNEL_H

#include "mgmt/devices/kernel_parts.h"

struct elf_kernel {
    struct kernel_segment segment[KERNEL_MAX_SEGMENTS]; // PT_LOAD with memory, in the order of the file
    size_t segment_count;
    uint32_t entry;        // physical address of e_entry
    bool entry_loaded;     // it lies in a segment
    bool has_pvh;          // there is a XEN_ELFNOTE_PHYS32_ENTRY
    uint64_t phys32_entry; // what it says
};

// Begins like an ELF file?
bool elf_kernel_is(const struct image_reader *file);
// False: error holds one line for the user. Each segment then lies in the file and below 4 GiB.
MUST_CHECK bool elf_kernel_read(const struct image_reader *file, struct elf_kernel *elf, char *error,
                                size_t error_size);
// Does a segment hold this physical address?
bool elf_kernel_holds(const struct elf_kernel *elf, uint64_t gpa);

#endif
