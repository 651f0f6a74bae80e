// SPDX-License-Identifier: Apache-2.0
// Opening at boot, settings, checks.
#include <stdlib.h>
#include <string.h>

#include "mgmt/plat.h"
#include "mgmt/state/state_priv.h"
#include "mgmt/store/upload.h"

static struct store *store;
static bool usable;
static const char *place;
static struct block_device *data_plane_medium;
static void (*when_ready)(void);

struct store *state_store(void)
{
    return usable ? store : NULL;
}

enum core_status state_error(struct core_error *error, enum store_status status, const char *what)
{
    static const enum core_status translated[STORE_STATUS_COUNT] = {
        [STORE_OK] = CORE_OK,         [STORE_NOT_FOUND] = CORE_NOT_FOUND, [STORE_EXISTS] = CORE_EXISTS,
        [STORE_IN_USE] = CORE_IN_USE, [STORE_INVALID] = CORE_INVALID,     [STORE_FULL] = CORE_NO_STORAGE,
        [STORE_LIMIT] = CORE_LIMIT,   [STORE_NO_HEAP] = CORE_NO_HEAP,     [STORE_MISMATCH] = CORE_MISMATCH,
        [STORE_IO] = CORE_STORAGE,    [STORE_CORRUPT] = CORE_STORAGE,     [STORE_FOREIGN] = CORE_STORAGE,
        [STORE_NEWER] = CORE_STORAGE,
    };

    return core_fail(error, translated[status], "%s: %s", what, store_status_text(status));
}

// --- requests of the core: an answer always comes from the event loop ---

struct request {
    struct plat_work late; // an answer that needs no waiting
    enum store_status status;
    keeper_done done;
    void *arg;
};

static void answer(void *arg, enum store_status status)
{
    struct request *r = arg;
    struct core_error error;

    if (status != STORE_OK) {
        state_error(&error, status, "setting");
    }
    r->done(r->arg, status != STORE_OK ? &error : NULL);
    free(r);
}

static void answer_late(struct plat_work *work)
{
    struct request *r = CONTAINER_OF(work, struct request, late);

    answer(r, r->status);
}

// NULL, and answered, without memory.
static struct request *begin(const char *name, keeper_done done, void *arg)
{
    struct request *r = calloc(1, sizeof *r);
    struct core_error error;

    if (r == NULL) {
        state_error(&error, STORE_NO_HEAP, name);
        done(arg, &error);
        return NULL;
    }
    r->done = done;
    r->arg = arg;
    return r;
}

// The store has taken it and will answer; or it has not, and the answer comes in a later turn.
static void begun(struct request *r, enum store_status status)
{
    if (status != STORE_OK) {
        r->status = status;
        plat_post(&r->late, answer_late);
    }
}

static void save_setting(const char *name, const void *body, size_t length, keeper_done done, void *arg)
{
    struct request *r = begin(name, done, arg);

    if (r != NULL) {
        begun(r, store_put(store, STORE_SETTING, name, body, length, answer, r));
    }
}

static size_t get_setting(const char *name, void *body, size_t room)
{
    struct store_record record;

    if (!store_get(store, STORE_SETTING, name, &record) || record.length > room) {
        return 0;
    }
    memcpy(body, record.body, record.length);
    return record.length;
}

static void delete_setting(const char *name, keeper_done done, void *arg)
{
    struct request *r = begin(name, done, arg);

    if (r != NULL) {
        begun(r, store_delete(store, STORE_SETTING, name, answer, r));
    }
}

static const char *next_setting(const char *name)
{
    struct store_record record;

    return store_next(store, STORE_SETTING, name, &record) ? record.name : NULL;
}

static void get_info(struct keeper_info *out)
{
    struct store_info info;

    store_get_info(store, &info);
    *out = (struct keeper_info){
        .place = place,
        .total_bytes = info.total_bytes,
        .free_bytes = info.free_bytes,
        .database_bytes = info.database_bytes,
        .database_limit = info.database_limit,
        .commits = info.commits,
        .transactions = info.transactions,
        .problem = store_error(store),
    };
    memcpy(out->uuid, info.uuid, sizeof out->uuid);
}

// --- checks ---

struct check {
    struct store_report report;
    void (*done)(void *arg, const struct keeper_report *report, const struct core_error *error);
    void *arg;
};

static bool checking;

static void check_done(void *arg, enum store_status status)
{
    struct check *c = arg;
    struct keeper_report report = {c->report.problems, c->report.text, c->report.bytes_read};
    struct core_error error;

    checking = false;
    if (status != STORE_OK) {
        state_error(&error, status, "check");
    }
    c->done(c->arg, &report, status != STORE_OK ? &error : NULL);
    free(c);
}

static void check(bool contents,
                  void (*done)(void *arg, const struct keeper_report *report, const struct core_error *error),
                  void *arg)
{
    struct check *c = checking ? NULL : calloc(1, sizeof *c);
    enum store_status status = checking ? STORE_IN_USE : STORE_NO_HEAP;
    struct keeper_report nothing = {0, "", 0};
    struct core_error error;

    if (c != NULL) {
        c->done = done;
        c->arg = arg;
        status = (contents ? store_scrub : store_check)(store, &c->report, check_done, c);
    }
    if (status != STORE_OK) {
        free(c);
        state_error(&error, status, "check");
        done(arg, &nothing, &error);
        return;
    }
    checking = true;
}

// --- boot ---

static void images_loaded(void)
{
    static const struct keeper table = {
        .get_info = get_info,
        .save_image = state_save_image,
        .delete_image = state_delete_image,
        .save_setting = save_setting,
        .get_setting = get_setting,
        .delete_setting = delete_setting,
        .next_setting = next_setting,
        .check = check,
    };

    keeper_set(&table);
    when_ready();
}

static void gone(void *arg, enum store_status status)
{
    (void)arg;
    (void)status;
    when_ready();
}

static void opened(void *arg, enum store_status status)
{
    struct store_info info;

    (void)arg;
    if (status != STORE_OK) {
        plat_log(LOG_ERROR, "store: %s: %s; nothing is kept over a restart", place, store_error(store));
        store_close(store, gone, NULL);
        store = NULL;
        return;
    }
    usable = true;
    state_metrics_init();
    state_disks_init(data_plane_medium);
    state_uploads_init();
    store_get_info(store, &info);
    plat_log(LOG_NOTICE, "store: %s %s, %llu of %llu MB free", place,
             info.formatted ? "formatted" : "mounted", (unsigned long long)info.free_bytes >> 20,
             (unsigned long long)info.total_bytes >> 20);
    state_load_images(images_loaded);
}

void state_start(struct disk *disk, struct block_device *medium, const char *name, void (*ready)(void))
{
    data_plane_medium = medium;
    place = name;
    when_ready = ready;
    store = store_open(disk, opened, NULL);
    if (store == NULL) {
        plat_log(LOG_ERROR, "store: management heap is full; nothing is kept over a restart");
        ready();
    }
}
