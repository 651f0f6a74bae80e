// SPDX-License-Identifier: Apache-2.0
// The hypervisor around a VP, for tests; see fake_hv.h.
#include "tests/unit/fake_hv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/host.h"
#include "arch/x86/vlapic.h"
#include "arch/x86/x86.h"

uint64_t fake_tsc;
uint64_t host_tsc_hz = FAKE_TSC_HZ;
uint64_t host_xcr0 = 0xe7;
uint32_t fake_timer_changes;
int fake_eoi_vector = -1;
uint64_t fake_arch_capabilities;
uint64_t fake_hardware_xcr0;

struct fake_partition {
    struct partition p;
    size_t memory_size;
    uint8_t *memory;
};

static struct fake_partition *fake_of(struct partition *p)
{
    return CONTAINER_OF(p, struct fake_partition, p);
}

uint8_t *fake_memory(struct partition *p)
{
    return fake_of(p)->memory;
}

static struct vp *new_vp(struct partition *p, uint32_t index)
{
    struct vp *vp = calloc(1, sizeof(*vp));

    vp->partition = p;
    vp->index = index;
    vp->apic_id = index;
    vp->xcr0 = 1;
    vp->next_deadline = ~0ull;
    vp->regs = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    vp->message = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    vp->apic_page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    memset(vp->regs, 0, PAGE_SIZE);
    memset(vp->message, 0, PAGE_SIZE);
    memset(vp->apic_page, 0, PAGE_SIZE);
    virt->vp_init(vp, NULL);
    vlapic_init(vp);
    return vp;
}

struct partition *fake_partition_new(unsigned vps, size_t memory)
{
    struct fake_partition *f = calloc(1, sizeof(*f));

    f->p.id = 0x10002;
    f->p.privileges = ~0ull;
    f->p.gpa_width = 40;
    f->memory = calloc(1, memory);
    f->memory_size = memory;
    fake_timer_changes = 0;
    fake_eoi_vector = -1;
    for (unsigned i = 0; i < vps; i++) {
        f->p.vps[i] = new_vp(&f->p, i);
        f->p.vp_count++;
    }
    return &f->p;
}

void fake_partition_free(struct partition *p)
{
    for (unsigned i = 0; i < HV_MAX_VPS_PER_PARTITION; i++) {
        if (p->vps[i] != NULL) {
            virt->vp_fini(p->vps[i]);
            free(p->vps[i]->regs);
            free(p->vps[i]->message);
            free(p->vps[i]->apic_page);
            free(p->vps[i]);
        }
    }
    free(fake_of(p)->memory);
    free(fake_of(p));
}

void fake_long_mode(struct vp *vp, uint64_t tables, uint64_t rip)
{
    uint64_t *t = (uint64_t *)(void *)(fake_memory(vp->partition) + tables);

    t[0] = (tables + 0x1000) | 7;
    t[512] = (tables + 0x2000) | 7;
    for (uint64_t i = 0; i < 512; i++) {
        t[1024 + i] = i << 21 | 0x87;
    }
    fake_set_reg(vp, HV_REG_CR0, CR0_PE | CR0_PG | CR0_WP | CR0_ET);
    fake_set_reg(vp, HV_REG_CR3, tables);
    fake_set_reg(vp, HV_REG_CR4, CR4_PAE);
    fake_set_reg(vp, HV_REG_EFER, EFER_LME | EFER_LMA | EFER_NXE);
    fake_set_reg(vp, HV_REG_RIP, rip);
    fake_set_segment(vp, HV_REG_CS,
                     (struct hv_segment){.limit = 0xffffffff, .selector = 8, .attributes = 0xa09b});
    fake_set_segment(vp, HV_REG_SS,
                     (struct hv_segment){.limit = 0xffffffff, .selector = 16, .attributes = 0xc093});
}

// --- hv/exit.c, hv/vp.c ---

uint64_t vp_reg(struct vp *vp, uint32_t name)
{
    union hv_register_value v = {.u64 = 0};

    (void)!virt->get_reg(vp, name, &v);
    return v.u64;
}

void vp_set_reg(struct vp *vp, uint32_t name, uint64_t value)
{
    union hv_register_value v = {.u128 = {value, 0}};

    (void)!virt->set_reg(vp, name, &v);
}

unsigned vp_cpl(struct vp *vp)
{
    union hv_register_value ss = {.u64 = 0};

    (void)!virt->get_reg(vp, HV_REG_SS, &ss);
    return ss.segment.attributes >> 5 & 3;
}

unsigned vp_measure_insn(struct vp *vp, unsigned opcode_bytes)
{
    (void)vp;
    return opcode_bytes;
}

enum vp_action vp_inject_exception(struct vp *vp, uint8_t vector, bool has_error, uint32_t error)
{
    virt->inject(vp, EVENT_EXCEPTION, vector, has_error, error);
    return VP_RESUME;
}

enum vp_action vp_crash(struct vp *vp, uint32_t message_type, uint64_t parameter)
{
    (void)parameter;
    vp->message->header.type = message_type;
    vp->block |= VP_BLOCK_DEAD;
    return VP_RESCHED;
}

void vp_request(struct vp *vp, uint32_t requests)
{
    vp->requests |= requests;
}

void vp_post_interrupt(struct vp *vp, uint8_t vector, bool level)
{
    uint64_t bit = BIT(vector & 63);

    vp->apic.level[vector / 64] = (vp->apic.level[vector / 64] & ~bit) | (level ? bit : 0);
    vp->pir[vector / 64] |= bit;
    vp_request(vp, VP_REQ_INTERRUPT);
}

void hv_apic_eoi(struct vp *vp, uint8_t vector)
{
    (void)vp;
    fake_eoi_vector = vector;
}

void vp_timers_changed(struct vp *vp)
{
    (void)vp;
    fake_timer_changes++;
}

static bool in_memory(struct partition *p, gpa_t gpa, size_t len)
{
    return gpa.v <= fake_of(p)->memory_size && len <= fake_of(p)->memory_size - gpa.v;
}

bool vp_read_gpa(struct partition *p, gpa_t gpa, void *buf, size_t len)
{
    if (!in_memory(p, gpa, len)) {
        return false;
    }
    memcpy(buf, fake_memory(p) + gpa.v, len);
    return true;
}

const void *vp_gpa_pointer(struct partition *p, gpa_t gpa)
{
    return in_memory(p, gpa, 1) ? fake_memory(p) + gpa.v : NULL;
}

bool vp_write_gpa(struct partition *p, gpa_t gpa, const void *buf, size_t len)
{
    if (!in_memory(p, gpa, len)) {
        return false;
    }
    memcpy(fake_memory(p) + gpa.v, buf, len);
    return true;
}

// --- hv/log.c, arch/x86 ---

void log_msg(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

void panic(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    abort();
}

uint64_t host_tsc(void)
{
    return fake_tsc;
}

bool rdmsr_safe(uint32_t msr, uint64_t *value)
{
    *value = fake_arch_capabilities;
    return msr == MSR_ARCH_CAPABILITIES;
}

void fpu_read_xcr0(struct vp *vp)
{
    (void)vp; // the tests' VPs exit for XSETBV
}

void fpu_set_xcr0(uint64_t value)
{
    fake_hardware_xcr0 = value;
}
