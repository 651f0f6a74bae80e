// SPDX-License-Identifier: Apache-2.0
// Places a kernel, its modules, command line and tables in guest memory (control plane).
//
// The file's content says how it is booted, in this order (kernel_kind()):
//
//   boot flag 0xAA55 and "HdrS"                     Linux bzImage       linux_loader.h
//   Multiboot 1 header in the first 8 KiB           Multiboot kernel    multiboot.h
//   ELF with a XEN_ELFNOTE_PHYS32_ENTRY note        PVH kernel          pvh.h
//
// Files are untrusted: everything taken from them is checked. Copying is sliced, because an initrd may have
// hundreds of megabytes and the control plane must not stand still:
//
//   kernel_load_begin()  checks all, decides where everything goes, writes tables and boot information
//   kernel_load_step()   copies up to `budget` bytes; again while it returns LOAD_MORE
//   then                 set load->entry on VP 0 and start it; the other VPs wait for SIPI
//
// On an error load->error is one line for the user. Guest memory must have been zeroed before.
#ifndef MGMT_DEVICES_KERNEL_LOADER_H
#define MGMT_DEVICES_KERNEL_LOADER_H

#include "mgmt/devices/guest_mem.h"
#include "mgmt/devices/machine.h"
#include <keelson/abi.h>

// A file, wherever it lives. read() returns the number of bytes it gave; fewer than asked is an error
// within [0, size).
struct image_reader {
    size_t (*read)(void *ctx, uint64_t offset, void *buf, size_t length);
    void *ctx;
    uint64_t size;
};

// What a boot protocol leaves for VP 0. Every loader produces this.
#define BOOT_ENTRY_MAX_REGS 32
struct boot_entry {
    struct hv_register_assoc regs[BOOT_ENTRY_MAX_REGS];
    uint32_t reg_count;
};

// What a kernel gets beside itself: Linux' initrd, a Multiboot or PVH module.
#define KERNEL_MAX_MODULES 16
struct kernel_module {
    struct image_reader file;
    const char *name; // NUL terminated, like the next
    const char *text; // arguments; NULL or "": none
};

#define KERNEL_MAX_CMDLINE 0xffffu // bytes of a command line, and of the text of all modules together

struct kernel_boot { // must stay valid until the load has ended
    struct guest_mem mem;
    struct machine_config machine;
    struct image_reader kernel;
    const char *kernel_name; // NUL terminated; NULL: empty, like the next
    const char *cmdline;
    struct kernel_module module[KERNEL_MAX_MODULES];
    uint32_t module_count;
};

enum kernel_kind { KERNEL_NONE, KERNEL_LINUX, KERNEL_MULTIBOOT, KERNEL_PVH };
enum load_status { LOAD_MORE, LOAD_DONE, LOAD_FAILED };

struct load_copy { // part of a file still to be copied
    const struct image_reader *from;
    uint64_t offset;
    uint64_t left;
    uint64_t gpa;
};

struct load_range { // guest memory that has a use already
    uint64_t gpa, end;
};

#define KERNEL_MAX_SEGMENTS 16
#define KERNEL_MAX_PARTS (KERNEL_MAX_SEGMENTS + KERNEL_MAX_MODULES)
struct kernel_load {
    const struct kernel_boot *boot;
    enum kernel_kind kind;
    struct load_copy copy[KERNEL_MAX_PARTS];
    uint32_t copy_count;
    struct load_range used[KERNEL_MAX_PARTS];
    uint32_t used_count;
    uint64_t bytes_total; // for progress
    uint64_t bytes_done;
    struct boot_entry entry;
    uint64_t kernel_gpa, kernel_end;         // memory the kernel needs before it reads the memory map
    uint64_t module_gpa[KERNEL_MAX_MODULES]; // 0: an empty one
    char kernel_version[64];                 // as the file says, printable characters only; "" unknown
    char error[160];
};

// True: go on with kernel_load_step(). False: load->error says why. Needs no clean up in either case.
MUST_CHECK bool kernel_load_begin(struct kernel_load *load, const struct kernel_boot *boot);
MUST_CHECK enum load_status kernel_load_step(struct kernel_load *load, size_t budget);

// Checks a file without a guest, for use at definition: same tests of the file, same texts.
MUST_CHECK bool kernel_image_check(const struct image_reader *kernel, char *error, size_t error_size);

#endif
