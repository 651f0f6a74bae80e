// SPDX-License-Identifier: Apache-2.0
// The list of volumes: names, creation, resizing, snapshots.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/store/volume_priv.h"

#define SECTOR_MASK ((uint64_t)DISK_SECTOR - 1)

// --- the list ---

struct volume *volume_new(struct store *s, enum volume_kind kind, const char *name)
{
    struct volume *v = calloc(1, sizeof *v);

    if (v == NULL) {
        return NULL;
    }
    v->store = s;
    v->kind = kind;
    v->state = VOLUME_READY;
    v->created_ms = plat_unix_ms();
    snprintf(v->name, sizeof v->name, "%s", name);
    v->flush_last = &v->flush_waiting;
    return v;
}

void volume_free(struct volume *v)
{
    map_free(&v->map);
    free(v->rows);
    free(v);
}

static int compare(const struct volume *v, enum volume_kind kind, const char *name)
{
    return v->kind != kind ? (v->kind < kind ? -1 : 1) : strcmp(v->name, name);
}

void volume_link(struct volume *v)
{
    struct volume **at = &v->store->volumes;

    while (*at != NULL && compare(*at, v->kind, v->name) < 0) {
        at = &(*at)->next;
    }
    v->next = *at;
    *at = v;
}

void volume_unlink(struct volume *v)
{
    for (struct volume **at = &v->store->volumes; *at != NULL; at = &(*at)->next) {
        if (*at == v) {
            *at = v->next;
            return;
        }
    }
}

void volume_free_all(struct store *s)
{
    while (s->volumes != NULL) {
        struct volume *v = s->volumes;

        s->volumes = v->next;
        volume_free(v);
    }
}

void volume_set_parent(struct volume *v, struct volume *parent)
{
    if (v->parent != NULL) {
        v->parent->children--;
    }
    v->parent = parent;
    if (parent != NULL) {
        parent->children++;
    }
}

bool volume_name_valid(const char *name)
{
    size_t length = strlen(name);

    for (size_t i = 0; i < length; i++) {
        if ((uint8_t)name[i] < 0x20 || name[i] == 0x7f) {
            return false;
        }
    }
    return length > 0 && length <= VOLUME_NAME_MAX;
}

struct volume *volume_in_state(const struct store *s, enum volume_kind kind, enum volume_state state,
                               const char *name)
{
    for (struct volume *v = s->volumes; v != NULL; v = v->next) {
        if (v->state == state && compare(v, kind, name) == 0) {
            return v;
        }
    }
    return NULL;
}

struct volume *volume_find(const struct store *s, enum volume_kind kind, const char *name)
{
    return volume_in_state(s, kind, VOLUME_READY, name);
}

struct volume *volume_next(const struct store *s, enum volume_kind kind, const struct volume *previous)
{
    struct volume *v = previous == NULL ? s->volumes : previous->next;

    while (v != NULL && (v->kind != kind || v->state != VOLUME_READY)) {
        v = v->next;
    }
    return v;
}

void volume_get_info(const struct volume *v, struct volume_info *out)
{
    *out = (struct volume_info){
        .id = v->id,
        .kind = v->kind,
        .name = v->name,
        .size = v->size,
        .allocated = v->extents * LAYOUT_EXTENT,
        .read_only = v->read_only,
        .parent = v->parent,
        .children = v->children,
        .opens = v->opens,
        .users = v->users,
        .busy = v->busy > 0 || v->changing,
        .created_ms = v->created_ms,
    };
    memcpy(out->sha256, v->sha256, sizeof out->sha256);
}

void volume_open(struct volume *v)
{
    v->opens++;
}

void volume_close(struct volume *v)
{
    v->opens--;
}

void volume_attach(struct volume *v)
{
    v->users++;
    volume_open(v);
}

void volume_detach(struct volume *v)
{
    v->users--;
    volume_close(v);
}

unsigned volume_depth(const struct volume *v)
{
    unsigned depth = 0;

    for (; v != NULL; v = v->parent) {
        depth++;
    }
    return depth;
}

bool volume_unused(const struct volume *v)
{
    return v->opens == 0 && v->busy == 0 && v->children == 0 && !v->changing;
}

