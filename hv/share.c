// SPDX-License-Identifier: Apache-2.0
// Caps and reservations: accounts of VPs by period, and what the machine can promise.
#include "hv/share.h"

#include "hv/cpu.h"

static uint64_t period; // ticks

void share_init(void)
{
    period = host_tsc_hz / 50; // 20 ms
}

static uint64_t ticks_of(uint32_t fraction)
{
    return period * fraction / SHARE_UNIT;
}

void share_update(struct vp *vp)
{
    const struct partition *p = vp->partition;
    bool limited = vp->priority != 0 && (p->cpu_reserve != 0 || p->cpu_cap < SHARE_UNIT);

    if (p->is_root) {
        vp->share.home = vp->cpu;
    }
    __atomic_store_n(&vp->share.reserve, ticks_of(p->cpu_reserve), __ATOMIC_RELAXED);
    __atomic_store_n(&vp->share.cap, limited ? MAX(ticks_of(p->cpu_cap), 1ull) : 0, __ATOMIC_RELAXED);
}

static uint64_t cap_of(const struct vp *vp)
{
    return MAX(__atomic_load_n(&vp->share.cap, __ATOMIC_RELAXED),
               1ull); // 0 if the limits have just been lifted
}

// --- the cap ---

// Opens the period of `now`, if it is not open: what was used beyond the cap is carried over.
static void roll_cap(struct share_account *a, uint64_t cap, uint64_t now)
{
    uint64_t n;

    if (now >= a->cap_end) {
        n = (now - a->cap_end) / period + 1;
        a->cap_used -= n > a->cap_used / cap ? a->cap_used : n * cap;
        a->cap_end += n * period;
    }
}

static void charge_cap(struct share_account *a, uint64_t cap, uint64_t start, uint64_t now)
{
    if (now >= a->cap_end) {
        if (start < a->cap_end) {
            a->cap_used += a->cap_end - start;
        }
        roll_cap(a, cap, now);
        start = MAX(start, a->cap_end - period);
    }
    a->cap_used += now - start;
}

// When the VP, running from `now` on, has used its cap. A period that ends before lets it start on the next one's.
static uint64_t cap_end(const struct share_account *a, uint64_t cap, uint64_t now)
{
    uint64_t left = cap - MIN(a->cap_used, cap);

    return now + left <= a->cap_end ? now + left : a->cap_end + cap;
}

// --- the reservation ---

// What was used at `now` of the period that is then open. A VP that ran on its reservation for too long, because a timer
// came late, has that taken off the next ones: else it could go first again and again.
static uint64_t reserve_used(const struct share_account *a, uint64_t used, uint64_t now)
{
    uint64_t n;

    if (now < a->deadline) {
        return used;
    }
    n = (now - a->deadline) / period + 1;
    return a->reserve == 0 || n > used / a->reserve ? 0 : used - n * a->reserve;
}

static void roll_reserve(struct share_account *a, uint64_t now)
{
    a->reserve_used = reserve_used(a, a->reserve_used, now);
    if (now >= a->deadline) {
        a->deadline += ((now - a->deadline) / period + 1) * period;
    }
}

// What it gets by its weight counts too, but not beyond the reservation.
static uint64_t charged(const struct share_account *a, uint64_t ran)
{
    uint64_t used = a->reserve_used + ran;

    return a->owed ? used : MAX(a->reserve_used, MIN(used, a->reserve));
}

// Has it more left than its rate allows until the deadline? Fractions of a period are below 2^32 ticks.
static bool left_too_much(const struct share_account *a, uint64_t now)
{
    uint64_t left = a->reserve - MIN(a->reserve_used, a->reserve);

    return left * period > (a->deadline - now) * a->reserve;
}

bool share_open(struct vp *vp, uint64_t now)
{
    struct share_account *a = &vp->share;

    roll_reserve(a, now);
    if (a->slept) {
        a->slept = false;
        if (left_too_much(a, now)) {
            a->deadline = now + period;
            a->reserve_used = 0;
        }
    }
    return a->reserve_used < a->reserve;
}

bool share_is_owed(const struct vp *vp, uint64_t now, uint64_t running)
{
    const struct share_account *a = &vp->share;

    return reserve_used(a, charged(a, running), now) < a->reserve;
}

// --- both ---

