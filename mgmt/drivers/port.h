// SPDX-License-Identifier: Apache-2.0
// Access to I/O ports. Functions, so that unit tests link a model of the device in their place.
#ifndef MGMT_DRIVERS_PORT_H
#define MGMT_DRIVERS_PORT_H

#include <keelson/types.h>

uint8_t port_read8(uint16_t port);
uint16_t port_read16(uint16_t port);
void port_write8(uint16_t port, uint8_t value);
void port_write32(uint16_t port, uint32_t value);

#endif
