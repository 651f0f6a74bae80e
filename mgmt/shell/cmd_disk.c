// SPDX-License-Identifier: Apache-2.0
// The node's disks: what there are and what they did, a look at a sector, making one empty.
#include <stdlib.h>
#include <string.h>

#include "mgmt/block/disk_io.h"
#include "mgmt/block/disks.h"
#include "mgmt/core/keeper.h"
#include "mgmt/shell/command.h"

#define ROW 16u
#define WIPED_SECTORS BLOCK_MAX_SECTORS // at the beginning and at the end: 1 MiB each

// --- list ---

static uint64_t total(const uint64_t counters[4])
{
    return counters[BLOCK_READ] + counters[BLOCK_WRITE] + counters[BLOCK_FLUSH] + counters[BLOCK_DISCARD];
}

static void device_cells(struct table *t, const struct block_device *dev, const char *what, const char *state)
{
    table_cell(t, "%s", dev->name);
    table_cell(t, "%s", what);
    table_cell(t, "%s", bytes_text(dev->sectors * BLOCK_SECTOR));
    table_cell(t, "%s", dev->ops->name);
    table_cell(t, "%s", count_text(total(dev->counters.requests)));
    table_cell(t, "%s", bytes_text(dev->counters.bytes[BLOCK_READ]));
    table_cell(t, "%s", bytes_text(dev->counters.bytes[BLOCK_WRITE]));
    table_cell(t, "%s", count_text(dev->counters.errors));
    table_cell(t, "%s", state);
}

static const char *state_of(const struct node_disk *disk)
{
    if (disk->dev->failed) {
        return "failed";
    }
    return disk->table_damaged ? "damaged table" : disk->dev->read_only ? "read-only" : "ok";
}

void cmd_disk_list(const struct call *c)
{
    static const char *const headers[] = {"NAME",  "MODEL",    ">SIZE",   "DRIVER", ">REQUESTS",
                                          ">READ", ">WRITTEN", ">ERRORS", "STATE",  NULL};
    const struct node_disk *disk;
    struct table t;

    (void)c;
    table_begin(&t, headers);
    for (uint32_t i = 0; (disk = disks_get(i)) != NULL; i++) {
        device_cells(&t, disk->dev, disk->dev->model, state_of(disk));
        for (uint32_t p = 0; p < disk->partition_count; p++) {
            device_cells(&t, &disk->partitions[p].dev, disk->partitions[p].entry.label, "");
        }
    }
    table_end(&t);
}

static struct block_device *find_device(const char *name)
{
    struct block_device *dev = disks_find(name);

    if (dev == NULL) {
        say_problem("there is no disk '%s'; disks lists them", name);
    }
    return dev;
}

// --- read and wipe: one at a time, the shell waits ---

static struct {
    struct disk_io io;
    uint32_t skip; // bytes of the block before the sector that was asked for
    enum { WIPE_BEGINNING, WIPE_END, WIPE_FLUSH } step;
    uint8_t *zeros;
} job;

static bool report_failure(const struct disk_io *io)
{
    if (io->status != BLOCK_OK) {
        say_problem("%s: %s", io->device->name, block_status_text(io->status));
    }
    return io->status != BLOCK_OK;
}

static void print_row(const uint8_t *row, uint32_t at)
{
    char text[ROW + 1];

    term_print("%03x ", (unsigned)at);
    for (uint32_t i = 0; i < ROW; i++) {
        term_print(" %02x", row[i]);
        text[i] = row[i] >= ' ' && row[i] < 0x7f ? (char)row[i] : '.';
    }
    text[ROW] = '\0';
    term_print("  %s\n", text);
}

static void read_done(struct disk_io *io)
{
    if (!report_failure(io)) {
        for (uint32_t at = 0; at < BLOCK_SECTOR; at += ROW) {
            print_row((const uint8_t *)io->buffer + job.skip + at, at);
        }
    }
    shell_release();
}

void cmd_disk_read(const struct call *c)
{
    static _Alignas(8) uint8_t buffer[PAGE_SIZE]; // the largest logical block
    struct block_device *dev = find_device(c->argument[0]);
    uint64_t sector, unit;

    if (dev == NULL || !parse_number("sector", c->argument[1], 0, dev->sectors - 1, &sector)) {
        return;
    }
    unit = MAX(dev->logical_block / BLOCK_SECTOR, 1u);
    job.skip = (uint32_t)(sector % unit * BLOCK_SECTOR);
    job.io = (struct disk_io){.device = dev,
                              .op = BLOCK_READ,
                              .sector = sector - sector % unit,
                              .sectors = unit,
                              .buffer = buffer,
                              .done = read_done};
    shell_hold();
    disk_io_submit(&job.io);
}

static void end_wipe(void)
{
    free(job.zeros);
    job.zeros = NULL;
    shell_release();
}

static void wipe_step(struct disk_io *io)
{
    if (report_failure(io)) {
        end_wipe();
        return;
    }
    job.step++;
    if (job.step == WIPE_END) {
        io->sector = io->device->sectors - io->sectors;
        disk_io_submit(io);
    } else if (job.step == WIPE_FLUSH) {
        io->op = BLOCK_FLUSH;
        io->sector = io->sectors = 0;
        disk_io_submit(io);
    } else {
        term_print("%s: wiped\n", io->device->name);
        end_wipe();
    }
}

// Does the store lie on this device, or on a partition of it?
static bool holds_store(const struct block_device *dev)
{
    const struct block_device *place;
    struct keeper_info info;

    if (keeper() == NULL) {
        return false;
    }
    keeper()->get_info(&info);
    place = disks_find(info.place);
    return place != NULL && (place == dev || place->parent == dev);
}

void cmd_disk_wipe(const struct call *c)
{
    struct block_device *dev = find_device(c->argument[0]);
    uint64_t sectors;

    if (dev == NULL) {
        return;
    }
    if (holds_store(dev)) {
        say_problem("%s holds the state partition, which is in use", dev->name);
        return;
    }
    if (c->option[OPTION_FORCE] == NULL) {
        say_problem("%s would lose what it holds; say --force", dev->name);
        return;
    }
    sectors = MIN(dev->sectors, (uint64_t)WIPED_SECTORS);
    job.zeros = calloc(sectors, BLOCK_SECTOR);
    if (job.zeros == NULL) {
        say_problem("the management heap is full");
        return;
    }
    job.step = WIPE_BEGINNING;
    job.io = (struct disk_io){.device = dev,
                              .op = BLOCK_WRITE,
                              .fua = true,
                              .sectors = sectors,
                              .buffer = job.zeros,
                              .done = wipe_step};
    shell_hold();
    disk_io_submit(&job.io);
}
