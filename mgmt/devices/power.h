// SPDX-License-Identifier: Apache-2.0
// Power-off, reset and power button of a hardware-reduced ACPI machine.
//
// Source: ACPI 6.4 "Sleep Control and Status Registers", "Reset Register", "Generic Event Device". The
// FADT and the DSDT point at these ports.
#ifndef MGMT_DEVICES_POWER_H
#define MGMT_DEVICES_POWER_H

#include "mgmt/devices/bus.h"
#include "mgmt/devices/ioapic.h"

enum power_request { POWER_NONE, POWER_OFF, POWER_RESET };

struct power {
    struct irq_line irq; // of the generic event device, level
    uint8_t sleep_control;
    uint8_t sleep_status;
    uint8_t events;             // MACHINE_GED_*
    enum power_request request; // what the guest asked for; sticky
};

extern const struct port_ops power_pm_ops;    // MACHINE_PM_PORT
extern const struct port_ops power_reset_ops; // MACHINE_RESET_PORT

void power_init(struct power *power, struct irq_line irq);
void power_button(struct power *power);

#endif
