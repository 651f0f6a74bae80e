// SPDX-License-Identifier: Apache-2.0
// virtio-blk in its modern form on PCI (virtio 1.1, 5.2): one split virtqueue.
#ifndef MGMT_DRIVERS_VIRTIO_BLK_H
#define MGMT_DRIVERS_VIRTIO_BLK_H

#include "mgmt/drivers/disk.h"

disk_probe_fn virtio_blk_probe;

#endif
