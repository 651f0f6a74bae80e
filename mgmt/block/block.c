// SPDX-License-Identifier: Apache-2.0
// Requests on their way to a driver and back: checks, partitions, counters, queues.
#include "mgmt/block/block.h"

#include "mgmt/plat.h"

#include <string.h>

#define ADDRESS_LIMIT (1ull << 52) // physical addresses have no more bits (SDM 3A "Physical-Address Width")

// --- checks ---

static bool segments_valid(const struct block_device *dev, const struct block_request *r)
{
    uint64_t bytes = 0;

    if (r->segment_count == 0 || r->segment_count > MIN(dev->max_segments, BLOCK_MAX_SEGMENTS)) {
        return false;
    }
    for (uint32_t i = 0; i < r->segment_count; i++) {
        const struct block_segment *s = &r->segments[i];

        if (s->length == 0 || s->length % BLOCK_SECTOR != 0 || s->gpa % 4 != 0 ||
            s->gpa > ADDRESS_LIMIT - s->length) {
            return false;
        }
        bytes += s->length;
    }
    return bytes == (uint64_t)r->sectors * BLOCK_SECTOR;
}

static bool range_valid(const struct block_device *dev, const struct block_request *r)
{
    uint32_t unit = MAX(dev->logical_block / BLOCK_SECTOR, 1u);

    return r->sectors != 0 && r->sector <= dev->sectors && r->sectors <= dev->sectors - r->sector &&
           r->sector % unit == 0 && r->sectors % unit == 0;
}

static enum block_status check_discard(const struct block_device *dev, const struct block_request *r)
{
    uint32_t limit = dev->max_discard != 0 ? dev->max_discard : dev->max_sectors;

    if (!dev->can_discard) {
        return BLOCK_UNSUPPORTED;
    }
    return dev->read_only || r->sectors > limit || r->segment_count != 0 ? BLOCK_INVALID : BLOCK_OK;
}

static enum block_status check(const struct block_device *dev, const struct block_request *r)
{
    switch (r->op) {
    case BLOCK_FLUSH:
        return r->sectors == 0 && r->segment_count == 0 ? BLOCK_OK : BLOCK_INVALID;
    case BLOCK_DISCARD:
        return range_valid(dev, r) ? check_discard(dev, r) : BLOCK_INVALID;
    case BLOCK_READ:
    case BLOCK_WRITE:
        break;
    default:
        return BLOCK_INVALID;
    }
    if (!range_valid(dev, r) || r->sectors > MIN(dev->max_sectors, BLOCK_MAX_SECTORS) ||
        !segments_valid(dev, r) || (r->op == BLOCK_WRITE && dev->read_only)) {
        return BLOCK_INVALID;
    }
    return BLOCK_OK;
}

// --- submitting and completing ---

void block_ask(struct block_device *dev)
{
    dev->pending = true;
    if (dev->ask != NULL) {
        dev->ask(dev->ask_arg);
    }
}

static void count_begin(struct block_device *dev)
{
    dev->counters.queued++;
}

static void count_end(struct block_device *dev, const struct block_request *r, enum block_status status)
{
    dev->counters.queued--;
    if ((uint32_t)r->op < ARRAY_LEN(dev->counters.requests)) {
        dev->counters.requests[r->op]++;
        dev->counters.bytes[r->op] += status == BLOCK_OK ? (uint64_t)r->sectors * BLOCK_SECTOR : 0;
    }
    dev->counters.errors += status != BLOCK_OK;
    dev->counters.timeouts += status == BLOCK_TIMEOUT;
}

void block_submit(struct block_device *dev, struct block_request *request)
{
    struct block_device *disk = block_disk(dev);
    enum block_status status = disk->failed ? BLOCK_GONE : check(dev, request);

    request->device = dev;
    request->status = status;
    request->next = NULL;
    memset(request->driver, 0, sizeof(request->driver));
    if (disk->counters.queued == 0) {
        disk->pending = true; // the loop looks at its deadline
    }
    count_begin(disk);
    if (dev != disk) {
        count_begin(dev);
    }
    request->sector += dev->first;
    if (status != BLOCK_OK) {
        block_queue_push(&disk->refused, request);
        block_ask(disk);
        return;
    }
    disk->ops->submit(disk, request);
}

