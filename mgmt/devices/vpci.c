// SPDX-License-Identifier: Apache-2.0
// PCI as a guest sees it: configuration space, ECAM, ports 0xCF8 and 0xCFC, decoding of BARs.

#include "mgmt/devices/vpci.h"

#include "mgmt/hvif/hvif.h"

// Type 0 header (PCI 3.0 section 6.1).
#define CFG_VENDOR 0x00
#define CFG_DEVICE 0x02
#define CFG_COMMAND 0x04
#define CFG_STATUS 0x06
#define CFG_REVISION 0x08
#define CFG_CLASS 0x09
#define CFG_CACHE_LINE 0x0c
#define CFG_BAR0 0x10
#define CFG_SUBSYSTEM_VENDOR 0x2c
#define CFG_SUBSYSTEM 0x2e
#define CFG_CAPABILITIES 0x34
#define CFG_INTERRUPT_LINE 0x3c
#define CFG_INTERRUPT_PIN 0x3d
#define CFG_FIRST_CAPABILITY 0x40

#define COMMAND_MEMORY BIT(1)
#define COMMAND_MASTER BIT(2)
#define COMMAND_INTX_DISABLE BIT(10)
#define STATUS_INTERRUPT BIT(3)
#define STATUS_CAPABILITIES BIT(4)

#define CAP_MSIX 0x11
#define MSIX_CONTROL 2
#define MSIX_FUNCTION_MASK BIT(14)
#define MSIX_ENABLE BIT(15)
#define MSIX_ENTRY_SIZE 16u
#define MSIX_ENTRY_MASKED BIT(0)

// Message address and data (SDM 3A "Message Address Register Format", "Message Data Register Format").
#define MESSAGE_BASE 0xfee00000u
#define MESSAGE_BASE_MASK 0xfff00000u
#define MESSAGE_DESTINATION(a) (((a) >> 12) & 0xff)
#define MESSAGE_LOGICAL BIT(2)
#define MESSAGE_VECTOR(d) ((d)&0xff)
#define MESSAGE_MODE(d) (((d) >> 8) & 7)
#define MESSAGE_LEVEL BIT(15)

// struct virtio_pci_cfg_cap: offsets of its fields in the capability.
#define WINDOW_BAR 4
#define WINDOW_OFFSET 8
#define WINDOW_LENGTH 12
#define WINDOW_DATA 16

#define BRIDGE_VENDOR 0x1b36 // the host bridge that guests know as generic
#define BRIDGE_DEVICE 0x0008
#define CLASS_HOST_BRIDGE 0x060000u

#define BAR_STRIDE 0x10000u // from slot to slot at reset
#define ADDRESS_ENABLE BIT(31)

// --- set-up ---

void vpci_add(struct vpci_bus *bus, uint8_t slot, struct vpci_function *f, const struct vpci_identity *id)
{
    *f = (struct vpci_function){.bus = bus, .slot = slot, .next_cap = CFG_FIRST_CAPABILITY};
    vpci_put(f->config, CFG_VENDOR, 2, id->vendor);
    vpci_put(f->config, CFG_DEVICE, 2, id->device);
    vpci_put(f->config, CFG_CLASS, 3, id->class_code);
    vpci_put(f->config, CFG_REVISION, 1, id->revision);
    vpci_put(f->config, CFG_SUBSYSTEM_VENDOR, 2, id->subsystem_vendor);
    vpci_put(f->config, CFG_SUBSYSTEM, 2, id->subsystem);
    bus->slot[slot] = f;
}

