// SPDX-License-Identifier: Apache-2.0
// I/O APIC with 24 inputs, edge and level triggered.
//
// Source: Intel 82093AA I/O APIC datasheet; version register 0x20 with the EOI register of later chipsets
// (ICH "EOIR"). Interrupts leave through HvCallAssertVirtualInterrupt; the hypervisor reports the EOI of a
// level-triggered vector with HV_MSG_APIC_EOI.
//
//   level input:  line high and not masked and remote IRR clear -> deliver, set remote IRR
//                 EOI of the vector -> clear remote IRR, deliver again if the line is still high
//   edge input:   low-to-high while not masked -> deliver; while masked -> lost, as the datasheet says
#ifndef MGMT_DEVICES_IOAPIC_H
#define MGMT_DEVICES_IOAPIC_H

#include "mgmt/devices/bus.h"
#include "mgmt/devices/machine.h"

struct ioapic {
    uint64_t partition; // where interrupts go
    uint64_t entry[MACHINE_IOAPIC_PINS];
    uint32_t lines; // present level of the inputs, one bit each
    uint8_t select; // IOREGSEL
    uint8_t id;     // bits 27:24 of register 0
};

// An interrupt output of a device, wired to one input.
struct irq_line {
    struct ioapic *ioapic;
    uint8_t pin;
};

extern const struct mmio_ops ioapic_ops;

void ioapic_init(struct ioapic *ioapic, uint64_t partition);
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);
void irq_set(const struct irq_line *irq, bool high);

#endif
