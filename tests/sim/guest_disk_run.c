// SPDX-License-Identifier: Apache-2.0
// The model behind guest_disk_run.h.
//
// Each write has a version, and a sector's contents name their disk, their place and their version. A discard has a
// version too: from then on the sector may show the base's contents. `acked` is the version that an acknowledged
// flush has made sure of; after a cut any from there to the last one is right.
#include "tests/sim/guest_disk_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/guest_disk.h"
#include "tests/sim/plat_host.h"

#define PARTITION_SECTORS (26u * 2048u) // 19 extents
#define DISKS 3u
#define SECTORS_MAX (9u * 2048u)
#define REQUESTS 6u // of one disk at once
#define STEPS_MAX 4000000u
#define LINES 3u // of the cache, so that it is too small
#define GRAIN MAPPED_GRAIN_SECTORS

struct sector {
    uint32_t acked, last, discarded; // versions; discarded: of the last discard of it
    uint8_t outstanding;             // writes and discards under way
    bool unsure;                     // the last write failed
};

struct request {
    struct block_request block;
    struct model *disk;
    bool used;
    uint32_t version;
    uint64_t at;                    // of its memory
    uint32_t *acked;                // flush: what it will make sure of
    bool still[MAPPED_MAX_SECTORS]; // read: nobody was changing the sector when it began
};

struct model {
    struct run *run;
    struct mapped_disk *mapped;
    const struct model *base; // whose contents at the beginning it shows
    char name[8];
    uint32_t index, sectors;
    bool read_only;
    struct request requests[REQUESTS];
    struct sector sector[SECTORS_MAX];
    uint32_t original[SECTORS_MAX]; // of a snapshot: versions of disk 0; 0: zeros
};

struct run {
    uint64_t random, steps;
    uint32_t version;
    struct model snapshot, disk[DISKS];
    const struct guest_disk_run_options *options;
    struct guest_disk_run_counts *counts;
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
    guest_disk_turn();
    if (++r->steps > STEPS_MAX || guest_disk_idle()) {
        fprintf(stderr, "seed %llu: requests do not come to an end\n", (unsigned long long)r->options->seed);
        abort();
    }
}

// --- contents ---

struct stamp { // fills a sector, 32 times
    uint32_t disk, sector, version, check;
};

static void fill_sector(uint8_t *out, uint32_t disk, uint32_t sector, uint32_t version)
{
    struct stamp stamp = {disk, sector, version, ~(disk ^ sector ^ version)};

    for (size_t i = 0; i < BLOCK_SECTOR / sizeof stamp; i++) {
        memcpy(out + i * sizeof stamp, &stamp, sizeof stamp);
    }
}

static bool is_stamped(const uint8_t *data, uint32_t disk, uint32_t sector, uint32_t version)
{
    uint8_t expected[BLOCK_SECTOR];

    fill_sector(expected, disk, sector, version);
    return memcmp(data, expected, BLOCK_SECTOR) == 0;
}

static bool shows_base(const struct model *m, uint32_t sector, const uint8_t *data)
{
    static const uint8_t zeros[BLOCK_SECTOR];

    return m->base != NULL && sector < m->base->sectors && m->base->original[sector] != 0
               ? is_stamped(data, 0, sector, m->base->original[sector])
               : memcmp(data, zeros, BLOCK_SECTOR) == 0;
}

// What is there must be one of the versions from `from` on. What it is goes into *version (0: the base).
static bool check_sector(struct model *m, uint32_t sector, const uint8_t *data, uint32_t from,
                         uint32_t *version)
{
    const struct sector *s = &m->sector[sector];
    struct stamp stamp;

    *version = 0;
    if (s->discarded >= from && shows_base(m, sector, data)) {
        return true;
    }
    memcpy(&stamp, data, sizeof stamp);
    *version = stamp.version;
    if (!is_stamped(data, m->index, sector, stamp.version) || stamp.version < from ||
        stamp.version > s->last || stamp.version == 0) {
        return wrong(m->run, "%s sector %u: disk %u version %u, expected %u to %u (discarded at %u)", m->name,
                     sector, stamp.disk, stamp.version, from, s->last, s->discarded);
    }
    return true;
}

// --- requests ---

static struct request *free_request(struct model *m)
{
    for (unsigned i = 0; i < REQUESTS; i++) {
        if (!m->requests[i].used) {
            return &m->requests[i];
        }
    }
    return NULL;
}

static unsigned under_way(const struct run *r)
{
    unsigned count = 0;

    for (unsigned d = 0; d < DISKS; d++) {
        for (unsigned i = 0; i < REQUESTS; i++) {
            count += r->disk[d].requests[i].used;
        }
    }
    return count;
}

