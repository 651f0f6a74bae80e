// SPDX-License-Identifier: Apache-2.0
// The ACPI tables the hypervisor needs: finding tables, FADT power and reset registers, \_S5 without AML.
//
// Firmware tables are input like any other: lengths and checksums are verified before use. Machines
// without ACPI are an ordinary case; everything here then answers "not there". ACPI specification
// "ACPI Software Programming Model".
#include "arch/x86/host_internal.h"

#define TABLE_MAX (1u << 20)
#define SPACE_MEMORY 0
#define SPACE_IO 1
#define FADT_RESET_SUPPORTED BIT(10)

struct rsdp {
    char signature[8];
    uint8_t checksum;
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
    uint8_t checksum2, reserved[3];
} __attribute__((packed));

struct generic_address {
    uint8_t space, width, offset, access;
    uint64_t address;
} __attribute__((packed));

struct fadt {
    struct acpi_sdt header;
    uint32_t firmware_ctrl, dsdt;
    uint8_t reserved0[32];                 // 44..75
    uint32_t pm_timer_block;               // 76
    uint8_t reserved1[32];                 // 80..111
    uint32_t flags;                        // 112
    struct generic_address reset_register; // 116
    uint8_t reset_value;                   // 128
} __attribute__((packed));
_Static_assert(offsetof(struct fadt, pm_timer_block) == 76, "FADT");
_Static_assert(offsetof(struct fadt, reset_value) == 128, "FADT");
#define FADT_PM1A_CONTROL 64
#define FADT_PM1B_CONTROL 68

static const struct acpi_sdt *root_table;
static unsigned entry_size;
static struct acpi_power power;

static bool checksum_ok(const void *table, uint32_t length)
{
    const uint8_t *p = table;
    uint8_t sum = 0;

    for (uint32_t i = 0; i < length; i++) {
        sum = (uint8_t)(sum + p[i]);
    }
    return sum == 0;
}

static bool signature_is(const char *a, const char *b, unsigned length)
{
    for (unsigned i = 0; i < length; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

static const struct acpi_sdt *map_table(uint64_t address)
{
    if (address == 0) {
        return NULL;
    }
    const struct acpi_sdt *t = host_map_memory(SPA(address), sizeof(*t));
    if (t->length < sizeof(*t) || t->length > TABLE_MAX) {
        return NULL;
    }
    host_map_memory(SPA(address), t->length);
    return checksum_ok(t, t->length) ? t : NULL;
}

static uint64_t root_entry(unsigned i)
{
    const uint8_t *p = (const uint8_t *)(root_table + 1) + i * entry_size;
    uint64_t value = 0;

    for (unsigned b = 0; b < entry_size; b++) {
        value |= (uint64_t)p[b] << (8 * b);
    }
    return value;
}

const struct acpi_sdt *acpi_find(const char signature[4])
{
    if (root_table == NULL) {
        return NULL;
    }
    unsigned count = (root_table->length - sizeof(*root_table)) / entry_size;
    for (unsigned i = 0; i < count; i++) {
        const struct acpi_sdt *t = map_table(root_entry(i));
        if (t != NULL && signature_is(t->signature, signature, 4)) {
            return t;
        }
    }
    return NULL;
}

static void find_root(uint64_t address)
{
    const struct rsdp *r = host_map_memory(SPA(address), sizeof(*r));

    if (!signature_is(r->signature, "RSD PTR ", 8) || !checksum_ok(r, 20)) {
        return;
    }
    if (r->revision >= 2 && (root_table = map_table(r->xsdt)) != NULL) {
        entry_size = 8;
    } else if ((root_table = map_table(r->rsdt)) != NULL) {
        entry_size = 4;
    }
}

// \_S5 is a package of constants in every DSDT seen: NameOp "_S5_" PackageOp PkgLength NumElements, then
// integers. Reading just these is what small kernels do instead of carrying an AML interpreter.
static void find_s5(const struct acpi_sdt *dsdt)
{
    const uint8_t *p = (const uint8_t *)dsdt, *end = p + dsdt->length;
    uint8_t value[2] = {0};

    for (p += sizeof(*dsdt); p + 16 < end; p++) {
        if (!signature_is((const char *)p, "_S5_", 4) || p[4] != 0x12) {
            continue;
        }
        p += 5;
        p += 1 + (*p >> 6) + 1; // PkgLength, NumElements
        for (unsigned i = 0; i < 2 && p + 2 < end; i++) {
            if (*p == 0x0a) { // BytePrefix
                p++;
            }
            value[i] = *p++;
        }
        power.s5_type_a = value[0] & 7;
        power.s5_type_b = value[1] & 7;
        power.has_s5 = power.pm1a_control != 0;
        return;
    }
}

static uint16_t port_at(const struct fadt *f, unsigned offset)
{
    uint32_t value;

    __builtin_memcpy(&value, (const uint8_t *)f + offset, sizeof(value));
    return value <= 0xffff ? (uint16_t)value : 0;
}

static void read_fadt(const struct fadt *f)
{
    if (f->header.length < offsetof(struct fadt, flags) + 4) {
        return;
    }
    power.pm1a_control = port_at(f, FADT_PM1A_CONTROL);
    power.pm1b_control = port_at(f, FADT_PM1B_CONTROL);
    power.pm_timer = port_at(f, offsetof(struct fadt, pm_timer_block));
    if ((f->flags & FADT_RESET_SUPPORTED) && f->header.length > offsetof(struct fadt, reset_value)) {
        power.has_reset = f->reset_register.space <= SPACE_IO;
        power.reset_space = f->reset_register.space;
        power.reset_address = f->reset_register.address;
        power.reset_value = f->reset_value;
    }
    if (power.has_reset && power.reset_space == SPACE_MEMORY) {
        host_map_device(SPA(power.reset_address), 1);
    }
    const struct acpi_sdt *dsdt = map_table(f->dsdt);
    if (dsdt != NULL) {
        find_s5(dsdt);
    }
}

const struct acpi_power *acpi_power(void)
{
    return &power;
}

void acpi_init(const struct boot_info *info)
{
    if (info->rsdp != 0) {
        find_root(info->rsdp);
    }
    const struct acpi_sdt *fadt = acpi_find("FACP");
    if (fadt != NULL) {
        read_fadt((const struct fadt *)fadt);
    }
}
