// srcs: boot/elf.c boot/mem.c
// SPDX-License-Identifier: Apache-2.0
// The loader's ELF reader: what it loads, and every damaged file that it refuses.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <elf.h>
#include "boot/elf.h"

#define SEGMENTS 3
#define BASE 0xffffffff80000000ull
#define TEXT_BYTES 64
#define DATA_BYTES 32
#define BSS_BYTES 0x3000

// A small executable: text, data with .bss, and a note that is not loaded.
struct file {
    Elf64_Ehdr header;
    Elf64_Phdr segments[SEGMENTS];
    uint8_t text[TEXT_BYTES];
    uint8_t data[DATA_BYTES];
};

static struct file file;
static struct elf_image image;

static int setup(void **state)
{
    (void)state;
    memset(&file, 0, sizeof(file));
    memcpy(file.header.e_ident, ELFMAG, SELFMAG);
    file.header.e_ident[EI_CLASS] = ELFCLASS64;
    file.header.e_ident[EI_DATA] = ELFDATA2LSB;
    file.header.e_ident[EI_VERSION] = EV_CURRENT;
    file.header.e_type = ET_EXEC;
    file.header.e_machine = EM_X86_64;
    file.header.e_entry = BASE + 0x1010;
    file.header.e_phoff = offsetof(struct file, segments);
    file.header.e_phentsize = sizeof(Elf64_Phdr);
    file.header.e_phnum = SEGMENTS;
    memset(file.text, 0x90, TEXT_BYTES);
    memset(file.data, 0x42, DATA_BYTES);
    file.segments[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                                    .p_flags = PF_R | PF_X,
                                    .p_offset = offsetof(struct file, text),
                                    .p_vaddr = BASE + 0x1000,
                                    .p_filesz = TEXT_BYTES,
                                    .p_memsz = TEXT_BYTES};
    file.segments[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                                    .p_flags = PF_R | PF_W,
                                    .p_offset = offsetof(struct file, data),
                                    .p_vaddr = BASE + 0x2000,
                                    .p_filesz = DATA_BYTES,
                                    .p_memsz = BSS_BYTES};
    file.segments[2] = (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = 1ull << 60, .p_filesz = 99};
    return 0;
}

static const char *parse(size_t size)
{
    // A copy of exactly this size, so that the sanitizer sees reads beyond it.
    void *copy = malloc(size);
    memcpy(copy, &file, size);
    const char *error = elf_parse(&image, copy, size);
    free(copy);
    return error;
}

static void expect_refused(const char *words)
{
    const char *error = parse(sizeof(file));
    assert_non_null(error);
    assert_non_null(strstr(error, words));
}

static void test_loads(void **state)
{
    static uint8_t memory[0x5000];
    (void)state;
    assert_null(elf_parse(&image, &file, sizeof(file)));
    assert_int_equal(image.vbase, BASE);
    assert_int_equal(image.vend, BASE + 0x2000 + BSS_BYTES);
    assert_int_equal(image.entry, BASE + 0x1010);
    memset(memory, 0xee, sizeof(memory));
    elf_load(&image, memory);
    assert_int_equal(memory[0], 0);
    assert_memory_equal(memory + 0x1000, file.text, TEXT_BYTES);
    assert_int_equal(memory[0x1000 + TEXT_BYTES], 0);
    assert_memory_equal(memory + 0x2000, file.data, DATA_BYTES);
    assert_int_equal(memory[0x2000 + DATA_BYTES], 0);
    assert_int_equal(memory[sizeof(memory) - 1], 0);
}

static void test_base_is_rounded_to_2m(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        file.segments[i].p_vaddr += 0x300000;
    }
    file.header.e_entry += 0x300000;
    assert_null(parse(sizeof(file)));
    assert_int_equal(image.vbase, BASE + 0x200000);
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    for (size_t size = 0; size < sizeof(file); size++) {
        assert_non_null(parse(size));
    }
}

static void test_wrong_kind(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } rows[] = {{EI_MAG0, 0},
                {EI_CLASS, ELFCLASS32},
                {EI_DATA, ELFDATA2MSB},
                {EI_VERSION, 0},
                {offsetof(Elf64_Ehdr, e_type), ET_DYN},
                {offsetof(Elf64_Ehdr, e_machine), EM_386}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        setup(state);
        ((uint8_t *)&file)[rows[i].at] = rows[i].value;
        expect_refused("not a");
    }
}

