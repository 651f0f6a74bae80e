// srcs: mgmt/drivers/ide.c mgmt/drivers/ata.c mgmt/drivers/disk_unit.c mgmt/block/block.c mgmt/drivers/disk.c mgmt/drivers/ahci.c mgmt/drivers/ahci_probe.c mgmt/drivers/nvme.c mgmt/drivers/nvme_probe.c mgmt/drivers/virtio_blk.c mgmt/drivers/virtio_pci.c mgmt/drivers/pci.c tests/unit/fake_pci.c tests/unit/fake_disk.c
// SPDX-License-Identifier: Apache-2.0
// The IDE driver against a model of a PIIX3 channel with two disks: commands, bus master, errors, time-outs, resets.
#include "mgmt/drivers/ide.h"
#include "tests/unit/fake_disk.h"
#include "tests/unit/fake_pci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

#define SECTORS 8192u
#define COMMAND 0x1f0
#define CONTROL 0x3f6
#define MASTER 0xc000

// --- the model ---

static struct {
    struct fake_device pci;
    uint8_t identity[2][512];
    uint8_t medium[2][SECTORS * 512];
    bool present[2], packet_device;
    uint8_t selected, status, error, command;
    uint8_t regs[8][2]; // newest value, the one before
    unsigned data_at;   // of an identity being read, in bytes
    uint8_t bm_command, bm_status;
    uint32_t bm_table;
    bool floating, busy_for_ever, ignores; // no bus; stuck in reset; takes commands and never ends them
    uint8_t fail_status, fail_error;       // the next command ends with these
    bool short_transfer;                   // the next command moves less than it was asked for
    unsigned resets, commands;
    uint8_t log[16];
} m;

static uint64_t lba(bool extended)
{
    uint64_t low = m.regs[3][0] | (uint32_t)m.regs[4][0] << 8 | (uint32_t)m.regs[5][0] << 16;

    if (!extended) {
        return low | (uint64_t)(m.regs[6][0] & 0xf) << 24;
    }
    return low | (uint64_t)(m.regs[3][1] | (uint32_t)m.regs[4][1] << 8 | (uint32_t)m.regs[5][1] << 16) << 24;
}

// Moves data by the table; returns how much there was room for.
static uint32_t move(uint8_t *data, uint32_t length, bool to_memory)
{
    uint32_t moved = 0;

    assert_int_equal(m.bm_table % 4, 0);
    for (uint32_t at = m.bm_table;; at += 8) {
        uint8_t *prd = fake_at(at, 8);
        uint32_t address;
        uint16_t count, flags;
        uint32_t n;

        memcpy(&address, prd, 4);
        memcpy(&count, prd + 4, 2);
        memcpy(&flags, prd + 6, 2);
        n = count == 0 ? 0x10000 : count;
        assert_true(address / 0x10000 == (address + n - 1) / 0x10000);
        assert_int_equal(address % 2, 0);
        n = MIN(n, length - moved);
        memcpy(to_memory ? fake_at(address, n) : data + moved, to_memory ? data + moved : fake_at(address, n),
               n);
        moved += n;
        if ((flags & 0x8000) != 0) {
            return moved;
        }
    }
}

static void transfer(bool write)
{
    bool extended = m.command == 0x25 || m.command == 0x35;
    uint32_t count = m.regs[2][0] | (extended ? (uint32_t)m.regs[2][1] << 8 : 0);
    uint64_t at = lba(extended);

    count = count == 0 ? (extended ? 65536 : 256) : count;
    assert_true((m.bm_command & 8) == (write ? 0 : 8));
    assert_true(at + count <= SECTORS);
    assert_int_equal(move(m.medium[m.selected] + at * 512, count * 512, !write), count * 512);
}

static void end_command(void)
{
    m.status = m.fail_status != 0 ? m.fail_status : 0x50;
    m.error = m.fail_error;
    m.bm_status |= 4;
    m.bm_status &= m.short_transfer ? 0xff : 0xfe;
    m.fail_status = m.fail_error = 0;
    m.short_transfer = false;
}

