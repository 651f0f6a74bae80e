// SPDX-License-Identifier: Apache-2.0
// PVH kernels: an ELF file whose note says where to enter it in 32-bit mode.
//
// Sources: Xen docs/misc/pvh.pandoc (machine state), xen/include/public/arch-x86/hvm/start_info.h (version 1).
// The file is untrusted. Private to the loaders.
#ifndef MGMT_DEVICES_PVH_H
#define MGMT_DEVICES_PVH_H

#include "mgmt/devices/kernel_parts.h"

MUST_CHECK bool pvh_check(const struct image_reader *file, char *error, size_t error_size);
// As linux_load_begin().
MUST_CHECK bool pvh_load_begin(struct kernel_load *load);

#endif
