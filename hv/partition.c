// SPDX-License-Identifier: Apache-2.0
// Partition life cycle, identifiers, properties and pools.
#include "hv/partition.h"

#include "arch/x86/policy.h"
#include "hv/cpu.h"
#include "hv/frames.h"
#include "hv/gpa.h"
#include "hv/hypercall.h"
#include "hv/sched.h"
#include "hv/share.h"
#include "hv/vp.h"

#define PRIV(bit) BIT(bit)
// Privileges of a child (TLFS HV_PARTITION_PRIVILEGE_MASK): run time, reference counter, synthetic timers,
// interrupt control, hypercall, VP index, reference TSC, frequency registers; no SynIC, no management.
#define CHILD_PRIVILEGES                                                                                     \
    (PRIV(0) | PRIV(1) | PRIV(3) | PRIV(4) | PRIV(5) | PRIV(6) | PRIV(9) | PRIV(11) | PRIV(15) | PRIV(49))
// Nor the partition id: Linux 6.1 (hyperv_init) takes whoever may ask for it for a root partition with an
// output page, and dereferences NULL.
#define ROOT_PRIVILEGES (CHILD_PRIVILEGES | PRIV(32) | PRIV(33) | PRIV(34) | PRIV(44))

static struct partition root_storage = {
    .id = 1 | 1 << 16,
    .index = 1,
    .is_root = true,
    .state = PARTITION_ACTIVE,
    .privileges = ROOT_PRIVILEGES,
    .cpu_weight = 100,
    .cpu_cap = SHARE_UNIT,
    .cpu_reserve = SHARE_MANAGEMENT,
    .gpa_width = 46,
};
struct partition *root_partition = &root_storage;

static struct partition *table[HV_MAX_PARTITIONS]; // by index; 0 unused
static uint16_t generation[HV_MAX_PARTITIONS];
static struct partition *last_child;

static struct partition *by_id(uint64_t id)
{
    uint64_t index = id & 0xffff;

    if (id == root_partition->id) {
        return root_partition;
    }
    if (index >= HV_MAX_PARTITIONS || table[index] == NULL || table[index]->id != id) {
        return NULL;
    }
    return table[index];
}

struct partition *partition_lookup(struct partition *caller, uint64_t id)
{
    struct partition *p = id == HV_PARTITION_ID_SELF ? caller : by_id(id);

    if (p == NULL || (p != caller && p->parent != caller)) {
        return NULL;
    }
    return p;
}

void *partition_page_alloc(struct partition *p)
{
    return pool_take(&p->pool);
}

void partition_page_free(struct partition *p, void *page)
{
    p->pool.used_pages--;
    pool_put(&p->pool, page);
}

static uint16_t free_index(void)
{
    for (uint16_t i = 2; i < HV_MAX_PARTITIONS; i++) {
        if (table[i] == NULL) {
            return i;
        }
    }
    return 0;
}

_Static_assert(sizeof(struct partition) <= PAGE_SIZE, "a partition is one page");

