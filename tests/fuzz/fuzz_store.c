// srcs: tests/sim/disk_sim.c tests/sim/plat_host.c mgmt/store/check.c mgmt/store/db.c mgmt/store/fiber.c mgmt/store/fiber_switch.S mgmt/store/layout.c mgmt/store/map.c mgmt/store/record.c mgmt/store/scrub.c mgmt/store/space.c mgmt/store/store.c mgmt/store/txn.c mgmt/store/upload.c mgmt/store/vfs.c mgmt/store/volume.c mgmt/store/volume_delete.c mgmt/store/volume_flush.c mgmt/store/volume_io.c mgmt/store/volume_load.c mgmt/store/worker.c
// libs: sqlite3 mbedtls
// SPDX-License-Identifier: Apache-2.0
// Damaged state partitions: whatever lies there, opening, checking, reading and writing end with an answer.
//
// The input is a list of changes to a good store: position and bytes; positions favour superblocks, length records,
// journal and database. The superblock's checksum is made right again when the input says so.
#include <stdlib.h>
#include <string.h>

#include "mgmt/store/layout.h"
#include "mgmt/store/store.h"
#include "mgmt/store/volume.h"
#include "tests/sim/disk_sim.h"
#include "tests/sim/plat_host.h"

#define SECTORS (16u * 2048u)
#define DATABASE (3u * 2048u * DISK_SECTOR) // where layout_plan() puts it
#define DATABASE_USED (32u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct disk_sim disk;
static uint8_t *good;
static bool answered;
static enum store_status answer;

static void on_done(void *arg, enum store_status status)
{
    (void)arg;
    answered = true;
    answer = status;
}

static enum store_status await(enum store_status now)
{
    if (now != STORE_OK) {
        return now;
    }
    while (!answered) {
        disk_sim_step(&disk);
        plat_host_settle();
    }
    answered = false;
    return answer;
}

static struct store *open_it(void)
{
    struct store *s = store_open(&disk.disk, on_done, NULL);

    await(STORE_OK);
    return s;
}

static void close_it(struct store *s)
{
    store_close(s, on_done, NULL);
    await(STORE_OK);
}

static void io_done(struct volume_io *io, enum store_status status)
{
    (void)io;
    on_done(NULL, status);
}

static void access_disk(struct volume *v, enum volume_op op)
{
    static uint8_t buffer[4096];
    struct volume_io io = {.volume = v,
                           .op = op,
                           .offset = 70000 / 512 * 512,
                           .length = sizeof buffer,
                           .buffer = buffer,
                           .done = io_done};

    volume_submit(&io);
    await(STORE_OK);
}

static void flush_done(struct volume_flush *flush, enum store_status status)
{
    (void)flush;
    on_done(NULL, status);
}

static void use(struct store *s)
{
    static struct store_report report;
    struct volume *v = volume_next(s, VOLUME_DISK, NULL);

    await(store_put(s, "setting", "b", "2", 1, on_done, NULL));
    if (v != NULL) {
        struct volume_flush flush = {.volume = v, .done = flush_done};

        access_disk(v, VOLUME_READ);
        access_disk(v, VOLUME_WRITE);
        await(volume_flush(&flush));
    }
    await(store_check(s, &report, on_done, NULL));
    v = volume_next(s, VOLUME_DISK, NULL);
    if (v != NULL) {
        await(volume_delete(v, on_done, NULL));
    }
}

// A store with a setting, a disk, its snapshot and a child.
static void make_good(void)
{
    struct store *s;
    struct volume *v;

    plat_host_log_off();
    disk_sim_init(&disk, SECTORS, 1);
    s = open_it();
    await(store_put(s, "setting", "a", "1", 1, on_done, NULL));
    await(volume_create(s, "d", 3u << 20, NULL, on_done, NULL));
    v = volume_find(s, VOLUME_DISK, "d");
    access_disk(v, VOLUME_WRITE);
    await(volume_snapshot(v, "s", on_done, NULL));
    access_disk(v, VOLUME_WRITE);
    await(volume_create(s, "c", 3u << 20, volume_find(s, VOLUME_DISK, "s"), on_done, NULL));
    close_it(s);
    good = malloc((size_t)SECTORS * DISK_SECTOR);
    memcpy(good, disk.media, (size_t)SECTORS * DISK_SECTOR);
}

static size_t position(uint8_t where, uint16_t offset)
{
    switch (where % 4) {
    case 0:
        return DATABASE + offset % DATABASE_USED;
    case 1:
        return offset % (40u * DISK_SECTOR); // superblock A and length records
    case 2:
        return LAYOUT_SUPER_B * DISK_SECTOR + offset % DISK_SECTOR;
    default:
        return LAYOUT_HEAD_SECTORS * DISK_SECTOR + offset; // journal
    }
}

static void seal(size_t at)
{
    struct layout_super *super = (void *)(disk.media + at);

    super->crc = 0;
    super->crc = layout_crc32c(0, super, sizeof *super);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store *s;

    if (good == NULL) {
        make_good();
    }
    memcpy(disk.media, good, DATABASE + (1u << 20));
    for (size_t i = 1; i + 4 <= size; i += 4) {
        disk.media[position(data[i], (uint16_t)(data[i + 1] << 8 | data[i + 2]))] = data[i + 3];
    }
    if (size > 0 && (data[0] & 1)) {
        seal(0);
    }
    if (size > 0 && (data[0] & 2)) {
        seal(LAYOUT_SUPER_B * DISK_SECTOR);
    }
    disk_sim_restart(&disk, 1);
    s = open_it();
    if (store_error(s)[0] == '\0') {
        use(s);
    }
    close_it(s);
    return 0;
}