uint64_t share_begin(struct vp *vp, uint64_t now)
{
    struct share_account *a = &vp->share;
    uint64_t cap = cap_of(vp), end = ~0ull;

    if (cap < period) {
        roll_cap(a, cap, now);
        end = cap_end(a, cap, now);
    }
    roll_reserve(a, now);
    a->owed = a->reserve_used < a->reserve;
    return a->owed ? MIN(end, now + a->reserve - a->reserve_used) : end;
}

void share_end(struct vp *vp, uint64_t start, uint64_t now)
{
    struct share_account *a = &vp->share;
    uint64_t cap = cap_of(vp);

    a->reserve_used = charged(a, now - start);
    a->wake = a->reserve != 0 && a->reserve_used >= a->reserve ? a->deadline
                                                               : 0; // then it is owed time again
    if (cap >= period) {
        return;
    }
    charge_cap(a, cap, start, now);
    if (a->cap_used >= cap) {
        a->wake = a->cap_end + (a->cap_used / cap - 1) * period;
        __atomic_or_fetch(&vp->block, VP_BLOCK_CAPPED, __ATOMIC_SEQ_CST);
    }
}

void share_expire(struct vp *vp, uint64_t now)
{
    if (vp->share.wake != 0 && now >= vp->share.wake) {
        vp->share.wake = 0;
        __atomic_and_fetch(&vp->block, ~(uint32_t)VP_BLOCK_CAPPED, __ATOMIC_SEQ_CST);
    }
}

// --- admission ---

struct plan {
    const struct partition *p; // may differ from what it has now: NULL: nobody does
    uint32_t vps, reserve;
    bool commit;
    uint32_t room[HV_MAX_CPUS]; // of each processor, in SHARE_UNITs
};

static uint32_t reserve_of(const struct plan *plan, const struct partition *q)
{
    return q == plan->p ? plan->reserve : q->cpu_reserve;
}

// The largest reservation below `limit`; 0: none.
static uint32_t next_largest(const struct plan *plan, uint32_t limit)
{
    uint32_t largest = 0;

    for (const struct partition *q = root_partition->next_sibling; q != NULL; q = q->next_sibling) {
        uint32_t r = reserve_of(plan, q);

        largest = r < limit ? MAX(largest, r) : largest;
    }
    return largest;
}

// From the last processor downwards: the data plane lives on the first.
static bool take_room(struct plan *plan, uint32_t reserve, uint32_t *cpu)
{
    for (uint32_t i = cpu_count; i > cpu_first; i--) {
        if (plan->room[i - 1] >= reserve) {
            plan->room[i - 1] -= reserve;
            *cpu = i - 1;
            return true;
        }
    }
    return false;
}

static bool place_partition(struct plan *plan, const struct partition *q)
{
    uint32_t n = q == plan->p ? plan->vps : q->vp_count, cpu;

    for (uint32_t i = 0; i < HV_MAX_VPS_PER_PARTITION && n > 0; i++) {
        if (plan->commit && q->vps[i] == NULL) {
            continue;
        }
        if (!take_room(plan, reserve_of(plan, q), &cpu)) {
            return false;
        }
        if (plan->commit) {
            __atomic_store_n(&q->vps[i]->share.home, cpu, __ATOMIC_RELAXED);
        }
        n--;
    }
    return true;
}

// First fit, the large ones first.
static bool place_all(struct plan *plan)
{
    for (uint32_t i = 0; i < cpu_count; i++) {
        plan->room[i] = SHARE_UNIT;
    }
    plan->room[cpu_first] -= SHARE_MANAGEMENT;
    plan->room[cpu_first + 1 % cpu_working()] -= SHARE_MANAGEMENT;
    for (uint32_t r = next_largest(plan, ~0u); r != 0; r = next_largest(plan, r)) {
        for (const struct partition *q = root_partition->next_sibling; q != NULL; q = q->next_sibling) {
            if (reserve_of(plan, q) == r && !place_partition(plan, q)) {
                return false;
            }
        }
    }
    return true;
}

bool share_fits(const struct partition *p, uint32_t vps, uint32_t reserve)
{
    struct plan plan = {.p = p, .vps = vps, .reserve = reserve};

    return place_all(&plan);
}

void share_assign(void)
{
    struct plan plan = {.commit = true};

    (void)place_all(&plan);
}
