// SPDX-License-Identifier: Apache-2.0
// Reading everything: images against their digests, disks to see that they can be read.
#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/store/report.h"
#include "mgmt/store/volume_priv.h"

#define PIECE (256u << 10)

struct scrub {
    struct store *store;
    struct store_report *report;
    struct volume *volume; // open
    struct volume_io io;
    uint64_t offset;
    mbedtls_sha256_context sha;
    store_done done;
    void *arg;
    uint8_t buffer[PIECE];
};

static void end(struct scrub *s, enum store_status status)
{
    s->done(s->arg, status);
    free(s);
}

static void read_next(struct scrub *s);

static struct volume *ready(struct volume *v)
{
    while (v != NULL && v->state != VOLUME_READY) {
        v = v->next;
    }
    return v;
}

// Goes on with `v`, or ends.
static void begin_volume(struct scrub *s, struct volume *v)
{
    s->volume = ready(v);
    if (s->volume == NULL) {
        end(s, STORE_OK);
        return;
    }
    volume_open(s->volume);
    s->offset = 0;
    mbedtls_sha256_init(&s->sha);
    mbedtls_sha256_starts_ret(&s->sha, 0);
    read_next(s);
}

static void end_volume(struct scrub *s)
{
    struct volume *v = s->volume;
    uint8_t digest[VOLUME_SHA256];

    mbedtls_sha256_finish_ret(&s->sha, digest);
    mbedtls_sha256_free(&s->sha);
    if (v->kind == VOLUME_IMAGE && s->offset == v->size && memcmp(digest, v->sha256, sizeof digest) != 0) {
        report_problem(s->report, "image '%.64s': the content differs from its SHA-256", v->name);
    }
    volume_close(v);
    begin_volume(s, v->next);
}

static void piece_read(struct volume_io *io, enum store_status status)
{
    struct scrub *s = CONTAINER_OF(io, struct scrub, io);
    struct volume *v = s->volume;
    uint64_t n = MIN(io->length, v->size - s->offset);

    if (status != STORE_OK) {
        report_problem(s->report, "%s '%.64s': %llu KiB from %llu KiB cannot be read",
                       v->kind == VOLUME_IMAGE ? "image" : "disk", v->name,
                       (unsigned long long)io->length >> 10, (unsigned long long)s->offset >> 10);
        memset(s->buffer, 0, sizeof s->buffer);
    }
    if (v->kind == VOLUME_IMAGE) {
        mbedtls_sha256_update_ret(&s->sha, s->buffer, n);
    }
    s->report->bytes_read += n;
    s->offset += n;
    read_next(s);
}

// Of a disk what it does not own is its parent's, or nothing.
static void skip_holes(struct scrub *s)
{
    struct volume *v = s->volume;

    while (v->kind != VOLUME_IMAGE && s->offset < v->size) {
        uint64_t slot = s->offset / LAYOUT_EXTENT, from = slot;

        if (!map_next_extent(&v->map, &from)) {
            s->offset = v->size;
        } else if (from == slot) {
            return;
        } else {
            s->offset = MIN(from * LAYOUT_EXTENT, v->size);
        }
    }
}

static void read_next(struct scrub *s)
{
    uint64_t left;

    skip_holes(s);
    left = s->volume->size - s->offset;
    if (left == 0) {
        end_volume(s);
        return;
    }
    s->io = (struct volume_io){.volume = s->volume,
                               .op = VOLUME_READ,
                               .offset = s->offset,
                               .length = ALIGN_UP(MIN(left, (uint64_t)PIECE), (uint64_t)DISK_SECTOR),
                               .buffer = s->buffer,
                               .done = piece_read};
    volume_submit(&s->io);
}

static void begin(struct plat_work *work)
{
    struct scrub *s = CONTAINER_OF(work, struct scrub, io.finish);

    begin_volume(s, s->store->volumes);
}

enum store_status store_scrub(struct store *store, struct store_report *report, store_done done, void *arg)
{
    struct scrub *s;

    if (store->open_status != STORE_OK) {
        return STORE_IO;
    }
    s = calloc(1, sizeof *s);
    if (s == NULL) {
        return STORE_NO_HEAP;
    }
    memset(report, 0, sizeof *report);
    s->store = store;
    s->report = report;
    s->done = done;
    s->arg = arg;
    plat_post(&s->io.finish, begin);
    return STORE_OK;
}
