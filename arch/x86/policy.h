// SPDX-License-Identifier: Apache-2.0
// What a guest sees of the processor: CPUID leaves, MSRs, control registers, as data.
//
// cpuid_policy.c and msr_policy.c hold the tables; docs/guest-cpu.md is generated from them and checked by a
// test. Exit handlers run on the owner processor.
#ifndef ARCH_POLICY_H
#define ARCH_POLICY_H

#include "hv/vp.h"

struct cpuid_result {
    uint32_t eax, ebx, ecx, edx;
};

// Boot: reads the host's leaves once and builds the table that guests see; needs host_xcr0, host_tsc_hz, virt_caps.
void cpuid_policy_init(void);
// The same with another source of leaves (tests).
typedef void cpuid_reader(uint32_t leaf, uint32_t subleaf, struct cpuid_result *out);
void cpuid_policy_build(cpuid_reader *reader);
// Do guests see this bit? reg: 0 EAX .. 3 EDX. Bits that depend on the VP do not count.
bool cpuid_policy_has(uint32_t leaf, unsigned reg, unsigned bit);
// Result for a VP; leaf and subleaf as the guest asked.
void cpuid_policy(const struct vp *vp, uint32_t leaf, uint32_t subleaf, struct cpuid_result *out);

// MSR access by a guest. False: #GP(0).
void msr_policy_init(void);           // called by cpuid_policy_build()
void msr_policy_reset(struct vp *vp); // a new VP: MTRRs as firmware would leave them
MUST_CHECK bool msr_policy_read(struct vp *vp, uint32_t msr, uint64_t *value);
MUST_CHECK bool msr_policy_write(struct vp *vp, uint32_t msr, uint64_t value);
// Synthetic MSRs 0x40000000..0x400000ff and the reference time (hv/synthetic.c).
MUST_CHECK bool synthetic_read(struct vp *vp, uint32_t msr, uint64_t *value);
MUST_CHECK bool synthetic_write(struct vp *vp, uint32_t msr, uint64_t value);
uint64_t reference_time(const struct partition *p); // 100 ns units since partition creation
uint64_t reference_time_at(const struct partition *p, uint64_t host_tsc);
// vp->tsc_offset has another value: rewrites the reference TSC page.
void reference_tsc_changed(struct vp *vp);
uint64_t stimer_expire(struct vp *vp, uint64_t now); // fires expired timers; next deadline or ~0
void synthetic_reset(struct vp *vp);

// CR4 and EFER bits that a guest may set: those whose feature it sees.
uint64_t policy_cr4_valid(void);
uint64_t policy_efer_valid(void);
// May XCR0 have this value? A processor raises #GP otherwise, for the hypervisor as well.
bool policy_xcr0_valid(uint64_t value);

enum vp_action exit_cpuid(struct vp *vp);
enum vp_action exit_rdmsr(struct vp *vp);
enum vp_action exit_wrmsr(struct vp *vp);
enum vp_action exit_cr_access(struct vp *vp);
enum vp_action exit_xsetbv(struct vp *vp);

#endif
