// SPDX-License-Identifier: Apache-2.0
// Deleting: one commit makes a volume invisible; then its map goes row by row, in transactions of bounded size, and
// last its own row. A restart goes on where it was.
#include <stdlib.h>

#include "mgmt/store/volume_priv.h"

// Extents come back when their rows are gone for good.
static void release_rows(struct volume *v)
{
    size_t count = v->row_count;

    v->row_count = 0; // they are no transaction's any more
    for (size_t i = 0; i < count; i++) {
        struct map_slot *slot = map_find(&v->map, v->rows[i].slot);

        slot->grains = slot->saved = 0;
        volume_release_slot(v, slot);
        v->from = v->rows[i].slot + 1;
    }
}

void volume_drop(struct volume *v)
{
    uint64_t at = 0;

    while (map_next_extent(&v->map, &at)) {
        map_find(&v->map, at)->grains = 0;
        volume_release_slot(v, map_find(&v->map, at));
    }
    volume_unlink(v);
    volume_free(v);
}

static void gather(struct volume *v)
{
    uint64_t slot = v->from;

    v->row_count = 0;
    while (v->row_count < VOLUME_ROWS && map_next_extent(&v->map, &slot)) {
        const struct map_slot *m = map_find(&v->map, slot);

        v->rows[v->row_count++] = (struct volume_row){.slot = slot, .extent = m->extent, .saved = m->saved};
        slot++;
    }
    v->more = v->row_count == VOLUME_ROWS;
}

static enum store_status purge_run(struct txn *t, sqlite3 *db)
{
    struct volume *v = CONTAINER_OF(t, struct volume, txn);
    uint32_t saved[VOLUME_ROWS];
    size_t count = 0;
    int rc = SQLITE_OK;

    gather(v);
    for (size_t i = 0; i < v->row_count && rc == SQLITE_OK; i++) {
        if (v->rows[i].saved != 0) {
            saved[count++] = v->rows[i].extent;
            rc = db_run(db, "DELETE FROM map WHERE volume = ? AND slot = ?", "ii", (int64_t)v->id,
                        (int64_t)v->rows[i].slot);
        }
    }
    if (rc == SQLITE_OK) {
        rc = bitmap_change(db, saved, count, false);
    }
    if (rc == SQLITE_OK && !v->more) {
        rc = db_run(db, "DELETE FROM volume WHERE id = ?", "i", (int64_t)v->id);
    }
    return db_status(rc);
}

// On failure the volume stays as it is: invisible, its extents taken, until the store is opened again.
static void purge_done(struct txn *t, enum store_status status)
{
    struct volume *v = CONTAINER_OF(t, struct volume, txn);

    if (status != STORE_OK) {
        plat_log(LOG_ERROR, "store: a deleted volume's space is not free yet: %s", store_status_text(status));
        return;
    }
    release_rows(v);
    if (!v->more) {
        volume_unlink(v);
        volume_free(v);
    } else if (!v->store->closing) {
        txn_submit(&v->store->txns, &v->txn);
    }
}

// Name and parent are free again at once.
static void hide(struct volume *v)
{
    volume_unlink(v);
    volume_set_parent(v, NULL);
    v->state = VOLUME_DELETING;
    v->name[0] = '\0';
    volume_link(v);
}

void volume_purge(struct volume *v)
{
    hide(v);
    v->rows = malloc(VOLUME_ROWS * sizeof *v->rows);
    if (v->rows == NULL || !store_usable(v->store)) {
        return; // the next start goes on
    }
    v->from = 0;
    v->txn.run = purge_run;
    v->txn.done = purge_done;
    txn_submit(&v->store->txns, &v->txn);
}

void volume_resume_deletions(struct store *s)
{
    for (struct volume *v = s->volumes, *next; v != NULL; v = next) {
        next = v->next;
        if (v->state == VOLUME_DELETING) {
            volume_purge(v);
        }
    }
}

// --- the request ---

struct deletion {
    struct txn txn;
    struct volume *volume;
    store_done done;
    void *arg;
};

static enum store_status delete_run(struct txn *t, sqlite3 *db)
{
    struct volume *v = CONTAINER_OF(t, struct deletion, txn)->volume;

    return db_status(db_run(db, "UPDATE volume SET state = ?, name = NULL, parent = NULL WHERE id = ?", "ii",
                            (int64_t)VOLUME_DELETING, (int64_t)v->id));
}

static void delete_done(struct txn *t, enum store_status status)
{
    struct deletion *d = CONTAINER_OF(t, struct deletion, txn);

    d->volume->changing = false;
    if (status == STORE_OK) {
        volume_purge(d->volume);
    } else if (status == STORE_IO) {
        store_fail(d->volume->store, "a deletion could not be written");
    }
    d->done(d->arg, status);
    free(d);
}

enum store_status volume_delete(struct volume *v, store_done done, void *arg)
{
    struct deletion *d;

    if (!store_usable(v->store)) {
        return STORE_IO;
    }
    if (!volume_unused(v)) {
        return STORE_IN_USE;
    }
    d = calloc(1, sizeof *d);
    if (d == NULL) {
        return STORE_NO_HEAP;
    }
    *d = (struct deletion){.volume = v, .done = done, .arg = arg};
    d->txn.run = delete_run;
    d->txn.done = delete_done;
    v->changing = true;
    txn_submit(&v->store->txns, &d->txn);
    return STORE_OK;
}
