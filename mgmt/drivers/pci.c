// SPDX-License-Identifier: Apache-2.0
// PCI enumeration and the parts of configuration space that drivers use.
#include "mgmt/drivers/pci.h"

#define REG_ID 0x00
#define REG_COMMAND 0x04 // and status above it
#define REG_CLASS 0x08
#define REG_HEADER 0x0c // header type in bits 23:16
#define REG_BAR0 0x10
#define REG_BUSES 0x18 // bridge: primary, secondary, subordinate
#define REG_CAPABILITIES 0x34
#define REG_INTERRUPT 0x3c

#define COMMAND_IO BIT(0)
#define COMMAND_MEMORY BIT(1)
#define COMMAND_MASTER BIT(2)
#define COMMAND_INTX_OFF BIT(10)
#define STATUS_CAPABILITIES (BIT(4) << 16)

#define HEADER_TYPE(h) ((h) >> 16 & 0x7f)
#define HEADER_MULTIFUNCTION BIT(23)
#define HEADER_BRIDGE 1

#define CLASS_STORAGE 0x01
#define CLASS_NETWORK 0x02

#define MSIX_ENABLE BIT(31) // of the dword with id, next and message control
#define MSIX_FUNCTION_MASK BIT(30)
#define MSI_ENABLE BIT(16) // of the same dword of an MSI capability
#define MSI_MULTIPLE (7ull << 20)
#define MSI_WIDE BIT(23)

uint16_t pci_read16(const struct pci_device *dev, uint8_t offset)
{
    return (uint16_t)(pci_config_read(dev->at, offset & 0xfc) >> (8 * (offset & 2)));
}

uint8_t pci_read8(const struct pci_device *dev, uint8_t offset)
{
    return (uint8_t)(pci_config_read(dev->at, offset & 0xfc) >> (8 * (offset & 3)));
}

// --- enumeration ---

struct scan {
    struct pci_device *devices;
    size_t cap, count;
    uint64_t seen[4]; // buses, against loops made by broken bridges
};

static void scan_bus(struct scan *s, uint8_t bus);

static void add_function(struct scan *s, struct pci_address at, uint32_t id)
{
    uint32_t class_word = pci_config_read(at, REG_CLASS);
    uint32_t interrupt = pci_config_read(at, REG_INTERRUPT);
    uint32_t header = pci_config_read(at, REG_HEADER);

    if (s->count < s->cap) {
        s->devices[s->count++] = (struct pci_device){
            .at = at,
            .vendor = (uint16_t)id,
            .device = (uint16_t)(id >> 16),
            .class_code = (uint8_t)(class_word >> 24),
            .subclass = (uint8_t)(class_word >> 16),
            .interface = (uint8_t)(class_word >> 8),
            .irq_line = (uint8_t)interrupt,
            .irq_pin = (uint8_t)(interrupt >> 8),
        };
    }
    if (HEADER_TYPE(header) == HEADER_BRIDGE) {
        scan_bus(s, (uint8_t)(pci_config_read(at, REG_BUSES) >> 8));
    }
}

static void scan_bus(struct scan *s, uint8_t bus)
{
    if ((s->seen[bus / 64] >> (bus % 64) & 1) != 0) {
        return;
    }
    s->seen[bus / 64] |= BIT(bus % 64);
    for (unsigned device = 0; device < 32; device++) {
        unsigned functions = 1;

        for (unsigned function = 0; function < functions; function++) {
            struct pci_address at = {bus, (uint8_t)device, (uint8_t)function};
            uint32_t id = pci_config_read(at, REG_ID);

            if ((uint16_t)id == 0xffff || (uint16_t)id == 0) {
                continue;
            }
            if (function == 0 && (pci_config_read(at, REG_HEADER) & HEADER_MULTIFUNCTION) != 0) {
                functions = 8;
            }
            add_function(s, at, id);
        }
    }
}

size_t pci_enumerate(struct pci_device *devices, size_t cap)
{
    struct scan s = {.devices = devices, .cap = cap};

    scan_bus(&s, 0);
    return s.count;
}

// --- BARs ---

bool pci_bar(const struct pci_device *dev, unsigned bar, uint64_t *base, uint64_t *size)
{
    uint8_t reg = (uint8_t)(REG_BAR0 + 4 * bar);
    uint32_t command = pci_config_read(dev->at, REG_COMMAND) & 0xffff;
    uint32_t low = pci_config_read(dev->at, reg), high = 0;
    uint64_t mask;
    bool wide = (low & 6) == 4;

    if (bar > 5 || (low & 1) != 0 || (wide && bar == 5)) {
        return false;
    }
    // Sizing moves the window for a moment: nothing may decode meanwhile.
    pci_config_write(dev->at, REG_COMMAND, command & ~(uint32_t)COMMAND_MEMORY);
    pci_config_write(dev->at, reg, 0xffffffff);
    mask = pci_config_read(dev->at, reg) & ~0xfull;
    pci_config_write(dev->at, reg, low);
    if (wide) {
        high = pci_config_read(dev->at, (uint8_t)(reg + 4));
        pci_config_write(dev->at, (uint8_t)(reg + 4), 0xffffffff);
        mask |= (uint64_t)pci_config_read(dev->at, (uint8_t)(reg + 4)) << 32;
        pci_config_write(dev->at, (uint8_t)(reg + 4), high);
    } else {
        mask |= mask != 0 ? 0xffffffff00000000ull : 0;
    }
    pci_config_write(dev->at, REG_COMMAND, command);
    *base = (uint64_t)high << 32 | (low & ~0xfull);
    *size = ~mask + 1;
    // A window is a power of two and lies at a multiple of it, or the device is broken.
    return mask != 0 && (*size & (*size - 1)) == 0 && *base != 0 && (*base & (*size - 1)) == 0;
}

