// SPDX-License-Identifier: Apache-2.0
// A disk whose medium is memory of the guest pool.
#include "mgmt/block/ram_disk.h"

#define BYTES_A_CALL (256u << 10) // requests begun in one service(); the last may go beyond

static void submit(struct block_device *dev, struct block_request *request)
{
    struct ram_disk *d = CONTAINER_OF(dev, struct ram_disk, device);

    block_queue_push(&d->queue, request);
    dev->pending = true;
}

static void serve(struct ram_disk *d, struct block_request *r)
{
    uint8_t *at = d->medium + r->sector * BLOCK_SECTOR;

    switch (r->op) {
    case BLOCK_READ:
        block_copy(r, at, false);
        break;
    case BLOCK_WRITE:
        block_copy(r, at, true);
        break;
    case BLOCK_DISCARD:
        __builtin_memset(at, 0, (size_t)r->sectors * BLOCK_SECTOR);
        break;
    case BLOCK_FLUSH:
        break;
    }
    block_complete(&d->device, r, BLOCK_OK);
}

static bool service(struct block_device *dev)
{
    struct ram_disk *d = CONTAINER_OF(dev, struct ram_disk, device);
    uint64_t bytes = 0;

    while (bytes < BYTES_A_CALL) {
        struct block_request *r = block_queue_pop(&d->queue);

        if (r == NULL) {
            return false;
        }
        bytes += (uint64_t)r->sectors * BLOCK_SECTOR + BLOCK_SECTOR; // a flush is not free either
        serve(d, r);
    }
    return d->queue.head != NULL;
}

static const struct block_ops ops = {.name = "ram", .submit = submit, .service = service};

void ram_disk_init(struct ram_disk *d, void *medium, uint64_t sectors, bool read_only, const char *serial)
{
    *d = (struct ram_disk){
        .device = {.ops = &ops,
                   .model = "Keelson RAM disk",
                   .sectors = sectors,
                   .logical_block = BLOCK_SECTOR,
                   .physical_block = 4096,
                   .max_sectors = BLOCK_MAX_SECTORS,
                   .max_segments = BLOCK_MAX_SEGMENTS,
                   .read_only = read_only,
                   .can_discard = !read_only},
        .medium = medium,
    };
    for (size_t i = 0; i + 1 < sizeof(d->device.serial) && serial[i] != '\0'; i++) {
        d->device.serial[i] = serial[i];
    }
}
