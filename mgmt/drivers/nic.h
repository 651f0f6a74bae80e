// SPDX-License-Identifier: Apache-2.0
// What NIC drivers have in common, and how the data plane drives them.
//
// A driver is probed by the control plane while the data plane does not run yet; from then on only the
// data plane (VP 0) touches it: nic_interrupt() as an interrupt handler, ops->service() from the loop.
#ifndef MGMT_DRIVERS_NIC_H
#define MGMT_DRIVERS_NIC_H

#include "mgmt/drivers/frames.h"
#include "mgmt/drivers/pci.h"

#define NIC_DMA_SIZE 65536u // descriptor rings
#define NIC_RX_BUDGET 64u   // frames a service call takes in, so that guests wait no longer than that

struct nic;

struct nic_memory { // given at the start, page aligned, below the NIC's addressing limit
    uint8_t *va;
    uint64_t gpa;
};

struct nic_ops {
    const char *name;
    // Lets the device interrupt; called once, when its interrupt has a handler and a route. A level input that
    // is asserted before it has a route may never be seen by an I/O APIC. NULL: nothing to do.
    void (*enable)(struct nic *nic);
    // Asks the device why it interrupts and takes the cause away. Interrupt context.
    void (*interrupt)(struct nic *nic);
    // Moves frames between rings and device. True: there is more to do at once.
    bool (*service)(struct nic *nic);
};

struct nic {
    const struct nic_ops *ops;
    struct frame_rings *rings;
    uint8_t mac[6];
    bool uses_msi; // MSI-X is set up; otherwise the INTx line
    bool pending;  // an interrupt came in: service wanted
    uint64_t interrupts;
};

struct nic_msi { // what the hypervisor said when a message interrupt was mapped
    bool available;
    uint64_t address;
    uint32_t data;
};

// Handler to register with rt_vector_set(); arg is the struct nic.
void nic_interrupt(void *arg);

// Takes a driver for the device if there is one: resets the device, reads its address, fills receive buffers.
// It does not interrupt yet: INTx is disabled, see nic_enable(). Returns NULL when no driver knows it (*why: NULL) or it failed (*why says what).
struct nic *nic_probe(const struct pci_device *dev, struct frame_rings *rings, struct nic_memory frames,
                      struct nic_memory dma, const struct nic_msi *msi, const char **why);

// Interrupts on.
void nic_enable(struct nic *nic, const struct pci_device *dev);

// Is there a driver for it?
bool nic_known(const struct pci_device *dev);

#endif
