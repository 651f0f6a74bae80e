// SPDX-License-Identifier: Apache-2.0
// Compute systems over HTTP: the HCS functions and their documents.
#include <stdio.h>
#include <string.h>

#include "mgmt/hcs/api_priv.h"

// --- functions tracked by an operation ---

static void answer_operation(struct http_request *r, const struct operation *op)
{
    struct json_writer w = {0};
    char location[64];

    snprintf(location, sizeof location, "/v1/hcs/operations/%llu", (unsigned long long)op->id);
    http_add_header(r, "Location", location);
    api_write_operation(&w, NULL, op, HR_HCS_E_OPERATION_PENDING);
    api_answer(r, 202, &w);
}

static struct operation *new_operation(struct http_request *r, enum operation_type type, const char *id)
{
    struct operation *op = operation_create(type, id);

    if (op == NULL) {
        api_fail(r, HR_E_NO_SYSTEM_RESOURCES, "too many operations are pending; close some");
    }
    return op;
}

static void create_from(struct http_request *r, const cJSON *root)
{
    const char *id = http_param(r, "id");
    struct schema_problems problems = {0};
    struct system_config cfg;
    struct core_error error;
    struct operation *op;
    struct system *s;

    if (root == NULL) {
        schema_problem_add(&problems, HR_HCS_E_INVALID_JSON, "$", NULL, "a ComputeSystem document",
                           "send it as body");
        api_fail_problems(r, &problems);
        return;
    }
    if (!document_decode_system(root, &cfg, &problems)) {
        api_fail_problems(r, &problems);
        return;
    }
    op = new_operation(r, OPERATION_CREATE, id);
    if (op == NULL) {
        return;
    }
    if (system_create(id, &cfg, &s, &error) != CORE_OK) {
        operation_finish(op, &error);
        operation_close(op); // the caller has the answer and never learns of an operation
        api_fail_core(r, &error);
        return;
    }
    operation_finish(op, NULL);
    answer_operation(r, op);
}

void api_hcs_create(struct http_request *r)
{
    api_with_document(r, HCS_TYPE_ComputeSystem, create_from);
}

typedef enum core_status (*verb_fn)(struct system *s, struct operation *op, struct core_error *error);

static void run_verb(struct http_request *r, enum operation_type type, verb_fn verb)
{
    struct system *s = api_system(r);
    struct operation *op = s != NULL ? new_operation(r, type, s->id) : NULL;
    struct core_error error;

    if (op == NULL) {
        return;
    }
    if (verb(s, op, &error) != CORE_OK) {
        operation_finish(op, &error);
        operation_close(op);
        api_fail_core(r, &error);
        return;
    }
    answer_operation(r, op);
}

static void start(struct http_request *r)
{
    run_verb(r, OPERATION_START, system_start);
}

static void terminate(struct http_request *r)
{
    run_verb(r, OPERATION_TERMINATE, system_terminate);
}

static void shut_down(struct http_request *r)
{
    run_verb(r, OPERATION_SHUTDOWN, system_shutdown);
}

static void resume(struct http_request *r)
{
    run_verb(r, OPERATION_RESUME, system_resume);
}

static void pause_with(struct http_request *r, const cJSON *options)
{
    (void)options; // checked; every suspension level means the same here
    run_verb(r, OPERATION_PAUSE, system_pause);
}

void api_hcs_start(struct http_request *r)
{
    api_without_options(r, start);
}

void api_hcs_terminate(struct http_request *r)
{
    api_without_options(r, terminate);
}

void api_hcs_shutdown(struct http_request *r)
{
    api_without_options(r, shut_down);
}

void api_hcs_resume(struct http_request *r)
{
    api_without_options(r, resume);
}

void api_hcs_pause(struct http_request *r)
{
    api_with_document(r, HCS_TYPE_PauseOptions, pause_with);
}

void api_hcs_close(struct http_request *r)
{
    struct system *s = api_system(r);
    struct core_error error;

    if (s == NULL) {
        return;
    }
    // The last handle of such a system is the client's interest in it.
    if (s->terminate_on_last_close && s->state != SYSTEM_STOPPED) {
        if (system_terminate(s, NULL, &error) != CORE_OK && error.status != CORE_ALREADY_STOPPED) {
            api_fail_core(r, &error);
            return;
        }
    } else if (system_delete(s, &error) != CORE_OK) {
        api_fail_core(r, &error);
        return;
    }
    http_respond(r, 204, NULL, NULL, 0);
}

// --- enumeration and properties ---

