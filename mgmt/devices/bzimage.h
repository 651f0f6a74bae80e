// SPDX-License-Identifier: Apache-2.0
// The setup header of a Linux bzImage: layout, reading and checking.
//
// Source: Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header". The file is untrusted.
#ifndef MGMT_DEVICES_BZIMAGE_H
#define MGMT_DEVICES_BZIMAGE_H

#include "mgmt/devices/kernel_loader.h"

#define SETUP_HEADER_OFFSET 0x1f1 // in the file and in struct boot_params
#define SETUP_HEADER_MAX 0x80     // what we keep: the header ends at 0x202 + the byte at 0x201

// Fields as the file has them, from offset 0x1f1.
struct setup_header {
    uint8_t setup_sects;
    uint16_t root_flags;
    uint32_t syssize; // protected-mode code in units of 16 bytes
    uint16_t ram_size;
    uint16_t vid_mode;
    uint16_t root_dev;
    uint16_t boot_flag; // 0xAA55
    uint16_t jump;      // its second byte says where the header ends
    uint32_t header;    // "HdrS"
    uint16_t version;
    uint32_t realmode_swtch;
    uint16_t start_sys_seg;
    uint16_t kernel_version; // file offset of a string, minus 0x200
    uint8_t type_of_loader;
    uint8_t loadflags;
    uint16_t setup_move_size;
    uint32_t code32_start;
    uint32_t ramdisk_image;
    uint32_t ramdisk_size;
    uint32_t bootsect_kludge;
    uint16_t heap_end_ptr;
    uint8_t ext_loader_ver;
    uint8_t ext_loader_type;
    uint32_t cmd_line_ptr;
    uint32_t initrd_addr_max;
    uint32_t kernel_alignment;
    uint8_t relocatable_kernel;
    uint8_t min_alignment;
    uint16_t xloadflags;
    uint32_t cmdline_size;
    uint32_t hardware_subarch;
    uint64_t hardware_subarch_data;
    uint32_t payload_offset;
    uint32_t payload_length;
    uint64_t setup_data;
    uint64_t pref_address;
    uint32_t init_size;
    uint32_t handover_offset;
    uint32_t kernel_info_offset;
} __attribute__((packed));
_Static_assert(offsetof(struct setup_header, version) == 0x206 - SETUP_HEADER_OFFSET, "boot.rst");
_Static_assert(offsetof(struct setup_header, initrd_addr_max) == 0x22c - SETUP_HEADER_OFFSET, "boot.rst");
_Static_assert(offsetof(struct setup_header, pref_address) == 0x258 - SETUP_HEADER_OFFSET, "boot.rst");
_Static_assert(offsetof(struct setup_header, kernel_info_offset) == 0x268 - SETUP_HEADER_OFFSET, "boot.rst");

#define LOADED_HIGH BIT(0) // loadflags
#define CAN_USE_HEAP BIT(7)
#define XLF_KERNEL_64 BIT(0) // xloadflags

// A checked image: every number here is within the file and consistent.
struct bzimage {
    struct setup_header header; // exactly as much as the file has, the rest zero
    uint64_t code_offset;       // of the protected-mode code in the file
    uint64_t code_size;         // to the end of the file
    uint64_t load_gpa;          // where the kernel wants to be
    uint64_t memory_size;       // it needs from load_gpa on until it reads the memory map
    char version[64];           // printable characters only
};

// Has boot flag and signature?
bool bzimage_is(const struct image_reader *file);
// False: error holds one line for the user.
MUST_CHECK bool bzimage_read(const struct image_reader *file, struct bzimage *image, char *error,
                             size_t error_size);

#endif
