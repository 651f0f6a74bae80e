// srcs: mgmt/devices/kernel_loader.c mgmt/devices/kernel_parts.c mgmt/devices/kernel_place.c mgmt/devices/linux_loader.c mgmt/devices/bzimage.c mgmt/devices/elf_kernel.c mgmt/devices/multiboot.c mgmt/devices/pvh.c mgmt/devices/acpi_tables.c mgmt/devices/guest_mem.c
// SPDX-License-Identifier: Apache-2.0
// Multiboot and PVH kernels: files made for the test, the memory they find, and every way to be refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/devices/kernel_loader.h"

#define MIB (1ull << 20)
#define MEMORY (32 * MIB)
#define FILE_SIZE 0x6000u
#define TEXT_OFFSET 0x2000u
#define TEXT_SIZE 0x1800u
#define DATA_OFFSET 0x4000u
#define DATA_SIZE 0x100u
#define TEXT_GPA 0x200000u
#define DATA_GPA 0x300000u
#define BSS_SIZE 0x5000u
#define ENTRY 0x200040u
#define MODULE_SIZE 5000u

struct memory_file {
    uint8_t *data;
    uint64_t size, fail_from;
};

static size_t read_memory(void *ctx, uint64_t offset, void *buf, size_t length)
{
    const struct memory_file *f = ctx;

    if (offset > f->size || length > f->size - offset) {
        fail_msg("read of %zu bytes at %llu, beyond the file", length, (unsigned long long)offset);
    }
    if (f->fail_from != 0 && offset + length > f->fail_from) {
        return 0;
    }
    memcpy(buf, f->data + offset, length);
    return length;
}

struct fixture {
    struct memory_file kernel, module;
    struct kernel_boot boot;
    struct kernel_load load;
};

static struct image_reader reader(struct memory_file *file)
{
    return (struct image_reader){.read = read_memory, .ctx = file, .size = file->size};
}

static void open_fixture(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    f->kernel.data = malloc(FILE_SIZE);
    f->kernel.size = FILE_SIZE;
    for (size_t i = 0; i < FILE_SIZE; i++) {
        f->kernel.data[i] = (uint8_t)(i * 7 + i / 256);
    }
    memset(f->kernel.data, 0, TEXT_OFFSET);
    f->module.data = malloc(MODULE_SIZE);
    f->module.size = MODULE_SIZE;
    memset(f->module.data, 0x5c, MODULE_SIZE);
    f->boot.mem.ram = calloc(1, MEMORY); // exactly as large: sanitizers see the first byte beyond
    f->boot.mem.low = MEMORY;
    f->boot.machine = (struct machine_config){.vp_count = 1, .com = {true}};
    f->boot.kernel = reader(&f->kernel);
    f->boot.kernel_name = "kernel";
    f->boot.cmdline = "a=1 b";
}

static void add_modules(struct fixture *f, uint32_t count)
{
    f->boot.module_count = count;
    for (uint32_t i = 0; i < count; i++) {
        f->boot.module[i] = (struct kernel_module){
            .file = reader(&f->module), .name = "module", .text = i == 0 ? "x y" : ""};
    }
}

static void close_fixture(struct fixture *f)
{
    free(f->kernel.data);
    free(f->module.data);
    free(f->boot.mem.ram);
}

// --- files ---

static Elf64_Ehdr *header64(struct fixture *f)
{
    return (Elf64_Ehdr *)f->kernel.data;
}

static Elf64_Phdr *segment64(struct fixture *f, unsigned i)
{
    return (Elf64_Phdr *)(f->kernel.data + sizeof(Elf64_Ehdr)) + i;
}

static Elf32_Ehdr *header32(struct fixture *f)
{
    return (Elf32_Ehdr *)f->kernel.data;
}

static Elf32_Phdr *segment32(struct fixture *f, unsigned i)
{
    return (Elf32_Phdr *)(f->kernel.data + sizeof(Elf32_Ehdr)) + i;
}

