// SPDX-License-Identifier: Apache-2.0
// The disk is a part of a private mapping.
#include "tests/sim/disk_copy.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static enum disk_status perform(struct disk_queue *q, const struct disk_request *r)
{
    struct disk_copy *d = CONTAINER_OF(q, struct disk_copy, queue);
    uint8_t *at = d->data + r->sector * DISK_SECTOR;
    size_t bytes = (size_t)r->sectors * DISK_SECTOR;

    if (r->op == DISK_READ || r->op == DISK_WRITE) {
        if (r->sectors == 0 || r->sectors > q->disk.sectors || r->sector > q->disk.sectors - r->sectors) {
            abort(); // a fault of the store
        }
        memcpy(r->op == DISK_READ ? r->buffer : at, r->op == DISK_READ ? at : r->buffer, bytes);
        return DISK_OK;
    }
    return r->op == DISK_FLUSH ? DISK_OK : DISK_UNSUPPORTED;
}

bool disk_copy_open(struct disk_copy *d, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *map = MAP_FAILED;

    disk_queue_init(&d->queue, perform);
    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &st) == 0) {
        map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    }
    close(fd);
    if (map == MAP_FAILED) {
        return false;
    }
    d->file = map;
    d->file_bytes = (uint64_t)st.st_size;
    return true;
}

void disk_copy_select(struct disk_copy *d, uint64_t first, uint64_t sectors)
{
    d->data = d->file + first * DISK_SECTOR;
    d->queue.disk.sectors = sectors;
}

void disk_copy_close(struct disk_copy *d)
{
    munmap(d->file, (size_t)d->file_bytes);
}
