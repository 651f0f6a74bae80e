// SPDX-License-Identifier: Apache-2.0
// Says on COM1 what the loader gave, and powers off. 32-bit code, entered by Multiboot or PVH.
//
// Layouts: Multiboot Specification 0.6.96 section 3.3; Xen xen/include/public/arch-x86/hvm/start_info.h.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COM1 0x3f8
#define SLEEP_PORT 0x600 // docs/guest-platform.md
#define SLEEP_S5 0x34
#define MULTIBOOT_MAGIC 0x2BADB002u
#define PVH_MAGIC 0x336ec578u

void report(uint32_t eax, uint32_t ebx);

static volatile uint32_t zeroed[1024];            // .bss
static volatile uint32_t initialized[2] = {6, 7}; // .data

static uint8_t inb(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void put(char c)
{
    while (!(inb(COM1 + 5) & 0x20)) {
    }
    outb(COM1, (uint8_t)c);
}

static void text(const char *s)
{
    while (*s != '\0') {
        put(*s++);
    }
}

static void hex(uint64_t value)
{
    int digit = 60;

    while (digit > 0 && (value >> digit) == 0) {
        digit -= 4;
    }
    for (; digit >= 0; digit -= 4) {
        put("0123456789abcdef"[(value >> digit) & 15]);
    }
}

static void named(const char *name, uint64_t value)
{
    text(name);
    hex(value);
}

static void line(const char *name, const char *value)
{
    text(name);
    put('[');
    text(value);
    text("]\n");
}

static const void *at(uint64_t address)
{
    return (const void *)(uintptr_t)address;
}

static uint64_t ram_total;

static void region(uint64_t base, uint64_t size, uint32_t type)
{
    named("map ", base);
    named(" ", size);
    named(" ", type);
    put('\n');
    ram_total += type == 1 ? size : 0;
}

static void module(uint32_t index, uint64_t base, uint64_t size, const char *string)
{
    const uint8_t *data = at(base);
    uint32_t sum = 0;

    for (uint64_t i = 0; i < size; i++) {
        sum = sum * 31 + data[i];
    }
    named("module ", index);
    named(" aligned ", base % 4096 == 0);
    named(" size ", size);
    named(" sum ", sum);
    line(" ", string);
}

static bool rsdp_at(uint64_t address)
{
    const uint8_t *rsdp = at(address);
    uint8_t sum = 0;

    for (unsigned i = 0; i < 8; i++) {
        if (rsdp[i] != (uint8_t) "RSD PTR "[i]) {
            return false;
        }
    }
    for (unsigned i = 0; i < 20; i++) {
        sum = (uint8_t)(sum + rsdp[i]);
    }
    return sum == 0;
}

static void rsdp(uint64_t address)
{
    named("rsdp ", address);
    text(rsdp_at(address) ? " good\n" : " bad\n");
}

// --- Multiboot ---

struct multiboot_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length,
        mmap_addr, drives_length, drives_addr, config_table, boot_loader_name;
};

static void multiboot_map(const struct multiboot_info *info)
{
    for (uint32_t n = 0; n < info->mmap_length;) {
        const uint32_t *entry = at(info->mmap_addr + n);

        region(entry[1] | (uint64_t)entry[2] << 32, entry[3] | (uint64_t)entry[4] << 32, entry[5]);
        n += entry[0] + 4;
    }
}

static bool stays; // the word in its command line

static void command_line(const char *s)
{
    static const char word[] = "stay";

    line("cmdline ", s);
    for (; !stays && *s != 0; s++) {
        unsigned i = 0;

        while (i < sizeof(word) - 1 && s[i] == word[i]) {
            i++;
        }
        stays = i == sizeof(word) - 1;
    }
}

static void multiboot(const struct multiboot_info *info)
{
    text("protocol multiboot\n");
    named("flags ", info->flags);
    named(" lower ", info->mem_lower);
    named(" upper ", info->mem_upper);
    put('\n');
    line("loader ", at(info->boot_loader_name));
    command_line(at(info->cmdline));
    multiboot_map(info);
    for (uint32_t i = 0; i < info->mods_count; i++) {
        const uint32_t *entry = at(info->mods_addr + 16 * i);

        module(i, entry[0], entry[1] - entry[0], at(entry[2]));
    }
    for (uint32_t address = 0xe0000; address < 0x100000; address += 16) {
        if (rsdp_at(address)) {
            rsdp(address);
        }
    }
}

// --- PVH ---

struct start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, cmdline, rsdp, map;
    uint32_t map_entries, reserved;
};

static void pvh(const struct start_info *info)
{
    text("protocol pvh\n");
    named("version ", info->version);
    named(" flags ", info->flags);
    put('\n');
    command_line(at(info->cmdline));
    for (uint32_t i = 0; i < info->map_entries; i++) {
        const uint64_t *entry = at(info->map + 24 * i);

        region(entry[0], entry[1], (uint32_t)entry[2]);
    }
    for (uint32_t i = 0; i < info->module_count; i++) {
        const uint64_t *entry = at(info->modules + 32 * i);

        module(i, entry[0], entry[1], at(entry[2]));
    }
    rsdp(info->rsdp);
}

// --- the machine's state ---

static void machine(void)
{
    uint32_t cr0, cr4, flags, nonzero = 0;
    uint16_t cs, ds;

    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("pushf; pop %0" : "=r"(flags));
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    __asm__ volatile("mov %%ds, %0" : "=r"(ds));
    for (unsigned i = 0; i < 1024; i++) {
        nonzero += zeroed[i] != 0;
    }
    named("cr0 ", cr0);
    named(" cr4 ", cr4);
    named(" if ", (flags >> 9) & 1);
    named(" cs ", cs);
    named(" ds ", ds);
    named(" bss ", nonzero);
    named(" data ", initialized[0] * initialized[1]);
    put('\n');
}

void report(uint32_t eax, uint32_t ebx)
{
    const struct start_info *start = at(ebx);

    if (eax == MULTIBOOT_MAGIC) {
        multiboot(at(ebx));
    } else if (start->magic == PVH_MAGIC) {
        pvh(start);
    } else {
        text("protocol unknown\n");
    }
    named("memory ", ram_total >> 10);
    text(" KiB\n");
    machine();
    text("end\n");
    while (stays) {
        __asm__ volatile("hlt");
    }
    outb(SLEEP_PORT, SLEEP_S5);
}
