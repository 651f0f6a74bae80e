// SPDX-License-Identifier: Apache-2.0
// Multiboot 1 kernels: header, placement and boot information.
//
// Source: Multiboot Specification 0.6.96, sections 3.1 (header), 3.2 (machine state), 3.3 (boot information).
// The file is untrusted. Private to the loaders.
#ifndef MGMT_DEVICES_MULTIBOOT_H
#define MGMT_DEVICES_MULTIBOOT_H

#include "mgmt/devices/kernel_parts.h"

// True when a header is in the first 8 KiB.
bool multiboot_is(const struct image_reader *file);
MUST_CHECK bool multiboot_check(const struct image_reader *file, char *error, size_t error_size);
// As linux_load_begin().
MUST_CHECK bool multiboot_load_begin(struct kernel_load *load);

#endif
