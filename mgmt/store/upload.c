// SPDX-License-Identifier: Apache-2.0
// One buffer that fills, is written and fills again; recording and publishing are chains of commits.
#include "mgmt/store/upload.h"

#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/store/volume_priv.h"

enum ending { GOES_ON, FINISHES, SUSPENDS, ABORTS };

struct upload {
    struct volume *volume;
    mbedtls_sha256_context sha;
    uint64_t taken;            // bytes, written or in the buffer
    size_t filled;             // of the buffer
    uint64_t whole;            // bytes that are written: whole buffers
    struct volume_digest mark; // of them
    bool busy;                 // a write or a commit is under way
    bool publish;              // the commit makes it an image
    bool hungry;               // the last upload_write() took less than there was
    enum ending ending;
    enum store_status status;
    struct volume_io io;
    struct volume_flush flush;
    struct txn txn;
    struct plat_work end_work;
    struct volume *replaced;
    void (*writable)(void *arg);
    void *arg;
    // of upload_finish()
    struct volume **image;
    store_done done;
    void *done_arg;
    uint8_t buffer[UPLOAD_BUFFER];
};

static void proceed(struct upload *u);

// --- the end of an upload ---

static void nobody(void *arg, enum store_status status)
{
    (void)arg;
    (void)status;
}

static void drop(struct volume *v)
{
    if (!v->recorded) {
        volume_drop(v);
    } else if (volume_delete(v, nobody, NULL) != STORE_OK) {
        plat_log(LOG_WARN, "store: the rest of an upload stays until it is deleted");
    }
}

static void end(struct upload *u)
{
    struct volume *v = u->volume;
    bool published = v->state == VOLUME_READY;

    v->upload = NULL;
    if (u->replaced != NULL && !published) {
        u->replaced->changing = false;
    }
    if (published) {
        *u->image = v;
    } else if (u->ending != SUSPENDS || !v->recorded || v->received == 0) {
        drop(v);
    }
    mbedtls_sha256_free(&u->sha);
    if (u->ending == FINISHES) {
        u->done(u->done_arg, u->status);
    }
    free(u);
}

static void fail(struct upload *u, enum store_status status)
{
    if (u->status == STORE_OK) {
        u->status = status;
    }
}

// --- recording: the volume's row, its map, and then how far it goes ---

static enum store_status row_run(struct txn *t, sqlite3 *db)
{
    struct volume row = *CONTAINER_OF(t, struct upload, txn)->volume;

    row.size = 0;
    return db_status(volume_insert(db, &row));
}

static enum store_status progress_run(struct txn *t, sqlite3 *db)
{
    struct upload *u = CONTAINER_OF(t, struct upload, txn);

    return db_status(db_run(db, "UPDATE volume SET size = ?, progress = ? WHERE id = ?", "ibi",
                            (int64_t)u->whole, &u->mark, sizeof u->mark, (int64_t)u->volume->id));
}

static enum store_status publish_run(struct txn *t, sqlite3 *db)
{
    struct upload *u = CONTAINER_OF(t, struct upload, txn);
    struct volume *v = u->volume;
    int rc = SQLITE_OK;

    if (u->replaced != NULL) {
        rc = db_run(db, "UPDATE volume SET state = ?, name = NULL, parent = NULL WHERE id = ?", "ii",
                    (int64_t)VOLUME_DELETING, (int64_t)u->replaced->id);
    }
    if (rc == SQLITE_OK) {
        rc = db_run(
            db,
            "UPDATE volume SET state = ?, size = ?, sha256 = ?, read_only = 1, progress = NULL, created = ?"
            " WHERE id = ?",
            "iibii", (int64_t)VOLUME_READY, (int64_t)u->taken, v->sha256, sizeof v->sha256, v->created_ms,
            (int64_t)v->id);
    }
    return db_status(rc);
}

static void published(struct upload *u)
{
    struct volume *v = u->volume;

    v->size = u->taken;
    v->state = VOLUME_READY;
    v->read_only = true;
    if (u->replaced != NULL) {
        u->replaced->changing = false;
        volume_purge(u->replaced);
    }
}

