// SPDX-License-Identifier: Apache-2.0
// Decides whether the processor can run Keelson at all.
#ifndef KEELSON_BOOT_VIRT_CHECK_H
#define KEELSON_BOOT_VIRT_CHECK_H

// Returns NULL when the processor has what the hypervisor needs (VT-x with EPT and unrestricted guest, or
// AMD-V with nested paging) and the firmware has not locked it off; else a sentence that names what is
// missing and what to do about it. *engine is set to the name of what was found.
const char *virt_check(const char **engine);

#endif
