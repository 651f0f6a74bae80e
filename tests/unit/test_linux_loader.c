// srcs: mgmt/devices/kernel_loader.c mgmt/devices/kernel_parts.c mgmt/devices/kernel_place.c mgmt/devices/linux_loader.c mgmt/devices/bzimage.c mgmt/devices/elf_kernel.c mgmt/devices/multiboot.c mgmt/devices/pvh.c mgmt/devices/acpi_tables.c mgmt/devices/guest_mem.c
// SPDX-License-Identifier: Apache-2.0
// Linux loader: a kernel made for the test, Debian's own if it was fetched, and every way to be refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/devices/bzimage.h"
#include "mgmt/devices/kernel_loader.h"

#define MIB (1ull << 20)
#define FILE_SIZE 0x9000
#define DEBIAN_KERNEL "build/deps/linux/vmlinuz"

struct memory_file {
    uint8_t *data;
    size_t size;
    size_t fail_from; // reads beyond it come up short
};

static size_t read_memory(void *ctx, uint64_t offset, void *buf, size_t length)
{
    struct memory_file *file = ctx;
    size_t end = file->fail_from ? file->fail_from : file->size;

    if (offset >= end) {
        return 0;
    }
    length = MIN(length, end - (size_t)offset);
    memcpy(buf, file->data + offset, length);
    return length;
}

static struct image_reader reader(struct memory_file *file)
{
    return (struct image_reader){.read = read_memory, .ctx = file, .size = file->size};
}

// A well-formed image of 4 setup sectors and code that is its own position.
static void make_kernel(struct memory_file *file)
{
    struct setup_header *h;

    *file = (struct memory_file){.data = calloc(1, FILE_SIZE), .size = FILE_SIZE};
    for (size_t i = 0xa00; i < FILE_SIZE; i++) {
        file->data[i] = (uint8_t)(i * 7);
    }
    h = (struct setup_header *)(file->data + SETUP_HEADER_OFFSET);
    *h = (struct setup_header){
        .setup_sects = 4,
        .syssize = (FILE_SIZE - 0xa00) / 16,
        .boot_flag = 0xaa55,
        .jump = 0x6aeb, // header ends at 0x26c
        .header = 0x53726448,
        .version = 0x20f,
        .kernel_version = 0x600 - 0x200,
        .loadflags = 1,
        .initrd_addr_max = 0x7fffffff,
        .kernel_alignment = 0x200000,
        .relocatable_kernel = 1,
        .xloadflags = 0x3f,
        .cmdline_size = 2047,
        .pref_address = 0x1000000,
        .init_size = 0x300000,
    };
    strcpy((char *)file->data + 0x600, "6.1.0-test (\x01"
                                       "a@b)");
}

struct fixture {
    struct memory_file kernel, initrd;
    struct kernel_boot boot;
    struct kernel_load load;
};

static void open_fixture(struct fixture *f, uint64_t memory)
{
    memset(f, 0, sizeof(*f));
    make_kernel(&f->kernel);
    f->boot.mem.ram = aligned_alloc(4096, memory);
    memset(f->boot.mem.ram, 0, memory);
    f->boot.mem.low = memory;
    f->boot.machine = (struct machine_config){.vp_count = 2, .com = {true, false}};
    f->boot.kernel = reader(&f->kernel);
    f->boot.cmdline = "console=ttyS0";
}

static void add_initrd(struct fixture *f, size_t size)
{
    f->initrd = (struct memory_file){.data = malloc(size), .size = size};
    memset(f->initrd.data, 0x5c, size);
    f->boot.module[0] = (struct kernel_module){.file = reader(&f->initrd), .name = "initrd"};
    f->boot.module_count = 1;
}

static void close_fixture(struct fixture *f)
{
    free(f->kernel.data);
    free(f->initrd.data);
    free(f->boot.mem.ram);
}

static struct setup_header *header(struct fixture *f)
{
    return (struct setup_header *)(f->kernel.data + SETUP_HEADER_OFFSET);
}

static enum load_status run(struct kernel_load *load, size_t budget)
{
    enum load_status status;

    do {
        status = kernel_load_step(load, budget);
    } while (status == LOAD_MORE);
    return status;
}