#define NOTE_OFFSET 0x1000u
#define MAKE_ELF(class, machine)                                                                             \
    *header##class(f) = (Elf##class##_Ehdr){                                                                 \
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS##class, ELFDATA2LSB, EV_CURRENT},                          \
        .e_type = ET_EXEC,                                                                                   \
        .e_machine = machine,                                                                                \
        .e_entry = ENTRY,                                                                                    \
        .e_phoff = sizeof(Elf##class##_Ehdr),                                                                \
        .e_phentsize = sizeof(Elf##class##_Phdr),                                                            \
        .e_phnum = 3,                                                                                        \
    };                                                                                                       \
    *segment##class(f, 0) = (Elf##class##_Phdr){.p_type = PT_LOAD,                                           \
                                                .p_offset = TEXT_OFFSET,                                     \
                                                .p_vaddr = TEXT_GPA,                                         \
                                                .p_paddr = TEXT_GPA,                                         \
                                                .p_filesz = TEXT_SIZE,                                       \
                                                .p_memsz = TEXT_SIZE};                                       \
    *segment##class(f, 1) = (Elf##class##_Phdr){.p_type = PT_LOAD,                                           \
                                                .p_offset = DATA_OFFSET,                                     \
                                                .p_vaddr = DATA_GPA,                                         \
                                                .p_paddr = DATA_GPA,                                         \
                                                .p_filesz = DATA_SIZE,                                       \
                                                .p_memsz = BSS_SIZE};                                        \
    *segment##class(f, 2) = (Elf##class##_Phdr)                                                              \
    {                                                                                                        \
        .p_type = PT_NOTE, .p_offset = NOTE_OFFSET, .p_filesz = 0, .p_align = 4                              \
    }

static void make_elf32(struct fixture *f)
{
    MAKE_ELF(32, EM_386);
}

static void make_elf64(struct fixture *f)
{
    MAKE_ELF(64, EM_X86_64);
}

// A note of another owner, one of Xen, then the one that counts.
static size_t make_notes(struct fixture *f, size_t align, uint32_t desc_size)
{
    static const struct {
        const char *name;
        uint32_t size, type;
    } notes[] = {{"GNU", 20, 18}, {"Xen", 5, 6}, {"Xen", 0, 18}};
    uint8_t *at = f->kernel.data + NOTE_OFFSET;

    for (size_t i = 0; i < ARRAY_LEN(notes); i++) {
        uint32_t size = notes[i].size ? notes[i].size : desc_size;
        uint32_t head[3] = {4, size, notes[i].type};
        uint64_t value = i == 2 ? ENTRY : 0xdddddddddddddddd;

        memcpy(at, head, sizeof head);
        memcpy(at + 12, notes[i].name, 4);
        at += ALIGN_UP((size_t)16, align);
        memcpy(at, &value, MIN(size, 8u));
        at += ALIGN_UP((size_t)size, align);
    }
    return (size_t)(at - f->kernel.data) - NOTE_OFFSET;
}

static void make_pvh64(struct fixture *f)
{
    make_elf64(f);
    segment64(f, 2)->p_filesz = make_notes(f, 4, 8);
}

static void make_pvh32(struct fixture *f)
{
    make_elf32(f);
    segment32(f, 2)->p_filesz = (uint32_t)make_notes(f, 4, 4);
}

static void make_pvh_aligned(struct fixture *f)
{
    make_elf64(f);
    segment64(f, 2)->p_filesz = make_notes(f, 8, 8);
    segment64(f, 2)->p_align = 8;
}

#define HEADER_OFFSET 0x1f0u // between two pieces of the search
static uint32_t *multiboot_header(struct fixture *f)
{
    return (uint32_t *)(f->kernel.data + HEADER_OFFSET);
}

static void set_flags(struct fixture *f, uint32_t flags)
{
    uint32_t *h = multiboot_header(f);

    h[0] = 0x1BADB002;
    h[1] = flags;
    h[2] = -(h[0] + flags);
}

static void make_multiboot32(struct fixture *f)
{
    make_elf32(f);
    set_flags(f, 3);
}

