// SPDX-License-Identifier: Apache-2.0
// NVMe controllers (NVM Express 1.4): one admin and one I/O queue pair, the first namespaces as disks.
#ifndef MGMT_DRIVERS_NVME_H
#define MGMT_DRIVERS_NVME_H

#include "mgmt/drivers/disk.h"

disk_probe_fn nvme_probe;

#endif