// --- changes: one transaction, then memory follows ---

struct change {
    struct txn txn;
    struct volume *volume;
    struct volume *fresh; // new volume: the disk itself, or the snapshot
    uint64_t value;       // size, or the disk's new id
    struct volume_flush flush;
    store_done done;
    void *arg;
};

static void change_end(struct change *c, enum store_status status)
{
    if (status == STORE_IO) {
        store_fail(c->volume->store, "a transaction could not be written");
    }
    c->done(c->arg, status);
    free(c);
}

static struct change *change_new(struct volume *v, store_done done, void *arg)
{
    struct change *c = calloc(1, sizeof *c);

    if (c != NULL) {
        c->volume = v;
        c->done = done;
        c->arg = arg;
    }
    return c;
}

int volume_insert(sqlite3 *db, const struct volume *v)
{
    return db_run(db,
                  "INSERT INTO volume(id, kind, state, name, size, parent, read_only, created)"
                  " VALUES(?, ?, ?, ?, ?, nullif(?, 0), ?, ?)",
                  "iiitiiii", (int64_t)v->id, (int64_t)v->kind, (int64_t)v->state, v->name, (int64_t)v->size,
                  v->parent != NULL ? (int64_t)v->parent->id : (int64_t)0, (int64_t)v->read_only,
                  v->created_ms);
}

static unsigned count_all(const struct store *s)
{
    unsigned count = 0;

    for (const struct volume *v = s->volumes; v != NULL; v = v->next) {
        count++;
    }
    return count;
}

// A name for a new volume: valid, and neither taken nor about to be.
static enum store_status check_name(const struct store *s, enum volume_kind kind, const char *name)
{
    if (!store_usable(s)) {
        return STORE_IO;
    }
    if (!volume_name_valid(name)) {
        return STORE_INVALID;
    }
    if (volume_find(s, kind, name) != NULL) {
        return STORE_EXISTS;
    }
    return count_all(s) >= VOLUME_COUNT_MAX ? STORE_LIMIT : STORE_OK;
}

static enum store_status create_run(struct txn *t, sqlite3 *db)
{
    return db_status(volume_insert(db, CONTAINER_OF(t, struct change, txn)->volume));
}

static void create_done(struct txn *t, enum store_status status)
{
    struct change *c = CONTAINER_OF(t, struct change, txn);
    struct volume *v = c->volume;
    struct volume *parent = v->parent;

    if (parent != NULL) {
        parent->busy--;
    }
    v->parent = NULL;
    if (status == STORE_OK) {
        volume_set_parent(v, parent);
        v->recorded = true;
        volume_link(v);
        change_end(c, status);
        return;
    }
    change_end(c, status);
    volume_free(v);
}

enum store_status volume_create(struct store *s, const char *name, uint64_t size, struct volume *parent,
                                store_done done, void *arg)
{
    enum store_status status = check_name(s, VOLUME_DISK, name);
    struct change *c;
    struct volume *v;

    if (status != STORE_OK) {
        return status;
    }
    if (size == 0 || size > VOLUME_SIZE_MAX || (size & SECTOR_MASK) != 0 ||
        (parent != NULL && (!parent->read_only || parent->size > size))) {
        return STORE_INVALID;
    }
    if (parent != NULL && (parent->changing || parent->state != VOLUME_READY)) {
        return STORE_IN_USE;
    }
    if (volume_depth(parent) >= VOLUME_DEPTH_MAX) {
        return STORE_LIMIT;
    }
    v = volume_new(s, VOLUME_DISK, name);
    c = v != NULL ? change_new(v, done, arg) : NULL;
    if (c == NULL) {
        free(v);
        return STORE_NO_HEAP;
    }
    v->id = s->next_id++;
    v->size = size;
    v->parent = parent; // counted as its child when it is committed
    if (parent != NULL) {
        parent->busy++;
    }
    c->txn.run = create_run;
    c->txn.done = create_done;
    txn_submit(&s->txns, &c->txn);
    return STORE_OK;
}

