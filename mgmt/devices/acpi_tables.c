// SPDX-License-Identifier: Apache-2.0
// ACPI tables of a guest, written to guest memory (control plane).
//
// Sources: ACPI 6.4 "ACPI Software Programming Model", PCI Firmware 3.3 section 4.1.2 "MCFG"; the AML comes from
// dsdt.asl and pci.asl (tools/gen_aml.py).

#include "mgmt/devices/acpi_tables.h"

#include <gen/dsdt_aml.h>
#include <gen/pci_aml.h>

#define PACKED __attribute__((packed))

struct rsdp {
    char signature[8];
    uint8_t checksum; // of the first 20 bytes
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
    uint8_t extended_checksum;
    uint8_t reserved[3];
} PACKED;
_Static_assert(sizeof(struct rsdp) == 36, "ACPI 6.4 table 5.3");

struct header {
    char signature[4];
    uint32_t length;
    uint8_t revision;
    uint8_t checksum;
    char oem_id[6];
    char oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} PACKED;
_Static_assert(sizeof(struct header) == 36, "ACPI 6.4 table 5.4");

struct gas {       // generic address structure
    uint8_t space; // 1 system I/O
    uint8_t width, offset;
    uint8_t access; // 1 byte
    uint64_t address;
} PACKED;

struct fadt {
    struct header header;
    uint32_t facs;
    uint32_t dsdt;
    uint8_t reserved1;
    uint8_t preferred_profile;
    uint8_t unused1[62]; // SCI_INT to CENTURY - 1: fixed hardware, absent
    uint8_t century;
    uint16_t boot_arch;
    uint8_t reserved2;
    uint32_t flags;
    struct gas reset_reg;
    uint8_t reset_value;
    uint16_t arm_boot_arch;
    uint8_t minor_version;
    uint64_t x_facs;
    uint64_t x_dsdt;
    uint8_t unused2[96]; // X_PM1a_EVT_BLK to X_GPE1_BLK
    struct gas sleep_control;
    struct gas sleep_status;
    char hypervisor_id[8];
} PACKED;
_Static_assert(offsetof(struct fadt, century) == 108, "ACPI 6.4 table 5.9");
_Static_assert(offsetof(struct fadt, reset_reg) == 116, "ACPI 6.4 table 5.9");
_Static_assert(offsetof(struct fadt, sleep_control) == 244, "ACPI 6.4 table 5.9");
_Static_assert(sizeof(struct fadt) == 276, "ACPI 6.4 table 5.9");

#define FADT_REVISION 6
#define FADT_MINOR 4
#define PROFILE_ENTERPRISE_SERVER 4
#define BOOT_ARCH_NO_VGA BIT(2)
#define FADT_WBINVD BIT(0)
#define FADT_POWER_BUTTON_CONTROL_METHOD BIT(4) // PWR_BUTTON: not a fixed feature
#define FADT_SLEEP_BUTTON_CONTROL_METHOD BIT(5)
#define FADT_RESET_REG BIT(10)
#define FADT_HW_REDUCED BIT(20)
#define RTC_CENTURY_REGISTER 0x32

struct madt {
    struct header header;
    uint32_t lapic_base;
    uint32_t flags; // 0: no dual 8259 (PCAT_COMPAT)
} PACKED;

struct madt_lapic { // type 0
    uint8_t type, length;
    uint8_t uid, apic_id;
    uint32_t flags; // 1 enabled
} PACKED;

struct madt_ioapic { // type 1
    uint8_t type, length;
    uint8_t id, reserved;
    uint32_t address;
    uint32_t gsi_base;
} PACKED;

struct madt_nmi { // type 4: LINT1 of all processors
    uint8_t type, length;
    uint8_t uid; // 0xff: all
    uint16_t flags;
    uint8_t lint;
} PACKED;

struct mcfg { // with its one allocation
    struct header header;
    uint64_t reserved1;
    uint64_t base;
    uint16_t segment;
    uint8_t first_bus, last_bus;
    uint32_t reserved2;
} PACKED;
_Static_assert(sizeof(struct mcfg) == 60, "PCI Firmware 3.3 table 4-2");

// Where the tables go and how far we are.
struct writer {
    uint8_t *base; // of MACHINE_ACPI_BASE
    uint32_t used;
};

