// SPDX-License-Identifier: Apache-2.0
// The exit table, the generic exit handlers, and the work before each entry.
#include "hv/exit.h"

#include "arch/x86/decode.h"
#include "arch/x86/guest_walk.h"
#include "arch/x86/host.h"
#include "arch/x86/policy.h"
#include "arch/x86/vlapic.h"
#include "hv/cpu.h"
#include "hv/doorbell.h"
#include "hv/gpa.h"
#include "hv/hypercall.h"
#include "hv/root.h"
#include "hv/sched.h"

// --- registers, for handlers ---

uint64_t vp_reg(struct vp *vp, uint32_t name)
{
    union hv_register_value v = {.u64 = 0};

    (void)virt->get_reg(vp, name, &v);
    return v.u64;
}

void vp_set_reg(struct vp *vp, uint32_t name, uint64_t value)
{
    union hv_register_value v = {.u128 = {value, 0}};

    (void)virt->set_reg(vp, name, &v);
}

unsigned vp_cpl(struct vp *vp)
{
    return virt->mode(vp) & VP_MODE_CPL;
}

unsigned vp_measure_insn(struct vp *vp, unsigned opcode_bytes)
{
    struct insn_prefixes prefixes;
    uint8_t bytes[16];
    size_t n;

    n = vp_fetch_insn(vp, bytes);
    decode_prefixes(bytes, n, guest_code_mode(vp), &prefixes);
    return prefixes.count + opcode_bytes;
}

enum vp_action vp_inject_exception(struct vp *vp, uint8_t vector, bool has_error, uint32_t error)
{
    virt->inject(vp, EVENT_EXCEPTION, vector, has_error, error);
    return VP_RESUME;
}

// --- before an entry ---

static SELDOM void take_dirty(struct vp *vp)
{
    uint32_t dirty = __atomic_load_n(&vp->regs->dirty, __ATOMIC_RELAXED);

    if (dirty & HV_DIRTY_RSP) {
        vp_set_reg(vp, HV_REG_RSP, vp_gpr(vp, GPR_RSP));
    }
    if (dirty & HV_DIRTY_RIP) {
        vp_set_reg(vp, HV_REG_RIP, vp->regs->rip);
    }
    if (dirty & HV_DIRTY_RFLAGS) {
        vp_set_reg(vp, HV_REG_RFLAGS, (vp->regs->rflags & 0x3f7fd5) | 2);
    }
}

static inline void apply_completion(struct vp *vp)
{
    if (vp->completion & HV_XWAIT_DIRTY) {
        take_dirty(vp);
    }
    if (vp->completion & HV_XWAIT_ADVANCE) {
        virt->advance_rip(vp, vp->exit.insn_len);
    }
    vp->completion = 0;
}

// Blocks the VP unless a request has arrived meanwhile; a request posted later unblocks it.
static void block_unless_requested(struct vp *vp, uint32_t bit)
{
    __atomic_or_fetch(&vp->block, bit, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&vp->requests, __ATOMIC_SEQ_CST) != 0) {
        __atomic_and_fetch(&vp->block, ~bit, __ATOMIC_SEQ_CST);
    }
}

// A SIPI counts only in the wait-for-SIPI state (SDM 3C "Other Causes of VM Exits", SIPI).
static void take_sipi(struct vp *vp)
{
    if (vp->wait_sipi) {
        vp->wait_sipi = false;
        vp_init_state(vp, true);
    }
}

static void take_init(struct vp *vp)
{
    vp_init_state(vp, false);
    vlapic_reset(vp);
    vp->wait_sipi = vp->index != 0;
}

