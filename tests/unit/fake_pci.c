// SPDX-License-Identifier: Apache-2.0
// Stands in for pci_port.c and mmio.c: configuration space and registers of fake devices.
#include "tests/unit/fake_pci.h"

#include <stdlib.h>
#include <string.h>

static struct fake_device *devices[FAKE_PCI_MAX];
static size_t count;

void fake_pci_reset(void)
{
    count = 0;
}

void fake_pci_add(struct fake_device *d)
{
    if (count == FAKE_PCI_MAX) {
        abort();
    }
    devices[count++] = d;
}

void fake_pci_set(struct fake_device *d, unsigned offset, unsigned size, uint32_t value)
{
    memcpy(d->config + offset, &value, size);
}

uint32_t fake_pci_get(const struct fake_device *d, unsigned offset, unsigned size)
{
    uint32_t value = 0;

    memcpy(&value, d->config + offset, size);
    return value;
}

void fake_pci_describe(struct fake_device *d, struct pci_address at, uint16_t vendor, uint16_t device,
                       uint32_t class_code, unsigned bar, uint64_t base, uint64_t size, bool wide)
{
    d->at = at;
    fake_pci_set(d, 0x00, 4, vendor | (uint32_t)device << 16);
    fake_pci_set(d, 0x08, 4, class_code << 8);
    fake_pci_set(d, 0x10 + 4 * bar, 4, (uint32_t)base | (wide ? 4 : 0));
    if (wide) {
        fake_pci_set(d, 0x14 + 4 * bar, 4, (uint32_t)(base >> 32));
    }
    d->bar_size[bar] = size;
    d->bar_wide[bar] = wide;
}

static struct fake_device *find(struct pci_address at)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&devices[i]->at, &at, sizeof(at)) == 0) {
            return devices[i];
        }
    }
    return NULL;
}

uint32_t pci_config_read(struct pci_address at, uint8_t offset)
{
    struct fake_device *d = find(at);

    return d == NULL ? 0xffffffff : fake_pci_get(d, offset & 0xfcu, 4);
}

// Address bits below the BAR's size are wired to zero; the flags in the lowest four are read-only.
static void write_bar(struct fake_device *d, unsigned bar, uint32_t value)
{
    unsigned offset = 0x10 + 4 * bar;

    if (bar > 0 && d->bar_wide[bar - 1]) {
        fake_pci_set(d, offset, 4, value & (uint32_t)(~(d->bar_size[bar - 1] - 1) >> 32));
        return;
    }
    if (d->bar_size[bar] == 0) {
        return;
    }
    fake_pci_set(d, offset, 4,
                 (value & (uint32_t) ~(d->bar_size[bar] - 1) & ~0xfu) | (fake_pci_get(d, offset, 4) & 0xf));
}

void pci_config_write(struct pci_address at, uint8_t offset, uint32_t value)
{
    struct fake_device *d = find(at);

    if (d == NULL) {
        return;
    }
    if (offset >= 0x10 && offset < 0x28) {
        write_bar(d, (offset - 0x10u) / 4, value);
    } else if (offset == 0x04) {
        fake_pci_set(d, 4, 2, value); // status is not written
    } else {
        fake_pci_set(d, offset & 0xfcu, 4, value);
    }
}

// --- registers ---

mmio_t mmio_map(uint64_t address)
{
    return (mmio_t){(uintptr_t)address};
}

static uint64_t bar_base(const struct fake_device *d, unsigned bar)
{
    uint64_t low = fake_pci_get(d, 0x10 + 4 * bar, 4) & ~0xfu;

    return d->bar_wide[bar] ? low | (uint64_t)fake_pci_get(d, 0x14 + 4 * bar, 4) << 32 : low;
}

// The device and BAR that answer at this address. Decoding must be on.
static struct fake_device *resolve(uintptr_t address, unsigned *bar, uint32_t *offset)
{
    for (size_t i = 0; i < count; i++) {
        struct fake_device *d = devices[i];

        if ((fake_pci_get(d, 4, 2) & 2) == 0) {
            continue;
        }
        for (*bar = 0; *bar < 6; ++*bar) {
            uint64_t base = bar_base(d, *bar);

            if (d->bar_size[*bar] != 0 && address >= base && address - base < d->bar_size[*bar]) {
                *offset = (uint32_t)(address - base);
                return d;
            }
        }
    }
    abort(); // a driver that touches what is not there
}

static uint32_t do_read(mmio_t m, uint32_t offset, unsigned size)
{
    unsigned bar;
    uint32_t at;
    struct fake_device *d = resolve(m.base + offset, &bar, &at);

    return d->read(d, bar, at, size);
}

static void do_write(mmio_t m, uint32_t offset, unsigned size, uint32_t value)
{
    unsigned bar;
    uint32_t at;
    struct fake_device *d = resolve(m.base + offset, &bar, &at);

    d->write(d, bar, at, size, value);
}

uint8_t mmio_read8(mmio_t m, uint32_t offset)
{
    return (uint8_t)do_read(m, offset, 1);
}

uint16_t mmio_read16(mmio_t m, uint32_t offset)
{
    return (uint16_t)do_read(m, offset, 2);
}

uint32_t mmio_read32(mmio_t m, uint32_t offset)
{
    return do_read(m, offset, 4);
}

void mmio_write8(mmio_t m, uint32_t offset, uint8_t value)
{
    do_write(m, offset, 1, value);
}

void mmio_write16(mmio_t m, uint32_t offset, uint16_t value)
{
    do_write(m, offset, 2, value);
}

void mmio_write32(mmio_t m, uint32_t offset, uint32_t value)
{
    do_write(m, offset, 4, value);
}

void mmio_delay_us(uint32_t us)
{
    (void)us;
}
