// SPDX-License-Identifier: Apache-2.0
// Errors, memory map, tables and register lists, for the loaders of all boot protocols.
#include "mgmt/devices/kernel_parts.h"

#include <stdarg.h>
#include <stdio.h>

#include "mgmt/devices/acpi_tables.h"

#define RFLAGS_FIXED 0x2ull

bool kernel_fail(struct kernel_load *load, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(load->error, sizeof(load->error), fmt, args);
    va_end(args);
    return false;
}

bool kernel_refuse(char *error, size_t error_size, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(error, error_size, fmt, args);
    va_end(args);
    return false;
}

bool image_read_exact(const struct image_reader *file, uint64_t offset, void *buf, size_t length)
{
    return offset <= file->size && length <= file->size - offset &&
           file->read(file->ctx, offset, buf, length) == length;
}

size_t kernel_text_length(const char *text)
{
    return text == NULL ? 0 : __builtin_strlen(text);
}

void kernel_add_copy(struct kernel_load *load, const struct image_reader *from, uint64_t offset,
                     uint64_t length, uint64_t gpa)
{
    load->copy[load->copy_count++] = (struct load_copy){
        .from = from, .offset = offset, .left = length, .gpa = gpa};
    load->bytes_total += length;
}

// --- memory map ---

size_t kernel_memory_map(const struct kernel_boot *boot, struct memory_region map[MEMORY_MAP_MAX])
{
    const struct memory_region all[MEMORY_MAP_MAX] = {
        {0, KERNEL_LOW_RAM_END, MEMORY_RAM},
        {MACHINE_ACPI_BASE, MACHINE_ACPI_END - MACHINE_ACPI_BASE, MEMORY_ACPI},
        {KERNEL_HIGH_START, boot->mem.low - KERNEL_HIGH_START, MEMORY_RAM},
        // Linux trusts an ECAM range before it has read the DSDT only if this map reserves it.
        {MACHINE_ECAM_BASE, machine_has_pci(&boot->machine) ? MACHINE_ECAM_SIZE : 0, MEMORY_RESERVED},
        {MACHINE_RAM_HIGH_BASE, boot->mem.high, MEMORY_RAM},
    };
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i].size != 0) {
            map[n++] = all[i];
        }
    }
    return n;
}

// --- what a PC's firmware leaves ---

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

bool kernel_write_firmware(struct kernel_load *load)
{
    const struct guest_mem *mem = &load->boot->mem;

    if (!acpi_tables_write(mem, &load->boot->machine) || !write_reset_vector(mem)) {
        return kernel_fail(load, "guest memory or processor count is out of range");
    }
    return true;
}

// --- registers of VP 0 ---

union hv_register_value *entry_add(struct boot_entry *entry, uint32_t name)
{
    struct hv_register_assoc *reg = &entry->regs[entry->reg_count++];

    *reg = (struct hv_register_assoc){.name = name};
    return &reg->value;
}

void entry_add_u64(struct boot_entry *entry, uint32_t name, uint64_t value)
{
    entry_add(entry, name)->u64 = value;
}

void entry_add_segment(struct boot_entry *entry, uint32_t name, uint16_t selector, uint32_t limit,
                       uint16_t attributes)
{
    entry_add(entry, name)->segment = (struct hv_segment){
        .limit = limit, .selector = selector, .attributes = attributes};
}

void entry_add_table(struct boot_entry *entry, uint32_t name, uint64_t base, uint16_t limit)
{
    entry_add(entry, name)->table = (struct hv_table){.base = base, .limit = limit};
}

void entry_add_tables(struct boot_entry *entry, uint64_t gdt_gpa, uint16_t tss_limit)
{
    static const uint32_t data_segments[] = {HV_REG_DS, HV_REG_ES, HV_REG_SS, HV_REG_FS, HV_REG_GS};

    for (size_t i = 0; i < ARRAY_LEN(data_segments); i++) {
        entry_add_segment(entry, data_segments[i], BOOT_DS, FLAT_LIMIT, SEGMENT_DATA);
    }
    entry_add_segment(entry, HV_REG_LDTR, 0, 0xffff, SEGMENT_LDT);
    entry_add_segment(entry, HV_REG_TR, 0, tss_limit, SEGMENT_TSS);
    entry_add_table(entry, HV_REG_GDTR, gdt_gpa, GDT_ENTRIES * 8 - 1);
    entry_add_table(entry, HV_REG_IDTR, 0, 0);
    entry_add_u64(entry, HV_REG_RFLAGS, RFLAGS_FIXED);
}
