// SPDX-License-Identifier: Apache-2.0
// Operations over HTTP: HcsGetOperationResult, HcsWaitForOperationResult, HcsCloseOperation.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/hcs/api_priv.h"

void api_write_operation(struct json_writer *w, const char *key, const struct operation *op,
                         hresult_t pending)
{
    bool done = op->state == OPERATION_DONE;
    hresult_t hr = done ? hresult_of_operation(op) : pending;
    struct system *s = system_find(op->subject);

    json_open(w, key, '{');
    json_uint(w, "Id", op->id);
    json_string(w, "Type", operation_type_name(op->type));
    json_int(w, "TypeId", op->type);
    json_string(w, "SystemId", op->subject);
    json_string(w, "State", done ? "Completed" : "Pending");
    json_uint(w, "Percent", done || s == NULL ? op->percent : system_progress(s));
    json_int(w, "Result", (int32_t)hr);
    json_string(w, "ResultName", hresult_name(hr));
    if (done && hr != HR_S_OK) {
        result_error_write(w, "ResultDocument", hr, op->error.text, NULL, 0);
    } else {
        json_null(w, "ResultDocument");
    }
    json_time(w, "Created", op->created_ms);
    json_time(w, "Completed", op->finished_ms);
    json_close(w, '}');
}

static struct operation *operation_of(struct http_request *r)
{
    const char *text = http_param(r, "id");
    char *end;
    uint64_t id = strtoull(text, &end, 10);
    struct operation *op = *end == '\0' && strlen(text) < 20 ? operation_find(id) : NULL;
    char message[96];

    if (op == NULL) {
        snprintf(message, sizeof message, "there is no operation '%.20s' (any more)", text);
        api_fail(r, HR_E_NOT_FOUND, message);
    }
    return op;
}

void api_operation_list(struct http_request *r)
{
    struct json_writer w = {0};

    json_open(&w, NULL, '[');
    for (struct operation *op = operation_first(); op != NULL; op = op->next) {
        if (!op->closed) {
            api_write_operation(&w, NULL, op, HR_HCS_E_OPERATION_PENDING);
        }
    }
    json_close(&w, ']');
    api_answer(r, 200, &w);
}

static bool operation_ready(const struct api_wait *wait)
{
    const struct operation *op = wait->object;

    return op->state == OPERATION_DONE;
}

static void operation_answer(const struct api_wait *wait)
{
    struct json_writer w = {0};
    hresult_t pending = wait->number > 0 ? HR_HCS_E_OPERATION_TIMEOUT : HR_HCS_E_OPERATION_PENDING;

    api_write_operation(&w, NULL, wait->object, pending);
    api_answer(wait->request, 200, &w);
}

void api_operation_get(struct http_request *r)
{
    struct operation *op = operation_of(r);
    struct api_wait *wait;
    uint64_t timeout_ms;

    if (op == NULL || !api_query_uint(r, "timeoutMs", 0, API_WAIT_MAX_MS, &timeout_ms) ||
        (wait = api_wait_new(r)) == NULL) {
        return;
    }
    wait->ready = operation_ready;
    wait->answer = operation_answer;
    wait->object = op; // an operation with waiters is not freed
    wait->number = timeout_ms;
    api_wait_start(wait, &op->waiters, timeout_ms);
}

void api_operation_delete(struct http_request *r)
{
    struct operation *op = operation_of(r);

    if (op != NULL) {
        operation_close(op);
        http_respond(r, 204, NULL, NULL, 0);
    }
}
