// srcs: mgmt/devices/acpi_tables.c mgmt/devices/guest_mem.c
// SPDX-License-Identifier: Apache-2.0
// ACPI tables: checksums, contents against machine.h, and what iasl makes of them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mgmt/devices/acpi_tables.h"

static uint8_t ram[1 << 20];
static const struct guest_mem mem = {.ram = ram, .low = sizeof(ram)};

static uint64_t get(uint64_t gpa, int size)
{
    uint64_t value = 0;

    memcpy(&value, ram + gpa, (size_t)size);
    return value;
}

static uint8_t sum(uint64_t gpa, uint64_t length)
{
    uint8_t total = 0;

    while (length-- > 0) {
        total += ram[gpa++];
    }
    return total;
}

static uint64_t xsdt_entry(int n)
{
    return get(get(MACHINE_ACPI_BASE + 24, 8) + 36 + (uint64_t)n * 8, 8);
}

static void check_table(uint64_t gpa, const char *signature)
{
    assert_true(gpa > MACHINE_ACPI_BASE && gpa < MACHINE_ACPI_END);
    assert_memory_equal(ram + gpa, signature, 4);
    assert_int_equal(sum(gpa, get(gpa + 4, 4)), 0);
}

static void write_tables(uint32_t vps, bool com1, bool com2)
{
    memset(ram, 0xaa, sizeof(ram));
    assert_true(acpi_tables_write(&mem, &(struct machine_config){.vp_count = vps, .com = {com1, com2}}));
}

static void test_structure(void **state)
{
    (void)state;
    write_tables(2, true, true);
    assert_memory_equal(ram + MACHINE_ACPI_BASE, "RSD PTR ", 8);
    assert_int_equal(sum(MACHINE_ACPI_BASE, 20), 0);
    assert_int_equal(sum(MACHINE_ACPI_BASE, 36), 0);
    check_table(get(MACHINE_ACPI_BASE + 24, 8), "XSDT");
    check_table(xsdt_entry(0), "FACP");
    check_table(xsdt_entry(1), "APIC");
    check_table(get(xsdt_entry(0) + 140, 8), "DSDT");
    assert_int_equal(get(xsdt_entry(0) + 40, 4), get(xsdt_entry(0) + 140, 8));
}

static void test_fadt(void **state)
{
    uint64_t fadt;
    uint32_t flags;

    (void)state;
    write_tables(1, true, false);
    fadt = xsdt_entry(0);
    flags = (uint32_t)get(fadt + 112, 4);
    assert_true(flags & BIT(20));                 // hardware-reduced
    assert_true(flags & BIT(10));                 // reset register
    assert_int_equal(get(fadt + 109, 2), BIT(2)); // no VGA; no 8042, RTC present
    assert_int_equal(ram[fadt + 108], 0x32);
    assert_int_equal(ram[fadt + 116], 1);
    assert_int_equal(get(fadt + 120, 8), MACHINE_RESET_PORT);
    assert_int_equal(ram[fadt + 128], MACHINE_RESET_VALUE);
    assert_int_equal(get(fadt + 248, 8), MACHINE_SLEEP_CONTROL_PORT);
    assert_int_equal(get(fadt + 260, 8), MACHINE_SLEEP_STATUS_PORT);
}

static void test_madt(void **state)
{
    (void)state;
    for (uint32_t vps = 1; vps <= MACHINE_MAX_VPS; vps++) {
        uint64_t madt, at;

        write_tables(vps, true, false);
        madt = xsdt_entry(1);
        assert_int_equal(get(madt + 36, 4), MACHINE_LAPIC_BASE);
        assert_int_equal(get(madt + 40, 4), 0); // no PCAT_COMPAT
        at = madt + 44;
        for (uint32_t i = 0; i < vps; i++, at += 8) {
            assert_int_equal(get(at, 8), (uint64_t)1 << 32 | i << 24 | i << 16 | 0x0800);
        }
        assert_int_equal(get(at, 2), 0x0c01);
        assert_int_equal(get(at + 4, 4), MACHINE_IOAPIC_BASE);
        assert_int_equal(get(at + 8, 4), 0);
        assert_int_equal(get(at + 12, 6), 0x010000ff0604);
        assert_int_equal(at + 18 - madt, get(madt + 4, 4));
    }
}

