// SPDX-License-Identifier: Apache-2.0
// What disk drivers have in common with their start: how a controller is probed and what it gives.
//
// A driver is probed by the control plane while the data plane does not run yet. It gets one chunk of zeroed memory
// for everything: its own state, what the device reads and writes, a bounce buffer. From then on only the data plane
// (VP 0) touches it, through the block devices that it gave; interrupt() as an interrupt handler.
#ifndef MGMT_DRIVERS_DISK_H
#define MGMT_DRIVERS_DISK_H

#include "mgmt/block/block.h"
#include "mgmt/drivers/irq.h"
#include "mgmt/drivers/pci.h"

#define DISK_MEMORY_SIZE PAGE_SIZE_2M
#define DISK_BOUNCE_SIZE ((uint64_t)BLOCK_MAX_SECTORS * BLOCK_SECTOR)
#define DISK_BOUNCE_OFFSET (DISK_MEMORY_SIZE - DISK_BOUNCE_SIZE)
#define DISK_PER_CONTROLLER 8u

struct disk_memory { // DISK_MEMORY_SIZE bytes, aligned to their size
    uint8_t *va;
    uint64_t gpa;
};

enum disk_interrupt { DISK_IRQ_LINE, DISK_IRQ_MESSAGE, DISK_IRQ_EDGE };

struct disk_controller { // filled by a driver's probe
    struct block_device *devices[DISK_PER_CONTROLLER];
    uint32_t count;
    // Interrupt context: takes the cause away and marks devices pending.
    rt_handler_fn *interrupt;
    // Lets the device interrupt; called once, when its interrupt has a handler and a route. May be NULL.
    void (*enable)(void *arg);
    void *arg; // of both
    enum disk_interrupt irq;
    uint32_t edge_gsi; // DISK_IRQ_EDGE
};

struct disk_setup {
    struct pci_device pci;
    struct disk_memory memory;
    uint32_t unit;                     // of a controller that is several: 0, 1 ..
    const struct irq_message *message; // NULL: none to be had
};

// Resets the controller, finds its devices and their facts. It does not interrupt yet. False: *why says what is
// wrong, and the device neither interrupts nor does DMA. No devices at all is not an error.
typedef bool disk_probe_fn(const struct disk_setup *setup, struct disk_controller *out, const char **why);

struct disk_driver {
    const char *name;
    disk_probe_fn *probe;
    uint32_t units; // controllers in one PCI function
};

// The driver for a PCI function, NULL if there is none.
const struct disk_driver *disk_driver_find(const struct pci_device *dev);

// Copies text of a device (padded with blanks, in ATA with swapped bytes): printable characters, trimmed.
void disk_copy_text(char *out, size_t cap, const uint8_t *text, size_t length, bool swapped);

#endif
