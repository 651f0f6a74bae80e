// SPDX-License-Identifier: Apache-2.0
// Virtual local APIC timer: one-shot, periodic and TSC-deadline mode (SDM 3A "APIC Timer").
//
// Counts are kept as host TSC times, so nothing ticks. The input clock is the TSC, hence conversions are a
// multiplication by the divisor; a period is below 2^39 ticks and no sum can overflow.
#include "arch/x86/vlapic_priv.h"

#include "hv/cpu.h"

enum timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_DEADLINE };

static enum timer_mode mode_of(uint32_t lvt)
{
    return (enum timer_mode)(lvt >> 17 & 3);
}

static enum timer_mode mode_now(const struct vp *vp)
{
    return mode_of(vp->apic.timer_lvt);
}

static unsigned divisor_of(uint32_t tdcr)
{
    unsigned code = (tdcr & 3) | (tdcr >> 1 & 4);

    return code == 7 ? 1 : 2u << code;
}

static unsigned divisor(const struct vp *vp)
{
    return divisor_of(vp->apic.timer_divide);
}

// A guest that asks for a shorter period than this would get no further than its interrupt handler.
static uint64_t shortest_period(void)
{
    return host_tsc_hz / 100000;
}

static void disarm(struct vp *vp)
{
    vp->apic.timer_deadline = 0;
    vp->apic.tsc_deadline = 0;
}

static void fire(struct vp *vp)
{
    uint32_t lvt = vp->apic.timer_lvt;

    if ((lvt & APIC_LVT_MASKED) != 0) {
        return;
    }
    if ((lvt & 0xff) < 16) {
        vlapic_error(vp, APIC_ERROR_RECEIVE_VECTOR);
        return;
    }
    vp_post_interrupt(vp, (uint8_t)lvt, false);
}

void vlapic_timer_start(struct vp *vp, uint32_t initial)
{
    struct vlapic *a = &vp->apic;
    enum timer_mode mode = mode_now(vp);

    if (mode == TIMER_DEADLINE) { // SDM 3A "TSC-Deadline Mode": writes to the initial count are ignored
        apic_set(vp, APIC_TIMER_INITIAL, 0);
        return;
    }
    apic_set(vp, APIC_TIMER_INITIAL, initial);
    a->timer_start = host_tsc();
    a->timer_period = (uint64_t)initial * divisor(vp);
    if (mode == TIMER_PERIODIC && initial != 0) {
        a->timer_period = MAX(a->timer_period, shortest_period());
    }
    a->timer_deadline = initial == 0 ? 0 : a->timer_start + a->timer_period;
    vp_timers_changed(vp);
}

// Host TSC ticks until the next expiry.
static uint64_t remaining(const struct vp *vp, uint64_t now)
{
    const struct vlapic *a = &vp->apic;

    if (a->timer_deadline == 0) {
        return 0;
    }
    if (now < a->timer_deadline) {
        return a->timer_deadline - now;
    }
    if (mode_now(vp) == TIMER_PERIODIC) {
        return a->timer_period - (now - a->timer_deadline) % a->timer_period;
    }
    return 0;
}

uint32_t vlapic_timer_count(const struct vp *vp)
{
    if (mode_now(vp) == TIMER_DEADLINE) {
        return 0;
    }
    return (uint32_t)(remaining(vp, host_tsc()) / divisor(vp));
}

// The count goes on from where it is, at the new rate.
void vlapic_timer_set_divide(struct vp *vp, uint32_t value)
{
    struct vlapic *a = &vp->apic;
    unsigned old = divisor(vp), new = divisor_of(value);
    uint64_t now = host_tsc();

    apic_set(vp, APIC_TIMER_DIVIDE, value);
    if (a->timer_deadline != 0 && mode_now(vp) != TIMER_DEADLINE) {
        a->timer_deadline = now + remaining(vp, now) / old * new;
        a->timer_period = MAX(a->timer_period / old * new, shortest_period());
        vp_timers_changed(vp);
    }
    a->timer_divide = value;
}

void vlapic_timer_set_lvt(struct vp *vp, uint32_t value)
{
    enum timer_mode old = mode_now(vp), new = mode_of(value);

    if (old != new && (old == TIMER_DEADLINE || new == TIMER_DEADLINE)) {
        disarm(vp);
        apic_set(vp, APIC_TIMER_INITIAL, 0);
        vp_timers_changed(vp);
    }
    if (new == TIMER_PERIODIC) {
        vp->apic.timer_period = MAX(vp->apic.timer_period, shortest_period());
    }
    vp->apic.timer_lvt = value;
    apic_set(vp, APIC_LVT_TIMER, value);
}

uint64_t vlapic_tsc_deadline(const struct vp *vp)
{
    return vp->apic.tsc_deadline;
}

// From the guest's time to the host's. A deadline too far away for 64 bits never comes.
static void arm_deadline(struct vp *vp)
{
    struct vlapic *a = &vp->apic;
    uint64_t now = host_tsc();
    uint64_t guest_now = now + vp->tsc_offset;

    if (a->tsc_deadline == 0) {
        a->timer_deadline = 0;
    } else if (a->tsc_deadline <= guest_now) {
        disarm(vp);
        fire(vp);
    } else if (__builtin_add_overflow(now, a->tsc_deadline - guest_now, &a->timer_deadline)) {
        a->timer_deadline = ~0ull;
    }
    vp_timers_changed(vp);
}

void vlapic_set_tsc_deadline(struct vp *vp, uint64_t guest_tsc)
{
    if (mode_now(vp) == TIMER_DEADLINE) {
        vp->apic.tsc_deadline = guest_tsc;
        arm_deadline(vp);
    }
}

void vlapic_tsc_changed(struct vp *vp)
{
    if (vp->apic.tsc_deadline != 0) {
        arm_deadline(vp);
    }
}

uint64_t vlapic_timer_expire(struct vp *vp, uint64_t now)
{
    struct vlapic *a = &vp->apic;

    if (a->timer_deadline == 0) {
        return ~0ull;
    }
    if (now < a->timer_deadline) {
        return a->timer_deadline;
    }
    if (mode_now(vp) == TIMER_PERIODIC) {
        a->timer_deadline += ((now - a->timer_deadline) / a->timer_period + 1) * a->timer_period;
    } else {
        disarm(vp);
    }
    fire(vp);
    return a->timer_deadline == 0 ? ~0ull : a->timer_deadline;
}