// PCI is in the tables of a guest that has any, and in no other's.
static void test_pci(void **state)
{
    uint64_t xsdt, mcfg;

    (void)state;
    write_tables(1, true, false);
    xsdt = get(MACHINE_ACPI_BASE + 24, 8);
    assert_int_equal(get(xsdt + 4, 4), 36 + 2 * 8);
    assert_true(acpi_tables_write(&mem, &(struct machine_config){.vp_count = 1, .disks = 1}));
    xsdt = get(MACHINE_ACPI_BASE + 24, 8);
    assert_int_equal(get(xsdt + 4, 4), 36 + 4 * 8);
    mcfg = xsdt_entry(2);
    check_table(mcfg, "MCFG");
    assert_int_equal(get(mcfg + 4, 4), 60);
    assert_int_equal(get(mcfg + 44, 8), MACHINE_ECAM_BASE);
    assert_int_equal(get(mcfg + 52, 4), 0); // segment 0, buses 0 to 0
    check_table(xsdt_entry(3), "SSDT");
    assert_true(machine_has_pci(&(struct machine_config){.nics = 1}));
    assert_true(machine_has_pci(&(struct machine_config){.virtio_console = true}));
    assert_false(machine_has_pci(&(struct machine_config){.com = {true, true}}));
}

static void test_out_of_range(void **state)
{
    const struct guest_mem small = {.ram = ram, .low = 0xf0000};

    (void)state;
    assert_false(acpi_tables_write(&small, &(struct machine_config){.vp_count = 1}));
    assert_false(acpi_tables_write(&mem, &(struct machine_config){.vp_count = 0}));
    assert_false(acpi_tables_write(&mem, &(struct machine_config){.vp_count = MACHINE_MAX_VPS + 1}));
}

static void save(const char *path, uint64_t gpa)
{
    FILE *out = fopen(path, "wb");

    assert_non_null(out);
    assert_int_equal(fwrite(ram + gpa, 1, get(gpa + 4, 4), out), get(gpa + 4, 4));
    fclose(out);
}

static char *disassemble(const char *folder, const char *name, uint64_t gpa)
{
    static char text[65536];
    char path[128], command[512];
    FILE *in;
    size_t length;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    save(path, gpa);
    (void)snprintf(command, sizeof(command),
                   "iasl -d %s >%s.log 2>&1 && ! grep -iE 'error|warning|invalid|incorrect' %s.log", path,
                   path, path);
    assert_int_equal(system(command), 0);
    (void)snprintf(path, sizeof(path), "%s/%s.dsl", folder, name);
    in = fopen(path, "rb");
    assert_non_null(in);
    length = fread(text, 1, sizeof(text) - 1, in);
    text[length] = '\0';
    fclose(in);
    return text;
}

