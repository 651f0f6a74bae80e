// SPDX-License-Identifier: Apache-2.0
// Committing maps. One transaction a volume at a time; flushes that come meanwhile share the next one.
//
// The contents that a row speaks of were written before the row is gathered, and SQLite flushes the device (its journal)
// before it writes the row's page: so they are on the medium before the row is.
#include <stdlib.h>
#include <string.h>

#include "mgmt/store/volume_priv.h"

// --- the bitmap ---

static int bitmap_load(sqlite3 *db, uint32_t chunk, uint8_t bits[BITMAP_CHUNK_BYTES])
{
    int rc;
    sqlite3_stmt *row = db_query(db, &rc, "SELECT bits FROM bitmap WHERE chunk = ?", "i", (int64_t)chunk);

    if (row == NULL) {
        return rc;
    }
    memset(bits, 0, BITMAP_CHUNK_BYTES);
    rc = sqlite3_step(row);
    if (rc == SQLITE_ROW) {
        const void *blob = sqlite3_column_blob(row, 0);
        int length = sqlite3_column_bytes(row, 0);

        if (blob != NULL && length == (int)BITMAP_CHUNK_BYTES) {
            memcpy(bits, blob, BITMAP_CHUNK_BYTES);
        } else {
            rc = SQLITE_CORRUPT;
        }
    }
    sqlite3_finalize(row);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int bitmap_save(sqlite3 *db, uint32_t chunk, const uint8_t bits[BITMAP_CHUNK_BYTES])
{
    return db_run(db,
                  "INSERT INTO bitmap(chunk, bits) VALUES(?, ?)"
                  " ON CONFLICT(chunk) DO UPDATE SET bits = excluded.bits",
                  "ib", (int64_t)chunk, bits, (size_t)BITMAP_CHUNK_BYTES);
}

int bitmap_change(sqlite3 *db, const uint32_t *extents, size_t count, bool set)
{
    uint8_t bits[BITMAP_CHUNK_BYTES];
    uint32_t chunk = UINT32_MAX;
    int rc = SQLITE_OK;

    for (size_t i = 0; i < count; i++) {
        uint32_t bit = extents[i] % (BITMAP_CHUNK_BYTES * 8);

        if (extents[i] / (BITMAP_CHUNK_BYTES * 8) != chunk) {
            rc = chunk != UINT32_MAX ? bitmap_save(db, chunk, bits) : SQLITE_OK;
            chunk = extents[i] / (BITMAP_CHUNK_BYTES * 8);
            rc = rc == SQLITE_OK ? bitmap_load(db, chunk, bits) : rc;
        }
        if (rc == SQLITE_OK && (bits[bit / 8] >> bit % 8 & 1) == set) {
            rc = SQLITE_CORRUPT;
        }
        if (rc != SQLITE_OK) {
            return rc;
        }
        bits[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    return chunk != UINT32_MAX ? bitmap_save(db, chunk, bits) : SQLITE_OK;
}

// --- rows ---

static void gather(struct volume *v)
{
    uint64_t slot = v->from;

    v->row_count = 0;
    while (v->row_count < VOLUME_ROWS && map_next_dirty(&v->map, &slot)) {
        const struct map_slot *m = map_find(&v->map, slot);

        v->rows[v->row_count++] = (struct volume_row){
            .slot = slot, .extent = m->extent, .grains = m->grains, .saved = m->saved};
        slot++;
    }
    v->more = v->row_count == VOLUME_ROWS;
}

static int write_row(sqlite3 *db, const struct volume *v, const struct volume_row *row)
{
    if (row->grains == 0) { // discarded
        return db_run(db, "DELETE FROM map WHERE volume = ? AND slot = ?", "ii", (int64_t)v->id,
                      (int64_t)row->slot);
    }
    if (row->saved != 0) {
        return db_run(db, "UPDATE map SET grains = ? WHERE volume = ? AND slot = ?", "iii",
                      (int64_t)row->grains, (int64_t)v->id, (int64_t)row->slot);
    }
    return db_run(db, "INSERT INTO map(volume, slot, extent, grains) VALUES(?, ?, ?, ?)", "iiii",
                  (int64_t)v->id, (int64_t)row->slot, (int64_t)row->extent, (int64_t)row->grains);
}

static int write_rows(sqlite3 *db, const struct volume *v)
{
    uint32_t fresh[VOLUME_ROWS], gone[VOLUME_ROWS];
    size_t fresh_count = 0, gone_count = 0;
    int rc = SQLITE_OK;

    for (size_t i = 0; i < v->row_count && rc == SQLITE_OK; i++) {
        rc = write_row(db, v, &v->rows[i]);
        if (v->rows[i].saved == 0) {
            fresh[fresh_count++] = v->rows[i].extent;
        } else if (v->rows[i].grains == 0) {
            gone[gone_count++] = v->rows[i].extent;
        }
    }
    rc = rc == SQLITE_OK ? bitmap_change(db, fresh, fresh_count, true) : rc;
    return rc == SQLITE_OK ? bitmap_change(db, gone, gone_count, false) : rc;
}

static enum store_status flush_run(struct txn *t, sqlite3 *db)
{
    struct volume *v = CONTAINER_OF(t, struct volume, txn);

    txn_want_flush(&v->store->txns);
    gather(v);
    return db_status(write_rows(db, v));
}

static void flush_done(struct txn *t, enum store_status status);

static void submit(struct volume *v)
{
    v->txn.run = flush_run;
    v->txn.done = flush_done;
    txn_submit(&v->store->txns, &v->txn);
}

// Those that wait are served by the next pass over the map.
static void begin(struct volume *v)
{
    v->flushing = v->flush_waiting;
    v->flush_waiting = NULL;
    v->flush_last = &v->flush_waiting;
    v->from = 0;
    submit(v);
}

static void tell(struct volume *v, enum store_status status)
{
    struct volume_flush *list = v->flushing;

    v->flushing = NULL;
    if (v->flush_waiting != NULL) {
        begin(v);
    } else {
        free(v->rows);
        v->rows = NULL;
    }
    while (list != NULL) {
        struct volume_flush *next = list->next;

        v->busy--;
        list->done(list, status);
        list = next;
    }
}

static void flush_done(struct txn *t, enum store_status status)
{
    struct volume *v = CONTAINER_OF(t, struct volume, txn);
    size_t count = v->row_count;

    if (status == STORE_IO) {
        store_fail(v->store, "a map could not be written");
    }
    v->row_count = 0; // they are no transaction's any more
    for (size_t i = 0; i < count; i++) {
        struct map_slot *slot = map_find(&v->map, v->rows[i].slot);

        if (status == STORE_OK) {
            slot->saved = v->rows[i].grains;
            v->from = v->rows[i].slot + 1;
        }
        volume_release_slot(v, slot); // if all of it was discarded, before the transaction or meanwhile
    }
    if (status == STORE_OK && v->more) {
        submit(v);
        return;
    }
    tell(v, status);
}

enum store_status volume_flush(struct volume_flush *flush)
{
    struct volume *v = flush->volume;

    if (!store_usable(v->store)) {
        return STORE_IO;
    }
    if (v->rows == NULL) {
        v->rows = malloc(VOLUME_ROWS * sizeof *v->rows);
        if (v->rows == NULL) {
            return STORE_NO_HEAP;
        }
    }
    v->busy++;
    flush->next = NULL;
    *v->flush_last = flush;
    v->flush_last = &flush->next;
    if (v->flushing == NULL) {
        begin(v);
    }
    return STORE_OK;
}
