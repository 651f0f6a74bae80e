// SPDX-License-Identifier: Apache-2.0
// Disks of the store as objects: list, create, resize, snapshot, remove.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/event.h"
#include "mgmt/plat.h"
#include "mgmt/state/state_activity.h"
#include "mgmt/state/state_disk.h"
#include "mgmt/state/state_priv.h"
#include "mgmt/store/volume.h"

#define BUSY_POLL_NS 1000000ull

// --- what there is ---

static void describe(const struct volume *v, struct kept_disk_info *out)
{
    struct volume_info info, base = {.name = ""};

    volume_get_info(v, &info);
    if (info.parent != NULL) {
        volume_get_info(info.parent, &base);
    }
    *out = (struct kept_disk_info){
        .name = info.name,
        .size = info.size,
        .allocated = info.allocated,
        .base = base.name,
        .base_is_image = info.parent != NULL && base.kind == VOLUME_IMAGE,
        .read_only = info.read_only,
        .children = info.children,
        .users = info.users,
        .created_ms = info.created_ms,
    };
}

static struct volume *find(const char *name)
{
    return volume_find(state_store(), VOLUME_DISK, name);
}

static bool find_disk(const char *name, struct kept_disk_info *out)
{
    const struct volume *v = find(name);

    if (v != NULL) {
        describe(v, out);
    }
    return v != NULL;
}

static bool next_disk(const void **cursor, struct kept_disk_info *out)
{
    const struct volume *v = volume_next(state_store(), VOLUME_DISK, *cursor);

    if (v != NULL) {
        describe(v, out);
    }
    *cursor = v;
    return v != NULL;
}

static void hold_disk(const char *name)
{
    volume_attach(find(name));
}

static void release_disk(const char *name)
{
    volume_detach(find(name)); // held, hence still there
}

// --- changes: an answer always comes from the event loop ---

struct change {
    struct plat_timer timer; // while the disk is busy, and for what is refused at once
    enum { CREATE, RESIZE, SNAPSHOT, REMOVE } what;
    char name[KEPT_DISK_NAME_MAX + 1], other[KEPT_DISK_NAME_MAX + 1];
    uint64_t size;
    bool image;
    struct core_error error; // refused
    keeper_done done;
    void *arg;
};

static void tell(struct change *c)
{
    if (c->error.status == CORE_OK && c->what == CREATE) {
        event_post(EVENT_DISK_CREATED, c->name, "%llu bytes", (unsigned long long)c->size);
    } else if (c->error.status == CORE_OK && c->what == SNAPSHOT) {
        event_post(EVENT_DISK_CREATED, c->other, "snapshot of '%s'", c->name);
    } else if (c->error.status == CORE_OK && c->what == REMOVE) {
        activity_forget(c->name);
        event_post(EVENT_DISK_DELETED, c->name, "deleted");
    }
    c->done(c->arg, c->error.status != CORE_OK ? &c->error : NULL);
    free(c);
}

static void changed(void *arg, enum store_status status)
{
    struct change *c = arg;
    char what[KEPT_DISK_NAME_MAX + 16];

    if (status != STORE_OK) {
        snprintf(what, sizeof what, "disk '%s'",
                 c->what == SNAPSHOT && status == STORE_EXISTS ? c->other : c->name);
        state_error(&c->error, status, what);
    }
    tell(c);
}

static bool name_valid(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

    return length > 0 && length <= KEPT_DISK_NAME_MAX && name[length] == '\0' &&
           strchr("._-", name[0]) == NULL;
}

static void check_new_name(const char *name, struct core_error *error)
{
    if (!name_valid(name)) {
        core_fail(
            error, CORE_INVALID,
            "disk name must be 1 to %d letters, digits, '.', '_' or '-', beginning with a letter or digit",
            KEPT_DISK_NAME_MAX);
    } else if (find(name) != NULL) {
        core_fail(error, CORE_EXISTS, "there is already a disk '%s'", name);
    }
}

// The base in *out, NULL for none; its size becomes the disk's if that has none.
static void find_base(struct change *c, struct volume **out)
{
    struct volume_info info;

    *out = NULL;
    if (c->other[0] == '\0') {
        return;
    }
    if (!name_valid(c->other)) {
        core_fail(&c->error, CORE_INVALID, "'%s' cannot be the name of a disk's base", c->other);
        return;
    }
    *out = volume_find(state_store(), c->image ? VOLUME_IMAGE : VOLUME_DISK, c->other);
    if (*out == NULL) {
        core_fail(&c->error, CORE_NOT_FOUND, "there is no %s '%s'", c->image ? "image" : "snapshot",
                  c->other);
        return;
    }
    volume_get_info(*out, &info);
    if (!info.read_only) {
        core_fail(&c->error, CORE_INVALID, "disk '%s' is no snapshot; take one of it first", c->other);
    }
    info.size = ALIGN_UP(info.size, (uint64_t)BLOCK_SECTOR);
    c->size = c->size == 0 ? info.size : c->size;
    if (c->size < info.size) {
        core_fail(&c->error, CORE_INVALID, "%llu bytes are less than those of '%s', %llu",
                  (unsigned long long)c->size, c->other, (unsigned long long)info.size);
    }
}

static enum store_status start_create(struct change *c)
{
    struct volume *base;

