// SPDX-License-Identifier: Apache-2.0
// Pieces of the control plane's requests, and the two rings that they travel in.
#include "mgmt/block/disk_io.h"

#include "mgmt/plat.h"
#include "mgmt/rt/cpu.h"
#include "mgmt/rt/wake.h"
#include "mgmt/spsc.h"

struct piece {
    struct block_request request;
    struct block_device *device;
    struct disk_io *io; // control plane's
    struct piece *next; // in the list of free ones; control plane's
};

static struct piece pieces[DISK_IO_PIECES];
static uint32_t begun_slots[DISK_IO_PIECES], done_slots[DISK_IO_PIECES];
static struct spsc begun, done; // of indices of pieces; each has room for all

// Control plane's.
static struct piece *free_pieces;
static struct disk_io *waiting_first, **waiting_last;
static uint32_t outstanding;

// --- data plane ---

static void piece_done(struct block_request *request)
{
    uint32_t index = (uint32_t)(CONTAINER_OF(request, struct piece, request) - pieces);

    (void)spsc_push(&done, &index); // has room for all
    plat_wake();
}

void disk_io_serve(void)
{
    uint32_t index;

    while (spsc_pop(&begun, &index)) {
        block_submit(pieces[index].device, &pieces[index].request);
    }
}

// --- control plane: cutting ---

static bool has_data(const struct disk_io *io)
{
    return io->op == BLOCK_READ || io->op == BLOCK_WRITE;
}

// Sectors of the next piece, whole blocks of the device as long as the request is.
static uint32_t piece_sectors(const struct disk_io *io)
{
    const struct block_device *dev = io->device;
    uint32_t unit = MAX(dev->logical_block / BLOCK_SECTOR, 1u);
    uint32_t limit = !has_data(io) && dev->max_discard != 0 ? dev->max_discard : dev->max_sectors;

    limit = MAX(limit - limit % unit, unit);
    return (uint32_t)MIN(io->sectors - io->begun, (uint64_t)limit);
}

static void fill(struct piece *p, struct disk_io *io)
{
    uint32_t sectors = piece_sectors(io);

    p->io = io;
    p->device = io->device;
    p->request.op = io->op;
    p->request.fua = io->fua;
    p->request.sector = io->sector + io->begun;
    p->request.sectors = sectors;
    p->request.segment_count = 0;
    p->request.done = piece_done;
    if (has_data(io)) {
        p->request.segment_count = 1;
        p->request.segments[0] = (struct block_segment){
            .gpa = rt_virt_to_gpa((uint8_t *)io->buffer + io->begun * BLOCK_SECTOR).v,
            .length = sectors * BLOCK_SECTOR,
        };
    }
    io->begun += sectors;
    io->out++;
    io->all_begun = io->begun >= io->sectors;
}

// Gives the data plane what waits, as far as there are pieces.
static void begin_waiting(void)
{
    bool any = false;

    while (waiting_first != NULL && free_pieces != NULL) {
        struct disk_io *io = waiting_first;
        struct piece *p = free_pieces;
        uint32_t index = (uint32_t)(p - pieces);

        free_pieces = p->next;
        fill(p, io);
        if (io->all_begun) {
            waiting_first = io->next;
            if (waiting_first == NULL) {
                waiting_last = &waiting_first;
            }
        }
        (void)spsc_push(&begun, &index); // has room for all
        any = true;
    }
    if (any) {
        wake(&wake_data);
    }
}

void disk_io_submit(struct disk_io *io)
{
    io->status = BLOCK_OK;
    io->next = NULL;
    io->begun = 0;
    io->out = 0;
    io->all_begun = false;
    *waiting_last = io;
    waiting_last = &io->next;
    outstanding++;
    begin_waiting();
}

// --- control plane: completing ---

static void take_back(struct piece *p)
{
    struct disk_io *io = p->io;
    enum block_status status = p->request.status;

    p->next = free_pieces;
    free_pieces = p;
    io->status = io->status == BLOCK_OK ? status : io->status;
    io->out--;
    if (io->out == 0 && io->all_begun) {
        outstanding--;
        io->done(io);
    }
}

static bool poll(struct plat_source *source)
{
    uint32_t index, taken = 0;

    (void)source;
    // At most all pieces, then others have their turn.
    while (taken < DISK_IO_PIECES && spsc_pop(&done, &index)) {
        take_back(&pieces[index]);
        taken++;
    }
    if (taken > 0) {
        begin_waiting();
    }
    return taken > 0;
}

uint32_t disk_io_outstanding(void)
{
    return outstanding;
}

void disk_io_init(void)
{
    static struct plat_source source = {.poll = poll};

    spsc_init(&begun, begun_slots, DISK_IO_PIECES, sizeof(uint32_t));
    spsc_init(&done, done_slots, DISK_IO_PIECES, sizeof(uint32_t));
    free_pieces = NULL;
    for (uint32_t i = DISK_IO_PIECES; i-- > 0;) {
        pieces[i].next = free_pieces;
        free_pieces = &pieces[i];
    }
    waiting_first = NULL;
    waiting_last = &waiting_first;
    outstanding = 0;
    plat_source_add(&source);
}
