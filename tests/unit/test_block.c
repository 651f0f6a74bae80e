// srcs: mgmt/block/block.c mgmt/block/disks.c mgmt/block/disk_io.c mgmt/block/gpt.c
// SPDX-License-Identifier: Apache-2.0
// The block layer over a driver that does what the test says: checks, partitions, counters, partition tables, and the
// control plane's requests through both rings.
#include "mgmt/block/disk_io.h"
#include "mgmt/block/disks.h"
#include "mgmt/plat.h"
#include "mgmt/rt/cpu.h"
#include "mgmt/rt/wake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define SECTORS 4096u

// --- the platform: addresses are pointers, wake-ups are counted, the test is the event loop ---

struct wake wake_data, wake_control;
static unsigned data_wakes, control_wakes;
static struct plat_source *source;

void wake(struct wake *w)
{
    data_wakes += w == &wake_data;
}

void plat_wake(void)
{
    control_wakes++;
}

void plat_source_add(struct plat_source *s)
{
    source = s;
}

void *plat_pool_va(gpa_t gpa)
{
    return (void *)(uintptr_t)gpa.v;
}

gpa_t rt_virt_to_gpa(const void *va)
{
    return GPA((uint64_t)(uintptr_t)va);
}

// --- the driver: keeps requests until it is told to do them ---

static struct {
    struct block_device dev;
    struct block_queue queue;
    enum block_status status; // of what is served
    unsigned served, largest;
    uint64_t deadline;
    uint8_t medium[SECTORS * BLOCK_SECTOR];
} drv;

static void driver_submit(struct block_device *dev, struct block_request *r)
{
    assert_ptr_equal(dev, &drv.dev);
    block_queue_push(&drv.queue, r);
}

static bool driver_service(struct block_device *dev)
{
    struct block_request *r;

    while ((r = block_queue_pop(&drv.queue)) != NULL) {
        assert_true(r->sector + r->sectors <= SECTORS);
        drv.served++;
        drv.largest = MAX(drv.largest, r->sectors);
        if (drv.status == BLOCK_OK && r->op != BLOCK_FLUSH && r->op != BLOCK_DISCARD) {
            block_copy(r, drv.medium + r->sector * BLOCK_SECTOR, r->op == BLOCK_WRITE);
        }
        block_complete(dev, r, drv.status);
    }
    return false;
}

static uint64_t driver_deadline(const struct block_device *dev)
{
    (void)dev;
    return drv.deadline;
}

static const struct block_ops ops = {
    .name = "test", .submit = driver_submit, .service = driver_service, .deadline = driver_deadline};

static int setup(void **state)
{
    (void)state;
    memset(&drv, 0, sizeof(drv));
    drv.deadline = UINT64_MAX;
    drv.dev = (struct block_device){.ops = &ops,
                                    .sectors = SECTORS,
                                    .max_sectors = 256,
                                    .max_segments = 4,
                                    .max_discard = 1000,
                                    .can_discard = true};
    for (unsigned i = 0; i < sizeof(drv.medium); i++) {
        drv.medium[i] = (uint8_t)(i / 512 * 7 + i);
    }
    data_wakes = control_wakes = 0;
    return 0;
}

static unsigned done_count;

static void request_done(struct block_request *r)
{
    (void)r;
    done_count++;
}

static struct block_request request(enum block_op op, uint64_t sector, uint32_t sectors, void *buffer)
{
    struct block_request r = {.op = op, .sector = sector, .sectors = sectors, .done = request_done};

    if (buffer != NULL) {
        r.segment_count = 1;
        r.segments[0] = (struct block_segment){(uint64_t)(uintptr_t)buffer, sectors * BLOCK_SECTOR};
    }
    return r;
}

static enum block_status run(struct block_device *dev, struct block_request *r)
{
    unsigned before = done_count;

    block_submit(dev, r);
    assert_int_equal(done_count, before);
    (void)block_service(block_disk(dev));
    assert_int_equal(done_count, before + 1);
    return r->status;
}

// --- checks ---

