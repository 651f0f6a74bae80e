// SPDX-License-Identifier: Apache-2.0
// PVH: start_info of version 1 and the 32-bit entry.
#include "mgmt/devices/pvh.h"

#include "mgmt/devices/elf_kernel.h"

#define START_MAGIC 0x336ec578u
#define START_VERSION 1

struct start_info { // start_info.h: struct hvm_start_info
    uint32_t magic, version, flags, module_count;
    uint64_t modules, cmdline, rsdp;
    uint64_t map; // from version 1 on
    uint32_t map_entries, reserved;
};
_Static_assert(sizeof(struct start_info) == 56, "start_info.h");

struct start_module { // struct hvm_modlist_entry
    uint64_t address, size, cmdline, reserved;
};

struct start_map { // struct hvm_memmap_table_entry
    uint64_t address, size;
    uint32_t type, reserved;
};

static bool pvh_read(const struct image_reader *file, struct elf_kernel *elf, char *error, size_t error_size)
{
    if (!elf_kernel_read(file, elf, error, error_size)) {
        return false;
    }
    if (!elf->has_pvh) {
        return kernel_refuse(
            error, error_size,
            "ELF file is no kernel that can be booted: no PVH note (XEN_ELFNOTE_PHYS32_ENTRY) "
            "and no Multiboot 1 header");
    }
    if (!elf_kernel_holds(elf, elf->phys32_entry)) {
        return kernel_refuse(error, error_size, "PVH entry point 0x%llx is not in what is loaded",
                             (unsigned long long)elf->phys32_entry);
    }
    return true;
}

bool pvh_check(const struct image_reader *file, char *error, size_t error_size)
{
    struct elf_kernel elf;

    return pvh_read(file, &elf, error, error_size);
}

static void write_modules(const struct kernel_load *load, struct kernel_info *info, struct start_info *start)
{
    const struct kernel_boot *boot = load->boot;
    struct start_module *module = kernel_info_reserve(info, boot->module_count * sizeof(*module),
                                                      &start->modules);

    start->module_count = boot->module_count;
    for (uint32_t i = 0; i < boot->module_count; i++) {
        module[i] = (struct start_module){
            .address = load->module_gpa[i],
            .size = boot->module[i].file.size,
            .cmdline = kernel_info_text(info, NULL, boot->module[i].text),
        };
    }
}

static void write_map(const struct kernel_boot *boot, struct kernel_info *info, struct start_info *start)
{
    struct memory_region map[MEMORY_MAP_MAX];
    size_t count = kernel_memory_map(boot, map);
    struct start_map *entry = kernel_info_reserve(info, count * sizeof(*entry), &start->map);

    start->map_entries = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        entry[i] = (struct start_map){.address = map[i].base, .size = map[i].size, .type = map[i].type};
    }
}

static bool write_start(struct kernel_load *load, uint32_t entry)
{
    struct kernel_info info;
    struct start_info *start;
    uint64_t gpa;

    if (!kernel_info_begin(load, &info)) {
        return false;
    }
    start = kernel_info_reserve(&info, sizeof(*start), &gpa);
    start->magic = START_MAGIC;
    start->version = START_VERSION;
    start->rsdp = MACHINE_ACPI_BASE;
    write_map(load->boot, &info, start);
    write_modules(load, &info, start);
    start->cmdline = kernel_info_text(&info, NULL, load->boot->cmdline);
    kernel_enter_flat32(load, &info, entry, 0, (uint32_t)gpa);
    return true;
}

bool pvh_load_begin(struct kernel_load *load)
{
    struct elf_kernel elf;

    return pvh_read(&load->boot->kernel, &elf, load->error, sizeof(load->error)) &&
           kernel_place_segments(load, elf.segment, elf.segment_count) && kernel_place_modules(load) &&
           kernel_write_firmware(load) && write_start(load, (uint32_t)elf.phys32_entry);
}
