// SPDX-License-Identifier: Apache-2.0
// Entropy device (virtio 1.2 section 5.4).

#include "mgmt/devices/vrng.h"

#include "mgmt/plat.h"

#define QUEUE_SIZE 16
#define REQUEST_MAX 256u // bytes a chain gets, whatever its size: the device may give less than was asked for
#define CHAINS_A_TURN 4

// Asks now or, if that was not long ago, lets vrng_run() look again then. A request that got lost is repeated so too.
static void ask(struct vrng *r)
{
    uint64_t now = plat_now_ns();

    r->starving = true;
    if (now >= r->ask_ns) {
        r->ask_ns = now + VRNG_ASK_NS;
        dp_emit(r->virtio.vm, DP_EV_ENTROPY, 0, 0);
    }
}

static uint32_t fill(struct vrng *r, const struct virtq_chain *chain)
{
    uint32_t want = (uint32_t)MIN(chain->writable_bytes, REQUEST_MAX), done = 0;
    uint8_t byte;

    while (done < want && spsc_pop(&r->virtio.vm->entropy, &byte)) {
        done += (uint32_t)virtq_write(chain, done, &byte, 1);
    }
    r->bytes += done;
    return done;
}

// A chain is taken only when there is something to put into it; without, vrng_refilled() marks the queue again.
static bool work(struct virtio *v, uint32_t queue)
{
    struct vrng *r = CONTAINER_OF(v, struct vrng, virtio);
    struct virtq *q = &v->queue[queue];
    struct virtq_chain chain;
    bool starved = false;
    unsigned n;

    for (n = 0; n < CHAINS_A_TURN; n++) {
        starved = spsc_count(&v->vm->entropy) == 0;
        if (starved || virtq_pop(q, &chain) != VIRTQ_CHAIN) {
            break;
        }
        virtq_push(q, chain.head, fill(r, &chain));
    }
    virtio_signal(v, queue);
    if (starved) {
        if (virtq_want_notification(q)) {
            ask(r); // a chain waits
        }
        return false;
    }
    return n == CHAINS_A_TURN || virtq_want_notification(q);
}

static bool reset(struct virtio *v)
{
    struct vrng *r = CONTAINER_OF(v, struct vrng, virtio);

    r->starving = false;
    return true;
}

static const struct virtio_ops ops = {.work = work, .reset = reset};

static const struct virtio_type type = {
    .id = VIRTIO_ID_ENTROPY,
    .class_code = 0x00ff00, // unclassified
    .queue_count = 1,
    .queue_size = QUEUE_SIZE,
    .ops = &ops,
};

void vrng_refilled(struct vrng *r)
{
    virtio_mark(&r->virtio, 0);
}

uint64_t vrng_deadline(const struct vrng *r)
{
    return r->starving ? r->ask_ns : 0;
}

void vrng_run(struct vrng *r, uint64_t now_ns)
{
    if (r->starving && now_ns >= r->ask_ns) {
        r->starving = false;
        virtio_mark(&r->virtio, 0);
    }
}

void vrng_init(struct vrng *r, struct dp_vm *vm, struct vpci_bus *bus, const struct guest_mem *mem)
{
    *r = (struct vrng){0};
    virtio_init(&r->virtio, vm, bus, mem, MACHINE_SLOT_RNG, &type, 0, NULL, 0);
}
