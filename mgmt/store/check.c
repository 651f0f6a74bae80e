// SPDX-License-Identifier: Apache-2.0
// Is the store consistent? Database pages, maps against bitmap, memory against maps.
//
// On the database worker's fiber, so that no transaction comes in between; memory that follows a commit has been told
// before it begins.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/store/report.h"
#include "mgmt/store/volume_priv.h"

struct check {
    struct worker_job job;
    struct plat_work finish;
    struct store *store;
    struct store_report *report;
    struct space seen; // extents that maps name
    enum store_status status;
    store_done done;
    void *arg;
};

void report_problem(struct store_report *report, const char *fmt, ...)
{
    size_t used = strlen(report->text);
    va_list ap;

    report->problems++;
    if (used + STORE_TEXT_MAX < sizeof report->text) {
        va_start(ap, fmt);
        vsnprintf(report->text + used, STORE_TEXT_MAX, fmt, ap);
        va_end(ap);
        used += strlen(report->text + used);
        report->text[used] = '\n'; // there is room for one more, and what follows is zero
    }
}

static int check_pages(struct check *c)
{
    int rc;
    sqlite3_stmt *rows = db_query(c->store->db, &rc, "PRAGMA integrity_check(20)", "");

    if (rows == NULL) {
        return rc;
    }
    while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(rows, 0);

        if (text == NULL || strcmp(text, "ok") != 0) {
            report_problem(c->report, "database: %s", text != NULL ? text : "?");
        }
    }
    sqlite3_finalize(rows);
    return rc;
}

static struct volume *by_id(const struct store *s, uint64_t id)
{
    struct volume *v = s->volumes;

    while (v != NULL && v->id != id) {
        v = v->next;
    }
    return v;
}

static void check_row(struct check *c, uint64_t id, uint64_t slot, uint64_t extent, uint64_t grains)
{
    const struct volume *v = by_id(c->store, id);
    const struct map_slot *m = v != NULL ? map_find(&v->map, slot) : NULL;

    if (!space_claim(&c->seen, extent)) {
        report_problem(c->report, "volume %llu, slot %llu: extent %llu does not exist or belongs to two",
                       (unsigned long long)id, (unsigned long long)slot, (unsigned long long)extent);
    }
    if (v == NULL) {
        report_problem(c->report, "map: there is no volume %llu", (unsigned long long)id);
    } else if (m == NULL || m->extent != extent || m->saved != grains) {
        report_problem(c->report, "volume %llu, slot %llu: memory and database differ",
                       (unsigned long long)id, (unsigned long long)slot);
    }
}

static int check_maps(struct check *c)
{
    int rc;
    sqlite3_stmt *rows = db_query(c->store->db, &rc, "SELECT volume, slot, extent, grains FROM map", "");

    if (rows == NULL) {
        return rc;
    }
    while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
        check_row(c, (uint64_t)sqlite3_column_int64(rows, 0), (uint64_t)sqlite3_column_int64(rows, 1),
                  (uint64_t)sqlite3_column_int64(rows, 2), (uint64_t)sqlite3_column_int64(rows, 3));
    }
    sqlite3_finalize(rows);
    return rc;
}

static bool seen(const struct check *c, uint64_t extent)
{
    return extent < c->seen.count && (c->seen.bits[extent / 64] >> extent % 64 & 1);
}

static uint64_t check_chunk(struct check *c, uint64_t chunk, const uint8_t *bits)
{
    uint64_t set = 0;

    for (uint64_t i = 0; i < BITMAP_CHUNK_BYTES * 8; i++) {
        if (bits[i / 8] >> i % 8 & 1) {
            unsigned long long extent = chunk * BITMAP_CHUNK_BYTES * 8 + i;

            set++;
            if (!seen(c, extent)) {
                report_problem(c->report, "extent %llu is taken in the bitmap and in no map", extent);
            }
        }
    }
    return set;
}

static int check_bitmap(struct check *c)
{
    uint64_t set = 0;
    int rc;
    sqlite3_stmt *rows = db_query(c->store->db, &rc, "SELECT chunk, bits FROM bitmap", "");

    if (rows == NULL) {
        return rc;
    }
    while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
        const uint8_t *bits = sqlite3_column_blob(rows, 1);
        uint64_t chunk = (uint64_t)sqlite3_column_int64(rows, 0);

        if (bits == NULL || sqlite3_column_bytes(rows, 1) != (int)BITMAP_CHUNK_BYTES || chunk > UINT32_MAX) {
            report_problem(c->report, "bitmap: chunk %llu has a wrong size", (unsigned long long)chunk);
        } else {
            set += check_chunk(c, chunk, bits);
        }
    }
    sqlite3_finalize(rows);
    if (set < c->seen.used) {
        report_problem(c->report, "%llu extents are in maps and not in the bitmap",
                       (unsigned long long)(c->seen.used - set));
    }
    return rc;
}

// Extents in memory: each that is taken is some volume's.
static void check_memory(struct check *c)
{
    uint64_t extents = 0;

    for (const struct volume *v = c->store->volumes; v != NULL; v = v->next) {
        extents += v->extents;
    }
    if (extents != c->store->space.used) {
        report_problem(c->report, "%llu extents are taken, volumes have %llu",
                       (unsigned long long)c->store->space.used, (unsigned long long)extents);
    }
}

static enum store_status check_all(struct check *c)
{
    int rc;

    check_memory(c);
    rc = check_pages(c);
    if (rc == SQLITE_DONE) {
        rc = check_maps(c);
    }
    if (rc == SQLITE_DONE) {
        rc = check_bitmap(c);
    }
    if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB) {
        report_problem(c->report, "database: %s", sqlite3_errmsg(c->store->db));
        return STORE_OK;
    }
    return db_status(rc);
}

static void finish(struct plat_work *work)
{
    struct check *c = CONTAINER_OF(work, struct check, finish);

    space_end(&c->seen);
    c->done(c->arg, c->status);
    free(c);
}

static void run(struct worker_job *job)
{
    struct check *c = CONTAINER_OF(job, struct check, job);

    while (c->store->txns.finished != NULL) {
        worker_pause(&c->store->database);
    }
    c->status = check_all(c);
    plat_post(&c->finish, finish);
}

enum store_status store_check(struct store *s, struct store_report *report, store_done done, void *arg)
{
    struct check *c;

    if (s->open_status != STORE_OK) {
        return STORE_IO;
    }
    c = calloc(1, sizeof *c);
    if (c == NULL || !space_init(&c->seen, s->super.extent_count)) {
        free(c);
        return STORE_NO_HEAP;
    }
    memset(report, 0, sizeof *report);
    c->store = s;
    c->report = report;
    c->done = done;
    c->arg = arg;
    c->job.run = run;
    worker_queue(&s->database, &c->job);
    return STORE_OK;
}
