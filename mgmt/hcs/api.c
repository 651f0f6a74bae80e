// SPDX-License-Identifier: Apache-2.0
// Route table, authentication, and what all handlers need: answers, documents, waiting.
#include "mgmt/hcs/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/auth.h"
#include "mgmt/hcs/api_priv.h"
#include "mgmt/hcs/metrics.h"

#include <gen/openapi.h>

struct route {
    const char *path;
    void (*handle)(struct http_request *r);
    const char *query; // names of its query parameters
    unsigned method, role;
    const char *name; // "GET /v1/node"
    uint64_t requests;
};

static struct route routes[] = {
#define ROUTE(method, path, role, handler, query)                                                            \
    {path, api_##handler, query, HTTP_M_##method, role, #method " " path, 0},
    API_ROUTES(ROUTE)
#undef ROUTE
};

// --- who ---

static void peer_text(const struct http_request *r, char text[48])
{
    struct stream_addr peer;

    http_peer(r, &peer);
    stream_addr_text(&peer, text);
}

enum http_auth_result api_authenticate(void *arg, struct http_request *r, struct http_identity *id)
{
    struct auth_identity who;
    struct stream_addr peer;

    (void)arg;
    http_peer(r, &peer);
    switch (auth_check(http_header(r, "Authorization"), peer.ip, peer.ip_len, &who)) {
    case AUTH_OK:
        break;
    case AUTH_REFUSED:
        return HTTP_AUTH_REQUIRED;
    case AUTH_LIMITED:
        return HTTP_AUTH_LIMITED;
    }
    snprintf(id->name, sizeof id->name, "%s", who.name);
    id->roles = who.roles;
    return HTTP_AUTH_OK;
}

static const char *method_name(enum http_method method)
{
    switch (method) {
    case HTTP_M_GET:
        return "GET";
    case HTTP_M_POST:
        return "POST";
    case HTTP_M_PUT:
        return "PUT";
    case HTTP_M_DELETE:
        return "DELETE";
    default:
        return "?";
    }
}

static void audit(struct http_request *r, bool allowed)
{
    char peer[48], action[160];

    peer_text(r, peer);
    snprintf(action, sizeof action, "%s %s", method_name(http_request_method(r)), http_request_path(r));
    auth_audit(http_identity(r)->name, peer, action, allowed ? "allowed" : "forbidden");
}

// A misspelt parameter must not do something else than was meant.
static bool query_is_known(struct http_request *r, const struct route *route)
{
    const char *unknown = http_query_unknown(r, route->query);
    char message[200];

    if (unknown == NULL) {
        return true;
    }
    snprintf(message, sizeof message, "query parameter %.60s is unknown here; %s%s", unknown,
             route->query[0] != '\0' ? "known: " : "there are none", route->query);
    api_fail(r, HR_E_INVALIDARG, message);
    return false;
}

static void dispatch(struct http_request *r, void *arg)
{
    struct route *route = arg;
    bool allowed = http_identity(r)->roles & route->role;

    route->requests++;
    if (!allowed || route->role != AUTH_READER) {
        audit(r, allowed);
    }
    if (!allowed) {
        api_fail(r, HR_HCS_E_ACCESS_DENIED, "your role does not allow this");
        return;
    }
    if (query_is_known(r, route)) {
        route->handle(r);
    }
}

void api_init(struct http_server *server)
{
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        http_route(server, routes[i].method, routes[i].path, 0, dispatch, &routes[i]);
    }
}

void api_request_metrics(struct metrics *m)
{
    metrics_family(m, "api_requests_total", "counter");
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        struct metrics_labels l = {0};

        metrics_sample(m, metrics_label(&l, "route", routes[i].name), routes[i].requests);
    }
}

void api_openapi(struct http_request *r)
{
    http_respond_static(r, 200, "application/json", openapi_json, sizeof openapi_json - 1);
}

// --- answers ---

void api_answer(struct http_request *r, int status, struct json_writer *w)
{
    if (w->failed || w->text == NULL) {
        json_free_text(w);
        http_error(r, 500, "no_memory", "the answer does not fit into the management heap", NULL);
        return;
    }
    http_respond_take(r, status, "application/json", w->text, w->length);
    *w = (struct json_writer){0};
}

void api_fail(struct http_request *r, hresult_t hr, const char *message)
{
    struct json_writer w = {0};

    result_error_write(&w, NULL, hr, message, NULL, 0);
    api_answer(r, hresult_http_status(hr), &w);
}

void api_fail_core(struct http_request *r, const struct core_error *error)
{
    api_fail(r, hresult_of(error->status), error->text);
}

void api_fail_problems(struct http_request *r, const struct schema_problems *problems)
{
    struct json_writer w = {0};
    hresult_t hr = schema_problems_write(problems, &w);

    api_answer(r, hresult_http_status(hr), &w);
}

// --- parameters ---

