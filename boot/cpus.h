// SPDX-License-Identifier: Apache-2.0
// Lists the machine's processors.
#ifndef KEELSON_BOOT_CPUS_H
#define KEELSON_BOOT_CPUS_H

#include <efi.h>
#include <keelson/bootinfo.h>

// Fills info->cpus and info->cpu_count from the ACPI MADT (through info->rsdp), else from EFI MP Services,
// else with the boot processor alone. The boot processor comes first. Returns the name of the source;
// *dropped is how many processors did not fit into the table.
const CHAR16 *cpus_find(struct boot_info *info, uint32_t *dropped);

#endif