static void enumerate(struct http_request *r, const cJSON *query)
{
    struct json_writer w = {0};

    json_open(&w, NULL, '[');
    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        if (document_query_matches(query, s)) {
            document_write_properties(&w, NULL, s, 0);
        }
    }
    json_close(&w, ']');
    api_answer(r, 200, &w);
}

void api_hcs_enumerate(struct http_request *r)
{
    api_with_document(r, HCS_TYPE_SystemQuery, enumerate);
}

static void properties(struct http_request *r, const cJSON *query)
{
    struct system *s = api_system(r);
    struct schema_problems problems;
    struct json_writer w = {0};
    unsigned set;

    if (s == NULL) {
        return;
    }
    if (!document_query_properties(query, &set, &problems)) {
        api_fail_problems(r, &problems);
        return;
    }
    document_write_properties(&w, NULL, s, set);
    api_answer(r, 200, &w);
}

void api_hcs_open(struct http_request *r)
{
    properties(r, NULL);
}

void api_hcs_properties(struct http_request *r)
{
    api_with_document(r, HCS_TYPE_System_PropertyQuery, properties);
}

// --- waiting for the end ---

static bool exit_ready(const struct api_wait *wait)
{
    const struct system *s = wait->object;

    return s->state == SYSTEM_STOPPED || s->deleted;
}

static void exit_answer(const struct api_wait *wait)
{
    const struct system *s = wait->object;
    struct json_writer w = {0};

    if (s->state != SYSTEM_STOPPED) {
        api_fail(wait->request, HR_HCS_E_OPERATION_TIMEOUT, "the system has not ended yet");
        return;
    }
    document_write_exit(&w, NULL, s);
    api_answer(wait->request, 200, &w);
}

static void exit_gone(const struct api_wait *wait)
{
    system_unref(wait->object);
}

void api_hcs_exit(struct http_request *r)
{
    struct system *s = api_system(r);
    struct api_wait *wait;
    uint64_t timeout_ms;

    if (s == NULL || !api_query_uint(r, "timeoutMs", 0, API_WAIT_MAX_MS, &timeout_ms) ||
        (wait = api_wait_new(r)) == NULL) {
        return;
    }
    wait->ready = exit_ready;
    wait->answer = exit_answer;
    wait->gone = exit_gone;
    wait->object = s;
    system_ref(s);
    api_wait_start(wait, &s->ended, timeout_ms);
}

// --- the service ---

static void write_basic(struct json_writer *w, const char *key)
{
    json_open(w, key, '{');
    json_open(w, "SupportedSchemaVersions", '[');
    json_open(w, NULL, '{');
    json_uint(w, "Major", SCHEMA_MAJOR);
    json_uint(w, "Minor", SCHEMA_MINOR);
    json_close(w, '}');
    json_close(w, ']');
    json_close(w, '}');
}

static void write_topology(struct json_writer *w)
{
    json_open(w, NULL, '{');
    json_uint(w, "LogicalProcessorCount", core_node()->cpu_count);
    json_open(w, "LogicalProcessors", '[');
    for (uint32_t i = 0; i < core_node()->cpu_count; i++) {
        json_open(w, NULL, '{');
        json_uint(w, "LpIndex", i);
        json_uint(w, "NodeNumber", 0);
        json_close(w, '}');
    }
    json_close(w, ']');
    json_close(w, '}');
}

// Writes the answer of one query type; false if it is not served.
static bool write_service_property(struct json_writer *w, const char *type)
{
    if (strcmp(type, "Basic") == 0) {
        write_basic(w, NULL);
    } else if (strcmp(type, "ProcessorTopology") == 0) {
        write_topology(w);
    } else {
        return false;
    }
    return true;
}

static void service(struct http_request *r, const cJSON *query)
{
    const cJSON *types = cJSON_GetObjectItemCaseSensitive(query, "PropertyTypes");
    struct schema_problems problems = {0};
    struct json_writer w = {0};

    json_open(&w, NULL, '{');
    json_open(&w, "Properties", '[');
    for (const cJSON *item = types != NULL ? types->child : NULL; item != NULL; item = item->next) {
        if (!write_service_property(&w, item->valuestring)) {
            schema_problem_add(&problems, HR_E_NOTIMPL, "$.PropertyTypes", item, "Basic or ProcessorTopology",
                               "this node does not serve the property");
        }
    }
    if (types == NULL) {
        write_basic(&w, NULL);
    }
    json_close(&w, ']');
    json_close(&w, '}');
    if (problems.count > 0) {
        json_free_text(&w);
        api_fail_problems(r, &problems);
        return;
    }
    api_answer(r, 200, &w);
}

void api_hcs_service(struct http_request *r)
{
    api_with_document(r, HCS_TYPE_Service_PropertyQuery, service);
}