void vpci_set_bar(struct vpci_function *f, uint32_t size, const struct mmio_ops *ops, void *dev)
{
    f->bar_size = size;
    f->ops = ops;
    f->dev = dev;
    vpci_put(f->config, CFG_BAR0, 4, (uint32_t)MACHINE_PCI_WINDOW_BASE + f->slot * BAR_STRIDE);
    vpci_put(f->writable, CFG_BAR0, 4, ~(size - 1));
    vpci_put(f->writable, CFG_COMMAND, 2, COMMAND_MEMORY | COMMAND_MASTER | COMMAND_INTX_DISABLE);
    vpci_put(f->writable, CFG_CACHE_LINE, 1, 0xff);
    vpci_put(f->config, CFG_INTERRUPT_PIN, 1, 1); // INTA
    vpci_put(f->config, CFG_INTERRUPT_LINE, 1, MACHINE_PCI_GSI + f->slot % MACHINE_PCI_GSIS);
    vpci_put(f->writable, CFG_INTERRUPT_LINE, 1, 0xff);
}

uint8_t vpci_add_capability(struct vpci_function *f, uint8_t id, uint8_t length)
{
    uint8_t at = f->next_cap;

    f->config[at] = id;
    f->config[f->last_cap != 0 ? f->last_cap + 1 : CFG_CAPABILITIES] = at;
    vpci_put(f->config, CFG_STATUS, 2, STATUS_CAPABILITIES);
    f->last_cap = at;
    f->next_cap = (uint8_t)(at + ALIGN_UP(length, 4));
    return at;
}

void vpci_add_msix(struct vpci_function *f, uint16_t count, uint32_t table, uint32_t pba)
{
    uint8_t at = vpci_add_capability(f, CAP_MSIX, 12);

    vpci_put(f->config, at + MSIX_CONTROL, 2, count - 1u);
    vpci_put(f->writable, at + MSIX_CONTROL, 2, MSIX_ENABLE | MSIX_FUNCTION_MASK);
    vpci_put(f->config, at + 4u, 4, table); // BAR 0 in bits 2:0
    vpci_put(f->config, at + 8u, 4, pba);
    f->msix_cap = at;
    f->msix_count = count;
    f->msix_table = table;
    f->msix_pba = pba;
    for (uint16_t i = 0; i < count; i++) {
        f->msix[i].control = MSIX_ENTRY_MASKED;
    }
}

void vpci_bus_init(struct vpci_bus *bus, struct ioapic *ioapic, uint64_t partition)
{
    *bus = (struct vpci_bus){.ioapic = ioapic, .partition = partition};
    vpci_add(bus, 0, &bus->bridge,
             &(struct vpci_identity){
                 .vendor = BRIDGE_VENDOR, .device = BRIDGE_DEVICE, .class_code = CLASS_HOST_BRIDGE});
}

// --- interrupts ---

static uint16_t msix_control(const struct vpci_function *f)
{
    return (uint16_t)vpci_get(f->config, f->msix_cap + MSIX_CONTROL, 2);
}

bool vpci_msix_enabled(const struct vpci_function *f)
{
    return f->msix_cap != 0 && (msix_control(f) & MSIX_ENABLE);
}

static bool msix_masked(const struct vpci_function *f, uint16_t vector)
{
    return (msix_control(f) & MSIX_FUNCTION_MASK) || (f->msix[vector].control & MSIX_ENTRY_MASKED);
}

// A message to an address that is no local APIC's is a write into nothing, as on a machine without that RAM.
static void send_message(struct vpci_function *f, const struct vpci_msix_entry *e)
{
    struct hv_assert_interrupt_in in = {
        .control = MESSAGE_MODE(e->data),
        .control_flags = (e->data & MESSAGE_LEVEL ? 1 : 0) | (e->address & MESSAGE_LOGICAL ? 2 : 0),
        .destination = MESSAGE_DESTINATION(e->address),
        .vector = MESSAGE_VECTOR(e->data),
    };

    if (e->address_high != 0 || (e->address & MESSAGE_BASE_MASK) != MESSAGE_BASE ||
        hvif_assert_interrupt(f->bus->partition, &in) != HV_STATUS_SUCCESS) {
        f->bus->dropped_messages++;
        return;
    }
    f->bus->messages++;
}

