// SPDX-License-Identifier: Apache-2.0
// Outcomes of the core's functions: one closed enumeration with a text, translated by each face.
//
// A face turns a core_status into its own code in one function (HCS: mgmt/hcs/result.c). The text says
// what happened, where, and what to do about it; it is shown to clients and never holds a secret.
#ifndef MGMT_CORE_STATUS_H
#define MGMT_CORE_STATUS_H

#include <gen/hv_status.h>
#include <keelson/types.h>

enum core_status {
    CORE_OK = 0,
    CORE_NOT_FOUND,       // no such system, image, operation
    CORE_EXISTS,          // the name is taken
    CORE_INVALID_STATE,   // not now: the object is in another state
    CORE_ALREADY_STOPPED, // the system has ended
    CORE_INVALID,         // an argument is wrong
    CORE_LIMIT,           // a fixed limit of the node is reached
    CORE_NO_MEMORY,       // the guest pool cannot serve the request
    CORE_NO_HEAP,         // the management heap cannot
    CORE_IN_USE,          // somebody still needs it
    CORE_MISMATCH,        // content is not what was announced (digest)
    CORE_NO_IMAGE,        // a system's image is not on the node
    CORE_BAD_IMAGE,       // an image cannot be booted
    CORE_HYPERVISOR,      // a hypercall failed: error.hv
    CORE_TERMINATED,      // ended by a client while it was going on
    CORE_UNEXPECTED_EXIT, // the guest crashed
    CORE_TIMEOUT,
    CORE_NO_STORAGE, // the state partition is full
    CORE_STORAGE,    // it cannot be read or written, or holds what it should not
    CORE_STATUS_COUNT
};

#define CORE_TEXT_MAX 256

struct core_error {
    enum core_status status;
    hv_status_t hv; // CORE_HYPERVISOR only
    char text[CORE_TEXT_MAX];
};

// Fills *error (which may be NULL) and returns `status`, so that callers can write `return core_fail(...)`.
enum core_status core_fail(struct core_error *error, enum core_status status, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
// The same for a failed hypercall: text is "WHAT: status text".
enum core_status core_fail_hv(struct core_error *error, hv_status_t hv, const char *what);
// Short name of a status for logs, such as "not-found". Never NULL.
const char *core_status_name(enum core_status status);

#endif
