// srcs: mgmt/drivers/pci.c
// SPDX-License-Identifier: Apache-2.0
// Fuzz target: hostile configuration space. Enumeration ends, BARs are windows that can exist, lists of capabilities end.
#include "mgmt/drivers/pci.h"

#include <stdlib.h>
#include <string.h>

#define READS_MAX 5000000u // 256 buses with 32 devices of 8 functions, and then some

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *input;
static size_t input_size;
static uint8_t salt; // changes with each write: what is written need not be read back
static unsigned reads;

static void must(bool condition)
{
    if (!condition) {
        abort();
    }
}

// --- the bus ---

// Most places are empty; what the others hold comes from the input, at a place that depends on the address.
uint32_t pci_config_read(struct pci_address at, uint8_t offset)
{
    size_t place = (at.bus * 7u + at.device * 3u + at.function) * 64u % 1024u + offset;
    uint32_t value = 0;

    must(++reads < READS_MAX);
    if (place + 4 > input_size || (at.device > 3 && (at.device ^ input[0]) % 8 != 0)) {
        return 0xffffffff;
    }
    memcpy(&value, input + place, 4);
    if (offset >= 0x10 && offset < 0x28 && (salt & 1) != 0) {
        value = (value << (salt & 31)) | (value & 0xf);
    }
    return value;
}

void pci_config_write(struct pci_address at, uint8_t offset, uint32_t value)
{
    (void)at, (void)value;
    must(offset % 4 == 0);
    salt = (uint8_t)(salt * 5 + input[offset % input_size]);
}

mmio_t mmio_map(uint64_t address)
{
    return (mmio_t){(uintptr_t)address};
}

void mmio_write32(mmio_t m, uint32_t offset, uint32_t value)
{
    (void)value;
    must(m.base >= 16 && offset < 16); // an entry of the MSI-X table
}

// --- the readers ---

static void check_bars(const struct pci_device *dev)
{
    for (unsigned bar = 0; bar < 8; bar++) {
        uint64_t base, size;

        if (!pci_bar(dev, bar, &base, &size)) {
            continue;
        }
        must(bar < 6 && base != 0 && size >= 16 && (size & (size - 1)) == 0);
        must((base & (size - 1)) == 0 && base - 1 + size >= base);
    }
}

static void check_capabilities(const struct pci_device *dev)
{
    for (unsigned id = 0; id < 256; id++) {
        uint8_t at = pci_find_capability(dev, (uint8_t)id, 0);

        must(at == 0 || (at >= 0x40 && at % 4 == 0));
        at = at != 0 ? pci_find_capability(dev, (uint8_t)id, at) : 0;
        must(at == 0 || at >= 0x40);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pci_device devices[PCI_MAX_DEVICES];
    size_t count;

    if (size < 64) {
        return 0;
    }
    input = data;
    input_size = size;
    salt = 0;
    reads = 0;
    count = pci_enumerate(devices, PCI_MAX_DEVICES);
    must(count <= PCI_MAX_DEVICES);
    for (size_t i = 0; i < MIN(count, (size_t)8); i++) {
        pci_enable(&devices[i], false);
        check_bars(&devices[i]);
        check_capabilities(&devices[i]);
        (void)!pci_msix_set(&devices[i], data[1] & 7, 0xfee00000, 0x40);
        (void)pci_class_name(&devices[i]);
        pci_quiesce(&devices[i]);
    }
    return 0;
}
