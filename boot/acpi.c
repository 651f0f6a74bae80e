// SPDX-License-Identifier: Apache-2.0
// ACPI table look-up through RSDP and XSDT or RSDT (ACPI "Root System Description Pointer").
#include "boot/acpi.h"

#include "boot/mem.h"
#include <stddef.h>

#define RSDP_V1_BYTES 20
#define RSDP_V2_BYTES 36
#define HEADER_BYTES 36
#define TABLE_MAX (1u << 20) // larger ones than we read, and a sign of garbage

static uint32_t read32(const uint8_t *at)
{
    uint32_t value;
    mem_copy(&value, at, sizeof(value));
    return value;
}

static uint64_t read64(const uint8_t *at)
{
    uint64_t value;
    mem_copy(&value, at, sizeof(value));
    return value;
}

static bool sums_to_zero(const uint8_t *bytes, uint32_t size)
{
    uint8_t sum = 0;
    for (uint32_t i = 0; i < size; i++) {
        sum += bytes[i];
    }
    return sum == 0;
}

bool acpi_rsdp_valid(uint64_t rsdp)
{
    const uint8_t *bytes = (const uint8_t *)rsdp;
    if (bytes == NULL || mem_compare(bytes, "RSD PTR ", 8) != 0 || !sums_to_zero(bytes, RSDP_V1_BYTES)) {
        return false;
    }
    return bytes[15] < 2 || sums_to_zero(bytes, RSDP_V2_BYTES);
}

static const uint8_t *table_at(uint64_t address, const char *signature, uint32_t *length)
{
    const uint8_t *table = (const uint8_t *)address;
    if (table == NULL || mem_compare(table, signature, 4) != 0) {
        return NULL;
    }
    *length = read32(table + 4);
    if (*length < HEADER_BYTES || *length > TABLE_MAX || !sums_to_zero(table, *length)) {
        return NULL;
    }
    return table;
}

const uint8_t *acpi_find_table(uint64_t rsdp, const char *signature, uint32_t *length)
{
    const uint8_t *pointer = (const uint8_t *)rsdp;
    if (!acpi_rsdp_valid(rsdp)) {
        return NULL;
    }
    bool wide = pointer[15] >= 2 && read64(pointer + 24) != 0;
    uint32_t root_length;
    const uint8_t *root = wide ? table_at(read64(pointer + 24), "XSDT", &root_length)
                               : table_at(read32(pointer + 16), "RSDT", &root_length);
    uint32_t step = wide ? 8 : 4;
    for (uint32_t at = HEADER_BYTES; root != NULL && at + step <= root_length; at += step) {
        uint64_t address = wide ? read64(root + at) : read32(root + at);
        const uint8_t *table = table_at(address, signature, length);
        if (table != NULL) {
            return table;
        }
    }
    return NULL;
}
