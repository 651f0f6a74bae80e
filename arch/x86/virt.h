// SPDX-License-Identifier: Apache-2.0
// The one interface between the hypervisor and the processor's virtualization extension.
//
// Two back ends implement it: arch/x86/vmx (VT-x with EPT) and arch/x86/svm (AMD-V with NPT). The machine's
// CPU decides at boot; `virt` is set once and read-only afterwards. Back ends translate and decide
// nothing: CPUID, MSR and APIC policy, decoding and hypercalls live above. All functions that take a VP
// run on the physical processor where that VP is loaded, with interrupts off.
#ifndef ARCH_VIRT_H
#define ARCH_VIRT_H

#include <gen/exit_reasons.h> // enum vp_exit_reason
#include <keelson/abi.h>

struct partition;
struct vp;

struct vp_exit {
    uint32_t reason;  // enum vp_exit_reason
    uint32_t raw;     // basic exit reason or EXITCODE
    uint8_t insn_len; // 0: unknown (AMD-V without NRIPS, before vp_insn_len())
    uint64_t qual[2]; // raw qualification / EXITINFO1,2
    union {
        struct {
            uint16_t port;
            uint8_t size; // 1, 2, 4
            bool in, string;
            bool rep;    // of string instructions, as is
            uint8_t seg; // the segment register's number, 3 = DS (HV_REG_ES + n)
        } io;
        struct {
            gpa_t gpa;
            gva_t gva;
            bool gva_valid, write, exec;
            bool present; // the page is mapped, the rights forbid the access
        } gpa;
        struct {
            uint8_t cr;   // 0, 3, 4, 8
            uint8_t gpr;  // register number, 0 RAX .. 15
            uint8_t kind; // 0 MOV to CR, 1 MOV from CR, 2 CLTS, 3 LMSW
            uint16_t lmsw;
        } cr;
        struct {
            uint8_t vector;
            bool has_error;
            uint32_t error;
            uint64_t address; // #PF
        } exc;
        struct {
            uint16_t offset;    // in the APIC page
            bool write, linear; // linear: an ordinary data access (not event delivery)
        } apic;
    };
};

// Result of virt_ops.mode(); the low bits are the execution state of intercept messages (TLFS).
#define VP_MODE_CPL 3u
#define VP_MODE_PE BIT(2)
#define VP_MODE_AM BIT(3) // by exit_state() only
#define VP_MODE_LMA BIT(4)
#define VP_MODE_STATE 0x1fu
#define VP_MODE_CS_L BIT(16) // 64-bit code segment
#define VP_MODE_CS_D BIT(17)

enum event_type { EVENT_EXT_INT = 0, EVENT_NMI = 2, EVENT_EXCEPTION = 3, EVENT_SW_INT = 4, EVENT_SW_EXC = 6 };

struct virt_caps {
    bool apicv;         // APIC-access page, register virtualization and virtual-interrupt delivery
    bool apicv_faulty;  // it delivers interrupts to guests that have them masked: not to be used
    bool next_rip;      // insn_len always known
    bool decode_assist; // AMD-V: instruction bytes with NPT faults
    bool tsc_scaling;
    bool page_1g;        // second-level 1 GiB pages
    bool spare_boot_cpu; // it may not run VPs while others do (see arch/x86/svm/svm.c)
    uint32_t asid_count; // AMD-V; VT-x: 65536
};

// Second-level page table entry formats for the one walker in hv/gpa.c.
struct npt_format {
    uint64_t leaf_common;       // bits of every leaf (EPT: memory type WB, AMD: user, accessed, dirty)
    uint64_t leaf_uncached;     // instead, for HV_MAP_NOT_CACHED
    uint64_t table;             // bits of every non-leaf entry
    uint64_t read, write, exec; // set to grant (0 where implied)
    uint64_t noexec;            // set to deny execution (AMD NX)
    uint64_t present;           // any of these bits set: entry present
    uint64_t large;             // leaf at a higher level
    uint64_t addr_mask;
};

struct virt_ops {
    const char *name;          // "vmx" or "svm"
    uint8_t hypercall_insn[3]; // VMCALL or VMMCALL

    // Boot processor: is the extension there and usable? On false, `why` names what is missing.
    bool (*probe)(struct virt_caps *caps, char *why, size_t why_len);
    // Every processor: enable, disable. The latter may come at any time, from a NMI handler, also before the former;
    // nothing but a halt or a reset of the machine follows it.
    void (*cpu_on)(void);
    void (*cpu_off)(void);

    const struct npt_format *npt;

    // Pages of VP state the back end needs (VMCS or VMCB), allocated zeroed by the caller and handed over
    // in `pages`; the caller frees them after vp_fini(). vp_init() leaves the VP in the architectural INIT
    // state (SDM 3A "Processor State After Reset") with vp->partition, index, regs and apic_page set.
    unsigned vp_pages;
    void (*vp_init)(struct vp *vp, void *const *pages);
    void (*vp_fini)(struct vp *vp);

