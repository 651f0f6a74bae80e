// SPDX-License-Identifier: Apache-2.0
// Multiboot Specification 0.6.96; section numbers below are its own.
#include "mgmt/devices/multiboot.h"

#include "mgmt/devices/elf_kernel.h"

#define SEARCH_BYTES 8192u          // 3.1: the header lies completely within these
#define HEADER_MAGIC 0x1BADB002u    // 3.1.2
#define HEADER_PAGE_ALIGN BIT(0)    // modules on page boundaries
#define HEADER_MEMORY_INFO BIT(1)   // mem_* and, if there is one, the map
#define HEADER_VIDEO BIT(2)         // video mode table
#define HEADER_ADDRESSES BIT(16)    // the address fields hold, not the ELF header's
#define HEADER_REQUIRED 0x0000ffffu // what is set here must be understood
#define LOADER_MAGIC 0x2BADB002u    // 3.2: EAX
#define LOADER_NAME "Keelson"

struct header { // 3.1.1
    uint32_t magic, flags, checksum;
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr; // 3.1.3
};

enum { // 3.3: flags of the boot information
    INFO_MEMORY = BIT(0),
    INFO_CMDLINE = BIT(2),
    INFO_MODULES = BIT(3),
    INFO_MAP = BIT(6),
    INFO_LOADER_NAME = BIT(9),
};

struct boot_information { // 3.3, up to boot_loader_name and then some
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
    uint32_t mods_count, mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length, mmap_addr;
    uint32_t drives_length, drives_addr, config_table, boot_loader_name, apm_table;
    uint32_t vbe[4];
    uint32_t framebuffer[7]; // and colour information: 116 bytes in all, as others have it
};
_Static_assert(offsetof(struct boot_information, mmap_length) == 44, "3.3");
_Static_assert(offsetof(struct boot_information, boot_loader_name) == 64, "3.3");
_Static_assert(sizeof(struct boot_information) == 116, "3.3");

struct module_entry { // 3.3
    uint32_t start, end, string, reserved;
};

struct map_entry { // 3.3; size does not count itself
    uint32_t size;
    uint64_t base, length;
    uint32_t type;
} __attribute__((packed));
_Static_assert(sizeof(struct map_entry) == 24, "3.3");

struct multiboot {
    struct header header;
    uint64_t header_offset;
    struct kernel_segment segment[KERNEL_MAX_SEGMENTS];
    size_t segment_count;
    uint32_t entry;
};

static bool header_valid(const struct header *h)
{
    return h->magic == HEADER_MAGIC && h->magic + h->flags + h->checksum == 0;
}

// The first header in `data`; false if there is none.
static bool find_in(const uint8_t *data, size_t length, uint64_t base, struct multiboot *mb)
{
    for (size_t at = 0; at + 12 <= length; at += 4) {
        __builtin_memset(&mb->header, 0, sizeof(mb->header));
        __builtin_memcpy(&mb->header, data + at, MIN(sizeof(mb->header), length - at));
        if (header_valid(&mb->header)) {
            mb->header_offset = base + at;
            return true;
        }
    }
    return false;
}

// Reads in pieces that overlap by a header, so that the stack stays small.
static bool find_header(const struct image_reader *file, struct multiboot *mb)
{
    uint64_t end = MIN((uint64_t)SEARCH_BYTES, file->size);
    uint8_t piece[512 + sizeof(struct header)];

    for (uint64_t at = 0; at < end; at += 512) {
        size_t length = (size_t)MIN((uint64_t)sizeof(piece), end - at);

        if (!image_read_exact(file, at, piece, length)) {
            return false;
        }
        if (find_in(piece, length, at, mb)) {
            return true;
        }
    }
    return false;
}

bool multiboot_is(const struct image_reader *file)
{
    struct multiboot mb;

    return find_header(file, &mb);
}

// 3.1.3: what is loaded is the file from `load_addr` on, wherever the header lies in it.
static bool read_addresses(const struct image_reader *file, struct multiboot *mb, char *error,
                           size_t error_size)
{
    const struct header *h = &mb->header;
    uint64_t before = (uint64_t)h->header_addr - h->load_addr;
    struct kernel_segment *s = &mb->segment[0];

    if (mb->header_offset + sizeof(*h) > MIN((uint64_t)SEARCH_BYTES, file->size)) {
        return kernel_refuse(error, error_size, "Multiboot header's address fields lie beyond 8 KiB");
    }
    if (h->header_addr < h->load_addr || before > mb->header_offset) {
        return kernel_refuse(error, error_size,
                             "Multiboot header: load_addr 0x%x is above header_addr 0x%x, or before the file",
                             h->load_addr, h->header_addr);
    }
    s->gpa = h->load_addr;
    s->offset = mb->header_offset - before;
    if (h->load_end_addr != 0 && h->load_end_addr < h->load_addr) {
        return kernel_refuse(error, error_size, "Multiboot header: load_end_addr is below load_addr");
    }
    s->file_size = h->load_end_addr != 0 ? h->load_end_addr - h->load_addr : file->size - s->offset;
    if (s->file_size > file->size - s->offset) {
        return kernel_refuse(error, error_size,
                             "kernel file is truncated: Multiboot header wants %llu bytes, %llu are there",
                             (unsigned long long)s->file_size, (unsigned long long)(file->size - s->offset));
    }
    s->memory_size = s->file_size;
    if (h->bss_end_addr != 0) {
        if (h->bss_end_addr < s->gpa + s->file_size) {
            return kernel_refuse(error, error_size, "Multiboot header: bss_end_addr is below load_end_addr");
        }
        s->memory_size = h->bss_end_addr - s->gpa;
    }
    mb->entry = h->entry_addr;
    if (mb->entry < s->gpa || mb->entry - s->gpa >= s->memory_size) {
        return kernel_refuse(error, error_size, "Multiboot header: entry_addr 0x%x is not in what is loaded",
                             mb->entry);
    }
    mb->segment_count = 1;
    return true;
}

