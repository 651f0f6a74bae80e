// SPDX-License-Identifier: Apache-2.0
// The state partition over HTTP: what there is, and checks of it.
#include <stdlib.h>

#include "mgmt/core/keeper.h"
#include "mgmt/hcs/api_priv.h"

static bool have_store(struct http_request *r)
{
    if (keeper() == NULL) {
        api_fail(r, HR_HCS_E_SERVICE_NOT_AVAILABLE, "this node has no usable state partition");
    }
    return keeper() != NULL;
}

void api_store_get(struct http_request *r)
{
    struct json_writer w = {0};
    struct keeper_info info;

    if (!have_store(r)) {
        return;
    }
    keeper()->get_info(&info);
    json_open(&w, NULL, '{');
    json_string(&w, "Place", info.place);
    json_hex(&w, "Uuid", info.uuid, sizeof info.uuid);
    json_uint(&w, "TotalBytes", info.total_bytes);
    json_uint(&w, "FreeBytes", info.free_bytes);
    json_uint(&w, "DatabaseBytes", info.database_bytes);
    json_uint(&w, "DatabaseLimit", info.database_limit);
    json_uint(&w, "Commits", info.commits);
    json_uint(&w, "Transactions", info.transactions);
    json_string(&w, "Problem", info.problem);
    json_close(&w, '}');
    api_answer(r, 200, &w);
}

struct check {
    struct http_request *request; // NULL: the client has gone
};

static void check_gone(struct http_request *r)
{
    struct check *c = http_user(r);

    c->request = NULL;
}

static void check_done(void *arg, const struct keeper_report *report, const struct core_error *error)
{
    struct check *c = arg;
    struct http_request *r = c->request;
    struct json_writer w = {0};

    free(c);
    if (r == NULL) {
        return;
    }
    if (error != NULL) {
        api_fail_core(r, error);
        return;
    }
    json_open(&w, NULL, '{');
    json_uint(&w, "Problems", report->problems);
    json_string(&w, "Text", report->text);
    json_uint(&w, "BytesRead", report->bytes_read);
    json_close(&w, '}');
    api_answer(r, 200, &w);
}

static void begin_check(struct http_request *r)
{
    struct check *c;
    uint64_t contents;

    if (!have_store(r) || !api_query_uint(r, "contents", 0, 1, &contents)) {
        return;
    }
    c = calloc(1, sizeof *c);
    if (c == NULL) {
        api_fail(r, HR_E_OUTOFMEMORY, NULL);
        return;
    }
    c->request = r;
    http_set_user(r, c);
    http_on_abort(r, check_gone);
    keeper()->check(contents != 0, check_done, c);
}

void api_store_check(struct http_request *r)
{
    api_without_options(r, begin_check);
}
