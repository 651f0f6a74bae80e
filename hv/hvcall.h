// SPDX-License-Identifier: Apache-2.0
// Handlers of all hypercalls, one a row of schema/hypercalls.json; see hv/hypercall.h for the convention.
#ifndef HV_HVCALL_H
#define HV_HVCALL_H

#include "hv/hypercall.h"

#define HVCALL_PROTOTYPE(code, name, ...) MUST_CHECK hv_status_t hvcall_##name(struct hvcall *c);
HVCALL_TABLE(HVCALL_PROTOTYPE)

#endif