void block_complete(struct block_device *dev, struct block_request *request, enum block_status status)
{
    struct block_device *view = request->device;

    request->sector -= view->first;
    request->status = status;
    count_end(dev, request, status);
    if (view != dev) {
        count_end(view, request, status);
    }
    request->done(request);
}

bool block_service(struct block_device *dev)
{
    struct block_queue refused = dev->refused;
    struct block_request *r;

    dev->refused = (struct block_queue){0}; // what done() adds waits for the next call
    dev->pending = false;
    while ((r = block_queue_pop(&refused)) != NULL) {
        block_complete(dev, r, r->status);
    }
    if (dev->ops->service(dev)) {
        dev->pending = true;
    }
    return dev->pending;
}

uint64_t block_deadline(const struct block_device *dev)
{
    return dev->ops->deadline != NULL ? dev->ops->deadline(dev) : UINT64_MAX;
}

void block_partition_init(struct block_device *view, struct block_device *disk, uint64_t first,
                          uint64_t sectors)
{
    *view = *disk;
    memset(&view->counters, 0, sizeof(view->counters));
    view->refused = (struct block_queue){0};
    view->pending = false;
    view->parent = disk;
    view->first = first;
    view->sectors = sectors;
}

// --- queues ---

void block_queue_push(struct block_queue *queue, struct block_request *request)
{
    request->next = NULL;
    if (queue->head == NULL) {
        queue->head = request;
    } else {
        queue->tail->next = request;
    }
    queue->tail = request;
}

void block_queue_push_front(struct block_queue *queue, struct block_request *request)
{
    request->next = queue->head;
    if (queue->head == NULL) {
        queue->tail = request;
    }
    queue->head = request;
}

struct block_request *block_queue_pop(struct block_queue *queue)
{
    struct block_request *request = queue->head;

    if (request != NULL) {
        queue->head = request->next;
        request->next = NULL;
    }
    return request;
}

// --- data and names ---

void block_copy(const struct block_request *request, void *buffer, bool gather)
{
    uint8_t *at = buffer;

    for (uint32_t i = 0; i < request->segment_count; i++) {
        const struct block_segment *s = &request->segments[i];
        void *memory = plat_pool_va(GPA(s->gpa));

        memcpy(gather ? (void *)at : memory, gather ? memory : (void *)at, s->length);
        at += s->length;
    }
}

void block_counters_add(struct block_counters *sum, const struct block_counters *c)
{
    for (size_t i = 0; i < ARRAY_LEN(sum->requests); i++) {
        sum->requests[i] += c->requests[i];
        sum->bytes[i] += c->bytes[i];
    }
    sum->errors += c->errors;
    sum->timeouts += c->timeouts;
    sum->resets += c->resets;
    sum->queued += c->queued;
}

const char *block_op_name(enum block_op op)
{
    static const char *const names[] = {
        [BLOCK_READ] = "read", [BLOCK_WRITE] = "write", [BLOCK_FLUSH] = "flush", [BLOCK_DISCARD] = "discard"};

    return (unsigned)op < ARRAY_LEN(names) ? names[op] : "?";
}

const char *block_status_text(enum block_status status)
{
    static const char *const texts[] = {
        [BLOCK_OK] = "ok",
        [BLOCK_IO_ERROR] = "input/output error",
        [BLOCK_TIMEOUT] = "no answer from the device",
        [BLOCK_INVALID] = "outside the device or its limits",
        [BLOCK_NO_SPACE] = "no space left",
        [BLOCK_UNSUPPORTED] = "not supported by the device",
        [BLOCK_GONE] = "the device has failed",
    };

    return (size_t)status < ARRAY_LEN(texts) ? texts[status] : "unknown";
}