#define ACPI_SPACE ((uint32_t)(MACHINE_ACPI_END - MACHINE_ACPI_BASE))
#define MAX_MADT                                                                                             \
    (sizeof(struct madt) + MACHINE_MAX_VPS * sizeof(struct madt_lapic) + sizeof(struct madt_ioapic) +        \
     sizeof(struct madt_nmi))
#define MAX_XSDT_ENTRIES 4
_Static_assert(sizeof(struct rsdp) + sizeof(struct header) + 8 * MAX_XSDT_ENTRIES + sizeof(struct fadt) +
                       MAX_MADT + sizeof(dsdt_aml) + sizeof(struct mcfg) + sizeof(pci_aml) + 7 * 64 <
                   MACHINE_ACPI_END - MACHINE_ACPI_BASE,
               "tables fit");

static uint8_t checksum(const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint8_t sum = 0;

    for (size_t i = 0; i < length; i++) {
        sum += bytes[i];
    }
    return (uint8_t)-sum;
}

static uint64_t gpa_of(const struct writer *w, const void *table)
{
    return MACHINE_ACPI_BASE + (uint64_t)((const uint8_t *)table - w->base);
}

// Space of zeros on a 64-byte boundary. The assertion above says that it suffices.
static void *reserve(struct writer *w, uint32_t length)
{
    uint8_t *table = w->base + w->used;

    w->used = ALIGN_UP(w->used + length, 64u);
    __builtin_memset(table, 0, length);
    return table;
}

static void fill_header(struct header *h, const char *signature, uint8_t revision, uint32_t length)
{
    __builtin_memcpy(h->signature, signature, sizeof(h->signature));
    h->length = length;
    h->revision = revision;
    __builtin_memcpy(h->oem_id, "KEELSN", sizeof(h->oem_id));
    __builtin_memcpy(h->oem_table_id, "KEELSONG", sizeof(h->oem_table_id));
    h->oem_revision = 1;
    __builtin_memcpy(h->creator_id, "KLSN", sizeof(h->creator_id));
    h->creator_revision = 1;
    h->checksum = 0;
}

static void seal(struct header *h)
{
    h->checksum = 0;
    h->checksum = checksum(h, h->length);
}

static struct gas io_byte(uint16_t port)
{
    return (struct gas){.space = 1, .width = 8, .access = 1, .address = port};
}

// The compiled AML has one integer that says which serial ports exist; it is set here.
static struct header *write_dsdt(struct writer *w, const struct machine_config *config)
{
    uint8_t *dsdt = reserve(w, sizeof(dsdt_aml));

    __builtin_memcpy(dsdt, dsdt_aml, sizeof(dsdt_aml));
    for (int i = 0; i < MACHINE_COM_PORTS; i++) {
        dsdt[DSDT_AML_COMS_OFFSET + i] = config->com[i];
    }
    seal((struct header *)dsdt);
    return (struct header *)dsdt;
}

static struct header *write_fadt(struct writer *w, uint64_t dsdt)
{
    struct fadt *fadt = reserve(w, sizeof(*fadt));

    fill_header(&fadt->header, "FACP", FADT_REVISION, sizeof(*fadt));
    fadt->dsdt = (uint32_t)dsdt;
    fadt->x_dsdt = dsdt;
    fadt->preferred_profile = PROFILE_ENTERPRISE_SERVER;
    fadt->century = RTC_CENTURY_REGISTER;
    fadt->boot_arch = BOOT_ARCH_NO_VGA; // no 8042, no legacy devices but what the DSDT names; the RTC exists
    fadt->flags = FADT_WBINVD | FADT_POWER_BUTTON_CONTROL_METHOD | FADT_SLEEP_BUTTON_CONTROL_METHOD |
                  FADT_RESET_REG | FADT_HW_REDUCED;
    fadt->reset_reg = io_byte(MACHINE_RESET_PORT);
    fadt->reset_value = MACHINE_RESET_VALUE;
    fadt->minor_version = FADT_MINOR;
    fadt->sleep_control = io_byte(MACHINE_SLEEP_CONTROL_PORT);
    fadt->sleep_status = io_byte(MACHINE_SLEEP_STATUS_PORT);
    __builtin_memcpy(fadt->hypervisor_id, "KEELSON", 7);
    seal(&fadt->header);
    return &fadt->header;
}

