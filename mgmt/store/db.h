// SPDX-License-Identifier: Apache-2.0
// The database: opening, schema and its migrations, short forms of SQLite's calls. Database worker's fiber only.
#ifndef MGMT_STORE_DB_H
#define MGMT_STORE_DB_H

#include <sqlite3.h>

#include "mgmt/store/status.h"
#include "mgmt/store/vfs.h"

// What a result code of SQLite means for the store's callers.
enum store_status db_status(int rc);

// Opens the attached VFS' database, sets it up and brings its schema to the present version.
enum store_status db_open(sqlite3 **out);
void db_close(sqlite3 *db);

int db_exec(sqlite3 *db, const char *sql);
// One statement. `types` has a letter for each parameter: i (int64_t), t (const char *, NULL allowed), b (const void *,
// size_t; NULL allowed). Texts and blobs must stay until the statement is finished. NULL: *rc says why.
sqlite3_stmt *db_query(sqlite3 *db, int *rc, const char *sql, const char *types, ...);
// The same for a statement without rows.
int db_run(sqlite3 *db, const char *sql, const char *types, ...);

#endif