// Ends the command that is going on.
static void work(void)
{
    if (m.status != 0xd0 || m.ignores) {
        return;
    }
    if (m.fail_status == 0 && m.command != 0xea) {
        assert_true((m.bm_command & 1) != 0);
        if (m.command == 0x06) {
            uint64_t ranges[64];

            assert_int_equal(m.regs[1][0], 1);
            assert_int_equal(move((uint8_t *)ranges, 512, false), 512);
            memset(m.medium[m.selected] + (ranges[0] & 0xffffffffffffull) * 512, 0xdd,
                   (ranges[0] >> 48) * 512);
        } else {
            transfer(m.command == 0x35 || m.command == 0xca);
        }
    }
    end_command();
}

static void begin_command(uint8_t command)
{
    if (!m.present[m.selected]) {
        return;
    }
    m.command = command;
    if (command == 0xec) {
        m.data_at = 0;
        m.status = m.packet_device ? 0x51 : 0x58;
        m.bm_status |= 4;
        return;
    }
    m.log[m.commands++ % sizeof(m.log)] = command;
    m.status = 0xd0;
}

static void reset_model(void)
{
    m.status = m.busy_for_ever ? 0x80 : 0x50;
    m.selected = 0;
    memset(m.regs, 0, sizeof(m.regs));
    if (m.packet_device) {
        m.regs[4][0] = 0x14;
        m.regs[5][0] = 0xeb;
    }
}

static uint32_t read_port(uint16_t port, unsigned size)
{
    if (m.floating) {
        return 0xff;
    }
    if (port == MASTER) {
        return m.bm_command;
    }
    if (port == MASTER + 2) {
        return m.bm_status;
    }
    if (port == CONTROL || port == COMMAND + 7) {
        return m.present[m.selected] ? m.status : 0;
    }
    if (port == COMMAND) {
        uint16_t value;

        assert_int_equal(size, 2);
        memcpy(&value, m.identity[m.selected] + m.data_at, 2);
        m.data_at += 2;
        m.status = m.data_at == 512 ? 0x50 : m.status;
        return value;
    }
    assert_true(port > COMMAND && port < COMMAND + 7);
    return port == COMMAND + 1 ? m.error : m.regs[port - COMMAND][0];
}

static void write_port(uint16_t port, unsigned size, uint32_t value)
{
    if (port == MASTER) {
        if ((value & 1) != 0) {
            m.bm_status |= 1;
        }
        m.bm_command = (uint8_t)value;
    } else if (port == MASTER + 2) {
        m.bm_status &= (uint8_t) ~(value & 6);
    } else if (port == MASTER + 4) {
        assert_int_equal(size, 4);
        m.bm_table = value;
    } else if (port == CONTROL) {
        if ((value & 4) != 0) {
            m.resets++;
            reset_model();
        }
    } else if (port == COMMAND + 7) {
        begin_command((uint8_t)value);
    } else {
        assert_true(port > COMMAND && port < COMMAND + 7);
        m.regs[port - COMMAND][1] = m.regs[port - COMMAND][0];
        m.regs[port - COMMAND][0] = (uint8_t)value;
        m.selected = port == COMMAND + 6 ? (value & 0x10) != 0 : m.selected;
    }
}

// --- fixture ---

static struct pci_device pci;
static struct disk_controller controller;
static struct block_device *disk;
static const char *why;

static void make_device(void)
{
    memset(&m, 0, sizeof(m));
    fake_disk_setup();
    fake_port_read = read_port;
    fake_port_write = write_port;
    m.present[0] = true;
    fake_ata_identity(m.identity[0], SECTORS, "First disk", "S1");
    fake_ata_identity(m.identity[1], SECTORS, "Second disk", "S2");
    fake_pci_set(&m.pci, 0x00, 4, 0x70108086);
    fake_pci_set(&m.pci, 0x08, 4, 0x01018000);
    fake_pci_set(&m.pci, 0x20, 4, MASTER | 1);
    m.pci.at = (struct pci_address){0, 1, 0};
    fake_pci_reset();
    fake_pci_add(&m.pci);
    assert_int_equal(pci_enumerate(&pci, 1), 1);
    reset_model();
}

static bool probe(void)
{
    struct disk_setup setup = fake_disk_probe_setup(&pci);

    memset(&controller, 0, sizeof(controller));
    why = NULL;
    return ide_probe(&setup, &controller, &why);
}