bool api_query_uint(struct http_request *r, const char *name, uint64_t otherwise, uint64_t max,
                    uint64_t *value)
{
    const char *text = http_query(r, name);
    char message[128];
    char *end;

    *value = otherwise;
    if (text == NULL) {
        return true;
    }
    *value = strtoull(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && strlen(text) < 20 && *value <= max) {
        return true;
    }
    snprintf(message, sizeof message, "query parameter %s: expected an integer from 0 to %llu", name,
             (unsigned long long)max);
    api_fail(r, HR_E_INVALIDARG, message);
    return false;
}

struct system *api_system(struct http_request *r)
{
    const char *id = http_param(r, "id");
    struct system *s = system_find(id);
    char message[200];

    if (s == NULL) {
        snprintf(message, sizeof message, "there is no system '%.120s'", id);
        api_fail(r, HR_HCS_E_SYSTEM_NOT_FOUND, message);
    }
    return s;
}

// --- documents ---

struct pending_document {
    enum hcs_type_id type;
    void (*then)(struct http_request *r, const cJSON *root);
};

static void with_text(struct http_request *r, enum hcs_type_id type, const char *text, size_t length,
                      void (*then)(struct http_request *r, const cJSON *root))
{
    struct schema_problems problems;
    struct json_document doc;

    if (!document_read(type, text, length, &doc, &problems)) {
        api_fail_problems(r, &problems);
        return;
    }
    then(r, doc.root);
    json_document_free(&doc);
}

static void with_query(struct http_request *r, enum hcs_type_id type,
                       void (*then)(struct http_request *r, const cJSON *root))
{
    const char *query = http_query(r, "query");

    if (query != NULL && query[0] != '\0') {
        with_text(r, type, query, strlen(query), then);
    } else {
        then(r, NULL);
    }
}

static void body_read(struct http_request *r, char *body, size_t length)
{
    struct pending_document *p = http_user(r);

    if (length == 0) {
        with_query(r, p->type, p->then);
    } else {
        with_text(r, p->type, body, length, p->then);
    }
}

void api_with_document(struct http_request *r, enum hcs_type_id type,
                       void (*then)(struct http_request *r, const cJSON *root))
{
    struct pending_document *p;

    if (!http_has_body(r)) {
        with_query(r, type, then);
        return;
    }
    p = http_alloc(r, sizeof *p);
    if (p == NULL) {
        api_fail(r, HR_E_OUTOFMEMORY, NULL);
        return;
    }
    *p = (struct pending_document){type, then};
    http_set_user(r, p);
    http_body_collect(r, API_DOCUMENT_MAX, body_read);
}

struct pending_options {
    void (*then)(struct http_request *r);
};

static void options_read(struct http_request *r, char *body, size_t length)
{
    struct pending_options *p = http_user(r);

    if (length != 0 && strcmp(body, "null") != 0) {
        api_fail(r, HR_E_INVALIDARG, "this function takes no options: send no body, or null");
        return;
    }
    p->then(r);
}

void api_without_options(struct http_request *r, void (*then)(struct http_request *r))
{
    struct pending_options *p;

    if (!http_has_body(r)) {
        then(r);
        return;
    }
    p = http_alloc(r, sizeof *p);
    if (p == NULL) {
        api_fail(r, HR_E_OUTOFMEMORY, NULL);
        return;
    }
    p->then = then;
    http_set_user(r, p);
    http_body_collect(r, API_DOCUMENT_MAX, options_read);
}

// --- waiting ---

static void wait_forget(struct api_wait *wait)
{
    notify_remove(wait->list, &wait->notify);
    plat_timer_stop(&wait->timer);
}

// The answer ends the request and with it the memory of *wait, hence the copy.
static void wait_finish(struct api_wait *wait)
{
    struct api_wait last;

    wait_forget(wait);
    last = *wait;
    last.answer(&last);
    if (last.gone != NULL) {
        last.gone(&last);
    }
}

static void wait_notified(struct notify *notify)
{
    struct api_wait *wait = CONTAINER_OF(notify, struct api_wait, notify);

    if (wait->ready(wait)) {
        wait_finish(wait);
    }
}

static void wait_timeout(struct plat_timer *timer)
{
    struct api_wait *wait = CONTAINER_OF(timer, struct api_wait, timer);

    wait->timed_out = true;
    wait_finish(wait);
}

static void wait_aborted(struct http_request *r)
{
    struct api_wait *wait = http_user(r);

    wait_forget(wait);
    if (wait->gone != NULL) {
        wait->gone(wait);
    }
}

struct api_wait *api_wait_new(struct http_request *r)
{
    struct api_wait *wait = http_alloc(r, sizeof *wait);

    if (wait == NULL) {
        api_fail(r, HR_E_OUTOFMEMORY, NULL);
        return NULL;
    }
    wait->request = r;
    return wait;
}

void api_wait_start(struct api_wait *wait, struct notify_list *list, uint64_t timeout_ms)
{
    wait->list = list;
    http_set_user(wait->request, wait);
    http_on_abort(wait->request, wait_aborted);
    if (timeout_ms == 0 || wait->ready(wait)) {
        wait->timed_out = timeout_ms == 0;
        wait_finish(wait);
        return;
    }
    notify_add(list, &wait->notify, wait_notified);
    plat_timer_start(&wait->timer, timeout_ms * 1000000ull, wait_timeout);
}
