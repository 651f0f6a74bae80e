// srcs: mgmt/drivers/nic.c mgmt/drivers/e1000.c mgmt/drivers/virtio_net.c mgmt/drivers/virtio_pci.c mgmt/drivers/frames.c mgmt/drivers/pci.c
// SPDX-License-Identifier: Apache-2.0
// Fuzz target: network adapters that lie, in their registers and in the memory they share with the driver. The driver
// stays within its windows, ends its loops, and each frame buffer is in one place only.
//
// The input's bytes are consumed by register reads, of which most tell the truth, and by what happens between
// calls of the driver: the device writes into its rings, the other plane sends and gives back.
#include "mgmt/drivers/nic.h"

#include <stdlib.h>
#include <string.h>

#define BAR 0x40000000ull
#define BAR_SIZE 0x20000u
#define MSIX_BAR 0x50000000ull
#define GPA_BASE 0x40000000ull
#define ACCESSES_MAX 100000u // of one call; a loop that the device can lengthen would go on

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *input;
static size_t left;
static bool virtio, express;
static uint8_t config[256], registers[BAR_SIZE];
static struct {
    uint16_t size, vector;
} queue[2];
static unsigned accesses;
static uint8_t *dma;
static struct frame_rings rings;

static void must(bool condition)
{
    if (!condition) {
        abort();
    }
}

static uint8_t next(void)
{
    left -= left > 0;
    return left > 0 ? *input++ : 0;
}

// --- configuration space: honest, so that the drivers get to work ---

uint32_t pci_config_read(struct pci_address at, uint8_t offset)
{
    uint32_t value;

    (void)at;
    memcpy(&value, config + (offset & 0xfc), 4);
    return value;
}

void pci_config_write(struct pci_address at, uint8_t offset, uint32_t value)
{
    (void)at;
    if (offset >= 0x10 && offset < 0x28) {
        value = offset == 0x10 ? value & ~(BAR_SIZE - 1u) : offset == 0x14 ? value & 0xfffff000u : 0;
    }
    if (offset == 4) {
        memcpy(config + 4, &value, 2);
    } else {
        memcpy(config + (offset & 0xfc), &value, 4);
    }
}

static void put32(unsigned at, uint32_t value)
{
    memcpy(config + at, &value, 4);
}

static void make_config(void)
{
    static const struct {
        uint8_t type;
        uint32_t offset, length;
    } structures[] = {{1, 0x0000, 56}, {3, 0x1000, 1}, {4, 0x2000, 16}, {2, 0x3000, 0x1000}};

    memset(config, 0, sizeof config);
    put32(0x00, virtio ? 0x10411af4u : express ? 0x10d38086u : 0x100e8086u);
    put32(0x04, 0x00100000);
    put32(0x08, 0x02000000);
    put32(0x10, (uint32_t)BAR);
    put32(0x14, (uint32_t)MSIX_BAR);
    config[0x34] = 0x40;
    for (unsigned i = 0; virtio && i < 4; i++) {
        unsigned at = 0x40 + 20 * i;

        put32(at, 0x09 | (at + 20) << 8 | 20u << 16 | (uint32_t)structures[i].type << 24);
        put32(at + 8, structures[i].offset);
        put32(at + 12, structures[i].length);
        put32(at + 16, 4);
    }
    put32(0x90, 0x11 | 2u << 16);
    put32(0x94, 1);
}

// --- registers ---

static uint32_t e1000_register(uint32_t offset)
{
    uint32_t value;

    memcpy(&value, registers + offset, 4);
    switch (offset) {
    case 0x00: // CTRL: reset is over
        return value & ~(uint32_t)BIT(26);
    case 0x10: // EECD: loaded
        return value | BIT(9);
    case 0x14: // EERD: done
        return value | BIT(1) | BIT(4) | 0x5452u << 16;
    case 0x5404: // RAH0: valid
        return value | BIT(31);
    case 0x5400:
        return value | 0x52;
    default:
        return value;
    }
}

static uint32_t virtio_register(uint32_t offset)
{
    unsigned selected = registers[0x16] & 1;
    uint32_t value;

    memcpy(&value, registers + offset, 4);
    switch (offset) {
    case 0x04:
        return registers[0] != 0 ? 1 : BIT(5) | BIT(16);
    case 0x18:
        return queue[selected].size;
    case 0x1a:
        return queue[selected].vector;
    case 0x1e:
        return selected;
    default:
        return value;
    }
}

static uint32_t read_register(mmio_t m, uint32_t offset, unsigned size)
{
    uint64_t at = m.base - BAR + offset;
    uint32_t value;

    must(++accesses < ACCESSES_MAX && m.base >= BAR && at + size <= BAR_SIZE);
    if (next() > 240) { // a lie
        return next() * 0x01010101u ^ next();
    }
    value = virtio ? virtio_register((uint32_t)at) : e1000_register((uint32_t)(at & ~3ull));
    return size == 4 ? value : value & (size == 2 ? 0xffffu : 0xffu);
}

