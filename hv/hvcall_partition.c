// SPDX-License-Identifier: Apache-2.0
// Hypercalls about partitions, memory pools and GPA spaces (TLFS "Virtualization Host").
#include "hv/cpu.h"
#include "hv/frames.h"
#include "hv/gpa.h"
#include "hv/hvcall.h"
#include "hv/vp.h"

hv_status_t hvcall_create_partition(struct hvcall *c)
{
    const struct hv_create_partition_in *in = c->in;

    if (in->flags != 0 || in->pad != 0 || in->reserved != 0) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    return partition_create(c->vp->partition, c->out);
}

hv_status_t hvcall_initialize_partition(struct hvcall *c)
{
    return c->target->is_root ? HV_STATUS_ACCESS_DENIED : partition_initialize(c->target);
}

hv_status_t hvcall_finalize_partition(struct hvcall *c)
{
    return partition_finalize(c->target);
}

hv_status_t hvcall_delete_partition(struct hvcall *c)
{
    return partition_delete(c->target);
}

hv_status_t hvcall_get_partition_property(struct hvcall *c)
{
    const struct hv_partition_property_in *in = c->in;

    if (c->target->state != PARTITION_ACTIVE) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    return partition_get_property(c->target, in->code, c->out);
}

hv_status_t hvcall_set_partition_property(struct hvcall *c)
{
    const struct hv_partition_property_in *in = c->in;

    return partition_set_property(c->target, in->code, in->value);
}

hv_status_t hvcall_get_partition_id(struct hvcall *c)
{
    __builtin_memcpy(c->out, &c->vp->partition->id, sizeof(uint64_t));
    return HV_STATUS_SUCCESS;
}

hv_status_t hvcall_get_next_child_partition(struct hvcall *c)
{
    const struct hv_get_next_child_in *in = c->in;
    uint64_t next;

    if (!c->target->is_root) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    next = partition_next_child(c->target, in->previous);
    if (next == HV_PARTITION_ID_SELF) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    __builtin_memcpy(c->out, &next, sizeof(next));
    return HV_STATUS_SUCCESS;
}

// --- pools ---

// A page may be deposited if it is root's RAM, nobody maps it, and the hypervisor can take it out of root's
// GPA space.
static hv_status_t take_from_root(struct partition *target, uint64_t page)
{
    spa_t spa = SPA(page << PAGE_SHIFT);
    struct frame *f = page >> 36 != 0 ? NULL : frame_of(spa);
    struct gpa_mapping old;
    hv_status_t status;

    if (f == NULL || f->kind != FRAME_ROOT || f->mapped != 0) {
        return HV_STATUS_OPERATION_DENIED;
    }
    status = gpa_unmap(root_partition, GPA(spa.v), GPA_4K, &old);
    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    frame_set(spa, FRAME_POOL, target->index);
    return HV_STATUS_SUCCESS;
}

// Pages leave root's view first, then all processors forget them, then they join the pool.
hv_status_t hvcall_deposit_memory(struct hvcall *c)
{
    const uint64_t *pages = c->rep_in;
    hv_status_t status = HV_STATUS_SUCCESS;
    uint32_t done = 0;

    if (c->target->state == PARTITION_FINALIZED) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    while (status == HV_STATUS_SUCCESS && hvcall_more(c, done)) {
        status = take_from_root(c->target, pages[done]);
        done += status == HV_STATUS_SUCCESS;
    }
    if (done > 0) {
        gpa_flush(root_partition);
    }
    for (uint32_t i = 0; i < done; i++) {
        pool_put(&c->target->pool, spa_to_va(SPA(pages[i] << PAGE_SHIFT)));
    }
    c->rep_done = done;
    return status;
}

static hv_status_t give_to_root(struct partition *from, uint64_t *page)
{
    void *va = pool_remove(&from->pool);
    spa_t spa;
    hv_status_t status;

    if (va == NULL) {
        return HV_STATUS_NO_RESOURCES;
    }
    spa = va_to_spa(va);
    status = gpa_map(root_partition, GPA(spa.v), spa, GPA_4K, HV_MAP_RWX);
    if (status != HV_STATUS_SUCCESS) {
        pool_put(&from->pool, va);
        return status;
    }
    frame_set(spa, FRAME_ROOT, 0);
    gpa_merge(root_partition, GPA(spa.v));
    *page = spa.v >> PAGE_SHIFT;
    return HV_STATUS_SUCCESS;
}

hv_status_t hvcall_withdraw_memory(struct hvcall *c)
{
    uint64_t *pages = c->rep_out;
    hv_status_t status = HV_STATUS_SUCCESS;
    uint32_t done = 0;

    if (c->target->is_root) {
        return HV_STATUS_ACCESS_DENIED; // root's pool holds the hypervisor's own memory
    }
    while (status == HV_STATUS_SUCCESS && hvcall_more(c, done)) {
        status = give_to_root(c->target, &pages[done]);
        done += status == HV_STATUS_SUCCESS;
    }
    c->rep_done = done;
    return status;
}

hv_status_t hvcall_get_memory_balance(struct hvcall *c)
{
    struct hv_memory_balance_out *out = c->out;

    out->available = c->target->pool.free_pages;
    out->in_use = c->target->pool.used_pages;
    return HV_STATUS_SUCCESS;
}

// --- GPA spaces ---

