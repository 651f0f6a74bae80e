// SPDX-License-Identifier: Apache-2.0
// The disk is a file, with fdatasync() for a flush.
#include "tests/sim/disk_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool transfer(struct disk_file *d, const struct disk_request *r)
{
    size_t bytes = (size_t)r->sectors * DISK_SECTOR, done = 0;
    off_t at = (off_t)(r->sector * DISK_SECTOR);

    while (done < bytes) {
        char *p = (char *)r->buffer + done;
        ssize_t n = r->op == DISK_READ ? pread(d->fd, p, bytes - done, at + (off_t)done)
                                       : pwrite(d->fd, p, bytes - done, at + (off_t)done);

        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

static enum disk_status perform(struct disk_queue *q, const struct disk_request *r)
{
    struct disk_file *d = CONTAINER_OF(q, struct disk_file, queue);

    switch (r->op) {
    case DISK_READ:
    case DISK_WRITE:
        return transfer(d, r) ? DISK_OK : DISK_IO_ERROR;
    case DISK_FLUSH:
        return fdatasync(d->fd) == 0 ? DISK_OK : DISK_IO_ERROR;
    default:
        return DISK_UNSUPPORTED;
    }
}

bool disk_file_open(struct disk_file *d, const char *path, uint64_t bytes)
{
    struct stat st;

    disk_queue_init(&d->queue, perform);
    d->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->fd < 0 || fstat(d->fd, &st) != 0 || (st.st_size == 0 && ftruncate(d->fd, (off_t)bytes) != 0)) {
        return false;
    }
    d->queue.disk.sectors = (st.st_size == 0 ? bytes : (uint64_t)st.st_size) / DISK_SECTOR;
    return true;
}
