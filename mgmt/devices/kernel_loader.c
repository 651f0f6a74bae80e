// SPDX-License-Identifier: Apache-2.0
// Which protocol a kernel is booted by, and the copying that all share.
#include "mgmt/devices/kernel_loader.h"

#include <stdio.h>

#include "mgmt/devices/bzimage.h"
#include "mgmt/devices/elf_kernel.h"
#include "mgmt/devices/kernel_parts.h"
#include "mgmt/devices/linux_loader.h"
#include "mgmt/devices/multiboot.h"
#include "mgmt/devices/pvh.h"

static enum kernel_kind kernel_kind(const struct image_reader *file)
{
    if (bzimage_is(file)) {
        return KERNEL_LINUX;
    }
    if (multiboot_is(file)) {
        return KERNEL_MULTIBOOT;
    }
    return elf_kernel_is(file) ? KERNEL_PVH : KERNEL_NONE;
}

static bool refuse_unknown(const struct image_reader *file, char *error, size_t error_size)
{
    static const uint8_t gzip[] = {0x1f, 0x8b}, xz[] = {0xfd, '7', 'z', 'X', 'Z', 0};
    uint8_t magic[sizeof(xz)] = {0};

    if (file->size == 0) {
        return kernel_refuse(error, error_size, "not a kernel: the file is empty");
    }
    if (!image_read_exact(file, 0, magic, MIN((uint64_t)sizeof(magic), file->size))) {
        return kernel_refuse(error, error_size, "kernel file cannot be read");
    }
    if (__builtin_memcmp(magic, gzip, sizeof(gzip)) == 0 || __builtin_memcmp(magic, xz, sizeof(xz)) == 0) {
        return kernel_refuse(error, error_size, "the file is compressed (gzip or xz): upload what is in it");
    }
    return kernel_refuse(
        error, error_size,
        "not a kernel: no Linux bzImage (\"HdrS\"), no Multiboot 1 header in the first 8 KiB, "
        "no ELF file");
}

static bool linux_check(const struct image_reader *file, char *error, size_t error_size)
{
    struct bzimage image;

    return bzimage_read(file, &image, error, error_size);
}

bool kernel_image_check(const struct image_reader *kernel, char *error, size_t error_size)
{
    switch (kernel_kind(kernel)) {
    case KERNEL_LINUX:
        return linux_check(kernel, error, error_size);
    case KERNEL_MULTIBOOT:
        return multiboot_check(kernel, error, error_size);
    case KERNEL_PVH:
        return pvh_check(kernel, error, error_size);
    case KERNEL_NONE:
        break;
    }
    return refuse_unknown(kernel, error, error_size);
}

static bool check_machine(struct kernel_load *load)
{
    const struct kernel_boot *boot = load->boot;

    if (boot->mem.low > MACHINE_RAM_LOW_MAX || boot->mem.low < KERNEL_HIGH_START ||
        boot->machine.vp_count == 0 || boot->machine.vp_count > MACHINE_MAX_VPS ||
        boot->module_count > KERNEL_MAX_MODULES) {
        return kernel_fail(load, "guest memory, processor or module count is out of range");
    }
    return true;
}

static bool check_texts(struct kernel_load *load)
{
    const struct kernel_boot *boot = load->boot;
    size_t modules = 0;

    for (uint32_t i = 0; i < boot->module_count; i++) {
        modules += kernel_text_length(boot->module[i].name) + kernel_text_length(boot->module[i].text) + 2;
    }
    if (kernel_text_length(boot->cmdline) > KERNEL_MAX_CMDLINE || modules > KERNEL_MAX_CMDLINE) {
        return kernel_fail(load, "the kernel's command line or those of its modules are longer than %u bytes",
                           KERNEL_MAX_CMDLINE);
    }
    return true;
}

bool kernel_load_begin(struct kernel_load *load, const struct kernel_boot *boot)
{
    *load = (struct kernel_load){.boot = boot, .kind = kernel_kind(&boot->kernel)};
    if (!check_machine(load) || !check_texts(load)) {
        return false;
    }
    switch (load->kind) {
    case KERNEL_LINUX:
        return linux_load_begin(load);
    case KERNEL_MULTIBOOT:
        return multiboot_load_begin(load);
    case KERNEL_PVH:
        return pvh_load_begin(load);
    case KERNEL_NONE:
        break;
    }
    return refuse_unknown(&boot->kernel, load->error, sizeof(load->error));
}

static bool copy_slice(struct kernel_load *load, struct load_copy *copy, size_t length)
{
    uint8_t *to = guest_mem_at(&load->boot->mem, GPA(copy->gpa), length);

    if (to == NULL || copy->from->read(copy->from->ctx, copy->offset, to, length) != length) {
        return kernel_fail(load, "image cannot be read at offset %llu", (unsigned long long)copy->offset);
    }
    copy->offset += length;
    copy->gpa += length;
    copy->left -= length;
    load->bytes_done += length;
    return true;
}

enum load_status kernel_load_step(struct kernel_load *load, size_t budget)
{
    for (uint32_t i = 0; i < load->copy_count && budget > 0; i++) {
        size_t length = (size_t)MIN((uint64_t)budget, load->copy[i].left);

        if (length > 0 && !copy_slice(load, &load->copy[i], length)) {
            return LOAD_FAILED;
        }
        budget -= length;
    }
    return load->bytes_done == load->bytes_total ? LOAD_DONE : LOAD_MORE;
}
