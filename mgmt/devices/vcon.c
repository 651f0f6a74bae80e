// SPDX-License-Identifier: Apache-2.0
// Console device with one port (virtio 1.2 section 5.3) over struct dp_console.

#include "mgmt/devices/vcon.h"

#define QUEUE_SIZE 64
#define CHAINS_A_TURN 16
#define BYTES_A_CHAIN 4096u    // moved at a time; longer buffers take several turns
#define CLASS_CONSOLE 0x078000 // communication controller, other

enum { RECEIVE, TRANSMIT };

// --- guest to control plane ---

// Moves bytes of a chain into the ring. True: all of the chain is there now.
static bool send(struct vcon *c, const struct virtq_chain *chain)
{
    uint8_t bytes[256];

    for (unsigned moved = 0; moved < BYTES_A_CHAIN;) {
        size_t n = virtq_read(chain, c->sent_of_chain, bytes, sizeof(bytes));
        size_t i = 0;

        while (i < n && spsc_push(&c->console->tx, &bytes[i])) {
            i++;
        }
        c->sent_of_chain += i;
        c->sent += i;
        moved += (unsigned)i;
        if (i < sizeof(bytes)) {
            break; // the end, or the ring is full
        }
    }
    return c->sent_of_chain >= chain->readable_bytes;
}

static bool transmit(struct vcon *c, struct virtq *q)
{
    uint64_t before = c->sent;
    struct virtq_chain chain;
    bool full = false;
    unsigned n;

    for (n = 0; n < CHAINS_A_TURN && !full; n++) {
        if (virtq_pop(q, &chain) != VIRTQ_CHAIN) {
            break;
        }
        if (!send(c, &chain)) {
            virtq_unpop(q, 1);
            full = spsc_count(&c->console->tx) > c->console->tx.mask;
            continue;
        }
        c->sent_of_chain = 0;
        virtq_push(q, chain.head, 0);
    }
    if (c->sent != before) {
        dp_emit(c->virtio.vm, DP_EV_CONSOLE, 0, 0);
    }
    virtio_signal(&c->virtio, TRANSMIT);
    if (full) {
        return false; // vcon_console_changed() comes when there is room
    }
    return n == CHAINS_A_TURN || virtq_want_notification(q);
}

// --- control plane to guest ---

static uint32_t fill(struct vcon *c, const struct virtq_chain *chain)
{
    uint32_t done = 0;
    uint8_t byte;

    while (done < MIN(chain->writable_bytes, BYTES_A_CHAIN) && spsc_pop(&c->console->rx, &byte)) {
        done += (uint32_t)virtq_write(chain, done, &byte, 1);
    }
    c->received += done;
    return done;
}

static bool receive(struct vcon *c, struct virtq *q)
{
    struct virtq_chain chain;
    unsigned n;

    for (n = 0; n < CHAINS_A_TURN && spsc_count(&c->console->rx) > 0; n++) {
        if (virtq_pop(q, &chain) != VIRTQ_CHAIN) {
            break;
        }
        virtq_push(q, chain.head, fill(c, &chain));
    }
    virtio_signal(&c->virtio, RECEIVE);
    if (spsc_count(&c->console->rx) == 0) {
        return false; // buffers may lie there; bytes will mark the queue
    }
    return n == CHAINS_A_TURN || virtq_want_notification(q);
}

static bool work(struct virtio *v, uint32_t queue)
{
    struct vcon *c = CONTAINER_OF(v, struct vcon, virtio);

    return queue == RECEIVE ? receive(c, &v->queue[RECEIVE]) : transmit(c, &v->queue[TRANSMIT]);
}

static bool reset(struct virtio *v)
{
    CONTAINER_OF(v, struct vcon, virtio)->sent_of_chain = 0;
    return true;
}

static const struct virtio_ops ops = {.work = work, .reset = reset};

static const struct virtio_type type = {
    .id = VIRTIO_ID_CONSOLE,
    .class_code = CLASS_CONSOLE,
    .queue_count = 2,
    .queue_size = QUEUE_SIZE,
    .ops = &ops,
};

void vcon_console_changed(struct vcon *c)
{
    virtio_mark(&c->virtio, RECEIVE);
    virtio_mark(&c->virtio, TRANSMIT);
}

void vcon_init(struct vcon *c, struct dp_vm *vm, struct vpci_bus *bus, const struct guest_mem *mem,
               struct dp_console *console)
{
    *c = (struct vcon){.console = console};
    virtio_init(&c->virtio, vm, bus, mem, MACHINE_SLOT_CONSOLE, &type, 0, NULL, 0);
}
