// SPDX-License-Identifier: Apache-2.0
// A guest's virtio driver, as far as tests need one.
#include "tests/unit/fake_driver.h"

#include <stdlib.h>
#include <string.h>

#define CFG_COMMAND 0x04
#define CFG_BAR0 0x10
#define CFG_MSIX_ID 0x11

static struct bus *bus_of(struct fake_guest *g)
{
    return &g->vm.devices->bus;
}

uint32_t driver_config_read(struct fake_guest *g, uint8_t slot, uint32_t offset, uint8_t size)
{
    return (uint32_t)bus_mmio_read(bus_of(g), MACHINE_ECAM_BASE + slot * 0x8000u + offset, size);
}

void driver_config_write(struct fake_guest *g, uint8_t slot, uint32_t offset, uint8_t size, uint32_t value)
{
    bus_mmio_write(bus_of(g), MACHINE_ECAM_BASE + slot * 0x8000u + offset, size, value);
}

uint64_t driver_read(struct driver *d, uint32_t offset, uint8_t size)
{
    return bus_mmio_read(bus_of(d->g), d->bar + offset, size);
}

void driver_write(struct driver *d, uint32_t offset, uint8_t size, uint64_t value)
{
    bus_mmio_write(bus_of(d->g), d->bar + offset, size, value);
}

uint8_t driver_status(struct driver *d)
{
    return (uint8_t)driver_read(d, 20, 1);
}

void driver_find(struct driver *d, struct fake_guest *g, uint8_t slot)
{
    *d = (struct driver){.g = g, .slot = slot};
    if (driver_config_read(g, slot, 0, 2) != 0x1af4) {
        abort();
    }
    driver_config_write(g, slot, CFG_COMMAND, 2, 6);
    d->bar = driver_config_read(g, slot, CFG_BAR0, 4);
}

void driver_negotiate(struct driver *d, uint64_t features)
{
    driver_write(d, 20, 1, 0);
    driver_write(d, 20, 1, 3); // ACKNOWLEDGE, DRIVER
    driver_write(d, 0, 4, 0);
    d->offered = driver_read(d, 4, 4);
    driver_write(d, 0, 4, 1);
    d->offered |= driver_read(d, 4, 4) << 32;
    driver_write(d, 8, 4, 0);
    driver_write(d, 12, 4, (uint32_t)features);
    driver_write(d, 8, 4, 1);
    driver_write(d, 12, 4, (uint32_t)((features | VIRTIO_F_VERSION_1) >> 32));
    driver_write(d, 20, 1, 11); // FEATURES_OK
}

void driver_set_queue(struct driver *d, uint16_t queue)
{
    struct driver_queue *q = &d->queue[queue];

    q->descriptors = DRIVER_RINGS + queue * 0x10000ull;
    q->available = q->descriptors + 0x1000;
    q->used = q->descriptors + 0x2000;
    memset(driver_memory(d, q->descriptors), 0, 0x3000);
    driver_write(d, 22, 2, queue);
    driver_write(d, 24, 2, DRIVER_QUEUE_SIZE);
    driver_write(d, 26, 2, queue + 1u);
    driver_write(d, 32, 4, q->descriptors);
    driver_write(d, 36, 4, 0);
    driver_write(d, 40, 4, q->available);
    driver_write(d, 48, 4, q->used);
    driver_write(d, 28, 2, 1);
}

// Vector n goes to APIC 0 as vector 0x3f + n.
void driver_use_msix(struct driver *d)
{
    uint8_t cap = (uint8_t)driver_config_read(d->g, d->slot, 0x34, 1);

    while (cap != 0 && driver_config_read(d->g, d->slot, cap, 1) != CFG_MSIX_ID) {
        cap = (uint8_t)driver_config_read(d->g, d->slot, cap + 1u, 1);
    }
    for (uint32_t i = 0; i <= VIRTIO_MAX_QUEUES; i++) {
        driver_write(d, 0x2000 + i * 16, 4, 0xfee00000);
        driver_write(d, 0x2004 + i * 16, 4, 0);
        driver_write(d, 0x2008 + i * 16, 4, 0x3f + i);
        driver_write(d, 0x200c + i * 16, 4, 0);
    }
    driver_config_write(d->g, d->slot, cap + 2u, 2, 0x8000);
}

void driver_start(struct driver *d, struct fake_guest *g, uint8_t slot, uint64_t features)
{
    driver_find(d, g, slot);
    driver_use_msix(d);
    driver_negotiate(d, features);
    for (uint16_t i = 0; i < MIN(driver_read(d, 18, 2), VIRTIO_MAX_QUEUES); i++) {
        driver_set_queue(d, i);
    }
    driver_write(d, 16, 2, 0);
    driver_write(d, 20, 1, 15); // DRIVER_OK
    driver_let_work(g);
}

uint8_t *driver_memory(struct driver *d, uint64_t gpa)
{
    return d->g->vm.ram + gpa;
}

void driver_descriptor(struct driver *d, uint16_t queue, uint16_t index, uint64_t gpa, uint32_t length,
                       uint16_t flags, uint16_t next)
{
    uint8_t *at = driver_memory(d, d->queue[queue].descriptors + index * 16ull);

    memcpy(at, &gpa, 8);
    memcpy(at + 8, &length, 4);
    memcpy(at + 12, &flags, 2);
    memcpy(at + 14, &next, 2);
}

void driver_make_available(struct driver *d, uint16_t queue, uint16_t head)
{
    struct driver_queue *q = &d->queue[queue];
    uint8_t *ring = driver_memory(d, q->available);

    memcpy(ring + 4 + q->next_available % DRIVER_QUEUE_SIZE * 2, &head, 2);
    q->next_available++;
    memcpy(ring + 2, &q->next_available, 2);
}

uint16_t driver_add(struct driver *d, uint16_t queue, const struct driver_buffer *buffers, uint16_t count)
{
    struct driver_queue *q = &d->queue[queue];
    uint16_t head = q->next_free;

    for (uint16_t i = 0; i < count; i++) {
        uint16_t next = (uint16_t)((q->next_free + 1) % DRIVER_QUEUE_SIZE);

        driver_descriptor(
            d, queue, q->next_free, buffers[i].gpa, buffers[i].length,
            (uint16_t)((i + 1 < count ? DESC_NEXT : 0) | (buffers[i].writable ? DESC_WRITE : 0)), next);
        q->next_free = next;
    }
    driver_make_available(d, queue, head);
    return head;
}

void driver_let_work(struct fake_guest *g)
{
    unsigned turns = 0;

    while (g->vm.work_queued) {
        g->vm.work_queued = false;
        if (vm_work(&g->vm)) {
            dp_work(&g->vm);
        }
        if (++turns > 10000) {
            abort(); // it never comes to rest
        }
    }
}

void driver_kick(struct driver *d, uint16_t queue)
{
    driver_write(d, VIRTIO_NOTIFY_OFFSET + queue * VIRTIO_NOTIFY_STRIDE, 2, queue);
    driver_let_work(d->g);
}

bool driver_used(struct driver *d, uint16_t queue, uint16_t *head, uint32_t *length)
{
    struct driver_queue *q = &d->queue[queue];
    const uint8_t *ring = driver_memory(d, q->used);
    uint16_t index;

    memcpy(&index, ring + 2, 2);
    if (index == q->next_used) {
        return false;
    }
    memcpy(head, ring + 4 + q->next_used % DRIVER_QUEUE_SIZE * 8, 2);
    memcpy(length, ring + 8 + q->next_used % DRIVER_QUEUE_SIZE * 8, 4);
    q->next_used++;
    return true;
}