// Sectors that a discard gives back: those of whole grains, and the last ones.
static void whole_grains(const struct model *m, const struct block_request *b, uint32_t *from, uint32_t *to)
{
    uint32_t end = (uint32_t)b->sector + b->sectors;

    *from = ALIGN_UP((uint32_t)b->sector, GRAIN);
    *to = end == m->sectors ? end : ALIGN_DOWN(end, GRAIN);
    *to = MAX(*from, *to);
}

static void written(struct request *q)
{
    struct model *m = q->disk;
    uint32_t first = (uint32_t)q->block.sector;

    m->run->counts->full += q->block.status == BLOCK_NO_SPACE;
    m->run->counts->failed += q->block.status != BLOCK_OK;
    for (uint32_t i = 0; i < q->block.sectors; i++) {
        m->sector[first + i].outstanding--;
        m->sector[first + i].unsure = q->block.status != BLOCK_OK;
    }
}

static void discarded(struct request *q)
{
    struct model *m = q->disk;
    uint32_t from, to;

    whole_grains(m, &q->block, &from, &to);
    for (uint32_t i = from; i < to; i++) {
        m->sector[i].outstanding--;
        m->sector[i].unsure = q->block.status != BLOCK_OK;
    }
}

static void flushed(struct request *q)
{
    struct model *m = q->disk;

    for (uint32_t i = 0; i < m->sectors && q->block.status == BLOCK_OK; i++) {
        m->sector[i].acked = MAX(m->sector[i].acked, q->acked[i]);
    }
    free(q->acked);
}

// Only what nobody was changing meanwhile is known.
static void was_read(struct request *q)
{
    struct model *m = q->disk;
    const uint8_t *data = guest_disk_memory(q->at);

    for (uint32_t i = 0; i < q->block.sectors && q->block.status == BLOCK_OK; i++) {
        uint32_t sector = (uint32_t)q->block.sector + i, found;
        const struct sector *s = &m->sector[sector];

        if (q->still[i] && s->outstanding == 0 && !s->unsure && s->last <= q->version) {
            (void)check_sector(m, sector, data + (size_t)i * BLOCK_SECTOR, s->last, &found);
        }
    }
}

static void request_done(struct block_request *block)
{
    struct request *q = CONTAINER_OF(block, struct request, block);

    switch (block->op) {
    case BLOCK_READ:
        was_read(q);
        break;
    case BLOCK_WRITE:
        written(q);
        break;
    case BLOCK_FLUSH:
        flushed(q);
        break;
    case BLOCK_DISCARD:
        discarded(q);
        break;
    }
    q->used = false;
}

static bool idle_range(const struct model *m, uint32_t first, uint32_t sectors)
{
    for (uint32_t i = first; i < first + sectors; i++) {
        if (m->sector[i].outstanding > 0) {
            return false;
        }
    }
    return true;
}

// Memory in pieces of any length.
static void add_segments(struct run *r, struct request *q)
{
    uint32_t length = q->block.sectors * BLOCK_SECTOR;
    uint64_t at = q->at;

    q->block.segment_count = 0;
    while (length > 0) {
        uint32_t wanted = (uint32_t)(1 + pick(r, 16)) * BLOCK_SECTOR;
        uint32_t n = q->block.segment_count == BLOCK_MAX_SEGMENTS - 1 ? length : MIN(length, wanted);

        q->block.segments[q->block.segment_count++] = (struct block_segment){guest_disk_gpa(at), n};
        at += n;
        length -= n;
    }
}

static void start_write(struct run *r, struct model *m, struct request *q)
{
    uint32_t first = (uint32_t)q->block.sector;

    if (!idle_range(m, first, q->block.sectors)) {
        return;
    }
    q->version = ++r->version;
    q->block.op = BLOCK_WRITE;
    q->block.fua = false;
    for (uint32_t i = 0; i < q->block.sectors; i++) {
        fill_sector(guest_disk_memory(q->at) + (size_t)i * BLOCK_SECTOR, m->index, first + i, q->version);
        m->sector[first + i].last = q->version;
        m->sector[first + i].outstanding++;
    }
    add_segments(r, q);
    r->counts->writes++;
    q->used = true;
    block_submit(&m->mapped->device, &q->block);
}

static void start_discard(struct run *r, struct model *m, struct request *q)
{
    uint32_t from, to;

    q->block.sectors = MIN(q->block.sectors * 8, m->sectors - (uint32_t)q->block.sector);
    whole_grains(m, &q->block, &from, &to);
    if (!idle_range(m, from, to - from)) {
        return;
    }
    q->version = ++r->version;
    for (uint32_t i = from; i < to; i++) {
        m->sector[i].last = m->sector[i].discarded = q->version;
        m->sector[i].outstanding++;
    }
    q->block.op = BLOCK_DISCARD;
    q->block.segment_count = 0;
    r->counts->discards++;
    q->used = true;
    block_submit(&m->mapped->device, &q->block);
}