void vp_serve_requests(struct vp *vp)
{
    uint32_t req = __atomic_exchange_n(&vp->requests, 0, __ATOMIC_ACQ_REL);

    apply_completion(vp); // of the instruction that was before them
    if (req & VP_REQ_INIT) {
        take_init(vp);
    }
    if (req & VP_REQ_SIPI) {
        take_sipi(vp);
    }
    if (vp->wait_sipi) {
        block_unless_requested(vp, VP_BLOCK_WAIT_SIPI);
    }
    if (req & VP_REQ_INTERRUPT) {
        vlapic_sync(vp);
    }
    if (req & VP_REQ_NMI) {
        vp->nmi_pending = true;
    }
    vp->check_interrupts = true;
}

static bool stays_halted(struct vp *vp, int vector)
{
    // An NMI that is blocked by another one wakes nobody.
    if ((vp->nmi_pending && virt->nmi_allowed(vp)) ||
        (vector >= 0 && (vp_reg(vp, HV_REG_RFLAGS) & BIT(9)) != 0)) {
        vp->halted = false;
        return false;
    }
    block_unless_requested(vp, VP_BLOCK_HALT);
    return true;
}

static void inject_interrupt(struct vp *vp, int vector)
{
    if (vector >= 0 && virt->interruptible(vp)) {
        vlapic_accept(vp, (uint8_t)vector);
        virt->inject(vp, EVENT_EXT_INT, (uint8_t)vector, false, 0);
        vp->interrupts++;
        vector = vlapic_pending(vp);
    }
    vp->check_interrupts = vector >= 0 || vp->nmi_pending; // AMD-V has no exit for the end of an NMI's IRET
    virt->want_windows(vp, vector >= 0, vp->nmi_pending);
}

static __attribute__((noinline)) bool prepare_entry(struct vp *vp)
{
    bool hardware = vlapic_in_hardware(vp);
    int vector = hardware && !vp->halted ? -1 : vlapic_pending(vp);

    if (vp->halted && stays_halted(vp, vector)) {
        return false;
    }
    if (vp->nmi_pending && virt->nmi_allowed(vp) && !virt->event_pending(vp)) {
        virt->inject(vp, EVENT_NMI, 2, false, 0);
        vp->nmi_pending = false;
    }
    if (hardware && !vp->nmi_pending) {
        vp->check_interrupts = false; // the processor delivers by itself
        virt->want_windows(vp, false, false);
        return true;
    }
    inject_interrupt(vp, vector);
    return true;
}

// --- handlers ---

static enum vp_action exit_interrupt(struct vp *vp)
{
    (void)vp;
    host_interrupt_window();
    sched_timer_check();
    return VP_RESUME;
}

static enum vp_action exit_nothing(struct vp *vp)
{
    (void)vp;
    return VP_RESUME;
}

static enum vp_action exit_window(struct vp *vp)
{
    vp->check_interrupts = true;
    return VP_RESUME;
}

static enum vp_action exit_advance(struct vp *vp)
{
    vp->exit.insn_len = (uint8_t)vp_insn_len(vp, 2);
    return VP_ADVANCE;
}

static enum vp_action exit_ud(struct vp *vp)
{
    return vp_inject_ud(vp);
}

static enum vp_action exit_gp(struct vp *vp)
{
    return vp_inject_gp(vp);
}

enum vp_action vp_halt(struct vp *vp)
{
    vp->halted = true;
    vp->check_interrupts = true;
    return VP_ADVANCE;
}

static enum vp_action exit_hlt(struct vp *vp)
{
    vp->exit.insn_len = (uint8_t)vp_insn_len(vp, 1);
    return vp_halt(vp);
}

static enum vp_action exit_pause(struct vp *vp)
{
    vp->exit.insn_len = (uint8_t)vp_insn_len(vp, 1);
    sched_resched();
    return VP_ADVANCE;
}

// The hypervisor's own ports are invisible to the root partition: reads float, writes vanish.
static enum vp_action root_io(struct vp *vp)
{
    if (vp->exit.io.in && !vp->exit.io.string) {
        uint64_t mask = vp->exit.io.size == 4 ? ~0ull : (1ull << (8 * vp->exit.io.size)) - 1;
        uint64_t rax = vp_gpr(vp, GPR_RAX);

        vp_set_gpr(vp, GPR_RAX, vp->exit.io.size == 4 ? 0xffffffff : rax | mask);
    }
    return VP_ADVANCE;
}

