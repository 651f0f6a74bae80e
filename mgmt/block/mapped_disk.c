// SPDX-License-Identifier: Apache-2.0
// Requests of guests' disks: in place on the medium, or by way of the control plane.
#include "mgmt/block/mapped_disk.h"

#include "mgmt/plat.h"
#include "mgmt/rt/wake.h"

#include <string.h>

#define SECTORS_A_CALL 2048u // of requests begun in one service(); the last may go beyond

// In block_request.driver[] of a request that was begun.
enum { PARTS_OUT, FAILURE };

// --- the two lists: whoever adds is one plane, whoever takes all is the other ---

static struct map_call *calls, *answers;

static void put(struct map_call **list, struct map_call *call)
{
    struct map_call *first = __atomic_load_n(list, __ATOMIC_RELAXED);

    do { // fails only when the other plane has taken all: then the list is empty
        call->next = first;
    } while (!__atomic_compare_exchange_n(list, &first, call, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static struct map_call *take_all(struct map_call **list)
{
    struct map_call *call = __atomic_exchange_n(list, NULL, __ATOMIC_ACQUIRE), *turned = NULL;

    while (call != NULL) { // newest first
        struct map_call *next = call->next;

        call->next = turned;
        turned = call;
        call = next;
    }
    return turned;
}

struct map_call *mapped_disk_calls(void)
{
    return take_all(&calls);
}

void mapped_disk_answer(struct map_call *call)
{
    put(&answers, call);
    wake(&wake_data);
}

static void begin_call(struct mapped_disk *d, enum map_op op, struct block_request *r)
{
    struct map_call *call = &d->call[op];

    call->disk = d;
    call->op = op;
    call->busy = true;
    call->request = r;
    call->sector = r->sector;
    call->sectors = r->sectors;
    call->covers = d->changes;
    call->status = BLOCK_OK;
    call->line_count = 0;
    put(&calls, call);
    plat_wake();
}

// --- lines ---

static struct map_line *line_place(const struct mapped_disk *d, uint64_t slot)
{
    return &d->lines[slot % d->line_count];
}

static const struct map_line *line_of(const struct mapped_disk *d, uint64_t sector)
{
    const struct map_line *line = line_place(d, sector / MAPPED_LINE_SECTORS);

    return line->valid && line->slot == sector / MAPPED_LINE_SECTORS ? line : NULL;
}

static void keep_lines(struct mapped_disk *d, const struct map_call *call)
{
    for (uint32_t i = 0; i < call->line_count; i++) {
        *line_place(d, call->lines[i].slot) = call->lines[i];
    }
}

// Nothing is known any more about grains from `sector` on.
static void forget_lines(struct mapped_disk *d, uint64_t sector, uint32_t sectors)
{
    uint64_t from = sector / MAPPED_LINE_SECTORS, to = (sector + sectors - 1) / MAPPED_LINE_SECTORS;

    for (uint32_t i = 0; i < d->line_count; i++) {
        if (d->lines[i].slot >= from && d->lines[i].slot <= to) {
            d->lines[i].valid = false;
        }
    }
}

// --- what becomes of a request ---

enum way { WAY_MISSING, WAY_ALLOCATE, WAY_IN_PLACE };

struct run { // of grains that lie one behind the other on the medium, or are all zero
    bool data;
    uint64_t sector; // on the medium
    uint32_t sectors;
};

static enum way way_of(const struct mapped_disk *d, const struct block_request *r)
{
    enum way way = WAY_IN_PLACE;
    uint64_t end = r->sector + r->sectors;

    for (uint64_t at = ALIGN_DOWN(r->sector, (uint64_t)MAPPED_GRAIN_SECTORS); at < end;
         at += MAPPED_GRAIN_SECTORS) {
        const struct map_line *line = line_of(d, at);

        if (line == NULL) {
            return WAY_MISSING;
        }
        if (r->op == BLOCK_WRITE && !(line->owned >> at / MAPPED_GRAIN_SECTORS % MAPPED_LINE_GRAINS & 1)) {
            way = WAY_ALLOCATE;
        }
    }
    return way;
}

// The run that begins at `at`, of at most `sectors`; all lines are there.
static struct run run_at(const struct mapped_disk *d, uint64_t at, uint32_t sectors)
{
    struct run run = {0};

    while (run.sectors < sectors) {
        uint64_t here = at + run.sectors, inside = here % MAPPED_GRAIN_SECTORS;
        const struct map_line *line = line_of(d, here);
        uint32_t grain = (uint32_t)(here / MAPPED_GRAIN_SECTORS % MAPPED_LINE_GRAINS);
        bool data = line->data >> grain & 1;
        uint64_t sector = data ? (uint64_t)line->place[grain] * MAPPED_GRAIN_SECTORS + inside : 0;

        if (run.sectors > 0 && (data != run.data || (data && sector != run.sector + run.sectors))) {
            break;
        }
        if (run.sectors == 0) {
            run.data = data;
            run.sector = sector;
        }
        run.sectors += (uint32_t)MIN((uint64_t)(sectors - run.sectors), MAPPED_GRAIN_SECTORS - inside);
    }
    return run;
}

static uint32_t parts_needed(const struct mapped_disk *d, const struct block_request *r)
{
    uint32_t parts = 0;

    for (uint32_t at = 0; at < r->sectors;) {
        struct run run = run_at(d, r->sector + at, r->sectors - at);

        parts += run.data;
        at += run.sectors;
    }
    return parts;
}

// --- ends ---

static void complete(struct mapped_disk *d, struct block_request *r, enum block_status status)
{
    d->begun--;
    block_complete(&d->device, r, status);
}

// The medium has done, or the control plane has written, all of it. A write that must be on the medium is there when
// the map is, too.
static void transferred(struct mapped_disk *d, struct block_request *r, enum block_status status)
{
    if (status == BLOCK_OK && r->op == BLOCK_WRITE && r->fua && d->changes != d->durable) {
        block_queue_push(&d->uncommitted, r);
        block_ask(&d->device);
        return;
    }
    complete(d, r, status);
}

static void part_done(struct block_request *block)
{
    struct mapped_part *part = CONTAINER_OF(block, struct mapped_part, block);
    struct mapped_disk *d = part->disk;
    struct block_request *r = part->of;

    part->next_free = d->free_parts;
    d->free_parts = part;
    d->parts_free++;
    if (block->status != BLOCK_OK) {
        r->driver[FAILURE] = (uint64_t)block->status;
    }
    if (d->fresh.head != NULL) {
        block_ask(&d->device); // it may have waited for a part
    }
    if (--r->driver[PARTS_OUT] == 0) {
        transferred(d, r, (enum block_status)r->driver[FAILURE]);
    }
}

// --- in place ---

static struct mapped_part *take_part(struct mapped_disk *d, struct block_request *r)
{
    struct mapped_part *part = d->free_parts;

    d->free_parts = part->next_free;
    d->parts_free--;
    part->of = r;
    part->block.op = r->op;
    part->block.fua = r->fua;
    part->block.sector = 0;
    part->block.sectors = 0;
    part->block.segment_count = 0;
    part->block.done = part_done;
    r->driver[PARTS_OUT]++;
    return part;
}

struct cursor { // in the memory of a request
    uint32_t segment, offset;
};

// The next bytes of the request's memory, at most `length`, become a segment.
static struct block_segment next_segment(const struct block_request *r, struct cursor *at, uint32_t length)
{
    const struct block_segment *s = &r->segments[at->segment];
    struct block_segment out = {.gpa = s->gpa + at->offset, .length = MIN(length, s->length - at->offset)};

    at->offset += out.length;
    if (at->offset == s->length) {
        at->segment++;
        at->offset = 0;
    }
    return out;
}

static void zero_memory(const struct block_request *r, struct cursor *at, uint32_t length)
{
    while (length > 0) {
        struct block_segment s = next_segment(r, at, length);

        memset(plat_pool_va(GPA(s.gpa)), 0, s.length);
        length -= s.length;
    }
}

static void give_part(struct mapped_disk *d, struct block_request *r, const struct run *run,
                      struct cursor *at)
{
    struct mapped_part *part = take_part(d, r);
    uint32_t length = run->sectors * BLOCK_SECTOR;

    part->block.sector = run->sector;
    part->block.sectors = run->sectors;
    while (length > 0) {
        struct block_segment s = next_segment(r, at, length);

        part->block.segments[part->block.segment_count++] = s;
        length -= s.length;
    }
    block_submit(d->medium, &part->block);
}

// All lines are there, and parts enough. One part more is counted until all are out.
static void transfer(struct mapped_disk *d, struct block_request *r)
{
    struct cursor memory = {0};

    r->driver[PARTS_OUT] = 1;
    for (uint32_t at = 0; at < r->sectors;) {
        struct run run = run_at(d, r->sector + at, r->sectors - at);

        if (run.data) {
            give_part(d, r, &run, &memory);
        } else {
            zero_memory(r, &memory, run.sectors * BLOCK_SECTOR);
        }
        at += run.sectors;
    }
    if (--r->driver[PARTS_OUT] == 0) {
        transferred(d, r, BLOCK_OK);
    }
}

// --- beginning ---

static void begin_flush(struct mapped_disk *d, struct block_request *r)
{
    if (d->changes == d->durable) {
        block_submit(d->medium, &take_part(d, r)->block);
    } else {
        block_queue_push(&d->uncommitted, r);
    }
}

static void begin_transfer(struct mapped_disk *d, struct block_request *r)
{
    switch (way_of(d, r)) {
    case WAY_MISSING:
        block_queue_push(&d->missing, r);
        break;
    case WAY_ALLOCATE:
        block_queue_push(&d->allocating, r);
        break;
    case WAY_IN_PLACE:
        transfer(d, r);
        break;
    }
}

// Whether the oldest request may begin now. Grains must not be given back under what reads or writes them.
static bool may_begin(const struct mapped_disk *d, const struct block_request *r)
{
    if (d->call[MAP_DISCARD].busy) {
        return false;
    }
    switch (r->op) {
    case BLOCK_DISCARD:
        return d->begun == 0;
    case BLOCK_FLUSH:
        return d->parts_free >= 1;
    default:
        return way_of(d, r) != WAY_IN_PLACE || d->parts_free >= parts_needed(d, r);
    }
}

static void begin(struct mapped_disk *d, struct block_request *r)
{
    d->begun++;
    r->driver[PARTS_OUT] = 0;
    r->driver[FAILURE] = BLOCK_OK;
    switch (r->op) {
    case BLOCK_DISCARD:
        begin_call(d, MAP_DISCARD, r);
        break;
    case BLOCK_FLUSH:
        begin_flush(d, r);
        break;
    default:
        begin_transfer(d, r);
        break;
    }
}

// What waits for the control plane, one call of a kind at a time.
static void call_for_waiting(struct mapped_disk *d)
{
    if (d->missing.head != NULL && !d->call[MAP_RESOLVE].busy) {
        d->misses++;
        begin_call(d, MAP_RESOLVE, d->missing.head);
    }
    if (d->allocating.head != NULL && !d->call[MAP_WRITE].busy) {
        d->allocations++;
        begin_call(d, MAP_WRITE, block_queue_pop(&d->allocating));
    }
    if (d->uncommitted.head != NULL && !d->call[MAP_FLUSH].busy) {
        d->commits++;
        begin_call(d, MAP_FLUSH, d->uncommitted.head);
        d->committing = d->uncommitted;
        d->uncommitted = (struct block_queue){0};
    }
}

static bool service(struct block_device *dev)
{
    struct mapped_disk *d = CONTAINER_OF(dev, struct mapped_disk, device);

    for (uint32_t sectors = 0; sectors < SECTORS_A_CALL;) {
        struct block_request *r = d->fresh.head;

        if (r == NULL || !may_begin(d, r)) {
            call_for_waiting(d);
            return false; // what it waits for asks
        }
        (void)block_queue_pop(&d->fresh);
        sectors += 8 + (r->op == BLOCK_DISCARD ? 0 : r->sectors); // each of them costs something
        begin(d, r);
    }
    call_for_waiting(d);
    return d->fresh.head != NULL;
}

static void submit(struct block_device *dev, struct block_request *request)
{
    struct mapped_disk *d = CONTAINER_OF(dev, struct mapped_disk, device);

    block_queue_push(&d->fresh, request);
    block_ask(&d->device); // the submitter may be in done(), far from whoever serves the disk
}

// --- answers ---

// A line can always be had. What waited for one begins again, in front of what is fresh and in its turn, so that no
// answer is followed by more work than a call of service() may do.
static void resolved(struct mapped_disk *d, const struct map_call *call)
{
    struct block_queue waiting = d->missing;

    keep_lines(d, call);
    d->missing = (struct block_queue){0};
    for (struct block_request *r = waiting.head; r != NULL; r = r->next) {
        d->begun--;
    }
    if (waiting.head != NULL) {
        waiting.tail->next = d->fresh.head;
        d->fresh.tail = d->fresh.head != NULL ? d->fresh.tail : waiting.tail;
        d->fresh.head = waiting.head;
    }
}

static void committed(struct mapped_disk *d, const struct map_call *call)
{
    struct block_queue waiting = d->committing;
    struct block_request *r;

    d->committing = (struct block_queue){0};
    if (call->status == BLOCK_OK) {
        d->durable = call->covers;
    }
    while ((r = block_queue_pop(&waiting)) != NULL) {
        complete(d, r, call->status);
    }
}

static void answered(struct mapped_disk *d, const struct map_call *call)
{
    switch (call->op) {
    case MAP_RESOLVE:
        resolved(d, call);
        break;
    case MAP_WRITE: // even one that failed may have written some grains
        d->changes++;
        keep_lines(d, call);
        transferred(d, call->request, call->status);
        break;
    case MAP_FLUSH:
        committed(d, call);
        break;
    case MAP_DISCARD:
        d->changes++;
        forget_lines(d, call->sector, call->sectors);
        complete(d, call->request, call->status);
        break;
    case MAP_OPS:
        break;
    }
}

void mapped_disk_serve(void)
{
    struct map_call *call = take_all(&answers);

    while (call != NULL) {
        struct map_call *next = call->next;

        call->busy = false;
        answered(call->disk, call);
        block_ask(&call->disk->device);
        call = next;
    }
}

// --- set-up ---

uint32_t mapped_disk_lines(uint64_t sectors)
{
    uint64_t slots = (sectors + MAPPED_LINE_SECTORS - 1) / MAPPED_LINE_SECTORS;

    return (uint32_t)MIN(MAX(slots, 1ull), (uint64_t)MAPPED_MAX_LINES);
}

void mapped_disk_init(struct mapped_disk *d, struct block_device *medium, struct map_line *lines,
                      uint64_t sectors, bool read_only, const char *serial)
{
    static const struct block_ops ops = {.name = "store", .submit = submit, .service = service};

    memset(d, 0, sizeof(*d));
    d->device = (struct block_device){
        .ops = &ops,
        .model = "Keelson disk",
        .sectors = sectors,
        .logical_block = BLOCK_SECTOR,
        .physical_block = 4096,
        .max_sectors = MIN(MAPPED_MAX_SECTORS, medium->max_sectors),
        .max_segments = medium->max_segments,
        .max_discard = MAPPED_MAX_DISCARD,
        .discard_unit = MAPPED_GRAIN_SECTORS,
        .read_only = read_only,
        .can_discard = !read_only,
        .write_cache = !read_only,
    };
    for (size_t i = 0; i + 1 < sizeof(d->device.serial) && serial[i] != '\0'; i++) {
        d->device.serial[i] = serial[i];
    }
    d->medium = medium;
    d->lines = lines;
    d->line_count = mapped_disk_lines(sectors);
    memset(lines, 0, d->line_count * sizeof(*lines));
    d->changes = read_only ? 0 : 1; // the disk may have been written before and its map not committed
    for (uint32_t i = 0; i < MAPPED_PARTS; i++) {
        d->part[i].disk = d;
        d->part[i].next_free = d->free_parts;
        d->free_parts = &d->part[i];
    }
    d->parts_free = MAPPED_PARTS;
}