hv_status_t partition_create(struct partition *parent, uint64_t *id)
{
    uint16_t index = free_index();
    struct partition *p;

    if (!parent->is_root) {
        return HV_STATUS_PARTITION_TOO_DEEP;
    }
    if (index == 0) {
        return HV_STATUS_NO_RESOURCES;
    }
    p = partition_page_alloc(parent);
    if (p == NULL) {
        return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    generation[index]++;
    p->id = index | (uint64_t)generation[index] << 16;
    p->index = index;
    p->parent = parent;
    p->state = PARTITION_UNINITIALIZED;
    p->privileges = CHILD_PRIVILEGES;
    p->cpu_weight = 100;
    p->cpu_cap = SHARE_UNIT;
    p->gpa_width = root_partition->gpa_width;
    if (last_child == NULL) {
        parent->next_sibling = p;
    } else {
        last_child->next_sibling = p;
    }
    last_child = p;
    table[index] = p;
    *id = p->id;
    return HV_STATUS_SUCCESS;
}

hv_status_t partition_initialize(struct partition *p)
{
    if (p->state != PARTITION_UNINITIALIZED) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    if (!gpa_space_init(p)) {
        return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    p->time_base_tsc = host_tsc();
    p->state = PARTITION_ACTIVE;
    return HV_STATUS_SUCCESS;
}

hv_status_t partition_finalize(struct partition *p)
{
    if (p->is_root) {
        return HV_STATUS_ACCESS_DENIED;
    }
    if (p->state != PARTITION_ACTIVE) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    for (uint32_t i = 0; i < HV_MAX_VPS_PER_PARTITION; i++) {
        if (p->vps[i] != NULL) {
            vp_destroy(p->vps[i]);
        }
    }
    gpa_flush(p);
    gpa_space_fini(p);
    p->state = PARTITION_FINALIZED;
    return HV_STATUS_SUCCESS;
}

static void unlink_child(struct partition *p)
{
    struct partition *prev = p->parent;

    while (prev->next_sibling != p) {
        prev = prev->next_sibling;
    }
    prev->next_sibling = p->next_sibling;
    if (last_child == p) {
        last_child = prev == p->parent ? NULL : prev;
    }
}

hv_status_t partition_delete(struct partition *p)
{
    if (p->is_root || p->state == PARTITION_ACTIVE) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    if (p->pool.free_pages + p->pool.used_pages != 0) {
        return HV_STATUS_OPERATION_DENIED;
    }
    unlink_child(p);
    log_limit_end(&p->log_limit, p->index);
    table[p->index] = NULL;
    partition_page_free(p->parent, p);
    return HV_STATUS_SUCCESS;
}

uint64_t partition_next_child(struct partition *parent, uint64_t previous)
{
    struct partition *p = parent;

    if (previous != HV_PARTITION_ID_INVALID) {
        p = by_id(previous);
        if (p == NULL || p->parent != parent) {
            return HV_PARTITION_ID_SELF; // not a child: the caller turns this into INVALID_PARTITION_ID
        }
    }
    return p->next_sibling == NULL ? HV_PARTITION_ID_INVALID : p->next_sibling->id;
}

uint32_t partition_count(void)
{
    uint32_t n = 1;

    for (struct partition *p = root_partition->next_sibling; p != NULL; p = p->next_sibling) {
        n++;
    }
    return n;
}

hv_status_t partition_get_property(struct partition *p, uint32_t code, uint64_t *value)
{
    switch (code) {
    case HV_PROP_PRIVILEGE_FLAGS:
        *value = p->privileges;
        break;
    case HV_PROP_SUSPEND:
        *value = p->suspended;
        break;
    case HV_PROP_CPU_RESERVE:
        *value = p->cpu_reserve;
        break;
    case HV_PROP_CPU_CAP:
        *value = p->cpu_cap;
        break;
    case HV_PROP_CPU_WEIGHT:
        *value = p->cpu_weight;
        break;
    case HV_PROP_REFERENCE_TIME:
        *value = reference_time(p);
        break;
    case HV_PROP_PHYS_ADDR_WIDTH:
        *value = p->gpa_width;
        break;
    case HV_PROP_PROCESSOR_CLOCK_FREQUENCY:
        *value = host_tsc_hz;
        break;
    case HV_PROP_GUEST_OS_ID:
        *value = p->guest_os_id;
        break;
    default:
        return HV_STATUS_UNKNOWN_PROPERTY;
    }
    return HV_STATUS_SUCCESS;
}

static void suspend_all(struct partition *p, bool suspend)
{
    p->suspended = suspend;
    for (uint32_t i = 0; i < HV_MAX_VPS_PER_PARTITION; i++) {
        if (p->vps[i] == NULL) {
            continue;
        }
        if (suspend) {
            vp_stop(p->vps[i], VP_BLOCK_PARTITION);
        } else {
            vp_unblock(p->vps[i], VP_BLOCK_PARTITION);
        }
    }
}

static hv_status_t set_in_range(uint32_t *field, uint64_t value, uint64_t low, uint64_t high)
{
    if (value < low || value > high) {
        return HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE;
    }
    *field = (uint32_t)value;
    return HV_STATUS_SUCCESS;
}

// A cap or a reservation: VPs that run are looked at again.
static hv_status_t set_limit(struct partition *p, uint32_t *field, uint64_t value, uint64_t low,
                             uint64_t high)
{
    hv_status_t status = set_in_range(field, value, low, high);

    share_assign();
    for (uint32_t i = 0; i < HV_MAX_VPS_PER_PARTITION && status == HV_STATUS_SUCCESS; i++) {
        if (p->vps[i] != NULL) {
            sched_update(p->vps[i]);
        }
    }
    return status;
}

hv_status_t partition_set_property(struct partition *p, uint32_t code, uint64_t value)
{
    if (p->is_root) {
        return HV_STATUS_ACCESS_DENIED;
    }
    if (code == HV_PROP_PRIVILEGE_FLAGS) { // early property: may only be narrowed
        if ((value & ~CHILD_PRIVILEGES) != 0) {
            return HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE;
        }
        p->privileges = value;
        return HV_STATUS_SUCCESS;
    }
    if (p->state != PARTITION_ACTIVE) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    switch (code) {
    case HV_PROP_SUSPEND:
        if (value > 1) {
            return HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE;
        }
        suspend_all(p, value == 1);
        return HV_STATUS_SUCCESS;
    case HV_PROP_CPU_RESERVE:
        if (value <= p->cpu_cap && !share_fits(p, MAX(p->vp_count, 1u), (uint32_t)value)) {
            return HV_STATUS_NO_RESOURCES;
        }
        return set_limit(p, &p->cpu_reserve, value, 0, p->cpu_cap);
    case HV_PROP_CPU_CAP:
        return set_limit(p, &p->cpu_cap, value, MAX(p->cpu_reserve, 1u), SHARE_UNIT);
    case HV_PROP_CPU_WEIGHT:
        return set_in_range(&p->cpu_weight, value, 1, 10000);
    default:
        return HV_STATUS_UNKNOWN_PROPERTY;
    }
}
