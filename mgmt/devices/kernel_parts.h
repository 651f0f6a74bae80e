// SPDX-License-Identifier: Apache-2.0
// What the loaders of all boot protocols share. Private to the loaders (control plane).
#ifndef MGMT_DEVICES_KERNEL_PARTS_H
#define MGMT_DEVICES_KERNEL_PARTS_H

#include "mgmt/devices/kernel_loader.h"

#define KERNEL_LOW_RAM_END 0xa0000ull // where PCs had video memory
#define KERNEL_HIGH_START 0x100000ull

#define MIB(bytes) ((unsigned long long)(((bytes) + 0xfffff) >> 20)) // rounded up

// Writes load->error, and is false.
bool kernel_fail(struct kernel_load *load, const char *fmt, ...) PRINTF_LIKE(2, 3);
// The same for checks without a guest.
bool kernel_refuse(char *error, size_t error_size, const char *fmt, ...) PRINTF_LIKE(3, 4);

// True when [offset, offset + length) lies in the file and was read.
MUST_CHECK bool image_read_exact(const struct image_reader *file, uint64_t offset, void *buf, size_t length);
// Length of a text that may be NULL.
size_t kernel_text_length(const char *text);

// Another piece of a file for kernel_load_step(); the caller has checked that it lies in file and RAM, and that
// there are no more pieces than segments and modules.
void kernel_add_copy(struct kernel_load *load, const struct image_reader *from, uint64_t offset,
                     uint64_t length, uint64_t gpa);

// The guest's memory map, by ascending address; types are those of INT 15h E820, PVH and Multiboot alike.
enum { MEMORY_RAM = 1, MEMORY_RESERVED = 2, MEMORY_ACPI = 3 };
#define MEMORY_MAP_MAX 5
struct memory_region {
    uint64_t base, size;
    uint32_t type;
};
size_t kernel_memory_map(const struct kernel_boot *boot, struct memory_region map[MEMORY_MAP_MAX]);

// ACPI tables and the code at the reset vector.
MUST_CHECK bool kernel_write_firmware(struct kernel_load *load);

// --- registers of VP 0 ---
union hv_register_value *entry_add(struct boot_entry *entry, uint32_t name);
void entry_add_u64(struct boot_entry *entry, uint32_t name, uint64_t value);
void entry_add_segment(struct boot_entry *entry, uint32_t name, uint16_t selector, uint32_t limit,
                       uint16_t attributes);
void entry_add_table(struct boot_entry *entry, uint32_t name, uint64_t base, uint16_t limit);
// HV_X64_SEGMENT_REGISTER attributes, and the descriptors that belong to them.
#define SEGMENT_CODE64 0xa09b // execute/read accessed, present, L, G
#define SEGMENT_CODE32 0xc09b // execute/read accessed, present, D, G
#define SEGMENT_DATA 0xc093   // read/write accessed, present, D, G
#define SEGMENT_TSS 0x008b    // busy TSS, present
#define SEGMENT_LDT 0x0082
#define GDT_CODE64 0x00af9b000000ffffull
#define GDT_CODE32 0x00cf9b000000ffffull
#define GDT_DATA 0x00cf93000000ffffull
#define FLAT_LIMIT 0xffffffffu
#define GDT_ENTRIES 4 // null, null, code, data
#define BOOT_CS 0x10
#define BOOT_DS 0x18
// Data segments, LDTR, TR with `tss_limit`, the GDT at `gdt_gpa`, an empty IDT, RFLAGS.
void entry_add_tables(struct boot_entry *entry, uint64_t gdt_gpa, uint16_t tss_limit);

// --- 32-bit kernels in guest memory: Multiboot and PVH ---

struct kernel_segment { // physical
    uint64_t offset;    // in the file
    uint64_t file_size;
    uint64_t gpa;
    uint64_t memory_size; // at least file_size; the rest is zero
};

// Checks that no two segments overlap and that each lies in the guest's RAM, and queues their copies.
MUST_CHECK bool kernel_place_segments(struct kernel_load *load, const struct kernel_segment *segment,
                                      size_t count);
// Modules go behind the kernel, each to a page boundary.
MUST_CHECK bool kernel_place_modules(struct kernel_load *load);

// A block of zeroed guest memory that is neither kernel nor module, for what the loader tells the kernel.
// kernel_info_begin() finds room for KERNEL_INFO_STRUCTURES bytes and for the texts, each with a separator and its end.
#define KERNEL_INFO_STRUCTURES 4096u
struct kernel_info {
    uint8_t *at;
    uint64_t gpa;
    size_t size, used;
};
MUST_CHECK bool kernel_info_begin(struct kernel_load *load, struct kernel_info *info);
// Reserves `length` bytes at a multiple of 8 and returns their address; *gpa is where the guest sees them. Never NULL:
// asking for more than the block has is a fault of the loader.
void *kernel_info_reserve(struct kernel_info *info, size_t length, uint64_t *gpa);
// Copies "first second", or whichever of the two is not empty; returns its address for the guest.
uint32_t kernel_info_text(struct kernel_info *info, const char *first, const char *second);

// 32-bit protected mode without paging, flat segments, interrupts off: what both protocols ask for.
void kernel_enter_flat32(struct kernel_load *load, struct kernel_info *info, uint32_t entry, uint32_t eax,
                         uint32_t ebx);

#endif
