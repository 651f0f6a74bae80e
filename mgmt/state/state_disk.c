// SPDX-License-Identifier: Apache-2.0
// Guests' disks in use: what the data plane asks for (mgmt/block/mapped_disk.h), answered out of the store.
//
// One allocating write is made at a time, for all disks, since the store's content worker does one access at a time
// anyway; its data are gathered into one buffer. Lines, commits and discards go on meanwhile.
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/event.h"
#include "mgmt/plat.h"
#include "mgmt/state/state_activity.h"
#include "mgmt/state/state_disk.h"
#include "mgmt/store/volume.h"

_Static_assert(MAPPED_GRAIN_SECTORS *BLOCK_SECTOR == MAP_GRAIN && MAPPED_LINE_GRAINS == MAP_SLOT_GRAINS,
               "the store's grains are the data plane's");

struct open_disk {
    struct mapped_disk mapped;
    struct volume *volume;
    struct activity_use use;
    uint64_t quiet_until; // no complaint before
    struct volume_io discard;
    struct volume_flush flush; // asked for by the guest, or at the end
    struct map_line lines[];   // at the end: their number follows from the size
};

#define QUIET_NS 60000000000ull // between two complaints about a disk, however often a guest tries

static struct block_device *medium;

// --- allocating writes ---

static struct {
    struct map_call *first, **last; // the first one is under way
    struct volume_io io;
    uint8_t *buffer; // MAPPED_MAX_SECTORS; there as soon as a disk was opened
} writes;

static enum block_status status_of(enum store_status status)
{
    switch (status) {
    case STORE_OK:
        return BLOCK_OK;
    case STORE_FULL:
        return BLOCK_NO_SPACE;
    default:
        return BLOCK_IO_ERROR;
    }
}

static struct open_disk *disk_of(const struct map_call *call)
{
    return CONTAINER_OF(call->disk, struct open_disk, mapped);
}

static void complain(struct open_disk *d, const char *what, enum store_status status)
{
    uint64_t now = plat_now_ns();
    struct volume_info info;

    if (now < d->quiet_until) {
        return;
    }
    d->quiet_until = now + QUIET_NS;
    volume_get_info(d->volume, &info);
    plat_log(LOG_ERROR, "disk '%s': a guest's %s failed: %s", info.name, what, store_status_text(status));
    event_post(status == STORE_FULL ? EVENT_DISK_FULL : EVENT_DISK_FAILED, info.name,
               "a guest's %s failed: %s", what, store_status_text(status));
}

static void fill_line(const struct volume *v, uint64_t slot, struct map_line *line)
{
    struct volume_info info;

    volume_get_info(v, &info);
    *line = (struct map_line){.slot = slot, .valid = true};
    for (uint32_t i = 0; i < MAPPED_LINE_GRAINS; i++) {
        uint64_t at = (slot * MAPPED_LINE_GRAINS + i) * MAP_GRAIN;
        struct volume_run run;

        if (at >= info.size) {
            break;
        }
        volume_lookup(v, at, MAP_GRAIN, &run);
        line->data |= (uint16_t)(run.data << i);
        line->owned |= (uint16_t)(run.owned << i);
        line->place[i] = (uint32_t)(run.sector / MAPPED_GRAIN_SECTORS);
    }
}

// The lines of the range as they are now go along with the answer.
static void answer(struct map_call *call, enum store_status status)
{
    uint64_t slot = call->sector / MAPPED_LINE_SECTORS;
    uint64_t last = (call->sector + call->sectors - 1) / MAPPED_LINE_SECTORS;

    call->status = status_of(status);
    call->line_count = 0;
    while (slot <= last && call->line_count < ARRAY_LEN(call->lines)) {
        fill_line(disk_of(call)->volume, slot++, &call->lines[call->line_count++]);
    }
    mapped_disk_answer(call);
}

static void gather(const struct block_request *r, uint8_t *to)
{
    for (uint32_t i = 0; i < r->segment_count; i++) {
        memcpy(to, plat_pool_va(GPA(r->segments[i].gpa)), r->segments[i].length);
        to += r->segments[i].length;
    }
}

static void write_first(void);

static void written(struct volume_io *io, enum store_status status)
{
    struct map_call *call = writes.first;
    struct open_disk *d = disk_of(call);

    (void)io;
    writes.first = call->next;
    if (writes.first == NULL) {
        writes.last = &writes.first;
    }
    if (status != STORE_OK) {
        complain(d, "write", status);
    }
    answer(call, status);
    write_first();
}

static void write_first(void)
{
    struct map_call *call = writes.first;

    if (call == NULL) {
        return;
    }
    gather(call->request, writes.buffer);
    writes.io = (struct volume_io){
        .volume = disk_of(call)->volume,
        .op = VOLUME_WRITE,
        .offset = call->sector * BLOCK_SECTOR,
        .length = (uint64_t)call->sectors * BLOCK_SECTOR,
        .buffer = writes.buffer,
        .done = written,
    };
    volume_submit(&writes.io);
}

