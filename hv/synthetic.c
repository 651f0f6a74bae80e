// SPDX-License-Identifier: Apache-2.0
// Synthetic MSRs of a partition: identity, hypercall page, reference time, timers, APIC shortcuts.
//
// Source: TLFS "Hypercall Interface", "Timers", "Virtual Interrupt Controller", "Virtual Processors". Pages that the
// TLFS calls overlays are written into the guest's own memory: the guest chooses the page, so nothing else of it
// is lost, and no page of the pool is needed.
//
// Reference time is (host TSC - time_base_tsc) in units of 100 ns. With 64.64 fixed point:
//   time = ticks * tsc_scale >> 64     ticks = time * ticks_per_unit >> 48, rounded up
#include "arch/x86/policy.h"
#include "arch/x86/vlapic.h"
#include "hv/cpu.h"

enum synthetic_msr {
    MSR_GUEST_OS_ID = 0x40000000,
    MSR_HYPERCALL = 0x40000001,
    MSR_VP_INDEX = 0x40000002,
    MSR_VP_RUNTIME = 0x40000010,
    MSR_TIME_REF_COUNT = 0x40000020,
    MSR_REFERENCE_TSC = 0x40000021,
    MSR_TSC_FREQUENCY = 0x40000022,
    MSR_APIC_FREQUENCY = 0x40000023,
    MSR_SYN_EOI = 0x40000070,
    MSR_SYN_ICR = 0x40000071,
    MSR_SYN_TPR = 0x40000072,
    MSR_VP_ASSIST_PAGE = 0x40000073,
    MSR_STIMER0_CONFIG = 0x400000b0, // config and count of four timers
    MSR_STIMER3_COUNT = 0x400000b7,
    MSR_TSC_INVARIANT_CONTROL = 0x40000118,
};

// Bits of HV_PARTITION_PRIVILEGE_MASK that guard MSRs.
enum privilege {
    PRIV_VP_RUNTIME = 0,
    PRIV_REFERENCE_COUNTER = 1,
    PRIV_SYNTHETIC_TIMERS = 3,
    PRIV_APIC = 4,
    PRIV_HYPERCALL = 5,
    PRIV_VP_INDEX = 6,
    PRIV_REFERENCE_TSC = 9,
    PRIV_FREQUENCIES = 11,
    PRIV_TSC_INVARIANT = 15,
};

#define PAGE_MSR_ENABLE BIT(0)
#define HYPERCALL_LOCKED BIT(1)

#define STIMER_ENABLE BIT(0)
#define STIMER_PERIODIC BIT(1)
#define STIMER_AUTO_ENABLE BIT(3)
#define STIMER_DIRECT BIT(12)
#define STIMER_VALID 0xf1fffull
#define UNITS_PER_SECOND 10000000ull

typedef unsigned __int128 u128;

static bool may(const struct vp *vp, enum privilege bit)
{
    return (vp->partition->privileges >> bit & 1) != 0;
}

// --- reference time ---

// Both factors depend on the TSC rate alone; computed at the first use.
static uint64_t tsc_scale, ticks_per_unit, scaled_hz;

static void compute_factors(void)
{
    if (scaled_hz != host_tsc_hz) {
        tsc_scale = (uint64_t)(((u128)UNITS_PER_SECOND << 64) / host_tsc_hz);
        ticks_per_unit = (uint64_t)(((u128)host_tsc_hz << 48) / UNITS_PER_SECOND) + 1;
        scaled_hz = host_tsc_hz;
    }
}

static uint64_t to_units(uint64_t ticks)
{
    return (uint64_t)((u128)ticks * tsc_scale >> 64);
}

// Ticks after which at least `units` have passed by to_units(), whose scale is rounded down: hence the few more
// (TLFS: a timer is never early). Saturates far beyond any life time.
static uint64_t to_ticks(uint64_t units)
{
    u128 ticks = ((u128)units * ticks_per_unit >> 48) + 2 + (units >> 40);

    return ticks >> 62 != 0 ? BIT(62) : (uint64_t)ticks;
}

