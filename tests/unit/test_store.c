// srcs: tests/sim/disk_sim.c tests/sim/plat_host.c mgmt/store/check.c mgmt/store/db.c mgmt/store/fiber.c mgmt/store/fiber_switch.S mgmt/store/layout.c mgmt/store/map.c mgmt/store/record.c mgmt/store/scrub.c mgmt/store/space.c mgmt/store/store.c mgmt/store/txn.c mgmt/store/upload.c mgmt/store/vfs.c mgmt/store/volume.c mgmt/store/volume_delete.c mgmt/store/volume_flush.c mgmt/store/volume_io.c mgmt/store/volume_load.c mgmt/store/worker.c
// libs: sqlite3 mbedtls
// SPDX-License-Identifier: Apache-2.0
// The store's functions one by one, on the simulated disk: what is refused, what is shared, what is repaired.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/store/store_priv.h"
#include "mgmt/store/upload.h"
#include "mgmt/store/volume.h"
#include "tests/sim/disk_sim.h"
#include "tests/sim/plat_host.h"

#define MB (1u << 20)
#define SECTORS (24u * 2048u) // 17 extents
#define EXTENTS 17u

static struct disk_sim disk;
static struct store *store;
static bool answered;
static enum store_status answer;

static void on_done(void *arg, enum store_status status)
{
    (void)arg;
    answered = true;
    answer = status;
}

static enum store_status await(void)
{
    while (!answered) {
        disk_sim_step(&disk);
        plat_host_settle();
    }
    answered = false;
    return answer;
}

// What a call answers, at once or later.
#define DO(call)                                                                                             \
    ({                                                                                                       \
        enum store_status now = (call);                                                                      \
        now == STORE_OK ? await() : now;                                                                     \
    })

static enum store_status open_it(void)
{
    store = store_open(&disk.disk, on_done, NULL);
    assert_non_null(store);
    return await();
}

static void close_it(void)
{
    store_close(store, on_done, NULL);
    await();
    store = NULL;
}

static void reopen(void)
{
    close_it();
    assert_int_equal(open_it(), STORE_OK);
}

static int setup(void **state)
{
    (void)state;
    disk_sim_init(&disk, SECTORS, 7);
    return open_it() == STORE_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    if (store != NULL) {
        close_it();
    }
    disk_sim_end(&disk);
    return 0;
}

static void assert_sound(void)
{
    struct store_report report;

    assert_int_equal(DO(store_check(store, &report, on_done, NULL)), STORE_OK);
    if (report.problems != 0) {
        fail_msg("%s", report.text);
    }
}

static uint64_t free_extents(void)
{
    struct store_info info;

    store_get_info(store, &info);
    return info.free_bytes / MB;
}

// --- volumes, shortly ---

static void io_done(struct volume_io *io, enum store_status status)
{
    (void)io;
    on_done(NULL, status);
}

static enum store_status io(struct volume *v, enum volume_op op, uint64_t offset, void *buffer,
                            uint64_t length)
{
    struct volume_io request = {
        .volume = v, .op = op, .offset = offset, .length = length, .buffer = buffer, .done = io_done};

    volume_submit(&request);
    return await();
}

static enum store_status fill(struct volume *v, uint64_t offset, uint64_t length, uint8_t value)
{
    uint8_t *buffer = malloc(length);
    enum store_status status;

    memset(buffer, value, length);
    status = io(v, VOLUME_WRITE, offset, buffer, length);
    free(buffer);
    return status;
}

static void assert_reads(struct volume *v, uint64_t offset, uint64_t length, uint8_t value)
{
    uint8_t *buffer = malloc(length), *expected = malloc(length);

    memset(expected, value, length);
    assert_int_equal(io(v, VOLUME_READ, offset, buffer, length), STORE_OK);
    assert_memory_equal(buffer, expected, length);
    free(buffer);
    free(expected);
}

static void flush_done(struct volume_flush *flush, enum store_status status)
{
    (void)flush;
    on_done(NULL, status);
}

static enum store_status flush(struct volume *v)
{
    struct volume_flush request = {.volume = v, .done = flush_done};

    return DO(volume_flush(&request));
}

static struct volume *make_disk(const char *name, uint64_t size, struct volume *parent)
{
    assert_int_equal(DO(volume_create(store, name, size, parent, on_done, NULL)), STORE_OK);
    return volume_find(store, VOLUME_DISK, name);
}

