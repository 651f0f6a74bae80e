// SPDX-License-Identifier: Apache-2.0
// Guests' disks without a machine: the real store, the real control plane's side of them, and the data plane's, all
// over one simulated disk (disk_sim.h), turn by turn.
#ifndef TESTS_SIM_GUEST_DISK_H
#define TESTS_SIM_GUEST_DISK_H

#include "mgmt/block/mapped_disk.h"
#include "mgmt/core/kept_disk.h"
#include "mgmt/state/state.h"
#include "tests/sim/disk_sim.h"

#define GUEST_DISKS_MAX 8u

extern struct disk_sim guest_disk_sim; // what the state partition lies on

void guest_disk_node_init(uint64_t sectors, uint64_t seed);
void guest_disk_node_end(void);
// Opens the store. False: it cannot be used.
bool guest_disk_node_start(void);
// Closes it.
void guest_disk_node_stop(void);
// Completes one request of the simulated disk, and lets both planes work.
void guest_disk_turn(void);
// How often a turn did nothing lately: whoever waits for something is stuck.
bool guest_disk_idle(void);

// A guest's use of a disk, held and open. NULL: refused.
struct mapped_disk *guest_disk_open(const char *name, bool read_only);
void guest_disk_close(struct mapped_disk *d); // no request may be under way

// The keeper's calls, waited for.
enum core_status guest_disk_create(const char *name, uint64_t size, const char *base);
enum core_status guest_disk_snapshot(const char *name, const char *snapshot);
enum core_status guest_disk_remove(const char *name);
enum core_status guest_disk_resize(const char *name, uint64_t size);

// The value of a sample in /metrics; labels as in "disk=a,operation=read". False: it is not there.
bool guest_disk_metric(const char *family, const char *labels, uint64_t *value);

// Memory that a guest could have, at `offset` of it.
uint8_t *guest_disk_memory(uint64_t offset);
uint64_t guest_disk_gpa(uint64_t offset);
// One request, waited for; its data are the beginning of that memory, in one piece.
enum block_status guest_disk_request_raw(struct mapped_disk *d, struct block_request *r);
enum block_status guest_disk_request(struct mapped_disk *d, enum block_op op, uint64_t sector,
                                     uint32_t sectors);

#endif
