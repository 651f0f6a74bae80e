// SPDX-License-Identifier: Apache-2.0
// Port and MMIO ranges of one guest and who answers them.
//
// Ports: every port device here has byte registers, so a wider access is served byte by byte, as an ISA
// bus does. An access belongs to the range that holds its first port; bytes beyond that range float. (A
// 32-bit write to the absent PCI address port 0xCF8 therefore never touches the reset register in 0xCF9.)
// What nobody claims reads as all ones and ignores writes; both are counted.
#ifndef MGMT_DEVICES_BUS_H
#define MGMT_DEVICES_BUS_H

#include <keelson/types.h>

#define BUS_MAX_PORT_RANGES 8
#define BUS_MAX_MMIO_RANGES 4

struct port_ops {
    uint8_t (*read)(void *dev, uint16_t offset);
    void (*write)(void *dev, uint16_t offset, uint8_t value);
};

struct mmio_ops { // size is 1, 2, 4 or 8; offset + size never passes the end of the range
    uint64_t (*read)(void *dev, uint64_t offset, uint8_t size);
    void (*write)(void *dev, uint64_t offset, uint8_t size, uint64_t value);
};

struct port_range {
    uint16_t first, count;
    const struct port_ops *ops;
    void *dev;
};

struct mmio_range {
    uint64_t base, size;
    const struct mmio_ops *ops;
    void *dev;
};

struct bus {
    struct port_range port[BUS_MAX_PORT_RANGES];
    struct mmio_range mmio[BUS_MAX_MMIO_RANGES];
    uint8_t port_count, mmio_count;
    uint64_t unclaimed_ports, unclaimed_mmio;
};

void bus_init(struct bus *bus);
// The tables are sized for the machine: adding more is a bug of ours, and ignored.
void bus_add_ports(struct bus *bus, uint16_t first, uint16_t count, const struct port_ops *ops, void *dev);
void bus_add_mmio(struct bus *bus, uint64_t base, uint64_t size, const struct mmio_ops *ops, void *dev);

// size 1, 2, 4; of a value written only that many bytes count.
uint32_t bus_port_read(struct bus *bus, uint16_t port, uint8_t size);
void bus_port_write(struct bus *bus, uint16_t port, uint8_t size, uint32_t value);
uint64_t bus_mmio_read(struct bus *bus, uint64_t gpa, uint8_t size); // size 1, 2, 4, 8
void bus_mmio_write(struct bus *bus, uint64_t gpa, uint8_t size, uint64_t value);

#endif
