// SPDX-License-Identifier: Apache-2.0
// The hypervisor around a VP, for tests of arch/x86 and hv/synthetic.c alone: partitions with flat memory, a clock that
// the test moves, records of what was posted. Tests of hv/ itself link the real sources instead of this.
#ifndef TESTS_FAKE_HV_H
#define TESTS_FAKE_HV_H

#include "hv/vp.h"
#include "tests/unit/fake_virt.h"

#define FAKE_TSC_HZ 1000000000ull // 100 ticks are one unit of reference time

extern uint64_t fake_tsc;           // host_tsc()
extern uint32_t fake_timer_changes; // calls of vp_timers_changed()
extern int fake_eoi_vector;         // last hv_apic_eoi(), -1 none
extern uint64_t fake_arch_capabilities;
extern uint64_t fake_hardware_xcr0; // last fpu_set_xcr0()

// A partition with `vps` VPs and `memory` bytes of zeroed guest memory from GPA 0. Also resets the records above.
struct partition *fake_partition_new(unsigned vps, size_t memory);
void fake_partition_free(struct partition *p);
uint8_t *fake_memory(struct partition *p); // its guest memory

// Sets a VP up for 64-bit code at `rip` with identity page tables (2 MiB pages, 1 GiB) built at GPA `tables`
// (three pages).
void fake_long_mode(struct vp *vp, uint64_t tables, uint64_t rip);

#endif