static void wait_free(uint64_t extents)
{
    for (int i = 0; i < 10000 && free_extents() != extents; i++) {
        disk_sim_step(&disk);
        plat_host_settle();
    }
    assert_int_equal(free_extents(), extents);
}

// --- opening ---

static void blank_is_formatted_once(void **state)
{
    struct store_info info;
    uint8_t uuid[16];

    (void)state;
    store_get_info(store, &info);
    assert_true(info.formatted);
    assert_int_equal(info.total_bytes, EXTENTS * MB);
    memcpy(uuid, info.uuid, sizeof uuid);
    reopen();
    store_get_info(store, &info);
    assert_false(info.formatted);
    assert_memory_equal(info.uuid, uuid, sizeof uuid);
    assert_sound();
}

static void one_superblock_is_enough(void **state)
{
    (void)state;
    for (unsigned copy = 0; copy < 2; copy++) {
        uint8_t *at = disk.media + (copy == 0 ? LAYOUT_SUPER_A : LAYOUT_SUPER_B) * DISK_SECTOR;
        uint8_t good[DISK_SECTOR];

        memcpy(good, at, sizeof good);
        close_it();
        memset(at, 0x5a, DISK_SECTOR);
        assert_int_equal(open_it(), STORE_OK);
        assert_memory_equal(at, good, sizeof good); // repaired
    }
    close_it();
    disk.media[LAYOUT_SUPER_A * DISK_SECTOR + 40] ^= 1;
    disk.media[LAYOUT_SUPER_B * DISK_SECTOR + 40] ^= 1;
    assert_int_equal(open_it(), STORE_CORRUPT);
}

static void foreign_is_refused_and_named(void **state)
{
    uint8_t *before = malloc((size_t)SECTORS * DISK_SECTOR);

    (void)state;
    close_it();
    memset(disk.media, 0, (size_t)SECTORS * DISK_SECTOR);
    disk.media[1080] = 0x53; // the magic number of ext4
    disk.media[1081] = 0xef;
    memcpy(before, disk.media, (size_t)SECTORS * DISK_SECTOR);
    assert_int_equal(open_it(), STORE_FOREIGN);
    assert_non_null(strstr(store_error(store), "ext2/3/4"));
    assert_int_equal(store_put(store, "setting", "a", "b", 1, on_done, NULL), STORE_IO);
    assert_memory_equal(before, disk.media, (size_t)SECTORS * DISK_SECTOR);
    free(before);
    close_it();
    disk.media[1080] = disk.media[1081] = 0;
    disk.media[(size_t)SECTORS * DISK_SECTOR - 4096] = 1; // such as a RAID member's superblock
    assert_int_equal(open_it(), STORE_FOREIGN);
    close_it();
    disk.media[(size_t)SECTORS * DISK_SECTOR - 4096] = 0;
    assert_int_equal(open_it(), STORE_OK);
}

static void later_versions_are_left_alone(void **state)
{
    struct layout_super *super;

    (void)state;
    close_it();
    for (unsigned copy = 0; copy < 2; copy++) {
        super = (void *)(disk.media + (copy == 0 ? LAYOUT_SUPER_A : LAYOUT_SUPER_B) * DISK_SECTOR);
        super->version = LAYOUT_VERSION + 1;
        super->crc = 0;
        super->crc = layout_crc32c(0, super, sizeof *super);
    }
    assert_int_equal(open_it(), STORE_NEWER);
}

// RFC 3720 appendix B.4: 32 bytes of zeros, and 0 to 31.
static void crc_has_its_published_values(void **state)
{
    uint8_t data[32] = {0};

    (void)state;
    assert_int_equal(layout_crc32c(0, data, sizeof data), 0x8a9136aa);
    for (uint8_t i = 0; i < sizeof data; i++) {
        data[i] = i;
    }
    assert_int_equal(layout_crc32c(0, data, sizeof data), 0x46dd794e);
}

// --- records ---

