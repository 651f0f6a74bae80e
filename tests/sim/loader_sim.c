// SPDX-License-Identifier: Apache-2.0
// A loader that takes any file beginning with "KERNEL", so that tests of the core need no real kernel.
#include <stdio.h>
#include <string.h>

#include "mgmt/devices/kernel_loader.h"

bool kernel_image_check(const struct image_reader *kernel, char *error, size_t error_size)
{
    char magic[6];

    if (kernel->size < sizeof magic || kernel->read(kernel->ctx, 0, magic, sizeof magic) != sizeof magic ||
        memcmp(magic, "KERNEL", sizeof magic) != 0) {
        snprintf(error, error_size, "not a kernel");
        return false;
    }
    return true;
}

bool kernel_load_begin(struct kernel_load *load, const struct kernel_boot *boot)
{
    load->boot = boot;
    load->bytes_total = boot->kernel.size + (boot->module_count > 0 ? boot->module[0].file.size : 0);
    if (load->bytes_total > boot->mem.low) {
        snprintf(load->error, sizeof load->error, "the guest's memory is too small for kernel and initrd");
        return false;
    }
    for (uint64_t i = 0; i < boot->mem.low; i += 4096) { // memory must arrive zeroed
        if (boot->mem.ram[i] != 0) {
            snprintf(load->error, sizeof load->error, "guest memory is not zero at 0x%llx",
                     (unsigned long long)i);
            return false;
        }
    }
    return true;
}

enum load_status kernel_load_step(struct kernel_load *load, size_t budget)
{
    const struct image_reader *kernel = &load->boot->kernel;
    size_t n = MIN(budget, kernel->size - load->bytes_done);

    if (kernel->read(kernel->ctx, load->bytes_done, load->boot->mem.ram + load->bytes_done, n) != n) {
        snprintf(load->error, sizeof load->error, "kernel cannot be read");
        return LOAD_FAILED;
    }
    load->bytes_done += n;
    if (load->bytes_done < kernel->size) {
        return LOAD_MORE;
    }
    load->entry.regs[0] = (struct hv_register_assoc){.name = HV_REG_RIP, .value.u64 = 0x1000000};
    load->entry.reg_count = 1;
    return LOAD_DONE;
}
