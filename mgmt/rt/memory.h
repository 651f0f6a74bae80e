// SPDX-License-Identifier: Apache-2.0
// Division of the machine's memory at boot: newlib's heap, fixed in size, and the guest pool.
//
// plat_pool_*() and plat_heap_usage() of mgmt/plat.h are implemented here. Control plane only.
#ifndef MGMT_RT_MEMORY_H
#define MGMT_RT_MEMORY_H

#include <keelson/abi.h>

// Heap for a machine with this much memory in the pool: 64 MiB or a sixteenth, whichever is more; on a
// small machine at most a quarter and at most the longest run. In chunks of 2 MiB.
size_t memory_heap_chunks(size_t pool_chunks, size_t largest_run);

// Needs neither heap nor log. False: not enough memory to work with.
MUST_CHECK bool memory_init(const struct mgmt_boot_info *info);

#endif
