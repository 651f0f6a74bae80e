// SPDX-License-Identifier: Apache-2.0
// Network device (virtio 1.2 section 5.1) on a port of the virtual switch.
//
// One queue pair. Frames go out by switch_send() straight from the guest's buffers and come in by the port user's
// deliver(), which copies them into the guest's. Checksums and segmentation that the sending guest left undone
// travel with the frame; the switch does them unless the receiving guest takes such frames (vnet.user.takes_offload).
// Data plane.
#ifndef MGMT_DEVICES_VNET_H
#define MGMT_DEVICES_VNET_H

#include "mgmt/devices/virtio.h"
#include "mgmt/vswitch/port.h"

struct vnet_config { // 5.1.4
    uint8_t mac[6];
    uint16_t status;
} __attribute__((packed));

struct vnet {
    struct virtio virtio;
    struct dp_nic *nic;
    struct vnet_config config;
    struct switch_port_user user; // what the switch calls, with the vnet as `user`
    uint64_t malformed;           // frames of the guest that were not sent
    uint64_t no_buffers;          // frames for the guest that found too few
};

void vnet_init(struct vnet *n, struct dp_vm *vm, struct vpci_bus *bus, const struct guest_mem *mem,
               uint8_t slot, struct dp_nic *nic);

#endif
