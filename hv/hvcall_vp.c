// SPDX-License-Identifier: Apache-2.0
// Hypercalls about virtual processors: life cycle, registers, memory access, interrupts.
#include "arch/x86/vlapic.h"
#include "hv/cpu.h"
#include "hv/hvcall.h"
#include "hv/sched.h"

static SELDOM hv_status_t find_by_index(struct hvcall *c, uint32_t index, struct vp **vp)
{
    if (index >= HV_MAX_VPS_PER_PARTITION || c->target->vps[index] == NULL) {
        return HV_STATUS_INVALID_VP_INDEX;
    }
    *vp = c->target->vps[index];
    // Root's VPs are each other's equals but nobody's children; a guest VP sees only itself.
    return c->target == c->vp->partition && *vp != c->vp ? HV_STATUS_ACCESS_DENIED : HV_STATUS_SUCCESS;
}

static inline hv_status_t find_vp(struct hvcall *c, uint32_t index, struct vp **vp)
{
    struct vp *found; // apart: its address is taken
    hv_status_t status;

    if (c->target->state != PARTITION_ACTIVE) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    if (index == HV_VP_INDEX_SELF && c->target == c->vp->partition) {
        *vp = c->vp;
        return HV_STATUS_SUCCESS;
    }
    status = find_by_index(c, index, &found);
    if (status == HV_STATUS_SUCCESS) {
        *vp = found;
    }
    return status;
}

hv_status_t hvcall_create_vp(struct hvcall *c)
{
    const struct hv_create_vp_in *in = c->in;

    if (c->target->is_root) {
        return HV_STATUS_ACCESS_DENIED;
    }
    if (c->target->state != PARTITION_ACTIVE) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    if (in->flags != 0 || in->subnode_type != 0 || in->subnode_id != 0) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    return vp_create(c->target, in->vp_index);
}

hv_status_t hvcall_delete_vp(struct hvcall *c)
{
    const struct hv_vp_in *in = c->in;
    struct vp *vp;
    hv_status_t status = find_vp(c, in->vp_index, &vp);

    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    if (c->target->is_root) {
        return HV_STATUS_ACCESS_DENIED;
    }
    vp_destroy(vp);
    return HV_STATUS_SUCCESS;
}

static inline uint32_t next_name(const struct hvcall *c)
{
    return ((const uint32_t *)c->rep_in)[c->rep_done];
}

static inline union hv_register_value *next_value(const struct hvcall *c)
{
    return &((union hv_register_value *)c->rep_out)[c->rep_done];
}

static __attribute__((noinline)) bool get_kept_register(const struct hvcall *c, struct vp *vp)
{
    return vp_get_kept_register(vp, next_name(c), next_value(c));
}

static hv_status_t get_registers(struct hvcall *c, struct vp *vp)
{
    do {
        if (!virt->get_reg(vp, next_name(c), next_value(c)) && !get_kept_register(c, vp)) {
            return HV_STATUS_INVALID_PARAMETER;
        }
        c->rep_done++;
    } while (hvcall_more(c, c->rep_done));
    return HV_STATUS_SUCCESS;
}

static __attribute__((noinline)) hv_status_t get_registers_of(struct hvcall *c)
{
    const struct hv_vp_registers_in *in = c->in;
    struct vp *vp;
    hv_status_t status = find_vp(c, in->vp_index, &vp);

    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    if (in->vtl != 0) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    vp_access_begin(vp);
    status = get_registers(c, vp);
    vp_access_end(vp);
    return status;
}

hv_status_t hvcall_get_vp_registers(struct hvcall *c)
{
    const struct hv_vp_registers_in *in = c->in;

    if (in->vp_index == HV_VP_INDEX_SELF && c->target == c->vp->partition && in->vtl == 0) {
        return get_registers(c, c->vp); // at hand
    }
    return get_registers_of(c);
}

hv_status_t hvcall_set_vp_registers(struct hvcall *c)
{
    const struct hv_vp_registers_in *in = c->in;
    const struct hv_register_assoc *regs = c->rep_in;
    uint32_t done = 0;
    struct vp *vp;
    hv_status_t status = find_vp(c, in->vp_index, &vp);

    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    if (c->target == c->vp->partition) {
        return HV_STATUS_ACCESS_DENIED;
    }
    if (in->vtl != 0) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    vp_access_begin(vp);
    while (status == HV_STATUS_SUCCESS && hvcall_more(c, done)) {
        status = vp_set_register(vp, regs[done].name, &regs[done].value);
        done += status == HV_STATUS_SUCCESS;
    }
    vp_access_end(vp);
    c->rep_done = done;
    return status;
}

