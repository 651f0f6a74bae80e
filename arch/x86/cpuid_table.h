// SPDX-License-Identifier: Apache-2.0
// What guests see of CPUID, as data. docs/guest-cpu.md lists the same rows; test_policy keeps them in step.
//
// Whatever no row names reads zero. Rows come from SDM 2A "CPUID" and APM 3 "Obtaining Processor Information
// Via the CPUID Instruction".
#ifndef ARCH_CPUID_TABLE_H
#define ARCH_CPUID_TABLE_H

#define B(n) (1u << (n))
#define XCR0_NONE 0u
#define XCR0_FOR_AVX 0x06u
#define XCR0_FOR_AVX512 0xe6u

// X(leaf, subleaf, register, XCR0 components needed, bits, what): bits a guest has if the host has them.
// Left out on purpose: VMX, SVM and SMX (no nesting), MONITOR/MWAIT (they would hold a processor), debug store,
// performance counters, LBR and PT (not virtualized), SpeedStep, thermal (host's business), TSX, MPX, SGX,
// protection keys, CET, AMX (no state switching for them), resource director, LA57, PSN, XSAVES.
#define CPUID_ALLOW_TABLE(X)                                                                                 \
    X(0x1, 0, EAX, XCR0_NONE, 0x0fff3fff, "family, model, stepping")                                         \
    X(0x1, 0, EBX, XCR0_NONE, 0x0000ff00, "CLFLUSH line size")                                               \
    X(0x1, 0, ECX, XCR0_NONE, B(0) | B(1) | B(9) | B(13) | B(17) | B(19) | B(20) | B(22) | B(23) | B(25),    \
      "SSE3, PCLMULQDQ, SSSE3, CMPXCHG16B, PCID, SSE4.1, SSE4.2, MOVBE, POPCNT, AES")                        \
    X(0x1, 0, ECX, XCR0_NONE, B(26) | B(30), "XSAVE, RDRAND")                                                \
    X(0x1, 0, ECX, XCR0_FOR_AVX, B(12) | B(28) | B(29), "FMA, AVX, F16C")                                    \
    X(0x1, 0, EDX, XCR0_NONE, 0x0183fbff & ~B(9),                                                            \
      "FPU, VME, DE, PSE, TSC, MSR, PAE, MCE, CX8, SEP, MTRR, PGE, MCA, CMOV, PAT, PSE36, MMX, FXSR")        \
    X(0x1, 0, EDX, XCR0_NONE, B(19) | B(25) | B(26) | B(27), "CLFLUSH, SSE, SSE2, self-snoop")               \
    X(0x7, 0, EBX, XCR0_NONE, B(0) | B(3) | B(6) | B(7) | B(8) | B(9) | B(10) | B(13),                       \
      "FSGSBASE, BMI1, FDP_EXCPTN_ONLY, SMEP, BMI2, ERMS, INVPCID, no FPU CS/DS")                            \
    X(0x7, 0, EBX, XCR0_NONE, B(18) | B(19) | B(20) | B(23) | B(24) | B(29),                                 \
      "RDSEED, ADX, SMAP, CLFLUSHOPT, CLWB, SHA")                                                            \
    X(0x7, 0, EBX, XCR0_FOR_AVX, B(5), "AVX2")                                                               \
    X(0x7, 0, EBX, XCR0_FOR_AVX512, B(16) | B(17) | B(21) | B(26) | B(27) | B(28) | B(30) | B(31),           \
      "AVX-512 F, DQ, IFMA, PF, ER, CD, BW, VL")                                                             \
    X(0x7, 0, ECX, XCR0_NONE, B(2) | B(8) | B(22) | B(25) | B(27) | B(28),                                   \
      "UMIP, GFNI, RDPID, CLDEMOTE, MOVDIRI, MOVDIR64B")                                                     \
    X(0x7, 0, ECX, XCR0_FOR_AVX, B(9) | B(10), "VAES, VPCLMULQDQ")                                           \
    X(0x7, 0, ECX, XCR0_FOR_AVX512, B(1) | B(6) | B(11) | B(12) | B(14),                                     \
      "AVX-512 VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ")                                                        \
    X(0x7, 0, EDX, XCR0_NONE, B(4) | B(10) | B(14) | B(29),                                                  \
      "fast short REP MOV, MD_CLEAR, SERIALIZE, ARCH_CAPABILITIES")                                          \
    X(0x7, 0, EDX, XCR0_FOR_AVX512, B(2) | B(3) | B(8) | B(23),                                              \
      "AVX-512 4VNNIW, 4FMAPS, VP2INTERSECT, FP16")                                                          \
    X(0x7, 1, EAX, XCR0_FOR_AVX, B(4), "AVX-VNNI")                                                           \
    X(0x7, 1, EAX, XCR0_FOR_AVX512, B(5), "AVX-512 BF16")                                                    \
    X(0x7, 1, EAX, XCR0_NONE, B(10) | B(11) | B(12), "fast zero-length and short string instructions")       \
    X(0xd, 1, EAX, XCR0_NONE, B(0) | B(1) | B(2), "XSAVEOPT, XSAVEC, XGETBV with ECX = 1")                   \
    X(0x80000001, 0, EAX, XCR0_NONE, 0x0fffffff, "AMD family, model, stepping")                              \
    X(0x80000001, 0, EBX, XCR0_NONE, 0xf000ffff, "AMD brand id, package type")                               \
    X(0x80000001, 0, ECX, XCR0_NONE, B(0) | B(5) | B(6) | B(7) | B(8) | B(21) | B(22),                       \
      "LAHF in 64-bit mode, LZCNT, SSE4A, MISALIGNSSE, PREFETCHW, TBM, TOPOEXT")                             \
    X(0x80000001, 0, ECX, XCR0_FOR_AVX, B(11) | B(16), "XOP, FMA4")                                          \
    X(0x80000001, 0, EDX, XCR0_NONE, 0x0183f3ff & ~B(9), "AMD's copy of leaf 1")                             \
    X(0x80000001, 0, EDX, XCR0_NONE, B(11) | B(20) | B(22) | B(26) | B(27) | B(29) | B(30) | B(31),          \
      "SYSCALL, NX, MMXEXT, 1 GiB pages, RDTSCP, long mode, 3DNow!")                                         \
    X(0x80000008, 0, EBX, XCR0_NONE, B(0) | B(2) | B(9), "CLZERO, FP error pointers, WBNOINVD")              \
    X(0x80000021, 0, EAX, XCR0_NONE, B(0) | B(2) | B(6),                                                     \
      "no nested data breakpoints, LFENCE serializes, null selector clears base")

