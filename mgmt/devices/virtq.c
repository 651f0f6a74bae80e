// SPDX-License-Identifier: Apache-2.0
// Split virtqueues, the device's side.

#include "mgmt/devices/virtq.h"

#define DESC_SIZE 16u
#define DESC_NEXT BIT(0)
#define DESC_WRITE BIT(1)
#define DESC_INDIRECT BIT(2)

#define AVAIL_NO_INTERRUPT BIT(0)

#define RING_INDEX 2u // both rings: flags, index, entries
#define RING_ENTRIES 4u
#define AVAIL_ENTRY 2u
#define USED_ENTRY 8u

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

struct raw_descriptor { // a table of indirect descriptors may lie at any address
    uint64_t address, rest;
} __attribute__((packed));

// --- single reads and writes of shared memory; little-endian like the processor ---

static uint16_t read16(const uint8_t *at)
{
    return *(const volatile uint16_t *)at;
}

static void write16(uint8_t *at, uint16_t value)
{
    *(volatile uint16_t *)at = value;
}

static struct descriptor read_descriptor(const uint8_t *table, uint16_t index)
{
    const volatile struct raw_descriptor *at =
        (const volatile struct raw_descriptor *)(table + (size_t)index * DESC_SIZE);
    uint64_t address = at->address, rest = at->rest;

    return (struct descriptor){
        .address = address,
        .length = (uint32_t)rest,
        .flags = (uint16_t)(rest >> 32),
        .next = (uint16_t)(rest >> 48),
    };
}

// --- set-up ---

void virtq_reset(struct virtq *q, const struct guest_mem *mem, uint16_t size)
{
    *q = (struct virtq){.mem = mem, .size = size, .vector = 0xffff};
}

// A ring's address when it is aligned and all of it is RAM. Behind the entries lies the event index.
static uint8_t *ring_at(const struct virtq *q, uint64_t gpa, uint32_t align, uint32_t length)
{
    return gpa % align == 0 ? guest_mem_at(q->mem, GPA(gpa), length) : NULL;
}

bool virtq_enable(struct virtq *q, bool event_index, bool indirect)
{
    q->descriptors = ring_at(q, q->descriptors_gpa, 16, q->size * DESC_SIZE);
    q->driver = ring_at(q, q->driver_gpa, 2, RING_ENTRIES + q->size * AVAIL_ENTRY + 2);
    q->device = ring_at(q, q->device_gpa, 4, RING_ENTRIES + q->size * USED_ENTRY + 2);
    if (q->descriptors == NULL || q->driver == NULL || q->device == NULL) {
        return false;
    }
    q->event_index = event_index;
    q->indirect = indirect;
    q->next = 0;
    q->used = 0;
    q->signalled = 0;
    q->broken = false;
    q->enabled = true;
    return true;
}

// --- taking chains ---

struct walk {
    const uint8_t *table;
    uint16_t entries; // of the table
    uint16_t left;    // descriptors that may still come without the chain being a loop
    bool indirect;    // in an indirect table
};

static bool add_segment(const struct virtq *q, struct virtq_chain *chain, const struct descriptor *d)
{
    uint32_t count = chain->readable + chain->writable;
    uint8_t *data = guest_mem_at(q->mem, GPA(d->address), d->length);

    if (data == NULL || count == VIRTQ_MAX_SEGMENTS) {
        return false;
    }
    if (d->flags & DESC_WRITE) {
        chain->writable++;
        chain->writable_bytes += d->length;
    } else if (chain->writable > 0) {
        return false; // a readable one behind a writable one
    } else {
        chain->readable++;
        chain->readable_bytes += d->length;
    }
    chain->segment[count] = (struct virtq_segment){.data = data, .length = d->length};
    return true;
}

// The chain goes on in a table of its own; only the last descriptor of the ring's chain may say so.
static bool enter_indirect(const struct virtq *q, struct walk *w, const struct descriptor *d)
{
    uint32_t entries = d->length / DESC_SIZE;

    if (!q->indirect || w->indirect || (d->flags & DESC_NEXT) || d->length % DESC_SIZE != 0 || entries == 0 ||
        entries > VIRTQ_MAX_SEGMENTS) {
        return false;
    }
    w->table = guest_mem_at(q->mem, GPA(d->address), d->length);
    w->entries = (uint16_t)entries;
    w->left = (uint16_t)entries;
    w->indirect = true;
    return w->table != NULL;
}

