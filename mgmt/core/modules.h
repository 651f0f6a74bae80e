// SPDX-License-Identifier: Apache-2.0
// What a kernel is given beside itself, as one text (HCS: InitRdPath).
//
//   NAME[ ARGUMENTS][,NAME[ ARGUMENTS]]...     ",," in the arguments stands for a comma
//
// The names are those of images. Linux takes one, without arguments: its initrd. Multiboot and PVH kernels take up to
// KERNEL_MAX_MODULES, in this order.
#ifndef MGMT_CORE_MODULES_H
#define MGMT_CORE_MODULES_H

#include "mgmt/core/status.h"
#include "mgmt/devices/kernel_loader.h"

#define MODULES_TEXT_MAX 4095

struct module_list {
    char *text; // which the names and arguments lie in
    struct {
        const char *name, *arguments; // "" without arguments
    } module[KERNEL_MAX_MODULES];
    unsigned count;
};

// `list` may be NULL or empty: no modules. On failure there is nothing to free.
enum core_status module_list_read(const char *list, struct module_list *out, struct core_error *error);
// Also right for a zeroed list.
void module_list_free(struct module_list *list);

#endif
