// SPDX-License-Identifier: Apache-2.0
// One request a turn of the event loop, in order.
#include "tests/sim/disk_queue.h"

static void serve(struct plat_work *work)
{
    struct disk_queue *q = CONTAINER_OF(work, struct disk_queue, work);
    struct disk_request *r = q->first;

    q->first = r->next;
    if (q->first == NULL) {
        q->last = &q->first;
    } else {
        plat_post(&q->work, serve);
    }
    r->status = q->perform(q, r);
    r->done(r);
}

static void submit(struct disk *disk, struct disk_request *request)
{
    struct disk_queue *q = CONTAINER_OF(disk, struct disk_queue, disk);

    request->next = NULL;
    *q->last = request;
    q->last = &request->next;
    plat_post(&q->work, serve);
}

void disk_queue_init(struct disk_queue *q,
                     enum disk_status (*perform)(struct disk_queue *q, const struct disk_request *r))
{
    static const struct disk_ops ops = {.submit = submit};

    *q = (struct disk_queue){.disk = {.ops = &ops}, .perform = perform};
    q->last = &q->first;
}