uint64_t reference_time_at(const struct partition *p, uint64_t host_tsc_value)
{
    compute_factors();
    return to_units(host_tsc_value - p->time_base_tsc);
}

uint64_t reference_time(const struct partition *p)
{
    return reference_time_at(p, host_tsc());
}

// --- reference TSC page (TLFS "Partition Reference Time Enlightenment") ---

struct reference_tsc_page {
    uint32_t sequence; // 0: use the MSR instead
    uint32_t reserved;
    uint64_t scale;
    int64_t offset;
};

// time = (guest TSC * scale >> 64) + offset for the VP that asks; VPs of a partition have one TSC unless the guest
// itself moves them apart.
static bool write_reference_page(struct vp *vp)
{
    struct partition *p = vp->partition;
    uint64_t guest_base = p->time_base_tsc + vp->tsc_offset;
    struct reference_tsc_page page = {.scale = tsc_scale, .offset = -(int64_t)to_units(guest_base)};
    gpa_t gpa = GPA(p->reference_tsc_msr & PAGE_MASK);

    // A reader that sees the new sequence must see the new values: first "unavailable", then all, then the number.
    if (!vp_write_gpa(p, gpa, &page, sizeof(page))) {
        return false;
    }
    p->reference_tsc_sequence = p->reference_tsc_sequence + 1 == 0 ? 1 : p->reference_tsc_sequence + 1;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    return vp_write_gpa(p, gpa, &p->reference_tsc_sequence, sizeof(p->reference_tsc_sequence));
}

static bool set_reference_tsc(struct vp *vp, uint64_t value)
{
    uint64_t old = vp->partition->reference_tsc_msr;

    vp->partition->reference_tsc_msr = value;
    compute_factors();
    if ((value & PAGE_MSR_ENABLE) != 0 && !write_reference_page(vp)) {
        vp->partition->reference_tsc_msr = old;
        return false;
    }
    return true;
}

void reference_tsc_changed(struct vp *vp)
{
    if ((vp->partition->reference_tsc_msr & PAGE_MSR_ENABLE) != 0) {
        compute_factors();
        (void)!write_reference_page(
            vp); // the page was there when it was enabled; without it there are no readers
    }
}

// --- hypercall page (TLFS "Establishing the Hypercall Interface") ---

static bool write_hypercall_page(struct partition *p, gpa_t gpa)
{
    uint8_t code[sizeof(virt->hypercall_insn) + 1];

    __builtin_memcpy(code, virt->hypercall_insn, sizeof(virt->hypercall_insn));
    code[sizeof(code) - 1] = 0xc3; // RET
    return vp_write_gpa(p, gpa, code, sizeof(code));
}

static bool set_hypercall(struct vp *vp, uint64_t value)
{
    struct partition *p = vp->partition;

    if ((p->hypercall_msr & HYPERCALL_LOCKED) != 0) {
        return true; // immutable until reset
    }
    if (p->guest_os_id == 0) {
        value &= ~PAGE_MSR_ENABLE;
    }
    if ((value & PAGE_MSR_ENABLE) != 0 && !write_hypercall_page(p, GPA(value & PAGE_MASK))) {
        return false;
    }
    p->hypercall_msr = value;
    return true;
}

static bool set_guest_os_id(struct vp *vp, uint64_t value)
{
    vp->partition->guest_os_id = value;
    if (value == 0) {
        vp->partition->hypercall_msr &= ~PAGE_MSR_ENABLE;
    }
    return true;
}

// --- synthetic timers, direct mode (TLFS "Synthetic Timers") ---

// A guest that asks for a shorter period gets this one: its timer must not keep the processor from everything else.
#define SHORTEST_PERIOD_UNITS 100

static unsigned timer_vector(const struct stimer *t)
{
    return (unsigned)(t->config >> 4) & 0xff;
}