static void make_multiboot64(struct fixture *f)
{
    make_elf64(f);
    set_flags(f, 3);
}

// header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr
static void make_flat(struct fixture *f)
{
    uint32_t *h = multiboot_header(f);

    set_flags(f, 0x10003);
    h[3] = TEXT_GPA;
    h[4] = TEXT_GPA - 0x80;
    h[5] = TEXT_GPA + 0x1000;
    h[6] = TEXT_GPA + 0x2000;
    h[7] = ENTRY;
}

// --- what is looked at ---

static uint64_t reg(const struct fixture *f, uint32_t name)
{
    for (uint32_t i = 0; i < f->load.entry.reg_count; i++) {
        if (f->load.entry.regs[i].name == name) {
            return f->load.entry.regs[i].value.u64;
        }
    }
    fail_msg("register 0x%x is not set", name);
    return 0;
}

static struct hv_segment segment(const struct fixture *f, uint32_t name)
{
    for (uint32_t i = 0; i < f->load.entry.reg_count; i++) {
        if (f->load.entry.regs[i].name == name) {
            return f->load.entry.regs[i].value.segment;
        }
    }
    fail_msg("segment 0x%x is not set", name);
    return (struct hv_segment){0};
}

static uint32_t u32(const struct fixture *f, uint64_t gpa)
{
    uint32_t value;

    assert_true(gpa < MEMORY - 3);
    memcpy(&value, f->boot.mem.ram + gpa, sizeof value);
    return value;
}

static uint64_t u64(const struct fixture *f, uint64_t gpa)
{
    return u32(f, gpa) | (uint64_t)u32(f, gpa + 4) << 32;
}

static const char *string(const struct fixture *f, uint64_t gpa)
{
    assert_true(gpa < MEMORY);
    return (const char *)f->boot.mem.ram + gpa;
}

static void load(struct fixture *f)
{
    enum load_status status = LOAD_MORE;

    if (!kernel_load_begin(&f->load, &f->boot)) {
        fail_msg("refused: %s", f->load.error);
    }
    while (status == LOAD_MORE) {
        status = kernel_load_step(&f->load, 1000);
    }
    assert_int_equal(status, LOAD_DONE);
}

static void check_flat32(const struct fixture *f)
{
    uint64_t gdt = 0;

    assert_int_equal(reg(f, HV_REG_CR0), 0x11);
    assert_int_equal(reg(f, HV_REG_CR4), 0);
    assert_int_equal(reg(f, HV_REG_EFER), 0);
    assert_int_equal(reg(f, HV_REG_RFLAGS), 2);
    assert_int_equal(reg(f, HV_REG_RIP), ENTRY);
    assert_int_equal(segment(f, HV_REG_CS).attributes, 0xc09b);
    assert_int_equal(segment(f, HV_REG_CS).limit, 0xffffffff);
    assert_int_equal(segment(f, HV_REG_SS).attributes, 0xc093);
    assert_int_equal(segment(f, HV_REG_TR).attributes, 0x8b);
    assert_int_equal(segment(f, HV_REG_TR).limit, 0x67);
    for (uint32_t i = 0; i < f->load.entry.reg_count; i++) {
        if (f->load.entry.regs[i].name == HV_REG_GDTR) {
            gdt = f->load.entry.regs[i].value.table.base;
        }
    }
    assert_true(u64(f, gdt + 0x10) == 0x00cf9b000000ffff && u64(f, gdt + 0x18) == 0x00cf93000000ffff);
}

static void check_segments(const struct fixture *f)
{
    assert_memory_equal(f->boot.mem.ram + TEXT_GPA, f->kernel.data + TEXT_OFFSET, TEXT_SIZE);
    assert_memory_equal(f->boot.mem.ram + DATA_GPA, f->kernel.data + DATA_OFFSET, DATA_SIZE);
    for (uint32_t i = DATA_SIZE; i < BSS_SIZE; i++) {
        assert_int_equal(f->boot.mem.ram[DATA_GPA + i], 0);
    }
    assert_memory_equal(f->boot.mem.ram + 0xe0000, "RSD PTR ", 8);
}

