// SPDX-License-Identifier: Apache-2.0
// Volumes and maps out of the database, at opening. Nothing in it is trusted.
#include <string.h>

#include "mgmt/store/volume_priv.h"

static struct volume *by_id(const struct store *s, uint64_t id)
{
    for (struct volume *v = s->volumes; v != NULL; v = v->next) {
        if (v->id == id) {
            return v;
        }
    }
    return NULL;
}

// A parent has a lower id, so that it is there already and no chain is a circle.
static bool find_parent(struct store *s, struct volume *v, int64_t id)
{
    struct volume *parent;

    if (id == 0) {
        return true;
    }
    parent = by_id(s, (uint64_t)id);
    if (parent == NULL || !parent->read_only || parent->state != VOLUME_READY || parent->size > v->size ||
        volume_depth(parent) >= VOLUME_DEPTH_MAX) {
        return false;
    }
    volume_set_parent(v, parent);
    return true;
}

static bool fixed_blob(sqlite3_stmt *row, int column, void *out, size_t length)
{
    const void *blob = sqlite3_column_blob(row, column);

    if (blob == NULL || sqlite3_column_bytes(row, column) != (int)length) {
        return false;
    }
    memcpy(out, blob, length);
    return true;
}

static bool row_valid(sqlite3_stmt *row, const char *name)
{
    int64_t kind = sqlite3_column_int64(row, 1), state = sqlite3_column_int64(row, 2),
            size = sqlite3_column_int64(row, 4);

    return sqlite3_column_int64(row, 0) > 0 && (kind == VOLUME_IMAGE || kind == VOLUME_DISK) &&
           state >= VOLUME_UPLOADING && state <= VOLUME_DELETING && size >= 0 &&
           (uint64_t)size <= VOLUME_SIZE_MAX &&
           (state == VOLUME_DELETING || (name != NULL && volume_name_valid(name)));
}

static bool fill_row(struct volume *v, sqlite3_stmt *row)
{
    v->id = (uint64_t)sqlite3_column_int64(row, 0);
    v->state = (enum volume_state)sqlite3_column_int64(row, 2);
    v->size = (uint64_t)sqlite3_column_int64(row, 4);
    v->read_only = sqlite3_column_int64(row, 6) != 0;
    v->created_ms = sqlite3_column_int64(row, 7);
    v->recorded = true;
    if (v->kind == VOLUME_IMAGE && v->state == VOLUME_READY) {
        return fixed_blob(row, 8, v->sha256, sizeof v->sha256);
    }
    if (v->kind == VOLUME_IMAGE && v->state == VOLUME_UPLOADING && sqlite3_column_bytes(row, 9) != 0) {
        v->received = v->size;
        return fixed_blob(row, 9, &v->progress, sizeof v->progress) && v->received % 64 == 0;
    }
    return true;
}

static enum store_status load_volume(struct store *s, sqlite3_stmt *row)
{
    const char *name = (const char *)sqlite3_column_text(row, 3);
    struct volume *v;

    if (!row_valid(row, name)) {
        return STORE_CORRUPT;
    }
    v = volume_new(s, (enum volume_kind)sqlite3_column_int64(row, 1),
                   name != NULL && volume_name_valid(name) ? name : "");
    if (v == NULL) {
        return STORE_NO_HEAP;
    }
    if (!fill_row(v, row) || !find_parent(s, v, sqlite3_column_int64(row, 5))) {
        volume_free(v);
        return STORE_CORRUPT;
    }
    s->next_id = v->id + 1;
    volume_link(v);
    return STORE_OK;
}

static enum store_status load_slot(struct store *s, struct volume **volume, sqlite3_stmt *row)
{
    uint64_t id = (uint64_t)sqlite3_column_int64(row, 0), slot = (uint64_t)sqlite3_column_int64(row, 1),
             extent = (uint64_t)sqlite3_column_int64(row, 2), grains = (uint64_t)sqlite3_column_int64(row, 3);
    struct map_slot *m;

    if (*volume == NULL || (*volume)->id != id) {
        *volume = by_id(s, id);
    }
    if (*volume == NULL || slot >= VOLUME_SIZE_MAX / LAYOUT_EXTENT || grains == 0 || grains > UINT16_MAX ||
        !space_claim(&s->space, extent)) {
        return STORE_CORRUPT;
    }
    m = map_touch(&(*volume)->map, slot);
    if (m == NULL) {
        return STORE_NO_HEAP;
    }
    *m = (struct map_slot){.extent = (uint32_t)extent, .grains = (uint16_t)grains, .saved = (uint16_t)grains};
    (*volume)->extents++;
    return STORE_OK;
}

static enum store_status load_volumes(struct store *s)
{
    enum store_status status = STORE_OK;
    int rc;
    sqlite3_stmt *rows = db_query(
        s->db, &rc,
        "SELECT id, kind, state, name, size, ifnull(parent, 0), read_only, created, sha256,"
        " progress FROM volume ORDER BY id",
        "");

    if (rows == NULL) {
        return db_status(rc);
    }
    while (status == STORE_OK && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
        status = load_volume(s, rows);
    }
    sqlite3_finalize(rows);
    return status != STORE_OK ? status : db_status(rc);
}

static enum store_status load_maps(struct store *s)
{
    enum store_status status = STORE_OK;
    struct volume *volume = NULL;
    int rc;
    sqlite3_stmt *rows = db_query(s->db, &rc,
                                  "SELECT volume, slot, extent, grains FROM map ORDER BY volume, slot", "");

    if (rows == NULL) {
        return db_status(rc);
    }
    while (status == STORE_OK && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
        status = load_slot(s, &volume, rows);
    }
    sqlite3_finalize(rows);
    return status != STORE_OK ? status : db_status(rc);
}

enum store_status volume_load(struct store *s)
{
    enum store_status status;

    s->next_id = 1;
    status = load_volumes(s);
    return status == STORE_OK ? load_maps(s) : status;
}