static void start_flush(struct run *r, struct model *m, struct request *q)
{
    q->acked = calloc(m->sectors, sizeof *q->acked);
    for (uint32_t i = 0; i < m->sectors; i++) {
        q->acked[i] = m->sector[i].outstanding == 0 && !m->sector[i].unsure ? m->sector[i].last : 0;
    }
    q->block.op = BLOCK_FLUSH;
    q->block.sector = 0;
    q->block.sectors = 0;
    q->block.segment_count = 0;
    if (r->options->forgets_maps) {
        m->mapped->durable = m->mapped->changes;
    }
    r->counts->flushes++;
    q->used = true;
    block_submit(&m->mapped->device, &q->block);
}

static void start_read(struct run *r, struct model *m, struct request *q)
{
    q->version = r->version;
    for (uint32_t i = 0; i < q->block.sectors; i++) {
        q->still[i] = m->sector[q->block.sector + i].outstanding == 0;
    }
    q->block.op = BLOCK_READ;
    add_segments(r, q);
    r->counts->reads++;
    q->used = true;
    block_submit(&m->mapped->device, &q->block);
}

static void start_something(struct run *r, struct model *m)
{
    struct request *q = free_request(m);
    uint64_t what = pick(r, 20);

    if (q == NULL) {
        return;
    }
    q->block.sector = pick(r, m->sectors);
    if (pick(r, 3) == 0) {
        q->block.sector = ALIGN_DOWN(q->block.sector, (uint64_t)GRAIN);
    }
    q->block.sectors = (uint32_t)(1 + pick(r, pick(r, 2) == 0 ? 16 : MAPPED_MAX_SECTORS));
    q->block.sectors = MIN(q->block.sectors, m->sectors - (uint32_t)q->block.sector);
    if (what < 10) {
        start_write(r, m, q);
    } else if (what < 15) {
        start_read(r, m, q);
    } else if (what < 18) {
        start_flush(r, m, q);
    } else if (pick(r, 3) == 0) {
        start_discard(r, m, q);
    }
}

// --- lives ---

static void open_disk(struct run *r, struct model *m)
{
    m->mapped = guest_disk_open(m->name, m->read_only);
    if (m->mapped == NULL) {
        wrong(r, "%s cannot be opened", m->name);
        return;
    }
    m->mapped->line_count = MIN(m->mapped->line_count, LINES);
}

static void close_disk(struct run *r, struct model *m)
{
    r->counts->allocations += m->mapped->allocations;
    r->counts->misses += m->mapped->misses;
    r->counts->commits += m->mapped->commits;
    guest_disk_close(m->mapped);
    m->mapped = NULL;
}

static bool check_disk(struct run *r, struct model *m)
{
    open_disk(r, m);
    for (uint32_t at = 0; at < m->sectors && r->wrong[0] == '\0'; at += MAPPED_MAX_SECTORS) {
        uint32_t n = MIN(MAPPED_MAX_SECTORS, m->sectors - at);

        if (guest_disk_request(m->mapped, BLOCK_READ, at, n) != BLOCK_OK) {
            wrong(r, "%s cannot be read", m->name);
        }
        for (uint32_t i = 0; i < n && r->wrong[0] == '\0'; i++) {
            struct sector *s = &m->sector[at + i];
            uint32_t found;

            if (m->read_only) { // nothing ever changes it
                s->discarded = 0;
            }
            if (check_sector(m, at + i, guest_disk_memory((uint64_t)i * BLOCK_SECTOR), s->acked, &found)) {
                *s = (struct sector){.acked = found, .last = found, .discarded = 0};
            }
        }
    }
    if (m->mapped != NULL) {
        close_disk(r, m);
    }
    return r->wrong[0] == '\0';
}

static bool checked;

static void check_answered(void *arg, enum store_status status)
{
    struct run *r = arg;

    checked = true;
    if (status != STORE_OK) {
        wrong(r, "the check could not be made");
    }
}

static bool check_store(struct run *r)
{
    static struct store_report report;

    checked = false;
    if (store_check(state_store(), &report, check_answered, r) != STORE_OK) {
        return wrong(r, "the check cannot be made");
    }
    while (!checked) {
        turn(r);
    }
    return report.problems == 0 ? r->wrong[0] == '\0' : wrong(r, "check: %.200s", report.text);
}

static bool check_all(struct run *r)
{
    bool good = check_disk(r, &r->snapshot);

    for (unsigned i = 0; i < DISKS && good; i++) {
        good = check_disk(r, &r->disk[i]);
    }
    return good && check_store(r);
}

static bool store_has_failed(void)
{
    return store_error(state_store())[0] != '\0';
}