// Without a SynIC only direct mode can deliver; anything else is disabled as the TLFS does with SINT 0.
static bool can_deliver(const struct stimer *t)
{
    return (t->config & STIMER_DIRECT) != 0 && timer_vector(t) >= 16;
}

static uint64_t period_ticks(const struct stimer *t)
{
    return to_ticks(MAX(t->count, (uint64_t)SHORTEST_PERIOD_UNITS));
}

static void arm(struct vp *vp, struct stimer *t)
{
    t->deadline_tsc = 0;
    if (t->count == 0 || !can_deliver(t)) {
        t->config &= ~STIMER_ENABLE;
    }
    if ((t->config & STIMER_ENABLE) != 0) {
        compute_factors();
        t->deadline_tsc = t->config & STIMER_PERIODIC ? host_tsc() + period_ticks(t)
                                                      : vp->partition->time_base_tsc + to_ticks(t->count);
    }
}

static void fire(struct vp *vp, struct stimer *t, uint64_t now)
{
    if ((t->config & STIMER_PERIODIC) != 0) {
        uint64_t period = period_ticks(t);

        t->deadline_tsc += ((now - t->deadline_tsc) / period + 1) * period; // missed ones are skipped
    } else {
        t->config &= ~STIMER_ENABLE;
        t->deadline_tsc = 0;
    }
    vp_post_interrupt(vp, (uint8_t)timer_vector(t), false);
}

uint64_t stimer_expire(struct vp *vp, uint64_t now)
{
    uint64_t next = ~0ull;

    for (unsigned i = 0; i < ARRAY_LEN(vp->stimer); i++) {
        struct stimer *t = &vp->stimer[i];

        if (t->deadline_tsc != 0 && t->deadline_tsc <= now) {
            fire(vp, t, now);
        }
        if (t->deadline_tsc != 0) {
            next = MIN(next, t->deadline_tsc);
        }
    }
    return next;
}

// A one-shot time in the past expires at once (TLFS "Synthetic Timer Configuration Register").
static void timer_written(struct vp *vp, struct stimer *t)
{
    uint64_t now = host_tsc();

    arm(vp, t);
    if (t->deadline_tsc != 0 && t->deadline_tsc <= now) {
        fire(vp, t, now);
    }
    vp_timers_changed(vp);
}

static bool write_timer(struct vp *vp, uint32_t msr, uint64_t value)
{
    struct stimer *t = &vp->stimer[(msr - MSR_STIMER0_CONFIG) / 2];

    if ((msr & 1) != 0) {
        t->count = value;
        if (value != 0 && (t->config & STIMER_AUTO_ENABLE) != 0) {
            t->config |= STIMER_ENABLE;
        }
    } else if ((value & ~STIMER_VALID) == 0) {
        t->config = value;
    } else {
        return false;
    }
    timer_written(vp, t);
    return true;
}

static uint64_t read_timer(const struct vp *vp, uint32_t msr)
{
    const struct stimer *t = &vp->stimer[(msr - MSR_STIMER0_CONFIG) / 2];

    return (msr & 1) != 0 ? t->count : t->config;
}

// --- MSRs ---

static uint64_t run_time(const struct vp *vp)
{
    compute_factors();
    return to_units(vp->run_tsc + (host_tsc() - vp->run_start));
}

