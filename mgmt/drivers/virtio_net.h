// SPDX-License-Identifier: Apache-2.0
// Driver of the virtio network device in its modern PCI form (OASIS Virtual I/O Device 1.1).
#ifndef MGMT_DRIVERS_VIRTIO_NET_H
#define MGMT_DRIVERS_VIRTIO_NET_H

#include "mgmt/drivers/nic.h"

// See nic_probe(). Uses MSI-X when a message interrupt is available, else the INTx line.
struct nic *virtio_net_probe(const struct pci_device *dev, struct frame_rings *rings,
                             struct nic_memory frames, struct nic_memory dma, const struct nic_msi *msi,
                             const char **why);

#endif
