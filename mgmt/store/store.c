// SPDX-License-Identifier: Apache-2.0
// Opening, formatting and closing.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/store/volume_priv.h"

#define HEAD_BYTES ((size_t)LAYOUT_HEAD_SECTORS * DISK_SECTOR)
#define CLOSE_POLL_NS 1000000ull

const char *store_status_text(enum store_status status)
{
    static const char *const texts[STORE_STATUS_COUNT] = {
        [STORE_OK] = "success",
        [STORE_NOT_FOUND] = "there is no such object in the store",
        [STORE_EXISTS] = "the name is taken",
        [STORE_IN_USE] = "the object is in use",
        [STORE_INVALID] = "the request is not valid",
        [STORE_FULL] = "the store is full",
        [STORE_LIMIT] = "a limit of the store is reached",
        [STORE_NO_HEAP] = "management heap is full",
        [STORE_MISMATCH] = "the content is not what was announced",
        [STORE_IO] = "the state disk failed",
        [STORE_CORRUPT] = "the store is damaged",
        [STORE_FOREIGN] = "the state partition holds something else",
        [STORE_NEWER] = "the store was written by a later version",
    };

    return (unsigned)status < STORE_STATUS_COUNT ? texts[status] : "unknown";
}

void store_fail(struct store *s, const char *why)
{
    s->vfs.failed = true;
    if (s->error[0] == '\0') {
        snprintf(s->error, sizeof s->error, "%s", why);
        plat_log(LOG_ERROR, "store: %s; nothing more is written", why);
    }
}

bool store_usable(const struct store *s)
{
    return !s->vfs.failed && s->open_status == STORE_OK;
}

const char *store_error(const struct store *s)
{
    return s->error;
}

static enum store_status refuse(struct store *s, enum store_status status, const char *why)
{
    snprintf(s->error, sizeof s->error, "%s", why);
    return status;
}

// --- superblock ---

static bool all_zero(const uint8_t *p, size_t length)
{
    return length == 0 || (p[0] == 0 && memcmp(p, p + 1, length - 1) == 0);
}

// Both copies, the second first: a partition with any of them is ours.
static enum store_status write_supers(struct store *s, struct worker *w)
{
    if (worker_write(w, LAYOUT_SUPER_B, &s->super, 1) != DISK_OK || worker_flush(w) != DISK_OK ||
        worker_write(w, LAYOUT_SUPER_A, &s->super, 1) != DISK_OK || worker_flush(w) != DISK_OK) {
        return refuse(s, STORE_IO, "the superblock cannot be written");
    }
    return STORE_OK;
}

static enum store_status format(struct store *s, struct worker *w)
{
    uint8_t uuid[LAYOUT_UUID];

    plat_random(uuid, sizeof uuid);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40); // RFC 4122 section 4.4: random
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
    if (!layout_plan(&s->super, s->disk->sectors, uuid, plat_unix_ms())) {
        return refuse(s, STORE_INVALID, "the state partition is smaller than 16 MiB");
    }
    s->formatted = true;
    return write_supers(s, w);
}

static enum store_status refuse_foreign(struct store *s, const uint8_t *head)
{
    const char *owner = layout_recognise(head, HEAD_BYTES);

    snprintf(s->error, sizeof s->error,
             "the state partition holds %s; wipe its first and last MiB to give it to Keelson",
             owner != NULL ? owner : "data that is not Keelson's");
    return STORE_FOREIGN;
}

// Blank is what has zeros in its first and last MiB, where others keep what they are known by. `head` is overwritten.
static enum store_status format_blank(struct store *s, struct worker *w, uint8_t *head)
{
    if (!all_zero(head, HEAD_BYTES)) {
        return refuse_foreign(s, head);
    }
    if (worker_read(w, s->disk->sectors - LAYOUT_HEAD_SECTORS, head, LAYOUT_HEAD_SECTORS) != DISK_OK) {
        return refuse(s, STORE_IO, "the state partition cannot be read");
    }
    if (!all_zero(head, HEAD_BYTES)) {
        memset(head, 0, HEAD_BYTES); // signatures are those of a beginning
        return refuse_foreign(s, head);
    }
    return format(s, w);
}

static enum store_status judge(struct store *s, struct worker *w, uint8_t *head)
{
    const struct layout_super *a = (const void *)(head + (size_t)LAYOUT_SUPER_A * DISK_SECTOR);
    const struct layout_super *b = (const void *)(head + (size_t)LAYOUT_SUPER_B * DISK_SECTOR);
    enum layout_verdict first = layout_judge(a, s->disk->sectors), second = layout_judge(b, s->disk->sectors);

    if (first == LAYOUT_NEWER || second == LAYOUT_NEWER) {
        return refuse(s, STORE_NEWER, "the store was written by a later version");
    }
    if (first == LAYOUT_OK || second == LAYOUT_OK) {
        s->super = first == LAYOUT_OK ? *a : *b;
        return memcmp(a, b, sizeof *a) == 0 ? STORE_OK : write_supers(s, w); // the other copy is renewed
    }
    if (first == LAYOUT_DAMAGED || second == LAYOUT_DAMAGED) {
        return refuse(s, STORE_CORRUPT, "both superblocks are damaged, or the partition has become smaller");
    }
    return format_blank(s, w, head);
}