bool synthetic_read(struct vp *vp, uint32_t msr, uint64_t *value)
{
    const struct partition *p = vp->partition;

    if (msr == MSR_VP_INDEX) { // by far the most frequent
        *value = vp->index;
        return may(vp, PRIV_VP_INDEX);
    }
    switch (msr) {
    case MSR_GUEST_OS_ID:
        *value = p->guest_os_id;
        return may(vp, PRIV_HYPERCALL);
    case MSR_HYPERCALL:
        *value = p->hypercall_msr;
        return may(vp, PRIV_HYPERCALL);
    case MSR_VP_RUNTIME:
        *value = run_time(vp);
        return may(vp, PRIV_VP_RUNTIME);
    case MSR_TIME_REF_COUNT:
        *value = reference_time(p);
        return may(vp, PRIV_REFERENCE_COUNTER);
    case MSR_REFERENCE_TSC:
        *value = p->reference_tsc_msr;
        return may(vp, PRIV_REFERENCE_TSC);
    case MSR_TSC_FREQUENCY:
    case MSR_APIC_FREQUENCY: // the APIC timer counts TSC ticks, see vlapic_timer.c
        *value = host_tsc_hz;
        return may(vp, PRIV_FREQUENCIES);
    case MSR_SYN_ICR:
        return may(vp, PRIV_APIC) && vlapic_read_icr(vp, value);
    case MSR_SYN_TPR:
        *value = vlapic_tpr(vp);
        return may(vp, PRIV_APIC);
    case MSR_VP_ASSIST_PAGE:
        *value = vp->vp_assist;
        return may(vp, PRIV_APIC);
    case MSR_STIMER0_CONFIG ... MSR_STIMER3_COUNT:
        *value = read_timer(vp, msr);
        return may(vp, PRIV_SYNTHETIC_TIMERS);
    case MSR_TSC_INVARIANT_CONTROL:
        *value = p->tsc_invariant_msr;
        return may(vp, PRIV_TSC_INVARIANT);
    }
    return false;
}

static bool write_eoi(struct vp *vp, uint64_t value)
{
    if (value >> 32 != 0) {
        return false;
    }
    vlapic_eoi(vp);
    return true;
}

static bool write_tpr(struct vp *vp, uint64_t value)
{
    if (value > 0xff) {
        return false;
    }
    vlapic_set_tpr(vp, (uint8_t)value);
    return true;
}

// The page is the guest's to read and write; we offer nothing in it, and a page of zeros says just that.
static bool write_vp_assist(struct vp *vp, uint64_t value)
{
    static const uint64_t zero;

    if ((value & PAGE_MSR_ENABLE) != 0 &&
        !vp_write_gpa(vp->partition, GPA(value & PAGE_MASK), &zero, sizeof(zero))) {
        return false;
    }
    vp->vp_assist = value;
    return true;
}

static bool write_tsc_invariant(struct vp *vp, uint64_t value)
{
    if ((value & ~1ull) != 0) {
        return false;
    }
    vp->partition->tsc_invariant_msr = value;
    return true;
}

bool synthetic_write(struct vp *vp, uint32_t msr, uint64_t value)
{
    switch (msr) {
    case MSR_STIMER0_CONFIG ... MSR_STIMER3_COUNT:
        return may(vp, PRIV_SYNTHETIC_TIMERS) && write_timer(vp, msr, value);
    case MSR_SYN_EOI:
        return may(vp, PRIV_APIC) && write_eoi(vp, value);
    case MSR_SYN_ICR:
        return may(vp, PRIV_APIC) && vlapic_write_icr(vp, value);
    case MSR_SYN_TPR:
        return may(vp, PRIV_APIC) && write_tpr(vp, value);
    case MSR_VP_ASSIST_PAGE:
        return may(vp, PRIV_APIC) && write_vp_assist(vp, value);
    case MSR_GUEST_OS_ID:
        return may(vp, PRIV_HYPERCALL) && set_guest_os_id(vp, value);
    case MSR_HYPERCALL:
        return may(vp, PRIV_HYPERCALL) && set_hypercall(vp, value);
    case MSR_REFERENCE_TSC:
        return may(vp, PRIV_REFERENCE_TSC) && set_reference_tsc(vp, value);
    case MSR_TSC_INVARIANT_CONTROL:
        return may(vp, PRIV_TSC_INVARIANT) && write_tsc_invariant(vp, value);
    }
    return false;
}

void synthetic_reset(struct vp *vp)
{
    for (unsigned i = 0; i < ARRAY_LEN(vp->stimer); i++) {
        vp->stimer[i] = (struct stimer){0};
    }
    vp->vp_assist = 0;
}