static bool read_elf(const struct image_reader *file, struct multiboot *mb, char *error, size_t error_size)
{
    struct elf_kernel elf;

    if (!elf_kernel_is(file)) {
        return kernel_refuse(error, error_size,
                             "Multiboot kernel is no ELF file, and its header has no addresses (flag 16)");
    }
    if (!elf_kernel_read(file, &elf, error, error_size)) {
        return false;
    }
    if (!elf.entry_loaded) {
        return kernel_refuse(error, error_size, "ELF file's entry point is not in what is loaded");
    }
    __builtin_memcpy(mb->segment, elf.segment, sizeof(mb->segment));
    mb->segment_count = elf.segment_count;
    mb->entry = elf.entry;
    return true;
}

static bool multiboot_read(const struct image_reader *file, struct multiboot *mb, char *error,
                           size_t error_size)
{
    uint32_t unknown;

    *mb = (struct multiboot){0};
    if (!find_header(file, mb)) {
        return kernel_refuse(error, error_size, "no Multiboot 1 header in the first 8 KiB");
    }
    if (mb->header.flags & HEADER_VIDEO) {
        return kernel_refuse(error, error_size,
                             "Multiboot kernel asks for a video mode (flag 2), and guests have no display");
    }
    unknown = mb->header.flags & HEADER_REQUIRED & ~(HEADER_PAGE_ALIGN | HEADER_MEMORY_INFO);
    if (unknown != 0) {
        return kernel_refuse(error, error_size, "Multiboot kernel asks for unknown features: flags 0x%x",
                             unknown);
    }
    return mb->header.flags & HEADER_ADDRESSES ? read_addresses(file, mb, error, error_size)
                                               : read_elf(file, mb, error, error_size);
}

bool multiboot_check(const struct image_reader *file, char *error, size_t error_size)
{
    struct multiboot mb;

    return multiboot_read(file, &mb, error, error_size);
}

// --- boot information ---

static void write_modules(const struct kernel_load *load, struct kernel_info *info,
                          struct boot_information *out)
{
    const struct kernel_boot *boot = load->boot;
    uint64_t gpa;
    struct module_entry *entry = kernel_info_reserve(info, boot->module_count * sizeof(*entry), &gpa);

    out->flags |= INFO_MODULES;
    out->mods_count = boot->module_count;
    out->mods_addr = (uint32_t)gpa;
    for (uint32_t i = 0; i < boot->module_count; i++) {
        entry[i] = (struct module_entry){
            .start = (uint32_t)load->module_gpa[i],
            .end = (uint32_t)(load->module_gpa[i] + boot->module[i].file.size),
            .string = kernel_info_text(info, boot->module[i].name, boot->module[i].text),
        };
    }
}

static void write_map(const struct kernel_boot *boot, struct kernel_info *info, struct boot_information *out)
{
    struct memory_region map[MEMORY_MAP_MAX];
    size_t count = kernel_memory_map(boot, map);
    uint64_t gpa;
    struct map_entry *entry = kernel_info_reserve(info, count * sizeof(*entry), &gpa);

    out->flags |= INFO_MAP;
    out->mmap_length = (uint32_t)(count * sizeof(*entry));
    out->mmap_addr = (uint32_t)gpa;
    for (size_t i = 0; i < count; i++) {
        entry[i] = (struct map_entry){
            .size = sizeof(*entry) - sizeof(entry->size),
            .base = map[i].base,
            .length = map[i].size,
            .type = map[i].type,
        };
    }
}

// The kernel's name comes first on its command line, and a module's on its string, as loaders other than GRUB 2
// have it and kernels expect.
static bool write_information(struct kernel_load *load, uint32_t entry)
{
    const struct kernel_boot *boot = load->boot;
    struct kernel_info info;
    struct boot_information *out;
    uint64_t gpa;

    if (!kernel_info_begin(load, &info)) {
        return false;
    }
    out = kernel_info_reserve(&info, sizeof(*out), &gpa);
    out->flags = INFO_MEMORY | INFO_CMDLINE | INFO_LOADER_NAME;
    out->mem_lower = (uint32_t)(KERNEL_LOW_RAM_END >> 10);
    out->mem_upper = (uint32_t)((boot->mem.low - KERNEL_HIGH_START) >> 10);
    write_map(boot, &info, out);
    write_modules(load, &info, out);
    out->cmdline = kernel_info_text(&info, boot->kernel_name, boot->cmdline);
    out->boot_loader_name = kernel_info_text(&info, LOADER_NAME, NULL);
    kernel_enter_flat32(load, &info, entry, LOADER_MAGIC, (uint32_t)gpa);
    return true;
}

bool multiboot_load_begin(struct kernel_load *load)
{
    struct multiboot mb;

    return multiboot_read(&load->boot->kernel, &mb, load->error, sizeof(load->error)) &&
           kernel_place_segments(load, mb.segment, mb.segment_count) && kernel_place_modules(load) &&
           kernel_write_firmware(load) && write_information(load, mb.entry);
}