static void last_done(struct txn *t, enum store_status status)
{
    struct upload *u = CONTAINER_OF(t, struct upload, txn);

    u->busy = false;
    if (status != STORE_OK) {
        fail(u, status);
    } else if (u->publish) {
        published(u);
    } else {
        u->volume->received = u->whole;
        u->volume->progress = u->mark;
    }
    proceed(u);
}

static void submit(struct upload *u, enum store_status (*run)(struct txn *, sqlite3 *),
                   void (*done)(struct txn *, enum store_status))
{
    u->txn.run = run;
    u->txn.done = done;
    txn_submit(&u->volume->store->txns, &u->txn);
}

static void map_done(struct volume_flush *flush, enum store_status status)
{
    struct upload *u = CONTAINER_OF(flush, struct upload, flush);

    if (status != STORE_OK) {
        u->busy = false;
        fail(u, status);
        proceed(u);
        return;
    }
    submit(u, u->publish ? publish_run : progress_run, last_done);
}

static void flush_map(struct upload *u)
{
    enum store_status status;

    u->flush = (struct volume_flush){.volume = u->volume, .done = map_done};
    status = volume_flush(&u->flush);
    if (status != STORE_OK) {
        u->busy = false;
        fail(u, status);
        proceed(u);
    }
}

static void row_done(struct txn *t, enum store_status status)
{
    struct upload *u = CONTAINER_OF(t, struct upload, txn);

    if (status != STORE_OK) {
        u->busy = false;
        fail(u, status);
        proceed(u);
        return;
    }
    u->volume->recorded = true;
    flush_map(u);
}

static void record(struct upload *u, bool publish)
{
    u->busy = true;
    u->publish = publish;
    if (u->volume->recorded) {
        flush_map(u);
    } else {
        submit(u, row_run, row_done);
    }
}

// --- data ---

static void mark(struct upload *u)
{
    u->whole = u->taken;
    memcpy(u->mark.total, u->sha.total, sizeof u->mark.total);
    memcpy(u->mark.state, u->sha.state, sizeof u->mark.state);
}

static void buffer_written(struct volume_io *io, enum store_status status)
{
    struct upload *u = CONTAINER_OF(io, struct upload, io);

    u->busy = false;
    if (status != STORE_OK) {
        fail(u, status);
    } else if (u->filled == UPLOAD_BUFFER) {
        mark(u);
    }
    u->filled = 0;
    proceed(u);
}

// The last sector is filled up with zeros.
static void write_buffer(struct upload *u)
{
    size_t length = ALIGN_UP(u->filled, (size_t)DISK_SECTOR);

    memset(u->buffer + u->filled, 0, length - u->filled);
    u->busy = true;
    u->volume->size = u->taken;
    u->io = (struct volume_io){.volume = u->volume,
                               .op = VOLUME_WRITE,
                               .offset = u->taken - u->filled,
                               .length = length,
                               .buffer = u->buffer,
                               .done = buffer_written};
    volume_submit(&u->io);
}

static void go_on(struct upload *u)
{
    if (u->whole - u->volume->received >= UPLOAD_RECORD_BYTES) {
        record(u, false);
    } else if (u->hungry) {
        u->hungry = false;
        u->writable(u->arg);
    }
}

// What comes next, when nothing is under way.
static void proceed(struct upload *u)
{
    if (u->busy) {
        return;
    }
    if (u->ending == GOES_ON && u->status == STORE_OK) {
        go_on(u);
    } else if (u->ending == GOES_ON) {
        u->hungry = false;
        u->writable(u->arg); // who finds out why nothing is taken
    } else if (u->status == STORE_OK && u->ending == FINISHES && u->volume->state != VOLUME_READY) {
        if (u->filled > 0) {
            write_buffer(u);
        } else {
            record(u, true);
        }
    } else if (u->status == STORE_OK && u->ending == SUSPENDS && u->whole != u->volume->received) {
        record(u, false);
    } else {
        end(u);
    }
}

size_t upload_write(struct upload *u, const void *data, size_t length)
{
    size_t done = 0;

    while (done < length && !u->busy && u->status == STORE_OK) {
        size_t n = MIN(length - done, UPLOAD_BUFFER - u->filled);

        memcpy(u->buffer + u->filled, (const uint8_t *)data + done, n);
        mbedtls_sha256_update_ret(&u->sha, (const uint8_t *)data + done, n);
        u->filled += n;
        u->taken += n;
        done += n;
        if (u->filled == UPLOAD_BUFFER) {
            write_buffer(u);
        }
    }
    u->hungry = done < length;
    return done;
}

