// SPDX-License-Identifier: Apache-2.0
// One guest partition: its memory, its hypervisor objects and its place in the data plane.
//
// Building and taking down are long (a gigabyte is zeroed, thousands of pages move), so both run as
// tables of small steps from the event loop, each turn bounded to a fraction of a millisecond. Each
// resource is recorded the moment it exists; taking down undoes exactly what is recorded, so that it
// serves a failure in the middle of building as well as the end of a guest.
//
//           partition_build()            partition_start()
//   EMPTY ──────────────────► BUILDING ─► READY ─────────► RUNNING ◄──► (partition_pause)
//     ▲                          │ failure   │                │
//     │                          ▼           ▼                ▼ partition_stop()
//     └───────────────────── STOPPING ◄──────┴────────────────┘
//                                │ the hypervisor refuses to let go
//                                ▼
//                              STUCK: its memory is never reused (a guest might still reach it)
#ifndef MGMT_CORE_PARTITION_H
#define MGMT_CORE_PARTITION_H

#include "mgmt/core/disk.h"
#include "mgmt/core/network.h"
#include "mgmt/dataplane/dp.h"
#include "mgmt/devices/kernel_loader.h"
#include "mgmt/plat.h"

#define PARTITION_MEMORY_UNIT PAGE_SIZE_2M

struct partition_module {
    const struct image *image;
    const char *name, *arguments;
};

struct partition_config {  // pointers must stay valid as long as the partition is not EMPTY
    uint64_t memory_bytes; // multiple of PARTITION_MEMORY_UNIT
    uint32_t vp_count;     // 1..DP_MAX_VPS
    uint32_t weight;       // 1..10000; 100 is the default
    uint32_t cap;          // HV_PROP_CPU_CAP units; 0x10000: none
    uint32_t reserve;      // HV_PROP_CPU_RESERVE units
    bool com[DP_CONSOLES];
    const struct image *kernel;
    const char *cmdline; // NULL: empty
    struct partition_module module[KERNEL_MAX_MODULES];
    uint32_t module_count;
    struct disk_source disk[DP_MAX_DISKS];
    uint8_t disk_count;
    struct network_adapter nic[DP_MAX_NICS]; // taken
    uint8_t nic_count;
};

enum partition_phase {
    PARTITION_EMPTY,
    PARTITION_BUILDING,
    PARTITION_READY,   // attached, all VPs explicitly suspended
    PARTITION_RUNNING, // or paused
    PARTITION_STOPPING,
    PARTITION_STUCK,
};

struct partition;
struct partition_step; // partition_steps.h

// `error->status` is CORE_OK for success.
typedef void (*partition_done_fn)(struct partition *p, const struct core_error *error);

struct partition {
    struct partition_config cfg;
    enum partition_phase phase;

    // What exists. Undone in reverse order by taking down.
    gpa_t ram;                       // guest memory, one run of ram_chunks * 2 MiB
    size_t ram_chunks;               // 0: none
    struct disk *disk[DP_MAX_DISKS]; // kept over a reset, like ram
    uint8_t disks_ready;             // filled: 0 .. disks_ready - 1
    void *vm_block;                  // heap block that holds vm, its rings and its device models
    struct dp_vm *vm;                // 64-byte aligned inside vm_block
    uint64_t id;                     // hypervisor's partition id; 0: not created
    bool initialized;                // HvCallInitializePartition done
    uint64_t pages;                  // deposited and not yet withdrawn
    uint32_t vps;                    // created: 0 .. vps - 1
    uint32_t state_pages;            // mapped, in order: 2 a VP
    bool attached;                   // the data plane has a pointer to vm
    bool detaching;                  // DP_CMD_DETACH was sent

    // The work in progress.
    const struct partition_step *steps;
    size_t step;
    uint64_t cursor;    // position within a step
    unsigned retries;   // of a step that the hypervisor deferred
    bool no_huge_pages; // the hypervisor refused 1 GiB mappings
    bool keep_ram;      // taking down for a reset: memory stays with us
    bool cancel;        // building must not succeed any more
    struct plat_work work;
    struct plat_timer timer; // retry
    struct core_error error; // what made building fail
    partition_done_fn done;

    // Loader, used while building.
    struct kernel_boot boot;
    struct kernel_load load;
};

// Starts building; `done` is called once, later. On failure everything has been undone (phase EMPTY, or
// STUCK). The partition must be EMPTY and *p zeroed before its first use.
void partition_build(struct partition *p, const struct partition_config *cfg, partition_done_fn done);
// Makes a build in progress fail with `reason` as its error. Only while BUILDING.
void partition_cancel(struct partition *p, const struct core_error *reason);
// 0..100, while BUILDING or STOPPING.
unsigned partition_progress(const struct partition *p);
// Lets the VPs of a READY partition run.
enum core_status partition_start(struct partition *p, struct core_error *error);
// Stops or continues all VPs of a RUNNING partition.
enum core_status partition_pause(struct partition *p, bool pause, struct core_error *error);
// Takes down a READY or RUNNING partition; every page goes back to its owner. With keep_ram the guest's
// memory and disks stay for the next build (reset in place). `done` is called once, later.
void partition_stop(struct partition *p, bool keep_ram, partition_done_fn done);
// Gives back memory and disks kept by partition_stop(keep_ram). Only while EMPTY.
void partition_drop_ram(struct partition *p);
// The data plane has let go (DP_EV_DETACHED).
void partition_detached(struct partition *p);
// Would a partition of this size be admitted now?
enum core_status partition_admit(uint64_t memory_bytes, struct core_error *error);
// Registers of a VP as lines of text, for the report of a crash. Returns the length.
size_t partition_describe_vp(const struct partition *p, uint32_t vp, char *buf, size_t cap);

#endif
