// srcs: boot/paging.c boot/blake2b.c boot/config_text.c boot/acpi.c boot/mem.c
// SPDX-License-Identifier: Apache-2.0
// The loader's smaller pure parts: page tables, BLAKE2b, keelson.cfg as text, ACPI table look-up.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "boot/acpi.h"
#include "boot/blake2b.h"
#include "boot/config.h"
#include "boot/paging.h"

// ---- page tables -----------------------------------------------------------------------------------------

#define UNMAPPED UINT64_MAX

// Walks as the processor does (SDM 3A "4-Level Paging").
static uint64_t walk(uint64_t root, uint64_t va)
{
    uint64_t table = root;
    for (unsigned shift = 39; shift > 21; shift -= 9) {
        uint64_t entry = ((uint64_t *)table)[va >> shift & 511];
        if ((entry & 3) != 3) {
            return UNMAPPED;
        }
        table = entry & PAGE_MASK;
    }
    uint64_t entry = ((uint64_t *)table)[va >> 21 & 511];
    if ((entry & 0x83) != 0x83) {
        return UNMAPPED;
    }
    return (entry & ~(PAGE_SIZE_2M - 1)) + va % PAGE_SIZE_2M;
}

static void check_maps(uint64_t map_end)
{
    uint64_t bytes = paging_bytes(map_end);
    uint8_t *memory = aligned_alloc(PAGE_SIZE, bytes);
    struct paging_arena arena = {.next = (uint64_t)memory, .end = (uint64_t)memory + bytes};
    struct paging_plan plan = {.map_end = map_end, .image_base = 0x7fe00000, .image_size = 0x2fffff};
    memset(memory, 0xff, bytes);
    struct paging_roots roots = paging_build(&arena, &plan);

    assert_int_equal(arena.next, arena.end); // exactly what was announced
    const uint64_t cr3[2] = {roots.boot, roots.runtime};
    for (int i = 0; i < 2; i++) {
        for (uint64_t at = 0x1234; at < map_end; at += 37 * PAGE_SIZE_2M) {
            assert_int_equal(walk(cr3[i], at), at);
            assert_int_equal(walk(cr3[i], HV_DIRECT_BASE + at), at);
        }
        assert_int_equal(walk(cr3[i], map_end - 1), map_end - 1);
        assert_int_equal(walk(cr3[i], map_end), UNMAPPED);
        assert_int_equal(walk(cr3[i], HV_DIRECT_BASE + map_end), UNMAPPED);
        assert_int_equal(walk(cr3[i], HV_IMAGE_BASE + 5), plan.image_base + 5);
        assert_int_equal(walk(cr3[i], HV_IMAGE_BASE + 0x3fffff), plan.image_base + 0x3fffff);
        assert_int_equal(walk(cr3[i], HV_IMAGE_BASE + 0x400000), UNMAPPED);
        assert_int_equal(walk(cr3[i], HV_IMAGE_BASE - 1), UNMAPPED);
    }
    // The hypervisor may take its identity map apart; the runtime's stays.
    memset((void *)(((uint64_t *)roots.boot)[0] & PAGE_MASK), 0, PAGE_SIZE);
    assert_int_equal(walk(roots.runtime, 0x1000), 0x1000);
    free(memory);
}

static void test_paging(void **state)
{
    (void)state;
    check_maps(4ull << 30);
    check_maps(7ull << 30);
    check_maps((512ull << 30) + (1ull << 30)); // a second PML4 entry
}

// ---- BLAKE2b ---------------------------------------------------------------------------------------------

static void expect_hash(const void *data, size_t size, size_t step, const char *hex)
{
    struct blake2b hash;
    uint8_t out[BLAKE2B_OUT];
    char text[2 * BLAKE2B_OUT + 1];
    blake2b_init(&hash);
    for (size_t at = 0; at < size; at += step) {
        blake2b_update(&hash, (const uint8_t *)data + at, MIN(step, size - at));
    }
    blake2b_final(&hash, out);
    for (unsigned i = 0; i < BLAKE2B_OUT; i++) {
        snprintf(text + 2 * i, 3, "%02x", out[i]);
    }
    assert_string_equal(text, hex);
}

