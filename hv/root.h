// SPDX-License-Identifier: Apache-2.0
// The root partition: the management partition's GPA space, page tables and VPs, made at boot.
#ifndef HV_ROOT_H
#define HV_ROOT_H

#include "hv/vp.h"

// Builds the root partition from the boot information: identity GPA space without the hypervisor's memory,
// first page tables, hypercall page, two VPs ready to run. Panics if that is impossible.
void root_create(const struct boot_info *info);

// The root partition touched a page that is not RAM: maps it uncached. False if it may not have it.
MUST_CHECK bool root_map_device(struct vp *vp, gpa_t page);

#endif