static void records_persist(void **state)
{
    struct store_record r;

    (void)state;
    assert_int_equal(DO(store_put(store, "setting", "b", "two", 3, on_done, NULL)), STORE_OK);
    assert_int_equal(DO(store_put(store, "setting", "a", "one", 3, on_done, NULL)), STORE_OK);
    assert_int_equal(DO(store_put(store, "vs", "a", "", 0, on_done, NULL)), STORE_OK);
    assert_int_equal(DO(store_put(store, "setting", "b", "three", 5, on_done, NULL)), STORE_OK);
    assert_int_equal(store_put(store, "", "b", "x", 1, on_done, NULL), STORE_INVALID);
    assert_int_equal(store_put(store, "setting", "big", "x", STORE_BODY_MAX + 1, on_done, NULL), STORE_LIMIT);
    reopen();
    assert_true(store_get(store, "setting", "b", &r));
    assert_int_equal(r.length, 5);
    assert_string_equal(r.body, "three");
    assert_true(store_next(store, "setting", NULL, &r));
    assert_string_equal(r.name, "a");
    assert_true(store_next(store, "setting", "a", &r));
    assert_string_equal(r.name, "b");
    assert_false(store_next(store, "setting", "b", &r));
    assert_int_equal(DO(store_delete(store, "setting", "b", on_done, NULL)), STORE_OK);
    reopen();
    assert_false(store_get(store, "setting", "b", &r));
    assert_true(store_get(store, "vs", "a", &r));
}

// --- disks ---

static void disks_are_sparse(void **state)
{
    struct volume *v = make_disk("d", 8 * MB, NULL);
    struct volume_run run;

    (void)state;
    assert_int_equal(free_extents(), EXTENTS);
    assert_reads(v, 0, 8 * MB, 0);
    assert_int_equal(fill(v, 3 * MB + 512, 512, 0x11), STORE_OK);
    assert_int_equal(free_extents(), EXTENTS - 1);
    assert_reads(v, 3 * MB, 512, 0); // zeros around what was written, whatever the extent held
    assert_reads(v, 3 * MB + 512, 512, 0x11);
    assert_reads(v, 3 * MB + 1024, MAP_GRAIN - 1024, 0);
    volume_lookup(v, 3 * MB + 512, 4 * MB, &run);
    assert_true(run.data && run.owned);
    assert_int_equal(run.length, MAP_GRAIN - 512);
    volume_lookup(v, 0, 4 * MB, &run);
    assert_false(run.data);
    assert_int_equal(run.length, MB);
    assert_int_equal(io(v, VOLUME_READ, 8 * MB, NULL, 512), STORE_INVALID);
    assert_int_equal(io(v, VOLUME_READ, 1, NULL, 512), STORE_INVALID);
    assert_int_equal(flush(v), STORE_OK);
    reopen();
    assert_reads(volume_find(store, VOLUME_DISK, "d"), 3 * MB + 512, 512, 0x11);
    assert_sound();
}

// An extent that another disk has used must not show through.
static void old_contents_do_not_show(void **state)
{
    struct volume *v = make_disk("old", 2 * MB, NULL);

    (void)state;
    assert_int_equal(fill(v, 0, 2 * MB, 0xee), STORE_OK);
    assert_int_equal(flush(v), STORE_OK);
    assert_int_equal(DO(volume_delete(v, on_done, NULL)), STORE_OK);
    wait_free(EXTENTS);
    v = make_disk("new", 16 * MB, NULL);
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(fill(v, i * MB + 4096, 512, 0x22), STORE_OK);
        assert_reads(v, i * MB, 4096, 0);
        assert_reads(v, i * MB + 4608, MB - 4608, 0);
    }
}