static const union hv_register_value *reg(const struct kernel_load *load, uint32_t name)
{
    for (uint32_t i = 0; i < load->entry.reg_count; i++) {
        if (load->entry.regs[i].name == name) {
            return &load->entry.regs[i].value;
        }
    }
    fail_msg("register 0x%x is not set", name);
    return NULL;
}

static uint64_t u64_at(const struct fixture *f, uint64_t gpa)
{
    uint64_t value;

    memcpy(&value, f->boot.mem.ram + gpa, sizeof(value));
    return value;
}

static uint32_t u32_at(const struct fixture *f, uint64_t gpa)
{
    return (uint32_t)u64_at(f, gpa);
}

static void test_places_everything(void **state)
{
    struct fixture f;

    (void)state;
    open_fixture(&f, 64 * MIB);
    add_initrd(&f, 12345);
    assert_true(kernel_load_begin(&f.load, &f.boot));
    assert_string_equal(f.load.kernel_version, "6.1.0-test (?a@b)");
    assert_int_equal(f.load.bytes_total, FILE_SIZE - 0xa00 + 12345);
    assert_int_equal(run(&f.load, 1000), LOAD_DONE);
    assert_int_equal(f.load.bytes_done, f.load.bytes_total);
    assert_memory_equal(f.boot.mem.ram + 0x1000000, f.kernel.data + 0xa00, FILE_SIZE - 0xa00);
    assert_int_equal(f.load.module_gpa[0], 64 * MIB - 16384);
    assert_memory_equal(f.boot.mem.ram + f.load.module_gpa[0], f.initrd.data, 12345);
    close_fixture(&f);
}

static void test_zero_page(void **state)
{
    struct fixture f;
    uint64_t zp = 0x2000;

    (void)state;
    open_fixture(&f, 64 * MIB);
    add_initrd(&f, 4096);
    f.kernel.data[0x26d] = 0xee; // behind the header's end: not to be copied
    assert_true(kernel_load_begin(&f.load, &f.boot));
    assert_int_equal(u64_at(&f, zp + 0x70), 0xe0000);
    assert_memory_equal(f.boot.mem.ram + 0xe0000, "RSD PTR ", 8);
    assert_int_equal(f.boot.mem.ram[zp + 0x1ef], 0); // sentinel
    assert_int_equal(f.boot.mem.ram[zp + 0x210], 0xff);
    assert_int_equal(u32_at(&f, zp + 0x218), 64 * MIB - 4096);
    assert_int_equal(u32_at(&f, zp + 0x21c), 4096);
    assert_string_equal((char *)f.boot.mem.ram + u32_at(&f, zp + 0x228), "console=ttyS0");
    assert_int_equal(u32_at(&f, zp + 0x26c), 0);
    assert_int_equal(f.boot.mem.ram[zp + 0x1e8], 3);
    assert_int_equal(u64_at(&f, zp + 0x2d0), 0);
    assert_int_equal(u64_at(&f, zp + 0x2d8), 0xa0000);
    assert_int_equal(u64_at(&f, zp + 0x2d0 + 40), MIB);
    assert_int_equal(u64_at(&f, zp + 0x2d8 + 40), 63 * MIB);
    close_fixture(&f);
}

// Linux restarts a hardware-reduced machine by jumping to the BIOS reset vector.
static void test_reset_vector(void **state)
{
    static const uint8_t code[] = {0xb0, 0x06, 0xba, 0xf9, 0x0c, 0xee}; // mov al,6; mov dx,0xcf9; out dx,al
    struct fixture f;

    (void)state;
    open_fixture(&f, 64 * MIB);
    assert_true(kernel_load_begin(&f.load, &f.boot));
    assert_memory_equal(f.boot.mem.ram + 0xffff0, code, sizeof(code));
    close_fixture(&f);
}

static void test_high_memory_in_e820(void **state)
{
    struct fixture f;

    (void)state;
    open_fixture(&f, 64 * MIB);
    f.boot.mem.high = 2048 * MIB; // nothing is written there
    assert_true(kernel_load_begin(&f.load, &f.boot));
    assert_int_equal(f.boot.mem.ram[0x21e8], 4);
    assert_int_equal(u64_at(&f, 0x22d0 + 60), 4096 * MIB);
    assert_int_equal(u64_at(&f, 0x22d8 + 60), 2048 * MIB);
    close_fixture(&f);
}

