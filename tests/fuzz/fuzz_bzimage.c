// srcs: mgmt/devices/linux_loader.c mgmt/devices/bzimage.c mgmt/devices/acpi_tables.c mgmt/devices/guest_mem.c
// SPDX-License-Identifier: Apache-2.0
// Kernel files from strangers: whatever the header says, nothing is read or written outside file and guest.
#include <stdlib.h>
#include <string.h>

#include "mgmt/devices/linux_loader.h"

#define RAM (32ull << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
};

static size_t read_input(void *ctx, uint64_t offset, void *buf, size_t length)
{
    const struct input *in = ctx;

    if (offset > in->size || length > in->size - offset) {
        abort(); // the loader asked for what is not there
    }
    memcpy(buf, in->data + offset, length);
    return length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *ram;
    static struct linux_load load;
    struct input in = {data, size};
    struct linux_boot boot = {
        .machine = {.vp_count = 1, .com = {true, true}},
        .kernel = {.read = read_input, .ctx = &in, .size = size},
        .initrd = {.read = read_input, .ctx = &in, .size = size / 2},
        .cmdline = "console=ttyS0",
    };
    enum load_status status;

    if (ram == NULL) {
        ram = aligned_alloc(4096, RAM); // exactly as large: sanitizers see the first byte beyond
    }
    boot.mem = (struct guest_mem){.ram = ram, .low = RAM};
    if (!linux_load_begin(&load, &boot)) {
        if (load.error[0] == '\0') {
            abort(); // a refusal without a reason
        }
        return 0;
    }
    do {
        status = linux_load_step(&load, 65536);
    } while (status == LOAD_MORE);
    if (status != LOAD_DONE) {
        abort();
    }
    return 0;
}
