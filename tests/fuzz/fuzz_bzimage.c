// srcs: mgmt/devices/kernel_loader.c mgmt/devices/kernel_parts.c mgmt/devices/kernel_place.c mgmt/devices/linux_loader.c mgmt/devices/bzimage.c mgmt/devices/elf_kernel.c mgmt/devices/multiboot.c mgmt/devices/pvh.c mgmt/devices/acpi_tables.c mgmt/devices/guest_mem.c
// SPDX-License-Identifier: Apache-2.0
// Kernel files from strangers, of whatever kind their first bytes say.
#include "tests/fuzz/kernel_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    load_kernel(data, size, 1);
    return 0;
}
