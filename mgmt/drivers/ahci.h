// SPDX-License-Identifier: Apache-2.0
// SATA disks behind AHCI controllers (Serial ATA AHCI 1.3.1). No port multipliers, no packet devices.
#ifndef MGMT_DRIVERS_AHCI_H
#define MGMT_DRIVERS_AHCI_H

#include "mgmt/drivers/disk.h"

disk_probe_fn ahci_probe;

#endif