static void test_blake2b(void **state)
{
    static const char blocks_hash[] = "49b3d01a1f21431d4a9b65e0450bb0444b7d1deb81131d650d9cbefcad7436a0"
                                      "e51050445af39f3f1312dbe3e2d03601ba309d3bc3c46bc5bdc768feebe176fb";
    uint8_t blocks[384];
    (void)state;
    for (unsigned i = 0; i < sizeof(blocks); i++) {
        blocks[i] = (uint8_t)i;
    }
    // RFC 7693, appendix A; the others are from an independent implementation.
    expect_hash("abc", 3, 3,
                "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923");
    expect_hash("", 0, 1,
                "786a02f742015903c6c6fd852552d272912f4740e15847618a86e217f71f5419"
                "d25e1031afee585313896444934eb04b903a685b1448b755d56f701afe9be2ce");
    expect_hash(blocks, 128, 128,
                "2319e3789c47e2daa5fe807f61bec2a1a6537fa03f19ff32e87eecbfd64b7e0e"
                "8ccff439ac333b040f19b0c4ddd11a61e24ac1fe0f10a039806c5dcc0da3d115");
    for (size_t step = 1; step <= sizeof(blocks); step += 13) {
        expect_hash(blocks, sizeof(blocks), step, blocks_hash);
    }
}

// ---- keelson.cfg -----------------------------------------------------------------------------------------

static void test_config_tidy(void **state)
{
    char text[BOOT_CONFIG_MAX] = "\xef\xbb\xbfone = 1\r\n\ttwo\0=2\nthree";
    (void)state;
    assert_int_equal(config_tidy(text, 25, false), 25);
    assert_string_equal(text, "   one = 1 \n two =2\nthree");
    assert_int_equal(config_tidy(text, 24, true), 20);
    assert_string_equal(text, "   one = 1 \n two =2\n");

    memset(text, 'x', sizeof(text)); // one line that does not fit: nothing is left of it
    assert_int_equal(config_tidy(text, sizeof(text), true), 0);
    memset(text, 'x', sizeof(text));
    assert_int_equal(config_tidy(text, sizeof(text), false), BOOT_CONFIG_MAX - 1);
    assert_int_equal(config_tidy(text, 0, false), 0);
}

static void expect_setting(const char *config, const char *key, uint32_t line, const char *wanted)
{
    char value[CONFIG_VALUE_MAX] = "";
    assert_int_equal(config_value(config, key, value), line);
    assert_string_equal(value, wanted);
}

static void test_config_value(void **state)
{
    (void)state;
    expect_setting("a=1\nb = two words \n", "b", 2, "two words");
    expect_setting("  a\t=\tx", "a", 1, "x");
    expect_setting("a=1\n\n# a=3\na=2\nb=4\n", "a", 4, "2");
    expect_setting("#a=1\n", "a", 0, "");
    expect_setting("ab=1\n", "a", 0, "");
    expect_setting("a\n=1\n", "a", 0, "");
    expect_setting("a=\nb=1", "a", 1, "");
    expect_setting("", "a", 0, "");
    expect_setting("a=1234567890123456789012345678901\n", "a", 1, "1234567890123456789012345678901");
    // A longer one is set all the same, so that it can be named as wrong.
    expect_setting("a=12345678901234567890123456789012\n", "a", 1, "1234567890123456789012345678901");
}

static void test_config_log_level(void **state)
{
    (void)state;
    assert_int_equal(config_log_level("error"), 0);
    assert_int_equal(config_log_level("debug"), 4);
    assert_int_equal(config_log_level("3"), 3);
    assert_int_equal(config_log_level("5"), -1);
    assert_int_equal(config_log_level("Debug"), -1);
    assert_int_equal(config_log_level(""), -1);
}

