// SPDX-License-Identifier: Apache-2.0
// AMD-V back end: registers between the VMCB and the TLFS names.
#include "arch/x86/svm/svm_priv.h"

static uint64_t *plain(struct vmcb *v, uint32_t name)
{
    switch (name) {
    case HV_REG_RSP:
        return &v->rsp;
    case HV_REG_RIP:
        return &v->rip;
    case HV_REG_RFLAGS:
        return &v->rflags;
    case HV_REG_CR0:
        return &v->cr0;
    case HV_REG_CR2:
        return &v->cr2;
    case HV_REG_CR3:
        return &v->cr3;
    case HV_REG_CR4:
        return &v->cr4;
    case HV_REG_DR7:
        return &v->dr7;
    case HV_REG_PAT:
        return &v->g_pat;
    case HV_REG_SYSENTER_CS:
        return &v->sysenter_cs;
    case HV_REG_SYSENTER_EIP:
        return &v->sysenter_eip;
    case HV_REG_SYSENTER_ESP:
        return &v->sysenter_esp;
    case HV_REG_STAR:
        return &v->star;
    case HV_REG_LSTAR:
        return &v->lstar;
    case HV_REG_CSTAR:
        return &v->cstar;
    case HV_REG_SFMASK:
        return &v->sfmask;
    case HV_REG_KERNEL_GS_BASE:
        return &v->kernel_gs_base;
    default:
        return NULL;
    }
}

static struct vmcb_segment *segment(struct vmcb *v, uint32_t name)
{
    if (name >= HV_REG_ES && name <= HV_REG_GS) {
        return &v->es + (name - HV_REG_ES); // ES CS SS DS FS GS, as in the VMCB
    }
    return name == HV_REG_LDTR ? &v->ldtr : name == HV_REG_TR ? &v->tr : NULL;
}

// The VMCB packs attributes into twelve bits, without the four that descriptors keep for the limit.
static uint16_t pack(uint16_t attributes)
{
    return (uint16_t)((attributes & 0xff) | (attributes >> 4 & 0xf00));
}

static uint16_t unpack(uint16_t attrib)
{
    return (uint16_t)((attrib & 0xff) | (attrib & 0xf00) << 4);
}

static uint64_t get_pending(struct vp *vp)
{
    const struct vmcb *v = vmcb_of(vp);
    uint64_t e = v->event_inj;

    if (vp->svm.by_v_irq) {
        return HV_PENDING_VALID | HV_PENDING_TYPE(EVENT_EXT_INT) | HV_PENDING_VECTOR(v->v_vector);
    }
    if ((e & SVM_EVENT_VALID) == 0) {
        return 0;
    }
    return HV_PENDING_VALID | HV_PENDING_TYPE(e >> 8 & 7) | HV_PENDING_VECTOR(e & 0xff) |
           ((e & SVM_EVENT_ERROR_VALID) != 0 ? HV_PENDING_ERROR_VALID | HV_PENDING_ERROR(e >> 32) : 0);
}

static void set_pending(struct vp *vp, uint64_t p)
{
    struct vmcb *v = vmcb_of(vp);

    if (vp->svm.by_v_irq) {
        vp->svm.by_v_irq = false;
        v->v_irq &= 0xfe;
    }
    v->event_inj = 0;
    if ((p & HV_PENDING_VALID) != 0) {
        v->event_inj = (p >> 16 & 0xff) | SVM_EVENT_TYPE(p >> 1 & 7) | SVM_EVENT_VALID;
        if ((p & HV_PENDING_ERROR_VALID) != 0) {
            v->event_inj |= SVM_EVENT_ERROR_VALID | (p >> 32) << 32;
        }
    }
}

bool svm_get_reg(struct vp *vp, uint32_t name, union hv_register_value *value)
{
    struct vmcb *v = vmcb_of(vp);
    uint64_t *field = plain(v, name);
    struct vmcb_segment *s = segment(v, name);

    *value = (union hv_register_value){.u128 = {0, 0}};
    if (field != NULL) {
        value->u64 = *field;
        return true;
    }
    if (s != NULL) {
        value->segment = (struct hv_segment){s->base, s->limit, s->selector, unpack(s->attrib)};
        if (name == HV_REG_SS) { // the VMCB keeps the privilege level apart
            value->segment.attributes = (uint16_t)((value->segment.attributes & ~0x60) | v->cpl << 5);
        }
        return true;
    }
    switch (name) {
    case HV_REG_EFER:
        value->u64 = v->efer & ~EFER_SVME;
        return true;
    case HV_REG_GDTR:
    case HV_REG_IDTR:
        s = name == HV_REG_GDTR ? &v->gdtr : &v->idtr;
        value->table = (struct hv_table){.limit = (uint16_t)s->limit, .base = s->base};
        return true;
    case HV_REG_TSC_AUX:
        value->u64 = vp->context_live ? rdmsr(MSR_TSC_AUX) : vp->svm.tsc_aux;
        return true;
    case HV_REG_PENDING_INTERRUPTION:
        value->u64 = get_pending(vp);
        return true;
    case HV_REG_INTERRUPT_STATE:
        value->u64 = (v->interrupt_shadow & 1) | (vp->svm.nmi_masked ? 2 : 0);
        return true;
    default:
        return false;
    }
}

static void set_interrupt_state(struct vp *vp, struct vmcb *v, uint64_t state)
{
    v->interrupt_shadow = (v->interrupt_shadow & ~1ull) | (state & 1);
    vp->svm.nmi_masked = (state & 2) != 0;
    if (vp->svm.nmi_masked) {
        v->intercept_misc1 |= SVM_ICPT_IRET;
    } else {
        v->intercept_misc1 &= ~(uint32_t)SVM_ICPT_IRET;
    }
}

static void set_segment(struct vmcb *v, uint32_t name, struct vmcb_segment *s, const struct hv_segment *from)
{
    *s = (struct vmcb_segment){from->selector, pack(from->attributes), from->limit, from->base};
    if (name == HV_REG_SS) {
        v->cpl = (uint8_t)(from->attributes >> 5 & 3);
    }
}

bool svm_set_reg(struct vp *vp, uint32_t name, const union hv_register_value *value)
{
    struct vmcb *v = vmcb_of(vp);
    uint64_t *field = plain(v, name);
    struct vmcb_segment *s = segment(v, name);

    if ((name == HV_REG_CR0 || name == HV_REG_CR4) && value->u64 >> 32 != 0) {
        return false;
    }
    if (field != NULL) {
        *field = value->u64;
        return true;
    }
    if (s != NULL) {
        set_segment(v, name, s, &value->segment);
        return true;
    }
    switch (name) {
    case HV_REG_EFER:
        if ((value->u64 & ~0x7d01ull) != 0) {
            return false;
        }
        v->efer = value->u64 | EFER_SVME;
        return true;
    case HV_REG_GDTR:
    case HV_REG_IDTR:
        s = name == HV_REG_GDTR ? &v->gdtr : &v->idtr;
        s->limit = value->table.limit;
        s->base = value->table.base;
        return true;
    case HV_REG_TSC_AUX:
        if (value->u64 >> 32 != 0) {
            return false;
        }
        vp->svm.tsc_aux = value->u64;
        if (vp->context_live) {
            wrmsr(MSR_TSC_AUX, value->u64);
        }
        return true;
    case HV_REG_PENDING_INTERRUPTION:
        set_pending(vp, value->u64);
        return true;
    case HV_REG_INTERRUPT_STATE:
        set_interrupt_state(vp, v, value->u64);
        return true;
    default:
        return false;
    }
}
