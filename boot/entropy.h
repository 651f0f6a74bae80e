// SPDX-License-Identifier: Apache-2.0
// Gathers what makes this boot of this machine different from every other.
#ifndef KEELSON_BOOT_ENTROPY_H
#define KEELSON_BOOT_ENTROPY_H

#include <keelson/bootinfo.h>

// Fills info->entropy from EFI_RNG_PROTOCOL, RDRAND, timing jitter, network addresses, the firmware's
// clock and counters. How much of that is truly random differs from machine to machine: the receiver adds
// its own sources before it makes a key.
void entropy_gather(struct boot_info *info);

#endif
