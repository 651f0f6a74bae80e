// SPDX-License-Identifier: Apache-2.0
// Disks of the store over HTTP: list, create, resize, snapshot, delete.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/kept_disk.h"
#include "mgmt/hcs/api_priv.h"

#define SIZE_MAX_BYTES (1ull << 44)

static bool have_disks(struct http_request *r)
{
    if (disk_keeper() == NULL) {
        api_fail(r, HR_HCS_E_SERVICE_NOT_AVAILABLE,
                 "this node has no usable state partition to keep disks on");
    }
    return disk_keeper() != NULL;
}

static void fail(struct http_request *r, const struct core_error *error)
{
    switch (error->status) {
    case CORE_NOT_FOUND: // not HCS_E_SYSTEM_NOT_FOUND
        api_fail(r, HR_E_FILE_NOT_FOUND, error->text);
        break;
    case CORE_EXISTS: // nor the other
        api_fail(r, HR_E_FILE_EXISTS, error->text);
        break;
    default:
        api_fail_core(r, error);
        break;
    }
}

static void write_disk(struct json_writer *w, const char *key, const struct kept_disk_info *info)
{
    json_open(w, key, '{');
    json_string(w, "Name", info->name);
    json_uint(w, "Size", info->size);
    json_uint(w, "Allocated", info->allocated);
    if (info->base[0] != '\0') {
        json_string(w, info->base_is_image ? "Image" : "Snapshot", info->base);
    }
    json_bool(w, "ReadOnly", info->read_only);
    json_uint(w, "Children", info->children);
    json_uint(w, "Systems", info->users);
    json_time(w, "Created", info->created_ms);
    json_close(w, '}');
}

void api_disk_list(struct http_request *r)
{
    struct json_writer w = {0};
    struct kept_disk_info info;
    const void *cursor = NULL;

    if (!have_disks(r)) {
        return;
    }
    json_open(&w, NULL, '{');
    json_open(&w, "Disks", '[');
    while (disk_keeper()->next(&cursor, &info)) {
        write_disk(&w, NULL, &info);
    }
    json_close(&w, ']');
    json_close(&w, '}');
    api_answer(r, 200, &w);
}

static void answer_disk(struct http_request *r, int status, const char *name)
{
    struct json_writer w = {0};
    struct kept_disk_info info;
    struct core_error error;

    if (!disk_keeper()->find(name, &info)) {
        core_fail(&error, CORE_NOT_FOUND, "there is no disk '%.64s'", name);
        fail(r, &error);
        return;
    }
    write_disk(&w, NULL, &info);
    api_answer(r, status, &w);
}

void api_disk_get(struct http_request *r)
{
    if (have_disks(r)) {
        answer_disk(r, 200, http_param(r, "name"));
    }
}

// --- changes: the client may go away while the store works ---

struct change {
    struct http_request *request; // NULL: nobody waits any more
    int status;                   // of the answer; 204: without a document
    char shown[KEPT_DISK_NAME_MAX + 1];
};

static void change_gone(struct http_request *r)
{
    struct change *c = http_user(r);

    c->request = NULL;
}

static void changed(void *arg, const struct core_error *error)
{
    struct change *c = arg;
    struct http_request *r = c->request;

    if (r != NULL && error != NULL) {
        fail(r, error);
    } else if (r != NULL && c->status == 204) {
        http_respond(r, 204, NULL, NULL, 0);
    } else if (r != NULL) {
        answer_disk(r, c->status, c->shown);
    }
    free(c);
}

// The answer shows the disk `shown`. NULL: the request is answered.
static struct change *change_new(struct http_request *r, int status, const char *shown)
{
    struct change *c = calloc(1, sizeof *c);

    if (c == NULL) {
        api_fail(r, HR_E_OUTOFMEMORY, NULL);
        return NULL;
    }
    c->request = r;
    c->status = status;
    snprintf(c->shown, sizeof c->shown, "%s", shown);
    http_set_user(r, c);
    http_on_abort(r, change_gone);
    return c;
}

static void create(struct http_request *r)
{
    const char *image = http_query(r, "image"), *snapshot = http_query(r, "snapshot"),
               *name = http_param(r, "name");
    struct change *c;
    uint64_t size;

    if (!have_disks(r) || !api_query_uint(r, "size", 0, SIZE_MAX_BYTES, &size)) {
        return;
    }
    if ((image != NULL && snapshot != NULL) || (image != NULL && image[0] == '\0') ||
        (snapshot != NULL && snapshot[0] == '\0')) {
        api_fail(r, HR_E_INVALIDARG,
                 "query parameters image and snapshot: expected one of them, with a name, or none");
        return;
    }
    c = change_new(r, 201, name);
    if (c != NULL) {
        disk_keeper()->create(name, size,
                              image != NULL      ? image
                              : snapshot != NULL ? snapshot
                                                 : "",
                              image != NULL, changed, c);
    }
}

void api_disk_create(struct http_request *r)
{
    api_without_options(r, create);
}

void api_disk_delete(struct http_request *r)
{
    struct change *c = have_disks(r) ? change_new(r, 204, "") : NULL;

    if (c != NULL) {
        disk_keeper()->remove(http_param(r, "name"), changed, c);
    }
}

static void resize(struct http_request *r)
{
    struct change *c;
    uint64_t size;

    if (!have_disks(r) || !api_query_uint(r, "size", 0, SIZE_MAX_BYTES, &size)) {
        return;
    }
    c = change_new(r, 200, http_param(r, "name"));
    if (c != NULL) {
        disk_keeper()->resize(http_param(r, "name"), size, changed, c);
    }
}

void api_disk_resize(struct http_request *r)
{
    api_without_options(r, resize);
}

static void snapshot_disk(struct http_request *r)
{
    const char *as = http_query(r, "as");
    struct change *c;

    if (!have_disks(r)) {
        return;
    }
    if (as == NULL) {
        api_fail(r, HR_E_INVALIDARG, "query parameter as: the name of the snapshot is missing");
        return;
    }
    c = change_new(r, 201, as);
    if (c != NULL) {
        disk_keeper()->snapshot(http_param(r, "name"), as, changed, c);
    }
}

void api_disk_snapshot(struct http_request *r)
{
    api_without_options(r, snapshot_disk);
}
