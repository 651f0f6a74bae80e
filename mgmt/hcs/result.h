// SPDX-License-Identifier: Apache-2.0
// HRESULTs: names, texts, HTTP statuses, and what the core's outcomes are called here.
#ifndef MGMT_HCS_RESULT_H
#define MGMT_HCS_RESULT_H

#include <gen/hresult.h>

#include "mgmt/core/operation.h"
#include "mgmt/hcs/json_write.h"

const char *hresult_name(hresult_t hr); // "E_FAIL" for one that is not in the table
const char *hresult_text(hresult_t hr);
int hresult_http_status(hresult_t hr);
hresult_t hresult_of(enum core_status status);
// Result of an operation as its owner sees it: a start that was cut off has its own code.
hresult_t hresult_of_operation(const struct operation *op);

#define RESULT_DATA_MAX 4
struct result_event { // one ErrorEvent
    char message[512];
    const char *data[RESULT_DATA_MAX]; // String values, in order; NULL ends them
};

// Writes a ResultError document (HCS schema) as the value of `key`: Error, ErrorMessage, ErrorEvents; and
// ErrorName, which is ours. `events` may be NULL.
void result_error_write(struct json_writer *w, const char *key, hresult_t hr, const char *message,
                        const struct result_event *events, size_t event_count);

#endif
