// SPDX-License-Identifier: Apache-2.0
// Filling of core errors.
#include "mgmt/core/status.h"

#include <stdarg.h>
#include <stdio.h>

#include "mgmt/hvif/hvif.h"

static const char *const names[CORE_STATUS_COUNT] = {
    [CORE_OK] = "ok",
    [CORE_NOT_FOUND] = "not-found",
    [CORE_EXISTS] = "exists",
    [CORE_INVALID_STATE] = "invalid-state",
    [CORE_ALREADY_STOPPED] = "already-stopped",
    [CORE_INVALID] = "invalid",
    [CORE_LIMIT] = "limit",
    [CORE_NO_MEMORY] = "no-memory",
    [CORE_NO_HEAP] = "no-heap",
    [CORE_IN_USE] = "in-use",
    [CORE_MISMATCH] = "mismatch",
    [CORE_NO_IMAGE] = "no-image",
    [CORE_BAD_IMAGE] = "bad-image",
    [CORE_HYPERVISOR] = "hypervisor",
    [CORE_TERMINATED] = "terminated",
    [CORE_UNEXPECTED_EXIT] = "unexpected-exit",
    [CORE_TIMEOUT] = "timeout",
    [CORE_NO_STORAGE] = "no-storage",
    [CORE_STORAGE] = "storage",
};

const char *core_status_name(enum core_status status)
{
    return (unsigned)status < CORE_STATUS_COUNT ? names[status] : "unknown";
}

enum core_status core_fail(struct core_error *error, enum core_status status, const char *fmt, ...)
{
    va_list ap;

    if (error != NULL) {
        error->status = status;
        error->hv = HV_STATUS_SUCCESS;
        va_start(ap, fmt);
        vsnprintf(error->text, sizeof error->text, fmt, ap);
        va_end(ap);
    }
    return status;
}

enum core_status core_fail_hv(struct core_error *error, hv_status_t hv, const char *what)
{
    core_fail(error, CORE_HYPERVISOR, "%s: %s (status 0x%04x)", what, hvif_status_text(hv), (unsigned)hv);
    if (error != NULL) {
        error->hv = hv;
    }
    return CORE_HYPERVISOR;
}
