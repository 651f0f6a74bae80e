// SPDX-License-Identifier: Apache-2.0
// The node's entropy pool (docs/architecture.md "Entropy").
//
// No single source is trusted: the loader's seed (EFI_RNG_PROTOCOL and timer jitter), RDRAND where the
// processor has it, the low TSC bits of interrupts, MAC addresses and clocks all go through SHA-256 into one
// pool, and a HMAC_DRBG seeded from the pool answers plat_random(). Under some emulators RDRAND gives
// the same stream to every machine started in the same second, hence the mixture.
#ifndef MGMT_RT_ENTROPY_H
#define MGMT_RT_ENTROPY_H

#include <keelson/abi.h>

// Seeds from what is known at boot. Control plane; plat_random() works after it.
void entropy_init(const struct mgmt_boot_info *info);

// Mixes the time of an event into the jitter words, which go into the pool at the next seeding. Both
// planes, interrupt handlers too.
void entropy_sample(uint64_t what);

#endif
