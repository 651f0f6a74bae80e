// SPDX-License-Identifier: Apache-2.0
// The state partition as both planes see it, and the turns.
#include "tests/sim/guest_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/hcs/metrics.h"
#include "mgmt/rt/wake.h"
#include "tests/sim/plat_host.h"

#define MEMORY_CHUNKS 4u
#define IDLE_TURNS 2000u

struct disk_sim guest_disk_sim;
struct wake wake_data, wake_control;

static struct block_device medium;
static struct {
    struct open_disk *open;
    bool asked; // for service: nobody looks otherwise
    char name[KEPT_DISK_NAME_MAX + 1];
} disks[GUEST_DISKS_MAX];
static gpa_t memory;
static bool done;
static enum core_status result;
static unsigned idle_turns;

// --- what is not part of this ---

void wake(struct wake *w)
{
    (void)w;
}

// --- /metrics: one sample is looked for ---

struct metrics {
    const char *family, *labels; // wanted
    bool in_family, found;
    uint64_t value;
};

static struct metrics_source *source;

void metrics_source_add(struct metrics_source *s)
{
    source = s;
}

void metrics_counter(struct metrics *m, const char *name, uint64_t value)
{
    metrics_family(m, name, "counter");
    metrics_sample(m, "", value);
}

void metrics_gauge(struct metrics *m, const char *name, uint64_t value)
{
    metrics_counter(m, name, value);
}

void metrics_family(struct metrics *m, const char *name, const char *type)
{
    (void)type;
    m->in_family = strcmp(name, m->family) == 0;
}

void metrics_sample(struct metrics *m, const char *labels, uint64_t value)
{
    if (m->in_family && strcmp(labels, m->labels) == 0) {
        m->found = true;
        m->value = value;
    }
}

const char *metrics_label(struct metrics_labels *l, const char *name, const char *value)
{
    l->length += (size_t)snprintf(l->text + l->length, sizeof l->text - l->length, "%s%s=%s",
                                  l->length > 0 ? "," : "", name, value);
    return l->text;
}

void metrics_fail(struct metrics *m)
{
    (void)m;
    abort();
}

bool guest_disk_metric(const char *family, const char *labels, uint64_t *value)
{
    struct metrics m = {.family = family, .labels = labels};

    source->write(&m);
    *value = m.value;
    return m.found;
}

// --- the partition in the data plane ---

struct access {
    struct disk_request disk;
    struct block_request *block;
    uint8_t data[];
};

static void access_done(struct disk_request *request)
{
    static const enum block_status translated[] = {[DISK_OK] = BLOCK_OK,
                                                   [DISK_IO_ERROR] = BLOCK_IO_ERROR,
                                                   [DISK_UNSUPPORTED] = BLOCK_UNSUPPORTED,
                                                   [DISK_GONE] = BLOCK_GONE};
    struct access *a = CONTAINER_OF(request, struct access, disk);
    struct block_request *r = a->block;

    if (r->op == BLOCK_READ && request->status == DISK_OK) {
        block_copy(r, a->data, false);
    }
    if (r->op == BLOCK_WRITE && r->fua && request->status == DISK_OK) { // the medium's own way to honour it
        request->op = DISK_FLUSH;
        request->sectors = 0;
        r->fua = false;
        disk_submit(&guest_disk_sim.disk, request);
        return;
    }
    block_complete(&medium, r, translated[request->status]);
    free(a);
}

static void submit(struct block_device *dev, struct block_request *r)
{
    static const enum disk_op ops[] = {
        [BLOCK_READ] = DISK_READ, [BLOCK_WRITE] = DISK_WRITE, [BLOCK_FLUSH] = DISK_FLUSH};
    struct access *a = malloc(sizeof *a + (size_t)r->sectors * BLOCK_SECTOR);

    (void)dev;
    a->block = r;
    a->disk = (struct disk_request){
        .op = ops[r->op], .sector = r->sector, .sectors = r->sectors, .buffer = a->data, .done = access_done};
    if (r->op == BLOCK_WRITE) {
        block_copy(r, a->data, true);
    }
    disk_submit(&guest_disk_sim.disk, &a->disk);
}

static bool nothing(struct block_device *dev)
{
    (void)dev;
    return false;
}

// --- the node ---

void guest_disk_node_init(uint64_t sectors, uint64_t seed)
{
    static const struct block_ops ops = {.name = "sim", .submit = submit, .service = nothing};

    disk_sim_init(&guest_disk_sim, sectors, seed);
    medium = (struct block_device){.ops = &ops,
                                   .sectors = sectors,
                                   .max_sectors = BLOCK_MAX_SECTORS,
                                   .max_segments = BLOCK_MAX_SEGMENTS};
    if (!plat_pool_alloc(MEMORY_CHUNKS, &memory)) {
        abort();
    }
}

void guest_disk_node_end(void)
{
    plat_pool_free(memory, MEMORY_CHUNKS);
    disk_sim_end(&guest_disk_sim);
}

