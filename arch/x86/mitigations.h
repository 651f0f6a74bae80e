// SPDX-License-Identifier: Apache-2.0
// Processor vulnerabilities: decided once at boot from what the processor says about itself.
//
// What costs something at every entry is a bit of mitigations_at_entry, tested by the back ends' entry code;
// what is due when a processor turns to another partition is mitigations_switch().
#ifndef ARCH_MITIGATIONS_H
#define ARCH_MITIGATIONS_H

#define MITIGATE_VERW 1      // MDS and relatives: clear buffers (SDM 3C; Intel guidance "MD_CLEAR")
#define MITIGATE_L1D_FLUSH 2 // L1 terminal fault

#ifndef __ASSEMBLER__
#include "arch/x86/host_internal.h"
#include "arch/x86/virt.h"

void mitigations_init(void);     // boot processor: decide and log
void mitigations_init_cpu(void); // every processor

extern bool mitigations_ibpb; // between partitions
SELDOM void mitigations_barrier(void);
// From the VP load of a back end: barrier if the last VP loaded here was another partition's.
static inline void mitigations_switch(struct arch_cpu *arch, const struct partition *next)
{
    if (arch->last_partition == next) {
        return;
    }
    arch->last_partition = next;
    if (mitigations_ibpb) {
        mitigations_barrier();
    }
}

extern uint8_t mitigations_at_entry;
void mitigations_flush_l1d(void); // from entry code when MITIGATE_L1D_FLUSH is set
#endif

#endif
