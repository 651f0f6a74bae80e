// SPDX-License-Identifier: Apache-2.0
// Console device with one port (virtio 1.2 section 5.3, without VIRTIO_CONSOLE_F_MULTIPORT) over struct dp_console.
//
// What the guest writes waits in its buffers while the control plane's ring is full; what comes from there waits in
// the ring while the guest has given no buffers. Nothing is lost. Data plane.
#ifndef MGMT_DEVICES_VCON_H
#define MGMT_DEVICES_VCON_H

#include "mgmt/devices/virtio.h"

struct vcon {
    struct virtio virtio;
    struct dp_console *console;
    uint64_t sent_of_chain; // bytes of the transmit queue's next chain that are in the ring already
    uint64_t sent, received;
};

void vcon_init(struct vcon *c, struct dp_vm *vm, struct vpci_bus *bus, const struct guest_mem *mem,
               struct dp_console *console);
// Bytes were put into the console's rx ring, or room was made in tx.
void vcon_console_changed(struct vcon *c);

#endif
