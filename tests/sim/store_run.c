// SPDX-License-Identifier: Apache-2.0
// The model behind store_run.h.
//
// Records: each has a number of the version that was acknowledged and of the last one asked for; after a cut any from
// the first to the last may be there. Disks: the same for each sector, whose content names its writer, its place and
// its version. One operation an object is under way at a time, all objects at once.
#include "tests/sim/store_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/store/store.h"
#include "mgmt/store/upload.h"
#include "mgmt/store/volume.h"
#include "tests/sim/disk_sim.h"
#include "tests/sim/plat_host.h"

#define PARTITION_SECTORS (30u * 2048u) // 23 extents
#define KEYS 5u
#define DISKS 4u
#define IMAGES 2u
#define DISK_SECTORS_MAX (5u * 1024u)
#define IO_SECTORS_MAX 200u
#define VERSIONS_MAX 4096u
#define STEPS_MAX 2000000u

struct sector_model {
    uint32_t acked, last; // versions; 0: nothing was ever written
    bool unsure;          // the last write failed, so that a flush says nothing about it
};

enum pending { IDLE, CREATE, WRITE, FLUSH, SNAPSHOT, RESIZE, DELETE, UPLOAD };

struct disk_model {
    struct run *run;
    unsigned index;
    enum pending pending;
    bool exists;
    char name[16], parent[16]; // parent "": none
    bool read_only;
    uint64_t ancestry; // writers whose contents may be seen, by number
    unsigned writer;   // its own number
    uint32_t sectors, new_sectors;
    char snapshot[16];
    struct volume_io io;
    struct volume_flush flush;
    uint8_t buffer[IO_SECTORS_MAX * DISK_SECTOR];
    struct sector_model model[DISK_SECTORS_MAX];
};

struct key_model {
    uint32_t acked, last;
    unsigned outstanding;
};

struct image_model {
    struct run *run;
    unsigned index;
    uint32_t acked, last; // version of the content
    bool pending, resuming;
    struct upload *up;
    uint64_t fed, size;
    uint8_t *content;
    struct volume *volume;
};

struct run {
    struct disk_sim disk;
    struct store *store;
    uint64_t random, error_every;
    uint32_t versions;
    unsigned writers;
    uint8_t writer_of[VERSIONS_MAX];
    struct key_model keys[KEYS];
    struct disk_model disks[DISKS * 2]; // the second half: snapshots
    struct image_model images[IMAGES];
    uint64_t steps, operations;
    bool answered;
    enum store_status status;
    struct store_report report;
    struct store_run_counts *counts;
    char wrong[256];
};

