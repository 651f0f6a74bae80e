// SPDX-License-Identifier: Apache-2.0
// Finding the machine's devices at boot and giving disks and the first NIC to the data plane. Control plane.
#ifndef MGMT_DRIVERS_BRING_UP_H
#define MGMT_DRIVERS_BRING_UP_H

#include "mgmt/drivers/nic.h"

// Enumerates PCI, silences devices without a driver and names those that somebody may miss, starts disks. Returns the
// NIC that the data plane is to serve, with its interrupt mapped, or NULL.
struct nic *drivers_bring_up(void);

#endif
