// SPDX-License-Identifier: Apache-2.0
// GPA spaces: second-level page tables of partitions, one walker for EPT and NPT.
//
// All functions need the hypervisor lock except gpa_lookup(), which a VP of the partition may use on its
// own processor: entries change atomically and tables are freed only after every processor has passed
// through gpa_flush().
#ifndef HV_GPA_H
#define HV_GPA_H

#include "hv/partition.h"

enum gpa_level { GPA_4K = 1, GPA_2M = 2, GPA_1G = 3 };

static inline uint64_t gpa_level_size(enum gpa_level level)
{
    return 1ull << (PAGE_SHIFT + 9 * ((int)level - 1));
}

struct gpa_mapping {
    spa_t spa;      // of the byte looked up
    uint32_t flags; // HV_MAP_READ ...
    uint8_t level;  // enum gpa_level
};

MUST_CHECK bool gpa_space_init(struct partition *p);
// Frees all tables into the pool and drops the map counts of a child's pages. Nothing may run in it; the
// caller flushes.
void gpa_space_fini(struct partition *p);

// Maps one page of `level` size. Fails with INSUFFICIENT_MEMORY when a table is needed and the pool is
// empty; nothing has changed then. An existing mapping of the same size is replaced.
MUST_CHECK hv_status_t gpa_map(struct partition *p, gpa_t gpa, spa_t spa, enum gpa_level level,
                               uint32_t flags);
// Removes one page of `level` size, splitting a larger one. *old is what was there (flags 0: nothing).
MUST_CHECK hv_status_t gpa_unmap(struct partition *p, gpa_t gpa, enum gpa_level level,
                                 struct gpa_mapping *old);
// Joins 512 equal neighbours around gpa back into a larger page where possible, at both levels.
void gpa_merge(struct partition *p, gpa_t gpa);
MUST_CHECK bool gpa_lookup(const struct partition *p, gpa_t gpa, struct gpa_mapping *out);

// Makes every processor forget the partition's translations; returns when all have.
void gpa_flush(struct partition *p);

#endif
