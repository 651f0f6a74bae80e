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

#include <stdio.h>

#include "mgmt/devices/acpi_tables.h"
#include "mgmt/devices/bzimage.h"

#define GDT_GPA 0x1000ull
#define ZERO_PAGE_GPA 0x2000ull
#define PML4_GPA 0x4000ull
#define PDPT_GPA 0x5000ull
#define PD_GPA 0x6000ull
#define PD_COUNT 4
#define CMDLINE_GPA 0x20000ull
#define CMDLINE_MAX 0x10000ull
#define LOW_RAM_END 0xa0000ull // where PCs had video memory
#define HIGH_START 0x100000ull
#define ENTRY64_OFFSET 0x200

#define BOOT_CS 0x10
#define BOOT_DS 0x18
#define GDT_ENTRIES 4
#define GDT_CODE64 0x00af9b000000ffffull
#define GDT_DATA 0x00cf93000000ffffull
#define SEGMENT_CODE64 0xa09b // HV_X64_SEGMENT_REGISTER: execute/read accessed, present, L, G
#define SEGMENT_DATA 0xc093   // read/write accessed, present, D, G
#define SEGMENT_TSS 0x008b    // busy 64-bit TSS, present
#define SEGMENT_LDT 0x0082
#define FLAT_LIMIT 0xffffffffu

#define PTE_PRESENT 0x1ull
#define PTE_WRITE 0x2ull
#define PTE_LARGE 0x80ull

#define CR0_BOOT 0x80000031ull // PG NE ET PE
#define CR4_PAE 0x20ull
#define EFER_BOOT 0x500ull // LMA LME
#define RFLAGS_FIXED 0x2ull

#define LOADER_UNDEFINED 0xff

// struct boot_params, boot.rst "Additional information" (zero-page.rst): the fields we set.
struct e820_entry {
    uint64_t base, size;
    uint32_t type;
} __attribute__((packed));
enum { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 };

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

#define MIB(bytes) ((unsigned long long)(((bytes) + 0xfffff) >> 20))

static size_t text_length(const char *text)
{
    return text == NULL ? 0 : __builtin_strlen(text);
}

static bool check_cmdline(struct linux_load *load, const struct bzimage *image)
{
    uint64_t limit = MIN((uint64_t)image->header.cmdline_size, CMDLINE_MAX - 1);
    size_t length = text_length(load->boot->cmdline);

    if (length > limit) {
        (void)snprintf(load->error, sizeof(load->error),
                       "kernel command line has %zu characters, this kernel takes %llu", length,
                       (unsigned long long)limit);
        return false;
    }
    return true;
}

static bool place_kernel(struct linux_load *load, const struct bzimage *image)
{
    uint64_t low = load->boot->mem.low;

    load->kernel_gpa = image->load_gpa;
    load->kernel_end = image->load_gpa + image->memory_size;
    if (load->kernel_end > low) {
        (void)snprintf(
            load->error, sizeof(load->error),
            "guest memory is too small for this kernel: it needs %llu MiB, the guest has %llu MiB below 4 GiB",
            MIB(load->kernel_end), (unsigned long long)(low >> 20));
        return false;
    }
    load->copy[0] = (struct load_copy){
        .from = &load->boot->kernel,
        .offset = image->code_offset,
        .left = image->code_size,
        .gpa = load->kernel_gpa,
    };
    return true;
}

// As high as allowed, so that the kernel can grow upwards.
static bool place_initrd(struct linux_load *load, const struct bzimage *image)
{
    uint64_t size = load->boot->initrd.size;
    uint64_t top = MIN(load->boot->mem.low, (uint64_t)image->header.initrd_addr_max + 1);

    load->initrd_gpa = 0;
    if (size == 0) {
        return true;
    }
    if (size > top || ALIGN_DOWN(top - size, PAGE_SIZE) < load->kernel_end) {
        (void)snprintf(
            load->error, sizeof(load->error),
            "guest memory is too small: kernel and initrd need %llu MiB below the address %llu MiB",
            MIB(load->kernel_end + size), (unsigned long long)(top >> 20));
        return false;
    }
    load->initrd_gpa = ALIGN_DOWN(top - size, PAGE_SIZE);
    load->copy[1] = (struct load_copy){
        .from = &load->boot->initrd,
        .left = size,
        .gpa = load->initrd_gpa,
    };
    return true;
}

// --- what goes into guest memory at once ---

