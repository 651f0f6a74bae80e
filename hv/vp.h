// SPDX-License-Identifier: Apache-2.0
// Virtual processors: what a VP is, its states, and the entry points that exit handlers use.
//
// A VP belongs to one physical processor at a time (vp->cpu): only that processor touches its hardware
// state, APIC registers and timers. Others post work to it through atomic fields (pending interrupts in
// `pir`, requests in `requests`) and kick it; to reach the rest they run a function on vp->cpu with
// cpu_call(). Legend: (c) constant after creation, (a) atomic, (o) owner processor only.
#ifndef HV_VP_H
#define HV_VP_H

#include "arch/x86/decode.h"
#include "arch/x86/virt.h"
#include "hv/partition.h"

// Reasons for which a VP does not run; it is runnable when none is set.
enum vp_block {
    VP_BLOCK_EXPLICIT = 1 << 0,  // HV_REG_EXPLICIT_SUSPEND
    VP_BLOCK_INTERCEPT = 1 << 1, // HV_REG_INTERCEPT_SUSPEND: a message waits for the parent
    VP_BLOCK_HALT = 1 << 2,      // HLT: ends with an interrupt
    VP_BLOCK_WAIT_SIPI = 1 << 3,
    VP_BLOCK_PARTITION = 1 << 4, // HV_PROP_SUSPEND
    VP_BLOCK_XWAIT = 1 << 5,     // root: in HvCallXInterceptWait
    VP_BLOCK_DEAD = 1 << 6,      // being deleted, or stopped for good
    VP_BLOCK_ACCESS = 1 << 7,    // somebody works on its registers
    VP_BLOCK_CAPPED = 1 << 8,    // it has used its cap: ends with its period (hv/share.h)
};

// Requests that the owner processor serves before the next entry.
enum vp_request {
    VP_REQ_INTERRUPT = 1 << 0, // pir has bits
    VP_REQ_NMI = 1 << 1,
    VP_REQ_INIT = 1 << 2,
    VP_REQ_SIPI = 1 << 3, // vp->sipi_vector
};

struct stimer { // synthetic timer (TLFS "Timers"), in units of 100 ns
    uint64_t config, count;
    uint64_t deadline_tsc; // 0: not armed
};

struct vlapic {                       // registers live in vp->apic_page (layout of the xAPIC page)
    uint64_t base_msr;                // IA32_APIC_BASE as the guest sees it
    uint64_t tsc_deadline;            // IA32_TSC_DEADLINE, guest TSC; 0: not armed
    uint64_t timer_deadline;          // host TSC of the next expiry; 0: not armed
    uint64_t timer_period;            // host TSC ticks; periodic mode
    uint64_t timer_start;             // host TSC when the initial count was written
    uint32_t timer_lvt, timer_divide; // in force; with APICv the page changes before we hear of it
    uint8_t isr_top;                  // cached highest in-service vector, 0 none
    uint8_t irr_words;                // bit n: the nth 32-bit register of IRR is not zero; without APICv
    uint64_t level[4];                // (a) trigger mode of each posted vector, set before its bit in pir
    uint64_t eoi_notify[4];           // vectors whose EOI somebody wants to know
    uint64_t eoi_exit[4];             // APICv: EOI-exit bitmap that the hardware has now
    uint32_t errors;                  // ESR bits gathered since the guest last wrote ESR
    uint8_t hw_mode;                  // APICv: mode that the back end was told, 0xff none yet
};

struct share_account {               // hv/share.h; ticks and host TSC
    uint64_t cap, reserve;           // (a) a period; cap 0: the VP has neither
    uint64_t cap_used, cap_end;      // (o) in the cap's period, and its end
    uint64_t reserve_used, deadline; // (o) the same for the reservation
    uint64_t wake;                   // (o) when time has to look at it while it does not run; 0: never
    uint32_t home;                   // (a) processor where its reservation is kept free
    bool owed;                       // (o) it runs on its reservation
    bool slept;                      // [queue lock] it was blocked since it was last queued
};

// Where the last instruction was fetched, with the page-table entries that led there: the next exit in the same
// page takes a few comparisons instead of a walk (arch/x86/guest_walk.c). 64-bit mode with four levels only.
struct fetch_cache {
    uint64_t cr3, page, generation;
    const uint64_t *entry[4];
    uint64_t value[4];
    uint8_t first; // entries before it are not used: the page is a large one
    const uint8_t *code;
};

struct decode_cache { // last instruction that accessed the APIC page (arch/x86/vlapic_exit.c)
    uint64_t bytes[2];
    uint8_t mode;
    struct insn insn;
};