static void check_modules(const struct fixture *f)
{
    uint64_t first = ALIGN_UP(DATA_GPA + BSS_SIZE, 4096u);

    assert_int_equal(f->load.module_gpa[0], first);
    assert_int_equal(f->load.module_gpa[1], first + 8192);
    assert_memory_equal(f->boot.mem.ram + first, f->module.data, MODULE_SIZE);
    assert_memory_equal(f->boot.mem.ram + first + 8192, f->module.data, MODULE_SIZE);
}

// --- Multiboot ---

static void check_information(const struct fixture *f)
{
    uint64_t info = reg(f, HV_REG_RBX), modules = u32(f, info + 24), map = u32(f, info + 48);

    assert_int_equal(reg(f, HV_REG_RAX), 0x2BADB002);
    assert_int_equal(u32(f, info), 0x24d);
    assert_int_equal(u32(f, info + 4), 640);
    assert_int_equal(u32(f, info + 8), 31 * 1024);
    assert_string_equal(string(f, u32(f, info + 16)), "kernel a=1 b");
    assert_int_equal(u32(f, info + 20), 2);
    assert_int_equal(u32(f, modules), f->load.module_gpa[0]);
    assert_int_equal(u32(f, modules + 4), f->load.module_gpa[0] + MODULE_SIZE);
    assert_string_equal(string(f, u32(f, modules + 8)), "module x y");
    assert_int_equal(u32(f, modules + 16), f->load.module_gpa[1]);
    assert_string_equal(string(f, u32(f, modules + 24)), "module");
    assert_int_equal(u32(f, info + 44), 3 * 24);
    assert_int_equal(u32(f, map), 20);
    assert_int_equal(u64(f, map + 12), 640 * 1024);
    assert_int_equal(u32(f, map + 24 + 20), 3);
    assert_int_equal(u64(f, map + 48 + 4), MIB);
    assert_int_equal(u64(f, map + 48 + 12), 31 * MIB);
    assert_string_equal(string(f, u32(f, info + 64)), "Keelson");
}

static void test_multiboot_elf(void **state)
{
    static void (*const make[])(struct fixture *) = {make_multiboot32, make_multiboot64};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(make); i++) {
        struct fixture f;

        open_fixture(&f);
        make[i](&f);
        add_modules(&f, 2);
        load(&f);
        assert_int_equal(f.load.kind, KERNEL_MULTIBOOT);
        check_flat32(&f);
        check_segments(&f);
        check_modules(&f);
        check_information(&f);
        close_fixture(&f);
    }
}

static void test_multiboot_flat(void **state)
{
    struct fixture f;
    uint32_t *h;

    (void)state;
    open_fixture(&f);
    make_flat(&f);
    load(&f);
    check_flat32(&f);
    assert_memory_equal(f.boot.mem.ram + TEXT_GPA - 0x80, f.kernel.data + HEADER_OFFSET - 0x80, 0x1080);
    assert_int_equal(u64(&f, TEXT_GPA + 0x1000), 0);
    assert_int_equal(f.load.kernel_end, TEXT_GPA + 0x2000);
    // Zeros: all of the file, nothing behind it.
    h = multiboot_header(&f);
    h[5] = h[6] = 0;
    load(&f);
    assert_int_equal(f.load.kernel_end, TEXT_GPA - 0x80 + FILE_SIZE - (HEADER_OFFSET - 0x80));
    close_fixture(&f);
}

// At each place where it may be, and not beyond.
static void test_multiboot_search(void **state)
{
    struct fixture f;
    uint32_t header[3] = {0x1BADB002, 0, -0x1BADB002u};

    (void)state;
    for (size_t at = 0x100; at <= 8192; at += 4) {
        open_fixture(&f);
        make_elf32(&f);
        memcpy(f.kernel.data + at, header, sizeof header);
        if (at + sizeof header <= 8192) {
            load(&f);
            assert_int_equal(f.load.kind, KERNEL_MULTIBOOT);
        } else {
            assert_false(kernel_load_begin(&f.load, &f.boot));
            assert_non_null(strstr(f.load.error, "no Multiboot 1 header"));
        }
        close_fixture(&f);
        at += at > 0x300 && at < 0x1f00 ? 252 : 0;
    }
}