static void add_e820(struct boot_params *params, uint64_t base, uint64_t size, uint32_t type)
{
    if (size != 0) {
        params->e820[params->e820_entries++] = (struct e820_entry){base, size, type};
    }
}

static void fill_zero_page(const struct linux_load *load, const struct bzimage *image,
                           struct boot_params *params)
{
    const struct guest_mem *mem = &load->boot->mem;

    __builtin_memset(params, 0, sizeof(*params));
    params->header = image->header;
    params->header.type_of_loader = LOADER_UNDEFINED;
    params->header.loadflags &= (uint8_t)~CAN_USE_HEAP;
    params->header.code32_start = (uint32_t)load->kernel_gpa;
    params->header.cmd_line_ptr = (uint32_t)CMDLINE_GPA;
    params->header.ramdisk_image = (uint32_t)load->initrd_gpa;
    params->header.ramdisk_size = (uint32_t)load->boot->initrd.size;
    params->header.setup_data = 0;
    params->acpi_rsdp_addr = MACHINE_ACPI_BASE;
    add_e820(params, 0, LOW_RAM_END, E820_RAM);
    add_e820(params, MACHINE_ACPI_BASE, MACHINE_ACPI_END - MACHINE_ACPI_BASE, E820_ACPI);
    add_e820(params, HIGH_START, mem->low - HIGH_START, E820_RAM);
    // Linux trusts an ECAM range before it has read the DSDT only if this map reserves it.
    add_e820(params, MACHINE_ECAM_BASE, machine_has_pci(&load->boot->machine) ? MACHINE_ECAM_SIZE : 0,
             E820_RESERVED);
    add_e820(params, MACHINE_RAM_HIGH_BASE, mem->high, E820_RAM);
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

// What a PC's firmware has at its reset vector, as far as it is needed: a reset. Linux jumps there in real
// mode to restart, because on a hardware-reduced ACPI platform it prefers EFI's reset to the FADT's register
// and falls back to this one (arch/x86/kernel/reboot.c, BOOT_EFI then BOOT_BIOS).
static bool write_reset_vector(const struct guest_mem *mem)
{
    static const uint8_t code[] = {
        0xb0,
        MACHINE_RESET_VALUE, // mov al, value
        0xba,
        MACHINE_RESET_PORT & 0xff,
        MACHINE_RESET_PORT >> 8, // mov dx, port
        0xee,                    // out dx, al
        0xf4,                    // hlt
        0xeb,
        0xfd, // jmp to the hlt
    };

    return guest_mem_write(mem, GPA(MACHINE_RESET_VECTOR), code, sizeof(code));
}

static bool write_low_memory(struct linux_load *load, const struct bzimage *image)
{
    static const uint64_t gdt[GDT_ENTRIES] = {0, 0, GDT_CODE64, GDT_DATA};
    const struct guest_mem *mem = &load->boot->mem;
    const char *cmdline = load->boot->cmdline == NULL ? "" : load->boot->cmdline;
    struct boot_params *params = (struct boot_params *)guest_mem_at(mem, GPA(ZERO_PAGE_GPA), sizeof(*params));

    if (params == NULL || !guest_mem_write(mem, GPA(GDT_GPA), gdt, sizeof(gdt)) || !write_page_tables(mem) ||
        !guest_mem_write(mem, GPA(CMDLINE_GPA), cmdline, text_length(cmdline) + 1) ||
        !acpi_tables_write(mem, &load->boot->machine) || !write_reset_vector(mem)) {
        (void)snprintf(load->error, sizeof(load->error), "guest memory or processor count is out of range");
        return false;
    }
    fill_zero_page(load, image, params);
    return true;
}

// --- registers of VP 0 ---

static union hv_register_value *add_register(struct boot_entry *entry, uint32_t name)
{
    struct hv_register_assoc *reg = &entry->regs[entry->reg_count++];