bool pci_io_bar(const struct pci_device *dev, unsigned bar, uint16_t *port)
{
    uint32_t value = pci_config_read(dev->at, (uint8_t)(REG_BAR0 + 4 * bar));

    *port = (uint16_t)(value & 0xfffc);
    return bar <= 5 && (value & 1) != 0 && *port != 0 && value <= 0xffff;
}

void pci_enable_io(const struct pci_device *dev)
{
    uint32_t command = pci_config_read(dev->at, REG_COMMAND) & 0xffff;

    command |= COMMAND_IO | COMMAND_MASTER;
    pci_config_write(dev->at, REG_COMMAND, command & ~(uint32_t)COMMAND_INTX_OFF);
}

void pci_enable(const struct pci_device *dev, bool intx)
{
    uint32_t command = pci_config_read(dev->at, REG_COMMAND) & 0xffff;

    command |= COMMAND_MEMORY | COMMAND_MASTER;
    command = intx ? command & ~(uint32_t)COMMAND_INTX_OFF : command | COMMAND_INTX_OFF;
    pci_config_write(dev->at, REG_COMMAND, command);
}

void pci_quiesce(const struct pci_device *dev)
{
    uint32_t command = pci_config_read(dev->at, REG_COMMAND) & 0xffff;

    pci_config_write(dev->at, REG_COMMAND, (command | COMMAND_INTX_OFF) & ~(uint32_t)COMMAND_MASTER);
}

// --- capabilities ---

uint8_t pci_find_capability(const struct pci_device *dev, uint8_t id, uint8_t after)
{
    uint8_t at;

    if ((pci_config_read(dev->at, REG_COMMAND) & STATUS_CAPABILITIES) == 0) {
        return 0;
    }
    at = after != 0 ? pci_read8(dev, (uint8_t)(after + 1)) : pci_read8(dev, REG_CAPABILITIES);
    for (unsigned n = 0; n < PCI_MAX_CAPABILITIES && (at &= 0xfc) >= 0x40; n++) {
        uint32_t head = pci_config_read(dev->at, at);

        if ((uint8_t)head == id) {
            return at;
        }
        at = (uint8_t)(head >> 8);
    }
    return 0;
}

bool pci_msix_set(const struct pci_device *dev, unsigned entry, uint64_t address, uint32_t data)
{
    uint8_t cap = pci_find_capability(dev, PCI_CAP_MSIX, 0);
    uint32_t head, table;
    uint64_t base, size, offset;
    mmio_t bar;

    if (cap == 0) {
        return false;
    }
    head = pci_config_read(dev->at, cap);
    table = pci_config_read(dev->at, (uint8_t)(cap + 4)); // BAR number in bits 2:0
    offset = (table & ~7u) + 16ull * entry;
    if (entry > (head >> 16 & 0x7ff) || !pci_bar(dev, table & 7, &base, &size) || offset + 16 > size) {
        return false;
    }
    pci_config_write(dev->at, cap, (head | MSIX_ENABLE) & ~(uint32_t)MSIX_FUNCTION_MASK);
    bar = mmio_map(base + offset);
    mmio_write32(bar, 0, (uint32_t)address);
    mmio_write32(bar, 4, (uint32_t)(address >> 32));
    mmio_write32(bar, 8, data);
    mmio_write32(bar, 12, 0); // unmasked
    return true;
}

// PCI Local Bus 3.0, "MSI Capability Structure".
bool pci_msi_set(const struct pci_device *dev, uint64_t address, uint32_t data)
{
    uint8_t cap = pci_find_capability(dev, PCI_CAP_MSI, 0);
    uint32_t head;
    bool wide;

    if (cap == 0) {
        return false;
    }
    head = pci_config_read(dev->at, cap);
    wide = (head & MSI_WIDE) != 0;
    if (!wide && address > UINT32_MAX) {
        return false;
    }
    pci_config_write(dev->at, (uint8_t)(cap + 4), (uint32_t)address);
    if (wide) {
        pci_config_write(dev->at, (uint8_t)(cap + 8), (uint32_t)(address >> 32));
    }
    pci_config_write(dev->at, (uint8_t)(cap + (wide ? 12 : 8)), data & 0xffff);
    pci_config_write(dev->at, cap, (head & ~(uint32_t)MSI_MULTIPLE) | MSI_ENABLE);
    return true;
}

// --- names ---

const char *pci_class_name(const struct pci_device *dev)
{
    switch (dev->class_code) {
    case CLASS_STORAGE:
        return "storage";
    case CLASS_NETWORK:
        return "network";
    default:
        return NULL;
    }
}
