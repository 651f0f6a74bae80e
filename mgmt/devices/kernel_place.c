// SPDX-License-Identifier: Apache-2.0
// Room in guest memory for 32-bit kernels, their modules and boot information; the state they are entered in.
#include "mgmt/devices/kernel_parts.h"

#define INFO_START 0x10000ull // below it kernels of many kinds start further processors
#define TSS32_LIMIT 0x67
#define CR0_FLAT32 0x11ull // ET PE

// Is [gpa, gpa + size) RAM that is no table of ours?
static bool is_ram(const struct kernel_load *load, uint64_t gpa, uint64_t size)
{
    uint64_t end = gpa >= KERNEL_HIGH_START ? load->boot->mem.low : KERNEL_LOW_RAM_END;

    return gpa <= end && size <= end - gpa;
}

static const struct load_range *overlap(const struct kernel_load *load, uint64_t gpa, uint64_t end)
{
    for (uint32_t i = 0; i < load->used_count; i++) {
        if (gpa < load->used[i].end && load->used[i].gpa < end) {
            return &load->used[i];
        }
    }
    return NULL;
}

static void take(struct kernel_load *load, uint64_t gpa, uint64_t end)
{
    load->used[load->used_count++] = (struct load_range){gpa, end};
}

// The first page at or above `from` with `size` unused bytes of RAM; false if there is none. Each turn goes
// beyond one of the used ranges and never comes back to it.
static bool find_room(const struct kernel_load *load, uint64_t from, uint64_t size, uint64_t *gpa)
{
    const struct load_range *in_the_way;

    *gpa = ALIGN_UP(from, (uint64_t)PAGE_SIZE);
    while ((in_the_way = overlap(load, *gpa, *gpa + size)) != NULL) {
        *gpa = ALIGN_UP(in_the_way->end, (uint64_t)PAGE_SIZE);
    }
    return is_ram(load, *gpa, size);
}

static bool place_segment(struct kernel_load *load, const struct kernel_segment *s)
{
    uint64_t end = s->gpa + s->memory_size;

    if (!is_ram(load, s->gpa, s->memory_size)) {
        return kernel_fail(load,
                           "kernel needs memory from 0x%llx to 0x%llx, where the guest has no RAM: it has "
                           "640 KiB from 0 and %llu MiB from 1 MiB",
                           (unsigned long long)s->gpa, (unsigned long long)end,
                           (unsigned long long)(load->boot->mem.low - KERNEL_HIGH_START) >> 20);
    }
    if (overlap(load, s->gpa, end) != NULL) {
        return kernel_fail(load, "kernel's segment from 0x%llx to 0x%llx overlaps another one",
                           (unsigned long long)s->gpa, (unsigned long long)end);
    }
    take(load, s->gpa, end);
    if (s->file_size > 0) {
        kernel_add_copy(load, &load->boot->kernel, s->offset, s->file_size, s->gpa);
    }
    return true;
}

bool kernel_place_segments(struct kernel_load *load, const struct kernel_segment *segment, size_t count)
{
    load->kernel_gpa = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        if (!place_segment(load, &segment[i])) {
            return false;
        }
        load->kernel_gpa = MIN(load->kernel_gpa, segment[i].gpa);
        load->kernel_end = MAX(load->kernel_end, segment[i].gpa + segment[i].memory_size);
    }
    return true;
}

static bool place_module(struct kernel_load *load, uint32_t i)
{
    const struct kernel_module *module = &load->boot->module[i];
    uint64_t size = module->file.size, gpa;

    if (size == 0) {
        return true;
    }
    if (size > load->boot->mem.low ||
        (!find_room(load, MAX(load->kernel_end, KERNEL_HIGH_START), size, &gpa) &&
         !find_room(load, KERNEL_HIGH_START, size, &gpa))) {
        return kernel_fail(load,
                           "guest memory is too small: no room for module %u of %llu MiB beside the kernel",
                           i, MIB(size));
    }
    take(load, gpa, gpa + size);
    kernel_add_copy(load, &module->file, 0, size, gpa);
    load->module_gpa[i] = gpa;
    return true;
}

bool kernel_place_modules(struct kernel_load *load)
{
    for (uint32_t i = 0; i < load->boot->module_count; i++) {
        if (!place_module(load, i)) {
            return false;
        }
    }
    return true;
}

// --- boot information ---

static size_t text_room(const char *first, const char *second)
{
    return kernel_text_length(first) + kernel_text_length(second) + 2;
}

bool kernel_info_begin(struct kernel_load *load, struct kernel_info *info)
{
    const struct kernel_boot *boot = load->boot;

    *info = (struct kernel_info){.size = KERNEL_INFO_STRUCTURES +
                                         text_room(boot->kernel_name, boot->cmdline)};
    for (uint32_t i = 0; i < boot->module_count; i++) {
        info->size += text_room(boot->module[i].name, boot->module[i].text);
    }
    if (!find_room(load, INFO_START, info->size, &info->gpa) &&
        !find_room(load, KERNEL_HIGH_START, info->size, &info->gpa)) {
        return kernel_fail(load, "guest memory is too small: no room for boot information beside the kernel");
    }
    info->at = guest_mem_at(&boot->mem, GPA(info->gpa), info->size);
    if (info->at == NULL) {
        return kernel_fail(load, "guest memory is out of range");
    }
    __builtin_memset(info->at, 0, info->size);
    return true;
}

void *kernel_info_reserve(struct kernel_info *info, size_t length, uint64_t *gpa)
{
    size_t at = ALIGN_UP(info->used, (size_t)8);

    info->used = at + length;
    *gpa = info->gpa + at;
    return info->at + at;
}

uint32_t kernel_info_text(struct kernel_info *info, const char *first, const char *second)
{
    size_t n = kernel_text_length(first), m = kernel_text_length(second);
    uint32_t gpa = (uint32_t)(info->gpa + info->used);
    uint8_t *to = info->at + info->used;

    if (n > 0) {
        __builtin_memcpy(to, first, n);
        to += n;
    }
    if (n > 0 && m > 0) {
        *to++ = ' ';
    }
    if (m > 0) {
        __builtin_memcpy(to, second, m);
        to += m;
    }
    *to++ = '\0';
    info->used = (size_t)(to - info->at);
    return gpa;
}

// --- entry ---

void kernel_enter_flat32(struct kernel_load *load, struct kernel_info *info, uint32_t entry, uint32_t eax,
                         uint32_t ebx)
{
    static const uint64_t gdt[GDT_ENTRIES] = {0, 0, GDT_CODE32, GDT_DATA};
    struct boot_entry *e = &load->entry;
    uint64_t gdt_gpa;

    __builtin_memcpy(kernel_info_reserve(info, sizeof(gdt), &gdt_gpa), gdt, sizeof(gdt));
    entry_add_u64(e, HV_REG_CR3, 0);
    entry_add_u64(e, HV_REG_CR4, 0);
    entry_add_u64(e, HV_REG_EFER, 0);
    entry_add_u64(e, HV_REG_CR0, CR0_FLAT32);
    entry_add_segment(e, HV_REG_CS, BOOT_CS, FLAT_LIMIT, SEGMENT_CODE32);
    entry_add_tables(e, gdt_gpa, TSS32_LIMIT);
    entry_add_u64(e, HV_REG_RAX, eax);
    entry_add_u64(e, HV_REG_RBX, ebx);
    entry_add_u64(e, HV_REG_RIP, entry);
}
