// SPDX-License-Identifier: Apache-2.0
// Port and MMIO ranges of one guest and who answers them. Single bytes are the rule; what is rare is out of line.

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

static const struct port_range *find_port(const struct bus *bus, uint16_t port)
{
    const struct port_range *end = bus->port + bus->port_count;

    for (const struct port_range *r = bus->port; r < end; r++) {
        if ((uint32_t)port - r->first < r->count) {
            return r;
        }
    }
    return NULL;
}

static __attribute__((noinline)) uint32_t read_bytes(const struct port_range *r, uint32_t offset,
                                                     uint8_t size)
{
    uint32_t value = 0;

    for (uint8_t i = 0; i < size; i++) {
        uint8_t byte = offset + i < r->count ? r->ops->read(r->dev, (uint16_t)(offset + i)) : 0xff;

        value |= (uint32_t)byte << (i * 8);
    }
    return value;
}

uint32_t bus_port_read(struct bus *bus, uint16_t port, uint8_t size)
{
    const struct port_range *r = find_port(bus, port);

    if (r == NULL) {
        bus->unclaimed_ports++;
        return size >= 4 ? ~0u : (1u << (size * 8)) - 1;
    }
    if (size == 1) {
        return r->ops->read(r->dev, (uint16_t)(port - r->first));
    }
    return read_bytes(r, (uint32_t)port - r->first, size);
}

static __attribute__((noinline)) void write_bytes(const struct port_range *r, uint32_t offset, uint8_t size,
                                                  uint32_t value)
{
    for (uint8_t i = 0; i < size; i++) {
        if (offset + i < r->count) {
            r->ops->write(r->dev, (uint16_t)(offset + i), (uint8_t)(value >> (i * 8)));
        }
    }
}

void bus_port_write(struct bus *bus, uint16_t port, uint8_t size, uint32_t value)
{
    const struct port_range *r = find_port(bus, port);

    if (r == NULL) {
        bus->unclaimed_ports++;
    } else if (size == 1) {
        r->ops->write(r->dev, (uint16_t)(port - r->first), (uint8_t)value);
    } else {
        write_bytes(r, (uint32_t)port - r->first, size, value);
    }
}

static const struct mmio_range *find_mmio(const struct bus *bus, uint64_t gpa, uint8_t size)
{
    const struct mmio_range *end = bus->mmio + bus->mmio_count;

    for (const struct mmio_range *r = bus->mmio; r < end; r++) {
        uint64_t offset = gpa - r->base;

        if (offset < r->size && size <= r->size - offset) {
            return r;
        }
    }
    return NULL;
}

uint64_t bus_mmio_read(struct bus *bus, uint64_t gpa, uint8_t size)
{
    const struct mmio_range *r = find_mmio(bus, gpa, size);

    if (r == NULL) {
        bus->unclaimed_mmio++;
        return size >= 8 ? ~0ull : (1ull << (size * 8)) - 1;
    }
    return r->ops->read(r->dev, gpa - r->base, size);
}

void bus_mmio_write(struct bus *bus, uint64_t gpa, uint8_t size, uint64_t value)
{
    const struct mmio_range *r = find_mmio(bus, gpa, size);

    if (r == NULL) {
        bus->unclaimed_mmio++;
        return;
    }
    r->ops->write(r->dev, gpa - r->base, size, value);
}