static void test_entry_state(void **state)
{
    struct fixture f;
    uint64_t cr3;

    (void)state;
    open_fixture(&f, 64 * MIB);
    assert_true(kernel_load_begin(&f.load, &f.boot));
    assert_int_equal(reg(&f.load, HV_REG_RIP)->u64, 0x1000200);
    assert_int_equal(reg(&f.load, HV_REG_RSI)->u64, 0x2000);
    assert_int_equal(reg(&f.load, HV_REG_RFLAGS)->u64, 2); // interrupts off
    assert_int_equal(reg(&f.load, HV_REG_CS)->segment.selector, 0x10);
    assert_int_equal(reg(&f.load, HV_REG_CS)->segment.attributes, 0xa09b);
    assert_int_equal(reg(&f.load, HV_REG_DS)->segment.selector, 0x18);
    assert_int_equal(reg(&f.load, HV_REG_TR)->segment.attributes & 0x8f, 0x8b);
    assert_int_equal(reg(&f.load, HV_REG_EFER)->u64, 0x500);
    assert_int_equal(reg(&f.load, HV_REG_CR0)->u64 & 0x80000001, 0x80000001);
    assert_int_equal(reg(&f.load, HV_REG_CR4)->u64, 0x20);
    assert_int_equal(u64_at(&f, reg(&f.load, HV_REG_GDTR)->table.base + 0x10), 0x00af9b000000ffff);
    cr3 = reg(&f.load, HV_REG_CR3)->u64;
    for (uint64_t address = 0; address < 4096 * MIB; address += 2 * MIB) {
        uint64_t pdpt = u64_at(&f, cr3) & ~0xfffull;
        uint64_t pd = u64_at(&f, pdpt + (address >> 30) * 8) & ~0xfffull;

        assert_int_equal(u64_at(&f, pd + (address >> 21) % 512 * 8), address | 0x83);
    }
    close_fixture(&f);
}

static void test_initrd_below_its_limit(void **state)
{
    struct fixture f;

    (void)state;
    open_fixture(&f, 64 * MIB);
    header(&f)->initrd_addr_max = 0x2ffffff; // 48 MiB
    add_initrd(&f, MIB);
    assert_true(kernel_load_begin(&f.load, &f.boot));
    assert_int_equal(f.load.module_gpa[0], 47 * MIB);
    close_fixture(&f);
}

struct refusal {
    const char *text; // part of the message
    void (*spoil)(struct fixture *f);
};

static void no_magic(struct fixture *f)
{
    header(f)->header = 0;
}
static void no_flag(struct fixture *f)
{
    header(f)->boot_flag = 0;
}
static void old(struct fixture *f)
{
    header(f)->version = 0x20b;
}
static void zimage(struct fixture *f)
{
    header(f)->loadflags = 0;
}
static void no64(struct fixture *f)
{
    header(f)->xloadflags = 0;
}
static void empty(struct fixture *f)
{
    f->boot.kernel.size = 0;
}
static void only_boot_sector(struct fixture *f)
{
    f->boot.kernel.size = 512;
}
static void only_setup(struct fixture *f)
{
    f->boot.kernel.size = 0xa00;
}
static void cut(struct fixture *f)
{
    f->boot.kernel.size = FILE_SIZE - 100;
}
static void many_sectors(struct fixture *f)
{
    header(f)->setup_sects = 255;
}
static void odd_alignment(struct fixture *f)
{
    header(f)->kernel_alignment = 0x300000;
}
static void no_alignment(struct fixture *f)
{
    header(f)->kernel_alignment = 0;
}
static void low_address(struct fixture *f)
{
    header(f)->pref_address = 0x1000;
}
static void high_address(struct fixture *f)
{
    header(f)->pref_address = ~0xfffffull;
}
static void huge(struct fixture *f)
{
    header(f)->init_size = 0xffffffff;
}
static void long_cmdline(struct fixture *f)
{
    header(f)->cmdline_size = 5;
}
static void no_vps(struct fixture *f)
{
    f->boot.machine.vp_count = 0;
}
static void nine_vps(struct fixture *f)
{
    f->boot.machine.vp_count = 9;
}
static void no_memory(struct fixture *f)
{
    f->boot.mem.low = 0xf0000;
}
static void unreadable(struct fixture *f)
{
    f->kernel.fail_from = 0x100;
}
static void initrd_too_large(struct fixture *f)
{
    add_initrd(f, 46 * MIB);
}
static void two_modules(struct fixture *f)
{
    add_initrd(f, 4096);
    f->boot.module[1] = f->boot.module[0];
    f->boot.module_count = 2;
}
static void initrd_arguments(struct fixture *f)
{
    add_initrd(f, 4096);
    f->boot.module[0].text = "verbose";
}
static void initrd_limit(struct fixture *f)
{
    add_initrd(f, 2 * MIB);
    header(f)->initrd_addr_max = 0x10ffffff & 0x12fffff;
}