static bool read_chain(const struct virtq *q, struct virtq_chain *chain)
{
    struct walk w = {.table = q->descriptors, .entries = q->size, .left = q->size};
    uint16_t index = chain->head;

    while (w.left > 0 && index < w.entries) {
        struct descriptor d = read_descriptor(w.table, index);

        w.left--;
        if (d.flags & DESC_INDIRECT) {
            if (!enter_indirect(q, &w, &d)) {
                return false;
            }
            index = 0;
            continue;
        }
        if (!add_segment(q, chain, &d)) {
            return false;
        }
        if (!(d.flags & DESC_NEXT)) {
            return true;
        }
        index = d.next;
    }
    return false; // a loop, or an index beyond the table
}

static enum virtq_result broken(struct virtq *q)
{
    q->broken = true;
    return VIRTQ_BROKEN;
}

enum virtq_result virtq_pop(struct virtq *q, struct virtq_chain *chain)
{
    uint16_t waiting;

    if (q->broken) {
        return VIRTQ_BROKEN;
    }
    if (!q->enabled) {
        return VIRTQ_EMPTY;
    }
    waiting = (uint16_t)(read16(q->driver + RING_INDEX) - q->next);
    if (waiting == 0) {
        return VIRTQ_EMPTY;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE); // the entries were written before the index
    if (waiting > q->size) {
        return broken(q);
    }
    *chain = (struct virtq_chain){
        .head = read16(q->driver + RING_ENTRIES + (q->next & (q->size - 1u)) * AVAIL_ENTRY)};
    if (chain->head >= q->size || !read_chain(q, chain)) {
        return broken(q);
    }
    q->next++;
    return VIRTQ_CHAIN;
}

void virtq_unpop(struct virtq *q, uint16_t count)
{
    q->next -= count;
}

// --- giving them back ---

void virtq_stage(struct virtq *q, uint16_t number, uint16_t head, uint32_t written)
{
    volatile uint32_t *entry;

    if (!q->enabled || q->broken) {
        return;
    }
    entry = (volatile uint32_t *)(q->device + RING_ENTRIES +
                                  ((uint16_t)(q->used + number) & (q->size - 1u)) * USED_ENTRY);
    entry[0] = head;
    entry[1] = written;
}

void virtq_publish(struct virtq *q, uint16_t count)
{
    if (!q->enabled || q->broken) {
        return;
    }
    q->used += count;
    __atomic_thread_fence(__ATOMIC_RELEASE); // entries before index
    write16(q->device + RING_INDEX, q->used);
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
    virtq_stage(q, 0, head, written);
    virtq_publish(q, 1);
}

bool virtq_wants_interrupt(struct virtq *q)
{
    uint16_t old = q->signalled, event;

    if (!q->enabled || q->broken || q->used == old) {
        return false;
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST); // used index before the driver's wish
    q->signalled = q->used;
    if (!q->event_index) {
        return !(read16(q->driver) & AVAIL_NO_INTERRUPT);
    }
    event = read16(q->driver + RING_ENTRIES + q->size * AVAIL_ENTRY);
    return (uint16_t)(q->used - event - 1) < (uint16_t)(q->used - old);
}

bool virtq_want_notification(struct virtq *q)
{
    if (!q->enabled || q->broken) {
        return false;
    }
    if (q->event_index) {
        write16(q->device + RING_ENTRIES + q->size * USED_ENTRY, q->next);
    } else {
        write16(q->device, 0);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST); // our wish before the driver's index
    return read16(q->driver + RING_INDEX) != q->next;
}

// --- contents ---

static size_t copy(const struct virtq_segment *segment, uint16_t count, uint64_t offset, uint8_t *buf,
                   size_t length, bool to_guest)
{
    size_t done = 0;

    for (uint16_t i = 0; i < count && done < length; i++) {
        size_t part;

        if (offset >= segment[i].length) {
            offset -= segment[i].length;
            continue;
        }
        part = MIN(length - done, segment[i].length - (size_t)offset);
        if (to_guest) {
            __builtin_memcpy(segment[i].data + offset, buf + done, part);
        } else {
            __builtin_memcpy(buf + done, segment[i].data + offset, part);
        }
        done += part;
        offset = 0;
    }
    return done;
}

size_t virtq_read(const struct virtq_chain *chain, uint64_t offset, void *buf, size_t length)
{
    return copy(chain->segment, chain->readable, offset, buf, length, false);
}

size_t virtq_write(const struct virtq_chain *chain, uint64_t offset, const void *buf, size_t length)
{
    return copy(chain->segment + chain->readable, chain->writable, offset, (uint8_t *)(uintptr_t)buf, length,
                true);
}