struct vmx_vp {
    uint64_t vmcs; // SPA
    bool launched;
    uint32_t pin, proc, proc2;
    uint64_t host_rsp_shadow;
    uint64_t cr0_mask, cr4_mask;
    uint64_t msr_kernel_gs, msr_star, msr_lstar, msr_cstar, msr_sfmask, msr_tsc_aux;
    uint32_t exceptions; // intercepts asked for by set_exceptions()
    uint32_t last_cpu;   // processor whose TLB may hold its translations
    uint8_t apicv_mode;
    bool nmi_blocked; // it has blocked NMIs itself since it was loaded, or before
};
struct svm_vp {
    void *vmcb;
    uint64_t vmcb_pa;
    uint32_t asid;
    uint64_t asid_generation;
    uint32_t exceptions; // intercepts asked for by set_exceptions()
    bool nmi_masked;
    bool by_v_irq; // an interrupt was given to V_IRQ and not taken yet
    uint64_t tsc_aux;
    uint64_t nmi_iret_rip; // the IRET that ended the last NMI handler
    uint64_t nmi_step_dr6; // the guest's DR6 while that IRET is single-stepped; 0: it is not
};

struct vp {
    struct hv_register_page *regs; // (o) first: entry code depends on it; general registers live here
    struct vp_exit exit;           // (o)
    union {
        struct vmx_vp vmx;
        struct svm_vp svm;
    }; // (o) back end

    struct partition *partition; // (c)
    uint32_t index;              // (c)
    uint32_t apic_id;            // (c) initial APIC id
    uint16_t vpid;               // (c)
    struct hv_message *message;  // (c) intercept message page
    void *apic_page;             // (c) local APIC registers; the virtual-APIC page with APICv
    void *fpu;                   // (c) XSAVE area, one or more pages
    void *backend_pages[4];      // (c)

    union {
        struct {
            uint32_t block;    // (a) enum vp_block
            uint32_t requests; // (a) enum vp_request
        };
        uint64_t held_up; // (a) both at once, requests above: 0 between nearly every exit and the next entry
    };
    uint64_t pir[4];     // (a) interrupt vectors posted by others, edge or level
    uint8_t sipi_vector; // (a)

    struct vlapic apic;                              // (o)
    struct fetch_cache fetch;                        // (o)
    struct decode_cache apic_decoded;                // (o)
    struct stimer stimer[4];                         // (o)
    uint64_t next_deadline;                          // (o) host TSC of the earliest timer; ~0 none
    uint64_t tsc_offset;                             // (o)
    uint64_t tsc_adjust;                             // (o)
    uint64_t xcr0, xss, dr[4], dr6, cr2;             // (o)
    uint64_t vp_assist;                              // (o) HV_X64_MSR_VP_ASSIST_PAGE
    uint64_t mtrr_def, mtrr_fixed[11], mtrr_var[16]; // (o) kept for the guest's eyes only
    uint64_t cookie;                                 // HV_REG_X_INTERCEPT_COOKIE
    uint8_t state_pages_mapped;                      // bit per enum hv_vp_state_page
    bool context_live; // (a) FPU, debug registers and SYSCALL MSRs are in processor vp->cpu (hv/context.h)
    bool nmi_pending;  // (o)

    struct call_block { // (o) last translation of a hypercall's parameter block (hv/hypercall.c)
        uint64_t page, generation;
        uint8_t *va;
    } call_in, call_out;

    // scheduler (hv/sched.c)
    struct vp *run_next;
    uint32_t cpu;   // (a) processor that owns it
    bool queued;    // in a run queue [queue lock]
    bool running;   // current on vp->cpu [queue lock]
    bool wait_sipi; // (o) in the wait-for-SIPI state
    bool halted;    // (o) in HLT: leaves it only for something deliverable
    union {
        struct {
            bool waiting;          // (o) in HvCallXInterceptWait: its result is still to be written
            bool check_interrupts; // (o) look for a deliverable interrupt before the next entry
            uint8_t completion; // what the parent wants done (HV_XWAIT_*); written while the VP is suspended
            uint8_t unused;
        };
        uint32_t before_entry; // any of them
    };
    uint8_t priority;  // 0 data plane, 1 control plane, 2 guests
    uint8_t run_class; // while queued: in which queue [queue lock]
    uint64_t vruntime, run_start, run_tsc;
    uint64_t queued_at, wait_tsc; // TSC when it was queued last; ticks in queues, all together
    struct share_account share;
    struct vp *heap_child, *heap_next, *heap_prev; // timer heap of vp->cpu, while not running
    bool in_heap;

    struct vp *served;         // management VP: whose message it took last; NULL or a VP that exists
    struct vp *intercept_next; // parent's queue [intercept lock]
    bool intercept_queued;     // in it [intercept lock]
    uint64_t switches, interrupts;
    uint64_t exits[EXIT_REASON_COUNT];
};

// What an exit handler returns to the run loop.
enum vp_action {
    VP_RESUME,  // enter again at the (possibly advanced) RIP
    VP_ADVANCE, // skip the instruction, then enter again
    VP_RESCHED, // the VP may have blocked, or somebody else should run
};

