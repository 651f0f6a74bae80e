// SPDX-License-Identifier: Apache-2.0
// Interrupts of devices to the data plane (VP 0): messages, I/O APIC inputs that several devices may share.
//
// Control plane, before the data plane runs. Nothing is taken back: a device that cannot be used is silenced.
#ifndef MGMT_DRIVERS_IRQ_H
#define MGMT_DRIVERS_IRQ_H

#include "mgmt/drivers/pci.h"
#include "mgmt/rt/interrupt.h"

#include <keelson/abi.h>

struct irq_message { // to be written into a device's MSI or MSI-X registers
    uint64_t address;
    uint32_t data;
    uint8_t vector;
};

// Takes a vector and has the hypervisor make a message of it. NO_RESOURCES: no vector left.
MUST_CHECK hv_status_t irq_message_map(struct irq_message *out);
// Who is called when it arrives; before the device may send it.
void irq_message_set(const struct irq_message *message, rt_handler_fn *fn, void *arg);

// Adds a handler to the device's INTx input (level, active low; what firmware wrote into Interrupt Line). All
// handlers of an input are called for each interrupt. NOT_FOUND: it has none.
MUST_CHECK hv_status_t irq_line_add(const struct pci_device *dev, rt_handler_fn *fn, void *arg);
// The same for an edge-triggered input, as ISA devices have them.
MUST_CHECK hv_status_t irq_edge_add(uint32_t gsi, rt_handler_fn *fn, void *arg);

#endif
