// SPDX-License-Identifier: Apache-2.0
// Translates requests; the block layer's and the store's words are nearly the same.
#include "mgmt/state/partition_disk.h"

#include <stdlib.h>

static enum disk_status status_of(enum block_status status)
{
    switch (status) {
    case BLOCK_OK:
        return DISK_OK;
    case BLOCK_UNSUPPORTED:
        return DISK_UNSUPPORTED;
    case BLOCK_GONE:
        return DISK_GONE;
    default:
        return DISK_IO_ERROR;
    }
}

static void done(struct disk_io *io)
{
    struct disk_request *request = io->context;
    struct partition_disk *d = (struct partition_disk *)(uintptr_t)request->driver;

    d->taken[io - d->io] = false;
    request->status = status_of(io->status);
    request->done(request);
}

static struct disk_io *take(struct partition_disk *d)
{
    for (size_t i = 0; i < PARTITION_DISK_REQUESTS; i++) {
        if (!d->taken[i]) {
            d->taken[i] = true;
            return &d->io[i];
        }
    }
    abort(); // more workers than there are places for
}

static void submit(struct disk *disk, struct disk_request *request)
{
    static const enum block_op ops[] = {
        [DISK_READ] = BLOCK_READ,
        [DISK_WRITE] = BLOCK_WRITE,
        [DISK_FLUSH] = BLOCK_FLUSH,
        [DISK_DISCARD] = BLOCK_DISCARD,
    };
    struct partition_disk *d = CONTAINER_OF(disk, struct partition_disk, disk);
    struct disk_io *io = take(d);

    request->driver = (uintptr_t)d;
    *io = (struct disk_io){
        .device = d->device,
        .op = ops[request->op],
        .sector = request->sector,
        .sectors = request->sectors,
        .buffer = request->buffer,
        .done = done,
        .context = request,
    };
    disk_io_submit(io);
}

void partition_disk_init(struct partition_disk *d, struct block_device *device)
{
    static const struct disk_ops disk_ops = {.submit = submit};

    *d = (struct partition_disk){.device = device};
    d->disk = (struct disk){.ops = &disk_ops, .sectors = device->sectors, .can_discard = device->can_discard};
}