static void only_valid_requests_reach_the_driver(void **state)
{
    static _Alignas(8) uint8_t buffer[300 * 512];
    const struct {
        enum block_op op;
        uint64_t sector;
        uint32_t sectors;
        enum block_status status;
    } cases[] = {
        {BLOCK_READ, 0, 1, BLOCK_OK},
        {BLOCK_READ, SECTORS - 1, 1, BLOCK_OK},
        {BLOCK_READ, SECTORS, 1, BLOCK_INVALID},
        {BLOCK_READ, SECTORS - 1, 2, BLOCK_INVALID},
        {BLOCK_READ, UINT64_MAX, 2, BLOCK_INVALID},
        {BLOCK_READ, 0, 0, BLOCK_INVALID},
        {BLOCK_WRITE, 0, 257, BLOCK_INVALID},
        {(enum block_op)77, 0, 1, BLOCK_INVALID},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct block_request r = request(cases[i].op, cases[i].sector, cases[i].sectors, buffer);

        assert_int_equal(run(&drv.dev, &r), cases[i].status);
        assert_int_equal(r.sector, cases[i].sector);
    }
    assert_int_equal(drv.served, 2);
    assert_int_equal(drv.dev.counters.errors, 6);
    assert_int_equal(drv.dev.counters.queued, 0);
}

static void segments_are_checked(void **state)
{
    static _Alignas(8) uint8_t buffer[1024];
    uint64_t at = (uint64_t)(uintptr_t)buffer;
    const struct {
        uint32_t count;
        struct block_segment s[2];
        enum block_status status;
    } cases[] = {
        {2, {{at, 512}, {at + 512, 512}}, BLOCK_OK}, {0, {{0, 0}, {0, 0}}, BLOCK_INVALID},
        {1, {{at, 512}, {0, 0}}, BLOCK_INVALID},     {2, {{at + 2, 512}, {at, 512}}, BLOCK_INVALID},
        {2, {{at, 1024}, {at, 0}}, BLOCK_INVALID},   {2, {{at, 500}, {at, 524}}, BLOCK_INVALID},
        {5, {{at, 512}, {at, 512}}, BLOCK_INVALID},  {1, {{BIT(52), 1024}, {0, 0}}, BLOCK_INVALID},
        {1, {{~3ull, 1024}, {0, 0}}, BLOCK_INVALID},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct block_request r = request(BLOCK_READ, 0, 2, NULL);

        r.segment_count = cases[i].count;
        memcpy(r.segments, cases[i].s, sizeof(cases[i].s));
        assert_int_equal(run(&drv.dev, &r), cases[i].status);
    }
}

static void capabilities_are_heeded(void **state)
{
    static _Alignas(8) uint8_t buffer[4096];
    struct block_request w = request(BLOCK_WRITE, 0, 8, buffer), d = request(BLOCK_DISCARD, 0, 1000, NULL);
    struct block_request f = request(BLOCK_FLUSH, 0, 0, NULL);

    (void)state;
    assert_int_equal(run(&drv.dev, &d), BLOCK_OK);
    d = request(BLOCK_DISCARD, 0, 1001, NULL);
    assert_int_equal(run(&drv.dev, &d), BLOCK_INVALID);
    drv.dev.logical_block = 4096;
    assert_int_equal(run(&drv.dev, &w), BLOCK_OK);
    w = request(BLOCK_WRITE, 1, 7, buffer);
    assert_int_equal(run(&drv.dev, &w), BLOCK_INVALID);
    drv.dev.read_only = true;
    w = request(BLOCK_WRITE, 0, 8, buffer);
    assert_int_equal(run(&drv.dev, &w), BLOCK_INVALID);
    assert_int_equal(run(&drv.dev, &f), BLOCK_OK);
    drv.dev.can_discard = false;
    d = request(BLOCK_DISCARD, 0, 8, NULL);
    assert_int_equal(run(&drv.dev, &d), BLOCK_UNSUPPORTED);
    drv.dev.failed = true;
    f = request(BLOCK_FLUSH, 0, 0, NULL);
    assert_int_equal(run(&drv.dev, &f), BLOCK_GONE);
}

static void partitions_are_windows(void **state)
{
    static _Alignas(8) uint8_t buffer[1024];
    struct block_request r = request(BLOCK_READ, 9, 1, buffer);
    struct block_device part;

    (void)state;
    block_partition_init(&part, &drv.dev, 100, 10);
    assert_int_equal(run(&part, &r), BLOCK_OK);
    assert_memory_equal(buffer, drv.medium + 109 * 512, 512);
    assert_int_equal(r.sector, 9); // as it was submitted
    r = request(BLOCK_READ, 9, 2, buffer);
    assert_int_equal(run(&part, &r), BLOCK_INVALID);
    assert_int_equal(r.sector, 9);
    assert_int_equal(part.counters.requests[BLOCK_READ], 2);
    assert_int_equal(part.counters.errors, 1);
    assert_int_equal(drv.dev.counters.requests[BLOCK_READ], 2);
    assert_int_equal(drv.served, 1);
}

// --- partition tables ---

#define GPT_BLOCKS 256u
static struct {
    uint8_t disk[GPT_BLOCKS * 512];
    uint8_t buffer[GPT_BUFFER_SIZE];
    unsigned unreadable; // block; 0: none
} table;