static bool wrong(struct run *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool wrong(struct run *r, const char *fmt, ...)
{
    va_list ap;

    if (r->wrong[0] == '\0') {
        va_start(ap, fmt);
        vsnprintf(r->wrong, sizeof r->wrong, fmt, ap);
        va_end(ap);
    }
    return false;
}

static uint64_t pick(struct run *r, uint64_t n)
{
    return disk_sim_random(&r->random) % n;
}

static void turn(struct run *r)
{
    disk_sim_step(&r->disk);
    plat_host_settle();
    if (++r->steps > STEPS_MAX) {
        wrong(r, "the store does not come to an end");
        abort();
    }
}

static void answered(void *arg, enum store_status status)
{
    struct run *r = arg;

    r->answered = true;
    r->status = status;
}

static enum store_status await(struct run *r)
{
    while (!r->answered) {
        turn(r);
    }
    r->answered = false;
    return r->status;
}

// --- records ---

struct key_put {
    struct key_model *key;
    uint32_t version;
};

static bool version_deletes(uint32_t version)
{
    return version % 5 == 4;
}

static size_t key_body(unsigned index, uint32_t version, char *out, size_t size)
{
    size_t length = version % 7 * 300u + 20u;
    int n = snprintf(out, size, "key %u version %u ", index, version);

    memset(out + n, 'a' + version % 26, length);
    return (size_t)n + length;
}

static void key_done(void *arg, enum store_status status)
{
    struct key_put *p = arg;

    p->key->outstanding--;
    if (status == STORE_OK) {
        p->key->acked = MAX(p->key->acked, p->version);
    }
    free(p);
}

static void key_change(struct run *r, unsigned index)
{
    struct key_model *k = &r->keys[index];
    struct key_put *p;
    char name[16], body[4096];
    enum store_status status;

    if (k->outstanding > 3) {
        return;
    }
    p = malloc(sizeof *p);
    *p = (struct key_put){.key = k, .version = ++k->last};
    snprintf(name, sizeof name, "k%u", index);
    k->outstanding++;
    status = version_deletes(p->version)
                 ? store_delete(r->store, "setting", name, key_done, p)
                 : store_put(r->store, "setting", name, body, key_body(index, p->version, body, sizeof body),
                             key_done, p);
    if (status != STORE_OK) {
        k->outstanding--;
        k->last--;
        free(p);
    }
}

// Which version is there; false: none of those that may.
static bool key_check(struct run *r, unsigned index)
{
    struct key_model *k = &r->keys[index];
    struct store_record record;
    char name[16], body[4096];
    bool there;

    snprintf(name, sizeof name, "k%u", index);
    there = store_get(r->store, "setting", name, &record);
    for (uint32_t v = k->acked; v <= k->last; v++) {
        size_t length = key_body(index, v, body, sizeof body);
        bool absent = v == 0 || version_deletes(v);

        if (absent ? !there : there && record.length == length && memcmp(record.body, body, length) == 0) {
            *k = (struct key_model){.acked = v, .last = v};
            return true;
        }
    }
    return wrong(r, "record %s is none of versions %u to %u", name, k->acked, k->last);
}

// --- disks ---

struct stamp { // fills a sector, 32 times
    uint32_t writer, sector, version, check;
};

static struct stamp stamp_of(uint32_t writer, uint32_t sector, uint32_t version)
{
    return (struct stamp){writer, sector, version, ~(writer ^ sector ^ version)};
}

static void stamp_fill(uint8_t *out, struct stamp stamp)
{
    for (size_t i = 0; i < DISK_SECTOR / sizeof stamp; i++) {
        memcpy(out + i * sizeof stamp, &stamp, sizeof stamp);
    }
}

static void disk_created(void *arg, enum store_status status)
{
    struct disk_model *d = arg;

    d->pending = IDLE;
    d->exists = status == STORE_OK;
}

static void inherit(struct disk_model *d, const struct disk_model *parent)
{
    memset(d->model, 0, sizeof d->model);
    d->ancestry = BIT(d->writer);
    d->parent[0] = '\0';
    if (parent != NULL) {
        d->ancestry |= parent->ancestry;
        memcpy(d->model, parent->model, sizeof d->model);
        strcpy(d->parent, parent->name);
    }
}

static void disk_create(struct run *r, struct disk_model *d)
{
    struct disk_model *base = &r->disks[DISKS + pick(r, DISKS)];
    struct volume *parent = base->exists && base->pending == IDLE && pick(r, 2) == 0
                                ? volume_find(r->store, VOLUME_DISK, base->name)
                                : NULL;

    if (r->writers >= 60) {
        return;
    }
    d->writer = r->writers++;
    d->sectors = parent != NULL ? base->sectors : (uint32_t)(1 + pick(r, DISK_SECTORS_MAX / 8)) * 8;
    d->read_only = false;
    inherit(d, parent != NULL ? base : NULL);
    snprintf(d->name, sizeof d->name, "d%u", d->index);
    d->pending = CREATE;
    if (volume_create(r->store, d->name, (uint64_t)d->sectors * DISK_SECTOR, parent, disk_created, d) !=
        STORE_OK) {
        d->pending = IDLE;
    }
}

// A write that failed for want of space may have been made in part.
static void disk_written(struct volume_io *io, enum store_status status)
{
    struct disk_model *d = CONTAINER_OF(io, struct disk_model, io);
    uint32_t first = (uint32_t)(io->offset / DISK_SECTOR);

    d->pending = IDLE;
    for (uint32_t i = 0; i < io->length / DISK_SECTOR; i++) {
        d->model[first + i].unsure = status != STORE_OK;
    }
}

static void disk_write(struct run *r, struct disk_model *d, struct volume *v)
{
    uint32_t sectors = (uint32_t)(pick(r, 3) == 0 ? 128 : 1 + pick(r, IO_SECTORS_MAX));
    uint32_t first = (uint32_t)pick(r, d->sectors);

    if (pick(r, 3) == 0) {
        first = ALIGN_DOWN(first, 128u);
    }
    sectors = MIN(sectors, d->sectors - first);
    if (r->versions + 1 >= VERSIONS_MAX) {
        return;
    }
    r->versions++;
    r->writer_of[r->versions] = (uint8_t)d->writer;
    for (uint32_t i = 0; i < sectors; i++) {
        stamp_fill(d->buffer + (size_t)i * DISK_SECTOR, stamp_of(d->writer, first + i, r->versions));
        d->model[first + i].last = r->versions;
    }
    d->pending = WRITE;
    d->io = (struct volume_io){.volume = v,
                               .op = VOLUME_WRITE,
                               .offset = (uint64_t)first * DISK_SECTOR,
                               .length = (uint64_t)sectors * DISK_SECTOR,
                               .buffer = d->buffer,
                               .done = disk_written};
    volume_submit(&d->io);
}

static void all_acked(struct disk_model *d)
{
    for (uint32_t i = 0; i < DISK_SECTORS_MAX; i++) {
        if (!d->model[i].unsure) {
            d->model[i].acked = d->model[i].last;
        }
    }
}

static void disk_flushed(struct volume_flush *flush, enum store_status status)
{
    struct disk_model *d = CONTAINER_OF(flush, struct disk_model, flush);

    d->pending = IDLE;
    if (status == STORE_OK) {
        all_acked(d);
    }
}

static void snapshot_becomes(struct disk_model *d)
{
    struct disk_model *s = &d->run->disks[DISKS + d->index];

    s->exists = true;
    s->pending = IDLE;
    s->read_only = true;
    s->sectors = d->sectors;
    s->writer = d->writer;
    s->ancestry = d->ancestry;
    strcpy(s->name, d->snapshot);
    strcpy(s->parent, d->parent);
    memcpy(s->model, d->model, sizeof s->model);
    strcpy(d->parent, s->name);
}

static void disk_snapshot_done(void *arg, enum store_status status)
{
    struct disk_model *d = arg;

    d->pending = IDLE;
    d->run->disks[DISKS + d->index].pending = IDLE;
    if (status == STORE_OK) {
        all_acked(d);
        snapshot_becomes(d);
    }
}

static void disk_snapshot(struct run *r, struct disk_model *d, struct volume *v)
{
    struct disk_model *s = &r->disks[DISKS + d->index];

    if (s->exists || s->pending != IDLE) {
        return;
    }
    snprintf(d->snapshot, sizeof d->snapshot, "s%u", d->index);
    if (volume_snapshot(v, d->snapshot, disk_snapshot_done, d) == STORE_OK) {
        d->pending = SNAPSHOT;
        s->pending = SNAPSHOT;
    }
}

static void disk_resized(void *arg, enum store_status status)
{
    struct disk_model *d = arg;

    d->pending = IDLE;
    if (status == STORE_OK) {
        d->sectors = d->new_sectors;
    }
}

static void disk_deleted(void *arg, enum store_status status)
{
    struct disk_model *d = arg;

    d->pending = IDLE;
    if (status == STORE_OK) {
        d->exists = false;
    }
}

static void disk_change(struct run *r, struct disk_model *d)
{
    struct volume *v = d->exists ? volume_find(r->store, VOLUME_DISK, d->name) : NULL;
    uint64_t what = pick(r, 20);

    if (d->pending != IDLE) {
        return;
    }
    if (v == NULL) {
        if (!d->exists && d->index < DISKS) {
            disk_create(r, d);
        }
        return;
    }
    if (what == 0 || d->read_only) {
        if (pick(r, 4) == 0 && volume_delete(v, disk_deleted, d) == STORE_OK) {
            d->pending = DELETE;
        }
    } else if (what == 1) {
        d->new_sectors = d->sectors + (uint32_t)pick(r, DISK_SECTORS_MAX - d->sectors + 1);
        if (volume_resize(v, (uint64_t)d->new_sectors * DISK_SECTOR, disk_resized, d) == STORE_OK) {
            d->pending = RESIZE;
        }
    } else if (what == 2) {
        disk_snapshot(r, d, v);
    } else if (what < 8) {
        d->flush = (struct volume_flush){.volume = v, .done = disk_flushed};
        if (volume_flush(&d->flush) == STORE_OK) {
            d->pending = FLUSH;
        }
    } else {
        disk_write(r, d, v);
    }
}

static bool sector_check(struct run *r, struct disk_model *d, uint32_t sector, const uint8_t *data)
{
    struct sector_model *m = &d->model[sector];
    uint8_t expected[DISK_SECTOR] = {0};
    struct stamp stamp;

    memcpy(&stamp, data, sizeof stamp);
    if (memcmp(data, expected, DISK_SECTOR) == 0) {
        stamp.version = 0;
    } else {
        stamp_fill(expected, stamp_of(stamp.writer, sector, stamp.version));
        if (memcmp(data, expected, DISK_SECTOR) != 0 || stamp.writer >= 64 ||
            !(d->ancestry >> stamp.writer & 1) || stamp.version > r->versions ||
            r->writer_of[stamp.version] != stamp.writer) {
            return wrong(r, "%s sector %u: foreign content", d->name, sector);
        }
    }
    if (stamp.version < m->acked || stamp.version > m->last) {
        return wrong(r, "%s sector %u: version %u, expected %u to %u", d->name, sector, stamp.version,
                     m->acked, m->last);
    }
    *m = (struct sector_model){.acked = stamp.version, .last = stamp.version};
    return true;
}

static void read_done(struct volume_io *io, enum store_status status)
{
    struct disk_model *d = CONTAINER_OF(io, struct disk_model, io);

    answered(d->run, status);
}

static bool disk_contents(struct run *r, struct disk_model *d, struct volume *v)
{
    for (uint32_t at = 0; at < d->sectors; at += IO_SECTORS_MAX) {
        uint32_t n = MIN(IO_SECTORS_MAX, d->sectors - at);

        d->io = (struct volume_io){.volume = v,
                                   .op = VOLUME_READ,
                                   .offset = (uint64_t)at * DISK_SECTOR,
                                   .length = (uint64_t)n * DISK_SECTOR,
                                   .buffer = d->buffer,
                                   .done = read_done};
        volume_submit(&d->io);
        if (await(r) != STORE_OK) {
            return wrong(r, "%s cannot be read", d->name);
        }
        for (uint32_t i = 0; i < n; i++) {
            if (!sector_check(r, d, at + i, d->buffer + (size_t)i * DISK_SECTOR)) {
                return false;
            }
        }
    }
    return true;
}

// What was under way when the power went has happened or not.
static bool disk_settle(struct run *r, struct disk_model *d)
{
    struct volume *v = volume_find(r->store, VOLUME_DISK, d->name);
    struct volume_info info;

    if (d->pending == CREATE || d->pending == DELETE) {
        d->exists = v != NULL;
    }
    if (d->pending == SNAPSHOT && d->index < DISKS && !r->disks[DISKS + d->index].exists &&
        volume_find(r->store, VOLUME_DISK, d->snapshot) != NULL) {
        snapshot_becomes(d);
    }
    if (d->exists != (v != NULL)) {
        return wrong(r, "disk %s is %s", d->name, v != NULL ? "there again" : "lost");
    }
    if (v != NULL) {
        volume_get_info(v, &info);
        if (d->pending == RESIZE && info.size == (uint64_t)d->new_sectors * DISK_SECTOR) {
            d->sectors = d->new_sectors;
        }
        if (info.size != (uint64_t)d->sectors * DISK_SECTOR) {
            return wrong(r, "disk %s has %llu bytes, expected %u sectors", d->name,
                         (unsigned long long)info.size, d->sectors);
        }
        if (strcmp(info.parent != NULL ? d->parent : "", d->parent) != 0 || info.read_only != d->read_only) {
            return wrong(r, "disk %s has another parent", d->name);
        }
    }
    d->pending = IDLE;
    return true;
}

static bool disk_check(struct run *r, struct disk_model *d)
{
    return !d->exists || disk_contents(r, d, volume_find(r->store, VOLUME_DISK, d->name));
}

// --- images ---

static void image_content(struct image_model *m, uint32_t version)
{
    uint64_t seed = m->index * 1000u + version;

    m->size = 1 + disk_sim_random(&seed) % (1200u << 10);
    m->content = malloc(m->size + 8);
    for (uint64_t i = 0; i < m->size; i += 8) {
        uint64_t word = disk_sim_random(&seed);

        memcpy(m->content + i, &word, 8);
    }
}

static void image_done(void *arg, enum store_status status)
{
    struct image_model *m = arg;

    m->pending = false;
    free(m->content);
    m->content = NULL;
    if (status == STORE_OK) {
        m->acked = m->last;
    } else {
        m->last = m->acked;
    }
}

static void image_feed(void *arg)
{
    struct image_model *m = arg;

    while (m->fed < m->size) {
        size_t n;

        if (pick(m->run, 30) == 0) { // the client goes away and comes back later
            upload_suspend(m->up);
            m->pending = false;
            free(m->content);
            m->content = NULL;
            return;
        }
        n = upload_write(m->up, m->content + m->fed, MIN(m->size - m->fed, 100000u));

        if (n == 0) {
            if (upload_status(m->up) != STORE_OK) {
                break;
            }
            return; // called again
        }
        m->fed += n;
    }
    upload_finish(m->up, NULL, &m->volume, image_done, m);
}

static void image_change(struct run *r, struct image_model *m)
{
    char name[16];

    if (m->pending) {
        return;
    }
    snprintf(name, sizeof name, "i%u", m->index);
    m->resuming = m->last > m->acked;
    if (!m->resuming) {
        m->last++;
    }
    if (upload_begin(r->store, name, m->resuming, image_feed, m, &m->up) != STORE_OK) {
        m->last = m->resuming ? m->last : m->acked;
        return;
    }
    m->pending = true;
    image_content(m, m->last);
    m->fed = upload_received(m->up);
    image_feed(m);
}

static bool image_matches(struct image_model *m, const struct volume_info *info, const uint8_t *data,
                          uint32_t version)
{
    bool same;

    image_content(m, version);
    same = info->size == m->size && memcmp(data, m->content, m->size) == 0;
    free(m->content);
    m->content = NULL;
    return same;
}

struct image_read {
    struct volume_io io;
    struct run *run;
};

static void image_read_done(struct volume_io *io, enum store_status status)
{
    answered(CONTAINER_OF(io, struct image_read, io)->run, status);
}

static bool image_check(struct run *r, struct image_model *m)
{
    struct image_read read = {.run = r};
    struct volume_info info;
    struct volume *v;
    char name[16];
    bool old, fresh;

    snprintf(name, sizeof name, "i%u", m->index);
    v = volume_find(r->store, VOLUME_IMAGE, name);
    m->pending = false;
    if (v == NULL) {
        return m->acked == 0 ? true : wrong(r, "image %s is lost", name);
    }
    volume_get_info(v, &info);
    read.io = (struct volume_io){.volume = v,
                                 .op = VOLUME_READ,
                                 .length = ALIGN_UP(info.size, (uint64_t)DISK_SECTOR),
                                 .buffer = malloc(info.size + DISK_SECTOR),
                                 .done = image_read_done};
    volume_submit(&read.io);
    if (await(r) != STORE_OK) {
        free(read.io.buffer);
        return wrong(r, "image %s cannot be read", name);
    }
    old = m->acked > 0 && image_matches(m, &info, read.io.buffer, m->acked);
    fresh = m->last > m->acked && image_matches(m, &info, read.io.buffer, m->last);
    free(read.io.buffer);
    if (fresh) {
        m->acked = m->last;
    }
    return old || fresh ? true : wrong(r, "image %s has foreign content", name);
}

// --- a life ---

static void start_work(struct run *r)
{
    for (unsigned i = 0; i < KEYS; i++) {
        if (pick(r, 6) == 0) {
            key_change(r, i);
        }
    }
    for (unsigned i = 0; i < ARRAY_LEN(r->disks); i++) {
        if (pick(r, 3) == 0) {
            disk_change(r, &r->disks[i]);
        }
    }
    for (unsigned i = 0; i < IMAGES; i++) {
        if (pick(r, 60) == 0) {
            image_change(r, &r->images[i]);
        }
    }
    r->operations++;
}

static bool busy(const struct run *r)
{
    bool any = false;

    for (unsigned i = 0; i < KEYS; i++) {
        any |= r->keys[i].outstanding > 0;
    }
    for (unsigned i = 0; i < ARRAY_LEN(r->disks); i++) {
        any |= r->disks[i].pending != IDLE;
    }
    for (unsigned i = 0; i < IMAGES; i++) {
        any |= r->images[i].pending;
    }
    return any;
}

static void note(struct run *r)
{
    struct store_info info;

    store_get_info(r->store, &info);
    r->counts->commits += info.commits;
    r->counts->transactions += info.transactions;
    r->counts->operations += r->operations;
    r->counts->requests += r->disk.submitted;
    r->operations = 0;
}

// What was under way when the power went; the store's answers about it, all failures, must not change that.
struct remembered {
    struct key_model keys[KEYS];
    enum pending pending[DISKS * 2];
    uint32_t image_last[IMAGES];
};

static void remember(const struct run *r, struct remembered *m)
{
    memcpy(m->keys, r->keys, sizeof m->keys);
    for (unsigned i = 0; i < ARRAY_LEN(r->disks); i++) {
        m->pending[i] = r->disks[i].pending;
    }
    for (unsigned i = 0; i < IMAGES; i++) {
        m->image_last[i] = r->images[i].last;
    }
}

static void recall(struct run *r, const struct remembered *m)
{
    for (unsigned i = 0; i < KEYS; i++) {
        r->keys[i].last = m->keys[i].last;
    }
    for (unsigned i = 0; i < ARRAY_LEN(r->disks); i++) {
        r->disks[i].pending = m->pending[i];
    }
    for (unsigned i = 0; i < IMAGES; i++) {
        r->images[i].last = m->image_last[i];
    }
}

static void close_store(struct run *r)
{
    store_close(r->store, answered, r);
    await(r);
    r->store = NULL;
}

static bool open_store(struct run *r)
{
    enum store_status status;

    r->store = store_open(&r->disk.disk, answered, r);
    status = await(r);
    if (status != STORE_OK && !r->disk.dead) {
        return wrong(r, "opening: %s", store_error(r->store));
    }
    return true;
}

static bool check_all(struct run *r)
{
    for (unsigned i = 0; i < KEYS; i++) {
        if (!key_check(r, i)) {
            return false;
        }
    }
    for (unsigned i = 0; i < ARRAY_LEN(r->disks); i++) {
        if (!disk_settle(r, &r->disks[i])) {
            return false;
        }
    }
    for (unsigned i = 0; i < ARRAY_LEN(r->disks); i++) {
        if (!disk_check(r, &r->disks[i])) {
            return false;
        }
    }
    for (unsigned i = 0; i < IMAGES; i++) {
        if (!image_check(r, &r->images[i])) {
            return false;
        }
    }
    if (store_check(r->store, &r->report, answered, r) != STORE_OK || await(r) != STORE_OK) {
        return wrong(r, "the check cannot be made");
    }
    return r->report.problems == 0 ? true : wrong(r, "check: %.200s", r->report.text);
}

static bool store_has_failed(const struct run *r)
{
    struct store_info info;

    store_get_info(r->store, &info);
    return info.failed;
}

// Works until the power goes, or the store gives up on its disk, and what was under way has failed.
static void live(struct run *r)
{
    struct remembered before;

    r->disk.error_every = r->error_every;
    do {
        start_work(r);
        remember(r, &before);
        turn(r);
        if (store_has_failed(r)) {
            disk_sim_cut(&r->disk);
        }
    } while (!r->disk.dead);
    r->disk.error_every = 0;
    while (busy(r)) {
        turn(r);
    }
    recall(r, &before);
}

static bool one_life(struct run *r, uint64_t seed)
{
    bool good = open_store(r);

    if (good && !r->disk.dead) {
        live(r);
    }
    r->counts->cuts++;
    note(r);
    close_store(r);
    if (!good) {
        return false;
    }
    disk_sim_restart(&r->disk, seed);
    good = open_store(r) && check_all(r);
    close_store(r);
    return good;
}

static struct run *run_new(const struct store_run_options *options, struct store_run_counts *counts)
{
    struct run *r = calloc(1, sizeof *r);

    r->random = options->seed;
    r->counts = counts;
    disk_sim_init(&r->disk, PARTITION_SECTORS, options->seed ^ 0x5eed);
    r->disk.lies_about_flush = options->lies_about_flush;
    r->error_every = options->error_every;
    for (unsigned i = 0; i < ARRAY_LEN(r->disks); i++) {
        r->disks[i].run = r;
        r->disks[i].index = i;
        snprintf(r->disks[i].name, sizeof r->disks[i].name, "%c%u", i < DISKS ? 'd' : 's', i % DISKS);
    }
    for (unsigned i = 0; i < IMAGES; i++) {
        r->images[i].run = r;
        r->images[i].index = i;
    }
    return r;
}

const char *store_run(const struct store_run_options *options, struct store_run_counts *counts)
{
    static char text[256];
    struct run *r = run_new(options, counts);
    bool good = true;

    for (unsigned life = 0; life < options->lives && good; life++) {
        r->disk.cut_at = r->disk.submitted + pick(r, pick(r, 4) == 0 ? 60 : 700);
        good = one_life(r, options->seed * 31 + life + 1);
    }
    snprintf(text, sizeof text, "%s", r->wrong);
    disk_sim_end(&r->disk);
    free(r);
    return good ? NULL : text;
}