hv_status_t hvcall_translate_virtual_address(struct hvcall *c)
{
    const struct hv_translate_gva_in *in = c->in;
    struct hv_translate_gva_out *out = c->out;
    struct vp *vp;
    gpa_t gpa = GPA(0);
    hv_status_t status = find_vp(c, in->vp_index, &vp);

    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    if ((in->control & ~0xfull) != 0) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    vp_access_begin(vp);
    out->result = 0;
    if (vp_translate(vp, GVA(in->gva_page << PAGE_SHIFT), (unsigned)in->control, &gpa, &out->result)) {
        out->gpa_page = gpa.v >> PAGE_SHIFT;
    }
    vp_access_end(vp);
    return HV_STATUS_SUCCESS;
}

static hv_status_t check_rw(struct hvcall *c, const struct hv_rw_gpa_in *in)
{
    struct vp *vp;
    hv_status_t status = find_vp(c, in->vp_index, &vp);

    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    if (in->byte_count == 0 || in->byte_count > 16 || in->gpa >> c->target->gpa_width != 0 ||
        (in->gpa & (PAGE_SIZE - 1)) + in->byte_count > PAGE_SIZE) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    return HV_STATUS_SUCCESS;
}

hv_status_t hvcall_read_gpa(struct hvcall *c)
{
    const struct hv_rw_gpa_in *in = c->in;
    struct hv_rw_gpa_out *out = c->out;
    hv_status_t status = check_rw(c, in);

    if (status == HV_STATUS_SUCCESS && !vp_read_gpa(c->target, GPA(in->gpa), out->data, in->byte_count)) {
        out->access_result = 4;
    }
    return status;
}

hv_status_t hvcall_write_gpa(struct hvcall *c)
{
    const struct hv_rw_gpa_in *in = c->in;
    hv_status_t status = check_rw(c, in);

    if (status == HV_STATUS_SUCCESS && !vp_write_gpa(c->target, GPA(in->gpa), in->data, in->byte_count)) {
        *(uint64_t *)c->out = 4;
    }
    return status;
}

hv_status_t hvcall_install_intercept(struct hvcall *c)
{
    const struct hv_install_intercept_in *in = c->in;

    if (c->target->is_root) {
        return HV_STATUS_ACCESS_DENIED;
    }
    if (c->target->state != PARTITION_ACTIVE) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    // Every port intercepts already; the others are the hypervisor's policy.
    if (in->type == HV_INTERCEPT_IO_PORT && (in->access & ~3u) == 0 && in->parameter <= 0xffff) {
        return HV_STATUS_SUCCESS;
    }
    return in->type <= HV_INTERCEPT_EXCEPTION ? HV_STATUS_FEATURE_UNAVAILABLE : HV_STATUS_INVALID_PARAMETER;
}

hv_status_t hvcall_assert_virtual_interrupt(struct hvcall *c)
{
    const struct hv_assert_interrupt_in *in = c->in;
    bool fixed = in->control <= 1;

    if (c->target->state != PARTITION_ACTIVE) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    if (in->vtl != 0 || in->control_flags > 3 || in->vector > 255 || (fixed && in->vector < 16) ||
        (!fixed && in->control != 4 && in->control != 5 && in->control != 6)) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if (vlapic_deliver(c->target, NULL, in->destination, (in->control_flags & 2) != 0, 0, in->control,
                       (uint8_t)in->vector, (in->control_flags & 1) != 0) == 0) {
        return HV_STATUS_INVALID_VP_INDEX;
    }
    return HV_STATUS_SUCCESS;
}

hv_status_t hvcall_map_vp_state_page(struct hvcall *c)
{
    const struct hv_vp_state_page_in *in = c->in;
    struct vp *vp;
    hv_status_t status = find_vp(c, in->vp_index, &vp);

    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    if (c->target->is_root) {
        return HV_STATUS_ACCESS_DENIED;
    }
    if (in->flags != 0 || in->vtl != 0) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    return vp_map_state_page(vp, in->type, c->out);
}

hv_status_t hvcall_unmap_vp_state_page(struct hvcall *c)
{
    const struct hv_vp_state_page_in *in = c->in; // the first 16 bytes
    struct vp *vp;
    hv_status_t status = find_vp(c, in->vp_index, &vp);

    return status != HV_STATUS_SUCCESS ? status : vp_unmap_state_page(vp, in->type);
}

hv_status_t hvcall_notify_long_spin_wait(struct hvcall *c)
{
    (void)c;
    sched_resched();
    return HV_STATUS_SUCCESS;
}
