// SPDX-License-Identifier: Apache-2.0
// Places a Linux bzImage, its initrd, command line and ACPI tables in guest memory (control plane).
//
// Follows Linux Documentation/arch/x86/boot.rst, "The Linux/x86 Boot Protocol" and "64-bit Boot
// Protocol". The file is untrusted: everything taken from it is checked. Copying is sliced, because an
// initrd may have hundreds of megabytes and the control plane must not stand still:
//
//   linux_load_begin()  checks all, decides where everything goes, writes tables and zero page
//   linux_load_step()   copies up to `budget` bytes; again while it returns LOAD_MORE
//   then                set load->entry on VP 0 and start it; the other VPs wait for SIPI
//
// On an error load->error is one line for the user. Guest memory must have been zeroed before.
#ifndef MGMT_DEVICES_LINUX_LOADER_H
#define MGMT_DEVICES_LINUX_LOADER_H

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

struct linux_boot { // must stay valid until the load has ended
    struct guest_mem mem;
    struct machine_config machine;
    struct image_reader kernel;
    struct image_reader initrd; // size 0: none
    const char *cmdline;        // NUL terminated; NULL: empty
};

enum load_status { LOAD_MORE, LOAD_DONE, LOAD_FAILED };

struct load_copy { // part of a file still to be copied
    const struct image_reader *from;
    uint64_t offset;
    uint64_t left;
    uint64_t gpa;
};

struct linux_load {
    const struct linux_boot *boot;
    struct load_copy copy[2]; // kernel, initrd
    uint64_t bytes_total;     // for progress
    uint64_t bytes_done;
    struct boot_entry entry;
    uint64_t kernel_gpa, kernel_end; // memory the kernel needs before it reads the memory map
    uint64_t initrd_gpa;
    char kernel_version[64]; // as the file says, printable characters only; "" unknown
    char error[160];
};

// True: go on with linux_load_step(). False: load->error says why. Needs no clean up in either case.
MUST_CHECK bool linux_load_begin(struct linux_load *load, const struct linux_boot *boot);
MUST_CHECK enum load_status linux_load_step(struct linux_load *load, size_t budget);

// Checks a file without a guest, for use at upload: same tests, same texts.
MUST_CHECK bool linux_image_check(const struct image_reader *kernel, char *error, size_t error_size);

#endif
