// SPDX-License-Identifier: Apache-2.0
// Slots, deadlines and second tries.
#include "mgmt/drivers/disk_unit.h"

#include <string.h>

enum { STEP = 0, TRIED = 1 }; // in block_request.driver[], zero at first

enum step { STEP_OWN = 0, STEP_FLUSH };

void unit_init(struct disk_unit *u, uint32_t slots)
{
    memset(u, 0, sizeof(*u));
    u->slot_count = slots;
    u->bounced = UNIT_NONE;
    u->reach = UINT64_MAX;
}

enum block_op unit_step(const struct block_request *request)
{
    return request->driver[STEP] == STEP_FLUSH ? BLOCK_FLUSH : request->op;
}

// --- bounce buffer ---

static bool needs_bounce(const struct disk_unit *u, const struct block_request *r)
{
    enum block_op step = unit_step(r);

    if (u->bounce == NULL || (step != BLOCK_READ && step != BLOCK_WRITE)) {
        return false;
    }
    for (uint32_t i = 0; i < r->segment_count; i++) {
        if (r->segments[i].gpa + r->segments[i].length > u->reach) {
            return true;
        }
    }
    return u->awkward != NULL && u->awkward(r);
}

uint32_t unit_segments(const struct disk_unit *u, uint32_t slot, const struct block_segment **segments,
                       struct block_segment *storage)
{
    const struct block_request *r = u->slots[slot];

    if (u->bounced != slot) {
        *segments = r->segments;
        return r->segment_count;
    }
    *storage = (struct block_segment){.gpa = u->bounce_gpa, .length = r->sectors * BLOCK_SECTOR};
    *segments = storage;
    return 1;
}

// --- in and out ---

uint32_t unit_next(struct disk_unit *u, uint64_t now_ns)
{
    struct block_request *r = u->waiting.head;
    uint32_t slot = 0;
    bool bounce;

    if (r == NULL || u->busy == u->slot_count) {
        return UNIT_NONE;
    }
    bounce = needs_bounce(u, r);
    if (bounce && u->bounced != UNIT_NONE) {
        return UNIT_NONE;
    }
    while (u->slots[slot] != NULL) {
        slot++;
    }
    u->slots[slot] = block_queue_pop(&u->waiting);
    u->busy++;
    r->deadline_ns = now_ns + BLOCK_TIMEOUT_NS;
    if (bounce) {
        u->bounced = slot;
        if (r->op == BLOCK_WRITE) {
            block_copy(r, u->bounce, true);
        }
    }
    return slot;
}

static struct block_request *release(struct disk_unit *u, uint32_t slot)
{
    struct block_request *r = u->slots[slot];

    u->slots[slot] = NULL;
    u->busy--;
    if (u->bounced == slot) {
        u->bounced = UNIT_NONE;
    }
    return r;
}

void unit_finish(struct disk_unit *u, uint32_t slot, enum block_status status)
{
    struct block_request *r = u->slots[slot];
    struct block_device *dev = block_disk(r->device);

    if (u->bounced == slot && r->op == BLOCK_READ && status == BLOCK_OK) {
        block_copy(r, u->bounce, false);
    }
    (void)release(u, slot);
    u->strikes = 0;
    if (status == BLOCK_OK && unit_step(r) == BLOCK_WRITE && r->fua && dev->write_cache && !u->native_fua) {
        r->driver[STEP] = STEP_FLUSH;
        block_queue_push_front(&u->waiting, r);
        return;
    }
    block_complete(dev, r, status);
}

void unit_requeue(struct disk_unit *u, uint32_t slot)
{
    block_queue_push_front(&u->waiting, release(u, slot));
}

void unit_retry(struct disk_unit *u, uint32_t slot, enum block_status status)
{
    struct block_request *r = release(u, slot);

    if (r->driver[TRIED] != 0) {
        block_complete(block_disk(r->device), r, status);
        return;
    }
    r->driver[TRIED] = 1;
    r->driver[STEP] = STEP_OWN; // what was in the device's cache may be lost
    block_queue_push_front(&u->waiting, r);
}

// --- time ---

bool unit_expired(const struct disk_unit *u, uint64_t now_ns)
{
    return unit_deadline(u) <= now_ns;
}

uint64_t unit_deadline(const struct disk_unit *u)
{
    uint64_t earliest = UINT64_MAX;

    for (uint32_t i = 0, left = u->busy; left > 0; i++) {
        if (u->slots[i] != NULL) {
            earliest = MIN(earliest, u->slots[i]->deadline_ns);
            left--;
        }
    }
    return earliest;
}

bool unit_strike(struct disk_unit *u)
{
    return ++u->strikes <= UNIT_STRIKES;
}

void unit_stopped(struct disk_unit *u, uint64_t began_ns)
{
    // From the last slot down, so that what is put back in front keeps roughly the order in which it came.
    for (uint32_t i = UNIT_SLOTS; i-- > 0;) {
        struct block_request *r = u->slots[i];

        if (r == NULL) {
            continue;
        }
        if (r->deadline_ns <= began_ns) {
            block_complete(block_disk(r->device), release(u, i), BLOCK_TIMEOUT);
        } else {
            unit_retry(u, i, BLOCK_TIMEOUT);
        }
    }
}

void unit_gone(struct disk_unit *u)
{
    struct block_queue waiting = u->waiting;
    struct block_request *r;

    u->waiting = (struct block_queue){0}; // new ones are refused: the devices are marked as failed
    for (uint32_t i = 0; i < UNIT_SLOTS; i++) {
        if (u->slots[i] != NULL) {
            r = release(u, i);
            block_complete(block_disk(r->device), r, BLOCK_GONE);
        }
    }
    while ((r = block_queue_pop(&waiting)) != NULL) {
        block_complete(block_disk(r->device), r, BLOCK_GONE);
    }
}