uint64_t upload_received(const struct upload *u)
{
    return u->taken;
}

enum store_status upload_status(const struct upload *u)
{
    return u->status;
}

// --- beginning and ending ---

static void resume(struct upload *u)
{
    struct volume *v = u->volume;

    u->taken = u->whole = v->received;
    u->mark = v->progress;
    memcpy(u->sha.total, u->mark.total, sizeof u->mark.total);
    memcpy(u->sha.state, u->mark.state, sizeof u->mark.state);
}

// The suspended upload to go on with in *found, or NULL for a new one.
static enum store_status find_suspended(struct store *s, const char *name, bool go, struct volume **found)
{
    struct volume *v = volume_in_state(s, VOLUME_IMAGE, VOLUME_UPLOADING, name);

    *found = NULL;
    if (!store_usable(s)) {
        return STORE_IO;
    }
    if (!volume_name_valid(name)) {
        return STORE_INVALID;
    }
    if (v == NULL) {
        return STORE_OK;
    }
    if (v->upload != NULL || v->changing) {
        return STORE_IN_USE;
    }
    if (go) {
        *found = v;
        return STORE_OK;
    }
    return volume_delete(v, nobody, NULL);
}

enum store_status upload_begin(struct store *s, const char *name, bool go, void (*writable)(void *arg),
                               void *arg, struct upload **out)
{
    struct volume *v;
    enum store_status status = find_suspended(s, name, go, &v);
    struct upload *u;

    if (status != STORE_OK) {
        return status;
    }
    u = calloc(1, sizeof *u);
    if (u == NULL || (v == NULL && (u->volume = volume_new(s, VOLUME_IMAGE, name)) == NULL)) {
        free(u);
        return STORE_NO_HEAP;
    }
    mbedtls_sha256_init(&u->sha);
    mbedtls_sha256_starts_ret(&u->sha, 0);
    u->writable = writable;
    u->arg = arg;
    if (v != NULL) {
        u->volume = v;
        resume(u);
    } else {
        u->volume->id = s->next_id++;
        u->volume->state = VOLUME_UPLOADING;
        volume_link(u->volume);
    }
    u->volume->upload = u;
    *out = u;
    return STORE_OK;
}

static void ending(struct plat_work *work)
{
    proceed(CONTAINER_OF(work, struct upload, end_work));
}

// The image of that name is held until the new one has taken its place.
static enum store_status check_finish(struct upload *u, const uint8_t *sha256)
{
    struct volume *v = u->volume;
    struct volume *old = volume_find(v->store, VOLUME_IMAGE, v->name);

    mbedtls_sha256_finish_ret(&u->sha, v->sha256);
    if (u->taken == 0 || (sha256 != NULL && memcmp(sha256, v->sha256, sizeof v->sha256) != 0)) {
        return STORE_MISMATCH;
    }
    if (old != NULL && !volume_unused(old)) {
        return STORE_IN_USE;
    }
    u->replaced = old;
    if (old != NULL) {
        old->changing = true;
    }
    return STORE_OK;
}

void upload_finish(struct upload *u, const uint8_t *sha256, struct volume **image, store_done done, void *arg)
{
    u->ending = FINISHES;
    u->image = image;
    u->done = done;
    u->done_arg = arg;
    u->volume->created_ms = plat_unix_ms();
    if (u->status == STORE_OK) {
        u->status = check_finish(u, sha256);
    }
    plat_post(&u->end_work, ending);
}

void upload_abort(struct upload *u)
{
    u->ending = ABORTS;
    plat_post(&u->end_work, ending);
}

void upload_suspend(struct upload *u)
{
    u->ending = SUSPENDS;
    plat_post(&u->end_work, ending);
}

uint64_t upload_kept(const struct volume *v, bool *active)
{
    *active = v->upload != NULL || v->changing;
    return v->upload != NULL ? v->upload->taken : v->received;
}

struct volume *upload_next(const struct store *s, const struct volume *previous)
{
    struct volume *v = previous == NULL ? s->volumes : previous->next;

    while (v != NULL && v->state != VOLUME_UPLOADING) {
        v = v->next;
    }
    return v;
}
