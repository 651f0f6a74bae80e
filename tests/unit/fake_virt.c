// SPDX-License-Identifier: Apache-2.0
// A back end in software; see fake_virt.h.
#include "tests/unit/fake_virt.h"

#include <stdlib.h>
#include <string.h>

const struct virt_ops *virt = &fake_virt_ops;
struct virt_caps virt_caps = {.next_rip = true, .page_1g = true, .asid_count = 16};
unsigned fake_flushes_gpa;

static void default_guest(struct vp *vp)
{
    vp->exit = (struct vp_exit){.reason = EXIT_HLT, .insn_len = 1};
}
void (*fake_virt_guest)(struct vp *vp) = default_guest;

struct fake_vp *fake_vp(const struct vp *vp)
{
    return (struct fake_vp *)(uintptr_t)vp->vmx.vmcs;
}

// Registers the back end knows: everything else is refused, as by a real one.
static bool known_register(uint32_t name)
{
    switch (name) {
    case HV_REG_RSP:
    case HV_REG_RIP:
    case HV_REG_RFLAGS:
    case HV_REG_CR0 ... HV_REG_CR4:
    case HV_REG_DR7:
    case HV_REG_ES ... HV_REG_TR:
    case HV_REG_IDTR:
    case HV_REG_GDTR:
    case HV_REG_EFER:
    case HV_REG_KERNEL_GS_BASE:
    case HV_REG_PAT ... HV_REG_SFMASK:
    case HV_REG_TSC_AUX:
    case HV_REG_PENDING_INTERRUPTION:
    case HV_REG_INTERRUPT_STATE:
        return true;
    }
    return false;
}

static union hv_register_value *register_slot(struct vp *vp, uint32_t name)
{
    struct fake_vp *f = fake_vp(vp);

    if (!known_register(name)) {
        return NULL;
    }
    for (unsigned i = 0; i < FAKE_REGISTERS; i++) {
        if (f->reg[i].name == name || f->reg[i].name == 0) {
            f->reg[i].name = name;
            return &f->reg[i].value;
        }
    }
    abort();
}

static bool get_reg(struct vp *vp, uint32_t name, union hv_register_value *value)
{
    const union hv_register_value *slot = register_slot(vp, name);

    if (slot != NULL) {
        *value = *slot;
    }
    return slot != NULL;
}

static bool set_reg(struct vp *vp, uint32_t name, const union hv_register_value *value)
{
    union hv_register_value *slot = register_slot(vp, name);

    if (slot != NULL) {
        *slot = *value;
    }
    return slot != NULL;
}

uint64_t fake_reg(struct vp *vp, uint32_t name)
{
    return register_slot(vp, name)->u64;
}

void fake_set_reg(struct vp *vp, uint32_t name, uint64_t value)
{
    *register_slot(vp, name) = (union hv_register_value){.u128 = {value, 0}};
}

void fake_set_segment(struct vp *vp, uint32_t name, struct hv_segment segment)
{
    register_slot(vp, name)->segment = segment;
}

static bool probe(struct virt_caps *caps, char *why, size_t why_len)
{
    (void)why;
    (void)why_len;
    *caps = virt_caps;
    return true;
}

static void nothing(void)
{
}

static void init(struct vp *vp, void *const *pages)
{
    (void)pages;
    vp->vmx.vmcs = (uint64_t)(uintptr_t)calloc(1, sizeof(struct fake_vp));
    fake_set_reg(vp, HV_REG_CR0, 0x60000010);
    fake_set_reg(vp, HV_REG_RFLAGS, 2);
    fake_set_reg(vp, HV_REG_RIP, 0xfff0);
    fake_set_reg(vp, HV_REG_PAT, 0x0007040600070406);
    fake_set_segment(
        vp, HV_REG_CS,
        (struct hv_segment){.base = 0xffff0000, .limit = 0xffff, .selector = 0xf000, .attributes = 0x9b});
}

static void fini(struct vp *vp)
{
    free(fake_vp(vp));
    vp->vmx.vmcs = 0;
}

static void load(struct vp *vp)
{
    fake_vp(vp)->loaded = true;
}

static void unload(struct vp *vp)
{
    fake_vp(vp)->loaded = false;
}

static void run(struct vp *vp)
{
    fake_vp(vp)->entries++;
    fake_virt_guest(vp);
}

static void advance_rip(struct vp *vp, uint64_t length)
{
    fake_set_reg(vp, HV_REG_RIP, fake_reg(vp, HV_REG_RIP) + length);
    fake_vp(vp)->shadow = false;
}

static void inject(struct vp *vp, enum event_type type, uint8_t vector, bool has_error, uint32_t error)
{
    fake_vp(vp)->event = (struct fake_event){true, type, vector, has_error, error};
}

struct fake_event fake_take_event(struct vp *vp)
{
    struct fake_event e = fake_vp(vp)->event;

    fake_vp(vp)->event = (struct fake_event){.pending = false};
    return e;
}

static bool event_pending(struct vp *vp)
{
    return fake_vp(vp)->event.pending;
}

