// SPDX-License-Identifier: Apache-2.0
// Long work: each request that cannot be answered at once is an operation with progress and a result.
//
//   operation_create() ── PENDING ──operation_finish()──► DONE ──operation_close() or retention──► freed
//
// The face that starts work creates the operation; the core's work reports progress and finishes it. A
// finished operation stays readable until it is closed, or until RETENTION or the table's size pushes it
// out (oldest first, never one that somebody waits for).
#ifndef MGMT_CORE_OPERATION_H
#define MGMT_CORE_OPERATION_H

#include "mgmt/core/notify.h"
#include "mgmt/core/status.h"

#define OPERATION_SUBJECT_MAX 128

enum operation_type { // values of HCS_OPERATION_TYPE
    OPERATION_ENUMERATE = 0,
    OPERATION_CREATE = 1,
    OPERATION_START = 2,
    OPERATION_SHUTDOWN = 3,
    OPERATION_PAUSE = 4,
    OPERATION_RESUME = 5,
    OPERATION_SAVE = 6,
    OPERATION_TERMINATE = 7,
    OPERATION_MODIFY = 8,
    OPERATION_GET_PROPERTIES = 9,
    OPERATION_CRASH = 15,
};

enum operation_state { OPERATION_PENDING, OPERATION_DONE };

struct operation {
    struct operation *next;
    uint64_t id; // from 1, never reused
    enum operation_type type;
    enum operation_state state;
    uint8_t percent;                         // 0..100
    bool closed;                             // nobody will ask again: free when done
    char subject[OPERATION_SUBJECT_MAX + 1]; // id of the system it works on
    struct core_error error;                 // DONE: the outcome
    int64_t created_ms, finished_ms;         // wall clock
    uint64_t finished_ns;                    // monotonic, for retention
    struct notify_list waiters;              // raised when done
};

// NULL when too many operations are pending or the heap is full.
struct operation *operation_create(enum operation_type type, const char *subject);
struct operation *operation_find(uint64_t id);
struct operation *operation_first(void); // newest first, then ->next
void operation_progress(struct operation *op, unsigned percent);
// Ends it with *error (NULL: success). The pointer is invalid afterwards if the operation was closed.
// `op` may be NULL: work that nobody tracks.
void operation_finish(struct operation *op, const struct core_error *error);
// The client is done with it (HcsCloseOperation): freed now, or when it finishes.
void operation_close(struct operation *op);
const char *operation_type_name(enum operation_type type);

#endif
