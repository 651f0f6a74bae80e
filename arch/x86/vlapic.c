// SPDX-License-Identifier: Apache-2.0
// Virtual local APIC: state, priorities and register accesses.
//
// A vector goes vp->pir (posted by anybody) -> IRR (vlapic_sync, owner) -> ISR (vlapic_accept) -> EOI. With
// APICv the processor does the last two steps on the same page. Source: SDM 3A "Advanced Programmable
// Interrupt Controller (APIC)".
#include "arch/x86/vlapic_priv.h"

#include "hv/cpu.h"

#define VERSION_VALUE 0x00050014u // six LVT entries, integrated APIC
#define BASE_BSP BIT(8)
#define BASE_X2APIC BIT(10)
#define BASE_ENABLE BIT(11)

// --- state ---

static uint32_t x2apic_ldr(uint32_t id)
{
    return (id >> 4) << 16 | 1u << (id & 15); // SDM 3A "Logical Destination Mode in x2APIC Mode"
}

static void set_id(struct vp *vp)
{
    apic_set(vp, APIC_ID, vlapic_mode(vp) == VLAPIC_X2APIC ? vp->apic_id : vp->apic_id << 24);
}

// Registers whose form depends on the mode.
static void set_identity(struct vp *vp)
{
    set_id(vp);
    apic_set(vp, APIC_LDR, vlapic_mode(vp) == VLAPIC_X2APIC ? x2apic_ldr(vp->apic_id) : 0);
}

static void request_sync(struct vp *vp)
{
    __atomic_or_fetch(&vp->requests, VP_REQ_INTERRUPT, __ATOMIC_RELAXED);
}

void vlapic_reset(struct vp *vp)
{
    struct vlapic *a = &vp->apic;

    for (unsigned i = 0; i < 4; i++) {
        __atomic_store_n(&vp->pir[i], 0, __ATOMIC_RELAXED);
    }
    for (unsigned offset = APIC_TPR; offset <= APIC_TIMER_DIVIDE; offset += 16) {
        apic_set(vp, offset, 0);
    }
    for (unsigned offset = APIC_LVT_TIMER; offset <= APIC_LVT_ERROR; offset += 16) {
        apic_set(vp, offset, APIC_LVT_MASKED);
    }
    apic_set(vp, APIC_VERSION, VERSION_VALUE);
    apic_set(vp, APIC_DFR, APIC_DFR_FLAT);
    apic_set(vp, APIC_SVR, 0xff);
    a->tsc_deadline = a->timer_deadline = a->timer_period = a->timer_start = 0;
    a->timer_lvt = APIC_LVT_MASKED;
    a->timer_divide = 0;
    a->isr_top = a->irr_words = 0;
    a->errors = 0;
    set_identity(vp);
    request_sync(vp);
    vp_timers_changed(vp);
}

void vlapic_init(struct vp *vp)
{
    vp->apic = (struct vlapic){
        .base_msr = APIC_BASE_DEFAULT | BASE_ENABLE | (vp->index == 0 ? BASE_BSP : 0),
        .hw_mode = 0xff,
    };
    vlapic_reset(vp);
}

// Steps that the state machine of SDM 3A "x2APIC State Transitions" allows.
static bool base_change_allowed(uint64_t from, uint64_t to)
{
    unsigned old = from >> 10 & 3, new = to >> 10 & 3;

    if (new == 1) {
        return false; // EXTD without EN
    }
    return old == new || new == 0 || (old == 0 && new == 2) || (old == 2 && new == 3);
}

bool vlapic_set_base(struct vp *vp, uint64_t value)
{
    uint64_t old = vp->apic.base_msr;
    uint64_t valid = ((1ull << vp->partition->gpa_width) - 1) & ~0x2ffull;

    if ((value & ~valid) != 0 || !base_change_allowed(old, value)) {
        return false;
    }
    vp->apic.base_msr = (value & ~BASE_BSP) | (old & BASE_BSP);
    if (((old ^ value) & (BASE_ENABLE | BASE_X2APIC)) != 0) {
        if ((value & BASE_ENABLE) == 0) {
            vlapic_reset(vp);
        }
        set_identity(vp);
    }
    request_sync(vp);
    return true;
}

// --- vectors and priorities ---

