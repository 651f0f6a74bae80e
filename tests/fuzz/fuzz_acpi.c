// srcs: boot/acpi.c boot/mem.c arch/x86/acpi.c
// SPDX-License-Identifier: Apache-2.0
// Fuzz target: the firmware's ACPI tables, as the loader and as the hypervisor read them. What lies behind the end of
// a table is poisoned for the loader, what was not mapped for the hypervisor.
#include "arch/x86/host_internal.h"
#include "boot/acpi.h"

#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define AREA 0x10000000ull // below 4 GiB, where an RSDT can point
#define AREA_SIZE 0x100000ull
#define ROOT_AT 0x1000
#define TABLES_AT 0x10000
#define SLOT 0x10000
#define SLOTS 8
#define HEADER 36

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *area;

struct input {
    const uint8_t *data;
    size_t size;
};

static uint32_t take(struct input *in, size_t bytes)
{
    uint32_t value = 0;

    bytes = MIN(bytes, in->size);
    memcpy(&value, in->data, bytes);
    in->data += bytes;
    in->size -= bytes;
    return value;
}

// --- what the hypervisor's reader maps; addresses that lead nowhere read as zeros, as device space might ---

void *host_map_memory(spa_t base, uint64_t size)
{
    static uint8_t zeros[2u << 20];

    if (base.v >= AREA && base.v < AREA + AREA_SIZE && size <= AREA + AREA_SIZE - base.v) {
        ASAN_UNPOISON_MEMORY_REGION(area + (base.v - AREA), size);
        return area + (base.v - AREA);
    }
    if (size > sizeof zeros) {
        abort();
    }
    return zeros;
}

void *host_map_device(spa_t base, uint64_t size)
{
    return host_map_memory(base, size);
}

// --- tables ---

static void make_sum(uint8_t *table, uint32_t length, uint32_t at)
{
    uint8_t sum = 0;

    table[at] = 0;
    for (uint32_t i = 0; i < length; i++) {
        sum += table[i];
    }
    table[at] = (uint8_t)-sum;
}

// A table of the input's bytes with a good checksum, unless it asks for a bad one.
static void make_table(struct input *in, uint8_t *table)
{
    static const char signatures[][5] = {"FACP", "APIC", "DSDT", "HPET"};
    uint8_t how = (uint8_t)take(in, 1);
    uint32_t claimed = take(in, 2), length = MIN(claimed, (uint32_t)SLOT - HEADER), given;

    ASAN_UNPOISON_MEMORY_REGION(table, MAX(length, (uint32_t)HEADER));
    given = (uint32_t)MIN((size_t)length, in->size);
    memcpy(table, in->data, MIN(given, length));
    in->data += given;
    in->size -= given;
    memcpy(table, signatures[how % 4], 4);
    memcpy(table + 4, &length, 4);
    if ((how & 0x80) == 0 && length > 9) {
        make_sum(table, length, 9);
    }
}

static void make_root(struct input *in, bool wide)
{
    uint8_t *root = area + ROOT_AT;
    uint32_t count = take(in, 1) % 16, step = wide ? 8 : 4, length = HEADER + count * step;

    ASAN_UNPOISON_MEMORY_REGION(root, length);
    memset(root, 0, length);
    memcpy(root, wide ? "XSDT" : "RSDT", 4);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t address = AREA + TABLES_AT + SLOT * (uint64_t)(take(in, 1) % SLOTS);

        memcpy(root + HEADER + i * step, &address, step);
    }
    length -= take(in, 1) % 8; // may end within an entry
    memcpy(root + 4, &length, 4);
    make_sum(root, length, 9);
}

static void make_rsdp(bool wide)
{
    uint64_t root = AREA + ROOT_AT;

    ASAN_UNPOISON_MEMORY_REGION(area, 36);
    memset(area, 0, 36);
    memcpy(area, "RSD PTR ", 8);
    area[15] = wide ? 2 : 0;
    memcpy(area + (wide ? 24 : 16), &root, wide ? 8 : 4);
    make_sum(area, 20, 8);
    make_sum(area, 36, 32);
}

static void read_tables(void)
{
    struct boot_info *info = calloc(1, sizeof *info);
    uint32_t length;
    const uint8_t *table;

    if (info == NULL) {
        return;
    }
    for (const char *names = "FACPAPICDSDT"; *names != '\0'; names += 4) {
        table = acpi_find_table(AREA, names, &length);
        if (table != NULL &&
            (length < HEADER || __asan_region_is_poisoned((void *)(uintptr_t)table, length))) {
            abort();
        }
    }
    info->rsdp = AREA;
    acpi_init(info);
    if (acpi_power()->s5_type_a > 7 || acpi_power()->s5_type_b > 7 ||
        (acpi_power()->has_reset && acpi_power()->reset_space > 1)) {
        abort();
    }
    free(info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    bool wide;

    if (area == NULL) {
        area = mmap((void *)AREA, AREA_SIZE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (area != (void *)AREA) {
            abort();
        }
    }
    ASAN_POISON_MEMORY_REGION(area, AREA_SIZE);
    for (unsigned i = 0; i < SLOTS; i++) {
        ASAN_UNPOISON_MEMORY_REGION(area + TABLES_AT + SLOT * i, HEADER);
        memset(area + TABLES_AT + SLOT * i, 0, HEADER);
    }
    wide = take(&in, 1) & 1;
    make_rsdp(wide);
    make_root(&in, wide);
    for (unsigned i = 0; i < SLOTS && in.size > 0; i++) {
        make_table(&in, area + TABLES_AT + SLOT * i);
    }
    read_tables();
    return 0;
}
