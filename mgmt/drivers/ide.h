// SPDX-License-Identifier: Apache-2.0
// IDE controllers with bus-master DMA, such as the PIIX3's ("Programming Interface for Bus Master IDE Controller"
// revision 1.0; ATA/ATAPI-6 for the registers). Hard disks only; one channel is one controller here.
#ifndef MGMT_DRIVERS_IDE_H
#define MGMT_DRIVERS_IDE_H

#include "mgmt/drivers/disk.h"

#define IDE_CHANNELS 2u

disk_probe_fn ide_probe;

#endif