    check_new_name(c->name, &c->error);
    if (c->error.status != CORE_OK) {
        return STORE_OK;
    }
    find_base(c, &base);
    if (c->error.status == CORE_OK &&
        (c->size == 0 || c->size % BLOCK_SECTOR != 0 || c->size > VOLUME_SIZE_MAX)) {
        core_fail(&c->error, CORE_INVALID, "the size of a disk is a multiple of %u bytes, at most 16 TiB",
                  BLOCK_SECTOR);
    }
    return c->error.status != CORE_OK ? STORE_OK
                                      : volume_create(state_store(), c->name, c->size, base, changed, c);
}

static enum store_status start_resize(struct change *c, struct volume *v, const struct volume_info *info)
{
    if (info->read_only || c->size < info->size || c->size % BLOCK_SECTOR != 0 || c->size > VOLUME_SIZE_MAX) {
        core_fail(&c->error, CORE_INVALID, "%s",
                  info->read_only
                      ? "a snapshot keeps its size"
                      : "a disk only becomes larger, by multiples of 512 bytes, to at most 16 TiB");
        return STORE_OK;
    }
    return volume_resize(v, c->size, changed, c);
}

static enum store_status start_snapshot(struct change *c, struct volume *v, const struct volume_info *info)
{
    if (info->read_only) {
        core_fail(&c->error, CORE_INVALID, "disk '%s' is a snapshot itself", c->name);
    }
    if (info->users > 0) {
        core_fail(&c->error, CORE_IN_USE, "disk '%s' belongs to a system; end it first", c->name);
    }
    return c->error.status != CORE_OK ? STORE_OK : volume_snapshot(v, c->other, changed, c);
}

static enum store_status start_remove(struct change *c, struct volume *v, const struct volume_info *info)
{
    if (info->users > 0) {
        core_fail(&c->error, CORE_IN_USE, "disk '%s' belongs to a system; end it first", c->name);
    } else if (info->children > 0) {
        core_fail(&c->error, CORE_IN_USE, "disk '%s' is the base of %u disk(s); delete them first", c->name,
                  info->children);
    }
    return c->error.status != CORE_OK ? STORE_OK : volume_delete(v, changed, c);
}

static enum store_status start_on(struct change *c, struct volume *v, const struct volume_info *info)
{
    switch (c->what) {
    case RESIZE:
        return start_resize(c, v, info);
    case SNAPSHOT:
        return start_snapshot(c, v, info);
    default:
        return start_remove(c, v, info);
    }
}

// Waits for the last flush of a guest that has ended, so that a client need not.
static void start(struct plat_timer *timer)
{
    struct change *c = CONTAINER_OF(timer, struct change, timer);
    struct volume *v = find(c->name);
    enum store_status status = STORE_OK;
    struct volume_info info;

    if (c->what == SNAPSHOT) {
        check_new_name(c->other, &c->error);
    }
    if (c->error.status != CORE_OK) {
        tell(c);
        return;
    }
    if (c->what == CREATE) {
        status = start_create(c);
    } else if (v == NULL) {
        core_fail(&c->error, CORE_NOT_FOUND, "there is no disk '%s'", c->name);
    } else {
        volume_get_info(v, &info);
        if (info.busy && info.opens == 0) {
            plat_timer_start(timer, BUSY_POLL_NS, start);
            return;
        }
        status = start_on(c, v, &info);
    }
    if (status != STORE_OK) {
        changed(c, status);
    } else if (c->error.status != CORE_OK) {
        tell(c);
    }
}

static void begin(const struct change *what, const char *name, const char *other, keeper_done done, void *arg)
{
    struct change *c = malloc(sizeof *c);
    struct core_error error;

    if (c == NULL) {
        state_error(&error, STORE_NO_HEAP, "disk");
        done(arg, &error);
        return;
    }
    *c = *what;
    snprintf(c->name, sizeof c->name, "%s", name);
    snprintf(c->other, sizeof c->other, "%s", other);
    c->done = done;
    c->arg = arg;
    if (strlen(name) >= sizeof c->name || strlen(other) >= sizeof c->other) { // not cut to somebody else's
        c->name[0] = c->other[0] = '\0';
    }
    plat_timer_start(&c->timer, 0, start);
}

static void create_disk(const char *name, uint64_t size, const char *base, bool base_is_image,
                        keeper_done done, void *arg)
{
    begin(&(struct change){.what = CREATE, .size = size, .image = base_is_image}, name, base, done, arg);
}

static void resize_disk(const char *name, uint64_t size, keeper_done done, void *arg)
{
    begin(&(struct change){.what = RESIZE, .size = size}, name, "", done, arg);
}

static void snapshot_disk(const char *name, const char *snapshot, keeper_done done, void *arg)
{
    begin(&(struct change){.what = SNAPSHOT}, name, snapshot, done, arg);
}

static void remove_disk(const char *name, keeper_done done, void *arg)
{
    begin(&(struct change){.what = REMOVE}, name, "", done, arg);
}

void state_disks_init(struct block_device *medium)
{
    static const struct disk_keeper table = {
        .find = find_disk,
        .next = next_disk,
        .create = create_disk,
        .resize = resize_disk,
        .snapshot = snapshot_disk,
        .remove = remove_disk,
        .hold = hold_disk,
        .release = release_disk,
        .open = state_disk_open,
        .device = state_disk_device,
        .close = state_disk_close,
    };

    state_disk_serve(medium);
    disk_keeper_set(&table);
}