static SELDOM void fill_string_io(struct vp *vp, struct hv_io_intercept *io)
{
    union hv_register_value seg;

    io->info |= (uint8_t)(8 | (vp->exit.io.rep ? 16 : 0));
    io->insn_byte_count = (uint8_t)vp_fetch_insn(vp, io->insn_bytes);
    (void)virt->get_reg(vp, HV_REG_ES + vp->exit.io.seg, &seg);
    io->ds = seg.segment;
    (void)virt->get_reg(vp, HV_REG_ES, &seg);
    io->es = seg.segment;
    io->rcx = vp_gpr(vp, GPR_RCX);
    io->rsi = vp_gpr(vp, GPR_RSI);
    io->rdi = vp_gpr(vp, GPR_RDI);
    vp->message->header.payload_size = sizeof(*io);
}

static enum vp_action exit_io(struct vp *vp)
{
    struct hv_io_intercept *io = &vp->message->io;

    if (vp->partition->is_root) {
        return root_io(vp);
    }
    vp_intercept_begin(vp, HV_MSG_IO_PORT, 56, vp->exit.io.in ? 0 : 1);
    io->port = vp->exit.io.port;
    io->info = vp->exit.io.size;
    io->insn_byte_count = 0;
    io->rax = vp_gpr(vp, GPR_RAX);
    if (vp->exit.io.string) {
        fill_string_io(vp, io);
    }
    return vp_intercept_send(vp);
}

static enum vp_action exit_gpa_fault(struct vp *vp)
{
    struct hv_memory_intercept *m = &vp->message->memory;
    gpa_t page = GPA(vp->exit.gpa.gpa.v & PAGE_MASK);

    if (page.v == (vp->apic.base_msr & PAGE_MASK) && (vp->apic.base_msr & 0xc00) == 0x800) {
        return vlapic_exit_mmio(vp);
    }
    if (vp->partition->is_root) {
        return root_map_device(vp, page) ? VP_RESUME : vp_inject_gp(vp);
    }
    if (doorbell_ring(vp)) {
        return VP_ADVANCE;
    }
    vp_intercept_begin(vp, vp->exit.gpa.present ? HV_MSG_GPA_INTERCEPT : HV_MSG_UNMAPPED_GPA, sizeof(*m),
                       vp->exit.gpa.exec    ? 2
                       : vp->exit.gpa.write ? 1
                                            : 0);
    m->cache_type = 0;
    m->info = vp->exit.gpa.gva_valid ? 1 : 0;
    m->tpr = 0;
    m->reserved = 0;
    m->gva = vp->exit.gpa.gva.v;
    m->gpa = vp->exit.gpa.gpa.v;
    m->insn_byte_count = (uint8_t)vp_fetch_insn(vp, m->insn_bytes);
    return vp_intercept_send(vp);
}

static enum vp_action exit_exception(struct vp *vp)
{
    struct hv_exception_intercept *e = &vp->message->exception;

    if (vp->partition->is_root) {
        return vp_inject_exception(vp, vp->exit.exc.vector, vp->exit.exc.has_error, vp->exit.exc.error);
    }
    vp_intercept_begin(vp, HV_MSG_EXCEPTION, sizeof(*e), 2);
    e->vector = vp->exit.exc.vector;
    e->info = vp->exit.exc.has_error;
    e->error_code = vp->exit.exc.error;
    e->parameter = vp->exit.exc.address;
    e->reserved = 0;
    e->insn_byte_count = (uint8_t)vp_fetch_insn(vp, e->insn_bytes);
    return vp_intercept_send(vp);
}