uint8_t vlapic_highest(const struct vp *vp, unsigned offset)
{
    for (int i = 7; i >= 0; i--) {
        uint32_t bits = apic_get(vp, offset + 16u * (unsigned)i);

        if (bits != 0) {
            return (uint8_t)(32 * i + 31 - __builtin_clz(bits));
        }
    }
    return 0;
}

static void change_bit(struct vp *vp, unsigned offset, uint8_t vector, bool on)
{
    unsigned reg = offset + (vector >> 5) * 16u;
    uint32_t bit = 1u << (vector & 31);

    apic_set(vp, reg, on ? apic_get(vp, reg) | bit : apic_get(vp, reg) & ~bit);
}

// The processor changes ISR behind our back, so the cached top counts only in software.
static uint8_t in_service(const struct vp *vp)
{
    return virt_caps.apicv ? vlapic_highest(vp, APIC_ISR) : vp->apic.isr_top;
}

static uint8_t processor_priority(const struct vp *vp)
{
    uint8_t tpr = vlapic_tpr(vp);
    uint8_t isr = in_service(vp) & 0xf0;

    return (tpr & 0xf0) >= isr ? tpr : isr;
}

// Highest requested vector, 0 none. The VP is loaded.
static uint8_t requested(struct vp *vp)
{
    if (vlapic_in_hardware(vp)) {
        return virt->apicv_rvi(vp);
    }
    return vp->apic.irr_words == 0 ? 0 : vlapic_highest(vp, APIC_IRR);
}

int vlapic_pending(struct vp *vp)
{
    uint8_t vector = requested(vp);

    if (vector == 0 || (vector & 0xf0) <= (processor_priority(vp) & 0xf0)) {
        return -1;
    }
    return vector;
}

bool vlapic_has_pending(const struct vp *vp)
{
    uint8_t vector = vlapic_highest(vp, APIC_IRR);

    for (unsigned i = 0; i < 4; i++) {
        if (__atomic_load_n(&vp->pir[i], __ATOMIC_RELAXED) != 0) {
            return true;
        }
    }
    return (vector & 0xf0) > (processor_priority(vp) & 0xf0);
}

static void sync_hardware(struct vp *vp)
{
    virt->apicv_sync(vp, vlapic_highest(vp, APIC_IRR), vlapic_highest(vp, APIC_ISR));
}

void vlapic_accept(struct vp *vp, uint8_t vector)
{
    change_bit(vp, APIC_IRR, vector, false);
    if (apic_get(vp, APIC_IRR + (vector >> 5) * 16u) == 0) {
        vp->apic.irr_words &= (uint8_t) ~(1u << (vector >> 5));
    }
    change_bit(vp, APIC_ISR, vector, true);
    vp->apic.isr_top = vector;
    if (vlapic_in_hardware(vp)) {
        sync_hardware(vp);
    }
}

// IRR and TMR take the 64 vectors of one posted word, of which `bits` are set.
static void take_posted(struct vp *vp, unsigned word, uint64_t bits)
{
    uint64_t level = __atomic_load_n(&vp->apic.level[word], __ATOMIC_RELAXED);

    for (unsigned half = 0; half < 2; half++) {
        unsigned step = (2 * word + half) * 16;
        uint32_t new = (uint32_t)(bits >> (32 * half));

        if (new != 0) {
            uint32_t tmr = apic_get(vp, APIC_TMR + step) & ~new;

            apic_set(vp, APIC_TMR + step, tmr | ((uint32_t)(level >> (32 * half)) & new));
            apic_set(vp, APIC_IRR + step, apic_get(vp, APIC_IRR + step) | new);
            vp->apic.irr_words |= (uint8_t)(1u << (2 * word + half));
        }
    }
}

// Level-triggered vectors and those that somebody waits for must exit at their EOI.
static void sync_eoi_exits(struct vp *vp)
{
    bool changed = false;

    for (unsigned i = 0; i < 4; i++) {
        uint64_t want = vp->apic.eoi_notify[i] | __atomic_load_n(&vp->apic.level[i], __ATOMIC_RELAXED);

        changed |= want != vp->apic.eoi_exit[i];
        vp->apic.eoi_exit[i] = want;
    }
    if (changed) {
        virt->apicv_eoi_exit(vp, vp->apic.eoi_exit);
    }
}

