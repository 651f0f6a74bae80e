// SPDX-License-Identifier: Apache-2.0
// Virtual processors: creation, suspension, registers, guest memory.
#include "hv/vp.h"

#include "arch/x86/host.h"
#include "arch/x86/policy.h"
#include "arch/x86/vlapic.h"
#include "hv/context.h"
#include "hv/cpu.h"
#include "hv/exit.h"
#include "hv/gpa.h"
#include "hv/sched.h"
#include "hv/share.h"

_Static_assert(sizeof(struct vp) <= PAGE_SIZE, "a VP is one page");

// --- creation and destruction ---

static unsigned fpu_pages(void)
{
    return (host_xsave_size + PAGE_SIZE - 1) / PAGE_SIZE;
}

// Pages of a VP besides its own: register page, message page, APIC page, FPU area, back end.
static bool alloc_pages(struct partition *p, struct vp *vp)
{
    vp->regs = partition_page_alloc(p);
    vp->message = partition_page_alloc(p);
    vp->apic_page = partition_page_alloc(p);
    vp->fpu = partition_page_alloc(p); // one page holds every component up to AVX-512
    for (unsigned i = 0; i < virt->vp_pages; i++) {
        vp->backend_pages[i] = partition_page_alloc(p);
        if (vp->backend_pages[i] == NULL) {
            return false;
        }
    }
    return vp->regs != NULL && vp->message != NULL && vp->apic_page != NULL && vp->fpu != NULL;
}

static void free_pages(struct partition *p, struct vp *vp)
{
    void *pages[] = {vp->regs, vp->message, vp->apic_page, vp->fpu};

    for (unsigned i = 0; i < ARRAY_LEN(pages); i++) {
        if (pages[i] != NULL) {
            partition_page_free(p, pages[i]);
        }
    }
    for (unsigned i = 0; i < ARRAY_LEN(vp->backend_pages); i++) {
        if (vp->backend_pages[i] != NULL) {
            partition_page_free(p, vp->backend_pages[i]);
        }
    }
    partition_page_free(p, vp);
}

static uint16_t next_vpid(void)
{
    static uint16_t vpid; // 0 is the hypervisor's own (SDM 3C "VPID")

    vpid = vpid == UINT16_MAX ? 1 : vpid + 1;
    return vpid;
}

static void init_fields(struct vp *vp, struct partition *p, uint32_t index)
{
    vp->partition = p;
    vp->index = index;
    vp->apic_id = index;
    vp->vpid = next_vpid();
    vp->next_deadline = ~0ull;
    vp->xcr0 = 1;
    vp->dr6 = 0xffff0ff0;
    vp->regs->version = 1;
    vp->message->header.sender = p->id; // the same in all its messages
    vp->message->intercept.vp_index = index;
    vp->check_interrupts = true;
    vp->wait_sipi = index != 0;
    vp->block = index == 0 ? VP_BLOCK_EXPLICIT : VP_BLOCK_WAIT_SIPI;
    vp->block |= p->suspended ? VP_BLOCK_PARTITION : 0;
}

