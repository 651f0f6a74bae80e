// SPDX-License-Identifier: Apache-2.0
// A VP's state to the log, for a partition that is stopped or a curious operator.
#include "arch/x86/vmx/vmx.h"

static void dump_segment(const char *name, uint32_t reg)
{
    union hv_register_value v;

    (void)vmx_get_reg(NULL, reg, &v);
    LOGN("  %s %04x base %016lx limit %08x attributes %04x", name, v.segment.selector, v.segment.base,
         v.segment.limit, v.segment.attributes);
}

static void dump_segments(void)
{
    static const char names[][5] = {"es  ", "cs  ", "ss  ", "ds  ", "fs  ", "gs  ", "ldtr", "tr  "};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        dump_segment(names[i], HV_REG_ES + i);
    }
    LOGN("  gdtr %016lx+%04lx idtr %016lx+%04lx", vmread(VMCS_GUEST_GDTR_BASE), vmread(VMCS_GUEST_GDTR_LIMIT),
         vmread(VMCS_GUEST_IDTR_BASE), vmread(VMCS_GUEST_IDTR_LIMIT));
}

static void dump_general(const struct vp *vp)
{
    static const char names[][4] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                    "r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i += 4) {
        uint64_t v[4];
        for (unsigned j = 0; j < 4; j++) {
            v[j] = i + j == GPR_RSP ? vmread(VMCS_GUEST_RSP) : vp_gpr(vp, i + j);
        }
        LOGN("  %s %016lx %s %016lx %s %016lx %s %016lx", names[i], v[0], names[i + 1], v[1], names[i + 2],
             v[2], names[i + 3], v[3]);
    }
}

void vmx_dump(struct vp *vp)
{
    LOGN("VP %u of partition %u: exit reason %#lx qualification %#lx instruction length %lu", vp->index,
         vp->partition->index, vmread(VMCS_EXIT_REASON), vmread(VMCS_EXIT_QUALIFICATION),
         vmread(VMCS_EXIT_INSN_LENGTH));
    LOGN("  rip %016lx rflags %08lx", vmread(VMCS_GUEST_RIP), vmread(VMCS_GUEST_RFLAGS));
    dump_general(vp);
    LOGN("  cr0 %08lx cr2 %016lx cr3 %016lx cr4 %08lx efer %lx", vmread(VMCS_GUEST_CR0), read_cr2(),
         vmread(VMCS_GUEST_CR3), vmread(VMCS_GUEST_CR4), vmread(VMCS_GUEST_EFER));
    dump_segments();
    LOGN("  controls pin %lx proc %lx proc2 %lx entry %lx exit %lx exceptions %lx", vmread(VMCS_PIN_CONTROLS),
         vmread(VMCS_PROC_CONTROLS), vmread(VMCS_PROC2_CONTROLS), vmread(VMCS_ENTRY_CONTROLS),
         vmread(VMCS_EXIT_CONTROLS), vmread(VMCS_EXCEPTION_BITMAP));
    LOGN("  interruptibility %lx activity %lx entry event %lx vectoring %lx guest physical %lx linear %lx",
         vmread(VMCS_GUEST_INTERRUPTIBILITY), vmread(VMCS_GUEST_ACTIVITY), vmread(VMCS_ENTRY_INTR_INFO),
         vmread(VMCS_IDT_VECTORING_INFO), vmread(VMCS_GUEST_PHYSICAL), vmread(VMCS_GUEST_LINEAR));
}
