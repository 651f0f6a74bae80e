// SPDX-License-Identifier: Apache-2.0
// What the route handlers share; private to mgmt/hcs/api*.c.
#ifndef MGMT_HCS_API_PRIV_H
#define MGMT_HCS_API_PRIV_H

#include <gen/api_routes.h>

#include "mgmt/core/core.h"
#include "mgmt/hcs/document.h"
#include "mgmt/hcs/result.h"
#include "net/http.h"

#define API_WAIT_MAX_MS 60000u
#define API_DOCUMENT_MAX JSON_TEXT_MAX

// One handler a row of schema/api.json.
#define API_DECLARE(handler) void api_##handler(struct http_request *r);
API_HANDLERS(API_DECLARE)
#undef API_DECLARE

// Answers with the writer's text, or 500 if it failed; the writer is empty afterwards.
void api_answer(struct http_request *r, int status, struct json_writer *w);
// Answers with a ResultError document and the status that belongs to the HRESULT.
void api_fail(struct http_request *r, hresult_t hr, const char *message);
void api_fail_core(struct http_request *r, const struct core_error *error);
void api_fail_problems(struct http_request *r, const struct schema_problems *problems);
// An integer query parameter; false (and the request is answered) if it is not one or above `max`.
MUST_CHECK bool api_query_uint(struct http_request *r, const char *name, uint64_t otherwise, uint64_t max,
                               uint64_t *value);
// The system of path parameter {id}; NULL and the request answered if there is none.
struct system *api_system(struct http_request *r);

// Passes the request's document to `then`: the body if there is one, else query parameter `query`, else
// nothing (root NULL). A document that cannot be read is answered here. `then` must answer, and must not
// keep the document.
void api_with_document(struct http_request *r, enum hcs_type_id type,
                       void (*then)(struct http_request *r, const cJSON *root));
// Passes on a request whose options "must be NULL": an empty body or the document `null`.
void api_without_options(struct http_request *r, void (*then)(struct http_request *r));

// A request that waits for something: it is answered as soon as ready() is true, which is asked whenever
// the list is raised, or when the time is up. If the client goes away first, only gone() is called.
struct api_wait {
    struct http_request *request;
    bool (*ready)(const struct api_wait *wait);
    void (*answer)(const struct api_wait *wait); // answers the request; *wait is a copy
    void (*gone)(const struct api_wait *wait);   // releases `object`, after answer(); may be NULL
    void *object;                                // these two are the handler's
    uint64_t number;
    bool timed_out; // asked once, or the time is up
    struct notify_list *list;
    struct notify notify;
    struct plat_timer timer;
};
struct api_wait *api_wait_new(struct http_request *r); // NULL: answered
// Fill in the fields first. timeout_ms 0: answers at once. The request may be over when this returns.
void api_wait_start(struct api_wait *wait, struct notify_list *list, uint64_t timeout_ms);

// Parts of /metrics: requests by route; virtual processors of all systems.
struct metrics;
void api_request_metrics(struct metrics *m);
void guest_metrics(struct metrics *m);
void network_metrics(struct metrics *m);

// Writes an Operation; `pending` is the result of one that is not done.
void api_write_operation(struct json_writer *w, const char *key, const struct operation *op,
                         hresult_t pending);

#endif