// --- for exit handlers, on the owner processor ---
static inline uint64_t vp_gpr(const struct vp *vp, unsigned n)
{
    return __atomic_load_n(&vp->regs->gpr[n], __ATOMIC_RELAXED); // read once: the parent can write it
}
enum { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI, GPR_R8 };
static inline void vp_set_gpr(struct vp *vp, unsigned n, uint64_t v)
{
    vp->regs->gpr[n] = v;
}
uint64_t vp_reg(struct vp *vp, uint32_t name); // virt->get_reg() for plain 64-bit registers
void vp_set_reg(struct vp *vp, uint32_t name, uint64_t value);
unsigned vp_cpl(struct vp *vp);
// Length of the current instruction where the hardware does not tell (AMD-V without NRIPS): skips prefixes.
unsigned vp_measure_insn(struct vp *vp, unsigned opcode_bytes);
static inline unsigned vp_insn_len(struct vp *vp, unsigned opcode_bytes)
{
    return vp->exit.insn_len != 0 ? vp->exit.insn_len : vp_measure_insn(vp, opcode_bytes);
}

enum vp_action vp_inject_exception(struct vp *vp, uint8_t vector, bool has_error, uint32_t error);
#define vp_inject_ud(vp) vp_inject_exception(vp, 6, false, 0)
#define vp_inject_gp(vp) vp_inject_exception(vp, 13, true, 0)

// How often the VP has been entered and left.
static inline uint64_t vp_entries(const struct vp *vp)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++) {
        n += vp->exits[i];
    }
    return n;
}

// Suspends the VP with a message to its parent: vp_intercept_begin() writes what every message has, the caller the
// rest of the payload.
static inline void vp_intercept_begin(struct vp *vp, uint32_t type, uint8_t payload_size, uint8_t access)
{
    struct hv_message *m = vp->message;
    struct hv_register_page *regs = vp->regs;

    m->header.type = type;
    m->header.payload_size = payload_size;
    m->intercept.insn_length = vp->exit.insn_len & 0xf;
    m->intercept.access = access;
    regs->dirty = 0;
    regs->is_valid = 1;
    virt->exit_state(vp, &m->intercept);
}
enum vp_action vp_intercept_send(struct vp *vp);
// Stops the VP for good with a dump in the log (triple fault, refused state, unknown exit). For the root
// partition that is fatal to the node.
enum vp_action vp_crash(struct vp *vp, uint32_t message_type, uint64_t parameter);
enum vp_action vp_halt(struct vp *vp);

// --- life cycle and access, under the hypervisor lock (hv/vp.c) ---
MUST_CHECK hv_status_t vp_create(struct partition *p, uint32_t index); // starts explicitly suspended
void vp_destroy(struct vp *vp);
// Sets a block bit and waits until the VP is off its processor. No effect on the wait if it is the caller.
void vp_stop(struct vp *vp, uint32_t bits);
// A register that virt->get_reg() does not know; false: there is none of that name.
MUST_CHECK bool vp_get_kept_register(struct vp *vp, uint32_t name, union hv_register_value *value);
MUST_CHECK hv_status_t vp_set_register(struct vp *vp, uint32_t name, const union hv_register_value *value);
// State pages of the VP in the root partition's GPA space; type as enum hv_vp_state_page.
MUST_CHECK hv_status_t vp_map_state_page(struct vp *vp, unsigned type, uint64_t *gpa_page);
MUST_CHECK hv_status_t vp_unmap_state_page(struct vp *vp, unsigned type);
// Brackets around a run of register accesses to a VP that may be another than the current one.
void vp_access_begin(struct vp *vp);
void vp_access_end(struct vp *vp);
void vp_init_state(struct vp *vp, bool from_sipi); // INIT, or INIT followed by SIPI at vp->sipi_vector

// --- callable from any processor ---
void vp_kick(struct vp *vp);                       // make its processor look at requests and block bits
void vp_request(struct vp *vp, uint32_t requests); // set request bits, unblock HLT as needed, kick
void vp_unblock(struct vp *vp, uint32_t bits);
static inline bool vp_clear_block(struct vp *vp,
                                  uint32_t bits) // true: it can run now, and the caller wakes it
{
    uint32_t before = __atomic_fetch_and(&vp->block, ~bits, __ATOMIC_SEQ_CST);

    return before != 0 && (before & ~bits) == 0;
}
void vp_post_interrupt(struct vp *vp, uint8_t vector, bool level);

// --- guest memory, by the VP's or partition's second-level tables; bounded copies of at most a page ---
MUST_CHECK bool vp_read_gpa(struct partition *p, gpa_t gpa, void *buf, size_t len);
MUST_CHECK bool vp_write_gpa(struct partition *p, gpa_t gpa, const void *buf, size_t len);
// The byte at gpa in the direct map, if the partition may read it; good up to the end of its 4 KiB page, on this
// processor, until p->gpa_generation changes. NULL: not readable.
const void *vp_gpa_pointer(struct partition *p, gpa_t gpa);
// Walks the guest's own page tables (4/5-level, PAE, 32-bit, or none). access: 1 read 2 write 4 execute.
// Fills result with a hv_translate_gva result code.
MUST_CHECK bool vp_translate(struct vp *vp, gva_t gva, unsigned access, gpa_t *gpa, uint32_t *result);
// Copies up to 15 instruction bytes at CS:RIP; returns how many are readable.
size_t vp_fetch_insn(struct vp *vp, uint8_t bytes[16]);

void vp_timers_changed(struct vp *vp); // recompute next_deadline and arm (hv/timer.c)

#endif
