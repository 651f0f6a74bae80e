// SPDX-License-Identifier: Apache-2.0
// Collecting the jitter of interrupts; the part of the entropy pool that may run anywhere.
#include "mgmt/rt/entropy.h"
#include "mgmt/rt/entropy_priv.h"

#include "mgmt/rt/cpu.h"

uint64_t entropy_jitter[ENTROPY_JITTER_WORDS];
static uint32_t jitter_next;

void entropy_sample(uint64_t what)
{
    uint32_t i = __atomic_fetch_add(&jitter_next, 1, __ATOMIC_RELAXED) % ENTROPY_JITTER_WORDS;
    uint64_t old = __atomic_load_n(&entropy_jitter[i], __ATOMIC_RELAXED);

    // A lost race between the planes loses one sample, no more.
    __atomic_store_n(&entropy_jitter[i], (old << 7 | old >> 57) ^ cpu_rdtsc() ^ what << 56, __ATOMIC_RELAXED);
}
