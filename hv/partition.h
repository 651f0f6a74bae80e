// SPDX-License-Identifier: Apache-2.0
// Partitions: life cycle, memory pool, GPA space.
//
// Life cycle (TLFS "Partition States"):
//
//   create --> UNINITIALIZED --initialize--> ACTIVE --finalize--> FINALIZED --delete--> gone
//                    \____________________________delete_________________^
//
// Everything here is protected by the hypervisor lock (hv/lock.h) except what is marked otherwise:
// (c) constant after creation, (a) atomic.
#ifndef HV_PARTITION_H
#define HV_PARTITION_H

#include "hv/log_limit.h"
#include <keelson/abi.h>

struct vp;

enum partition_state { PARTITION_UNINITIALIZED, PARTITION_ACTIVE, PARTITION_FINALIZED };

#define HV_MAX_PARTITIONS 1024

struct page_pool { // free pages, linked through their first eight bytes
    void *first;
    uint64_t free_pages;
    uint64_t used_pages;
};

struct partition {
    uint64_t id;                    // (c) index | generation << 16; root is 1
    uint16_t index;                 // (c) in the partition table and in the frame table
    bool is_root;                   // (c)
    uint8_t state;                  // enum partition_state
    struct partition *parent;       // (c)
    struct partition *next_sibling; // children of root, in creation order
    struct page_pool pool;

    // GPA space: root of the second-level tables and the number of pages that make them up.
    uint64_t *npt_root; // (c)
    uint64_t npt_pages;
    uint64_t gpa_generation; // (a) changes with every gpa_flush()
    uint64_t mapped_pages;
    spa_t
        apic_access; // (c) page at GPA 0xfee00000 when the processor virtualizes the APIC; never used as memory
    uint8_t gpa_width;  // bits
    uint64_t eptp;      // (c) VT-x: EPT pointer; AMD-V: nCR3
    uint16_t vpid_base; // (c)

    uint64_t privileges;
    struct vp *vps[HV_MAX_VPS_PER_PARTITION]; // (a) by index
    uint32_t vp_count;
    bool suspended; // HV_PROP_SUSPEND

    // Scheduling properties (TLFS "Partition Properties").
    uint32_t cpu_weight, cpu_cap, cpu_reserve;

    // Synthetic state of the partition (hv/synthetic.c): (a)
    uint64_t guest_os_id;
    uint64_t hypercall_msr;
    uint64_t reference_tsc_msr;
    uint32_t reference_tsc_sequence;
    uint64_t tsc_invariant_msr;
    uint64_t time_base_tsc; // TSC at which the reference counter was 0

    // Intercepts waiting for this partition (as parent): suspended VPs in detection order.
    struct vp *intercept_first, *intercept_last; // intercept lock
    struct vp *intercept_waiter;                 // VP blocked in HvCallXInterceptWait

    struct log_limit log_limit; // (a)

    uint64_t exits[64]; // summed counters of VPs that are gone
};

// The partition with this id as `caller` may name it: SELF, itself, or (if it may manage) a child. NULL if
// there is none.
struct partition *partition_lookup(struct partition *caller, uint64_t id);
extern struct partition *root_partition;

MUST_CHECK hv_status_t partition_create(struct partition *parent, uint64_t *id);
MUST_CHECK hv_status_t partition_initialize(struct partition *p);
MUST_CHECK hv_status_t partition_finalize(struct partition *p);
MUST_CHECK hv_status_t partition_delete(struct partition *p);
MUST_CHECK hv_status_t partition_get_property(struct partition *p, uint32_t code, uint64_t *value);
MUST_CHECK hv_status_t partition_set_property(struct partition *p, uint32_t code, uint64_t value);
// The child created after `previous` (INVALID: the first); INVALID at the end, SELF if previous is no child.
uint64_t partition_next_child(struct partition *parent, uint64_t previous);
uint32_t partition_count(void);

// A zeroed page of the partition's pool, or NULL. Freed pages return to the same pool.
void *partition_page_alloc(struct partition *p);
void partition_page_free(struct partition *p, void *page);

#endif