// e_entry may be virtual: where a kernel will be once it has its page tables.
static void test_virtual_entry(void **state)
{
    struct fixture f;

    (void)state;
    open_fixture(&f);
    make_multiboot32(&f);
    segment32(&f, 0)->p_vaddr = 0xc0200000;
    header32(&f)->e_entry = 0xc0200000 + ENTRY - TEXT_GPA;
    load(&f);
    check_flat32(&f);
    header32(&f)->e_entry = ENTRY; // physical already
    load(&f);
    check_flat32(&f);
    close_fixture(&f);
}

// --- PVH ---

static void check_start_info(const struct fixture *f)
{
    uint64_t start = reg(f, HV_REG_RBX), modules = u64(f, start + 16), map = u64(f, start + 40);

    assert_int_equal(u32(f, start), 0x336ec578);
    assert_int_equal(u32(f, start + 4), 1);
    assert_int_equal(u32(f, start + 8), 0);
    assert_int_equal(u32(f, start + 12), 2);
    assert_string_equal(string(f, u64(f, start + 24)), "a=1 b");
    assert_int_equal(u64(f, start + 32), 0xe0000);
    assert_int_equal(u32(f, start + 48), 3);
    assert_int_equal(u64(f, modules), f->load.module_gpa[0]);
    assert_int_equal(u64(f, modules + 8), MODULE_SIZE);
    assert_string_equal(string(f, u64(f, modules + 16)), "x y");
    assert_int_equal(u64(f, modules + 32), f->load.module_gpa[1]);
    assert_string_equal(string(f, u64(f, modules + 48)), "");
    assert_int_equal(u64(f, map + 8), 640 * 1024);
    assert_int_equal(u32(f, map + 24 + 16), 3);
    assert_int_equal(u64(f, map + 48), MIB);
    assert_int_equal(u64(f, map + 56), 31 * MIB);
    assert_int_equal(u32(f, map + 64), 1);
}

static void test_pvh(void **state)
{
    static void (*const make[])(struct fixture *) = {make_pvh32, make_pvh64, make_pvh_aligned};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(make); i++) {
        struct fixture f;

        open_fixture(&f);
        make[i](&f);
        add_modules(&f, 2);
        load(&f);
        assert_int_equal(f.load.kind, KERNEL_PVH);
        check_flat32(&f);
        check_segments(&f);
        check_modules(&f);
        check_start_info(&f);
        close_fixture(&f);
    }
}

// --- memory ---

static bool apart(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a + a_size <= b || b + b_size <= a;
}

// Wherever the kernel lies, nothing is put on top of it, of a module or of the tables.
static void test_nothing_overlaps(void **state)
{
    static const uint32_t places[] = {0,       0x8000, 0x10000,    0x11000,
                                      0x98000, MIB,    MIB + 4096, MEMORY - BSS_SIZE};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct fixture f;
        uint64_t info;

        open_fixture(&f);
        make_pvh32(&f);
        segment32(&f, 1)->p_paddr = places[i];
        add_modules(&f, KERNEL_MAX_MODULES);
        load(&f);
        info = reg(&f, HV_REG_RBX);
        assert_true(apart(info, 4096, places[i], BSS_SIZE) && apart(info, 4096, TEXT_GPA, TEXT_SIZE));
        assert_true(info + 4096 <= 0xa0000);
        assert_memory_equal(f.boot.mem.ram + places[i], f.kernel.data + DATA_OFFSET, DATA_SIZE);
        for (uint32_t m = 0; m < KERNEL_MAX_MODULES; m++) {
            assert_int_equal(f.load.module_gpa[m] % 4096, 0);
            assert_memory_equal(f.boot.mem.ram + f.load.module_gpa[m], f.module.data, MODULE_SIZE);
        }
        close_fixture(&f);
    }
}

