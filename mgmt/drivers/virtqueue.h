// SPDX-License-Identifier: Apache-2.0
// A split virtqueue as driver and device share it (virtio 1.1, 2.6): layout and flags. Drivers of modern virtio devices.
#ifndef MGMT_DRIVERS_VIRTQUEUE_H
#define MGMT_DRIVERS_VIRTQUEUE_H

#include <keelson/types.h>

#define VIRTQ_MAX 256u // entries

#define VIRTQ_DESC_NEXT 1
#define VIRTQ_DESC_WRITE 2 // the device writes the buffer
#define VIRTQ_USED_NO_NOTIFY 1

struct virtq_desc { // 2.6.5
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};
struct virtq_avail { // 2.6.6
    uint16_t flags;
    uint16_t index;
    uint16_t ring[VIRTQ_MAX];
};
struct virtq_used_elem {
    uint32_t id;
    uint32_t length;
};
struct virtq_used { // 2.6.8
    uint16_t flags;
    uint16_t index;
    struct virtq_used_elem ring[VIRTQ_MAX];
};
struct virtq_memory {
    struct virtq_desc desc[VIRTQ_MAX];
    struct virtq_avail avail;
    struct virtq_used used __attribute__((aligned(16)));
};

#endif