static void begin_write(struct map_call *call)
{
    bool idle = writes.first == NULL;

    call->next = NULL;
    *writes.last = call;
    writes.last = &call->next;
    if (idle) {
        write_first();
    }
}

// --- commits and discards ---

static void committed(struct volume_flush *flush, enum store_status status)
{
    struct open_disk *d = CONTAINER_OF(flush, struct open_disk, flush);
    struct map_call *call = &d->mapped.call[MAP_FLUSH];

    if (status != STORE_OK) {
        complain(d, "flush", status);
    }
    call->status = status_of(status);
    mapped_disk_answer(call);
}

static void begin_flush(struct map_call *call)
{
    struct open_disk *d = disk_of(call);
    enum store_status status;

    d->flush = (struct volume_flush){.volume = d->volume, .done = committed};
    status = volume_flush(&d->flush);
    if (status != STORE_OK) {
        committed(&d->flush, status);
    }
}

static void discarded(struct volume_io *io, enum store_status status)
{
    struct open_disk *d = CONTAINER_OF(io, struct open_disk, discard);
    struct map_call *call = &d->mapped.call[MAP_DISCARD];

    call->status = status_of(status);
    mapped_disk_answer(call);
}

static void begin_discard(struct map_call *call)
{
    struct open_disk *d = disk_of(call);

    d->discard = (struct volume_io){
        .volume = d->volume,
        .op = VOLUME_DISCARD,
        .offset = call->sector * BLOCK_SECTOR,
        .length = (uint64_t)call->sectors * BLOCK_SECTOR,
        .done = discarded,
    };
    volume_submit(&d->discard);
}

// --- the data plane's calls ---

static void begin(struct map_call *call)
{
    switch (call->op) {
    case MAP_RESOLVE:
        answer(call, STORE_OK);
        break;
    case MAP_WRITE:
        begin_write(call);
        break;
    case MAP_FLUSH:
        begin_flush(call);
        break;
    case MAP_DISCARD:
        begin_discard(call);
        break;
    case MAP_OPS:
        break;
    }
}

static bool poll(struct plat_source *source)
{
    struct map_call *call = mapped_disk_calls();
    bool any = call != NULL;

    (void)source;
    while (call != NULL) {
        struct map_call *next = call->next;

        begin(call);
        call = next;
    }
    return any;
}

// --- opening and closing ---

enum core_status state_disk_open(const char *name, bool read_only, const char *serial, struct open_disk **out,
                                 struct core_error *error)
{
    struct volume *v = volume_find(state_store(), VOLUME_DISK, name);
    struct volume_info info;
    struct open_disk *d;
    uint64_t sectors;

    if (v == NULL) {
        return core_fail(error, CORE_NOT_FOUND, "there is no disk '%s'", name);
    }
    if (medium == NULL) {
        return core_fail(error, CORE_STORAGE, "disk '%s': the state partition cannot serve guests", name);
    }
    volume_get_info(v, &info);
    sectors = info.size / BLOCK_SECTOR;
    if (writes.buffer == NULL) {
        writes.buffer = malloc((size_t)MAPPED_MAX_SECTORS * BLOCK_SECTOR);
    }
    d = calloc(1, sizeof *d + mapped_disk_lines(sectors) * sizeof d->lines[0]);
    if (writes.buffer == NULL || d == NULL || !activity_begin(&d->use, name, &d->mapped)) {
        free(d);
        return core_fail(error, CORE_NO_HEAP, "management heap is full");
    }
    d->volume = v;
    mapped_disk_init(&d->mapped, medium, d->lines, sectors, read_only || info.read_only, serial);
    *out = d;
    return CORE_OK;
}

struct block_device *state_disk_device(struct open_disk *d)
{
    return &d->mapped.device;
}

static void closed(struct volume_flush *flush, enum store_status status)
{
    struct open_disk *d = CONTAINER_OF(flush, struct open_disk, flush);

    if (status != STORE_OK) {
        complain(d, "last flush", status);
    }
    activity_end(&d->use);
    free(d);
}

// What the guest wrote and did not flush is kept as well: whoever ends a guest need not know what it has flushed.
void state_disk_close(struct open_disk *d)
{
    enum store_status status;

    d->flush = (struct volume_flush){.volume = d->volume, .done = closed};
    status = d->mapped.device.read_only ? STORE_OK : volume_flush(&d->flush);
    if (status != STORE_OK || d->mapped.device.read_only) {
        closed(&d->flush, status);
    }
}

void state_disk_serve(struct block_device *device)
{
    static struct plat_source source = {.poll = poll};

    if (writes.last == NULL) {
        plat_source_add(&source);
        writes.last = &writes.first;
    }
    medium = device;
}