// All of low memory is the kernel's: information goes above 1 MiB.
static void test_information_goes_high(void **state)
{
    struct fixture f;

    (void)state;
    open_fixture(&f);
    make_pvh32(&f);
    segment32(&f, 1)->p_paddr = 0;
    segment32(&f, 1)->p_memsz = 0xa0000;
    load(&f);
    assert_int_equal(reg(&f, HV_REG_RBX), MIB);
    close_fixture(&f);
}

static void test_high_memory_and_pci(void **state)
{
    struct fixture f;
    uint64_t map;

    (void)state;
    open_fixture(&f);
    make_pvh32(&f);
    f.boot.mem.high = 2048 * MIB; // nothing is written there
    f.boot.machine.disks = 1;
    load(&f);
    map = u64(&f, reg(&f, HV_REG_RBX) + 40);
    assert_int_equal(u32(&f, reg(&f, HV_REG_RBX) + 48), 5);
    assert_int_equal(u64(&f, map + 72), 0xe0000000);
    assert_int_equal(u32(&f, map + 72 + 16), 2);
    assert_int_equal(u64(&f, map + 96), 4096 * MIB);
    assert_int_equal(u64(&f, map + 104), 2048 * MIB);
    close_fixture(&f);
}

// --- refusals ---

struct refusal {
    const char *text;                 // part of the message
    void (*make)(struct fixture *f);  // a good file
    void (*spoil)(struct fixture *f); // and what is wrong with it
};

#define SPOIL(name, statement)                                                                               \
    static void name(struct fixture *f)                                                                      \
    {                                                                                                        \
        statement;                                                                                           \
    }
SPOIL(nothing, (void)f)
SPOIL(empty, f->boot.kernel.size = 0)
SPOIL(gzip, memcpy(f->kernel.data, "\x1f\x8b", 2))
SPOIL(magic, header64(f)->e_ident[0] = 0)
SPOIL(class, header64(f)->e_ident[EI_CLASS] = 3)
SPOIL(big_endian, header64(f)->e_ident[EI_DATA] = ELFDATA2MSB)
SPOIL(machine, header64(f)->e_machine = EM_ARM)
SPOIL(shared, header64(f)->e_type = ET_DYN)
SPOIL(only_ident, f->boot.kernel.size = 24)
SPOIL(phentsize, header64(f)->e_phentsize = 32)
SPOIL(no_headers, header64(f)->e_phnum = 0)
SPOIL(many_headers, header64(f)->e_phnum = 65)
SPOIL(headers_outside, header64(f)->e_phoff = FILE_SIZE - 100)
SPOIL(headers_far_outside, header64(f)->e_phoff = ~7ull)
SPOIL(no_segments, segment64(f, 0)->p_type = segment64(f, 1)->p_type = PT_NULL)
SPOIL(cut_segment, f->boot.kernel.size = DATA_OFFSET + DATA_SIZE - 1)
SPOIL(offset_wraps, segment64(f, 0)->p_offset = ~0ull - 10)
SPOIL(file_larger, segment64(f, 0)->p_memsz = TEXT_SIZE - 1)
SPOIL(address_high, segment64(f, 0)->p_paddr = 0xffffffff81000000)
SPOIL(address_wraps, segment64(f, 1)->p_memsz = ~0ull - DATA_GPA + 1)
SPOIL(below_1mib, segment64(f, 1)->p_paddr = 0x9f000)
SPOIL(in_the_hole, segment64(f, 1)->p_paddr = 0xe0000)
SPOIL(beyond_ram, segment64(f, 1)->p_paddr = MEMORY - BSS_SIZE + 1)
SPOIL(overlapping, segment64(f, 1)->p_paddr = TEXT_GPA + TEXT_SIZE - 1)
SPOIL(no_note, segment64(f, 2)->p_type = PT_NULL)
SPOIL(other_note, segment64(f, 2)->p_filesz = 36 + 24)
SPOIL(note_outside, segment64(f, 2)->p_filesz = FILE_SIZE)
SPOIL(note_reaches, segment64(f, 2)->p_filesz = 30)
SPOIL(note_huge, (segment64(f, 2)->p_filesz = 0x11000, f->kernel.size = 0x20000,
                  f->kernel.data = realloc(f->kernel.data, 0x20000),
                  memset(f->kernel.data + FILE_SIZE, 0, 0x1a000), f->boot.kernel = reader(&f->kernel)))
