// SPDX-License-Identifier: Apache-2.0
// MSRs of guests, as data. docs/guest-cpu.md lists the same rows; test_policy keeps them in step.
//
// An MSR in none of these tables, and not synthetic, is #GP for reads and writes.
#ifndef ARCH_MSR_TABLE_H
#define ARCH_MSR_TABLE_H

// X(msr, name, guest rights, root rights): accesses that do not exit (enum msr_rights).
#define MSR_PASS_TABLE(X)                                                                                    \
    X(0x10, "IA32_TIME_STAMP_COUNTER", MSR_PASS_READ, MSR_PASS_READ)                                         \
    X(0x174, "IA32_SYSENTER_CS", MSR_PASS_RW, MSR_PASS_RW)                                                   \
    X(0x175, "IA32_SYSENTER_ESP", MSR_PASS_RW, MSR_PASS_RW)                                                  \
    X(0x176, "IA32_SYSENTER_EIP", MSR_PASS_RW, MSR_PASS_RW)                                                  \
    X(0xc0000081, "IA32_STAR", MSR_PASS_RW, MSR_PASS_RW)                                                     \
    X(0xc0000082, "IA32_LSTAR", MSR_PASS_RW, MSR_PASS_RW)                                                    \
    X(0xc0000083, "IA32_CSTAR", MSR_PASS_RW, MSR_PASS_RW)                                                    \
    X(0xc0000084, "IA32_FMASK", MSR_PASS_RW, MSR_PASS_RW)                                                    \
    X(0xc0000100, "IA32_FS_BASE", MSR_PASS_RW, MSR_PASS_RW)                                                  \
    X(0xc0000101, "IA32_GS_BASE", MSR_PASS_RW, MSR_PASS_RW)                                                  \
    X(0xc0000102, "IA32_KERNEL_GS_BASE", MSR_PASS_RW, MSR_PASS_RW)

// X(first, last, what): MSRs with a life of their own, in msr_policy.c.
#define MSR_ACTIVE_TABLE(X)                                                                                  \
    X(0x10, 0x10, "TSC: host TSC plus the VP's offset; a write moves the offset and TSC_ADJUST")             \
    X(0x1b, 0x1b, "APIC_BASE: all modes, base can move")                                                     \
    X(0x3b, 0x3b, "TSC_ADJUST: a write moves TSC")                                                           \
    X(0x200, 0x20f, "variable MTRRs: kept, without effect (memory types come from the hypervisor)")          \
    X(0x250, 0x250, "fixed MTRR: kept, without effect")                                                      \
    X(0x258, 0x259, "fixed MTRRs: kept, without effect")                                                     \
    X(0x268, 0x26f, "fixed MTRRs: kept, without effect")                                                     \
    X(0x277, 0x277, "PAT: invalid types are #GP")                                                            \
    X(0x2ff, 0x2ff, "MTRR_DEF_TYPE: kept, without effect")                                                   \
    X(0x6e0, 0x6e0, "TSC_DEADLINE")                                                                          \
    X(0x800, 0x83f, "x2APIC registers, in x2APIC mode")                                                      \
    X(0xc0000080, 0xc0000080, "EFER: bits whose feature the guest sees; SVME never")                         \
    X(0xc0000103, 0xc0000103, "TSC_AUX, with RDTSCP or RDPID")

// X(msr, name, vendor, write, value, what): constants. vendor: ANY, INTEL, AMD. write: IGNORE, ZERO (only zero may
// be written), REFUSE (#GP).
#define MSR_CONSTANT_TABLE(X)                                                                                \
    X(0x0, "IA32_P5_MC_ADDR", ANY, IGNORE, 0, "no machine checks")                                           \
    X(0x1, "IA32_P5_MC_TYPE", ANY, IGNORE, 0, "no machine checks")                                           \
    X(0x17, "IA32_PLATFORM_ID", INTEL, REFUSE, 0, "platform 0: no microcode update fits")                    \
    X(0x2a, "MSR_EBL_CR_POWERON", INTEL, IGNORE, 0, "")                                                      \
    X(0x3a, "IA32_FEATURE_CONTROL", INTEL, REFUSE, 1, "locked, VMX off")                                     \
    X(0x79, "IA32_BIOS_UPDT_TRIG", INTEL, IGNORE, 0, "microcode is the host's")                              \
    X(0x8b, "IA32_BIOS_SIGN_ID", INTEL, IGNORE, 0xffffffff00000000, "newest microcode")                      \
    X(0x8b, "MSR_AMD64_PATCH_LEVEL", AMD, IGNORE, 0xffffffff, "newest microcode")                            \
    X(0xce, "MSR_PLATFORM_INFO", INTEL, REFUSE, 0, "no CPUID faulting")                                      \
    X(0xfe, "IA32_MTRRCAP", ANY, REFUSE, 0x508, "8 variable ranges, fixed ranges, write combining")          \
    X(0x179, "IA32_MCG_CAP", ANY, REFUSE, 0, "no machine check banks")                                       \
    X(0x17a, "IA32_MCG_STATUS", ANY, ZERO, 0, "no machine check")                                            \
    X(0x1a0, "IA32_MISC_ENABLE", INTEL, IGNORE, 0x1801, "fast strings; no BTS, no PEBS")                     \
    X(0x1d9, "IA32_DEBUGCTL", ANY, IGNORE, 0, "no LBR, no BTF")                                              \
    X(0x345, "IA32_PERF_CAPABILITIES", INTEL, ZERO, 0, "no performance counters")                            \
    X(0xc0010010, "SYSCFG", AMD, IGNORE, 0, "")                                                              \
    X(0xc0010015, "HWCR", AMD, IGNORE, 0x01000000, "TSC counts at P0 rate")                                  \
    X(0xc001001a, "TOP_MEM", AMD, IGNORE, 0, "")                                                             \
    X(0xc001001d, "TOP_MEM2", AMD, IGNORE, 0, "")                                                            \
    X(0xc001001f, "NB_CFG", AMD, IGNORE, 0, "")                                                              \
    X(0xc0010020, "PATCH_LOADER", AMD, IGNORE, 0, "microcode is the host's")                                 \
    X(0xc0010055, "INT_PENDING_MSG", AMD, IGNORE, 0, "no C1E")                                               \
    X(0xc0010058, "MMIO_CFG_BASE", AMD, IGNORE, 0, "")                                                       \
    X(0xc0010114, "VM_CR", AMD, IGNORE, 0x18, "SVM disabled and locked")                                     \
    X(0xc0010140, "OSVW_ID_LENGTH", AMD, IGNORE, 0, "no errata to work around")                              \
    X(0xc0010141, "OSVW_STATUS", AMD, IGNORE, 0, "")                                                         \
    X(0xc0011020, "LS_CFG", AMD, IGNORE, 0, "")                                                              \
    X(0xc0011022, "DC_CFG", AMD, IGNORE, 0, "")                                                              \
    X(0xc0011029, "DE_CFG", AMD, IGNORE, 2, "LFENCE is serializing")                                         \
    X(0xc001102a, "BU_CFG2", AMD, IGNORE, 0, "")

#endif