static void children_copy_on_write(void **state)
{
    struct volume *d = make_disk("d", 3 * MB, NULL), *s, *child;
    struct volume_run run;
    struct volume_info info;

    (void)state;
    assert_int_equal(fill(d, 0, 2 * MB, 0x11), STORE_OK);
    assert_int_equal(volume_create(store, "x", 3 * MB, d, on_done, NULL), STORE_INVALID); // not read-only
    assert_int_equal(DO(volume_snapshot(d, "s", on_done, NULL)), STORE_OK);
    s = volume_find(store, VOLUME_DISK, "s");
    child = make_disk("child", 4 * MB, s);
    assert_int_equal(free_extents(), EXTENTS - 2); // nothing was copied
    assert_int_equal(fill(child, 4096, 512, 0x22), STORE_OK);
    assert_int_equal(fill(d, 4096, 512, 0x33), STORE_OK);
    assert_reads(s, 4096, 512, 0x11);
    assert_reads(d, 4096, 512, 0x33);
    assert_reads(child, 4096, 512, 0x22);
    assert_reads(child, 0, 4096, 0x11);
    assert_reads(child, 3 * MB, MB, 0); // beyond its parent
    volume_lookup(child, MB, MB, &run);
    assert_true(run.data && !run.owned);
    assert_int_equal(io(child, VOLUME_FILL, MB + 512, NULL, 1024), STORE_OK);
    volume_lookup(child, MB, MB, &run);
    assert_true(run.owned);
    assert_int_equal(run.length, MAP_GRAIN);
    assert_reads(child, MB, MB, 0x11);
    assert_int_equal(fill(s, 0, 512, 1), STORE_INVALID); // read-only
    assert_int_equal(volume_delete(s, on_done, NULL), STORE_IN_USE);
    assert_int_equal(flush(d), STORE_OK);
    assert_int_equal(flush(child), STORE_OK);
    assert_sound();
    reopen();
    child = volume_find(store, VOLUME_DISK, "child");
    volume_get_info(child, &info);
    assert_ptr_equal(info.parent, volume_find(store, VOLUME_DISK, "s"));
    assert_reads(child, 4096, 512, 0x22);
    assert_reads(volume_find(store, VOLUME_DISK, "d"), 4096, 512, 0x33);
    assert_int_equal(DO(volume_delete(child, on_done, NULL)), STORE_OK);
    assert_int_equal(DO(volume_delete(volume_find(store, VOLUME_DISK, "d"), on_done, NULL)), STORE_OK);
    assert_int_equal(DO(volume_delete(volume_find(store, VOLUME_DISK, "s"), on_done, NULL)), STORE_OK);
    wait_free(EXTENTS);
    assert_sound();
}

static void disks_only_grow(void **state)
{
    struct volume *v = make_disk("d", MB, NULL);

    (void)state;
    assert_int_equal(fill(v, 0, MB, 0x11), STORE_OK);
    assert_int_equal(volume_resize(v, MB - 512, on_done, NULL), STORE_INVALID);
    assert_int_equal(volume_resize(v, MB + 1, on_done, NULL), STORE_INVALID);
    assert_int_equal(DO(volume_resize(v, 3 * MB, on_done, NULL)), STORE_OK);
    assert_reads(v, MB, 2 * MB, 0);
    assert_int_equal(flush(v), STORE_OK);
    reopen();
    assert_reads(volume_find(store, VOLUME_DISK, "d"), 0, MB, 0x11);
    assert_reads(volume_find(store, VOLUME_DISK, "d"), 2 * MB, MB, 0);
}

static void names_and_uses_are_checked(void **state)
{
    struct volume *v = make_disk("d", MB, NULL);

    (void)state;
    assert_int_equal(volume_create(store, "d", MB, NULL, on_done, NULL), STORE_EXISTS);
    assert_int_equal(volume_create(store, "", MB, NULL, on_done, NULL), STORE_INVALID);
    assert_int_equal(volume_create(store, "a\nb", MB, NULL, on_done, NULL), STORE_INVALID);
    assert_int_equal(volume_create(store, "e", 0, NULL, on_done, NULL), STORE_INVALID);
    assert_int_equal(volume_create(store, "e", VOLUME_SIZE_MAX + 512, NULL, on_done, NULL), STORE_INVALID);
    volume_open(v);
    assert_int_equal(volume_delete(v, on_done, NULL), STORE_IN_USE);
    assert_int_equal(volume_snapshot(v, "s", on_done, NULL), STORE_IN_USE);
    volume_close(v);
    // Two at once: the first wins, the second is refused by the database.
    assert_int_equal(volume_create(store, "twice", MB, NULL, on_done, NULL), STORE_OK);
    assert_int_equal(volume_create(store, "twice", MB, NULL, on_done, NULL), STORE_OK);
    await();
    plat_host_settle();
    answered = false;
    assert_non_null(volume_find(store, VOLUME_DISK, "twice"));
    reopen();
    assert_sound();
}