SPOIL(note_odd, *(uint32_t *)(f->kernel.data + NOTE_OFFSET + 36 + 24 + 4) = 6)
SPOIL(note_name, *(uint32_t *)(f->kernel.data + NOTE_OFFSET) = ~0u)
SPOIL(pvh_entry, *(uint32_t *)(f->kernel.data + NOTE_OFFSET + 36 + 24 + 16) = 0x500000)
SPOIL(unreadable, f->kernel.fail_from = 0x60)
SPOIL(no_memory, f->boot.mem.low = 0xf0000)
SPOIL(module_large, (add_modules(f, 1), f->boot.module[0].file.size = MEMORY - 0x200000))
SPOIL(module_huge, (add_modules(f, 1), f->boot.module[0].file.size = ~0ull))
SPOIL(many_modules, (add_modules(f, 1), f->boot.module_count = KERNEL_MAX_MODULES + 1))
SPOIL(video, set_flags(f, 7))
SPOIL(unknown_flag, set_flags(f, 0x13))
SPOIL(entry_nowhere, header32(f)->e_entry = 0x100)
SPOIL(no_elf, header32(f)->e_ident[0] = 0)
SPOIL(load_above_header, multiboot_header(f)[4] = TEXT_GPA + 4)
SPOIL(before_file, multiboot_header(f)[4] = TEXT_GPA - HEADER_OFFSET - 4)
SPOIL(end_below, multiboot_header(f)[5] = TEXT_GPA - 0x84)
SPOIL(end_beyond_file, multiboot_header(f)[5] = TEXT_GPA + FILE_SIZE)
SPOIL(bss_below, multiboot_header(f)[6] = TEXT_GPA + 0xfff)
SPOIL(bss_beyond, multiboot_header(f)[6] = 0xffffffff)
SPOIL(entry_outside, multiboot_header(f)[7] = TEXT_GPA + 0x2000)
SPOIL(addresses_cut,
      (memmove(f->kernel.data + 8192 - 12, multiboot_header(f), 32), multiboot_header(f)[0] = 0))

static void fill_memory(struct fixture *f)
{
    make_pvh64(f);
    segment64(f, 0)->p_paddr = 0;
    segment64(f, 0)->p_memsz = 0xa0000;
    segment64(f, 1)->p_paddr = MIB;
    segment64(f, 1)->p_memsz = MEMORY - MIB;
    *(uint32_t *)(f->kernel.data + NOTE_OFFSET + 36 + 24 + 16) = ENTRY;
}

