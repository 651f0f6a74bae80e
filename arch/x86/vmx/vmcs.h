// SPDX-License-Identifier: Apache-2.0
// VMCS field encodings, control bits and the VMX instructions (SDM 3C, appendix "Field Encoding in VMCS").
#ifndef ARCH_VMX_VMCS_H
#define ARCH_VMX_VMCS_H

#include <keelson/types.h>

enum vmcs_field {
    VMCS_VPID = 0x0000,
    VMCS_GUEST_ES_SELECTOR = 0x0800, // ES CS SS DS FS GS LDTR TR, two apart
    VMCS_GUEST_INTERRUPT_STATUS = 0x0810,
    VMCS_HOST_ES_SELECTOR = 0x0c00,
    VMCS_HOST_CS_SELECTOR = 0x0c02,
    VMCS_HOST_SS_SELECTOR = 0x0c04,
    VMCS_HOST_DS_SELECTOR = 0x0c06,
    VMCS_HOST_FS_SELECTOR = 0x0c08,
    VMCS_HOST_GS_SELECTOR = 0x0c0a,
    VMCS_HOST_TR_SELECTOR = 0x0c0c,
    VMCS_IO_BITMAP_A = 0x2000,
    VMCS_IO_BITMAP_B = 0x2002,
    VMCS_MSR_BITMAP = 0x2004,
    VMCS_TSC_OFFSET = 0x2010,
    VMCS_VIRTUAL_APIC = 0x2012,
    VMCS_APIC_ACCESS = 0x2014,
    VMCS_EPT_POINTER = 0x201a,
    VMCS_EOI_EXIT0 = 0x201c, // four, two apart
    VMCS_XSS_EXIT_BITMAP = 0x202c,
    VMCS_ENCLS_EXIT_BITMAP = 0x202e,
    VMCS_GUEST_PHYSICAL = 0x2400,
    VMCS_LINK_POINTER = 0x2800,
    VMCS_GUEST_DEBUGCTL = 0x2802,
    VMCS_GUEST_PAT = 0x2804,
    VMCS_GUEST_EFER = 0x2806,
    VMCS_GUEST_PDPTE0 = 0x280a, // four, two apart
    VMCS_HOST_PAT = 0x2c00,
    VMCS_HOST_EFER = 0x2c02,
    VMCS_PIN_CONTROLS = 0x4000,
    VMCS_PROC_CONTROLS = 0x4002,
    VMCS_EXCEPTION_BITMAP = 0x4004,
    VMCS_PF_ERROR_MASK = 0x4006,
    VMCS_PF_ERROR_MATCH = 0x4008,
    VMCS_CR3_TARGET_COUNT = 0x400a,
    VMCS_EXIT_CONTROLS = 0x400c,
    VMCS_EXIT_MSR_STORE_COUNT = 0x400e,
    VMCS_EXIT_MSR_LOAD_COUNT = 0x4010,
    VMCS_ENTRY_CONTROLS = 0x4012,
    VMCS_ENTRY_MSR_LOAD_COUNT = 0x4014,
    VMCS_ENTRY_INTR_INFO = 0x4016,
    VMCS_ENTRY_ERROR_CODE = 0x4018,
    VMCS_ENTRY_INSN_LENGTH = 0x401a,
    VMCS_TPR_THRESHOLD = 0x401c,
    VMCS_PROC2_CONTROLS = 0x401e,
    VMCS_PLE_GAP = 0x4020,
    VMCS_PLE_WINDOW = 0x4022,
    VMCS_INSTRUCTION_ERROR = 0x4400,
    VMCS_EXIT_REASON = 0x4402,
    VMCS_EXIT_INTR_INFO = 0x4404,
    VMCS_EXIT_ERROR_CODE = 0x4406,
    VMCS_IDT_VECTORING_INFO = 0x4408,
    VMCS_IDT_VECTORING_ERROR = 0x440a,
    VMCS_EXIT_INSN_LENGTH = 0x440c,
    VMCS_EXIT_INSN_INFO = 0x440e,
    VMCS_GUEST_ES_LIMIT = 0x4800, // ES .. TR as above
    VMCS_GUEST_GDTR_LIMIT = 0x4810,
    VMCS_GUEST_IDTR_LIMIT = 0x4812,
    VMCS_GUEST_ES_RIGHTS = 0x4814, // ES .. TR as above
    VMCS_GUEST_CS_RIGHTS = 0x4816,
    VMCS_GUEST_INTERRUPTIBILITY = 0x4824,
    VMCS_GUEST_ACTIVITY = 0x4826,
    VMCS_GUEST_SYSENTER_CS = 0x482a,
    VMCS_GUEST_PREEMPTION_TIMER = 0x482e,
    VMCS_HOST_SYSENTER_CS = 0x4c00,
    VMCS_CR0_MASK = 0x6000,
    VMCS_CR4_MASK = 0x6002,
    VMCS_CR0_SHADOW = 0x6004,
    VMCS_CR4_SHADOW = 0x6006,
    VMCS_EXIT_QUALIFICATION = 0x6400,
    VMCS_GUEST_LINEAR = 0x640a,
    VMCS_GUEST_CR0 = 0x6800,
    VMCS_GUEST_CR3 = 0x6802,
    VMCS_GUEST_CR4 = 0x6804,
    VMCS_GUEST_ES_BASE = 0x6806, // ES .. TR as above
    VMCS_GUEST_GDTR_BASE = 0x6816,
    VMCS_GUEST_IDTR_BASE = 0x6818,
    VMCS_GUEST_DR7 = 0x681a,
    VMCS_GUEST_RSP = 0x681c,
    VMCS_GUEST_RIP = 0x681e,
    VMCS_GUEST_RFLAGS = 0x6820,
    VMCS_GUEST_PENDING_DEBUG = 0x6822,
    VMCS_GUEST_SYSENTER_ESP = 0x6824,
    VMCS_GUEST_SYSENTER_EIP = 0x6826,
    VMCS_HOST_CR0 = 0x6c00,
    VMCS_HOST_CR3 = 0x6c02,
    VMCS_HOST_CR4 = 0x6c04,
    VMCS_HOST_FS_BASE = 0x6c06,
    VMCS_HOST_GS_BASE = 0x6c08,
    VMCS_HOST_TR_BASE = 0x6c0a,
    VMCS_HOST_GDTR_BASE = 0x6c0c,
    VMCS_HOST_IDTR_BASE = 0x6c0e,
    VMCS_HOST_SYSENTER_ESP = 0x6c10,
    VMCS_HOST_SYSENTER_EIP = 0x6c12,
    VMCS_HOST_RIP = 0x6c16,
};
#define VMCS_HOST_RSP 0x6c14 // also used by entry.S

