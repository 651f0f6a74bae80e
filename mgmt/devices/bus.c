// SPDX-License-Identifier: Apache-2.0
// Port and MMIO ranges of one guest and who answers them.

#include "mgmt/devices/bus.h"

void bus_init(struct bus *bus)
{
    *bus = (struct bus){0};
}

void bus_add_ports(struct bus *bus, uint16_t first, uint16_t count, const struct port_ops *ops, void *dev)
{
    uint8_t n = bus->port_count;

    if (n < BUS_MAX_PORT_RANGES) {
        bus->port[n].first = first;
        bus->port[n].count = count;
        bus->port[n].ops = ops;
        bus->port[n].dev = dev;
        bus->port_count++;
    }
}

void bus_add_mmio(struct bus *bus, uint64_t base, uint64_t size, const struct mmio_ops *ops, void *dev)
{
    uint8_t n = bus->mmio_count;

    if (n < BUS_MAX_MMIO_RANGES) {
        bus->mmio[n].base = base;
        bus->mmio[n].size = size;
        bus->mmio[n].ops = ops;
        bus->mmio[n].dev = dev;
        bus->mmio_count++;
    }
}

static int find_port(const struct bus *bus, uint16_t port)
{
    for (int i = 0; i < bus->port_count; i++) {
        if (port >= bus->port[i].first && port - bus->port[i].first < bus->port[i].count) {
            return i;
        }
    }
    return -1;
}

// Does the range take the whole access as it is?
static bool takes_wide(const struct bus *bus, int n, uint16_t port, uint8_t size)
{
    return bus->port[n].ops->read_wide != NULL &&
           (uint32_t)port - bus->port[n].first + size <= bus->port[n].count;
}

uint32_t bus_port_read(struct bus *bus, uint16_t port, uint8_t size)
{
    uint32_t value = 0;
    int n = find_port(bus, port);

    if (n < 0) {
        bus->unclaimed_ports++;
        return size >= 4 ? ~0u : (1u << (size * 8)) - 1;
    }
    if (takes_wide(bus, n, port, size)) {
        return bus->port[n].ops->read_wide(bus->port[n].dev, (uint16_t)(port - bus->port[n].first), size);
    }
    if (size == 1) {
        return bus->port[n].ops->read(bus->port[n].dev, (uint16_t)(port - bus->port[n].first));
    }
    for (uint8_t i = 0; i < size; i++) {
        uint32_t offset = (uint32_t)port - bus->port[n].first + i;
        uint8_t byte = offset < bus->port[n].count
                           ? bus->port[n].ops->read(bus->port[n].dev, (uint16_t)offset)
                           : 0xff;

        value |= (uint32_t)byte << (i * 8);
    }
    return value;
}

void bus_port_write(struct bus *bus, uint16_t port, uint8_t size, uint32_t value)
{
    int n = find_port(bus, port);

    if (n < 0) {
        bus->unclaimed_ports++;
        return;
    }
    if (takes_wide(bus, n, port, size)) {
        bus->port[n].ops->write_wide(bus->port[n].dev, (uint16_t)(port - bus->port[n].first), size, value);
        return;
    }
    for (uint8_t i = 0; i < size; i++) {
        uint32_t offset = (uint32_t)port - bus->port[n].first + i;

        if (offset < bus->port[n].count) {
            bus->port[n].ops->write(bus->port[n].dev, (uint16_t)offset, (uint8_t)(value >> (i * 8)));
        }
    }
}

static int find_mmio(const struct bus *bus, uint64_t gpa, uint8_t size)
{
    for (int i = 0; i < bus->mmio_count; i++) {
        uint64_t offset = gpa - bus->mmio[i].base;

        if (offset < bus->mmio[i].size && size <= bus->mmio[i].size - offset) {
            return i;
        }
    }
    return -1;
}

uint64_t bus_mmio_read(struct bus *bus, uint64_t gpa, uint8_t size)
{
    int n = find_mmio(bus, gpa, size);

    if (n < 0) {
        bus->unclaimed_mmio++;
        return size >= 8 ? ~0ull : (1ull << (size * 8)) - 1;
    }
    return bus->mmio[n].ops->read(bus->mmio[n].dev, gpa - bus->mmio[n].base, size);
}

void bus_mmio_write(struct bus *bus, uint64_t gpa, uint8_t size, uint64_t value)
{
    int n = find_mmio(bus, gpa, size);

    if (n < 0) {
        bus->unclaimed_mmio++;
        return;
    }
    bus->mmio[n].ops->write(bus->mmio[n].dev, gpa - bus->mmio[n].base, size, value);
}