static void write_register(mmio_t m, uint32_t offset, unsigned size, uint32_t value)
{
    uint64_t at = m.base - BAR + offset;
    unsigned selected = registers[0x16] & 1;

    must(++accesses < ACCESSES_MAX);
    if (m.base >= MSIX_BAR) {
        must(m.base - MSIX_BAR + offset + size <= 0x1000);
        return;
    }
    must(m.base >= BAR && at + size <= BAR_SIZE);
    if (virtio && at == 0x18) {
        queue[selected].size = (uint16_t)value;
    } else if (virtio && at == 0x1a) {
        queue[selected].vector = (uint16_t)value;
    } else {
        memcpy(registers + at, &value, size);
    }
}

mmio_t mmio_map(uint64_t address)
{
    return (mmio_t){(uintptr_t)address};
}

uint8_t mmio_read8(mmio_t m, uint32_t offset)
{
    return (uint8_t)read_register(m, offset, 1);
}

uint16_t mmio_read16(mmio_t m, uint32_t offset)
{
    return (uint16_t)read_register(m, offset, 2);
}

uint32_t mmio_read32(mmio_t m, uint32_t offset)
{
    return read_register(m, offset, 4);
}

void mmio_write8(mmio_t m, uint32_t offset, uint8_t value)
{
    write_register(m, offset, 1, value);
}

void mmio_write16(mmio_t m, uint32_t offset, uint16_t value)
{
    write_register(m, offset, 2, value);
}

void mmio_write32(mmio_t m, uint32_t offset, uint32_t value)
{
    write_register(m, offset, 4, value);
}

void mmio_delay_us(uint32_t us)
{
    (void)us;
}

// --- the device's memory, and the other plane ---

// Rings lie at the beginning of each queue's part; hitting them matters more than hitting anything.
static void scribble(void)
{
    unsigned how = next(), at = (how & 3) * (NIC_DMA_SIZE / 4) + next() * 16u + (how >> 2 & 15),
             count = next() % 32u;

    if (virtio && (how & 0x40) != 0) { // used index and elements
        at = (how & 1) * 16384u + 256 * 16 + 520 + (how >> 2 & 15) * 2;
    }
    for (unsigned i = 0; i < count && at + i < NIC_DMA_SIZE; i++) {
        dma[at + i] = next();
    }
}

// Takes what came in and sent buffers, noting where each is, and hands some back.
static void other_plane(bool in_hand[2][FRAME_BUFFERS])
{
    struct frame f;

    while (spsc_pop(&rings.rx, &f)) {
        must(f.index < FRAME_BUFFERS && !in_hand[0][f.index] &&
             (f.length == 0 || (f.length >= 14 && f.length <= FRAME_MAX)));
        in_hand[0][f.index] = true;
    }
    while (spsc_pop(&rings.tx_free, &f)) {
        must(f.index < FRAME_BUFFERS && !in_hand[1][f.index]);
        in_hand[1][f.index] = true;
    }
    for (unsigned i = 0, step = 1 + next() % 64u; i < FRAME_BUFFERS; i += step) {
        struct frame back = {.index = (uint16_t)i, .length = (uint16_t)(next() * 8u)};

        if (in_hand[0][i]) {
            in_hand[0][i] = false;
            must(spsc_push(&rings.rx_free, &back));
        }
        if (in_hand[1][i]) {
            in_hand[1][i] = false;
            must(spsc_push(&rings.tx, &back));
        }
    }
}

static void run(struct nic *nic, const struct pci_device *dev)
{
    static bool in_hand[2][FRAME_BUFFERS];

    memset(in_hand, 0, sizeof in_hand);
    nic_enable(nic, dev);
    for (unsigned turn = 0; left > 0 && turn < 200; turn++) {
        unsigned scribbles = next() % 8u;

        while (scribbles-- > 0) {
            scribble();
        }
        accesses = 0;
        nic_interrupt(nic);
        (void)nic->ops->service(nic);
        other_plane(in_hand);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *frames;
    struct nic_msi msi;
    struct pci_device dev;
    const char *why;
    struct nic *nic;
    uint8_t kind;

    if (size < 4) {
        return 0;
    }
    frames = frames != NULL ? frames : malloc(FRAME_MEMORY);
    dma = dma != NULL ? dma : aligned_alloc(4096, NIC_DMA_SIZE);
    input = data;
    left = size;
    kind = next();
    virtio = kind & 1;
    express = kind >> 1 & 1;
    msi = (struct nic_msi){.available = next() & 1, .address = 0xfee01000, .data = 0x4041};
    make_config();
    memset(registers, 0, sizeof registers);
    memset(queue, 0, sizeof queue);
    queue[0].size = queue[1].size = (uint16_t)(next() * 4u);
    memset(dma, 0, NIC_DMA_SIZE);
    memset(&rings, 0, sizeof rings);
    accesses = 0;
    must(pci_enumerate(&dev, 1) == 1);
    nic = nic_probe(&dev, &rings, (struct nic_memory){frames, GPA_BASE},
                    (struct nic_memory){dma, GPA_BASE + FRAME_MEMORY}, &msi, &why);
    must(nic != NULL || why != NULL);
    if (nic != NULL) {
        run(nic, &dev);
    }
    return 0;
}
