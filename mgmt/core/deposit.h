// SPDX-License-Identifier: Apache-2.0
// 4 KiB pages to deposit with the hypervisor, carved from 2 MiB chunks of the guest pool.
//
// A deposited page leaves this partition's GPA space until it is withdrawn, so deposits are kept together
// in a few chunks instead of breaking up many large mappings. The arena hands out pages from its fullest
// chunk, and a chunk whose pages have all come back returns to the pool.
//
//   pool --plat_pool_alloc--> chunk --deposit_take--> page --hvif_deposit--> hypervisor
//   pool <--plat_pool_free--- chunk <--deposit_give-- page <--hvif_withdraw-- hypervisor
#ifndef MGMT_CORE_DEPOSIT_H
#define MGMT_CORE_DEPOSIT_H

#include <keelson/abi.h>

// Gives up to `count` pages of the arena to the pool of `partition` (HV_PARTITION_ID_SELF: this one's).
// *done says how many the hypervisor took. HV_STATUS_NO_RESOURCES when the guest pool is empty; else the
// status of the hypercall. Pages that were not taken are back in the arena.
MUST_CHECK hv_status_t deposit_pages(uint64_t partition, size_t count, size_t *done);

// Withdraws up to `count` unused pages of `partition` into the arena. HV_STATUS_NO_RESOURCES with *done 0
// when its pool is empty.
MUST_CHECK hv_status_t deposit_withdraw(uint64_t partition, size_t count, size_t *done);

// Takes back what this partition's own pool no longer needs (it feeds HvCallCreatePartition).
void deposit_reclaim_own(void);

// Pages that are now with the hypervisor, and chunks that the arena holds.
void deposit_usage(uint64_t *pages_out, uint64_t *chunks);

#endif
