// SPDX-License-Identifier: Apache-2.0
// Places a Linux bzImage, its initrd, command line and ACPI tables in guest memory.
//
// Guest memory at the entry (boot.rst "64-bit Boot Protocol"):
//
//   0x01000  GDT: null, null, __BOOT_CS (0x10), __BOOT_DS (0x18)
//   0x02000  struct boot_params, the "zero page"
//   0x04000  page tables: PML4, PDPT, four page directories; 4 GiB mapped to themselves with 2 MiB pages
//   0x20000  command line
//   0xe0000  ACPI tables
//   pref_address .. + init_size   kernel
//   below min(end of low RAM, initrd_addr_max)   initrd, page aligned

#include "mgmt/devices/linux_loader.h"

#include "mgmt/devices/bzimage.h"
#include "mgmt/devices/kernel_parts.h"

#define GDT_GPA 0x1000ull
#define ZERO_PAGE_GPA 0x2000ull
#define PML4_GPA 0x4000ull
#define PDPT_GPA 0x5000ull
#define PD_GPA 0x6000ull
#define PD_COUNT 4
#define CMDLINE_GPA 0x20000ull
#define CMDLINE_MAX 0x10000ull
#define ENTRY64_OFFSET 0x200

#define PTE_PRESENT 0x1ull
#define PTE_WRITE 0x2ull
#define PTE_LARGE 0x80ull

#define CR0_BOOT 0x80000031ull // PG NE ET PE
#define CR4_PAE 0x20ull
#define EFER_BOOT 0x500ull // LMA LME

#define LOADER_UNDEFINED 0xff

// struct boot_params, boot.rst "Additional information" (zero-page.rst): the fields we set.
struct e820_entry {
    uint64_t base, size;
    uint32_t type;
} __attribute__((packed));

struct boot_params {
    uint8_t unused1[0x70];
    uint64_t acpi_rsdp_addr;
    uint8_t unused2[0x1e8 - 0x78];
    uint8_t e820_entries;
    uint8_t unused3[0x1f1 - 0x1e9];
    struct setup_header header;
    uint8_t unused4[0x2d0 - 0x1f1 - sizeof(struct setup_header)];
    struct e820_entry e820[128];
    uint8_t unused5[0x1000 - 0x2d0 - 128 * 20];
} __attribute__((packed));
_Static_assert(sizeof(struct boot_params) == 4096, "zero page");
_Static_assert(offsetof(struct boot_params, acpi_rsdp_addr) == 0x70, "zero-page.rst");
_Static_assert(offsetof(struct boot_params, e820_entries) == 0x1e8, "zero-page.rst");
_Static_assert(offsetof(struct boot_params, header) == 0x1f1, "zero-page.rst");
_Static_assert(offsetof(struct boot_params, e820) == 0x2d0, "zero-page.rst");

static bool check_cmdline(struct kernel_load *load, const struct bzimage *image)
{
    uint64_t limit = MIN((uint64_t)image->header.cmdline_size, CMDLINE_MAX - 1);
    size_t length = kernel_text_length(load->boot->cmdline);

    if (length > limit) {
        return kernel_fail(load, "kernel command line has %zu characters, this kernel takes %llu", length,
                           (unsigned long long)limit);
    }
    return true;
}

static bool check_modules(struct kernel_load *load)
{
    const struct kernel_boot *boot = load->boot;

    if (boot->module_count > 1) {
        return kernel_fail(load, "a Linux kernel takes one initrd, not %u modules", boot->module_count);
    }
    if (boot->module_count == 1 && kernel_text_length(boot->module[0].text) > 0) {
        return kernel_fail(load, "a Linux kernel's initrd takes no arguments");
    }
    return true;
}

static bool place_kernel(struct kernel_load *load, const struct bzimage *image)
{
    uint64_t low = load->boot->mem.low;

    load->kernel_gpa = image->load_gpa;
    load->kernel_end = image->load_gpa + image->memory_size;
    if (load->kernel_end > low) {
        return kernel_fail(
            load,
            "guest memory is too small for this kernel: it needs %llu MiB, the guest has %llu MiB below 4 GiB",
            MIB(load->kernel_end), (unsigned long long)(low >> 20));
    }
    kernel_add_copy(load, &load->boot->kernel, image->code_offset, image->code_size, load->kernel_gpa);
    return true;
}

// As high as allowed, so that the kernel can grow upwards.
static bool place_initrd(struct kernel_load *load, const struct bzimage *image)
{
    const struct kernel_module *initrd = &load->boot->module[0];
    uint64_t size = load->boot->module_count > 0 ? initrd->file.size : 0;
    uint64_t top = MIN(load->boot->mem.low, (uint64_t)image->header.initrd_addr_max + 1);

    if (size == 0) {
        return true;
    }
    if (size > top || ALIGN_DOWN(top - size, PAGE_SIZE) < load->kernel_end) {
        return kernel_fail(
            load, "guest memory is too small: kernel and initrd need %llu MiB below the address %llu MiB",
            MIB(load->kernel_end + size), (unsigned long long)(top >> 20));
    }
    load->module_gpa[0] = ALIGN_DOWN(top - size, PAGE_SIZE);
    kernel_add_copy(load, &initrd->file, 0, size, load->module_gpa[0]);
    return true;
}

