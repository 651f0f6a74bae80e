// SPDX-License-Identifier: Apache-2.0
// Access to device registers. Functions, so that unit tests link a model of the device in their place.
#ifndef MGMT_DRIVERS_MMIO_H
#define MGMT_DRIVERS_MMIO_H

#include <keelson/types.h>

typedef struct { // one mapped BAR
    uintptr_t base;
} mmio_t;

// Registers at a physical address (root GPA).
mmio_t mmio_map(uint64_t address);

uint8_t mmio_read8(mmio_t m, uint32_t offset);
uint16_t mmio_read16(mmio_t m, uint32_t offset);
uint32_t mmio_read32(mmio_t m, uint32_t offset);
void mmio_write8(mmio_t m, uint32_t offset, uint8_t value);
void mmio_write16(mmio_t m, uint32_t offset, uint16_t value);
void mmio_write32(mmio_t m, uint32_t offset, uint32_t value);

// Waits about this long, for the few places where a device wants it at its start.
void mmio_delay_us(uint32_t us);

#endif