static void test_refusals(void **state)
{
    static const struct refusal refusals[] = {
        {"not a kernel", no_magic},
        {"not a kernel", no_flag},
        {"too old", old},
        {"zImage", zimage},
        {"64-bit entry", no64},
        {"the file is empty", empty},
        {"not a kernel", only_boot_sector},
        {"truncated", only_setup},
        {"truncated", cut},
        {"truncated", many_sectors},
        {"alignment", odd_alignment},
        {"alignment", no_alignment},
        {"preferred address", low_address},
        {"preferred address", high_address},
        {"guest memory is too small for this kernel: it needs 4112 MiB", huge},
        {"command line has 13 characters, this kernel takes 5", long_cmdline},
        {"out of range", no_vps},
        {"out of range", nine_vps},
        {"out of range", no_memory},
        {"not a kernel", unreadable},
        {"kernel and initrd", initrd_too_large},
        {"kernel and initrd", initrd_limit},
        {"one initrd, not 2", two_modules},
        {"no arguments", initrd_arguments},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        struct fixture f;

        open_fixture(&f, 64 * MIB);
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

static void test_read_error_while_copying(void **state)
{
    struct fixture f;

    (void)state;
    open_fixture(&f, 64 * MIB);
    assert_true(kernel_load_begin(&f.load, &f.boot));
    f.kernel.fail_from = 0x5000;
    assert_int_equal(run(&f.load, 4096), LOAD_FAILED);
    assert_non_null(strstr(f.load.error, "cannot be read"));
    close_fixture(&f);
}

static bool read_file(const char *path, struct memory_file *file)
{
    FILE *in = fopen(path, "rb");

    if (in == NULL) {
        return false;
    }
    fseek(in, 0, SEEK_END);
    *file = (struct memory_file){.size = (size_t)ftell(in)};
    file->data = malloc(file->size);
    rewind(in);
    assert_int_equal(fread(file->data, 1, file->size, in), file->size);
    fclose(in);
    return true;
}

static void test_debian_kernel(void **state)
{
    struct fixture f;
    struct memory_file file;
    char error[160];

    (void)state;
    if (!read_file(DEBIAN_KERNEL, &file)) {
        skip();
    }
    open_fixture(&f, 256 * MIB);
    f.boot.kernel = reader(&file);
    if (!kernel_image_check(&f.boot.kernel, error, sizeof(error))) {
        fail_msg("%s", error);
    }
    assert_true(kernel_load_begin(&f.load, &f.boot));
    assert_int_equal(run(&f.load, MIB), LOAD_DONE);
    assert_non_null(strstr(f.load.kernel_version, "debian"));
    print_message("%s: at 0x%llx, needs %llu KiB\n", f.load.kernel_version,
                  (unsigned long long)f.load.kernel_gpa,
                  (unsigned long long)(f.load.kernel_end - f.load.kernel_gpa) / 1024);
    f.boot.mem.low = 32 * MIB;
    assert_false(kernel_load_begin(&f.load, &f.boot));
    free(file.data);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places_everything), cmocka_unit_test(test_zero_page),
        cmocka_unit_test(test_reset_vector),      cmocka_unit_test(test_high_memory_in_e820),
        cmocka_unit_test(test_entry_state),       cmocka_unit_test(test_initrd_below_its_limit),
        cmocka_unit_test(test_refusals),          cmocka_unit_test(test_read_error_while_copying),
        cmocka_unit_test(test_debian_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
