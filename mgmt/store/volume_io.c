// SPDX-License-Identifier: Apache-2.0
// Reading and writing volumes, on the content worker's fiber.
//
// A grain becomes the volume's own only when all of its 64 KiB are written: from the caller's data, from what the
// volume showed there before, or with zeros. So no write can make old contents of an extent visible.
#include <string.h>

#include "mgmt/store/volume_priv.h"

// --- where contents are ---

struct place {
    bool data;
    const struct volume *owner;
    uint64_t sector;
};

static uint64_t extent_sector(const struct store *s, uint32_t extent)
{
    return s->super.extent_sector + (uint64_t)extent * LAYOUT_EXTENT_SECTORS;
}

// The place of a grain, counted from the volume's beginning.
static struct place place_of(const struct volume *v, uint64_t grain)
{
    for (; v != NULL; v = v->parent) {
        const struct map_slot *slot = map_find(&v->map, grain / MAP_SLOT_GRAINS);

        if (grain * MAP_GRAIN >= v->size) {
            break; // a shorter parent ends here
        }
        if (slot != NULL && (slot->grains >> grain % MAP_SLOT_GRAINS & 1)) {
            return (struct place){.data = true,
                                  .owner = v,
                                  .sector = extent_sector(v->store, slot->extent) +
                                            grain % MAP_SLOT_GRAINS * (MAP_GRAIN / DISK_SECTOR)};
        }
    }
    return (struct place){.data = false};
}

void volume_lookup(const struct volume *v, uint64_t offset, uint64_t length, struct volume_run *run)
{
    uint64_t grain = offset / MAP_GRAIN, end = offset + length, inside = offset % MAP_GRAIN;
    struct place first = place_of(v, grain);
    uint64_t grains = 1;

    // Within a slot, so that a long zero is found in steps of bounded work.
    while ((grain + grains) % MAP_SLOT_GRAINS != 0 && (grain + grains) * MAP_GRAIN < end) {
        struct place next = place_of(v, grain + grains);

        if (next.data != first.data || next.owner != first.owner ||
            (next.data && next.sector != first.sector + grains * (MAP_GRAIN / DISK_SECTOR))) {
            break;
        }
        grains++;
    }
    *run = (struct volume_run){
        .data = first.data,
        .owned = first.data && first.owner == v,
        .sector = first.data ? first.sector + inside / DISK_SECTOR : 0,
        .length = MIN(length, grains * MAP_GRAIN - inside),
    };
}

static enum store_status read_range(const struct volume *v, uint64_t offset, uint8_t *buffer, uint64_t length)
{
    while (length > 0) {
        struct volume_run run;

        volume_lookup(v, offset, length, &run);
        if (!run.data) {
            memset(buffer, 0, run.length);
        } else if (worker_read(&v->store->content, run.sector, buffer, run.length / DISK_SECTOR) != DISK_OK) {
            return STORE_IO;
        }
        offset += run.length;
        buffer += run.length;
        length -= run.length;
    }
    return STORE_OK;
}

// --- writing ---

struct piece { // of a write, within one slot
    uint64_t offset, length;
    const uint8_t *data;
    struct map_slot *slot;
};

// Is a transaction about the slot under way? Then its outcome decides.
static bool in_transaction(const struct volume *v, const struct map_slot *slot)
{
    for (size_t i = 0; i < v->row_count; i++) {
        if (map_find(&v->map, v->rows[i].slot) == slot) {
            return true;
        }
    }
    return false;
}

void volume_release_slot(struct volume *v, struct map_slot *slot)
{
    if (slot->extent != MAP_NO_EXTENT && slot->grains == 0 && slot->saved == 0 && v->writing != slot &&
        !in_transaction(v, slot)) {
        space_give(&v->store->space, slot->extent);
        slot->extent = MAP_NO_EXTENT;
        v->extents--;
    }
}

static enum store_status take_extent(struct volume *v, struct map_slot *slot)
{
    if (slot->extent != MAP_NO_EXTENT) {
        return STORE_OK;
    }
    if (!space_take(&v->store->space, &slot->extent)) {
        slot->extent = MAP_NO_EXTENT;
        return STORE_FULL;
    }
    v->extents++;
    return STORE_OK;
}

// Writes whole sectors of the slot's extent; then the grains in `mask` are the volume's own.
static enum store_status write_extent(struct volume *v, const struct piece *p, const uint8_t *data,
                                      uint64_t offset, uint64_t length, uint16_t mask)
{
    enum store_status status = take_extent(v, p->slot);
    enum disk_status written;

    if (status != STORE_OK) {
        return status;
    }
    v->writing = p->slot; // a map that is committed meanwhile leaves the extent alone
    written = worker_write(&v->store->content,
                           extent_sector(v->store, p->slot->extent) + offset % LAYOUT_EXTENT / DISK_SECTOR,
                           data, length / DISK_SECTOR);
    v->writing = NULL;
    if (written != DISK_OK) {
        volume_release_slot(v, p->slot);
        return STORE_IO;
    }
    if ((p->slot->grains | mask) != p->slot->grains) {
        p->slot->grains |= mask;
        map_dirty(&v->map, offset / LAYOUT_EXTENT);
    }
    return STORE_OK;
}

