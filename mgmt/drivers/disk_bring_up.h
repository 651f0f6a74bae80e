// SPDX-License-Identifier: Apache-2.0
// Disks at boot: controllers probed, partition tables read, interrupts routed. Control plane, before the data
// plane runs.
#ifndef MGMT_DRIVERS_DISK_BRING_UP_H
#define MGMT_DRIVERS_DISK_BRING_UP_H

#include "mgmt/drivers/pci.h"

// Starts every controller among the PCI devices that has a driver, enters its disks into the list of
// mgmt/block/disks.h and names them in the log. What cannot be used is named and silenced.
void disks_bring_up(const struct pci_device *devices, size_t count);

#endif
