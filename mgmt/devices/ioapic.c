// SPDX-License-Identifier: Apache-2.0
// I/O APIC with 24 inputs, edge and level triggered.

#include "mgmt/devices/ioapic.h"

#include "mgmt/hvif/hvif.h"

// Memory-mapped registers.
#define IOREGSEL 0x00
#define IOWIN 0x10
#define EOIR 0x40

// Registers behind the window.
#define REG_ID 0x00
#define REG_VERSION 0x01
#define REG_ARBITRATION 0x02
#define REG_REDIRECTION 0x10
#define VERSION 0x20

// Redirection table entry.
#define ENTRY_VECTOR 0xffull
#define ENTRY_MODE(e) (((e) >> 8) & 7)
#define ENTRY_LOGICAL BIT(11)
#define ENTRY_STATUS BIT(12)
#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL BIT(15)
#define ENTRY_MASKED BIT(16)
#define ENTRY_READ_ONLY (ENTRY_STATUS | ENTRY_REMOTE_IRR)
#define ENTRY_WRITABLE (0xff0000000001ffffull & ~ENTRY_READ_ONLY)
#define ENTRY_DESTINATION(e) ((e) >> 56)

enum { MODE_FIXED = 0, MODE_LOWEST = 1, MODE_NMI = 4, MODE_INIT = 5 };
#define LOWEST_VECTOR 16

#define ASSERT_LEVEL BIT(0)
#define ASSERT_LOGICAL BIT(1)

// The delivery modes that make sense without an SMM and without an 8259 (SMI and ExtINT do nothing), under
// the numbers of the hypercall, which are the same.
static bool deliverable(uint64_t entry)
{
    switch (ENTRY_MODE(entry)) {
    case MODE_FIXED:
    case MODE_LOWEST:
        return (entry & ENTRY_VECTOR) >= LOWEST_VECTOR;
    case MODE_NMI:
    case MODE_INIT:
        return true;
    default:
        return false;
    }
}

static bool assert_interrupt(const struct ioapic *ioapic, uint64_t entry)
{
    struct hv_assert_interrupt_in in = {
        .control = ENTRY_MODE(entry),
        .control_flags = (entry & ENTRY_LEVEL ? ASSERT_LEVEL : 0) |
                         (entry & ENTRY_LOGICAL ? ASSERT_LOGICAL : 0),
        .destination = ENTRY_DESTINATION(entry),
        .vector = entry & ENTRY_VECTOR,
    };

    return hvif_assert_interrupt(ioapic->partition, &in) == HV_STATUS_SUCCESS;
}

// Delivers a pending level input or a fresh edge.
static void deliver(struct ioapic *ioapic, uint8_t pin)
{
    uint64_t *entry = &ioapic->entry[pin];

    if ((*entry & ENTRY_MASKED) || !deliverable(*entry)) {
        return;
    }
    if (!(*entry & ENTRY_LEVEL)) {
        (void)assert_interrupt(ioapic, *entry); // nobody there to take it: as lost as on a bus
        return;
    }
    // Remote IRR only when somebody accepted it: without an EOI to come it would stay for ever.
    if (!(*entry & ENTRY_REMOTE_IRR) && assert_interrupt(ioapic, *entry)) {
        *entry |= ENTRY_REMOTE_IRR;
    }
}

static void deliver_if_level(struct ioapic *ioapic, uint8_t pin)
{
    if ((ioapic->entry[pin] & ENTRY_LEVEL) && (ioapic->lines & BIT(pin))) {
        deliver(ioapic, pin);
    }
}

void irq_set(const struct irq_line *irq, bool high)
{
    struct ioapic *ioapic = irq->ioapic;
    bool was_high = ioapic->lines & BIT(irq->pin);

    if (high == was_high) {
        return;
    }
    ioapic->lines ^= (uint32_t)BIT(irq->pin);
    if (high) {
        deliver(ioapic, irq->pin);
    }
}

void ioapic_eoi(struct ioapic *ioapic, uint8_t vector)
{
    for (uint8_t pin = 0; pin < MACHINE_IOAPIC_PINS; pin++) {
        uint64_t *entry = &ioapic->entry[pin];

        if ((*entry & ENTRY_REMOTE_IRR) && (*entry & ENTRY_VECTOR) == vector) {
            *entry &= ~ENTRY_REMOTE_IRR;
            deliver_if_level(ioapic, pin);
        }
    }
}

static void write_entry(struct ioapic *ioapic, uint8_t pin, uint64_t value)
{
    uint64_t *entry = &ioapic->entry[pin];

    *entry = (value & ENTRY_WRITABLE) | (*entry & ENTRY_READ_ONLY);
    if (!(*entry & ENTRY_LEVEL)) {
        *entry &= ~ENTRY_REMOTE_IRR; // how systems without an EOI register force an EOI
    }
    deliver_if_level(ioapic, pin);
}

static uint32_t read_register(const struct ioapic *ioapic)
{
    uint32_t n = (uint32_t)ioapic->select - REG_REDIRECTION;

    switch (ioapic->select) {
    case REG_ID:
    case REG_ARBITRATION:
        return (uint32_t)ioapic->id << 24;
    case REG_VERSION:
        return VERSION | (MACHINE_IOAPIC_PINS - 1) << 16;
    default:
        return n < 2 * MACHINE_IOAPIC_PINS ? (uint32_t)(ioapic->entry[n / 2] >> (n % 2 * 32)) : ~0u;
    }
}

static void write_register(struct ioapic *ioapic, uint32_t value)
{
    uint32_t n = (uint32_t)ioapic->select - REG_REDIRECTION;

    if (ioapic->select == REG_ID) {
        ioapic->id = (value >> 24) & 0xf;
    } else if (n < 2 * MACHINE_IOAPIC_PINS) {
        uint64_t old = ioapic->entry[n / 2];

        write_entry(ioapic, (uint8_t)(n / 2),
                    n % 2 ? (uint32_t)old | (uint64_t)value << 32 : (old & ~0xffffffffull) | value);
    }
}

// Registers are 32 bits wide and 16 bytes apart. A narrower read gets its part; a narrower write is taken
// for the low bits of the register, as chipsets do for IOREGSEL.
static uint64_t ioapic_read(void *dev, uint64_t offset, uint8_t size)
{
    const struct ioapic *ioapic = dev;
    uint64_t value = 0;

    switch (offset & ~3ull) {
    case IOREGSEL:
        value = ioapic->select;
        break;
    case IOWIN:
        value = read_register(ioapic);
        break;
    default:
        break;
    }
    value >>= (offset & 3) * 8;
    return size >= 8 ? value : value & ((1ull << (size * 8)) - 1);
}

static void ioapic_write(void *dev, uint64_t offset, uint8_t size, uint64_t value)
{
    struct ioapic *ioapic = dev;

    (void)size;
    switch (offset) {
    case IOREGSEL:
        ioapic->select = (uint8_t)value;
        break;
    case IOWIN:
        write_register(ioapic, (uint32_t)value);
        break;
    case EOIR:
        ioapic_eoi(ioapic, (uint8_t)value);
        break;
    default:
        break;
    }
}

const struct mmio_ops ioapic_ops = {.read = ioapic_read, .write = ioapic_write};

void ioapic_init(struct ioapic *ioapic, uint64_t partition)
{
    *ioapic = (struct ioapic){.partition = partition};
    for (int pin = 0; pin < MACHINE_IOAPIC_PINS; pin++) {
        ioapic->entry[pin] = ENTRY_MASKED;
    }
}