static bool read_blocks(void *context, uint64_t block, uint32_t count)
{
    (void)context;
    assert_true(block + count <= GPT_BLOCKS);
    memcpy(table.buffer, table.disk + block * 512, count * 512);
    return table.unreadable == 0 || block != table.unreadable;
}

static uint32_t crc32(const uint8_t *data, size_t length)
{
    uint32_t crc = ~0u;

    while (length-- > 0) {
        crc ^= *data++;
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
        }
    }
    return ~crc;
}

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
    memcpy(at, &value, bytes);
}

static void write_header(uint64_t here, uint64_t other, uint64_t entries)
{
    uint8_t *h = table.disk + here * 512;

    memset(h, 0, 512);
    memcpy(h, "EFI PART", 8);
    put(h + 8, 0x10000, 4);
    put(h + 12, 92, 4);
    put(h + 24, here, 8);
    put(h + 32, other, 8);
    put(h + 40, 34, 8);
    put(h + 48, GPT_BLOCKS - 34, 8);
    put(h + 72, entries, 8);
    put(h + 80, 128, 4);
    put(h + 84, 128, 4);
    put(h + 88, crc32(table.disk + entries * 512, 128 * 128), 4);
    put(h + 16, crc32(h, 92), 4);
}

static void write_entry(unsigned index, const struct gpt_guid *type, uint64_t first, uint64_t last,
                        const char *name)
{
    uint8_t entry[128] = {0};

    memcpy(entry, type, 16);
    entry[16] = (uint8_t)(index + 1);
    put(entry + 32, first, 8);
    put(entry + 40, last, 8);
    for (size_t i = 0; i < strlen(name); i++) {
        entry[56 + 2 * i] = (uint8_t)name[i];
    }
    memcpy(table.disk + 2 * 512 + index * 128, entry, 128);
    memcpy(table.disk + (GPT_BLOCKS - 33) * 512 + index * 128, entry, 128);
}

static void write_table(void)
{
    memset(&table, 0, sizeof(table));
    write_entry(0, &GPT_TYPE_ESP, 40, 59, "EFI\x1b");
    write_entry(2, &GPT_TYPE_STATE, 60, 219, "state");
    write_header(1, GPT_BLOCKS - 1, 2);
    write_header(GPT_BLOCKS - 1, 1, GPT_BLOCKS - 33);
}

static struct gpt read_table(bool *damaged)
{
    const struct gpt_disk disk = {
        .read = read_blocks, .buffer = table.buffer, .blocks = GPT_BLOCKS, .block_size = 512};
    struct gpt gpt;

    gpt_read(&disk, &gpt, damaged);
    return gpt;
}

static void tables_are_read(void **state)
{
    struct gpt gpt;
    bool damaged;

    (void)state;
    write_table();
    gpt = read_table(&damaged);
    assert_int_equal(gpt.source, GPT_PRIMARY);
    assert_false(damaged);
    assert_int_equal(gpt.count, 2);
    assert_string_equal(gpt.partitions[0].label, "EFI?");
    assert_int_equal(gpt.partitions[1].number, 3);
    assert_int_equal(gpt.partitions[1].first, 60);
    assert_int_equal(gpt.partitions[1].blocks, 160);
    assert_true(gpt_guid_equal(&gpt.partitions[1].type, &GPT_TYPE_STATE));
}

static void the_backup_stands_in(void **state)
{
    static const unsigned broken[] = {1 * 512, 1 * 512 + 40, 1 * 512 + 91, 2 * 512 + 3, 33 * 512};
    struct gpt gpt;
    bool damaged;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(broken); i++) {
        write_table();
        table.disk[broken[i]] ^= 1;
        gpt = read_table(&damaged);
        assert_int_equal(gpt.source, GPT_BACKUP);
        assert_int_equal(gpt.count, 2);
        assert_true(damaged);
    }
    write_table();
    table.unreadable = 1;
    assert_int_equal(read_table(&damaged).source, GPT_BACKUP);
    write_table();
    table.disk[512 + 100] ^= 1; // beyond the header proper: nobody's
    assert_int_equal(read_table(&damaged).source, GPT_PRIMARY);
}

static void two_broken_tables_are_none(void **state)
{
    struct gpt gpt;
    bool damaged;

    (void)state;
    write_table();
    table.disk[512 + 40] ^= 1;
    table.disk[(GPT_BLOCKS - 1) * 512 + 40] ^= 1;
    gpt = read_table(&damaged);
    assert_int_equal(gpt.source, GPT_NONE);
    assert_int_equal(gpt.count, 0);
    assert_true(damaged);
    memset(&table, 0, sizeof(table));
    gpt = read_table(&damaged);
    assert_int_equal(gpt.source, GPT_NONE);
    assert_false(damaged); // an empty disk is in order
}