// How many bytes of the piece can be written as they are: into grains that are owned or that it covers. The grains
// of it are put into *mask, as far as they are covered.
static uint64_t direct_length(const struct piece *p, uint16_t *mask)
{
    uint64_t at = p->offset, end = p->offset + p->length;

    *mask = 0;
    while (at < end) {
        uint64_t next = ALIGN_DOWN(at, (uint64_t)MAP_GRAIN) + MAP_GRAIN;
        unsigned grain = (unsigned)(at / MAP_GRAIN % MAP_SLOT_GRAINS);
        bool covered = at % MAP_GRAIN == 0 && end >= next;

        if (!covered && !(p->slot->grains >> grain & 1)) {
            break;
        }
        if (covered) {
            *mask |= (uint16_t)(1u << grain);
        }
        at = MIN(next, end);
    }
    return at - p->offset;
}

// The grain at the piece's beginning, which is not owned: what was there, with the piece's data over it.
static enum store_status write_merged(struct volume *v, const struct piece *p, uint64_t *written)
{
    uint64_t start = ALIGN_DOWN(p->offset, (uint64_t)MAP_GRAIN), inside = p->offset - start;
    uint64_t length = MIN(p->length, MAP_GRAIN - inside);
    uint8_t *grain = v->store->grain;
    enum store_status status = read_range(v, start, grain, MAP_GRAIN);

    if (status != STORE_OK) {
        return status;
    }
    if (p->data != NULL) {
        memcpy(grain + inside, p->data, length);
    }
    *written = length;
    return write_extent(v, p, grain, start, MAP_GRAIN, (uint16_t)(1u << start / MAP_GRAIN % MAP_SLOT_GRAINS));
}

static enum store_status write_piece(struct volume *v, const struct piece *p, uint64_t *written)
{
    uint16_t mask;

    *written = direct_length(p, &mask);
    return *written > 0 ? write_extent(v, p, p->data, p->offset, *written, mask)
                        : write_merged(v, p, written);
}

// The next grain of a fill: nothing to do if it is owned.
static enum store_status fill_piece(struct volume *v, const struct piece *p, uint64_t *filled)
{
    if (p->slot->grains >> (p->offset / MAP_GRAIN % MAP_SLOT_GRAINS) & 1) {
        *filled = MIN(p->length, MAP_GRAIN - p->offset % MAP_GRAIN);
        return STORE_OK;
    }
    return write_merged(v, p, filled);
}

// `data` NULL: fill.
static enum store_status write_range(struct volume *v, uint64_t offset, const uint8_t *data, uint64_t length)
{
    while (length > 0) {
        struct piece p = {.offset = offset,
                          .length = MIN(length, LAYOUT_EXTENT - offset % LAYOUT_EXTENT),
                          .data = data,
                          .slot = map_touch(&v->map, offset / LAYOUT_EXTENT)};
        enum store_status status;
        uint64_t n;

        if (p.slot == NULL) {
            return STORE_NO_HEAP;
        }
        status = data != NULL ? write_piece(v, &p, &n) : fill_piece(v, &p, &n);
        if (status != STORE_OK) {
            return status;
        }
        offset += n;
        data = data != NULL ? data + n : NULL;
        length -= n;
    }
    return STORE_OK;
}

// Grains within the range are not the volume's any more. An extent without any is free when that is committed; one
// that the database never knew is free at once.
static void discard_range(struct volume *v, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length == ALIGN_UP(v->size, (uint64_t)DISK_SECTOR)
                       ? ALIGN_UP(offset + length, (uint64_t)MAP_GRAIN) // there is nothing behind it
                       : ALIGN_DOWN(offset + length, (uint64_t)MAP_GRAIN);

    for (uint64_t at = ALIGN_UP(offset, (uint64_t)MAP_GRAIN); at < end; at += MAP_GRAIN) {
        struct map_slot *slot = map_find(&v->map, at / LAYOUT_EXTENT);
        uint16_t bit = (uint16_t)(1u << at / MAP_GRAIN % MAP_SLOT_GRAINS);

        if (slot != NULL && (slot->grains & bit)) {
            slot->grains &= (uint16_t)~bit;
            map_dirty(&v->map, at / LAYOUT_EXTENT);
            volume_release_slot(v, slot);
        }
    }
}

// --- requests ---

static bool valid(const struct volume_io *io)
{
    const struct volume *v = io->volume;
    uint64_t size = ALIGN_UP(v->size, (uint64_t)DISK_SECTOR);

    return io->offset % DISK_SECTOR == 0 && io->length % DISK_SECTOR == 0 && io->offset <= size &&
           io->length <= size - io->offset && (io->op == VOLUME_READ || !v->read_only);
}

static enum store_status perform(struct volume_io *io)
{
    struct volume *v = io->volume;

    if (!valid(io)) {
        return STORE_INVALID;
    }
    if (io->op == VOLUME_READ) {
        return read_range(v, io->offset, io->buffer, io->length);
    }
    if (!store_usable(v->store)) {
        return STORE_IO;
    }
    if (io->op == VOLUME_DISCARD) {
        discard_range(v, io->offset, io->length);
        return STORE_OK;
    }
    return write_range(v, io->offset, io->op == VOLUME_WRITE ? io->buffer : NULL, io->length);
}

static void finish(struct plat_work *work)
{
    struct volume_io *io = CONTAINER_OF(work, struct volume_io, finish);

    io->volume->busy--;
    io->done(io, io->status);
}

static void run(struct worker_job *job)
{
    struct volume_io *io = CONTAINER_OF(job, struct volume_io, job);

    io->status = perform(io);
    plat_post(&io->finish, finish);
}

void volume_submit(struct volume_io *io)
{
    io->finish = (struct plat_work){0};
    io->volume->busy++;
    if (io->volume->changing && io->op != VOLUME_READ) {
        io->status = STORE_IN_USE;
        plat_post(&io->finish, finish);
        return;
    }
    io->job.run = run;
    worker_queue(&io->volume->store->content, &io->job);
}
