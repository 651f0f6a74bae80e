// SPDX-License-Identifier: Apache-2.0
// Power-off, reset and power button of a hardware-reduced ACPI machine.

#include "mgmt/devices/power.h"

#define SLEEP_ENABLE 0x20
#define SLEEP_TYPE(v) (((v) >> 2) & 7)
#define SLEEP_CONTROL_KEPT 0x1c // SLP_EN reads as zero
#define WAKE_STATUS 0x80
#define RESET_CPU 0x04

enum { SLEEP_CONTROL, SLEEP_STATUS, GED_STATUS };

static uint8_t pm_read(void *dev, uint16_t offset)
{
    const struct power *power = dev;

    switch (offset) {
    case SLEEP_CONTROL:
        return power->sleep_control;
    case SLEEP_STATUS:
        return power->sleep_status;
    case GED_STATUS:
        return power->events;
    default:
        return 0;
    }
}

static void write_sleep_control(struct power *power, uint8_t value)
{
    power->sleep_control = value & SLEEP_CONTROL_KEPT;
    if ((value & SLEEP_ENABLE) && SLEEP_TYPE(value) == MACHINE_SLEEP_TYPE_S5 &&
        power->request == POWER_NONE) {
        power->request = POWER_OFF;
    }
}

static void pm_write(void *dev, uint16_t offset, uint8_t value)
{
    struct power *power = dev;

    switch (offset) {
    case SLEEP_CONTROL:
        write_sleep_control(power, value);
        break;
    case SLEEP_STATUS:
        power->sleep_status &= (uint8_t) ~(value & WAKE_STATUS);
        break;
    case GED_STATUS:
        power->events &= (uint8_t)~value;
        irq_set(&power->irq, power->events != 0);
        break;
    default:
        break;
    }
}

static uint8_t reset_read(void *dev, uint16_t offset)
{
    (void)dev;
    (void)offset;
    return 0;
}

static void reset_write(void *dev, uint16_t offset, uint8_t value)
{
    struct power *power = dev;

    (void)offset;
    if ((value & RESET_CPU) && power->request == POWER_NONE) {
        power->request = POWER_RESET;
    }
}

const struct port_ops power_pm_ops = {.read = pm_read, .write = pm_write};
const struct port_ops power_reset_ops = {.read = reset_read, .write = reset_write};

void power_init(struct power *power, struct irq_line irq)
{
    *power = (struct power){.irq = irq};
}

void power_button(struct power *power)
{
    power->events |= MACHINE_GED_POWER_BUTTON;
    irq_set(&power->irq, true);
}
