// SPDX-License-Identifier: Apache-2.0
// Transactions with group commit: what is queued while a commit is under way shares the next one.
#ifndef MGMT_STORE_TXN_H
#define MGMT_STORE_TXN_H

#include <sqlite3.h>

#include "mgmt/plat.h"
#include "mgmt/store/status.h"
#include "mgmt/store/worker.h"

struct txn {
    struct txn *next;
    // On the database worker's fiber, inside a transaction; may be called again if a shared commit failed. An error
    // undoes this transaction alone.
    enum store_status (*run)(struct txn *t, sqlite3 *db);
    // On the event loop, when the commit is durable or has failed.
    void (*done)(struct txn *t, enum store_status status);
    enum store_status status;
};

struct txn_queue {
    struct worker *worker;
    sqlite3 *db;
    struct txn *first, **last;             // waiting
    struct txn *finished, **finished_last; // to be told
    struct worker_job job;
    struct plat_work tell;
    bool job_queued;
    bool failed; // a commit could not be written: every transaction fails until the store is opened again
    bool flush;  // a transaction of this batch wants a flush although it may not change anything
    uint64_t commits, transactions;
};

void txn_init(struct txn_queue *q, struct worker *worker, sqlite3 *db);
void txn_submit(struct txn_queue *q, struct txn *t);
// From run(): all writes done so far are on the medium before done(), even if the database does not change.
void txn_want_flush(struct txn_queue *q);
bool txn_idle(const struct txn_queue *q);

#endif
