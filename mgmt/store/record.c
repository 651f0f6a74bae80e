// SPDX-License-Identifier: Apache-2.0
// Records: a sorted list in memory, a table on disk.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/store/store_priv.h"

struct record {
    struct record *next;
    char kind[STORE_KIND_MAX + 1];
    char name[STORE_NAME_MAX + 1];
    size_t length;
    uint8_t body[]; // and a NUL
};

struct record_change {
    struct txn txn;
    struct store *store;
    struct record *record; // body unused when it is to be deleted
    bool delete;
    store_done done;
    void *arg;
};

static int compare(const struct record *r, const char *kind, const char *name)
{
    int order = strcmp(r->kind, kind);

    return order != 0 ? order : strcmp(r->name, name);
}

static struct record *make(const char *kind, const char *name, const void *body, size_t length)
{
    struct record *r = calloc(1, sizeof *r + length + 1);

    if (r != NULL) {
        snprintf(r->kind, sizeof r->kind, "%s", kind);
        snprintf(r->name, sizeof r->name, "%s", name);
        r->length = length;
        if (length > 0) {
            memcpy(r->body, body, length);
        }
    }
    return r;
}

// Where the record is, or would be.
static struct record **place(struct store *s, const char *kind, const char *name)
{
    struct record **at = &s->records;

    while (*at != NULL && compare(*at, kind, name) < 0) {
        at = &(*at)->next;
    }
    return at;
}

static void take_out(struct store *s, const char *kind, const char *name)
{
    struct record **at = place(s, kind, name), *old = *at;

    if (old != NULL && compare(old, kind, name) == 0) {
        *at = old->next;
        s->record_bytes -= old->length;
        free(old);
    }
}

static void put_in(struct store *s, struct record *r)
{
    struct record **at;

    take_out(s, r->kind, r->name);
    at = place(s, r->kind, r->name);
    r->next = *at;
    *at = r;
    s->record_bytes += r->length;
}

void record_free_all(struct store *s)
{
    while (s->records != NULL) {
        struct record *r = s->records;

        s->records = r->next;
        free(r);
    }
}

// --- changes ---

static enum store_status change_run(struct txn *t, sqlite3 *db)
{
    struct record_change *c = CONTAINER_OF(t, struct record_change, txn);
    struct record *r = c->record;

    if (c->delete) {
        return db_status(
            db_run(db, "DELETE FROM record WHERE kind = ? AND name = ?", "tt", r->kind, r->name));
    }
    return db_status(db_run(db,
                            "INSERT INTO record(kind, name, body) VALUES(?, ?, ?)"
                            " ON CONFLICT(kind, name) DO UPDATE SET body = excluded.body",
                            "ttb", r->kind, r->name, r->body, r->length));
}

static void change_done(struct txn *t, enum store_status status)
{
    struct record_change *c = CONTAINER_OF(t, struct record_change, txn);
    struct store *s = c->store;

    if (status == STORE_OK && !c->delete) {
        put_in(s, c->record);
    } else {
        if (status == STORE_OK) {
            take_out(s, c->record->kind, c->record->name);
        }
        free(c->record);
    }
    if (status == STORE_IO) {
        store_fail(s, "a transaction could not be written");
    }
    c->done(c->arg, status);
    free(c);
}

static enum store_status submit(struct store *s, struct record *r, bool delete, store_done done, void *arg)
{
    struct record_change *c = calloc(1, sizeof *c);

    if (c == NULL || r == NULL) {
        free(c);
        free(r);
        return STORE_NO_HEAP;
    }
    *c = (struct record_change){.store = s, .record = r, .delete = delete, .done = done, .arg = arg};
    c->txn.run = change_run;
    c->txn.done = change_done;
    txn_submit(&s->txns, &c->txn);
    return STORE_OK;
}

static bool names_valid(const char *kind, const char *name)
{
    size_t kind_length = strlen(kind), name_length = strlen(name);

    return kind_length > 0 && kind_length <= STORE_KIND_MAX && name_length > 0 &&
           name_length <= STORE_NAME_MAX;
}

enum store_status store_put(struct store *s, const char *kind, const char *name, const void *body,
                            size_t length, store_done done, void *arg)
{
    if (!store_usable(s)) {
        return STORE_IO;
    }
    if (!names_valid(kind, name)) {
        return STORE_INVALID;
    }
    if (length > STORE_BODY_MAX || s->record_bytes + length > STORE_RECORDS_MAX) {
        return STORE_LIMIT;
    }
    return submit(s, make(kind, name, body, length), false, done, arg);
}

enum store_status store_delete(struct store *s, const char *kind, const char *name, store_done done,
                               void *arg)
{
    if (!store_usable(s)) {
        return STORE_IO;
    }
    return names_valid(kind, name) ? submit(s, make(kind, name, NULL, 0), true, done, arg) : STORE_INVALID;
}

// --- reading ---

static void describe(const struct record *r, struct store_record *out)
{
    *out = (struct store_record){.kind = r->kind, .name = r->name, .body = r->body, .length = r->length};
}

bool store_get(const struct store *s, const char *kind, const char *name, struct store_record *out)
{
    for (const struct record *r = s->records; r != NULL; r = r->next) {
        if (compare(r, kind, name) == 0) {
            describe(r, out);
            return true;
        }
    }
    return false;
}

bool store_next(const struct store *s, const char *kind, const char *name, struct store_record *out)
{
    for (const struct record *r = s->records; r != NULL; r = r->next) {
        if (strcmp(r->kind, kind) == 0 && (name == NULL || strcmp(r->name, name) > 0)) {
            describe(r, out);
            return true;
        }
    }
    return false;
}

// --- opening ---

static enum store_status load_row(struct store *s, sqlite3_stmt *row)
{
    const char *kind = (const char *)sqlite3_column_text(row, 0),
               *name = (const char *)sqlite3_column_text(row, 1);
    const void *body = sqlite3_column_blob(row, 2);
    int length = sqlite3_column_bytes(row, 2);
    struct record *r;

    if (kind == NULL || name == NULL || !names_valid(kind, name) || length < 0 ||
        (uint32_t)length > STORE_BODY_MAX || s->record_bytes + (size_t)length > STORE_RECORDS_MAX) {
        return STORE_CORRUPT;
    }
    r = make(kind, name, body, body == NULL ? 0 : (size_t)length);
    if (r == NULL) {
        return STORE_NO_HEAP;
    }
    put_in(s, r);
    return STORE_OK;
}

enum store_status record_load(struct store *s)
{
    enum store_status status = STORE_OK;
    int rc;
    sqlite3_stmt *rows = db_query(s->db, &rc, "SELECT kind, name, body FROM record", "");

    if (rows == NULL) {
        return db_status(rc);
    }
    while (status == STORE_OK && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
        status = load_row(s, rows);
    }
    sqlite3_finalize(rows);
    return status != STORE_OK ? status : db_status(rc);
}