// The processor has set and cleared bits of IRR without telling.
static void recount_irr(struct vp *vp)
{
    vp->apic.irr_words = 0;
    for (unsigned i = 0; i < 8; i++) {
        vp->apic.irr_words |= (uint8_t)(apic_get(vp, APIC_IRR + 16 * i) != 0 ? 1u << i : 0);
    }
}

static void sync_mode(struct vp *vp)
{
    enum vlapic_mode mode = vlapic_mode(vp);

    if (mode == VLAPIC_XAPIC && (vp->apic.base_msr & PAGE_MASK) != APIC_BASE_DEFAULT) {
        mode = VLAPIC_OFF; // moved: the accesses trap and are done in software
    }
    if (vp->apic.hw_mode != mode) {
        if (vlapic_in_hardware(vp)) {
            recount_irr(vp);
        }
        vp->apic.hw_mode = mode;
        virt->apicv_mode(vp, mode);
    }
}

void vlapic_sync(struct vp *vp)
{
    bool enabled = vlapic_software_enabled(vp);

    for (unsigned i = 0; i < 4; i++) {
        if (__atomic_load_n(&vp->pir[i], __ATOMIC_RELAXED) != 0) {
            uint64_t bits = __atomic_exchange_n(&vp->pir[i], 0, __ATOMIC_ACQUIRE);

            if (enabled) {
                take_posted(vp, i, bits);
            }
        }
    }
    if (virt_caps.apicv) {
        sync_mode(vp);
        sync_eoi_exits(vp);
        sync_hardware(vp);
    }
}

// --- end of interrupt ---

static bool wants_eoi(const struct vp *vp, uint8_t vector)
{
    uint64_t notify = vp->apic.eoi_notify[vector >> 6] >> (vector & 63) & 1;
    uint32_t level = apic_get(vp, APIC_TMR + (vector >> 5) * 16u) >> (vector & 31) & 1;

    return notify != 0 || level != 0;
}

enum vp_action vlapic_exit_eoi(struct vp *vp)
{
    uint8_t vector = (uint8_t)vp->exit.qual[0];

    if (wants_eoi(vp, vector)) {
        hv_apic_eoi(vp, vector);
    }
    return VP_RESUME; // a trap: the write is done and RIP is past it
}

void vlapic_eoi(struct vp *vp)
{
    uint8_t vector = in_service(vp);

    if (vector == 0) {
        return;
    }
    change_bit(vp, APIC_ISR, vector, false);
    vp->apic.isr_top = vlapic_highest(vp, APIC_ISR);
    vp->check_interrupts = true;
    if (vlapic_in_hardware(vp)) {
        request_sync(vp);
    }
    if (wants_eoi(vp, vector)) {
        hv_apic_eoi(vp, vector);
    }
}

// --- errors ---

void vlapic_error(struct vp *vp, uint32_t bits)
{
    uint32_t lvt = apic_get(vp, APIC_LVT_ERROR);

    vp->apic.errors |= bits;
    if ((lvt & APIC_LVT_MASKED) == 0 && (lvt & 0xff) >= 16) {
        vp_post_interrupt(vp, (uint8_t)lvt, false);
    }
}

// --- registers ---

enum { R_X = 1, W_X = 2, R_2 = 4, W_2 = 8, RW_X = R_X | W_X, RW_2 = R_2 | W_2, RW = RW_X | RW_2 };