static int setup(void **state)
{
    (void)state;
    make_device();
    assert_true(probe());
    assert_int_equal(controller.count, 1);
    disk = controller.devices[0];
    for (unsigned i = 0; i < sizeof(m.medium[0]); i++) {
        m.medium[0][i] = (uint8_t)(i / 512 * 7 + i);
        m.medium[1][i] = (uint8_t)(i / 512 * 5 + i);
    }
    m.commands = m.resets = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_disk_teardown();
    return 0;
}

// The device works and interrupts, the loop serves.
static void turn(void)
{
    work();
    if ((m.bm_status & 4) != 0) {
        controller.interrupt(controller.arg);
    }
    if (disk->pending) {
        (void)block_service(disk);
    }
}

static void run(struct block_device *dev, struct fake_request *f)
{
    block_submit(dev, &f->r);
    assert_int_equal(f->done, 0);
    for (unsigned i = 0; i < 8 && f->done == 0; i++) {
        turn();
    }
    assert_int_equal(f->done, 1);
}

// Time passes and the loop serves by deadline until nothing is due any more.
static void wait_out(uint64_t ns)
{
    uint64_t end = fake_now_ns + ns;

    while (disk->pending || block_deadline(disk) < end) {
        fake_now_ns = MAX(fake_now_ns, MIN(block_deadline(disk), end));
        (void)block_service(disk);
    }
    fake_now_ns = end;
}

// --- tests ---

static void knows_the_disk(void **state)
{
    (void)state;
    assert_string_equal(disk->model, "First disk");
    assert_string_equal(disk->serial, "S1");
    assert_int_equal(disk->sectors, SECTORS);
    assert_int_equal(disk->physical_block, 4096);
    assert_true(disk->write_cache && disk->can_discard);
    assert_int_equal(controller.irq, DISK_IRQ_EDGE);
    assert_int_equal(controller.edge_gsi, 14);
    assert_int_equal(fake_pci_get(&m.pci, 4, 2) & 5, 5); // I/O and bus master
}

static void reads_and_writes(void **state)
{
    struct fake_request w = fake_request(BLOCK_WRITE, 100, 9, FAKE_DATA_GPA), r;

    (void)state;
    memset(fake_at(FAKE_DATA_GPA, 9 * 512), 0xa5, 9 * 512);
    run(disk, &w);
    assert_int_equal(w.r.status, BLOCK_OK);
    r = fake_request(BLOCK_READ, 99, 11, FAKE_DATA_GPA + 0x10000);
    run(disk, &r);
    assert_memory_equal(fake_at(FAKE_DATA_GPA + 0x10000, 11 * 512), m.medium[0] + 99 * 512, 11 * 512);
    assert_int_equal(m.medium[0][100 * 512], 0xa5);
    assert_int_equal(m.medium[0][109 * 512 - 1], 0xa5);
    assert_int_equal(disk->counters.bytes[BLOCK_READ], 11 * 512);
    assert_int_equal(disk->counters.queued, 0);
}

static void takes_the_largest_request_across_64k(void **state)
{
    // Begins and ends within 64 KiB, so that regions have to be cut.
    struct fake_request r = fake_request(BLOCK_READ, 5000, BLOCK_MAX_SECTORS, FAKE_DATA_GPA + 0x204);

    (void)state;
    run(disk, &r);
    assert_int_equal(r.r.status, BLOCK_OK);
    assert_memory_equal(fake_at(FAKE_DATA_GPA + 0x204, 1 << 20), m.medium[0] + 5000 * 512, 1 << 20);
}

static void bounces_what_it_cannot_reach(void **state)
{
    struct fake_request w = fake_request(BLOCK_WRITE, 7, 3, FAKE_HIGH_GPA), r;

    (void)state;
    memset(fake_at(FAKE_HIGH_GPA, 3 * 512), 0x5c, 3 * 512);
    run(disk, &w);
    assert_int_equal(m.medium[0][7 * 512], 0x5c);
    assert_int_equal(m.medium[0][10 * 512 - 1], 0x5c);
    r = fake_request(BLOCK_READ, 6, 5, FAKE_HIGH_GPA + 0x8000);
    r.r.segment_count = 2; // one within reach, one beyond
    r.r.segments[0] = (struct block_segment){FAKE_DATA_GPA, 1024};
    r.r.segments[1] = (struct block_segment){FAKE_HIGH_GPA + 0x8000, 3 * 512};
    run(disk, &r);
    assert_memory_equal(fake_at(FAKE_DATA_GPA, 1024), m.medium[0] + 6 * 512, 1024);
    assert_memory_equal(fake_at(FAKE_HIGH_GPA + 0x8000, 1536), m.medium[0] + 8 * 512, 1536);
}

