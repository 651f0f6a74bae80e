// SPDX-License-Identifier: Apache-2.0
// SQLite set up for one owner, a disk that may lose power, and contents that may be damaged.
#include "mgmt/store/db.h"

#include <stdarg.h>
#include <string.h>

#include "mgmt/plat.h"

// Each entry leads from the version of its index to the next one; entries never change once released.
static const char *const migrations[] = {
    // A record is a setting (kind "setting") or a definition. A volume is an image, a disk or a snapshot; a row of
    // map says which extent holds the MiB `slot` of a volume and which of its 16 grains are there; a bit of bitmap
    // is set when the extent has a row in map.
    "CREATE TABLE record(kind TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY(kind, name))"
    " WITHOUT ROWID;"
    "CREATE TABLE volume(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, state INTEGER NOT NULL, name TEXT,"
    " size INTEGER NOT NULL, parent INTEGER REFERENCES volume(id), read_only INTEGER NOT NULL,"
    " created INTEGER NOT NULL, sha256 BLOB, progress BLOB, UNIQUE(kind, state, name));"
    "CREATE TABLE map(volume INTEGER NOT NULL REFERENCES volume(id), slot INTEGER NOT NULL,"
    " extent INTEGER NOT NULL, grains INTEGER NOT NULL, PRIMARY KEY(volume, slot)) WITHOUT ROWID;"
    "CREATE TABLE bitmap(chunk INTEGER PRIMARY KEY, bits BLOB NOT NULL);",
};

enum store_status db_status(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return STORE_OK;
    case SQLITE_FULL:
    case SQLITE_TOOBIG:
        return STORE_FULL;
    case SQLITE_NOMEM:
        return STORE_NO_HEAP;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return STORE_IO;
    case SQLITE_CONSTRAINT:
        return STORE_EXISTS;
    default:
        return STORE_CORRUPT;
    }
}

int db_exec(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int bind(sqlite3_stmt *stmt, const char *types, va_list ap)
{
    int rc = SQLITE_OK;

    for (int i = 1; types[i - 1] != '\0' && rc == SQLITE_OK; i++) {
        if (types[i - 1] == 'i') {
            rc = sqlite3_bind_int64(stmt, i, va_arg(ap, int64_t));
        } else if (types[i - 1] == 't') {
            rc = sqlite3_bind_text(stmt, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
        } else {
            const void *blob = va_arg(ap, const void *);
            size_t length = va_arg(ap, size_t);

            rc = blob == NULL  ? sqlite3_bind_null(stmt, i)
                 : length == 0 ? sqlite3_bind_zeroblob(stmt, i, 0)
                               : sqlite3_bind_blob(stmt, i, blob, (int)length, SQLITE_STATIC);
        }
    }
    return rc;
}

static sqlite3_stmt *prepare(sqlite3 *db, int *rc, const char *sql, const char *types, va_list ap)
{
    sqlite3_stmt *stmt = NULL;

    *rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (*rc == SQLITE_OK) {
        *rc = bind(stmt, types, ap);
    }
    if (*rc != SQLITE_OK) {
        sqlite3_finalize(stmt);
        return NULL;
    }
    return stmt;
}

sqlite3_stmt *db_query(sqlite3 *db, int *rc, const char *sql, const char *types, ...)
{
    sqlite3_stmt *stmt;
    va_list ap;

    va_start(ap, types);
    stmt = prepare(db, rc, sql, types, ap);
    va_end(ap);
    return stmt;
}

int db_run(sqlite3 *db, const char *sql, const char *types, ...)
{
    sqlite3_stmt *stmt;
    va_list ap;
    int rc;

    va_start(ap, types);
    stmt = prepare(db, &rc, sql, types, ap);
    va_end(ap);
    if (stmt == NULL) {
        return rc;
    }
    rc = sqlite3_step(stmt);
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int user_version(sqlite3 *db, int64_t *out)
{
    int rc;
    sqlite3_stmt *stmt = db_query(db, &rc, "PRAGMA user_version", "");

    if (stmt == NULL) {
        return rc;
    }
    rc = sqlite3_step(stmt);
    *out = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

// All missing steps in one transaction.
static enum store_status migrate(sqlite3 *db)
{
    char set[48];
    int64_t version = -1;
    int rc = user_version(db, &version);

    if (rc != SQLITE_OK) {
        return db_status(rc);
    }
    if (version > (int64_t)ARRAY_LEN(migrations)) {
        return STORE_NEWER;
    }
    if (version < 0) {
        return STORE_CORRUPT;
    }
    if (version == (int64_t)ARRAY_LEN(migrations)) {
        return STORE_OK;
    }
    rc = db_exec(db, "BEGIN IMMEDIATE");
    for (size_t i = (size_t)version; i < ARRAY_LEN(migrations) && rc == SQLITE_OK; i++) {
        rc = db_exec(db, migrations[i]);
    }
    sqlite3_snprintf(sizeof set, set, "PRAGMA user_version=%d; COMMIT", (int)ARRAY_LEN(migrations));
    return db_status(rc == SQLITE_OK ? db_exec(db, set) : rc);
}

// The database is trusted no further than its pages can be: definitions in a damaged schema must not run.
static int set_up(sqlite3 *db)
{
    int rc = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    }
    if (rc != SQLITE_OK) {
        return rc;
    }
    return db_exec(db, "PRAGMA page_size=4096; PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=PERSIST;"
                       "PRAGMA synchronous=FULL; PRAGMA cache_size=256; PRAGMA trusted_schema=OFF;"
                       "PRAGMA cell_size_check=ON; PRAGMA foreign_keys=ON;");
}

enum store_status db_open(sqlite3 **out)
{
    enum store_status status;
    sqlite3 *db = NULL;
    int rc = sqlite3_initialize();

    *out = NULL;
    if (rc == SQLITE_OK) {
        rc = sqlite3_open_v2(VFS_DATABASE, &db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXRESCODE, VFS_NAME);
    }
    if (rc == SQLITE_OK) {
        rc = set_up(db);
    }
    status = rc == SQLITE_OK ? migrate(db) : db_status(rc);
    if (status != STORE_OK) {
        plat_log(LOG_ERROR, "store: database: %s", db != NULL ? sqlite3_errmsg(db) : "no memory");
        db_close(db);
        return status;
    }
    *out = db;
    return STORE_OK;
}

void db_close(sqlite3 *db)
{
    sqlite3_close(db);
}
