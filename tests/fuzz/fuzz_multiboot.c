// srcs: mgmt/devices/kernel_loader.c mgmt/devices/kernel_parts.c mgmt/devices/kernel_place.c mgmt/devices/linux_loader.c mgmt/devices/bzimage.c mgmt/devices/elf_kernel.c mgmt/devices/multiboot.c mgmt/devices/pvh.c mgmt/devices/acpi_tables.c mgmt/devices/guest_mem.c
// SPDX-License-Identifier: Apache-2.0
// Multiboot kernels: the first four bytes say where a header's magic and checksum are put in order, so that the
// fuzzer need not guess them.
#include "tests/fuzz/kernel_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mend_header(uint8_t *file, size_t size, uint32_t place)
{
    uint32_t header[3], at = place % 8192 & ~3u;

    if (at + sizeof(header) > size) {
        return;
    }
    memcpy(header, file + at, sizeof(header));
    header[0] = 0x1BADB002;
    header[2] = -(header[0] + header[1]);
    memcpy(file + at, header, sizeof(header));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t place;
    uint8_t *file;

    if (size < sizeof(place)) {
        return 0;
    }
    memcpy(&place, data, sizeof(place));
    size -= sizeof(place);
    file = malloc(size + 1);
    memcpy(file, data + sizeof(place), size);
    mend_header(file, size, place);
    load_kernel(file, size, place % 3);
    free(file);
    return 0;
}