static void msix_deliver_pending(struct vpci_function *f)
{
    for (uint16_t i = 0; f->msix_pending != 0 && i < f->msix_count; i++) {
        if ((f->msix_pending & BIT(i)) && vpci_msix_enabled(f) && !msix_masked(f, i)) {
            f->msix_pending &= (uint32_t)~BIT(i);
            send_message(f, &f->msix[i]);
        }
    }
}

void vpci_msix_raise(struct vpci_function *f, uint16_t vector)
{
    if (vector < f->msix_count && vpci_msix_enabled(f)) {
        f->msix_pending |= (uint32_t)BIT(vector);
        msix_deliver_pending(f);
    }
}

// The line is high as long as any slot that shares it wants it.
static void update_line(struct vpci_bus *bus, uint8_t line)
{
    struct irq_line irq = {bus->ioapic, (uint8_t)(MACHINE_PCI_GSI + line)};
    bool high = false;

    for (uint8_t slot = line; slot < MACHINE_PCI_SLOTS; slot += MACHINE_PCI_GSIS) {
        const struct vpci_function *f = bus->slot[slot];

        high |= f != NULL && f->intx && !vpci_msix_enabled(f) &&
                !(vpci_get(f->config, CFG_COMMAND, 2) & COMMAND_INTX_DISABLE);
    }
    irq_set(&irq, high);
}

void vpci_intx_set(struct vpci_function *f, bool high)
{
    uint32_t status = vpci_get(f->config, CFG_STATUS, 2) & (uint32_t)~STATUS_INTERRUPT;

    f->intx = high;
    vpci_put(f->config, CFG_STATUS, 2, status | (high ? (uint32_t)STATUS_INTERRUPT : 0));
    update_line(f->bus, f->slot % MACHINE_PCI_GSIS);
}

// --- MSI-X table and pending bits ---

bool vpci_msix_claims(const struct vpci_function *f, uint64_t offset)
{
    return offset - f->msix_table < f->msix_count * MSIX_ENTRY_SIZE ||
           offset - f->msix_pba < sizeof(uint64_t);
}

static uint32_t *msix_word(struct vpci_function *f, uint64_t offset)
{
    struct vpci_msix_entry *e = &f->msix[(offset - f->msix_table) / MSIX_ENTRY_SIZE];

    switch (offset % MSIX_ENTRY_SIZE / 4) {
    case 0:
        return &e->address;
    case 1:
        return &e->address_high;
    case 2:
        return &e->data;
    default:
        return &e->control;
    }
}

static uint32_t msix_read_word(struct vpci_function *f, uint64_t offset)
{
    if (!vpci_msix_claims(f, offset)) {
        return 0;
    }
    if (offset - f->msix_table < f->msix_count * MSIX_ENTRY_SIZE) {
        return *msix_word(f, offset);
    }
    return offset == f->msix_pba ? f->msix_pending : 0;
}

// Only aligned accesses of 4 and 8 bytes are defined (PCI 3.0 section 6.8.2.6); others read as part of a word
// and are not written.
uint64_t vpci_msix_read(struct vpci_function *f, uint64_t offset, uint8_t size)
{
    uint64_t word = offset & ~3ull;
    uint64_t value = msix_read_word(f, word) | (uint64_t)msix_read_word(f, word + 4) << 32;

    return value >> ((offset & 3) * 8) & (size >= 8 ? ~0ull : (1ull << (size * 8)) - 1);
}

static void msix_write_word(struct vpci_function *f, uint64_t offset, uint32_t value)
{
    if (offset - f->msix_table < f->msix_count * MSIX_ENTRY_SIZE) {
        *msix_word(f, offset) = value;
    }
}

void vpci_msix_write(struct vpci_function *f, uint64_t offset, uint8_t size, uint64_t value)
{
    if (size < 4 || (offset & (size - 1u)) != 0) {
        return;
    }
    msix_write_word(f, offset, (uint32_t)value);
    if (size == 8) {
        msix_write_word(f, offset + 4, (uint32_t)(value >> 32));
    }
    msix_deliver_pending(f);
}

// --- BARs ---

