// SPDX-License-Identifier: Apache-2.0
// Memory type range registers: every processor must have the boot processor's.
//
// SDM 3A "MTRR Considerations in MP Systems". Firmware normally programs all processors alike; a
// processor whose registers differ (INIT does not touch them, some firmware forgets) would see the same
// memory with another cache type, so they are compared and copied when needed.
#include "arch/x86/host_internal.h"

#define MAX_VARIABLE 32
#define CPUID_MTRR BIT(12) // 1 EDX
#define MTRRCAP_COUNT 0xff
#define MTRRCAP_FIXED BIT(8)
#define DEF_TYPE_ENABLE BIT(11)
#define FIXED_COUNT 11

static const uint16_t fixed_msrs[FIXED_COUNT] = {
    MSR_MTRR_FIX64K,    MSR_MTRR_FIX16K,    MSR_MTRR_FIX16K + 1, MSR_MTRR_FIX4K,
    MSR_MTRR_FIX4K + 1, MSR_MTRR_FIX4K + 2, MSR_MTRR_FIX4K + 3,  MSR_MTRR_FIX4K + 4,
    MSR_MTRR_FIX4K + 5, MSR_MTRR_FIX4K + 6, MSR_MTRR_FIX4K + 7,
};

struct mtrr_state {
    uint64_t def_type, fixed[FIXED_COUNT], variable[2 * MAX_VARIABLE];
};

static unsigned fixed_count, variable_count; // of MSRs
static struct mtrr_state boot_state;

static void read_state(struct mtrr_state *s)
{
    s->def_type = rdmsr(MSR_MTRR_DEF_TYPE);
    for (unsigned i = 0; i < fixed_count; i++) {
        s->fixed[i] = rdmsr(fixed_msrs[i]);
    }
    for (unsigned i = 0; i < variable_count; i++) {
        s->variable[i] = rdmsr(MSR_MTRR_PHYSBASE0 + i);
    }
}

void mtrr_record(void)
{
    if ((cpuid(1, 0).edx & CPUID_MTRR) == 0) {
        return;
    }
    uint64_t cap = rdmsr(MSR_MTRRCAP);
    fixed_count = cap & MTRRCAP_FIXED ? FIXED_COUNT : 0;
    variable_count = 2 * MIN((unsigned)(cap & MTRRCAP_COUNT), (unsigned)MAX_VARIABLE);
    read_state(&boot_state);
    if ((boot_state.def_type & DEF_TYPE_ENABLE) == 0) {
        LOGW("MTRRs are off: device memory mapped write-back by the firmware's default");
    }
}

static bool same(const struct mtrr_state *a, const struct mtrr_state *b)
{
    bool equal = a->def_type == b->def_type;

    for (unsigned i = 0; i < fixed_count; i++) {
        equal &= a->fixed[i] == b->fixed[i];
    }
    for (unsigned i = 0; i < variable_count; i++) {
        equal &= a->variable[i] == b->variable[i];
    }
    return equal;
}

static void flush_tlb(void)
{
    write_cr4(read_cr4() ^ CR4_PGE);
    write_cr4(read_cr4() ^ CR4_PGE);
}

// The sequence of SDM 3A "MTRR Maintenance Programming Interface" (MemTypeSet), interrupts off.
static void write_state(const struct mtrr_state *s)
{
    write_cr0((read_cr0() | CR0_CD) & ~CR0_NW);
    wbinvd();
    flush_tlb();
    wrmsr(MSR_MTRR_DEF_TYPE, s->def_type & ~DEF_TYPE_ENABLE);
    for (unsigned i = 0; i < fixed_count; i++) {
        wrmsr(fixed_msrs[i], s->fixed[i]);
    }
    for (unsigned i = 0; i < variable_count; i++) {
        wrmsr(MSR_MTRR_PHYSBASE0 + i, s->variable[i]);
    }
    wrmsr(MSR_MTRR_DEF_TYPE, s->def_type);
    wbinvd();
    flush_tlb();
}

void mtrr_synchronise(void)
{
    struct mtrr_state mine;

    if (variable_count != 0) {
        read_state(&mine);
        if (!same(&mine, &boot_state)) {
            LOGI("cpu %u: memory type registers copied from the boot processor", this_cpu()->index);
            write_state(&boot_state);
        }
    }
    write_cr0(read_cr0() & ~(CR0_CD | CR0_NW));
}