// Pin-based controls.
#define PIN_EXTERNAL_INTERRUPT BIT(0)
#define PIN_NMI BIT(3)
#define PIN_VIRTUAL_NMI BIT(5)
#define PIN_PREEMPTION_TIMER BIT(6)
#define PIN_POSTED_INTERRUPTS BIT(7)
// Primary processor-based controls.
#define PROC_INTERRUPT_WINDOW BIT(2)
#define PROC_TSC_OFFSET BIT(3)
#define PROC_HLT BIT(7)
#define PROC_MWAIT BIT(10)
#define PROC_RDPMC BIT(11)
#define PROC_CR8_LOAD BIT(19)
#define PROC_TPR_SHADOW BIT(21)
#define PROC_NMI_WINDOW BIT(22)
#define PROC_MOV_DR BIT(23)
#define PROC_UNCONDITIONAL_IO BIT(24)
#define PROC_IO_BITMAPS BIT(25)
#define PROC_MSR_BITMAPS BIT(28)
#define PROC_MONITOR BIT(29)
#define PROC_SECONDARY BIT(31)
// Secondary processor-based controls.
#define PROC2_APIC_ACCESS BIT(0)
#define PROC2_EPT BIT(1)
#define PROC2_RDTSCP BIT(3)
#define PROC2_X2APIC BIT(4)
#define PROC2_VPID BIT(5)
#define PROC2_WBINVD BIT(6)
#define PROC2_UNRESTRICTED BIT(7)
#define PROC2_APIC_REGISTERS BIT(8)
#define PROC2_INTERRUPT_DELIVERY BIT(9)
#define PROC2_PAUSE_LOOP BIT(10)
#define PROC2_INVPCID BIT(12)
#define PROC2_ENCLS BIT(15)
#define PROC2_XSAVES BIT(20)
// VM-exit and VM-entry controls.
#define EXIT_SAVE_DEBUG BIT(2)
#define EXIT_HOST_64 BIT(9)
#define EXIT_SAVE_PAT BIT(18)
#define EXIT_LOAD_PAT BIT(19)
#define EXIT_SAVE_EFER BIT(20)
#define EXIT_LOAD_EFER BIT(21)
#define EXIT_SAVE_PREEMPTION_TIMER BIT(22)
#define ENTRY_LOAD_DEBUG BIT(2)
#define ENTRY_IA32E BIT(9)
#define ENTRY_LOAD_PAT BIT(14)
#define ENTRY_LOAD_EFER BIT(15)

