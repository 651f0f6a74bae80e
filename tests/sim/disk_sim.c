// SPDX-License-Identifier: Apache-2.0
// Queue, cache and medium of the simulated disk.
#include "tests/sim/disk_sim.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

uint64_t disk_sim_random(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static uint64_t pick(struct disk_sim *d, uint64_t n)
{
    return disk_sim_random(&d->seed) % n;
}

static void submit(struct disk *disk, struct disk_request *request)
{
    struct disk_sim *d = CONTAINER_OF(disk, struct disk_sim, disk);

    if (request->op != DISK_FLUSH && (request->sectors == 0 || request->sectors > d->disk.sectors ||
                                      request->sector > d->disk.sectors - request->sectors)) {
        abort(); // a fault of the store
    }
    request->driver = d->writes; // a flush covers what is done by now
    request->next = d->queue;
    d->queue = request;
    d->queued++;
    if (d->submitted++ == d->cut_at) {
        disk_sim_cut(d);
    }
}

static const struct disk_ops ops = {.submit = submit};

void disk_sim_init(struct disk_sim *d, uint64_t sectors, uint64_t seed)
{
    *d = (struct disk_sim){.disk = {.ops = &ops, .sectors = sectors}, .seed = seed, .cut_at = UINT64_MAX};
    d->cache_last = &d->cache;
    d->media = mmap(NULL, sectors * DISK_SECTOR, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (d->media == MAP_FAILED) {
        abort();
    }
}

static void drop_cache(struct disk_sim *d)
{
    while (d->cache != NULL) {
        struct sim_write *w = d->cache;

        d->cache = w->next;
        free(w);
    }
    d->cache_last = &d->cache;
}

void disk_sim_end(struct disk_sim *d)
{
    drop_cache(d);
    munmap(d->media, d->disk.sectors * DISK_SECTOR);
}

static void keep_sector(struct disk_sim *d, const struct sim_write *w, uint32_t i)
{
    memcpy(d->media + (w->sector + i) * DISK_SECTOR, w->data + (size_t)i * DISK_SECTOR, DISK_SECTOR);
}

static void keep_all(struct disk_sim *d, const struct sim_write *w)
{
    memcpy(d->media + w->sector * DISK_SECTOR, w->data, (size_t)w->sectors * DISK_SECTOR);
}

static struct sim_write *write_of(const struct disk_request *r)
{
    struct sim_write *w = malloc(sizeof *w + (size_t)r->sectors * DISK_SECTOR);

    if (w == NULL) {
        abort();
    }
    w->next = NULL;
    w->sector = r->sector;
    w->sectors = r->sectors;
    memcpy(w->data, r->buffer, (size_t)r->sectors * DISK_SECTOR);
    return w;
}

// An unflushed write when the power goes: lost, whole, or any of its sectors.
static void settle(struct disk_sim *d, const struct sim_write *w)
{
    uint64_t fate = pick(d, 3);

    for (uint32_t i = 0; i < w->sectors && fate != 0; i++) {
        if (fate == 1 || pick(d, 2) == 0) {
            keep_sector(d, w, i);
        }
    }
}

void disk_sim_cut(struct disk_sim *d)
{
    if (d->dead) {
        return;
    }
    d->dead = true;
    for (struct sim_write *w = d->cache; w != NULL; w = w->next) {
        settle(d, w);
    }
    for (struct disk_request *r = d->queue; r != NULL; r = r->next) {
        if (r->op == DISK_WRITE) {
            struct sim_write *w = write_of(r);

            settle(d, w);
            free(w);
        }
    }
    drop_cache(d);
}

void disk_sim_restart(struct disk_sim *d, uint64_t seed)
{
    d->seed = seed;
    d->dead = false;
    d->submitted = 0;
    d->cut_at = UINT64_MAX;
}

// --- requests ---

static void read_cached(struct disk_sim *d, const struct disk_request *r)
{
    uint8_t *out = r->buffer;
    uint64_t end = r->sector + r->sectors;

    memcpy(out, d->media + r->sector * DISK_SECTOR, (size_t)r->sectors * DISK_SECTOR);
    for (const struct sim_write *w = d->cache; w != NULL; w = w->next) {
        uint64_t from = MAX(w->sector, r->sector), to = MIN(w->sector + w->sectors, end);

        if (from < to) {
            memcpy(out + (from - r->sector) * DISK_SECTOR, w->data + (from - w->sector) * DISK_SECTOR,
                   (to - from) * DISK_SECTOR);
        }
    }
}

static void write_cached(struct disk_sim *d, const struct disk_request *r)
{
    struct sim_write *w = write_of(r);

    w->number = d->writes++;
    *d->cache_last = w;
    d->cache_last = &w->next;
}

static void flush(struct disk_sim *d, uint64_t until)
{
    d->flushes++;
    while (!d->lies_about_flush && d->cache != NULL && d->cache->number < until) {
        struct sim_write *w = d->cache;

        keep_all(d, w);
        d->cache = w->next;
        free(w);
    }
    if (d->cache == NULL) {
        d->cache_last = &d->cache;
    }
}

static bool fails(struct disk_sim *d, const struct disk_request *r)
{
    return d->error_every != 0 && (r->op == DISK_READ || !d->errors_on_reads_only) &&
           pick(d, d->error_every) == 0;
}

static enum disk_status perform(struct disk_sim *d, struct disk_request *r)
{
    if (d->dead) {
        return DISK_GONE;
    }
    if (fails(d, r)) {
        return DISK_IO_ERROR;
    }
    switch (r->op) {
    case DISK_READ:
        read_cached(d, r);
        return DISK_OK;
    case DISK_WRITE:
        write_cached(d, r);
        return DISK_OK;
    case DISK_FLUSH:
        flush(d, r->driver);
        return DISK_OK;
    default:
        return DISK_UNSUPPORTED;
    }
}

bool disk_sim_step(struct disk_sim *d)
{
    struct disk_request **at = &d->queue, *r;

    if (d->queue == NULL) {
        return false;
    }
    for (uint64_t n = pick(d, d->queued); n > 0; n--) {
        at = &(*at)->next;
    }
    r = *at;
    *at = r->next;
    d->queued--;
    r->status = perform(d, r);
    r->done(r);
    return true;
}
