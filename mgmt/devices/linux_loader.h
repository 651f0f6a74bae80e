// SPDX-License-Identifier: Apache-2.0
// Places a Linux bzImage, its initrd, command line and ACPI tables in guest memory (control plane).
//
// Follows Linux Documentation/arch/x86/boot.rst, "The Linux/x86 Boot Protocol" and "64-bit Boot
// Protocol". Private to the loaders: kernel_loader.h has what others call.
#ifndef MGMT_DEVICES_LINUX_LOADER_H
#define MGMT_DEVICES_LINUX_LOADER_H

#include "mgmt/devices/kernel_loader.h"

// load->boot is set and its machine and memory were checked.
MUST_CHECK bool linux_load_begin(struct kernel_load *load);

#endif
