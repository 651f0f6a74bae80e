// SPDX-License-Identifier: Apache-2.0
// Batches of transactions, each in a savepoint of its own.
#include "mgmt/store/txn.h"

#include "mgmt/store/db.h"

#define BATCH_MAX 64

bool txn_idle(const struct txn_queue *q)
{
    return q->first == NULL && q->finished == NULL && !q->job_queued;
}

void txn_want_flush(struct txn_queue *q)
{
    q->flush = true;
}

static void tell(struct plat_work *work)
{
    struct txn_queue *q = CONTAINER_OF(work, struct txn_queue, tell);

    while (q->finished != NULL) {
        struct txn *t = q->finished;

        q->finished = t->next;
        if (q->finished == NULL) {
            q->finished_last = &q->finished;
        }
        t->done(t, t->status);
    }
}

static void run_one(struct txn_queue *q, struct txn *t)
{
    int rc = db_exec(q->db, "SAVEPOINT one");

    t->status = rc == SQLITE_OK ? t->run(t, q->db) : db_status(rc);
    if (t->status != STORE_OK) {
        db_exec(q->db, "ROLLBACK TO one"); // fails if SQLite has rolled back everything; commit() sees that
    }
    db_exec(q->db, "RELEASE one");
}

static enum store_status commit(struct txn_queue *q)
{
    uint64_t flushes = q->worker->flushes;
    int rc;

    if (sqlite3_get_autocommit(q->db)) {
        enum store_status status = db_status(sqlite3_errcode(q->db));

        return status == STORE_OK ? STORE_IO : status;
    }
    rc = db_exec(q->db, "COMMIT");
    if (rc != SQLITE_OK) {
        db_exec(q->db, "ROLLBACK");
        return db_status(rc);
    }
    // Without a change in the database SQLite has flushed nothing.
    return q->flush && q->worker->flushes == flushes && worker_flush(q->worker) != DISK_OK ? STORE_IO
                                                                                           : STORE_OK;
}

static void fail_batch(struct txn *batch, enum store_status status)
{
    for (struct txn *t = batch; t != NULL; t = t->next) {
        t->status = status;
    }
}

// Runs `batch`, a list, in one transaction. False: it failed as a whole, and every status says so.
static bool run_batch(struct txn_queue *q, struct txn *batch)
{
    enum store_status status;
    int rc;

    if (q->failed) {
        fail_batch(batch, STORE_IO);
        return false;
    }
    rc = db_exec(q->db, "BEGIN IMMEDIATE");

    q->flush = false;
    // Some errors end the whole transaction; a savepoint opened then would commit by itself.
    for (struct txn *t = batch; t != NULL && !sqlite3_get_autocommit(q->db); t = t->next) {
        run_one(q, t);
    }
    status = rc == SQLITE_OK ? commit(q) : db_status(rc);
    q->commits++;
    if (status == STORE_OK) {
        return true;
    }
    // SQLite could not roll back what is on the disk, and what it has in memory then is neither the old nor the new: it
    // takes commits that write nothing.
    q->failed = status == STORE_IO;
    for (struct txn *t = batch; t != NULL; t = t->next) {
        t->status = t->status == STORE_OK || rc != SQLITE_OK ? status : t->status;
    }
    return false;
}

// One transaction that is too large must not take the others with it.
static void run_each(struct txn_queue *q, struct txn *batch)
{
    for (struct txn *t = batch, *next; t != NULL; t = next) {
        next = t->next;
        t->next = NULL;
        run_batch(q, t);
        t->next = next;
    }
}

static struct txn *take_batch(struct txn_queue *q)
{
    struct txn *batch = q->first, *end = batch;

    for (unsigned i = 1; i < BATCH_MAX && end->next != NULL; i++) {
        end = end->next;
    }
    q->first = end->next;
    if (q->first == NULL) {
        q->last = &q->first;
    }
    end->next = NULL;
    return batch;
}

static void finish(struct txn_queue *q, struct txn *batch)
{
    *q->finished_last = batch;
    for (struct txn *t = batch; t != NULL; t = t->next) {
        q->finished_last = &t->next;
        q->transactions++;
    }
    plat_post(&q->tell, tell);
}

static void run_job(struct worker_job *job)
{
    struct txn_queue *q = CONTAINER_OF(job, struct txn_queue, job);
    struct txn *batch = take_batch(q);

    q->job_queued = false;
    if (!run_batch(q, batch) && batch->next != NULL) {
        run_each(q, batch);
    }
    finish(q, batch);
    if (q->first != NULL && !q->job_queued) {
        q->job_queued = true;
        worker_queue(q->worker, &q->job);
    }
}

void txn_init(struct txn_queue *q, struct worker *worker, sqlite3 *db)
{
    *q = (struct txn_queue){.worker = worker, .db = db};
    q->job.run = run_job;
    q->last = &q->first;
    q->finished_last = &q->finished;
}

void txn_submit(struct txn_queue *q, struct txn *t)
{
    t->next = NULL;
    t->status = STORE_OK;
    *q->last = t;
    q->last = &t->next;
    if (!q->job_queued) {
        q->job_queued = true;
        worker_queue(q->worker, &q->job);
    }
}