static struct header *write_madt(struct writer *w, const struct machine_config *config)
{
    uint32_t length = (uint32_t)(sizeof(struct madt) + config->vp_count * sizeof(struct madt_lapic) +
                                 sizeof(struct madt_ioapic) + sizeof(struct madt_nmi));
    struct madt *madt = reserve(w, length);
    struct madt_lapic *lapic = (struct madt_lapic *)(madt + 1);

    fill_header(&madt->header, "APIC", 5, length);
    madt->lapic_base = (uint32_t)MACHINE_LAPIC_BASE;
    for (uint32_t i = 0; i < config->vp_count; i++) {
        *lapic++ = (struct madt_lapic){
            .length = sizeof(*lapic), .uid = (uint8_t)i, .apic_id = (uint8_t)i, .flags = 1};
    }
    struct madt_ioapic *ioapic = (struct madt_ioapic *)lapic;

    *ioapic = (struct madt_ioapic){
        .type = 1, .length = sizeof(*ioapic), .address = (uint32_t)MACHINE_IOAPIC_BASE};
    *(struct madt_nmi *)(ioapic + 1) = (struct madt_nmi){
        .type = 4, .length = sizeof(struct madt_nmi), .uid = 0xff, .lint = 1};
    seal(&madt->header);
    return &madt->header;
}

static struct header *write_mcfg(struct writer *w)
{
    struct mcfg *mcfg = reserve(w, sizeof(*mcfg));

    fill_header(&mcfg->header, "MCFG", 1, sizeof(*mcfg));
    mcfg->base = MACHINE_ECAM_BASE; // bus 0 alone
    seal(&mcfg->header);
    return &mcfg->header;
}

static struct header *write_pci_ssdt(struct writer *w)
{
    void *ssdt = reserve(w, sizeof(pci_aml));

    __builtin_memcpy(ssdt, pci_aml, sizeof(pci_aml));
    return ssdt;
}

static uint64_t write_xsdt(struct writer *w, struct header *const *tables, uint32_t count)
{
    uint32_t length = (uint32_t)(sizeof(struct header) + sizeof(uint64_t) * count);
    struct header *xsdt = reserve(w, length);

    fill_header(xsdt, "XSDT", 1, length);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t gpa = gpa_of(w, tables[i]);

        // Entries are only 4-byte aligned behind the 36-byte header.
        __builtin_memcpy((uint8_t *)(xsdt + 1) + i * sizeof(gpa), &gpa, sizeof(gpa));
    }
    seal(xsdt);
    return gpa_of(w, xsdt);
}

static void fill_rsdp(struct rsdp *rsdp, uint64_t xsdt)
{
    __builtin_memcpy(rsdp->signature, "RSD PTR ", sizeof(rsdp->signature));
    __builtin_memcpy(rsdp->oem_id, "KEELSN", sizeof(rsdp->oem_id));
    rsdp->revision = 2;
    rsdp->length = sizeof(*rsdp);
    rsdp->xsdt = xsdt;
    rsdp->checksum = checksum(rsdp, 20);
    rsdp->extended_checksum = checksum(rsdp, sizeof(*rsdp));
}

bool acpi_tables_write(const struct guest_mem *mem, const struct machine_config *config)
{
    struct writer w = {.base = guest_mem_at(mem, GPA(MACHINE_ACPI_BASE), ACPI_SPACE)};
    struct header *tables[MAX_XSDT_ENTRIES];
    struct header *dsdt;
    struct rsdp *rsdp;
    uint32_t count = 0;

    if (w.base == NULL || config->vp_count == 0 || config->vp_count > MACHINE_MAX_VPS) {
        return false;
    }
    rsdp = reserve(&w, sizeof(*rsdp));
    dsdt = write_dsdt(&w, config);
    tables[count++] = write_fadt(&w, gpa_of(&w, dsdt));
    tables[count++] = write_madt(&w, config);
    if (machine_has_pci(config)) {
        tables[count++] = write_mcfg(&w);
        tables[count++] = write_pci_ssdt(&w);
    }
    fill_rsdp(rsdp, write_xsdt(&w, tables, count));
    return true;
}