static void test_refusals(void **state)
{
    static const struct refusal refusals[] = {
        {"the file is empty", make_pvh64, empty},
        {"compressed", make_pvh64, gzip},
        {"not a kernel", make_pvh64, magic},
        {"not for x86", make_pvh64, class},
        {"not for x86", make_pvh64, big_endian},
        {"not for x86", make_pvh64, machine},
        {"no executable at fixed addresses", make_pvh64, shared},
        {"no header", make_pvh64, only_ident},
        {"no header", make_pvh32, only_ident},
        {"unknown size", make_pvh64, phentsize},
        {"no program headers", make_pvh64, no_headers},
        {"more than 64", make_pvh64, many_headers},
        {"behind its end", make_pvh64, headers_outside},
        {"behind its end", make_pvh64, headers_far_outside},
        {"behind its end", make_pvh64, unreadable},
        {"nothing to load", make_pvh64, no_segments},
        {"truncated", make_pvh64, cut_segment},
        {"truncated", make_pvh64, offset_wraps},
        {"larger in the file", make_pvh64, file_larger},
        {"not below 4 GiB", make_pvh64, address_high},
        {"not below 4 GiB", make_pvh64, address_wraps},
        {"no RAM", make_pvh64, below_1mib},
        {"no RAM", make_pvh64, in_the_hole},
        {"no RAM: it has 640 KiB from 0 and 31 MiB from 1 MiB", make_pvh64, beyond_ram},
        {"overlaps", make_pvh64, overlapping},
        {"no PVH note", make_pvh64, no_note},
        {"no PVH note", make_pvh64, other_note},
        {"notes are longer", make_pvh64, note_outside},
        {"notes are longer", make_pvh64, note_huge},
        {"beyond its segment", make_pvh64, note_reaches},
        {"beyond its segment", make_pvh64, note_name},
        {"not 4 or 8 bytes", make_pvh64, note_odd},
        {"PVH entry point 0x500000", make_pvh64, pvh_entry},
        {"out of range", make_pvh64, no_memory},
        {"out of range", make_pvh64, many_modules},
        {"no room for module 0", make_pvh64, module_large},
        {"no room for module 0", make_pvh64, module_huge},
        {"no room for boot information", fill_memory, nothing},
        {"video mode", make_multiboot32, video},
        {"unknown features: flags 0x10", make_multiboot32, unknown_flag},
        {"entry point is not", make_multiboot32, entry_nowhere},
        {"no ELF file, and its header has no addresses", make_multiboot32, no_elf},
        {"load_addr", make_flat, load_above_header},
        {"before the file", make_flat, before_file},
        {"load_end_addr is below", make_flat, end_below},
        {"truncated", make_flat, end_beyond_file},
        {"bss_end_addr is below", make_flat, bss_below},
        {"no RAM", make_flat, bss_beyond},
        {"entry_addr 0x202000", make_flat, entry_outside},
        {"beyond 8 KiB", make_flat, addresses_cut},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        struct fixture f;

        open_fixture(&f);
        refusals[i].make(&f);
        refusals[i].spoil(&f);
        if (kernel_load_begin(&f.load, &f.boot)) {
            fail_msg("accepted: %s", refusals[i].text);
        }
        if (strstr(f.load.error, refusals[i].text) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", f.load.error, refusals[i].text);
        }
        close_fixture(&f);
    }
}

// What is wrong with the file alone is found before there is a guest, with the same text.
static void test_check_without_guest(void **state)
{
    static void (*const make[])(struct fixture *) = {make_multiboot32, make_multiboot64, make_flat,
                                                     make_pvh32, make_pvh64};
    struct fixture f;
    char error[160] = "";

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(make); i++) {
        open_fixture(&f);
        make[i](&f);
        assert_true(kernel_image_check(&f.boot.kernel, error, sizeof error));
        close_fixture(&f);
    }
    open_fixture(&f);
    make_pvh64(&f);
    no_note(&f);
    assert_false(kernel_image_check(&f.boot.kernel, error, sizeof error));
    assert_non_null(strstr(error, "no PVH note"));
    close_fixture(&f);
}

static void test_read_error_while_copying(void **state)
{
    struct fixture f;
    enum load_status status = LOAD_MORE;

    (void)state;
    open_fixture(&f);
    make_pvh64(&f);
    assert_true(kernel_load_begin(&f.load, &f.boot));
    f.kernel.fail_from = DATA_OFFSET;
    while (status == LOAD_MORE) {
        status = kernel_load_step(&f.load, 512);
    }
    assert_int_equal(status, LOAD_FAILED);
    assert_non_null(strstr(f.load.error, "cannot be read"));
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multiboot_elf),
        cmocka_unit_test(test_multiboot_flat),
        cmocka_unit_test(test_multiboot_search),
        cmocka_unit_test(test_virtual_entry),
        cmocka_unit_test(test_pvh),
        cmocka_unit_test(test_nothing_overlaps),
        cmocka_unit_test(test_information_goes_high),
        cmocka_unit_test(test_high_memory_and_pci),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_check_without_guest),
        cmocka_unit_test(test_read_error_while_copying),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
