// SPDX-License-Identifier: Apache-2.0
// Loading a file that a fuzzer made: whatever it says, nothing is read or written outside file and guest.
#ifndef TESTS_FUZZ_KERNEL_LOAD_H
#define TESTS_FUZZ_KERNEL_LOAD_H

#include <stdlib.h>
#include <string.h>

#include "mgmt/devices/kernel_loader.h"

#define RAM (32ull << 20)

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

static void load_kernel(const uint8_t *data, size_t size, uint32_t modules)
{
    static uint8_t *ram;
    static struct kernel_load load;
    struct input in = {data, size};
    struct kernel_boot boot = {
        .machine = {.vp_count = 1, .com = {true, true}},
        .kernel = {.read = read_input, .ctx = &in, .size = size},
        .kernel_name = "kernel",
        .cmdline = "console=ttyS0",
        .module_count = modules,
    };
    enum load_status status;

    if (ram == NULL) {
        ram = aligned_alloc(4096, RAM); // exactly as large: sanitizers see the first byte beyond
    }
    boot.mem = (struct guest_mem){.ram = ram, .low = RAM};
    for (uint32_t i = 0; i < modules; i++) {
        boot.module[i] = (struct kernel_module){
            .file = {.read = read_input, .ctx = &in, .size = size / (i + 2)}, .name = "module"};
    }
    if (!kernel_load_begin(&load, &boot)) {
        if (load.error[0] == '\0') {
            abort(); // a refusal without a reason
        }
        return;
    }
    do {
        status = kernel_load_step(&load, 65536);
    } while (status == LOAD_MORE);
    if (status != LOAD_DONE) {
        abort();
    }
}

#endif
