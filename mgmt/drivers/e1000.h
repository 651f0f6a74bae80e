// SPDX-License-Identifier: Apache-2.0
// Driver of the Intel 82540EM family ("e1000"), after the PCI/PCI-X Family of Gigabit Ethernet Controllers
// Software Developer's Manual (317453), and of the 82574L ("e1000e"), after its datasheet (317694).
#ifndef MGMT_DRIVERS_E1000_H
#define MGMT_DRIVERS_E1000_H

#include "mgmt/drivers/nic.h"

// See nic_probe(). Both use the INTx line.
struct nic *e1000_probe(const struct pci_device *dev, struct frame_rings *rings, struct nic_memory frames,
                        struct nic_memory dma, const struct nic_msi *msi, const char **why);
struct nic *e1000e_probe(const struct pci_device *dev, struct frame_rings *rings, struct nic_memory frames,
                         struct nic_memory dma, const struct nic_msi *msi, const char **why);

#endif
