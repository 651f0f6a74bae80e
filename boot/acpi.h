// SPDX-License-Identifier: Apache-2.0
// Finds an ACPI table by its signature, trusting nothing that the tables say about themselves.
#ifndef KEELSON_BOOT_ACPI_H
#define KEELSON_BOOT_ACPI_H

#include <stdbool.h>
#include <stdint.h>

// Whether `rsdp` is the address of a valid Root System Description Pointer.
bool acpi_rsdp_valid(uint64_t rsdp);

// Returns the first table with this 4-character signature and a good checksum, and its length; NULL when
// there is none or rsdp is 0.
const uint8_t *acpi_find_table(uint64_t rsdp, const char *signature, uint32_t *length);

#endif