// Headers whose checksum is right but whose fields are not.
static void impossible_headers_are_refused(void **state)
{
    static const struct {
        unsigned offset;
        uint64_t value;
        unsigned bytes;
    } cases[] = {
        {8, 0x20000, 4},          // revision 2
        {12, 91, 4},              // too short
        {12, 513, 4},             // longer than a block
        {24, 2, 8},               // lies elsewhere
        {72, 0, 8},               // entries over the MBR
        {72, 1, 8},               // over the header
        {72, GPT_BLOCKS, 8},      // beyond the disk
        {72, UINT64_MAX, 8},      //
        {72, GPT_BLOCKS - 31, 8}, // partly
        {80, 0, 4},               // none
        {80, UINT32_MAX, 4},      // too many
        {84, 64, 4},              // too small
        {84, 129, 4},             // no power of two
        {84, 0x80000000, 4},      //
        {48, GPT_BLOCKS, 8},      // usable beyond the disk
        {40, GPT_BLOCKS - 33, 8}, // begins behind its end
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t *h = table.disk + 512;
        uint32_t size;
        bool damaged;

        write_table();
        put(h + cases[i].offset, cases[i].value, cases[i].bytes);
        memset(h + 16, 0, 4);
        memcpy(&size, h + 12, 4);
        put(h + 16, crc32(h, MIN(size, 512u)), 4);
        assert_int_equal(read_table(&damaged).source, GPT_BACKUP);
    }
}

static void impossible_entries_are_left_out(void **state)
{
    struct gpt gpt;
    bool damaged;

    (void)state;
    write_table();
    write_entry(4, &GPT_TYPE_STATE, 33, 50, "before the usable part");
    write_entry(5, &GPT_TYPE_STATE, 50, GPT_BLOCKS - 33, "behind it");
    write_entry(6, &GPT_TYPE_STATE, 80, 79, "backwards");
    write_entry(7, &GPT_TYPE_STATE, 100, UINT64_MAX, "endless");
    write_header(1, GPT_BLOCKS - 1, 2);
    gpt = read_table(&damaged);
    assert_int_equal(gpt.source, GPT_PRIMARY);
    assert_int_equal(gpt.count, 2);
    for (unsigned i = 8; i < 40; i++) {
        write_entry(i, &GPT_TYPE_SLOT_A, 100, 101, "many");
    }
    write_header(1, GPT_BLOCKS - 1, 2);
    gpt = read_table(&damaged);
    assert_int_equal(gpt.count, GPT_PARTITIONS_MAX);
    assert_int_equal(gpt.more, 2 + 32 - GPT_PARTITIONS_MAX);
}

static void disks_and_partitions_have_names(void **state)
{
    struct node_disk *disk;
    uint32_t found;
    struct gpt gpt;
    bool damaged;

    (void)state;
    write_table();
    gpt = read_table(&damaged);
    disk = disks_add(&drv.dev);
    assert_non_null(disk);
    disks_set_partitions(disk, &gpt, damaged);
    assert_string_equal(drv.dev.name, "disk0");
    assert_ptr_equal(disks_find("disk0"), &drv.dev);
    assert_ptr_equal(disks_find("disk0p3"), &disk->partitions[1].dev);
    assert_null(disks_find("disk0p2"));
    assert_null(disks_find("disk1"));
    assert_ptr_equal(disks_find_type(&GPT_TYPE_STATE, &found), &disk->partitions[1].dev);
    assert_int_equal(found, 1);
    assert_null(disks_find_type(&GPT_TYPE_SLOT_B, &found));
    // The loop's part: those that ask for it, and those whose time has come.
    assert_false(disks_pending());
    drv.deadline = 500;
    assert_int_equal(disks_service(400), 500);
    drv.dev.pending = true;
    assert_true(disks_pending());
    (void)disks_service(400);
    assert_false(disks_pending());
}

// --- the control plane's requests ---

static void io_done(struct disk_io *io)
{
    ++*(unsigned *)io->context;
}

// Both planes in turn until nothing moves.
static void both_planes(void)
{
    do {
        disk_io_serve();
        (void)block_service(&drv.dev);
    } while (source->poll(source));
}