hv_status_t vp_create(struct partition *p, uint32_t index)
{
    struct vp *vp;

    if (index >= HV_MAX_VPS_PER_PARTITION || p->vps[index] != NULL) {
        return HV_STATUS_INVALID_VP_INDEX;
    }
    if (fpu_pages() > 1 || !share_fits(p, p->vp_count + 1, p->cpu_reserve)) {
        return HV_STATUS_NO_RESOURCES;
    }
    vp = partition_page_alloc(p);
    if (vp == NULL) {
        return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    if (!alloc_pages(p, vp)) {
        free_pages(p, vp);
        return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    init_fields(vp, p, index);
    fpu_init_area(vp->fpu);
    virt->vp_init(vp, vp->backend_pages);
    vlapic_init(vp);
    synthetic_reset(vp);
    msr_policy_reset(vp);
    sched_place(vp);
    __atomic_store_n(&p->vps[index], vp, __ATOMIC_RELEASE);
    p->vp_count++;
    share_assign();
    return HV_STATUS_SUCCESS;
}

static void nothing(void *arg)
{
    (void)arg;
}

// Nobody finds the VP any more. Who found it before, to send it an interrupt say, does so in one go: no processor
// serves calls in between. With the answer to an empty call every one of them is through with it.
static void unpublish(struct vp *vp)
{
    struct partition *p = vp->partition;

    __atomic_store_n(&p->vps[vp->index], NULL, __ATOMIC_SEQ_CST);
    p->vp_count--;
    cpu_call_all(nothing, NULL);
}

void vp_destroy(struct vp *vp)
{
    struct partition *p = vp->partition;

    vp_stop(vp, VP_BLOCK_DEAD); // from here on nothing wakes it
    intercept_forget(vp);
    unpublish(vp);
    sched_forget(vp);
    context_save(vp);
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++) {
        p->exits[i] += vp->exits[i];
    }
    for (unsigned type = 0; type < 2; type++) {
        if ((vp->state_pages_mapped & 1u << type) != 0 &&
            vp_unmap_state_page(vp, type) != HV_STATUS_SUCCESS) {
            panic("state page of partition %u VP %u cannot be unmapped", p->index, vp->index);
        }
    }
    virt->vp_fini(vp);
    free_pages(p, vp);
}

// INIT and SIPI (SDM 3A "Processor State After Reset", "INIT-SIPI-SIPI").
static const struct {
    uint32_t name;
    uint64_t lo, hi;
} init_regs[] = {
    {HV_REG_CR0, 0x60000010, 0},
    {HV_REG_CR2, 0, 0},
    {HV_REG_CR3, 0, 0},
    {HV_REG_CR4, 0, 0},
    {HV_REG_EFER, 0, 0},
    {HV_REG_RFLAGS, 2, 0},
    {HV_REG_RSP, 0, 0},
    {HV_REG_DR7, 0x400, 0},
    {HV_REG_ES, 0, 0x0093000000000000ull | 0xffff},
    {HV_REG_SS, 0, 0x0093000000000000ull | 0xffff},
    {HV_REG_DS, 0, 0x0093000000000000ull | 0xffff},
    {HV_REG_FS, 0, 0x0093000000000000ull | 0xffff},
    {HV_REG_GS, 0, 0x0093000000000000ull | 0xffff},
    {HV_REG_LDTR, 0, 0x0082000000000000ull | 0xffff},
    {HV_REG_TR, 0, 0x008b000000000000ull | 0xffff},
    {HV_REG_PENDING_INTERRUPTION, 0, 0},
    {HV_REG_INTERRUPT_STATE, 0, 0},
};

void vp_init_state(struct vp *vp, bool from_sipi)
{
    union hv_register_value v;
    uint16_t sel = from_sipi ? (uint16_t)(vp->sipi_vector << 8) : 0xf000;

    for (unsigned i = 0; i < ARRAY_LEN(init_regs); i++) {
        v = (union hv_register_value){.u128 = {init_regs[i].lo, init_regs[i].hi}};
        (void)virt->set_reg(vp, init_regs[i].name, &v);
    }
    v.table = (struct hv_table){.limit = 0xffff, .base = 0};
    (void)virt->set_reg(vp, HV_REG_IDTR, &v);
    (void)virt->set_reg(vp, HV_REG_GDTR, &v);
    v.segment = (struct hv_segment){
        .base = from_sipi ? (uint64_t)sel << 4 : 0xffff0000,
        .limit = 0xffff,
        .selector = sel,
        .attributes = 0x9b,
    };
    (void)virt->set_reg(vp, HV_REG_CS, &v);
    vp_set_reg(vp, HV_REG_RIP, from_sipi ? 0 : 0xfff0);
    __builtin_memset(vp->regs->gpr, 0, sizeof(vp->regs->gpr));
    vp->regs->gpr[GPR_RDX] = 0x600; // family 6
    vp->halted = false;
    vp->nmi_pending = false;
}

// --- blocking ---

void vp_kick(struct vp *vp)
{
    if (__atomic_load_n(&vp->running, __ATOMIC_SEQ_CST) && vp->cpu != this_cpu()->index) {
        cpu_kick(vp->cpu);
    }
}

void vp_unblock(struct vp *vp, uint32_t bits)
{
    if (vp_clear_block(vp, bits)) {
        sched_wake(vp, (bits & VP_BLOCK_INTERCEPT) == 0); // an intercept's end is no reason to move
    }
}

void vp_request(struct vp *vp, uint32_t requests)
{
    uint32_t ends = VP_BLOCK_HALT | VP_BLOCK_XWAIT;

    // INIT reaches a VP that waits for SIPI too; serving the request makes it wait again.
    ends |= (requests & (VP_REQ_INIT | VP_REQ_SIPI)) != 0 ? VP_BLOCK_WAIT_SIPI : 0;
    __atomic_or_fetch(&vp->requests, requests, __ATOMIC_SEQ_CST);
    vp_unblock(vp, ends);
    vp_kick(vp);
}

void vp_post_interrupt(struct vp *vp, uint8_t vector, bool level)
{
    uint64_t bit = BIT(vector & 63);

    if (level) {
        __atomic_or_fetch(&vp->apic.level[vector / 64], bit, __ATOMIC_RELAXED);
        __atomic_or_fetch(&vp->apic.eoi_notify[vector / 64], bit, __ATOMIC_RELAXED);
    } else if ((__atomic_load_n(&vp->apic.level[vector / 64], __ATOMIC_RELAXED) & bit) != 0) {
        __atomic_and_fetch(&vp->apic.level[vector / 64], ~bit, __ATOMIC_RELAXED);
        __atomic_and_fetch(&vp->apic.eoi_notify[vector / 64], ~bit, __ATOMIC_RELAXED);
    }
    __atomic_or_fetch(&vp->pir[vector / 64], bit, __ATOMIC_RELEASE);
    vp_request(vp, VP_REQ_INTERRUPT);
}

void vp_stop(struct vp *vp, uint32_t bits)
{
    __atomic_or_fetch(&vp->block, bits, __ATOMIC_SEQ_CST);
    if (vp == this_cpu()->current) {
        return;
    }
    vp_kick(vp);
    while (__atomic_load_n(&vp->running, __ATOMIC_SEQ_CST)) {
        cpu_serve_calls();
        __builtin_ia32_pause();
    }
}

// --- registers ---

void vp_access_begin(struct vp *vp)
{
    struct cpu *c = this_cpu();

    if (c->current == vp) {
        return;
    }
    vp_stop(vp, VP_BLOCK_ACCESS);
    context_save(vp);
    virt->vp_load(vp);
}

void vp_access_end(struct vp *vp)
{
    struct cpu *c = this_cpu();

    if (c->current == vp) {
        return;
    }
    virt->vp_unload(vp);
    virt->vp_load(c->current);
    vp_unblock(vp, VP_BLOCK_ACCESS);
}

// Registers that are plain fields of the VP.
static uint64_t *plain_field(struct vp *vp, uint32_t name)
{
    switch (name) {
    case HV_REG_RAX ... HV_REG_RBX:
    case HV_REG_RBP ... HV_REG_R15:
        return &vp->regs->gpr[name - HV_REG_RAX];
    case HV_REG_DR0 ... HV_REG_DR3:
        return &vp->dr[name - HV_REG_DR0];
    case HV_REG_DR6:
        return &vp->dr6;
    case HV_REG_XFEM:
        return &vp->xcr0;
    case HV_REG_X_INTERCEPT_COOKIE:
        return &vp->cookie;
    default:
        return NULL;
    }
}

static bool get_computed(struct vp *vp, uint32_t name, uint64_t *value)
{
    switch (name) {
    case HV_REG_EXPLICIT_SUSPEND:
        *value = (vp->block & VP_BLOCK_EXPLICIT) != 0;
        return true;
    case HV_REG_INTERCEPT_SUSPEND:
        *value = (vp->block & VP_BLOCK_INTERCEPT) != 0;
        return true;
    case HV_REG_CR8:
        *value = ((uint32_t *)vp->apic_page)[0x80 / 4] >> 4;
        return true;
    case HV_REG_TSC:
        *value = host_tsc() + vp->tsc_offset;
        return true;
    case HV_REG_APIC_BASE:
        *value = vp->apic.base_msr;
        return true;
    case HV_REG_TSC_DEADLINE:
        *value = vp->apic.tsc_deadline;
        return true;
    case HV_REG_TSC_ADJUST:
        *value = vp->tsc_adjust;
        return true;
    case HV_REG_INITIAL_APIC_ID:
        *value = vp->apic_id;
        return true;
    case HV_REG_VP_INDEX:
        *value = vp->index;
        return true;
    case HV_REG_VP_RUNTIME:
        *value = vp->run_tsc / (host_tsc_hz / 10000000 == 0 ? 1 : host_tsc_hz / 10000000);
        return true;
    case HV_REG_GUEST_OS_ID:
        *value = vp->partition->guest_os_id;
        return true;
    case HV_REG_TIME_REF_COUNT:
        *value = reference_time(vp->partition);
        return true;
    default:
        return false;
    }
}

bool vp_get_kept_register(struct vp *vp, uint32_t name, union hv_register_value *value)
{
    const uint64_t *field = plain_field(vp, name);

    *value = (union hv_register_value){.u128 = {0, 0}};
    if (field != NULL) {
        value->u64 = *field;
        return true;
    }
    return get_computed(vp, name, &value->u64);
}

static void set_suspend(struct vp *vp, uint32_t bit, bool on)
{
    if (on) {
        vp_stop(vp, bit);
    } else {
        vp_unblock(vp, bit);
    }
}

// An APIC that is switched off loses its timer.
static bool set_apic_base(struct vp *vp, uint64_t value)
{
    bool ok;

    sched_timers_hold(vp);
    ok = vlapic_set_base(vp, value);
    sched_timers_release(vp);
    return ok;
}

static bool set_computed(struct vp *vp, uint32_t name, uint64_t value)
{
    switch (name) {
    case HV_REG_EXPLICIT_SUSPEND:
        set_suspend(vp, VP_BLOCK_EXPLICIT, (value & 1) != 0);
        return true;
    case HV_REG_INTERCEPT_SUSPEND:
        if ((value & 1) != 0) {
            return false; // only the hypervisor sets it
        }
        vp_unblock(vp, VP_BLOCK_INTERCEPT);
        return true;
    case HV_REG_CR8:
        if (value > 15) {
            return false;
        }
        ((uint32_t *)vp->apic_page)[0x80 / 4] = (uint32_t)value << 4;
        return true;
    case HV_REG_APIC_BASE:
        return set_apic_base(vp, value);
    default:
        return false;
    }
}

hv_status_t vp_set_register(struct vp *vp, uint32_t name, const union hv_register_value *value)
{
    uint64_t *field = plain_field(vp, name);

    if (name == HV_REG_XFEM && !policy_xcr0_valid(value->u64)) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    // Loading such a value is #GP, in the hypervisor (SDM 3B "Debug Registers DR4 and DR5", "Debug Status Register").
    if (name == HV_REG_DR6 && value->u64 >> 32 != 0) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if (field != NULL) {
        *field = value->u64;
        return HV_STATUS_SUCCESS;
    }
    if (set_computed(vp, name, value->u64) || virt->set_reg(vp, name, value)) {
        return HV_STATUS_SUCCESS;
    }
    return HV_STATUS_INVALID_PARAMETER;
}

// --- state pages: hypervisor pages that the root partition may see ---

static void *state_page(struct vp *vp, unsigned type)
{
    return type == HV_STATE_PAGE_REGISTERS ? (void *)vp->regs : (void *)vp->message;
}

hv_status_t vp_map_state_page(struct vp *vp, unsigned type, uint64_t *gpa_page)
{
    spa_t spa;
    hv_status_t status;

    if (type > HV_STATE_PAGE_INTERCEPT_MESSAGE) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    // Root's addresses are system-physical, so the page appears where it is. The register page may be
    // written; the message page is the hypervisor's word.
    spa = va_to_spa(state_page(vp, type));
    status = gpa_map(root_partition, GPA(spa.v), spa, GPA_4K,
                     type == HV_STATE_PAGE_REGISTERS ? HV_MAP_READ | HV_MAP_WRITE : HV_MAP_READ);
    if (status == HV_STATUS_SUCCESS) {
        vp->state_pages_mapped |= (uint8_t)(1u << type);
        *gpa_page = spa.v >> PAGE_SHIFT;
    }
    return status;
}

hv_status_t vp_unmap_state_page(struct vp *vp, unsigned type)
{
    struct gpa_mapping old;
    hv_status_t status;

    if (type > HV_STATE_PAGE_INTERCEPT_MESSAGE) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if ((vp->state_pages_mapped & 1u << type) == 0) {
        return HV_STATUS_NOT_FOUND;
    }
    status = gpa_unmap(root_partition, GPA(va_to_spa(state_page(vp, type)).v), GPA_4K, &old);
    if (status == HV_STATUS_SUCCESS) {
        vp->state_pages_mapped &= (uint8_t) ~(1u << type);
        gpa_flush(root_partition);
    }
    return status;
}

// --- guest memory ---

static bool access_gpa(struct partition *p, gpa_t gpa, void *buf, size_t len, bool write)
{
    uint8_t *b = buf;

    while (len > 0) {
        size_t n = MIN(len, PAGE_SIZE - (gpa.v & (PAGE_SIZE - 1)));
        struct gpa_mapping m;

        if (!gpa_lookup(p, gpa, &m) || (m.flags & (write ? HV_MAP_WRITE : HV_MAP_READ)) == 0) {
            return false;
        }
        if (write) {
            __builtin_memcpy(spa_to_va(m.spa), b, n);
        } else {
            __builtin_memcpy(b, spa_to_va(m.spa), n);
        }
        b += n;
        gpa.v += n;
        len -= n;
    }
    return true;
}

bool vp_read_gpa(struct partition *p, gpa_t gpa, void *buf, size_t len)
{
    return access_gpa(p, gpa, buf, len, false);
}

bool vp_write_gpa(struct partition *p, gpa_t gpa, const void *buf, size_t len)
{
    return access_gpa(p, gpa, (void *)(uintptr_t)buf, len, true);
}

const void *vp_gpa_pointer(struct partition *p, gpa_t gpa)
{
    struct gpa_mapping m;

    if (!gpa_lookup(p, gpa, &m) || (m.flags & HV_MAP_READ) == 0) {
        return NULL;
    }
    return spa_to_va(m.spa);
}