static enum store_status resize_run(struct txn *t, sqlite3 *db)
{
    struct change *c = CONTAINER_OF(t, struct change, txn);

    return db_status(db_run(db, "UPDATE volume SET size = ? WHERE id = ?", "ii", (int64_t)c->value,
                            (int64_t)c->volume->id));
}

static void resize_done(struct txn *t, enum store_status status)
{
    struct change *c = CONTAINER_OF(t, struct change, txn);

    c->volume->changing = false;
    if (status == STORE_OK) {
        c->volume->size = c->value;
    }
    change_end(c, status);
}

enum store_status volume_resize(struct volume *v, uint64_t size, store_done done, void *arg)
{
    struct change *c;

    if (!store_usable(v->store)) {
        return STORE_IO;
    }
    if (v->read_only || size < v->size || size > VOLUME_SIZE_MAX || (size & SECTOR_MASK) != 0) {
        return STORE_INVALID;
    }
    if (v->changing) {
        return STORE_IN_USE;
    }
    c = change_new(v, done, arg);
    if (c == NULL) {
        return STORE_NO_HEAP;
    }
    v->changing = true;
    c->value = size;
    c->txn.run = resize_run;
    c->txn.done = resize_done;
    txn_submit(&v->store->txns, &c->txn);
    return STORE_OK;
}

// --- snapshot: the map stays where it is, under the snapshot's name; the disk gets a new row without any ---

static enum store_status snapshot_run(struct txn *t, sqlite3 *db)
{
    struct change *c = CONTAINER_OF(t, struct change, txn);
    struct volume child = *c->volume;
    int rc = db_run(db, "UPDATE volume SET name = ?, read_only = 1, created = ? WHERE id = ?", "tii",
                    c->fresh->name, c->fresh->created_ms, (int64_t)c->volume->id);

    child.parent = c->volume; // whose id will be the snapshot's
    child.id = c->value;
    return db_status(rc == SQLITE_OK ? volume_insert(db, &child) : rc);
}

static void snapshot_done(struct txn *t, enum store_status status)
{
    struct change *c = CONTAINER_OF(t, struct change, txn);
    struct volume *v = c->volume, *base = c->fresh;

    v->changing = false;
    if (status != STORE_OK) {
        volume_free(base);
        change_end(c, status);
        return;
    }
    base->id = v->id;
    base->size = v->size;
    base->read_only = true;
    base->recorded = true;
    base->map = v->map;
    base->extents = v->extents;
    volume_set_parent(base, v->parent);
    volume_link(base);
    v->id = c->value;
    v->map = (struct map){0};
    v->extents = 0;
    volume_set_parent(v, base);
    change_end(c, status);
}

// What was written is in the map now.
static void snapshot_flushed(struct volume_flush *flush, enum store_status status)
{
    struct change *c = CONTAINER_OF(flush, struct change, flush);

    if (status != STORE_OK) {
        snapshot_done(&c->txn, status);
        return;
    }
    c->txn.run = snapshot_run;
    c->txn.done = snapshot_done;
    txn_submit(&c->volume->store->txns, &c->txn);
}

enum store_status volume_snapshot(struct volume *v, const char *name, store_done done, void *arg)
{
    struct store *s = v->store;
    enum store_status status = check_name(s, VOLUME_DISK, name);
    struct change *c;

    if (status != STORE_OK) {
        return status;
    }
    if (v->kind != VOLUME_DISK || v->read_only) {
        return STORE_INVALID;
    }
    if (!volume_unused(v)) {
        return STORE_IN_USE;
    }
    if (volume_depth(v) >= VOLUME_DEPTH_MAX) {
        return STORE_LIMIT;
    }
    c = change_new(v, done, arg);
    if (c == NULL || (c->fresh = volume_new(s, VOLUME_DISK, name)) == NULL) {
        free(c);
        return STORE_NO_HEAP;
    }
    c->value = s->next_id++;
    c->flush = (struct volume_flush){.volume = v, .done = snapshot_flushed};
    status = volume_flush(&c->flush);
    if (status != STORE_OK) {
        volume_free(c->fresh);
        free(c);
        return status;
    }
    v->changing = true;
    return STORE_OK;
}