uint64_t vpci_bar(const struct vpci_function *f)
{
    uint64_t base = vpci_get(f->config, CFG_BAR0, 4);
    bool decoding = f->bar_size != 0 && (vpci_get(f->config, CFG_COMMAND, 2) & COMMAND_MEMORY);

    return decoding && base >= MACHINE_PCI_WINDOW_BASE &&
                   base - MACHINE_PCI_WINDOW_BASE <= MACHINE_PCI_WINDOW_SIZE - f->bar_size
               ? base
               : 0;
}

static bool decodes(const struct vpci_function *f, uint64_t gpa, uint8_t size)
{
    uint64_t base = vpci_bar(f);

    return base != 0 && gpa >= base && gpa - base <= f->bar_size - size;
}

static struct vpci_function *find_bar(const struct vpci_bus *bus, uint64_t gpa, uint8_t size)
{
    for (uint8_t slot = 0; slot < MACHINE_PCI_SLOTS; slot++) {
        if (bus->slot[slot] != NULL && decodes(bus->slot[slot], gpa, size)) {
            return bus->slot[slot];
        }
    }
    return NULL;
}

static uint64_t window_read(void *dev, uint64_t offset, uint8_t size)
{
    uint64_t gpa = MACHINE_PCI_WINDOW_BASE + offset;
    struct vpci_function *f = find_bar(dev, gpa, size);

    if (f == NULL) {
        return size >= 8 ? ~0ull : (1ull << (size * 8)) - 1;
    }
    return f->ops->read(f->dev, gpa - vpci_get(f->config, CFG_BAR0, 4), size);
}

static void window_write(void *dev, uint64_t offset, uint8_t size, uint64_t value)
{
    uint64_t gpa = MACHINE_PCI_WINDOW_BASE + offset;
    struct vpci_function *f = find_bar(dev, gpa, size);

    if (f != NULL) {
        f->ops->write(f->dev, gpa - vpci_get(f->config, CFG_BAR0, 4), size, value);
    }
}

const struct mmio_ops vpci_window_ops = {.read = window_read, .write = window_write};

// --- configuration space ---

// The access that a virtio_pci_cfg_cap describes: false unless it lies in BAR 0 and is of a natural size.
static bool window_access(const struct vpci_function *f, uint32_t *offset, uint8_t *size)
{
    uint32_t length = vpci_get(f->config, f->window_cap + WINDOW_LENGTH, 4);

    *offset = vpci_get(f->config, f->window_cap + WINDOW_OFFSET, 4);
    *size = (uint8_t)length;
    return f->config[f->window_cap + WINDOW_BAR] == 0 && (length == 1 || length == 2 || length == 4) &&
           *offset < f->bar_size && length <= f->bar_size - *offset;
}

static bool touches_window_data(const struct vpci_function *f, uint32_t offset, uint8_t size)
{
    uint32_t data = f->window_cap + (uint32_t)WINDOW_DATA;

    return f->window_cap != 0 && offset + size > data && offset < data + 4;
}

static uint32_t config_read(struct vpci_bus *bus, uint32_t slot, uint32_t offset, uint8_t size)
{
    struct vpci_function *f = slot < MACHINE_PCI_SLOTS ? bus->slot[slot] : NULL;
    uint32_t bar_offset;
    uint8_t bar_size;

    if (f == NULL) {
        return size >= 4 ? ~0u : (1u << (size * 8)) - 1;
    }
    if (offset + size > VPCI_CONFIG_SIZE) {
        return 0; // no extended capabilities
    }
    if (touches_window_data(f, offset, size) && window_access(f, &bar_offset, &bar_size)) {
        vpci_put(f->config, f->window_cap + WINDOW_DATA, 4,
                 (uint32_t)f->ops->read(f->dev, bar_offset, bar_size));
    }
    return vpci_get(f->config, offset, size);
}