// Interruption information, for injection, exits and IDT vectoring alike.
#define INTR_VECTOR(info) ((uint8_t)(info))
#define INTR_TYPE(info) ((uint32_t)(info) >> 8 & 7)
#define INTR_ERROR_VALID BIT(11)
#define INTR_NMI_UNBLOCKED BIT(12) // exits: by IRET
#define INTR_VALID BIT(31)
#define INTR_TYPE_NMI 2
#define INTR_TYPE_EXCEPTION 3
#define INTR_TYPE_SW_INTERRUPT 4
#define INTR_TYPE_PRIVILEGED 5 // INT1
#define INTR_TYPE_SW_EXCEPTION 6

// Interruptibility state.
#define BLOCKED_BY_STI BIT(0)
#define BLOCKED_BY_MOV_SS BIT(1)
#define BLOCKED_BY_SMI BIT(2)
#define BLOCKED_BY_NMI BIT(3)

#define RIGHTS_LONG BIT(13)
#define RIGHTS_UNUSABLE BIT(16)

static inline uint64_t vmread(uint64_t field)
{
    uint64_t value;

    __asm__ volatile("vmread %1, %0" : "=r"(value) : "r"(field) : "cc");
    return value;
}

static inline void vmwrite(uint64_t field, uint64_t value)
{
    __asm__ volatile("vmwrite %1, %0" : : "r"(field), "rm"(value) : "cc");
}

// The following return false on VMfail.
static inline bool vmxon(spa_t region)
{
    bool ok;

    __asm__ volatile("vmxon %1" : "=@cca"(ok) : "m"(region.v) : "memory");
    return ok;
}

static inline bool vmclear(const uint64_t *vmcs_spa)
{
    bool ok;

    __asm__ volatile("vmclear %1" : "=@cca"(ok) : "m"(*vmcs_spa) : "memory");
    return ok;
}

static inline bool vmptrld(const uint64_t *vmcs_spa)
{
    bool ok;

    __asm__ volatile("vmptrld %1" : "=@cca"(ok) : "m"(*vmcs_spa) : "memory");
    return ok;
}

struct inv_descriptor {
    uint64_t context, address;
};

static inline bool invept(uint64_t type, uint64_t eptp)
{
    struct inv_descriptor d = {eptp, 0};
    bool ok;

    __asm__ volatile("invept %1, %2" : "=@cca"(ok) : "m"(d), "r"(type) : "memory");
    return ok;
}

static inline bool invvpid(uint64_t type, uint16_t vpid)
{
    struct inv_descriptor d = {vpid, 0};
    bool ok;

    __asm__ volatile("invvpid %1, %2" : "=@cca"(ok) : "m"(d), "r"(type) : "memory");
    return ok;
}
#define INV_SINGLE_CONTEXT 1
#define INV_ALL_CONTEXTS 2

#endif
