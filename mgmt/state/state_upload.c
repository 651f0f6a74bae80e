// SPDX-License-Identifier: Apache-2.0
// Images that arrive on the disk, and come into memory when they are complete and not too large.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/image.h"
#include "mgmt/core/kept_upload.h"
#include "mgmt/plat.h"
#include "mgmt/state/state_priv.h"
#include "mgmt/store/upload.h"

struct kept_upload {
    struct upload *upload;
    char name[IMAGE_NAME_MAX + 1];
    uint64_t total;
    struct volume *image; // finished
    struct plat_work late;
    struct core_error error;
    keeper_done done;
    void *arg;
};

static bool next_upload(const char *name, struct kept_upload_info *out)
{
    struct volume *v = upload_next(state_store(), NULL);
    struct volume_info info;

    for (; v != NULL; v = upload_next(state_store(), v)) {
        volume_get_info(v, &info);
        if (name == NULL || strcmp(info.name, name) > 0) {
            *out = (struct kept_upload_info){.name = info.name};
            out->received = upload_kept(v, &out->active);
            return true;
        }
    }
    return false;
}

static struct volume *find(const char *name)
{
    struct volume *v = upload_next(state_store(), NULL);
    struct volume_info info;

    for (; v != NULL; v = upload_next(state_store(), v)) {
        volume_get_info(v, &info);
        if (strcmp(info.name, name) == 0) {
            return v;
        }
    }
    return NULL;
}

// --- begin ---

static enum core_status check_offset(const char *name, uint64_t offset, struct core_error *error)
{
    struct volume *v = find(name);
    bool active = false;
    uint64_t received = v != NULL ? upload_kept(v, &active) : 0;

    if (active) {
        return core_fail(error, CORE_IN_USE, "image '%s' is being uploaded by somebody else", name);
    }
    if (offset != 0 && offset != received) {
        return core_fail(error, CORE_INVALID_STATE,
                         "image '%s': %llu bytes have arrived, go on there and not at %llu", name,
                         (unsigned long long)received, (unsigned long long)offset);
    }
    return CORE_OK;
}

// What would be freed by beginning anew is not counted as free.
static enum core_status check_room(const char *name, uint64_t bytes, struct core_error *error)
{
    struct store_info info;

    store_get_info(state_store(), &info);
    if (bytes > info.free_bytes) {
        return core_fail(error, CORE_NO_STORAGE,
                         "image '%s' needs %llu bytes more and the state partition has %llu free", name,
                         (unsigned long long)bytes, (unsigned long long)info.free_bytes);
    }
    return CORE_OK;
}

static enum core_status begin_upload(const char *name, uint64_t offset, uint64_t total,
                                     void (*writable)(void *arg), void *arg, struct kept_upload **out,
                                     struct core_error *error)
{
    enum core_status status = image_name_check(name, error);
    enum store_status begun;
    struct kept_upload *u;

    status = status == CORE_OK ? check_offset(name, offset, error) : status;
    status = status == CORE_OK ? check_room(name, total - offset, error) : status;
    if (status != CORE_OK) {
        return status;
    }
    u = calloc(1, sizeof *u);
    if (u == NULL) {
        return core_fail(error, CORE_NO_HEAP, "management heap is full");
    }
    begun = upload_begin(state_store(), name, offset != 0, writable, arg, &u->upload);
    if (begun != STORE_OK) {
        free(u);
        return state_error(error, begun, "image");
    }
    snprintf(u->name, sizeof u->name, "%s", name);
    u->total = total;
    *out = u;
    return CORE_OK;
}

static size_t write_upload(struct kept_upload *u, const void *data, size_t length, struct core_error *error)
{
    uint64_t left = u->total - upload_received(u->upload);
    size_t taken;

    if (length > left) {
        core_fail(error, CORE_INVALID, "image '%s' is longer than %llu bytes", u->name,
                  (unsigned long long)u->total);
        return 0;
    }
    taken = upload_write(u->upload, data, length);
    error->status = CORE_OK;
    if (upload_status(u->upload) != STORE_OK) {
        state_error(error, upload_status(u->upload), "image");
    }
    return taken;
}

// --- the end ---

static void tell(struct kept_upload *u, const struct core_error *error)
{
    u->done(u->arg, error);
    free(u);
}

static void loaded(void *arg, const struct core_error *error)
{
    tell(arg, error);
}

static void finished(void *arg, enum store_status status)
{
    struct kept_upload *u = arg;

    if (status != STORE_OK) {
        state_error(&u->error, status, "image");
        tell(u, &u->error);
        return;
    }
    state_load_image(u->image, loaded, u);
}

static void refused(struct plat_work *work)
{
    struct kept_upload *u = CONTAINER_OF(work, struct kept_upload, late);

    tell(u, &u->error);
}

static void finish_upload(struct kept_upload *u, const uint8_t *sha256, keeper_done done, void *arg)
{
    uint64_t received = upload_received(u->upload);

    u->done = done;
    u->arg = arg;
    if (received != u->total) {
        core_fail(&u->error, CORE_MISMATCH, "image '%s': %llu of %llu bytes arrived", u->name,
                  (unsigned long long)received, (unsigned long long)u->total);
    } else if (image_find(u->name) != NULL) {
        (void)image_deletable(u->name, &u->error); // taken into use while the upload went on?
    }
    if (u->error.status != CORE_OK) {
        upload_abort(u->upload);
        plat_post(&u->late, refused);
        return;
    }
    upload_finish(u->upload, sha256, &u->image, finished, u);
}

static void suspend_upload(struct kept_upload *u)
{
    upload_suspend(u->upload);
    free(u);
}

static void abort_upload(struct kept_upload *u)
{
    upload_abort(u->upload);
    free(u);
}

struct drop {
    struct plat_work late;
    struct core_error error;
    keeper_done done;
    void *arg;
};

static void dropped(void *arg, enum store_status status)
{
    struct drop *d = arg;

    if (status != STORE_OK) {
        state_error(&d->error, status, "upload");
    }
    d->done(d->arg, d->error.status != CORE_OK ? &d->error : NULL);
    free(d);
}

static void drop_refused(struct plat_work *work)
{
    dropped(CONTAINER_OF(work, struct drop, late), STORE_OK);
}

static void drop_upload(const char *name, keeper_done done, void *arg)
{
    struct drop *d = calloc(1, sizeof *d);
    struct volume *v = find(name);
    struct core_error error;
    enum store_status status;
    bool active = false;

    if (d == NULL) {
        state_error(&error, STORE_NO_HEAP, "upload");
        done(arg, &error);
        return;
    }
    d->done = done;
    d->arg = arg;
    if (v == NULL) {
        core_fail(&d->error, CORE_NOT_FOUND, "there is no upload of an image '%.64s'", name);
    } else if (upload_kept(v, &active), active) {
        core_fail(&d->error, CORE_IN_USE, "image '%s' is being uploaded", name);
    } else if ((status = volume_delete(v, dropped, d)) != STORE_OK) {
        state_error(&d->error, status, "upload");
    }
    if (d->error.status != CORE_OK) {
        plat_post(&d->late, drop_refused);
    }
}

void state_uploads_init(void)
{
    static const struct upload_keeper table = {
        .next = next_upload,
        .begin = begin_upload,
        .write = write_upload,
        .finish = finish_upload,
        .suspend = suspend_upload,
        .abort = abort_upload,
        .drop = drop_upload,
    };

    upload_keeper_set(&table);
}
