// SPDX-License-Identifier: Apache-2.0
// Job queue and waiting for the disk.
#include "mgmt/store/worker.h"

static void worker_main(void *arg)
{
    struct worker *w = arg;

    while (!w->stop) {
        struct worker_job *job = w->first;

        if (job == NULL) {
            fiber_yield();
            continue;
        }
        w->first = job->next;
        if (w->first == NULL) {
            w->last = &w->first;
        }
        job->run(job);
    }
}

bool worker_start(struct worker *w, struct disk *disk)
{
    *w = (struct worker){.disk = disk};
    w->last = &w->first;
    w->fiber = fiber_new(worker_main, w);
    return w->fiber != NULL;
}

static void wake(struct plat_work *work)
{
    struct worker *w = CONTAINER_OF(work, struct worker, wake);

    if (!w->waiting) { // else it finds the job when the disk has answered
        fiber_resume(w->fiber);
    }
}

void worker_queue(struct worker *w, struct worker_job *job)
{
    job->next = NULL;
    *w->last = job;
    w->last = &job->next;
    plat_post(&w->wake, wake);
}

bool worker_idle(const struct worker *w)
{
    return w->fiber == NULL || (w->first == NULL && !w->waiting && !w->wake.queued);
}

void worker_end(struct worker *w)
{
    if (w->fiber == NULL) {
        return;
    }
    w->stop = true;
    fiber_resume(w->fiber);
    fiber_free(w->fiber);
    w->fiber = NULL;
}

static void answered(struct disk_request *request)
{
    struct worker *w = request->context;

    w->waiting = false;
    fiber_resume(w->fiber);
}

static enum disk_status access_disk(struct worker *w, enum disk_op op, uint64_t sector, void *buffer,
                                    uint32_t sectors)
{
    w->request = (struct disk_request){
        .op = op, .sector = sector, .sectors = sectors, .buffer = buffer, .done = answered, .context = w};
    w->waiting = true;
    disk_submit(w->disk, &w->request);
    fiber_yield();
    return w->request.status;
}

static enum disk_status transfer(struct worker *w, enum disk_op op, uint64_t sector, uint8_t *buffer,
                                 uint64_t sectors)
{
    while (sectors > 0) {
        uint32_t n = (uint32_t)MIN(sectors, DISK_MAX_SECTORS);
        enum disk_status status = access_disk(w, op, sector, buffer, n);

        if (status != DISK_OK) {
            return status;
        }
        sector += n;
        buffer += (size_t)n * DISK_SECTOR;
        sectors -= n;
    }
    return DISK_OK;
}

enum disk_status worker_read(struct worker *w, uint64_t sector, void *buffer, uint64_t sectors)
{
    return transfer(w, DISK_READ, sector, buffer, sectors);
}

enum disk_status worker_write(struct worker *w, uint64_t sector, const void *buffer, uint64_t sectors)
{
    return transfer(w, DISK_WRITE, sector, (uint8_t *)(uintptr_t)buffer, sectors);
}

enum disk_status worker_flush(struct worker *w)
{
    w->flushes++;
    return access_disk(w, DISK_FLUSH, 0, NULL, 0);
}

void worker_pause(struct worker *w)
{
    plat_post(&w->wake, wake);
    fiber_yield();
}

enum disk_status worker_discard(struct worker *w, uint64_t sector, uint32_t sectors)
{
    return w->disk->can_discard ? access_disk(w, DISK_DISCARD, sector, NULL, sectors) : DISK_UNSUPPORTED;
}