static void config_write(struct vpci_bus *bus, uint32_t slot, uint32_t offset, uint8_t size, uint32_t value)
{
    struct vpci_function *f = slot < MACHINE_PCI_SLOTS ? bus->slot[slot] : NULL;
    uint32_t bar_offset;
    uint8_t bar_size;

    if (f == NULL || offset + size > VPCI_CONFIG_SIZE) {
        return;
    }
    for (uint8_t i = 0; i < size; i++) {
        uint8_t mask = f->writable[offset + i];

        f->config[offset + i] = (uint8_t)((f->config[offset + i] & ~mask) | ((value >> (i * 8)) & mask));
    }
    if (touches_window_data(f, offset, size) && window_access(f, &bar_offset, &bar_size)) {
        f->ops->write(f->dev, bar_offset, bar_size,
                      vpci_get(f->config, f->window_cap + WINDOW_DATA, bar_size));
    }
    msix_deliver_pending(f);
    update_line(bus, f->slot % MACHINE_PCI_GSIS);
    if (f->moved != NULL && (offset < CFG_STATUS || (offset + size > CFG_BAR0 && offset < CFG_BAR0 + 4))) {
        f->moved(f->dev);
    }
}

// ECAM address: bus in bits 27:20, device 19:15, function 14:12, register 11:0. Functions beyond 0 do not exist.
static uint64_t ecam_read(void *dev, uint64_t offset, uint8_t size)
{
    uint32_t slot = offset & 0x7000 ? MACHINE_PCI_SLOTS : (uint32_t)(offset >> 15) & 0x1f;
    uint32_t reg = (uint32_t)offset & 0xfff;

    if (size == 8) {
        return config_read(dev, slot, reg, 4) | (uint64_t)config_read(dev, slot, reg + 4, 4) << 32;
    }
    return config_read(dev, slot, reg, size);
}

static void ecam_write(void *dev, uint64_t offset, uint8_t size, uint64_t value)
{
    uint32_t slot = offset & 0x7000 ? MACHINE_PCI_SLOTS : (uint32_t)(offset >> 15) & 0x1f;
    uint32_t reg = (uint32_t)offset & 0xfff;

    config_write(dev, slot, reg, MIN(size, 4), (uint32_t)value);
    if (size == 8) {
        config_write(dev, slot, reg + 4, 4, (uint32_t)(value >> 32));
    }
}

const struct mmio_ops vpci_ecam_ops = {.read = ecam_read, .write = ecam_write};

// Configuration mechanism #1 (PCI 3.0 section 3.2.2.3.2): the address register takes 32-bit accesses only.
static uint32_t selected_slot(const struct vpci_bus *bus)
{
    bool present = (bus->address & ADDRESS_ENABLE) && (bus->address & 0x00ff0700) == 0; // bus 0, function 0

    return present ? (bus->address >> 11) & 0x1f : MACHINE_PCI_SLOTS;
}

static uint32_t port_read(void *dev, uint16_t offset, uint8_t size)
{
    struct vpci_bus *bus = dev;

    if (offset >= 4) {
        return config_read(bus, selected_slot(bus), (bus->address & 0xfc) + (offset & 3), size);
    }
    return offset == 0 && size == 4 ? bus->address : size == 4 ? ~0u : (1u << (size * 8)) - 1;
}

static void port_write(void *dev, uint16_t offset, uint8_t size, uint32_t value)
{
    struct vpci_bus *bus = dev;

    if (offset >= 4) {
        config_write(bus, selected_slot(bus), (bus->address & 0xfc) + (offset & 3), size, value);
    } else if (offset == 0 && size == 4) {
        bus->address = value;
    }
}

static uint8_t port_read_byte(void *dev, uint16_t offset)
{
    return (uint8_t)port_read(dev, offset, 1);
}

static void port_write_byte(void *dev, uint16_t offset, uint8_t value)
{
    port_write(dev, offset, 1, value);
}

const struct port_ops vpci_port_ops = {
    .read = port_read_byte,
    .write = port_write_byte,
    .read_wide = port_read,
    .write_wide = port_write,
};