static void test_program_header_table(void **state)
{
    file.header.e_phentsize = 32;
    expect_refused("program header table");
    setup(state);
    file.header.e_phnum = 0;
    expect_refused("program header table");
    setup(state);
    file.header.e_phnum = 17;
    expect_refused("program header table");
    setup(state);
    file.header.e_phoff = 65;
    expect_refused("program header table");
    setup(state);
    file.header.e_phoff = UINT64_MAX & ~7ull;
    expect_refused("outside");
    setup(state);
    file.header.e_phoff = sizeof(file) - sizeof(Elf64_Phdr); // only the first of three fits
    file.header.e_phoff &= ~7ull;
    expect_refused("outside");
}

static void test_segment_bounds(void **state)
{
    file.segments[1].p_offset = sizeof(file) + 1;
    expect_refused("outside");
    setup(state);
    file.segments[1].p_filesz = sizeof(file);
    expect_refused("outside");
    setup(state);
    file.segments[1].p_offset = UINT64_MAX - 8;
    expect_refused("outside");
    setup(state);
    file.segments[1].p_memsz = DATA_BYTES - 1;
    expect_refused("larger in the file");
    setup(state);
    file.segments[1].p_memsz = 0; // nothing to load, and yet something to copy
    expect_refused("larger in the file");
    setup(state);
    file.segments[1].p_memsz = 1ull << 40;
    expect_refused("too large");
    setup(state);
    file.segments[1].p_vaddr = UINT64_MAX - 0x1000;
    expect_refused("too large"); // wraps around
    setup(state);
    file.segments[1].p_vaddr = BASE + (1ull << 29);
    expect_refused("too large"); // the image as a whole
}

static void test_relations(void **state)
{
    file.segments[0].p_memsz = 0x1001;
    expect_refused("overlap");
    setup(state);
    file.segments[2].p_type = PT_INTERP;
    expect_refused("dynamically");
    setup(state);
    file.segments[2].p_type = PT_DYNAMIC;
    expect_refused("dynamically");
    setup(state);
    file.segments[0].p_type = file.segments[1].p_type = PT_NOTE;
    expect_refused("nothing to load");
}

static void test_rights(void **state)
{
    struct boot_segment out[SEGMENTS];

    assert_null(elf_parse(&image, &file, sizeof(file)));
    assert_int_equal(elf_segments(&image, out, 2), 2);
    assert_int_equal(out[0].vaddr, BASE + 0x1000);
    assert_int_equal(out[0].size, TEXT_BYTES);
    assert_int_equal(out[0].rights, BOOT_SEGMENT_READ | BOOT_SEGMENT_EXEC);
    assert_int_equal(out[1].vaddr, BASE + 0x2000);
    assert_int_equal(out[1].size, BSS_BYTES);
    assert_int_equal(out[1].rights, BOOT_SEGMENT_READ | BOOT_SEGMENT_WRITE);
    assert_int_equal(elf_segments(&image, out, 1), 0);
    file.segments[0].p_flags |= PF_W;
    expect_refused("both writable and executable");
    setup(state);
    file.segments[1].p_vaddr += 0x800;
    expect_refused("begin on a page");
}

static void test_entry(void **state)
{
    static const uint64_t entries[] = {0, BASE, BASE + 0x1000 + TEXT_BYTES, BASE + 0x2000 /* data */};
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        setup(state);
        file.header.e_entry = entries[i];
        expect_refused("entry point");
    }
}

// Whatever one byte says, parsing stays inside the file; what is accepted stays inside the image.
static void test_each_byte_damaged(void **state)
{
    for (size_t at = 0; at < offsetof(struct file, text); at++) {
        for (unsigned value = 0; value < 256; value += 17) {
            setup(state);
            ((uint8_t *)&file)[at] = (uint8_t)value;
            if (parse(sizeof(file)) == NULL) {
                assert_true(image.vend > image.vbase && image.vend - image.vbase <= 256u << 20);
                assert_true(image.entry >= image.vbase && image.entry < image.vend);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_loads, setup),
        cmocka_unit_test_setup(test_base_is_rounded_to_2m, setup),
        cmocka_unit_test_setup(test_every_cut_is_refused, setup),
        cmocka_unit_test_setup(test_wrong_kind, setup),
        cmocka_unit_test_setup(test_program_header_table, setup),
        cmocka_unit_test_setup(test_segment_bounds, setup),
        cmocka_unit_test_setup(test_relations, setup),
        cmocka_unit_test_setup(test_rights, setup),
        cmocka_unit_test_setup(test_entry, setup),
        cmocka_unit_test_setup(test_each_byte_damaged, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
