// SPDX-License-Identifier: Apache-2.0
// The node's disks and their partitions, by name and by type.
//
// Filled by the control plane before the data plane runs, and never changed afterwards: both planes may read names,
// sizes and partitions. The devices' state belongs to the data plane, which runs them by disks_service().
#ifndef MGMT_BLOCK_DISKS_H
#define MGMT_BLOCK_DISKS_H

#include "mgmt/block/block.h"
#include "mgmt/block/gpt.h"

#define DISKS_MAX 16u

struct node_partition {
    struct block_device dev;
    struct gpt_partition entry;
};

struct node_disk {
    struct block_device *dev;
    enum gpt_source table;
    bool table_damaged; // the primary table was refused
    uint32_t partition_count;
    struct node_partition partitions[GPT_PARTITIONS_MAX];
};

// --- set-up, control plane ---
// Takes a device in and names it: "disk0", "disk1" ... NULL when there are too many.
struct node_disk *disks_add(struct block_device *dev);
// Its partitions become devices: "disk0p4" is entry 4.
void disks_set_partitions(struct node_disk *disk, const struct gpt *gpt, bool damaged);

// --- both planes ---
const struct node_disk *disks_get(uint32_t index); // NULL beyond the last
struct block_device *disks_find(const char *name); // disk or partition; NULL if there is none
// The first partition of that type, NULL if there is none. *found (may be NULL): how many there are.
struct block_device *disks_find_type(const struct gpt_guid *type, uint32_t *found);

// --- data plane ---
bool disks_pending(void); // some device wants to be served
uint64_t
disks_service(uint64_t now_ns); // serves them, and those whose deadline has passed; returns the next one

#endif