static void full_is_said_and_undone(void **state)
{
    struct volume *v = make_disk("d", 64 * MB, NULL);

    (void)state;
    assert_int_equal(fill(v, 0, EXTENTS * MB, 0x11), STORE_OK);
    assert_int_equal(free_extents(), 0);
    assert_int_equal(fill(v, 20 * MB, 512, 0x22), STORE_FULL);
    assert_int_equal(fill(v, MB, 512, 0x33), STORE_OK); // in place
    assert_reads(v, 20 * MB, 512, 0);
    assert_int_equal(flush(v), STORE_OK);
    reopen();
    assert_sound();
    assert_int_equal(DO(volume_delete(volume_find(store, VOLUME_DISK, "d"), on_done, NULL)), STORE_OK);
    wait_free(EXTENTS);
}

// --- images ---

static struct upload *up;
static const uint8_t *feed_data;
static size_t feed_left;

static void feed(void *arg)
{
    (void)arg;
    while (feed_left > 0) {
        size_t n = upload_write(up, feed_data, feed_left);

        if (n == 0 && upload_status(up) == STORE_OK) {
            return;
        }
        if (n == 0) {
            break;
        }
        feed_data += n;
        feed_left -= n;
    }
    on_done(NULL, upload_status(up));
}

static uint8_t content[3 * MB];

static void upload_part(const char *name, bool resume, size_t to)
{
    assert_int_equal(upload_begin(store, name, resume, feed, NULL, &up), STORE_OK);
    feed_data = content + upload_received(up);
    feed_left = to - upload_received(up);
    feed(NULL);
    assert_int_equal(await(), STORE_OK);
}

static enum store_status finish(const uint8_t *sha256, struct volume **image)
{
    upload_finish(up, sha256, image, on_done, NULL);
    return await();
}

static void content_make(uint64_t seed)
{
    for (size_t i = 0; i < sizeof content; i += 8) {
        uint64_t word = disk_sim_random(&seed);

        memcpy(content + i, &word, 8);
    }
}

static void images_appear_whole(void **state)
{
    static const uint8_t wrong[VOLUME_SHA256] = {1};
    uint8_t *back = malloc(sizeof content);
    struct volume *image, *second;
    struct store_report report;
    struct volume_info info;
    const size_t size = 2 * MB + 12345;

    (void)state;
    content_make(1);
    upload_part("i", false, size);
    assert_null(volume_find(store, VOLUME_IMAGE, "i"));
    assert_int_equal(finish(NULL, &image), STORE_OK);
    volume_get_info(image, &info);
    assert_int_equal(info.size, size);
    assert_true(info.read_only);
    // Another of the same name, with a digest that is not its own: the old one stays.
    content_make(2);
    upload_part("i", false, MB);
    assert_int_equal(finish(wrong, &second), STORE_MISMATCH);
    // In use: not replaced.
    volume_open(image);
    upload_part("i", false, MB);
    assert_int_equal(finish(NULL, &second), STORE_IN_USE);
    volume_close(image);
    content_make(1);
    assert_int_equal(io(image, VOLUME_READ, 0, back, ALIGN_UP(size, 512)), STORE_OK);
    assert_memory_equal(back, content, size);
    wait_free(EXTENTS - 3);
    content_make(2);
    upload_part("i", false, MB);
    assert_int_equal(finish(NULL, &second), STORE_OK);
    wait_free(EXTENTS - 1);
    reopen();
    image = volume_find(store, VOLUME_IMAGE, "i");
    assert_int_equal(io(image, VOLUME_READ, 0, back, MB), STORE_OK);
    assert_memory_equal(back, content, MB);
    assert_int_equal(DO(store_scrub(store, &report, on_done, NULL)), STORE_OK);
    assert_int_equal(report.problems, 0);
    assert_int_equal(report.bytes_read, MB);
    free(back);
}

static void uploads_go_on_after_a_restart(void **state)
{
    uint8_t *back = malloc(sizeof content);
    struct volume *image;

    (void)state;
    content_make(3);
    upload_part("i", false, 2 * MB + 100);
    upload_suspend(up);
    for (int i = 0; i < 200; i++) {
        disk_sim_step(&disk);
        plat_host_settle();
    }
    reopen();
    assert_non_null(upload_next(store, NULL));
    assert_int_equal(upload_begin(store, "i", true, feed, NULL, &up), STORE_OK);
    assert_int_equal(upload_received(up), 2 * MB); // whole buffers
    upload_suspend(up);
    plat_host_settle();
    upload_part("i", true, sizeof content);
    assert_int_equal(finish(NULL, &image), STORE_OK);
    assert_int_equal(io(image, VOLUME_READ, 0, back, sizeof content), STORE_OK);
    assert_memory_equal(back, content, sizeof content);
    assert_sound();
    free(back);
}