static void test_config_apicv(void **state)
{
    (void)state;
    assert_int_equal(config_apicv("auto"), BOOT_APICV_AUTO);
    assert_int_equal(config_apicv("on"), BOOT_APICV_ON);
    assert_int_equal(config_apicv("off"), BOOT_APICV_OFF);
    assert_int_equal(config_apicv("ON"), -1);
    assert_int_equal(config_apicv(""), -1);
}

// ---- ACPI ------------------------------------------------------------------------------------------------

static uint8_t rsdp[36], root[64], fadt[40], madt[60];

static void seal(uint8_t *table, uint32_t size, uint32_t checksum_at)
{
    uint8_t sum = 0;
    table[checksum_at] = 0;
    for (uint32_t i = 0; i < size; i++) {
        sum += table[i];
    }
    table[checksum_at] = (uint8_t)-sum;
}

static void make_table(uint8_t *table, const char *signature, uint32_t size)
{
    memcpy(table, signature, 4);
    memcpy(table + 4, &size, 4);
    seal(table, size, 9);
}

// An ACPI 2.0 machine with a FADT and a MADT behind an XSDT.
static int acpi_setup(void **state)
{
    (void)state;
    uint64_t entries[2] = {(uint64_t)fadt, (uint64_t)madt}, at = (uint64_t)root;
    memset(rsdp, 0, sizeof(rsdp));
    make_table(fadt, "FACP", sizeof(fadt));
    make_table(madt, "APIC", sizeof(madt));
    memcpy(root + 36, entries, sizeof(entries));
    make_table(root, "XSDT", 36 + sizeof(entries));
    memcpy(rsdp, "RSD PTR ", 8);
    rsdp[15] = 2;
    memcpy(rsdp + 24, &at, 8);
    seal(rsdp, 20, 8);
    seal(rsdp, 36, 32);
    return 0;
}

static const uint8_t *find(const char *signature)
{
    uint32_t length;
    return acpi_find_table((uint64_t)rsdp, signature, &length);
}

static void test_acpi_finds(void **state)
{
    uint32_t length = 0;
    (void)state;
    assert_true(acpi_rsdp_valid((uint64_t)rsdp));
    assert_ptr_equal(acpi_find_table((uint64_t)rsdp, "APIC", &length), madt);
    assert_int_equal(length, sizeof(madt));
    assert_ptr_equal(find("FACP"), fadt);
    assert_null(find("HPET"));
    assert_false(acpi_rsdp_valid(0));
    assert_null(acpi_find_table(0, "APIC", &length));
}

static void test_acpi_distrusts(void **state)
{
    rsdp[30] ^= 1;
    assert_false(acpi_rsdp_valid((uint64_t)rsdp)); // the extended checksum
    acpi_setup(state);
    rsdp[9] ^= 1;
    assert_null(find("APIC"));
    acpi_setup(state);
    assert_non_null(find("APIC"));
    root[9] ^= 1;
    assert_null(find("APIC"));
    acpi_setup(state);
    madt[50] ^= 1;
    assert_null(find("APIC"));
    acpi_setup(state);
    memset(madt + 4, 0, 4);
    assert_null(find("APIC")); // shorter than its header
    acpi_setup(state);
    memset(madt + 4, 0xff, 4);
    assert_null(find("APIC")); // longer than any table we read
    acpi_setup(state);
    memset(root + 36, 0, 8); // a null entry is passed over
    make_table(root, "XSDT", 52);
    assert_ptr_equal(find("APIC"), madt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paging),
        cmocka_unit_test(test_blake2b),
        cmocka_unit_test(test_config_tidy),
        cmocka_unit_test(test_config_value),
        cmocka_unit_test(test_config_log_level),
        cmocka_unit_test(test_config_apicv),
        cmocka_unit_test_setup(test_acpi_finds, acpi_setup),
        cmocka_unit_test_setup(test_acpi_distrusts, acpi_setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
