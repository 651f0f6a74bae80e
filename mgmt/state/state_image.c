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

// --- from the disk into memory ---

struct load {
    struct volume *volume; // open
    struct image_upload *upload;
    struct volume_io io;
    uint64_t offset;
    void (*done)(void *arg, const struct core_error *error);
    void *arg;
    uint8_t piece[PIECE];
};

// Without room in memory the image is there all the same, for what does not need it there.
static void publish_stored(const struct volume *v)
{
    struct volume_info info;

    volume_get_info(v, &info);
    if (image_publish_stored(info.name, info.size, info.sha256, info.created_ms) == NULL) {
        plat_log(LOG_ERROR, "store: image '%s' is not available: management heap is full", info.name);
    }
}

static void load_end(struct load *l, const struct core_error *error)
{
    struct volume_info info;
    struct core_error bad;

    volume_get_info(l->volume, &info);
    if (error == NULL && image_upload_seal(l->upload, info.sha256, &bad) != CORE_OK) {
        error = &bad;
    }
    if (error == NULL) {
        image_set_created(image_upload_sealed(l->upload), info.created_ms);
        image_upload_publish(l->upload);
    } else {
        image_upload_abort(l->upload);
        plat_log(LOG_ERROR, "store: image '%s' is not in memory: %s", info.name, error->text);
        if (error->status == CORE_NO_MEMORY || error->status == CORE_NO_HEAP) {
            publish_stored(l->volume);
            error = NULL;
        }
    }
    volume_close(l->volume);
    l->done(l->arg, error);
    free(l);
}

static void load_piece(struct load *l);

static void piece_read(struct volume_io *io, enum store_status status)
{
    struct load *l = CONTAINER_OF(io, struct load, io);
    struct volume_info info;
    struct core_error error;
    uint64_t n;

    volume_get_info(l->volume, &info);
    n = MIN(io->length, info.size - l->offset);
    if (status != STORE_OK) {
        state_error(&error, status, "image");
        load_end(l, &error);
        return;
    }
    if (image_upload_write(l->upload, l->piece, n, &error) != CORE_OK) {
        load_end(l, &error);
        return;
    }
    l->offset += n;
    load_piece(l);
}

static void load_piece(struct load *l)
{
    struct volume_info info;

    volume_get_info(l->volume, &info);
    if (l->offset == info.size) {
        load_end(l, NULL);
        return;
    }
    l->io = (struct volume_io){
        .volume = l->volume,
        .op = VOLUME_READ,
        .offset = l->offset,
        .length = ALIGN_UP(MIN(info.size - l->offset, (uint64_t)PIECE), (uint64_t)DISK_SECTOR),
        .buffer = l->piece,
        .done = piece_read,
    };
    volume_submit(&l->io);
}

void state_load_image(struct volume *v, void (*done)(void *arg, const struct core_error *error), void *arg)
{
    struct volume_info info;
    struct core_error error;
    struct load *l = NULL;

    volume_get_info(v, &info);
    if (info.size <= IMAGE_MEMORY_MAX && (l = calloc(1, sizeof *l)) != NULL &&
        image_upload_begin(info.name, info.size, &l->upload, &error) != CORE_OK) {
        plat_log(LOG_ERROR, "store: image '%s' is not in memory: %s", info.name, error.text);
        free(l);
        l = NULL;
    }
    if (l == NULL) {
        publish_stored(v);
        done(arg, NULL);
        return;
    }
    volume_open(v);
    l->volume = v;
    l->done = done;
    l->arg = arg;
    load_piece(l);
}

// --- at boot: one after the other ---

static struct {
    struct volume *volume;
    unsigned count;
    void (*loaded)(void);
    bool returned; // an image was done within state_load_image()
    bool within;
} boot;

static void load_all(void);

static void one_loaded(void *arg, const struct core_error *error)
{
    (void)arg;
    boot.count += error == NULL;
    boot.volume = volume_next(state_store(), VOLUME_IMAGE, boot.volume);
    if (boot.within) {
        boot.returned = true;
    } else {
        load_all();
    }
}

static void load_all(void)
{
    while (boot.volume != NULL) {
        boot.returned = false;
        boot.within = true;
        state_load_image(boot.volume, one_loaded, NULL);
        boot.within = false;
        if (!boot.returned) {
            return; // one_loaded() goes on
        }
    }
    if (boot.count > 0) {
        plat_log(LOG_NOTICE, "store: %u image%s available", boot.count, boot.count == 1 ? "" : "s");
    }
    boot.loaded();
}

void state_load_images(void (*loaded)(void))
{
    boot.loaded = loaded;
    boot.count = 0;
    boot.volume = volume_next(state_store(), VOLUME_IMAGE, NULL);
    load_all();
}
