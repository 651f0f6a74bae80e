// SPDX-License-Identifier: Apache-2.0
// The IOAPICs and the masked legacy PIC. [82093AA datasheet; ACPI "Multiple APIC Description Table"]
//
// Without a MADT there is one IOAPIC at its architectural place, and ISA interrupts arrive on the pins of
// the same number.
#include "arch/x86/host_internal.h"

#define MAX_IOAPICS 16
#define MAX_OVERRIDES 16
#define DEFAULT_ADDRESS 0xfec00000ull

#define REG_SELECT 0x00
#define REG_WINDOW 0x10
#define IOAPIC_VERSION 0x01
#define IOAPIC_REDIRECTION 0x10

#define RTE_MASKED BIT(16)
#define RTE_LEVEL BIT(15)
#define RTE_ACTIVE_LOW BIT(13)

#define PIC1_COMMAND 0x20
#define PIC1_DATA 0x21
#define PIC2_COMMAND 0xa0
#define PIC2_DATA 0xa1
#define PIC_VECTORS 0x20 // where strays of the masked PIC go

struct ioapic {
    volatile uint8_t *mmio;
    spa_t address;
    uint32_t gsi_base, pins;
};

struct override {
    uint8_t irq;
    uint16_t flags;
    uint32_t gsi;
};

struct madt {
    struct acpi_sdt header;
    uint32_t lapic_address, flags;
};

static struct ioapic ioapics[MAX_IOAPICS];
static unsigned ioapic_count;
static struct override overrides[MAX_OVERRIDES];
static unsigned override_count;
static spinlock_t lock;

static uint32_t reg_read(const struct ioapic *io, uint32_t reg)
{
    *(volatile uint32_t *)(io->mmio + REG_SELECT) = reg;
    return *(volatile uint32_t *)(io->mmio + REG_WINDOW);
}

static void reg_write(const struct ioapic *io, uint32_t reg, uint32_t value)
{
    *(volatile uint32_t *)(io->mmio + REG_SELECT) = reg;
    *(volatile uint32_t *)(io->mmio + REG_WINDOW) = value;
}

static void add_ioapic(uint64_t address, uint32_t gsi_base)
{
    if (ioapic_count == MAX_IOAPICS) {
        LOGW("more than %u IOAPICs: the one at %lx stays unused", MAX_IOAPICS, address);
        return;
    }
    struct ioapic *io = &ioapics[ioapic_count++];
    io->address = SPA(address & PAGE_MASK);
    io->mmio = host_map_device(SPA(address), 0x20);
    io->gsi_base = gsi_base;
    io->pins = ((reg_read(io, IOAPIC_VERSION) >> 16) & 0xff) + 1;
    for (uint32_t pin = 0; pin < io->pins; pin++) {
        reg_write(io, IOAPIC_REDIRECTION + 2 * pin, RTE_MASKED);
    }
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;

    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

static void add_override(const uint8_t *e)
{
    if (override_count < MAX_OVERRIDES) {
        overrides[override_count++] = (struct override){
            .irq = e[3], .gsi = get32(e + 4), .flags = (uint16_t)(e[8] | e[9] << 8)};
    }
}

static void read_madt(const struct acpi_sdt *madt)
{
    const uint8_t *e = (const uint8_t *)madt + sizeof(struct madt);
    const uint8_t *end = (const uint8_t *)madt + madt->length;

    for (; e + 2 <= end && e[1] >= 2 && e + e[1] <= end; e += e[1]) {
        if (e[0] == 1 && e[1] >= 12) {
            add_ioapic(get32(e + 4), get32(e + 8));
        } else if (e[0] == 2 && e[1] >= 10) {
            add_override(e);
        }
    }
}

void ioapic_init(void)
{
    const struct acpi_sdt *madt = acpi_find("APIC");

    if (madt != NULL && madt->length >= sizeof(struct madt)) {
        read_madt(madt);
    }
    if (ioapic_count == 0) {
        add_ioapic(DEFAULT_ADDRESS, 0);
    }
}

struct isa_route ioapic_isa_route(uint8_t irq)
{
    struct isa_route route = {.gsi = irq};

    for (unsigned i = 0; i < override_count; i++) {
        if (overrides[i].irq == irq) { // MPS INTI flags: bits 1:0 polarity, 3:2 trigger; 3 low, level
            route.gsi = overrides[i].gsi;
            route.active_low = (overrides[i].flags & 3) == 3;
            route.level = (overrides[i].flags >> 2 & 3) == 3;
        }
    }
    return route;
}

static const struct ioapic *find(uint32_t gsi)
{
    for (unsigned i = 0; i < ioapic_count; i++) {
        if (gsi - ioapics[i].gsi_base < ioapics[i].pins) {
            return &ioapics[i];
        }
    }
    return NULL;
}

bool host_ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool active_low)
{
    const struct ioapic *io = find(gsi);

    if (io == NULL || apic_id > 0xff) {
        return false; // larger ids need interrupt remapping
    }
    uint32_t reg = IOAPIC_REDIRECTION + 2 * (gsi - io->gsi_base);
    uint32_t low = vector | (level ? RTE_LEVEL : 0) | (active_low ? RTE_ACTIVE_LOW : 0);
    spin_lock(&lock);
    reg_write(io, reg, RTE_MASKED);
    reg_write(io, reg + 1, apic_id << 24);
    reg_write(io, reg, low);
    spin_unlock(&lock);
    return true;
}

void host_ioapic_mask(uint32_t gsi, bool masked)
{
    const struct ioapic *io = find(gsi);

    if (io == NULL) {
        return;
    }
    uint32_t reg = IOAPIC_REDIRECTION + 2 * (gsi - io->gsi_base);
    spin_lock(&lock);
    uint32_t low = reg_read(io, reg) & ~(uint32_t)RTE_MASKED;
    reg_write(io, reg, low | (masked ? RTE_MASKED : 0));
    spin_unlock(&lock);
}

uint32_t host_ioapic_pins(void)
{
    uint32_t end = 0;

    for (unsigned i = 0; i < ioapic_count; i++) {
        end = MAX(end, ioapics[i].gsi_base + ioapics[i].pins);
    }
    return end;
}

bool host_is_reserved_mmio(spa_t page)
{
    uint64_t at = page.v & PAGE_MASK;

    if (at == (rdmsr(MSR_APIC_BASE) & 0xffffff000ull)) {
        return true;
    }
    for (unsigned i = 0; i < ioapic_count; i++) {
        if (at == ioapics[i].address.v) {
            return true;
        }
    }
    return false;
}

// Remapped away from the exceptions before it is masked: a spurious IRQ 7 or 15 can still come.
void pic_disable(void)
{
    static const struct {
        uint16_t port;
        uint8_t value;
    } sequence[] = {
        {PIC1_COMMAND, 0x11}, {PIC2_COMMAND, 0x11}, {PIC1_DATA, PIC_VECTORS}, {PIC2_DATA, PIC_VECTORS + 8},
        {PIC1_DATA, 4},       {PIC2_DATA, 2},       {PIC1_DATA, 1},           {PIC2_DATA, 1},
        {PIC1_DATA, 0xff},    {PIC2_DATA, 0xff},
    };

    for (unsigned i = 0; i < ARRAY_LEN(sequence); i++) {
        outb(sequence[i].port, sequence[i].value);
    }
}