static void fua_is_a_write_and_a_flush(void **state)
{
    struct fake_request w = fake_request(BLOCK_WRITE, 1, 1, FAKE_DATA_GPA);

    (void)state;
    w.r.fua = true;
    run(disk, &w);
    assert_int_equal(w.r.status, BLOCK_OK);
    assert_int_equal(m.commands, 2);
    assert_memory_equal(m.log, "\x35\xea", 2);
}

static void discards(void **state)
{
    struct fake_request d = fake_request(BLOCK_DISCARD, 64, 100, 0);

    (void)state;
    run(disk, &d);
    assert_int_equal(d.r.status, BLOCK_OK);
    assert_int_equal(m.medium[0][64 * 512], 0xdd);
    assert_int_equal(m.medium[0][164 * 512 - 1], 0xdd);
    assert_int_not_equal(m.medium[0][164 * 512], 0xdd);
}

static void queues_in_order(void **state)
{
    struct fake_request f[5];

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        f[i] = fake_request(BLOCK_READ, i, 1, FAKE_DATA_GPA + i * 512);
        block_submit(disk, &f[i].r);
    }
    assert_int_equal(disk->counters.queued, 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(f[i].done, 0);
        turn();
        assert_int_equal(f[i].done, 1);
    }
    assert_memory_equal(fake_at(FAKE_DATA_GPA, 5 * 512), m.medium[0], 5 * 512);
}

static void two_disks_share_the_channel(void **state)
{
    struct fake_request a, b;

    (void)state;
    make_device();
    m.present[1] = true;
    assert_true(probe());
    assert_int_equal(controller.count, 2);
    assert_string_equal(controller.devices[1]->model, "Second disk");
    disk = controller.devices[0];
    m.medium[1][512] = 0x77;
    a = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);
    b = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA + 512);
    block_submit(disk, &a.r);
    run(controller.devices[1], &b);
    assert_int_equal(a.done, 1);
    assert_int_equal(*(uint8_t *)fake_at(FAKE_DATA_GPA + 512, 1), 0x77);
    assert_int_equal(controller.devices[1]->counters.requests[BLOCK_READ], 1);
}

static void reports_errors(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);

    (void)state;
    m.fail_status = 0x51;
    m.fail_error = 0x40; // uncorrectable
    run(disk, &r);
    assert_int_equal(r.r.status, BLOCK_IO_ERROR);
    r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);
    m.short_transfer = true;
    run(disk, &r);
    assert_int_equal(r.r.status, BLOCK_IO_ERROR);
    assert_int_equal(disk->counters.errors, 2);
    r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);
    run(disk, &r);
    assert_int_equal(r.r.status, BLOCK_OK);
}

static void tries_again_what_the_cable_damaged(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);

    (void)state;
    m.fail_status = 0x51;
    m.fail_error = 0x84; // ICRC
    run(disk, &r);
    assert_int_equal(r.r.status, BLOCK_OK);
    assert_int_equal(m.commands, 2);
}

static void times_out_and_goes_on(void **state)
{
    struct fake_request a = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA),
                        b = fake_request(BLOCK_READ, 2, 1, FAKE_DATA_GPA);

    (void)state;
    m.ignores = true;
    block_submit(disk, &a.r);
    block_submit(disk, &b.r);
    wait_out(BLOCK_TIMEOUT_NS - SECOND);
    assert_int_equal(a.done, 0);
    m.ignores = false;
    wait_out(2 * SECOND);
    assert_int_equal(a.done, 1);
    assert_int_equal(a.r.status, BLOCK_TIMEOUT);
    assert_int_equal(m.resets, 1);
    assert_int_equal(disk->counters.timeouts, 1);
    assert_int_equal(disk->counters.resets, 1);
    turn();
    assert_int_equal(b.done, 1);
    assert_int_equal(b.r.status, BLOCK_OK);
    assert_memory_equal(fake_at(FAKE_DATA_GPA, 512), m.medium[0] + 1024, 512);
}

