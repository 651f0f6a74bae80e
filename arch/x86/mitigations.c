// SPDX-License-Identifier: Apache-2.0
// Table of processor vulnerabilities and what the hypervisor does about each.
//
// A processor that does not enumerate IA32_ARCH_CAPABILITIES says nothing about being immune, so it is
// treated as affected wherever it has the means to be helped. Indirect branches of the hypervisor itself
// are protected by enhanced IBRS where there is one; other processors rely on IBPB between partitions.
#include "arch/x86/mitigations.h"

#define CPUID7_EDX_MD_CLEAR BIT(10)
#define CPUID7_EDX_IBRS_IBPB BIT(26)
#define CPUID7_EDX_L1D_FLUSH BIT(28)
#define CPUID7_EDX_ARCH_CAP BIT(29)
#define CPUID8_EBX_IBPB BIT(12) // 80000008h, AMD

#define ARCH_CAP_RDCL_NO BIT(0)
#define ARCH_CAP_IBRS_ALL BIT(1)
#define ARCH_CAP_SKIP_L1DFL BIT(3)
#define ARCH_CAP_MDS_NO BIT(5)

#define SPEC_CTRL_IBRS BIT(0)
#define PRED_CMD_IBPB BIT(0)
#define FLUSH_CMD_L1D BIT(0)

uint8_t mitigations_at_entry;

bool mitigations_ibpb;

static bool use_ibrs;

static void log_decisions(bool is_intel)
{
    LOGI("mitigations: MDS %s, L1TF %s, branch prediction %s%s",
         mitigations_at_entry & MITIGATE_VERW ? "VERW"
         : is_intel                           ? "none needed or offered"
                                              : "not affected",
         mitigations_at_entry & MITIGATE_L1D_FLUSH ? "L1D flush"
         : is_intel                                ? "none needed or offered"
                                                   : "not affected",
         mitigations_ibpb ? "IBPB" : "none offered", use_ibrs ? " and enhanced IBRS" : "");
}

void mitigations_init(void)
{
    bool is_intel = cpuid(0, 0).ecx == 0x6c65746eu; // "ntel"
    uint32_t edx = cpuid_checked(7, 0).edx;
    uint64_t cap = 0;

    if (edx & CPUID7_EDX_ARCH_CAP) {
        cap = rdmsr(MSR_ARCH_CAPABILITIES);
    }
    if (is_intel && (edx & CPUID7_EDX_MD_CLEAR) && (cap & ARCH_CAP_MDS_NO) == 0) {
        mitigations_at_entry |= MITIGATE_VERW;
    }
    if (is_intel && (edx & CPUID7_EDX_L1D_FLUSH) && (cap & (ARCH_CAP_RDCL_NO | ARCH_CAP_SKIP_L1DFL)) == 0) {
        mitigations_at_entry |= MITIGATE_L1D_FLUSH;
    }
    mitigations_ibpb = (edx & CPUID7_EDX_IBRS_IBPB) || (cpuid_checked(0x80000008, 0).ebx & CPUID8_EBX_IBPB);
    use_ibrs = cap & ARCH_CAP_IBRS_ALL;
    log_decisions(is_intel);
}

void mitigations_init_cpu(void)
{
    if (use_ibrs) {
        wrmsr(MSR_SPEC_CTRL, SPEC_CTRL_IBRS); // guests cannot reach it: stays on across entries and exits
    }
}

void mitigations_barrier(void)
{
    if (!wrmsr_safe(MSR_PRED_CMD, PRED_CMD_IBPB)) {
        mitigations_ibpb = false; // promised by CPUID, refused by the MSR: emulators do that
    }
}

void mitigations_flush_l1d(void)
{
    wrmsr(MSR_FLUSH_CMD, FLUSH_CMD_L1D);
}
