// SPDX-License-Identifier: Apache-2.0
// A simulated hypervisor behind mgmt/hvif/hvif.h: partitions, pools and mappings with their rules, no execution.
//
// It keeps the promises of the real one (states, statuses, page ownership: TLFS "Virtualization Host" and
// the hypercalls' pages) and abort()s where a caller would corrupt memory: a deposited page is made
// inaccessible to the process until it is withdrawn. Failures can be planted in any call.
#ifndef TESTS_SIM_HVIF_SIM_H
#define TESTS_SIM_HVIF_SIM_H

#include "mgmt/hvif/hvif.h"

struct sim_hv_usage {
    size_t partitions;
    size_t deposited; // pages, in all pools, own pool included
    size_t mapped;    // 2 MiB chunks mapped into children
    size_t vps;
    size_t state_pages;
};

void sim_hv_usage(struct sim_hv_usage *out);
uint64_t sim_hv_calls(void); // hypercalls so far

// Call number sim_hv_calls() + n from now (n = 1: the next one) fails with `status` and does nothing;
// `times` consecutive calls do. n = 0 takes the plan back.
void sim_hv_fail(uint64_t n, hv_status_t status, uint64_t times);
// Only calls of this name count and fail, such as "finalize_partition"; NULL: all.
void sim_hv_fail_only(const char *name);
// Pages a partition object, an initialization, a VP and each 1 GiB of mapping take from pools. Defaults 2, 8, 7, 1.
void sim_hv_needs(size_t create, size_t initialize, size_t vp, size_t map);
void sim_hv_no_huge_pages(bool refuse); // 1 GiB mappings are refused

// Can the VP execute? (created, no suspend bit set, partition not suspended)
bool sim_hv_vp_runs(uint64_t partition, uint32_t vp);
bool sim_hv_register(uint64_t partition, uint32_t vp, uint32_t name, uint64_t *value); // last value set
// Root GPA behind a guest page, and the size of the mapping; false if unmapped.
bool sim_hv_lookup(uint64_t partition, gpa_t target, gpa_t *source, uint64_t *page_size);
// The serial console, plat_console_ready() included.
void sim_hv_console_type(const char *text, size_t length);
void sim_hv_console_reader(void (*fn)(const char *text, size_t length)); // NULL: standard output
void sim_hv_console_room(size_t bytes);   // hvif_console_put() takes that many more; SIZE_MAX: no limit
uint32_t sim_hv_last_system_action(void); // of hvif_system(); 0: none

#endif