    // vp_load(): this processor turns to the VP (VMPTRLD). What the processor keeps of the one before stays there until
    // vp_unload() makes it memory (VMCLEAR), on the same processor; only then may another load it.
    void (*vp_load)(struct vp *vp);
    void (*vp_unload)(struct vp *vp);
    // MSRs, CR2 and DR6 that neither the hardware nor vp_load() switches: processor -> vp, vp -> processor. The
    // caller switches FPU and debug registers along with them (hv/context.c).
    void (*context_save)(struct vp *vp);
    void (*context_restore)(struct vp *vp);

    // One entry and exit. General registers live in vp->regs->gpr[] (RSP excepted). Fills vp->exit. Called by
    // vp_enter() only, as it preserves no register but RSP.
    void (*vp_run)(struct vp *vp);

    // Registers that are not in vp->regs->gpr[] and not APIC/synthetic: RSP RIP RFLAGS CRn XFEM is not
    // here (fpu.c), DR7 (DR0-3,6 are in vp->dr), segments, tables, EFER, PAT, SYSENTER, STAR..,
    // KERNEL_GS_BASE, PENDING_INTERRUPTION, INTERRUPT_STATE. CR0/CR4/EFER set here are what the guest
    // sees; hidden bits are the back end's business. Returns false for a name or value it refuses; get_reg() sets all
    // of *value otherwise.
    uint32_t (*mode)(struct vp *vp); // VP_MODE_*: what most exits want to know, at once
    // For intercept messages: CS, RIP, RFLAGS and execution state into *h; RIP, RFLAGS, RSP into vp->regs.
    void (*exit_state)(struct vp *vp, struct hv_intercept_header *h);
    bool (*get_reg)(struct vp *vp, uint32_t name, union hv_register_value *value);
    bool (*set_reg)(struct vp *vp, uint32_t name, const union hv_register_value *value);

    void (*advance_rip)(struct vp *vp, uint64_t length); // also ends the interrupt shadow

    // Injects at the next entry; at most one event, so call only if !event_pending().
    void (*inject)(struct vp *vp, enum event_type type, uint8_t vector, bool has_error, uint32_t error);
    bool (*event_pending)(struct vp *vp);
    bool (*interruptible)(struct vp *vp); // RFLAGS.IF, no shadow, nothing pending
    bool (*nmi_allowed)(struct vp *vp);
    void (*want_windows)(struct vp *vp, bool interrupt, bool nmi);

    void (*set_tsc_offset)(struct vp *vp, uint64_t offset);
    void (*set_exceptions)(struct vp *vp, uint32_t mask); // exception intercept bitmap
    void (*set_dr_intercept)(struct vp *vp, bool on);

    // APIC virtualization (caps.apicv): tell the hardware the highest requested and in-service vectors,
    // the EOI-exit bitmap, and whether the guest's APIC is in xAPIC (page), x2APIC or disabled mode.
    void (*apicv_sync)(struct vp *vp, uint8_t rvi, uint8_t svi);
    uint8_t (*apicv_rvi)(struct vp *vp);
    void (*apicv_eoi_exit)(struct vp *vp, const uint64_t bitmap[4]);
    void (*apicv_mode)(struct vp *vp, unsigned mode); // 0 off, 1 xAPIC, 2 x2APIC

    void (*flush_gpa)(struct partition *p); // this processor's second-level translations
    void (*flush_gva)(struct vp *vp);       // this processor's linear translations of the VP

    void (*dump)(struct vp *vp); // all state to the log
};

extern const struct virt_ops *virt;
extern struct virt_caps virt_caps;
extern const struct virt_ops vmx_ops, svm_ops;

// Calls a vp_run(): the guest has all registers meanwhile. The back end's exit finds the VP on the stack.
static inline struct vp *vp_enter(void (*run)(struct vp *vp), struct vp *vp)
{
#ifdef KEELSON_HV
    __asm__ volatile("push %%rbx\n\tmov %%rbx, %%rdi\n\tcall *%%rax\n\tpop %%rbx"
                     : "+a"(run), "+b"(vp)
                     :
                     : "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                       "r15", "memory", "cc");
#else
    run(vp);
#endif
    return vp;
}

static inline struct vp *virt_run(struct vp *vp)
{
    return vp_enter(virt->vp_run, vp);
}

// MSR accesses that do not exit: one 8 KiB read/write permission image for children, one for root, in the
// neutral form below; back ends build their bitmaps from it at boot with virt_msr_rights().
enum msr_rights { MSR_TRAP = 0, MSR_PASS_READ = 1, MSR_PASS_WRITE = 2, MSR_PASS_RW = 3 };
struct msr_pass {
    uint32_t msr;
    uint8_t guest, root; // enum msr_rights
};
extern const struct msr_pass msr_pass_table[]; // hv policy (arch/x86/msr_policy.c), ends with msr = 0
// I/O ports that exit for the root partition: one bit a port, 64 KiB ports plus the wrap-around bits that
// AMD-V wants (APM 2 "I/O Permissions Map"): 12 KiB. Children exit on every port.
extern uint8_t root_io_bitmap[3 * 4096];

#endif