static void asks(void *arg)
{
    *(bool *)arg = true;
}

static bool serve(unsigned i)
{
    bool any = disks[i].open != NULL && disks[i].asked;

    while (disks[i].open != NULL && disks[i].asked) {
        disks[i].asked = false;
        disks[i].asked |= block_service(disk_keeper()->device(disks[i].open));
    }
    return any;
}

void guest_disk_turn(void)
{
    bool any = disk_sim_step(&guest_disk_sim);

    any |= plat_host_step(0);
    mapped_disk_serve();
    if (medium.pending) {
        (void)block_service(&medium);
    }
    for (unsigned i = 0; i < GUEST_DISKS_MAX; i++) {
        any |= serve(i);
    }
    idle_turns = any ? 0 : idle_turns + 1;
}

bool guest_disk_idle(void)
{
    return idle_turns > IDLE_TURNS;
}

static void await(void)
{
    while (!done) {
        guest_disk_turn();
    }
    done = false;
}

static void ready(void)
{
    done = true;
}

bool guest_disk_node_start(void)
{
    state_start(&guest_disk_sim.disk, &medium, "sim", ready);
    await();
    return state_store() != NULL;
}

static void closed(void *arg, enum store_status status)
{
    (void)arg;
    (void)status;
    done = true;
}

void guest_disk_node_stop(void)
{
    for (unsigned i = 0; i < GUEST_DISKS_MAX; i++) { // of a test that failed
        if (disks[i].open != NULL) {
            guest_disk_close(CONTAINER_OF(disk_keeper()->device(disks[i].open), struct mapped_disk, device));
        }
    }
    keeper_set(NULL);
    disk_keeper_set(NULL);
    if (state_store() != NULL) {
        store_close(state_store(), closed, NULL);
        await();
    }
}

// --- disks ---

struct mapped_disk *guest_disk_open(const char *name, bool read_only)
{
    struct core_error error;

    for (unsigned i = 0; i < GUEST_DISKS_MAX; i++) {
        if (disks[i].open == NULL) {
            if (disk_keeper()->open(name, read_only, "serial", &disks[i].open, &error) != CORE_OK) {
                return NULL;
            }
            disk_keeper()->hold(name);
            strcpy(disks[i].name, name);
            disks[i].asked = false;
            disk_keeper()->device(disks[i].open)->ask = asks;
            disk_keeper()->device(disks[i].open)->ask_arg = &disks[i].asked;
            return CONTAINER_OF(disk_keeper()->device(disks[i].open), struct mapped_disk, device);
        }
    }
    return NULL;
}

void guest_disk_close(struct mapped_disk *d)
{
    for (unsigned i = 0; i < GUEST_DISKS_MAX; i++) {
        if (disks[i].open != NULL && disk_keeper()->device(disks[i].open) == &d->device) {
            disk_keeper()->close(disks[i].open);
            disk_keeper()->release(disks[i].name);
            disks[i].open = NULL;
            return;
        }
    }
    abort();
}

static void kept(void *arg, const struct core_error *error)
{
    (void)arg;
    result = error == NULL ? CORE_OK : error->status;
    done = true;
}

enum core_status guest_disk_create(const char *name, uint64_t size, const char *base)
{
    disk_keeper()->create(name, size, base, false, kept, NULL);
    await();
    return result;
}

enum core_status guest_disk_snapshot(const char *name, const char *snapshot)
{
    disk_keeper()->snapshot(name, snapshot, kept, NULL);
    await();
    return result;
}

enum core_status guest_disk_remove(const char *name)
{
    disk_keeper()->remove(name, kept, NULL);
    await();
    return result;
}

enum core_status guest_disk_resize(const char *name, uint64_t size)
{
    disk_keeper()->resize(name, size, kept, NULL);
    await();
    return result;
}

uint8_t *guest_disk_memory(uint64_t offset)
{
    return (uint8_t *)plat_pool_va(memory) + offset;
}

uint64_t guest_disk_gpa(uint64_t offset)
{
    return memory.v + offset;
}

static void request_done(struct block_request *r)
{
    *(bool *)r->context = true;
}

enum block_status guest_disk_request_raw(struct mapped_disk *d, struct block_request *r)
{
    bool ended = false;

    r->done = request_done;
    r->context = &ended;
    if (r->op == BLOCK_READ || r->op == BLOCK_WRITE) {
        r->segment_count = 1;
        r->segments[0] = (struct block_segment){memory.v, r->sectors * BLOCK_SECTOR};
    }
    block_submit(&d->device, r);
    while (!ended) {
        guest_disk_turn();
        if (guest_disk_idle()) {
            abort(); // a request that nobody completes
        }
    }
    return r->status;
}

enum block_status guest_disk_request(struct mapped_disk *d, enum block_op op, uint64_t sector,
                                     uint32_t sectors)
{
    struct block_request r = {.op = op, .sector = sector, .sectors = sectors};

    return guest_disk_request_raw(d, &r);
}