#define MAP_FLAGS_KNOWN (HV_MAP_RWX | HV_MAP_NOT_CACHED | HV_MAP_X_HUGE_PAGE | HV_MAP_LARGE_PAGE)

static enum gpa_level level_of(uint32_t flags)
{
    return flags & HV_MAP_X_HUGE_PAGE ? GPA_1G : flags & HV_MAP_LARGE_PAGE ? GPA_2M : GPA_4K;
}

// Legal x64 rights are RWX, RX, RW, R and none (parent-child rules, "GPA space").
static bool map_flags_ok(uint32_t flags)
{
    bool exec = (flags & (HV_MAP_KEXEC | HV_MAP_UEXEC)) != 0;
    bool write = (flags & HV_MAP_WRITE) != 0;

    if ((flags & ~MAP_FLAGS_KNOWN) != 0 || (flags & HV_MAP_NOT_CACHED) != 0) {
        return false; // RAM is mapped write-back only
    }
    if ((flags & HV_MAP_X_HUGE_PAGE) != 0 && !virt_caps.page_1g) {
        return false;
    }
    return (flags & HV_MAP_READ) != 0 || (!write && !exec);
}

static hv_status_t map_one(struct partition *p, gpa_t gpa, uint64_t source_page, enum gpa_level level,
                           uint32_t flags)
{
    uint64_t size = gpa_level_size(level);
    uint64_t pages = size >> PAGE_SHIFT;
    spa_t spa = SPA(source_page << PAGE_SHIFT);
    struct gpa_mapping old;
    hv_status_t status;

    if (source_page >> 36 != 0 || (spa.v & (size - 1)) != 0 || (gpa.v & (size - 1)) != 0 ||
        gpa.v + size > BIT(p->gpa_width)) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if (gpa_lookup(p, gpa, &old)) {
        return HV_STATUS_OBJECT_IN_USE;
    }
    if (!frame_range_mappable(spa, pages)) {
        return HV_STATUS_OPERATION_DENIED;
    }
    status = gpa_map(p, gpa, spa, level, flags);
    if (status == HV_STATUS_SUCCESS && (flags & HV_MAP_READ) != 0) { // without rights nothing is mapped
        frame_map_count(spa, pages, 1);
        p->mapped_pages += pages;
    }
    return status;
}

hv_status_t hvcall_map_gpa_pages(struct hvcall *c)
{
    const struct hv_map_gpa_in *in = c->in;
    const uint64_t *source = c->rep_in;
    enum gpa_level level = level_of(in->flags);
    hv_status_t status = HV_STATUS_SUCCESS;
    uint32_t done = 0;

    if (c->target->is_root) {
        return HV_STATUS_ACCESS_DENIED;
    }
    if (c->target->state != PARTITION_ACTIVE) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    if (!map_flags_ok(in->flags) || in->pad != 0 || in->gpa_page >> 36 != 0) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    while (status == HV_STATUS_SUCCESS && hvcall_more(c, done)) {
        uint64_t gpa = (in->gpa_page << PAGE_SHIFT) + (c->rep_start + done) * gpa_level_size(level);

        status = map_one(c->target, GPA(gpa), source[done], level, in->flags);
        done += status == HV_STATUS_SUCCESS;
    }
    c->rep_done = done;
    return status;
}

static bool is_root_memory(spa_t spa)
{
    const struct frame *f = frame_of(spa);

    return f != NULL && f->kind == FRAME_ROOT;
}

// The page that is mapped for the processor's APIC virtualization is the hypervisor's and stays.
static hv_status_t unmap_one(struct partition *p, gpa_t gpa, enum gpa_level level)
{
    uint64_t pages = gpa_level_size(level) >> PAGE_SHIFT;
    struct gpa_mapping old;
    hv_status_t status;

    if (gpa_lookup(p, gpa, &old) && !is_root_memory(old.spa)) {
        return HV_STATUS_OPERATION_DENIED;
    }
    status = gpa_unmap(p, gpa, level, &old);
    if (status == HV_STATUS_SUCCESS && old.flags != 0) {
        frame_map_count(SPA(ALIGN_DOWN(old.spa.v, gpa_level_size(level))), pages, -1);
        p->mapped_pages -= pages;
    }
    return status;
}

hv_status_t hvcall_unmap_gpa_pages(struct hvcall *c)
{
    const struct hv_unmap_gpa_in *in = c->in;
    enum gpa_level level = level_of(in->flags);
    uint64_t pages = gpa_level_size(level) >> PAGE_SHIFT;
    hv_status_t status = HV_STATUS_SUCCESS;
    uint32_t done = 0;

    if (c->target->is_root) {
        return HV_STATUS_ACCESS_DENIED;
    }
    if (c->target->state != PARTITION_ACTIVE) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    if ((in->flags & ~(HV_MAP_LARGE_PAGE | HV_MAP_X_HUGE_PAGE)) != 0 || in->pad != 0 ||
        in->gpa_page >> 36 != 0 || (in->gpa_page & (pages - 1)) != 0) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    while (status == HV_STATUS_SUCCESS && hvcall_more(c, done)) {
        gpa_t gpa = GPA(((in->gpa_page + (c->rep_start + done) * pages) << PAGE_SHIFT));

        status = unmap_one(c->target, gpa, level);
        done += status == HV_STATUS_SUCCESS;
    }
    gpa_flush(c->target);
    c->rep_done = done;
    return status;
}