static void scrub_names_what_is_damaged(void **state)
{
    struct volume *image;
    struct store_report report;
    struct volume_run run;

    (void)state;
    content_make(4);
    upload_part("victim", false, MB);
    assert_int_equal(finish(NULL, &image), STORE_OK);
    volume_lookup(image, 70000, 512, &run);
    disk.media[run.sector * DISK_SECTOR] ^= 1;
    assert_int_equal(DO(store_scrub(store, &report, on_done, NULL)), STORE_OK);
    assert_int_equal(report.problems, 1);
    assert_non_null(strstr(report.text, "image 'victim'"));
}

// --- check ---

// Statements on the worker's fiber, as all of the database's are.
static struct worker_job tamper_job;
static const char *tamper_sql;
static struct plat_work tampered;

static void tamper_told(struct plat_work *work)
{
    (void)work;
    on_done(NULL, STORE_OK);
}

static void tamper_run(struct worker_job *job)
{
    (void)job;
    assert_int_equal(sqlite3_exec(store->db, tamper_sql, NULL, NULL, NULL), SQLITE_OK);
    plat_post(&tampered, tamper_told);
}

static void assert_found(const char *sql, const char *undo)
{
    struct store_report report;

    for (int i = 0; i < 2; i++) {
        tamper_sql = i == 0 ? sql : undo;
        tamper_job.run = tamper_run;
        worker_queue(&store->database, &tamper_job);
        await();
        assert_int_equal(DO(store_check(store, &report, on_done, NULL)), STORE_OK);
        assert_int_equal(report.problems > 0, i == 0);
    }
}

static void check_finds_contradictions(void **state)
{
    struct volume *v = make_disk("d", 4 * MB, NULL);

    (void)state;
    assert_int_equal(fill(v, 0, 2 * MB, 1), STORE_OK);
    assert_int_equal(flush(v), STORE_OK);
    assert_found("UPDATE map SET extent = 9 WHERE slot = 0", "UPDATE map SET extent = 0 WHERE slot = 0");
    assert_found("UPDATE map SET extent = 1", "UPDATE map SET extent = slot");
    assert_found("UPDATE map SET grains = 1 WHERE slot = 1", "UPDATE map SET grains = 65535");
    assert_found("CREATE TEMP TABLE b AS SELECT * FROM bitmap; UPDATE bitmap SET bits = zeroblob(1024)",
                 "UPDATE bitmap SET bits = (SELECT bits FROM b)");
    assert_found("UPDATE bitmap SET bits = zeroblob(3)", "UPDATE bitmap SET bits = (SELECT bits FROM b)");
}

// --- a failing disk ---

static void failed_writes_stop_the_store(void **state)
{
    struct store_info info;
    struct store_record r;

    (void)state;
    assert_int_equal(DO(store_put(store, "setting", "a", "1", 1, on_done, NULL)), STORE_OK);
    disk.error_every = 1;
    assert_int_equal(DO(store_put(store, "setting", "a", "2", 1, on_done, NULL)), STORE_IO);
    disk.error_every = 0;
    store_get_info(store, &info);
    assert_true(info.failed);
    assert_int_equal(store_put(store, "setting", "a", "3", 1, on_done, NULL), STORE_IO);
    assert_true(store_get(store, "setting", "a", &r));
    assert_string_equal(r.body, "1");
    reopen();
    assert_true(store_get(store, "setting", "a", &r));
    assert_string_equal(r.body, "1");
    assert_int_equal(DO(store_put(store, "setting", "a", "4", 1, on_done, NULL)), STORE_OK);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(blank_is_formatted_once),
        T(one_superblock_is_enough),
        T(foreign_is_refused_and_named),
        T(later_versions_are_left_alone),
        cmocka_unit_test(crc_has_its_published_values),
        T(records_persist),
        T(disks_are_sparse),
        T(old_contents_do_not_show),
        T(children_copy_on_write),
        T(disks_only_grow),
        T(names_and_uses_are_checked),
        T(full_is_said_and_undone),
        T(images_appear_whole),
        T(uploads_go_on_after_a_restart),
        T(scrub_names_what_is_damaged),
        T(check_finds_contradictions),
        T(failed_writes_stop_the_store),
    };

    plat_host_log_off();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
