// SPDX-License-Identifier: Apache-2.0
// What the UEFI loader tells the hypervisor, and what the hypervisor tells the management partition.
//
// The loader fills one boot_info in memory that it allocates together with the hypervisor's region; all
// addresses in it are system-physical. The hypervisor validates it once (magic, version, size), removes
// what the management partition must not know, and passes a copy on. Integers are little-endian, the
// layout is fixed by the static asserts below; loader, hypervisor and management partition are built
// together, so the version only catches a stale file.
#ifndef KEELSON_BOOTINFO_H
#define KEELSON_BOOTINFO_H

#include <keelson/types.h>

#define BOOT_INFO_MAGIC 0x314e4f534c45454bull // "KEELSON1"
#define BOOT_INFO_VERSION 3
#define BOOT_MAX_CPUS 64
#define BOOT_MAX_RANGES 512
#define BOOT_CONFIG_MAX 4096
#define BOOT_MAX_SEGMENTS 8

enum boot_range_type {
    BOOT_RANGE_RAM = 1,      // free write-back memory (EFI conventional, loader, boot services)
    BOOT_RANGE_ACPI_RECLAIM, // ACPI tables; memory once they are read
    BOOT_RANGE_ACPI_NVS,
    BOOT_RANGE_RUNTIME, // EFI runtime code and data: never given to anyone
    BOOT_RANGE_MMIO,
    BOOT_RANGE_RESERVED,
    BOOT_RANGE_HV,   // hypervisor region: image, boot info, heap, frame table
    BOOT_RANGE_MGMT, // the management image's loaded segments (2 MiB aligned)
};

struct boot_range {
    uint64_t base;     // 4 KiB aligned SPA
    uint64_t size;     // bytes, multiple of 4 KiB
    uint32_t type;     // enum boot_range_type
    uint32_t efi_attr; // low 32 bits of the EFI attribute field
};

struct boot_cpu {
    uint32_t apic_id;
    uint32_t flags; // bit 0: the boot processor
};

enum { BOOT_SEGMENT_EXEC = 1, BOOT_SEGMENT_WRITE = 2, BOOT_SEGMENT_READ = 4 }; // as p_flags of ELF

struct boot_segment {
    uint64_t vaddr;  // 4 KiB aligned
    uint64_t size;   // bytes in memory, .bss included
    uint32_t rights; // BOOT_SEGMENT_*; never both written and executed
    uint32_t pad;
};

struct boot_framebuffer {
    uint64_t base; // 0: none
    uint32_t width, height;
    uint32_t stride; // pixels a scan line
    uint32_t format; // 0 RGBX8888, 1 BGRX8888
};

// Whether the processor's APIC virtualization is used: AUTO where it is there and known to be sound.
enum boot_apicv { BOOT_APICV_AUTO, BOOT_APICV_ON, BOOT_APICV_OFF };

struct boot_info {
    uint64_t magic;
    uint32_t version;
    uint32_t size; // sizeof(struct boot_info)

    uint64_t hv_base;       // hypervisor region: 2 MiB aligned, hv_size a multiple of 2 MiB; the image is
    uint64_t hv_size;       // loaded at its start
    uint64_t hv_image_size; // bytes used by the loaded image including .bss
    uint64_t hv_free;       // first free byte in the region after image, boot info and boot page tables

    uint64_t mgmt_base; // management image, loaded: segment virtual address v lies at
    uint64_t mgmt_size; // mgmt_base + (v - mgmt_vbase); 2 MiB aligned both
    uint64_t mgmt_vbase;
    uint64_t mgmt_entry; // virtual address of the entry point

    uint64_t trampoline; // one 4 KiB page below 0x9f000 for starting processors; reserved in ranges[]
    uint64_t rsdp;       // 0: no ACPI
    uint64_t efi_system_table;
    uint64_t efi_runtime_pt; // CR3 for EFI runtime calls: an identity map of its own, and the boot page
                             // tables' direct and image maps, so that code and stack stay mapped
    uint64_t smbios;         // 0: none

    uint64_t tsc_entry;   // TSC at the loader's first instruction
    uint64_t tsc_at_time; // TSC when unix_time was read
    int64_t unix_time;    // seconds since 1970 by the firmware's clock, UTC; 0: unknown
    uint64_t tsc_hz_hint; // from CPUID 15h/16h or EFI Stall; the hypervisor calibrates itself

    struct boot_framebuffer fb;
    uint16_t com_port; // 0: no serial console; else I/O base, normally 0x3f8
    uint8_t com_irq;
    uint8_t log_level; // 0 error .. 4 debug
    uint32_t cpu_count;
    uint32_t range_count;
    uint32_t config_len; // bytes of config[], without terminator
    uint32_t mgmt_segment_count;
    uint32_t apicv;                                       // enum boot_apicv
    struct boot_segment mgmt_segments[BOOT_MAX_SEGMENTS]; // do not share pages
    struct boot_cpu cpus[BOOT_MAX_CPUS];
    struct boot_range ranges[BOOT_MAX_RANGES]; // sorted, not overlapping, page aligned
    uint8_t entropy[64];                       // EFI_RNG_PROTOCOL where there is one, mixed with timer jitter
    char config[BOOT_CONFIG_MAX];              // keelson.cfg as found, NUL terminated
};

// Entry convention of hv.elf: long mode, interrupts off, RDI = virtual address of boot_info in the direct
// map, CR3 = boot page tables that map identity 0..max(4 GiB, end of RAM), the direct map at
// HV_DIRECT_BASE and the image at HV_IMAGE_BASE, both with 2 MiB pages, RSP = a 16 KiB stack in the region (a
// direct-map address, aligned as after a call), EFER.NXE set. The GDT and IDT are still the firmware's, in memory
// that ranges[] calls free.
#define HV_DIRECT_BASE 0xffff800000000000ull
#define HV_IMAGE_BASE 0xffffffff80000000ull

// Entry convention of mgmt.elf, for every VP of the root partition: long mode, interrupts off, RDI =
// virtual address of struct mgmt_boot_info, RSI = VP index, RSP = stack, EFER.NXE and CR0.WP set. The hypervisor
// builds the page tables in the management range: each segment of the image where it is linked, with its rights;
// all RAM and device memory below the end of the GPA space at MGMT_DIRECT_BASE, written and not executed, except
// that what the image may not write is not written there either, and that the hypercall page is executed.
#define MGMT_DIRECT_BASE 0xffff800000000000ull

_Static_assert(sizeof(struct boot_range) == 24, "boot_range layout");
_Static_assert(offsetof(struct boot_info, fb) == 152, "boot_info layout");

#endif
