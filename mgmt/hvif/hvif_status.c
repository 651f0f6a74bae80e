// SPDX-License-Identifier: Apache-2.0
// Texts of hypercall statuses.
#include "mgmt/hvif/hvif.h"

const char *hvif_status_text(hv_status_t status)
{
#define TEXT(name, code, text)                                                                               \
    case HV_STATUS_##name:                                                                                   \
        return text;
    switch (status) {
        HV_STATUS_TABLE(TEXT)
    }
#undef TEXT
    return "unknown status";
}