    *reg = (struct hv_register_assoc){.name = name};
    return &reg->value;
}

static void add_u64(struct boot_entry *entry, uint32_t name, uint64_t value)
{
    add_register(entry, name)->u64 = value;
}

static void add_segment(struct boot_entry *entry, uint32_t name, uint16_t selector, uint32_t limit,
                        uint16_t attributes)
{
    add_register(entry, name)->segment = (struct hv_segment){
        .limit = limit, .selector = selector, .attributes = attributes};
}

static void add_table(struct boot_entry *entry, uint32_t name, uint64_t base, uint16_t limit)
{
    add_register(entry, name)->table = (struct hv_table){.base = base, .limit = limit};
}

// EFER and CR4 come before CR0, so that a hypervisor that sets one at a time never sees a state that the
// processor would refuse.
static void fill_entry(struct boot_entry *entry, uint64_t kernel_gpa)
{
    static const uint32_t data_segments[] = {HV_REG_DS, HV_REG_ES, HV_REG_SS, HV_REG_FS, HV_REG_GS};

    entry->reg_count = 0;
    add_u64(entry, HV_REG_CR3, PML4_GPA);
    add_u64(entry, HV_REG_CR4, CR4_PAE);
    add_u64(entry, HV_REG_EFER, EFER_BOOT);
    add_u64(entry, HV_REG_CR0, CR0_BOOT);
    add_segment(entry, HV_REG_CS, BOOT_CS, FLAT_LIMIT, SEGMENT_CODE64);
    for (size_t i = 0; i < ARRAY_LEN(data_segments); i++) {
        add_segment(entry, data_segments[i], BOOT_DS, FLAT_LIMIT, SEGMENT_DATA);
    }
    add_segment(entry, HV_REG_LDTR, 0, 0xffff, SEGMENT_LDT);
    add_segment(entry, HV_REG_TR, 0, 0xffff, SEGMENT_TSS);
    add_table(entry, HV_REG_GDTR, GDT_GPA, GDT_ENTRIES * 8 - 1);
    add_table(entry, HV_REG_IDTR, 0, 0);
    add_u64(entry, HV_REG_RFLAGS, RFLAGS_FIXED);
    add_u64(entry, HV_REG_RSI, ZERO_PAGE_GPA);
    add_u64(entry, HV_REG_RBX, 0); // boot.rst "32-bit Boot Protocol": EBP, EDI, EBX must be zero
    add_u64(entry, HV_REG_RBP, 0);
    add_u64(entry, HV_REG_RDI, 0);
    add_u64(entry, HV_REG_RSP, CMDLINE_GPA); // grows down into free low memory; Linux sets its own
    add_u64(entry, HV_REG_RIP, kernel_gpa + ENTRY64_OFFSET);
}

// --- public ---

bool linux_load_begin(struct linux_load *load, const struct linux_boot *boot)
{
    struct bzimage image;

    *load = (struct linux_load){.boot = boot};
    if (boot->mem.low > MACHINE_RAM_LOW_MAX || boot->mem.low < HIGH_START || boot->machine.vp_count == 0 ||
        boot->machine.vp_count > MACHINE_MAX_VPS) {
        (void)snprintf(load->error, sizeof(load->error), "guest memory or processor count is out of range");
        return false;
    }
    if (!bzimage_read(&boot->kernel, &image, load->error, sizeof(load->error)) ||
        !check_cmdline(load, &image) || !place_kernel(load, &image) || !place_initrd(load, &image) ||
        !write_low_memory(load, &image)) {
        return false;
    }
    __builtin_memcpy(load->kernel_version, image.version, sizeof(load->kernel_version));
    load->bytes_total = load->copy[0].left + load->copy[1].left;
    fill_entry(&load->entry, load->kernel_gpa);
    return true;
}

static bool copy_slice(struct linux_load *load, struct load_copy *copy, size_t length)
{
    uint8_t *to = guest_mem_at(&load->boot->mem, GPA(copy->gpa), length);

    if (to == NULL || copy->from->read(copy->from->ctx, copy->offset, to, length) != length) {
        (void)snprintf(load->error, sizeof(load->error), "image cannot be read at offset %llu",
                       (unsigned long long)copy->offset);
        return false;
    }
    copy->offset += length;
    copy->gpa += length;
    copy->left -= length;
    load->bytes_done += length;
    return true;
}

enum load_status linux_load_step(struct linux_load *load, size_t budget)
{
    for (size_t i = 0; i < ARRAY_LEN(load->copy) && budget > 0; i++) {
        size_t length = (size_t)MIN((uint64_t)budget, load->copy[i].left);

        if (length > 0 && !copy_slice(load, &load->copy[i], length)) {
            return LOAD_FAILED;
        }
        budget -= length;
    }
    return load->bytes_done == load->bytes_total ? LOAD_DONE : LOAD_MORE;
}

bool linux_image_check(const struct image_reader *kernel, char *error, size_t error_size)
{
    struct bzimage image;

    return bzimage_read(kernel, &image, error, error_size);
}