static void gives_up_a_disk_that_stays_silent(void **state)
{
    struct fake_request f[8];
    unsigned gone = 0;

    (void)state;
    m.ignores = true;
    for (unsigned i = 0; i < 8; i++) {
        f[i] = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);
        block_submit(disk, &f[i].r);
    }
    wait_out(100 * SECOND);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(f[i].done, 1);
        gone += f[i].r.status == BLOCK_GONE;
    }
    assert_int_equal(f[0].r.status, BLOCK_TIMEOUT);
    assert_int_equal(gone, 5); // after three resets without any answer
    assert_true(disk->failed);
    f[0] = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);
    run(disk, &f[0]);
    assert_int_equal(f[0].r.status, BLOCK_GONE);
    assert_int_equal(disk->counters.queued, 0);
}

static void gives_up_a_disk_stuck_in_reset(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);

    (void)state;
    m.ignores = m.busy_for_ever = true;
    block_submit(disk, &r.r);
    wait_out(60 * SECOND);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.r.status, BLOCK_GONE);
    assert_int_equal(m.bm_command & 1, 0); // no DMA any more
    assert_int_equal(block_deadline(disk), UINT64_MAX);
}

static void old_disks_are_asked_in_the_old_way(void **state)
{
    uint16_t words[] = {0x7000}; // no LBA48, FLUSH CACHE only
    struct fake_request r;

    (void)state;
    make_device();
    memcpy(m.identity[0] + 2 * 83, words, 2);
    assert_true(probe());
    disk = controller.devices[0];
    assert_int_equal(disk->max_sectors, 256);
    assert_false(disk->can_discard);
    m.medium[0][512 * 300] = 0x42;
    r = fake_request(BLOCK_READ, 300, 256, FAKE_DATA_GPA);
    m.commands = 0;
    run(disk, &r);
    assert_int_equal(r.r.status, BLOCK_OK);
    assert_int_equal(m.log[0], 0xc8);
    assert_int_equal(m.regs[2][0], 0); // means 256
    assert_int_equal(*(uint8_t *)fake_at(FAKE_DATA_GPA, 1), 0x42);
}

static void refuses_what_is_no_disk(void **state)
{
    static const struct {
        unsigned word;
        uint16_t value;
    } cases[] = {
        {0, 0x8580},   // packet device
        {49, 0x0200},  // no DMA
        {106, 0x5000}, // logical sectors of some other size (words 117, 118 are zero)
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        make_device();
        memcpy(m.identity[0] + 2 * cases[i].word, &cases[i].value, 2);
        assert_true(probe());
        assert_int_equal(controller.count, 0);
    }
    make_device();
    memset(m.identity[0] + 200, 0, 8); // no sectors
    assert_true(probe());
    assert_int_equal(controller.count, 0);
    make_device();
    memset(m.identity[0] + 200, 0xff, 8); // 2^64 - 1 of them
    assert_true(probe());
    assert_int_equal(controller.count, 0);
    make_device();
    m.packet_device = true;
    reset_model();
    assert_true(probe());
    assert_int_equal(controller.count, 0);
}

static void probe_fails_with_a_reason(void **state)
{
    (void)state;
    make_device();
    m.busy_for_ever = true;
    assert_false(probe());
    assert_non_null(why);
    make_device();
    fake_pci_set(&m.pci, 0x20, 4, 1); // no bus master
    assert_false(probe());
    assert_non_null(why);
    make_device();
    m.floating = true;
    assert_true(probe()); // an empty channel is no error
    assert_int_equal(controller.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(knows_the_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_and_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(takes_the_largest_request_across_64k, setup, teardown),
        cmocka_unit_test_setup_teardown(bounces_what_it_cannot_reach, setup, teardown),
        cmocka_unit_test_setup_teardown(fua_is_a_write_and_a_flush, setup, teardown),
        cmocka_unit_test_setup_teardown(discards, setup, teardown),
        cmocka_unit_test_setup_teardown(queues_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(two_disks_share_the_channel, setup, teardown),
        cmocka_unit_test_setup_teardown(reports_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(tries_again_what_the_cable_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(times_out_and_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(gives_up_a_disk_that_stays_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(gives_up_a_disk_stuck_in_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(old_disks_are_asked_in_the_old_way, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(probe_fails_with_a_reason, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
