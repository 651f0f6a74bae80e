// SPDX-License-Identifier: Apache-2.0
// Entropy device (virtio 1.2 section 5.4).
//
// The data plane has no source of randomness: bytes come from vm->entropy, a ring that the control plane fills when
// it is asked by DP_EV_ENTROPY, at most once in VRNG_ASK_NS. A guest that wants more waits. Data plane.
#ifndef MGMT_DEVICES_VRNG_H
#define MGMT_DEVICES_VRNG_H

#include "mgmt/devices/virtio.h"

#define VRNG_ASK_NS 2000000ull

struct vrng {
    struct virtio virtio;
    uint64_t ask_ns; // not before this (plat_now_ns())
    bool starving;   // a chain waits for bytes
    uint64_t bytes;  // given to the guest
};

void vrng_init(struct vrng *r, struct dp_vm *vm, struct vpci_bus *bus, const struct guest_mem *mem);
// The control plane has filled vm->entropy.
void vrng_refilled(struct vrng *r);
// When vrng_run() wants to be called; 0: not at all.
uint64_t vrng_deadline(const struct vrng *r);
void vrng_run(struct vrng *r, uint64_t now_ns);

#endif