enum vp_action vp_crash(struct vp *vp, uint32_t message_type, uint64_t parameter)
{
    if (vp->partition->is_root || log_limit_take(&vp->partition->log_limit, vp->partition->index)) {
        LOGW("partition %u VP %u stopped: %s (raw %#x, qualification %#llx)", vp->partition->index, vp->index,
             exit_reason_names[vp->exit.reason], vp->exit.raw, (unsigned long long)vp->exit.qual[0]);
        virt->dump(vp);
    }
    if (vp->partition->is_root) {
        panic("management partition VP %u: %s", vp->index, exit_reason_names[vp->exit.reason]);
    }
    vp_intercept_begin(vp, message_type, sizeof(struct hv_intercept_header), 0);
    if (message_type == HV_MSG_UNSUPPORTED_FEATURE) {
        vp->message->unsupported.feature = 1;
        vp->message->unsupported.parameter = parameter;
        vp->message->header.payload_size = sizeof(struct hv_unsupported_intercept);
    }
    return vp_intercept_send(vp);
}

static enum vp_action exit_triple_fault(struct vp *vp)
{
    return vp_crash(vp, HV_MSG_UNRECOVERABLE_EXCEPTION, 0);
}

static enum vp_action exit_invalid_state(struct vp *vp)
{
    return vp_crash(vp, HV_MSG_INVALID_VP_REGISTER_VALUE, 0);
}

static enum vp_action exit_unknown(struct vp *vp)
{
    return vp_crash(vp, HV_MSG_UNSUPPORTED_FEATURE, vp->exit.raw);
}

// --- the table ---

enum vp_action (*const exit_handlers[EXIT_REASON_COUNT])(struct vp *vp) = {
    [EXIT_INTERRUPT] = exit_interrupt,
    [EXIT_NMI] = exit_nothing,
    [EXIT_INTR_WINDOW] = exit_window,
    [EXIT_NMI_WINDOW] = exit_window,
    [EXIT_CPUID] = exit_cpuid,
    [EXIT_HYPERCALL] = exit_hypercall,
    [EXIT_RDMSR] = exit_rdmsr,
    [EXIT_WRMSR] = exit_wrmsr,
    [EXIT_IO] = exit_io,
    [EXIT_HLT] = exit_hlt,
    [EXIT_GPA_FAULT] = exit_gpa_fault,
    [EXIT_CR_ACCESS] = exit_cr_access,
    [EXIT_EXCEPTION] = exit_exception,
    [EXIT_APIC_ACCESS] = vlapic_exit_mmio,
    [EXIT_APIC_WRITE] = vlapic_exit_write,
    [EXIT_APIC_EOI] = vlapic_exit_eoi,
    [EXIT_XSETBV] = exit_xsetbv,
    [EXIT_PAUSE] = exit_pause,
    [EXIT_WBINVD] = exit_advance,
    [EXIT_MONITOR] = exit_ud,
    [EXIT_VIRT_INSN] = exit_ud,
    [EXIT_TASK_SWITCH] = exit_unknown,
    [EXIT_TRIPLE_FAULT] = exit_triple_fault,
    [EXIT_INIT] = exit_nothing,
    [EXIT_RDPMC] = exit_gp,
    [EXIT_INVALID_STATE] = exit_invalid_state,
    [EXIT_UNKNOWN] = exit_unknown,
};

#define NAME(reason, name) [reason] = name,
const char *const exit_reason_names[EXIT_REASON_COUNT] = {EXIT_REASON_TABLE(NAME)};
#undef NAME

_Static_assert(HV_CTR_EXIT0 + EXIT_REASON_COUNT <= HV_CTR_COUNT, "exit counters fit");

bool vp_before_entry(struct vp *vp)
{
    apply_completion(vp);
    if (vp->waiting) {
        intercept_finish_wait(vp);
    }
    return !vp->check_interrupts || prepare_entry(vp);
}

_Static_assert(offsetof(struct vp, requests) == offsetof(struct vp, held_up) + 4, "upper half");