static void test_iasl_reads_them(void **state)
{
    char folder[] = "/tmp/keelson-acpi-XXXXXX";
    char command[128], expected[64];
    char *text;

    (void)state;
    if (system("command -v iasl >/dev/null") != 0) {
        skip();
    }
    assert_non_null(mkdtemp(folder));
    write_tables(3, true, false);
    text = disassemble(folder, "facp", xsdt_entry(0));
    assert_non_null(strstr(text, "Hardware Reduced (V5) : 1"));
    text = disassemble(folder, "apic", xsdt_entry(1));
    assert_non_null(strstr(text, "PC-AT Compatibility : 0"));
    text = disassemble(folder, "dsdt", get(xsdt_entry(0) + 140, 8));
    assert_non_null(strstr(text, "0x01, 0x00")); // COM1 exists, COM2 does not
    (void)snprintf(expected, sizeof(expected), "0x%04X,", MACHINE_COM1_PORT);
    assert_non_null(strstr(text, expected));
    (void)snprintf(expected, sizeof(expected), "0x%04X,", MACHINE_COM2_PORT);
    assert_non_null(strstr(text, expected));
    (void)snprintf(expected, sizeof(expected), "0x%08X,", MACHINE_GED_GSI);
    assert_non_null(strstr(text, expected));
    (void)snprintf(expected, sizeof(expected), "SystemIO, 0x%04X", MACHINE_GED_STATUS_PORT);
    assert_non_null(strstr(text, expected));
    assert_true(acpi_tables_write(&mem, &(struct machine_config){.vp_count = 1, .disks = 1}));
    text = disassemble(folder, "mcfg", xsdt_entry(2));
    text = disassemble(folder, "ssdt", xsdt_entry(3));
    (void)snprintf(expected, sizeof(expected), "0x%08X,         // Range Minimum",
                   (uint32_t)MACHINE_PCI_WINDOW_BASE);
    assert_non_null(strstr(text, expected));
    (void)snprintf(expected, sizeof(expected), "0x%08X,         // Address Length",
                   (uint32_t)MACHINE_ECAM_SIZE);
    assert_non_null(strstr(text, expected));
    for (uint32_t slot = 1; slot < MACHINE_PCI_SLOTS; slot++) {
        (void)snprintf(expected, sizeof(expected), "0x%08XFFFF", slot);
        assert_non_null(strstr(text, strchr(expected, 'x') + 5)); // 000nFFFF
    }
    (void)snprintf(command, sizeof(command), "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

// The page for readers names the addresses that machine.h defines.
static void test_documentation(void **state)
{
    static const struct {
        const char *row;
        uint64_t address;
    } rows[] = {
        {"| `0x%03llx`..`0x3ff` | COM1, 16550A, GSI 4 |", MACHINE_COM1_PORT},
        {"| `0x%03llx`..`0x2ff` | COM2, 16550A, GSI 3 |", MACHINE_COM2_PORT},
        {"| `0x%03llx`..`0x071` | MC146818", MACHINE_RTC_PORT},
        {"| `0x%03llx` | ACPI sleep control", MACHINE_SLEEP_CONTROL_PORT},
        {"| `0x%03llx` | ACPI sleep status", MACHINE_SLEEP_STATUS_PORT},
        {"| `0x%03llx` | pending events", MACHINE_GED_STATUS_PORT},
        {"| `0x%03llx` | reset", MACHINE_RESET_PORT},
        {"| `0x%08llx` | I/O APIC, 4 KiB |", MACHINE_IOAPIC_BASE},
        {"| `0x%08llx`..`0xdfffffff` | PCI: BARs", MACHINE_PCI_WINDOW_BASE},
        {"| `0x%08llx`..`0xe00fffff` | PCI: configuration space", MACHINE_ECAM_BASE},
        {"| `0x%03llx`..`0xcff` | PCI configuration", MACHINE_PCI_PORT},
        {"| %llu..19 | PCI INTA of slot n", MACHINE_PCI_GSI},
        {"| %llu | entropy |", MACHINE_SLOT_RNG},
        {"| %llu | console", MACHINE_SLOT_CONSOLE},
        {"| %llu.. | network", MACHINE_SLOT_NIC},
        {"| %llu.. | disks", MACHINE_SLOT_DISK},
        {"| `0x%08llx` | local APIC", MACHINE_LAPIC_BASE},
        {"| `0x%08llx`..`0x000fffff` | ACPI tables", MACHINE_ACPI_BASE},
        {"| `0x%08llx`..`0xffffffff` | devices", MACHINE_RAM_LOW_MAX},
        {"| `0x%08llx`.. | RAM beyond", MACHINE_RAM_HIGH_BASE},
        {"| %llu | COM1 | edge", MACHINE_COM1_GSI},
        {"| %llu | COM2 | edge", MACHINE_COM2_GSI},
        {"| %llu | clock | edge", MACHINE_RTC_GSI},
        {"| %llu | generic event device | level", MACHINE_GED_GSI},
    };
    static char text[65536];
    char expected[128];
    FILE *in = fopen("docs/guest-platform.md", "rb");

    (void)state;
    assert_non_null(in);
    text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
    fclose(in);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        (void)snprintf(expected, sizeof(expected), rows[i].row, (unsigned long long)rows[i].address);
        if (strstr(text, expected) == NULL) {
            fail_msg("docs/guest-platform.md has no \"%s\"", expected);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),     cmocka_unit_test(test_fadt),
        cmocka_unit_test(test_madt),          cmocka_unit_test(test_pci),
        cmocka_unit_test(test_out_of_range),  cmocka_unit_test(test_iasl_reads_them),
        cmocka_unit_test(test_documentation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