// X(leaf, subleaf, register, bits, what): bits a guest has on every host.
#define CPUID_FORCE_TABLE(X)                                                                                 \
    X(0x1, 0, ECX, B(21), "x2APIC")                                                                          \
    X(0x1, 0, ECX, B(24), "TSC deadline timer")                                                              \
    X(0x1, 0, ECX, B(31), "hypervisor present")                                                              \
    X(0x6, 0, EAX, B(2), "the APIC timer always runs")                                                       \
    X(0x7, 0, EBX, B(1), "IA32_TSC_ADJUST")                                                                  \
    X(0x80000007, 0, EDX, B(8), "invariant TSC")

// X(leaf, what): leaves copied from the host whole.
#define CPUID_PASS_TABLE(X)                                                                                  \
    X(0x2, "cache and TLB descriptors")                                                                      \
    X(0x80000002, "brand string")                                                                            \
    X(0x80000003, "brand string")                                                                            \
    X(0x80000004, "brand string")                                                                            \
    X(0x80000005, "AMD L1 caches and TLBs")                                                                  \
    X(0x80000006, "L2 and L3 caches")                                                                        \
    X(0x80000019, "AMD 1 GiB TLBs")                                                                          \
    X(0x8000001a, "AMD instruction optimizations")

// X(leaf, handler, what): leaves that depend on the partition, the VP or its registers.
#define CPUID_COMPUTED_TABLE(X)                                                                              \
    X(0x1, features, "APIC id, VP count, OSXSAVE from CR4, APIC bit from IA32_APIC_BASE")                    \
    X(0x4, caches, "host's caches; first and second level belong to one VP, the third to all")               \
    X(0x7, subleaves, "subleaves 0 and 1")                                                                   \
    X(0xb, topology, "one package, each VP a core with one thread; x2APIC id")                               \
    X(0xd, xsave, "components offered, sizes for the VP's XCR0; no supervisor states")                       \
    X(0x80000001, ext_features, "AMD: CMP_LEGACY with more than one VP, APIC bit")                           \
    X(0x80000008, addresses, "physical address width of the GPA space, 48 linear bits, VP count")            \
    X(0x8000001d, caches, "AMD: as leaf 4")                                                                  \
    X(0x8000001e, amd_topology, "AMD: APIC id, one thread a core, one node")                                 \
    X(0x40000003, privileges, "privileges of the partition; frequency MSRs, direct synthetic timers")        \
    X(0x40000004, hints, "use x2APIC, relaxed timing; synthetic EOI and TPR MSRs without APICv")

#endif
