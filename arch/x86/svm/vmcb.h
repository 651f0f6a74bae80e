// SPDX-License-Identifier: Apache-2.0
// The virtual machine control block and the codes that go with it (APM 2 Appendix B and C).
#ifndef ARCH_SVM_VMCB_H
#define ARCH_SVM_VMCB_H

#include <keelson/types.h>

struct vmcb_segment {
    uint16_t selector;
    uint16_t attrib; // type 3:0, s 4, dpl 6:5, p 7, avl 8, l 9, db 10, g 11
    uint32_t limit;
    uint64_t base;
};

struct vmcb {
    // control area
    uint32_t intercept_cr; // reads 15:0, writes 31:16
    uint32_t intercept_dr;
    uint32_t intercept_exceptions;
    uint32_t intercept_misc1;
    uint32_t intercept_misc2;
    uint32_t intercept_misc3;
    uint8_t reserved0[0x3c - 0x18];
    uint16_t pause_threshold;
    uint16_t pause_count;
    uint64_t iopm_base;
    uint64_t msrpm_base;
    uint64_t tsc_offset;
    uint32_t asid;
    uint8_t tlb_control;
    uint8_t reserved1[3];
    uint8_t v_tpr;
    uint8_t v_irq;     // bit 0 V_IRQ, bit 1 VGIF
    uint8_t v_prio;    // bits 3:0 priority, bit 4 V_IGN_TPR
    uint8_t v_masking; // bit 0 V_INTR_MASKING
    uint8_t v_vector;
    uint8_t reserved2[3];
    uint64_t interrupt_shadow;
    uint64_t exit_code;
    uint64_t exit_info1;
    uint64_t exit_info2;
    uint64_t exit_int_info;
    uint64_t np_enable;
    uint8_t reserved3[0xa8 - 0x98];
    uint64_t event_inj;
    uint64_t n_cr3;
    uint64_t lbr_enable;
    uint32_t clean;
    uint32_t reserved4;
    uint64_t next_rip;
    uint8_t insn_len;
    uint8_t insn_bytes[15];
    uint8_t reserved5[0x400 - 0xe0];

    // state save area
    struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    uint8_t reserved6[0x4cb - 0x4a0];
    uint8_t cpl;
    uint32_t reserved7;
    uint64_t efer;
    uint8_t reserved8[0x548 - 0x4d8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t reserved9[0x5d8 - 0x580];
    uint64_t rsp;
    uint8_t reserved10[0x5f8 - 0x5e0];
    uint64_t rax;
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t cr2;
    uint8_t reserved11[0x668 - 0x648];
    uint64_t g_pat;
    uint64_t dbgctl;
    uint8_t reserved12[0x1000 - 0x678];
};

_Static_assert(offsetof(struct vmcb, pause_threshold) == 0x3c, "VMCB");
_Static_assert(offsetof(struct vmcb, v_tpr) == 0x60, "VMCB");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x70, "VMCB");
_Static_assert(offsetof(struct vmcb, event_inj) == 0xa8, "VMCB");
_Static_assert(offsetof(struct vmcb, next_rip) == 0xc8, "VMCB");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "VMCB");
_Static_assert(offsetof(struct vmcb, cpl) == 0x4cb, "VMCB");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "VMCB");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "VMCB");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "VMCB");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "VMCB");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "VMCB");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "VMCB");
_Static_assert(offsetof(struct vmcb, g_pat) == 0x668, "VMCB");
_Static_assert(sizeof(struct vmcb) == 4096, "VMCB");

// intercept_cr
#define SVM_ICPT_WRITE_CR8 BIT(16 + 8)
// intercept_misc1
#define SVM_ICPT_INTR BIT(0)
#define SVM_ICPT_NMI BIT(1)
#define SVM_ICPT_INIT BIT(3)
#define SVM_ICPT_VINTR BIT(4)
#define SVM_ICPT_RDPMC BIT(15)
#define SVM_ICPT_CPUID BIT(18)
#define SVM_ICPT_IRET BIT(20)
#define SVM_ICPT_INVD BIT(22)
#define SVM_ICPT_PAUSE BIT(23)
#define SVM_ICPT_HLT BIT(24)
#define SVM_ICPT_INVLPGA BIT(26)
#define SVM_ICPT_IOIO BIT(27)
#define SVM_ICPT_MSR BIT(28)
#define SVM_ICPT_SHUTDOWN BIT(31)
// intercept_misc2
#define SVM_ICPT2_VMRUN BIT(0)
#define SVM_ICPT2_VMMCALL BIT(1)
#define SVM_ICPT2_VMLOAD BIT(2)
#define SVM_ICPT2_VMSAVE BIT(3)
#define SVM_ICPT2_STGI BIT(4)
#define SVM_ICPT2_CLGI BIT(5)
#define SVM_ICPT2_SKINIT BIT(6)
#define SVM_ICPT2_WBINVD BIT(9)
#define SVM_ICPT2_MONITOR BIT(10)
#define SVM_ICPT2_MWAIT BIT(11)
#define SVM_ICPT2_XSETBV BIT(13)

enum svm_exit_code {
    SVM_EXIT_WRITE_CR8 = 0x18,
    SVM_EXIT_EXCEPTION0 = 0x40,
    SVM_EXIT_EXCEPTION31 = 0x5f,
    SVM_EXIT_READ_DR0 = 0x20,
    SVM_EXIT_WRITE_DR15 = 0x3f,
    SVM_EXIT_INTR = 0x60,
    SVM_EXIT_NMI = 0x61,
    SVM_EXIT_INIT = 0x63,
    SVM_EXIT_VINTR = 0x64,
    SVM_EXIT_RDPMC = 0x6f,
    SVM_EXIT_CPUID = 0x72,
    SVM_EXIT_IRET = 0x74,
    SVM_EXIT_INVD = 0x76,
    SVM_EXIT_PAUSE = 0x77,
    SVM_EXIT_HLT = 0x78,
    SVM_EXIT_INVLPGA = 0x7a,
    SVM_EXIT_IOIO = 0x7b,
    SVM_EXIT_MSR = 0x7c,
    SVM_EXIT_TASK_SWITCH = 0x7d,
    SVM_EXIT_SHUTDOWN = 0x7f,
    SVM_EXIT_VMRUN = 0x80,
    SVM_EXIT_VMMCALL = 0x81,
    SVM_EXIT_VMLOAD = 0x82,
    SVM_EXIT_SKINIT = 0x86,
    SVM_EXIT_WBINVD = 0x89,
    SVM_EXIT_MONITOR = 0x8a,
    SVM_EXIT_MWAIT = 0x8b,
    SVM_EXIT_MWAIT_COND = 0x8c,
    SVM_EXIT_XSETBV = 0x8d,
    SVM_EXIT_NPF = 0x400,
};

// EVENTINJ and EXITINTINFO
#define SVM_EVENT_TYPE(t) ((uint64_t)(t) << 8) // 0 interrupt, 2 NMI, 3 exception, 4 software
#define SVM_EVENT_ERROR_VALID BIT(11)
#define SVM_EVENT_VALID BIT(31)

#define MSR_VM_CR 0xc0010114
#define VM_CR_SVMDIS BIT(4)
#define MSR_VM_HSAVE_PA 0xc0010117

#endif
