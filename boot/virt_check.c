// SPDX-License-Identifier: Apache-2.0
// Looks for VT-x/EPT (SDM 3D "VMX Capability Reporting Facility") or AMD-V/NPT (APM 2 "Enabling SVM").
#include "boot/virt_check.h"

#include "boot/x86.h"
#include <keelson/types.h>

#define CPUID_1_ECX_VMX BIT(5)
#define CPUID_EXT1_ECX_SVM BIT(2)
#define CPUID_EXT1_EDX_NX BIT(20)
#define CPUID_SVM_EDX_NPT BIT(0)

#define MSR_FEATURE_CONTROL 0x3a
#define FEATURE_CONTROL_LOCK BIT(0)
#define FEATURE_CONTROL_VMX_OUTSIDE_SMX BIT(2)

#define MSR_VMX_PROCBASED_CTLS 0x482
#define MSR_VMX_PROCBASED_CTLS2 0x48b
#define MSR_VMX_EPT_VPID_CAP 0x48c
#define PROCBASED_SECONDARY BIT(31)
#define SECONDARY_EPT BIT(1)
#define SECONDARY_VPID BIT(5)
#define SECONDARY_UNRESTRICTED BIT(7)
#define EPT_4_LEVEL BIT(6)
#define EPT_WRITE_BACK BIT(14)
#define EPT_2M_PAGES BIT(16)

#define MSR_VM_CR 0xc0010114
#define VM_CR_SVMDIS BIT(4)

static const char *check_vmx(void)
{
    uint64_t control = rdmsr(MSR_FEATURE_CONTROL);
    if ((control & FEATURE_CONTROL_LOCK) != 0 && (control & FEATURE_CONTROL_VMX_OUTSIDE_SMX) == 0) {
        return "VT-x is locked off by the firmware: enable VT-x (Intel Virtualization Technology) in its setup.";
    }
    // The high half of a control MSR says which controls may be 1.
    if ((rdmsr(MSR_VMX_PROCBASED_CTLS) >> 32 & PROCBASED_SECONDARY) == 0) {
        return "VT-x of this processor has no secondary controls, so neither EPT nor unrestricted guest.";
    }
    uint64_t secondary = rdmsr(MSR_VMX_PROCBASED_CTLS2) >> 32;
    if ((secondary & SECONDARY_EPT) == 0) {
        return "VT-x of this processor has no EPT (extended page tables).";
    }
    if ((secondary & SECONDARY_UNRESTRICTED) == 0) {
        return "VT-x of this processor has no unrestricted guest mode.";
    }
    if ((secondary & SECONDARY_VPID) == 0) {
        return "VT-x of this processor has no VPID (virtual processor identifiers).";
    }
    uint64_t ept = rdmsr(MSR_VMX_EPT_VPID_CAP);
    if ((ept & EPT_4_LEVEL) == 0 || (ept & EPT_WRITE_BACK) == 0 || (ept & EPT_2M_PAGES) == 0) {
        return "EPT of this processor lacks 4-level tables, write-back memory or 2 MiB pages.";
    }
    return NULL;
}

static const char *check_svm(void)
{
    if ((rdmsr(MSR_VM_CR) & VM_CR_SVMDIS) != 0) {
        return "AMD-V is locked off by the firmware: enable SVM (AMD-V) in its setup.";
    }
    if (cpuid(0x80000000, 0).eax < 0x8000000a || (cpuid(0x8000000a, 0).edx & CPUID_SVM_EDX_NPT) == 0) {
        return "AMD-V of this processor has no nested paging (NPT).";
    }
    return NULL;
}

const char *virt_check(const char **engine)
{
    struct cpuid extended = {0};
    if (cpuid(0x80000000, 0).eax >= 0x80000001) {
        extended = cpuid(0x80000001, 0);
    }
    if ((extended.edx & CPUID_EXT1_EDX_NX) == 0) {
        return "the processor has no no-execute pages, or the firmware has disabled them.";
    }
    if ((cpuid(1, 0).ecx & CPUID_1_ECX_VMX) != 0) {
        *engine = "VT-x with EPT, unrestricted guest, VPID";
        return check_vmx();
    }
    if ((extended.ecx & CPUID_EXT1_ECX_SVM) != 0) {
        *engine = "AMD-V with NPT";
        return check_svm();
    }
    return "the processor offers neither VT-x nor AMD-V (under an emulator: nested virtualization is off).";
}
