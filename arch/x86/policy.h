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

void cpuid_policy_init(void); // boot: reads the host's leaves once, builds the table guests see
// Result for a VP; leaf and subleaf as the guest asked.
void cpuid_policy(const struct vp *vp, uint32_t leaf, uint32_t subleaf, struct cpuid_result *out);

// MSR access by a guest. False: #GP(0).
MUST_CHECK bool msr_policy_read(struct vp *vp, uint32_t msr, uint64_t *value);
MUST_CHECK bool msr_policy_write(struct vp *vp, uint32_t msr, uint64_t value);
// Synthetic MSRs 0x40000000..0x400000ff and the reference time (hv/synthetic.c).
MUST_CHECK bool synthetic_read(struct vp *vp, uint32_t msr, uint64_t *value);
MUST_CHECK bool synthetic_write(struct vp *vp, uint32_t msr, uint64_t value);
uint64_t reference_time(const struct partition *p); // 100 ns units since partition creation
uint64_t stimer_expire(struct vp *vp, uint64_t now); // fires expired timers; next deadline or ~0
void synthetic_reset(struct vp *vp);

enum vp_action exit_cpuid(struct vp *vp);
enum vp_action exit_rdmsr(struct vp *vp);
enum vp_action exit_wrmsr(struct vp *vp);
enum vp_action exit_cr_access(struct vp *vp);
enum vp_action exit_xsetbv(struct vp *vp);

#endif