// Works until the power goes, or the store gives up on its disk; then all that was under way has ended.
static void live(struct run *r)
{
    for (unsigned i = 0; i < DISKS; i++) {
        open_disk(r, &r->disk[i]);
    }
    guest_disk_sim.error_every = r->options->error_every;
    while (!guest_disk_sim.dead && r->wrong[0] == '\0') {
        start_something(r, &r->disk[pick(r, DISKS)]);
        turn(r);
        if (store_has_failed()) {
            disk_sim_cut(&guest_disk_sim);
        }
    }
    disk_sim_cut(&guest_disk_sim);
    guest_disk_sim.error_every = 0;
    while (under_way(r) > 0) {
        turn(r);
    }
    for (unsigned i = 0; i < DISKS; i++) {
        close_disk(r, &r->disk[i]);
    }
    r->counts->cuts++;
}

static bool one_life(struct run *r, uint64_t seed)
{
    bool good = guest_disk_node_start();

    if (good) {
        guest_disk_sim.cut_at = guest_disk_sim.submitted + pick(r, pick(r, 4) == 0 ? 100 : 2500);
        live(r);
    }
    guest_disk_node_stop();
    disk_sim_restart(&guest_disk_sim, seed);
    if (!good || !guest_disk_node_start()) {
        return wrong(r, "the store does not open");
    }
    good = check_all(r);
    guest_disk_node_stop();
    return good;
}

// Disk 0 gets contents and a snapshot, upon which disk 1 is made, larger; disk 2 is blank and ends within a grain.
static bool prepare(struct run *r)
{
    struct model *first = &r->disk[0];
    bool good = guest_disk_node_start() &&
                guest_disk_create("d0", (uint64_t)first->sectors * BLOCK_SECTOR, "") == CORE_OK;

    if (!good) {
        return wrong(r, "disk 0 cannot be made");
    }
    open_disk(r, first);
    for (unsigned i = 0; i < 40; i++) {
        struct request *q = free_request(first);

        q->block.sector = pick(r, first->sectors);
        q->block.sectors = (uint32_t)(1 + pick(r, 200));
        q->block.sectors = MIN(q->block.sectors, first->sectors - (uint32_t)q->block.sector);
        start_write(r, first, q);
        while (under_way(r) > 0) {
            turn(r);
        }
        if (q->block.status != BLOCK_OK) {
            return wrong(r, "disk 0 cannot be written");
        }
    }
    close_disk(r, first);
    for (uint32_t i = 0; i < first->sectors; i++) {
        r->snapshot.original[i] = r->snapshot.sector[i].acked = r->snapshot.sector[i].last =
            first->sector[i].last;
    }
    memset(first->sector, 0, sizeof first->sector);
    first->base = &r->snapshot;
    r->disk[1].base = &r->snapshot;
    good = guest_disk_snapshot("d0", "base") == CORE_OK &&
           guest_disk_create("d1", (uint64_t)r->disk[1].sectors * BLOCK_SECTOR, "base") == CORE_OK &&
           guest_disk_create("d2", (uint64_t)r->disk[2].sectors * BLOCK_SECTOR, "") == CORE_OK;
    good = good ? check_disk(r, &r->snapshot) : wrong(r, "the other disks cannot be made");
    guest_disk_node_stop();
    return good && r->wrong[0] == '\0';
}

static void init_model(struct run *r, struct model *m, const char *name, uint32_t index, uint32_t sectors)
{
    m->run = r;
    m->index = index;
    m->sectors = sectors;
    snprintf(m->name, sizeof m->name, "%s", name);
    for (unsigned i = 0; i < REQUESTS; i++) {
        m->requests[i].disk = m;
        m->requests[i].block.done = request_done;
        m->requests[i].at = ((uint64_t)index * REQUESTS + i) * MAPPED_MAX_SECTORS * BLOCK_SECTOR;
    }
}

const char *guest_disk_run(const struct guest_disk_run_options *options, struct guest_disk_run_counts *counts)
{
    static char text[256];
    struct run *r = calloc(1, sizeof *r);
    bool good;

    r->random = options->seed;
    r->options = options;
    r->counts = counts;
    init_model(r, &r->snapshot, "base", 0, 5 * 2048 + 8);
    init_model(r, &r->disk[0], "d0", 0, 5 * 2048 + 8);
    init_model(r, &r->disk[1], "d1", 1, 7 * 2048);
    init_model(r, &r->disk[2], "d2", 2, SECTORS_MAX - 3);
    r->snapshot.read_only = true;
    guest_disk_node_init(PARTITION_SECTORS, options->seed ^ 0x5eed);
    good = prepare(r);
    guest_disk_sim.lies_about_flush = options->lies_about_flush;
    for (unsigned life = 0; life < options->lives && good; life++) {
        good = one_life(r, options->seed * 31 + life + 1);
    }
    snprintf(text, sizeof text, "%s", r->wrong);
    guest_disk_node_end();
    free(r);
    return good ? NULL : text;
}
