// SPDX-License-Identifier: Apache-2.0
// One request a turn of the event loop, in order, in a private mapping.
#include "tests/sim/disk_copy.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static enum disk_status perform(struct disk_copy *d, struct disk_request *r)
{
    uint8_t *at = d->data + r->sector * DISK_SECTOR;
    size_t bytes = (size_t)r->sectors * DISK_SECTOR;

    if (r->op == DISK_READ || r->op == DISK_WRITE) {
        if (r->sectors == 0 || r->sectors > d->disk.sectors || r->sector > d->disk.sectors - r->sectors) {
            abort(); // a fault of the store
        }
        memcpy(r->op == DISK_READ ? r->buffer : at, r->op == DISK_READ ? at : r->buffer, bytes);
        return DISK_OK;
    }
    return r->op == DISK_FLUSH ? DISK_OK : DISK_UNSUPPORTED;
}

static void serve(struct plat_work *work)
{
    struct disk_copy *d = CONTAINER_OF(work, struct disk_copy, work);
    struct disk_request *r = d->first;

    d->first = r->next;
    if (d->first == NULL) {
        d->last = &d->first;
    } else {
        plat_post(&d->work, serve);
    }
    r->status = perform(d, r);
    r->done(r);
}

static void submit(struct disk *disk, struct disk_request *request)
{
    struct disk_copy *d = CONTAINER_OF(disk, struct disk_copy, disk);

    request->next = NULL;
    *d->last = request;
    d->last = &request->next;
    plat_post(&d->work, serve);
}

bool disk_copy_open(struct disk_copy *d, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *map = MAP_FAILED;

    *d = (struct disk_copy){.file = NULL};
    d->last = &d->first;
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
    static const struct disk_ops ops = {.submit = submit};

    d->data = d->file + first * DISK_SECTOR;
    d->disk = (struct disk){.ops = &ops, .sectors = sectors};
}

void disk_copy_close(struct disk_copy *d)
{
    munmap(d->file, (size_t)d->file_bytes);
}