static void long_requests_are_cut(void **state)
{
    uint8_t *buffer = malloc(3000 * 512);
    unsigned done = 0;
    struct disk_io io = {.device = &drv.dev,
                         .op = BLOCK_READ,
                         .sector = 17,
                         .sectors = 3000,
                         .buffer = buffer,
                         .done = io_done,
                         .context = &done};

    (void)state;
    disk_io_init();
    disk_io_submit(&io);
    assert_int_equal(data_wakes, 1);
    assert_int_equal(disk_io_outstanding(), 1);
    both_planes();
    assert_int_equal(done, 1);
    assert_int_equal(io.status, BLOCK_OK);
    assert_int_equal(drv.largest, 256);
    assert_int_equal(drv.served, 12);
    assert_memory_equal(buffer, drv.medium + 17 * 512, 3000 * 512);
    io.op = BLOCK_DISCARD;
    drv.largest = drv.served = 0;
    disk_io_submit(&io);
    both_planes();
    assert_int_equal(done, 2);
    assert_int_equal(drv.largest, 1000);
    free(buffer);
}

static void more_than_there_is_room_for_waits(void **state)
{
    enum { COUNT = 3 * DISK_IO_PIECES };
    static struct disk_io io[COUNT];
    static _Alignas(8) uint8_t buffers[COUNT][512];
    unsigned done = 0;

    (void)state;
    disk_io_init();
    for (unsigned i = 0; i < COUNT; i++) {
        io[i] = (struct disk_io){.device = &drv.dev,
                                 .op = BLOCK_READ,
                                 .sector = i,
                                 .sectors = 1,
                                 .buffer = buffers[i],
                                 .done = io_done,
                                 .context = &done};
        disk_io_submit(&io[i]);
    }
    disk_io_serve();
    assert_int_equal(drv.dev.counters.queued, DISK_IO_PIECES);
    assert_int_equal(disk_io_outstanding(), COUNT);
    both_planes();
    assert_int_equal(done, COUNT);
    assert_int_equal(disk_io_outstanding(), 0);
    assert_memory_equal(buffers, drv.medium, COUNT * 512);
    assert_int_equal(control_wakes, COUNT);
}

static void a_failed_piece_fails_the_request(void **state)
{
    static _Alignas(8) uint8_t buffer[512 * 512];
    unsigned done = 0;
    struct disk_io io = {.device = &drv.dev,
                         .op = BLOCK_WRITE,
                         .sector = SECTORS - 300,
                         .sectors = 512, // the last of its pieces lies beyond the end
                         .buffer = buffer,
                         .done = io_done,
                         .context = &done};
    struct disk_io flush = {.device = &drv.dev, .op = BLOCK_FLUSH, .done = io_done, .context = &done};

    (void)state;
    disk_io_init();
    disk_io_submit(&io);
    disk_io_submit(&flush);
    both_planes();
    assert_int_equal(done, 2);
    assert_int_equal(io.status, BLOCK_INVALID);
    assert_int_equal(flush.status, BLOCK_OK);
    drv.status = BLOCK_TIMEOUT;
    disk_io_submit(&flush);
    both_planes();
    assert_int_equal(flush.status, BLOCK_TIMEOUT);
}

// A request may be submitted again from its own done().
static void resubmit(struct disk_io *io)
{
    if (++*(unsigned *)io->context < 100) {
        disk_io_submit(io);
    }
}

static void done_may_submit(void **state)
{
    static _Alignas(8) uint8_t buffer[512];
    unsigned done = 0;
    struct disk_io io = {.device = &drv.dev,
                         .op = BLOCK_READ,
                         .sectors = 1,
                         .buffer = buffer,
                         .done = resubmit,
                         .context = &done};

    (void)state;
    disk_io_init();
    disk_io_submit(&io);
    both_planes();
    assert_int_equal(done, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(only_valid_requests_reach_the_driver, setup),
        cmocka_unit_test_setup(segments_are_checked, setup),
        cmocka_unit_test_setup(capabilities_are_heeded, setup),
        cmocka_unit_test_setup(partitions_are_windows, setup),
        cmocka_unit_test_setup(tables_are_read, setup),
        cmocka_unit_test_setup(the_backup_stands_in, setup),
        cmocka_unit_test_setup(two_broken_tables_are_none, setup),
        cmocka_unit_test_setup(impossible_headers_are_refused, setup),
        cmocka_unit_test_setup(impossible_entries_are_left_out, setup),
        cmocka_unit_test_setup(disks_and_partitions_have_names, setup),
        cmocka_unit_test_setup(long_requests_are_cut, setup),
        cmocka_unit_test_setup(more_than_there_is_room_for_waits, setup),
        cmocka_unit_test_setup(a_failed_piece_fails_the_request, setup),
        cmocka_unit_test_setup(done_may_submit, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
