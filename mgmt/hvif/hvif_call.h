// SPDX-License-Identifier: Apache-2.0
// What hvif_call.c has beyond hvif.h, for mgmt/rt/ alone: set-up, and log lines.
#ifndef MGMT_HVIF_CALL_H
#define MGMT_HVIF_CALL_H

#include <keelson/types.h>

// Address of the hypercall page (struct mgmt_boot_info). Before any other call.
void hvif_call_init(uint64_t hypercall_page);

// One line for the node's log, without newline; levels as in mgmt/plat.h. At most HV_X_CONSOLE_MAX bytes.
void hvif_call_log(uint32_t level, const char *line, size_t length);

#endif