static enum store_status find_super(struct store *s, struct worker *w)
{
    enum store_status status;
    uint8_t *head;

    if (s->disk->sectors < LAYOUT_HEAD_SECTORS) {
        return refuse(s, STORE_INVALID, "the state partition is smaller than 16 MiB");
    }
    head = malloc(HEAD_BYTES);
    if (head == NULL) {
        return refuse(s, STORE_NO_HEAP, "management heap is full");
    }
    status = worker_read(w, 0, head, LAYOUT_HEAD_SECTORS) == DISK_OK
                 ? judge(s, w, head)
                 : refuse(s, STORE_IO, "the state partition cannot be read");
    free(head);
    return status;
}

// --- opening, on the database worker's fiber ---

static enum store_status load(struct store *s)
{
    enum store_status status = db_open(&s->db);

    if (status != STORE_OK) {
        return status;
    }
    if (!space_init(&s->space, s->super.extent_count)) {
        return STORE_NO_HEAP;
    }
    status = record_load(s);
    return status == STORE_OK ? volume_load(s) : status;
}

static enum store_status open_all(struct store *s)
{
    enum store_status status = find_super(s, &s->database);

    if (status != STORE_OK) {
        return status;
    }
    if (!vfs_attach(&s->vfs, &s->database, &s->super)) {
        return refuse(s, STORE_IO, "the state partition cannot be read");
    }
    status = load(s);
    return status == STORE_OK ? status : refuse(s, status, store_status_text(status));
}

static void opened(struct plat_work *work)
{
    struct store *s = CONTAINER_OF(work, struct store, report);

    if (s->open_status == STORE_OK) {
        volume_resume_deletions(s);
    }
    s->done(s->done_arg, s->open_status);
}

static void open_job(struct worker_job *job)
{
    struct store *s = CONTAINER_OF(job, struct store, open_job);

    s->open_status = open_all(s);
    txn_init(&s->txns, &s->database, s->db);
    plat_post(&s->report, opened);
}

struct store *store_open(struct disk *disk, store_done done, void *arg)
{
    struct store *s = calloc(1, sizeof *s);

    if (s == NULL || (s->grain = malloc(MAP_GRAIN)) == NULL || !worker_start(&s->database, disk) ||
        !worker_start(&s->content, disk)) {
        if (s != NULL) {
            worker_end(&s->database);
            free(s->grain);
        }
        free(s);
        return NULL;
    }
    s->disk = disk;
    s->done = done;
    s->done_arg = arg;
    s->open_status = STORE_INVALID; // until it is known
    s->open_job.run = open_job;
    worker_queue(&s->database, &s->open_job);
    return s;
}

// --- closing ---

static void closed(struct plat_work *work)
{
    struct store *s = CONTAINER_OF(work, struct store, report);
    store_done done = s->done;
    void *arg = s->done_arg;

    worker_end(&s->database);
    worker_end(&s->content);
    vfs_detach(&s->vfs);
    volume_free_all(s);
    record_free_all(s);
    space_end(&s->space);
    free(s->grain);
    free(s);
    done(arg, STORE_OK);
}

static void close_job(struct worker_job *job)
{
    struct store *s = CONTAINER_OF(job, struct store, open_job);

    db_close(s->db); // reads the journal's end, so on the fiber
    plat_post(&s->report, closed);
}

static bool idle(const struct store *s)
{
    for (const struct volume *v = s->volumes; v != NULL; v = v->next) {
        if (v->busy > 0 || v->upload != NULL) {
            return false;
        }
    }
    return worker_idle(&s->database) && worker_idle(&s->content) && txn_idle(&s->txns) && !s->report.queued;
}

static void close_when_idle(struct plat_timer *t)
{
    struct store *s = CONTAINER_OF(t, struct store, close_timer);

    if (!idle(s)) {
        plat_timer_start(t, CLOSE_POLL_NS, close_when_idle);
        return;
    }
    s->open_job.run = close_job;
    worker_queue(&s->database, &s->open_job);
}

void store_close(struct store *s, store_done done, void *arg)
{
    s->closing = true;
    s->done = done;
    s->done_arg = arg;
    plat_timer_start(&s->close_timer, 0, close_when_idle);
}

void store_get_info(const struct store *s, struct store_info *out)
{
    *out = (struct store_info){
        .created_ms = s->super.created_ms,
        .total_bytes = s->space.count * LAYOUT_EXTENT,
        .free_bytes = (s->space.count - s->space.used) * LAYOUT_EXTENT,
        .database_bytes = s->vfs.length,
        .database_limit = s->super.database_sectors * DISK_SECTOR,
        .commits = s->txns.commits,
        .transactions = s->txns.transactions,
        .fiber_stack = FIBER_STACK,
        .fiber_stack_used = (uint32_t)fiber_stack_used(s->database.fiber),
        .formatted = s->formatted,
        .failed = s->vfs.failed,
    };
    memcpy(out->uuid, s->super.uuid, sizeof out->uuid);
}