// --- what goes into guest memory at once ---

static void fill_e820(const struct kernel_boot *boot, struct boot_params *params)
{
    struct memory_region map[MEMORY_MAP_MAX];

    params->e820_entries = (uint8_t)kernel_memory_map(boot, map);
    for (size_t i = 0; i < params->e820_entries; i++) {
        params->e820[i] = (struct e820_entry){map[i].base, map[i].size, map[i].type};
    }
}

static void fill_zero_page(const struct kernel_load *load, const struct bzimage *image,
                           struct boot_params *params)
{
    const struct kernel_boot *boot = load->boot;

    __builtin_memset(params, 0, sizeof(*params));
    params->header = image->header;
    params->header.type_of_loader = LOADER_UNDEFINED;
    params->header.loadflags &= (uint8_t)~CAN_USE_HEAP;
    params->header.code32_start = (uint32_t)load->kernel_gpa;
    params->header.cmd_line_ptr = (uint32_t)CMDLINE_GPA;
    params->header.ramdisk_image = (uint32_t)load->module_gpa[0];
    params->header.ramdisk_size = boot->module_count > 0 ? (uint32_t)boot->module[0].file.size : 0;
    params->header.setup_data = 0;
    params->acpi_rsdp_addr = MACHINE_ACPI_BASE;
    fill_e820(boot, params);
}

static bool write_page_tables(const struct guest_mem *mem)
{
    uint64_t *pml4 = (uint64_t *)guest_mem_at(mem, GPA(PML4_GPA), PAGE_SIZE * (2 + PD_COUNT));
    uint64_t *pdpt, *pd;

    if (pml4 == NULL) {
        return false;
    }
    pdpt = pml4 + 512;
    pd = pdpt + 512;
    __builtin_memset(pml4, 0, PAGE_SIZE * 2);
    pml4[0] = PDPT_GPA | PTE_PRESENT | PTE_WRITE;
    for (uint64_t i = 0; i < PD_COUNT; i++) {
        pdpt[i] = (PD_GPA + i * PAGE_SIZE) | PTE_PRESENT | PTE_WRITE;
    }
    for (uint64_t i = 0; i < 512 * PD_COUNT; i++) {
        pd[i] = i * PAGE_SIZE_2M | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
    }
    return true;
}

static bool write_low_memory(struct kernel_load *load, const struct bzimage *image)
{
    static const uint64_t gdt[GDT_ENTRIES] = {0, 0, GDT_CODE64, GDT_DATA};
    const struct guest_mem *mem = &load->boot->mem;
    const char *cmdline = load->boot->cmdline == NULL ? "" : load->boot->cmdline;
    struct boot_params *params = (struct boot_params *)guest_mem_at(mem, GPA(ZERO_PAGE_GPA), sizeof(*params));

    if (params == NULL || !guest_mem_write(mem, GPA(GDT_GPA), gdt, sizeof(gdt)) || !write_page_tables(mem) ||
        !guest_mem_write(mem, GPA(CMDLINE_GPA), cmdline, kernel_text_length(cmdline) + 1)) {
        return kernel_fail(load, "guest memory is out of range");
    }
    fill_zero_page(load, image, params);
    return true;
}

// --- registers of VP 0 ---

// EFER and CR4 come before CR0, so that a hypervisor that sets one at a time never sees a state that the
// processor would refuse.
static void fill_entry(struct boot_entry *entry, uint64_t kernel_gpa)
{
    entry_add_u64(entry, HV_REG_CR3, PML4_GPA);
    entry_add_u64(entry, HV_REG_CR4, CR4_PAE);
    entry_add_u64(entry, HV_REG_EFER, EFER_BOOT);
    entry_add_u64(entry, HV_REG_CR0, CR0_BOOT);
    entry_add_segment(entry, HV_REG_CS, BOOT_CS, FLAT_LIMIT, SEGMENT_CODE64);
    entry_add_tables(entry, GDT_GPA, 0xffff);
    entry_add_u64(entry, HV_REG_RSI, ZERO_PAGE_GPA);
    entry_add_u64(entry, HV_REG_RBX, 0); // boot.rst "32-bit Boot Protocol": EBP, EDI, EBX must be zero
    entry_add_u64(entry, HV_REG_RBP, 0);
    entry_add_u64(entry, HV_REG_RDI, 0);
    entry_add_u64(entry, HV_REG_RSP, CMDLINE_GPA); // grows down into free low memory; Linux sets its own
    entry_add_u64(entry, HV_REG_RIP, kernel_gpa + ENTRY64_OFFSET);
}

// --- public ---

bool linux_load_begin(struct kernel_load *load)
{
    struct bzimage image;

    if (!bzimage_read(&load->boot->kernel, &image, load->error, sizeof(load->error)) ||
        !check_cmdline(load, &image) || !check_modules(load) || !place_kernel(load, &image) ||
        !place_initrd(load, &image) || !write_low_memory(load, &image) || !kernel_write_firmware(load)) {
        return false;
    }
    __builtin_memcpy(load->kernel_version, image.version, sizeof(load->kernel_version));
    fill_entry(&load->entry, load->kernel_gpa);
    return true;
}
