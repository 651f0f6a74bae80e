// SPDX-License-Identifier: Apache-2.0
// Images between the guest pool, where guests are loaded from, and the store, where they stay.
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/image.h"
#include "mgmt/plat.h"
#include "mgmt/state/state_priv.h"
#include "mgmt/store/upload.h"

#define PIECE (32u << 10)

// --- to the disk ---

struct save {
    struct image *image;
    struct upload *upload;
    uint64_t done_bytes;
    struct volume *volume;
    struct plat_work late;
    enum store_status status;
    keeper_done done;
    void *arg;
    uint8_t piece[PIECE];
};

static void save_end(void *arg, enum store_status status)
{
    struct save *s = arg;
    struct volume_info info;
    struct core_error error;

    if (status == STORE_OK) {
        volume_get_info(s->volume, &info);
        image_set_created(s->image, info.created_ms);
    } else {
        state_error(&error, status, "image");
    }
    s->done(s->arg, status != STORE_OK ? &error : NULL);
    free(s);
}

static void save_late(struct plat_work *work)
{
    struct save *s = CONTAINER_OF(work, struct save, late);

    save_end(s, s->status);
}

// As much as the upload takes; it calls again when it takes more.
static void save_more(void *arg)
{
    struct save *s = arg;
    struct image_info info;

    image_get_info(s->image, &info);
    while (s->done_bytes < info.size && upload_status(s->upload) == STORE_OK) {
        size_t n = image_read(s->image, s->done_bytes, s->piece, sizeof s->piece);
        size_t taken = upload_write(s->upload, s->piece, n);

        s->done_bytes += taken;
        if (taken < n) {
            return;
        }
    }
    upload_finish(s->upload, info.sha256, &s->volume, save_end, s);
}

static void save_begin(struct plat_work *work)
{
    save_more(CONTAINER_OF(work, struct save, late));
}

void state_save_image(struct image *image, keeper_done done, void *arg)
{
    struct save *s = calloc(1, sizeof *s);
    struct image_info info;
    struct core_error error;

    if (s == NULL) {
        state_error(&error, STORE_NO_HEAP, "image");
        done(arg, &error);
        return;
    }
    image_get_info(image, &info);
    s->image = image;
    s->done = done;
    s->arg = arg;
    s->status = upload_begin(state_store(), info.name, false, save_more, s, &s->upload);
    plat_post(&s->late, s->status == STORE_OK ? save_begin : save_late);
}

struct deletion {
    struct plat_work late;
    enum store_status status;
    keeper_done done;
    void *arg;
};

static void delete_end(void *arg, enum store_status status)
{
    struct deletion *d = arg;
    struct core_error error;

    if (status != STORE_OK) {
        state_error(&error, status, "image");
    }
    d->done(d->arg, status != STORE_OK ? &error : NULL);
    free(d);
}

static void delete_late(struct plat_work *work)
{
    struct deletion *d = CONTAINER_OF(work, struct deletion, late);

    delete_end(d, d->status);
}

void state_delete_image(const char *name, keeper_done done, void *arg)
{
    struct volume *v = volume_find(state_store(), VOLUME_IMAGE, name);
    struct deletion *d = calloc(1, sizeof *d);
    struct core_error error;

    if (d == NULL) {
        state_error(&error, STORE_NO_HEAP, "image");
        done(arg, &error);
        return;
    }
    d->done = done;
    d->arg = arg;
    // One that is in memory alone is as good as deleted here.
    d->status = v != NULL ? volume_delete(v, delete_end, d) : STORE_OK;
    if (v == NULL || d->status != STORE_OK) {
        plat_post(&d->late, delete_late);
    }
}

// --- from the disk, at boot ---

static struct {
    struct volume *volume; // open
    struct image_upload *upload;
    struct volume_io io;
    uint64_t offset;
    unsigned count;
    void (*loaded)(void);
    uint8_t *piece;
} load;

static void load_next(struct volume *v);

static void load_end(const char *problem)
{
    struct volume_info info;
    struct core_error error;
    struct volume *v = load.volume;

    volume_get_info(v, &info);
    if (problem == NULL && image_upload_seal(load.upload, info.sha256, &error) != CORE_OK) {
        problem = error.text;
    }
    if (problem != NULL) {
        plat_log(LOG_ERROR, "store: image '%s' is not available: %s", info.name, problem);
        image_upload_abort(load.upload);
    } else {
        image_set_created(image_upload_sealed(load.upload), info.created_ms);
        image_upload_publish(load.upload);
        load.count++;
    }
    volume_close(v);
    load_next(volume_next(state_store(), VOLUME_IMAGE, v));
}

static void load_piece(void);

static void piece_read(struct volume_io *io, enum store_status status)
{
    struct volume_info info;
    struct core_error error;
    uint64_t n;

    volume_get_info(load.volume, &info);
    n = MIN(io->length, info.size - load.offset);
    if (status != STORE_OK) {
        load_end(store_status_text(status));
        return;
    }
    if (image_upload_write(load.upload, load.piece, n, &error) != CORE_OK) {
        load_end(error.text);
        return;
    }
    load.offset += n;
    load_piece();
}

static void load_piece(void)
{
    struct volume_info info;

    volume_get_info(load.volume, &info);
    if (load.offset == info.size) {
        load_end(NULL);
        return;
    }
    load.io = (struct volume_io){
        .volume = load.volume,
        .op = VOLUME_READ,
        .offset = load.offset,
        .length = ALIGN_UP(MIN(info.size - load.offset, (uint64_t)PIECE), (uint64_t)DISK_SECTOR),
        .buffer = load.piece,
        .done = piece_read,
    };
    volume_submit(&load.io);
}

static void all_loaded(void)
{
    free(load.piece);
    load.piece = NULL;
    if (load.count > 0) {
        plat_log(LOG_NOTICE, "store: %u image%s available", load.count, load.count == 1 ? "" : "s");
    }
    load.loaded();
}

static void load_next(struct volume *v)
{
    struct volume_info info;
    struct core_error error;

    for (; v != NULL; v = volume_next(state_store(), VOLUME_IMAGE, v)) {
        volume_get_info(v, &info);
        if (image_upload_begin(info.name, info.size, &load.upload, &error) == CORE_OK) {
            volume_open(v);
            load.volume = v;
            load.offset = 0;
            load_piece();
            return;
        }
        plat_log(LOG_ERROR, "store: image '%s' is not available: %s", info.name, error.text);
    }
    all_loaded();
}

void state_load_images(void (*loaded)(void))
{
    load.loaded = loaded;
    load.count = 0;
    load.piece = malloc(PIECE);
    if (load.piece == NULL) {
        plat_log(LOG_ERROR, "store: management heap is full; images are not available");
        loaded();
        return;
    }
    load_next(volume_next(state_store(), VOLUME_IMAGE, NULL));
}