// What may be done to a register in xAPIC (X) and x2APIC (2) mode, and the bits that can be written: others are
// ignored in the page and #GP as an MSR (SDM 3A "Local APIC Register Address Space", "Reserved Bit Checking").
static const struct register_rule {
    uint8_t access;
    uint32_t valid;
} rules[64] = {
    [APIC_ID >> 4] = {R_X | W_X | R_2, 0}, // writes are ignored: ids are fixed (TLFS "Local APIC")
    [APIC_VERSION >> 4] = {R_X | R_2, 0},
    [APIC_TPR >> 4] = {RW, 0xff},
    [APIC_APR >> 4] = {R_X, 0},
    [APIC_PPR >> 4] = {R_X | R_2, 0},
    [APIC_EOI >> 4] = {W_X | W_2, 0},
    [APIC_RRD >> 4] = {R_X, 0},
    [APIC_LDR >> 4] = {RW_X | R_2, 0xff000000},
    [APIC_DFR >> 4] = {RW_X, 0xf0000000},
    [APIC_SVR >> 4] = {RW, 0x1ff},
    [APIC_ISR >> 4 ...(APIC_ISR >> 4) + 23] = {R_X | R_2, 0}, // ISR, TMR, IRR
    [APIC_ESR >> 4] = {RW, 0},
    [APIC_ICR >> 4] = {RW, 0x000ccfff},
    [APIC_ICR_HIGH >> 4] = {RW_X, 0xff000000},
    [APIC_LVT_TIMER >> 4] = {RW, 0x000700ff},
    [APIC_LVT_THERMAL >> 4] = {RW, 0x000107ff},
    [APIC_LVT_PERF >> 4] = {RW, 0x000107ff},
    [APIC_LVT_LINT0 >> 4] = {RW, 0x0001a7ff},
    [APIC_LVT_LINT1 >> 4] = {RW, 0x0001a7ff},
    [APIC_LVT_ERROR >> 4] = {RW, 0x000100ff},
    [APIC_TIMER_INITIAL >> 4] = {RW, 0xffffffff},
    [APIC_TIMER_CURRENT >> 4] = {R_X | R_2, 0},
    [APIC_TIMER_DIVIDE >> 4] = {RW, 0x0b},
    [APIC_SELF_IPI >> 4] = {W_2, 0xff},
};

// Delivery status is read-only: writes of it pass and do nothing.
#define STATUS_BIT BIT(12)

static bool has_status_bit(uint32_t offset)
{
    return offset == APIC_ICR || (offset >= APIC_LVT_TIMER && offset <= APIC_LVT_ERROR);
}

void vlapic_set_tpr(struct vp *vp, uint8_t tpr)
{
    apic_set(vp, APIC_TPR, tpr);
    apic_set(vp, APIC_PPR, processor_priority(vp));
    vp->check_interrupts = true; // a lower priority lets more through
}

static void write_svr(struct vp *vp, uint32_t value)
{
    apic_set(vp, APIC_SVR, value);
    if ((value & APIC_SVR_ENABLE) != 0) {
        return;
    }
    // SDM 3A "Local APIC State After It Has Been Software Disabled": all LVT masks are set.
    for (unsigned offset = APIC_LVT_THERMAL; offset <= APIC_LVT_ERROR; offset += 16) {
        apic_set(vp, offset, apic_get(vp, offset) | APIC_LVT_MASKED);
    }
    vlapic_timer_set_lvt(vp, vp->apic.timer_lvt | (uint32_t)APIC_LVT_MASKED);
}

static void write_lvt(struct vp *vp, uint32_t offset, uint32_t value)
{
    if (!vlapic_software_enabled(vp)) {
        value |= APIC_LVT_MASKED;
    }
    if (offset == APIC_LVT_TIMER) {
        vlapic_timer_set_lvt(vp, value);
    } else {
        apic_set(vp, offset, value);
    }
}

static void write_icr(struct vp *vp, uint64_t value)
{
    bool x2 = vlapic_mode(vp) == VLAPIC_X2APIC;
    uint32_t high = x2 ? (uint32_t)(value >> 32) : apic_get(vp, APIC_ICR_HIGH);

    apic_set(vp, APIC_ICR, (uint32_t)value);
    apic_set(vp, APIC_ICR + 4, x2 ? high : 0); // where x2APIC virtualization reads the upper half
    apic_set(vp, APIC_ICR_HIGH, high);
    vlapic_send_icr(vp, (uint64_t)high << 32 | (uint32_t)value);
}

// The value has been checked and cut to the register's valid bits.
static void write_register(struct vp *vp, uint32_t offset, uint64_t value)
{
    switch (offset) {
    case APIC_ID: // with APICv the processor has already let the write through
        set_id(vp);
        break;
    case APIC_TPR:
        vlapic_set_tpr(vp, (uint8_t)value);
        break;
    case APIC_EOI:
        vlapic_eoi(vp);
        break;
    case APIC_LDR:
    case APIC_ICR_HIGH:
        apic_set(vp, offset, (uint32_t)value);
        break;
    case APIC_DFR:
        apic_set(vp, offset, (uint32_t)value | 0x0fffffff);
        break;
    case APIC_SVR:
        write_svr(vp, (uint32_t)value);
        break;
    case APIC_ESR:
        apic_set(vp, APIC_ESR, vp->apic.errors);
        vp->apic.errors = 0;
        break;
    case APIC_ICR:
        write_icr(vp, value);
        break;
    case APIC_LVT_TIMER ... APIC_LVT_ERROR:
        write_lvt(vp, offset, (uint32_t)value);
        break;
    case APIC_TIMER_INITIAL:
        vlapic_timer_start(vp, (uint32_t)value);
        break;
    case APIC_TIMER_DIVIDE:
        vlapic_timer_set_divide(vp, (uint32_t)value);
        break;
    case APIC_SELF_IPI:
        vlapic_send_icr(vp, 1u << 18 | (uint8_t)value);
        break;
    }
}