static bool interruptible(struct vp *vp)
{
    return (fake_reg(vp, HV_REG_RFLAGS) & BIT(9)) != 0 && !fake_vp(vp)->shadow && !event_pending(vp);
}

static bool nmi_allowed(struct vp *vp)
{
    return !fake_vp(vp)->nmi_blocked;
}

static void want_windows(struct vp *vp, bool interrupt, bool nmi)
{
    fake_vp(vp)->window_interrupt = interrupt;
    fake_vp(vp)->window_nmi = nmi;
}

static void set_tsc_offset(struct vp *vp, uint64_t offset)
{
    fake_vp(vp)->tsc_offset = offset;
}

static void set_exceptions(struct vp *vp, uint32_t mask)
{
    fake_vp(vp)->exceptions = mask;
}

static void set_dr_intercept(struct vp *vp, bool on)
{
    fake_vp(vp)->dr_intercept = on;
}

static void apicv_sync(struct vp *vp, uint8_t rvi, uint8_t svi)
{
    fake_vp(vp)->rvi = rvi;
    fake_vp(vp)->svi = svi;
    fake_vp(vp)->apicv_syncs++;
}

static uint8_t apicv_rvi(struct vp *vp)
{
    return fake_vp(vp)->rvi;
}

static void apicv_eoi_exit(struct vp *vp, const uint64_t bitmap[4])
{
    memcpy(fake_vp(vp)->eoi_exit, bitmap, sizeof(fake_vp(vp)->eoi_exit));
    fake_vp(vp)->eoi_exit_updates++;
}

static void apicv_mode(struct vp *vp, unsigned mode)
{
    fake_vp(vp)->apic_mode = mode;
}

static void flush_gpa(struct partition *p)
{
    (void)p;
    fake_flushes_gpa++;
}

static void flush_gva(struct vp *vp)
{
    fake_vp(vp)->flushes_gva++;
}

static void dump(struct vp *vp)
{
    (void)vp;
}

// The EPT format: bits 0..2 read, write, execute; bit 7 large.
static const struct npt_format format = {
    .leaf_common = 6 << 3,
    .table = 7,
    .read = 1,
    .write = 2,
    .exec = 4,
    .present = 7,
    .large = BIT(7),
    .addr_mask = 0x000ffffffffff000,
};

static void nothing_vp(struct vp *vp)
{
    (void)vp;
}

static uint64_t reg(struct vp *vp, uint32_t name)
{
    union hv_register_value v = {.u64 = 0};

    (void)get_reg(vp, name, &v);
    return v.u64;
}

static uint32_t mode(struct vp *vp)
{
    union hv_register_value cs = {.u64 = 0}, ss = {.u64 = 0};
    uint64_t cr0 = reg(vp, HV_REG_CR0);

    (void)get_reg(vp, HV_REG_CS, &cs);
    (void)get_reg(vp, HV_REG_SS, &ss);
    return (uint32_t)((ss.segment.attributes >> 5 & 3) | (cr0 & 1) << 2 | (cr0 >> 18 & 1) << 3 |
                      (reg(vp, HV_REG_EFER) >> 10 & 1) << 4 |
                      (uint32_t)(cs.segment.attributes >> 13 & 3) << 16);
}

static void exit_state(struct vp *vp, struct hv_intercept_header *h)
{
    union hv_register_value cs = {.u64 = 0};

    (void)get_reg(vp, HV_REG_CS, &cs);
    h->cs = cs.segment;
    vp->regs->rip = h->rip = reg(vp, HV_REG_RIP);
    vp->regs->rflags = h->rflags = reg(vp, HV_REG_RFLAGS);
    h->execution_state = mode(vp) & VP_MODE_STATE;
}

const struct virt_ops fake_virt_ops = {
    .name = "vmx",
    .hypercall_insn = {0x0f, 0x01, 0xc1},
    .probe = probe,
    .cpu_on = nothing,
    .cpu_off = nothing,
    .npt = &format,
    .vp_pages = 0,
    .vp_init = init,
    .vp_fini = fini,
    .vp_load = load,
    .vp_unload = unload,
    .vp_run = run,
    .context_save = nothing_vp,
    .context_restore = nothing_vp,
    .mode = mode,
    .exit_state = exit_state,
    .get_reg = get_reg,
    .set_reg = set_reg,
    .advance_rip = advance_rip,
    .inject = inject,
    .event_pending = event_pending,
    .interruptible = interruptible,
    .nmi_allowed = nmi_allowed,
    .want_windows = want_windows,
    .set_tsc_offset = set_tsc_offset,
    .set_exceptions = set_exceptions,
    .set_dr_intercept = set_dr_intercept,
    .apicv_sync = apicv_sync,
    .apicv_rvi = apicv_rvi,
    .apicv_eoi_exit = apicv_eoi_exit,
    .apicv_mode = apicv_mode,
    .flush_gpa = flush_gpa,
    .flush_gva = flush_gva,
    .dump = dump,
};