static uint64_t read_register(struct vp *vp, uint32_t offset)
{
    switch (offset) {
    case APIC_PPR:
        return processor_priority(vp);
    case APIC_TIMER_CURRENT:
        return vlapic_timer_count(vp);
    }
    return apic_get(vp, offset);
}

static const struct register_rule *rule_of(uint32_t offset)
{
    static const struct register_rule none;

    return (offset & ~0x3f0u) == 0 ? &rules[offset >> 4] : &none;
}

static bool read_x2apic(struct vp *vp, uint32_t offset, uint64_t *value)
{
    if ((rule_of(offset)->access & R_2) == 0) {
        return false;
    }
    *value = read_register(vp, offset);
    if (offset == APIC_ICR) {
        *value |= (uint64_t)apic_get(vp, APIC_ICR_HIGH) << 32;
    }
    return true;
}

static bool write_x2apic(struct vp *vp, uint32_t offset, uint64_t value)
{
    const struct register_rule *rule = rule_of(offset);
    uint64_t valid = rule->valid | (offset == APIC_ICR ? 0xffffffffull << 32 : 0);

    if (has_status_bit(offset)) {
        value &= ~STATUS_BIT;
    }
    if ((rule->access & W_2) == 0 || (value & ~valid) != 0) {
        return false;
    }
    write_register(vp, offset, value);
    return true;
}

bool vlapic_read(struct vp *vp, uint32_t offset, uint64_t *value)
{
    if (vlapic_mode(vp) == VLAPIC_X2APIC) {
        return read_x2apic(vp, offset, value);
    }
    *value = 0;
    if ((rule_of(offset)->access & R_X) != 0) {
        *value = read_register(vp, offset);
    } else if ((rule_of(offset)->access & W_X) == 0) {
        vlapic_error(vp, APIC_ERROR_REGISTER);
    }
    return true;
}

bool vlapic_write(struct vp *vp, uint32_t offset, uint64_t value)
{
    const struct register_rule *rule = rule_of(offset);

    if (vlapic_mode(vp) == VLAPIC_X2APIC) {
        return write_x2apic(vp, offset, value);
    }
    if ((rule->access & W_X) != 0) {
        write_register(vp, offset, value & rule->valid);
    } else if ((rule->access & R_X) == 0) {
        vlapic_error(vp, APIC_ERROR_REGISTER);
    }
    return true;
}

bool vlapic_read_icr(struct vp *vp, uint64_t *value)
{
    *value = (uint64_t)apic_get(vp, APIC_ICR_HIGH) << 32 | apic_get(vp, APIC_ICR);
    return true;
}

bool vlapic_write_icr(struct vp *vp, uint64_t value)
{
    if (vlapic_mode(vp) == VLAPIC_X2APIC) {
        return write_x2apic(vp, APIC_ICR, value);
    }
    return vlapic_write(vp, APIC_ICR_HIGH, value >> 32) && vlapic_write(vp, APIC_ICR, (uint32_t)value);
}

static bool is_x2apic_msr(const struct vp *vp, uint32_t msr)
{
    return vlapic_mode(vp) == VLAPIC_X2APIC && msr >= 0x800 && msr < 0x840;
}

bool vlapic_read_msr(struct vp *vp, uint32_t msr, uint64_t *value)
{
    return is_x2apic_msr(vp, msr) && read_x2apic(vp, (msr & 0x3f) << 4, value);
}

bool vlapic_write_msr(struct vp *vp, uint32_t msr, uint64_t value)
{
    return is_x2apic_msr(vp, msr) && write_x2apic(vp, (msr & 0x3f) << 4, value);
}
