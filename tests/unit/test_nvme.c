// srcs: mgmt/drivers/nvme.c mgmt/drivers/nvme_probe.c mgmt/drivers/disk_unit.c mgmt/block/block.c mgmt/drivers/disk.c mgmt/drivers/ata.c mgmt/drivers/ahci.c mgmt/drivers/ahci_probe.c mgmt/drivers/ide.c mgmt/drivers/virtio_blk.c mgmt/drivers/virtio_pci.c mgmt/drivers/pci.c tests/unit/fake_pci.c tests/unit/fake_disk.c
// SPDX-License-Identifier: Apache-2.0
// The NVMe driver against a model of the controller: queues, PRP lists, namespaces, resets, lies.
#include "mgmt/drivers/nvme.h"
#include "tests/unit/fake_disk.h"
#include "tests/unit/fake_pci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

#define BAR 0x800000000ull
#define BAR_SIZE 0x4000ull
#define MSIX_BAR 0xfe001000ull
#define BLOCKS 8192u

// --- the model ---

struct queue {
    uint64_t sq, cq;
    uint32_t entries, tail, head, cq_tail, cq_head;
    uint16_t phase;
};

static struct {
    struct fake_device pci;
    uint64_t cap;
    uint32_t cc, csts, aqa, masked;
    uint64_t asq, acq;
    struct queue q[2];
    bool cq_created;
    uint8_t medium[2][BLOCKS * 512];
    uint8_t shift[2]; // of the block size
    uint8_t mdts, metadata;
    uint32_t namespaces;
    bool no_ready, no_disable, ignores, refuses_queues;
    uint16_t fail_status; // the next I/O command ends so
    unsigned resets, commands;
    uint8_t log[64];
    bool last_fua;
    uint16_t last_id;
} m;

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
    memcpy(at, &value, bytes);
}

// Memory behind PRP number `n` of a transfer, and how much of the page is left.
static uint8_t *page_of(uint64_t prp1, uint64_t prp2, uint32_t n, uint32_t total, uint32_t *left)
{
    uint64_t at = prp1;

    *left = 4096 - (uint32_t)(prp1 & 4095);
    if (n > 0) {
        *left = 4096;
        at = prp2;
        if (total > 4096 - (prp1 & 4095) + 4096) {
            assert_true(prp2 % 4096 + 8ull * n <= 4096);
            memcpy(&at, fake_at(prp2 + 8ull * (n - 1), 8), 8);
        }
        assert_int_equal(at % 4096, 0);
    }
    return fake_at(at, 1);
}

static void move(const uint8_t *command, uint8_t *data, uint32_t length, bool to_memory)
{
    uint64_t prp1, prp2;
    uint32_t left;

    memcpy(&prp1, command + 24, 8);
    memcpy(&prp2, command + 32, 8);
    for (uint32_t moved = 0, n = 0; moved < length; n++) {
        uint8_t *memory = page_of(prp1, prp2, n, length, &left);

        left = MIN(left, length - moved);
        memcpy(to_memory ? memory : data + moved, to_memory ? data + moved : memory, left);
        moved += left;
    }
}

static void complete(unsigned queue, uint16_t id, uint16_t status)
{
    struct queue *q = &m.q[queue];
    uint8_t *c = fake_at(q->cq + 16ull * q->cq_tail, 16);

    put(c + 8, q->head, 2);
    put(c + 12, id, 2);
    put(c + 14, (uint64_t)status << 1 | q->phase, 2);
    q->cq_tail = (q->cq_tail + 1) % q->entries;
    q->phase ^= q->cq_tail == 0;
}

static void identify(const uint8_t *command)
{
    uint8_t page[4096] = {0};
    uint32_t nsid, what;

    memcpy(&nsid, command + 4, 4);
    memcpy(&what, command + 40, 4);
    if (what == 1) {
        memcpy(page + 4, "SERIAL7             ", 20);
        memcpy(page + 24, "Fast disk                               ", 40);
        page[77] = m.mdts;
        page[520] = 4; // Dataset Management
        page[525] = 1; // volatile write cache
    } else if (what == 2) {
        for (uint32_t i = 0; i < m.namespaces; i++) {
            put(page + 4 * i, i + 1, 4);
        }
    } else {
        assert_true(what == 0 && nsid >= 1 && nsid <= m.namespaces);
        put(page, BLOCKS * 512ull >> m.shift[nsid - 1], 8);
        page[26] = 1; // the second format
        put(page + 132, m.metadata, 2);
        page[134] = m.shift[nsid - 1];
    }
    move(command, page, sizeof(page), true);
}

static uint16_t do_admin(const uint8_t *command)
{
    uint64_t prp1;
    uint32_t dw10, dw11;

    memcpy(&prp1, command + 24, 8);
    memcpy(&dw10, command + 40, 4);
    memcpy(&dw11, command + 44, 4);
    switch (command[0]) {
    case 0x06:
        identify(command);
        return 0;
    case 0x09:
        assert_int_equal(dw10, 7);
        return 0;
    case 0x05:
        assert_int_equal(dw11, 3); // contiguous, interrupts, vector 0
        m.q[1] = (struct queue){.cq = prp1, .entries = (dw10 >> 16) + 1, .phase = 1};
        assert_true(m.q[1].entries <= (m.cap & 0xffff) + 1);
        m.cq_created = true;
        return m.refuses_queues ? 0x4006 : 0;
    case 0x01:
        assert_true(m.cq_created && dw11 == (1u << 16 | 1));
        m.q[1].sq = prp1;
        return 0;
    default:
        fail_msg("admin command %02x", command[0]);
        return 0;
    }
}

static uint16_t do_io(const uint8_t *command)
{
    uint32_t nsid, dw10, dw11, dw12;
    uint64_t block;
    uint8_t *medium;
    unsigned shift;

    memcpy(&nsid, command + 4, 4);
    memcpy(&dw10, command + 40, 4);
    memcpy(&dw11, command + 44, 4);
    memcpy(&dw12, command + 48, 4);
    assert_true(nsid >= 1 && nsid <= m.namespaces);
    medium = m.medium[nsid - 1];
    shift = m.shift[nsid - 1];
    block = dw10 | (uint64_t)dw11 << 32;
    m.last_fua = (dw12 & 1u << 30) != 0;
    if (command[0] == 1 || command[0] == 2) {
        uint32_t length = ((dw12 & 0xffff) + 1) << shift;

        assert_true((block << shift) + length <= BLOCKS * 512ull);
        move(command, medium + (block << shift), length, command[0] == 2);
    } else if (command[0] == 9) {
        uint32_t range[4];

        assert_true(dw10 == 0 && dw11 == 4);
        move(command, (uint8_t *)range, 16, false);
        memset(medium + ((uint64_t)range[2] << shift), 0xdd, (size_t)range[1] << shift);
    } else {
        assert_int_equal(command[0], 0);
    }
    return 0;
}

// Executes what is in a submission queue.
static void work(unsigned queue)
{
    struct queue *q = &m.q[queue];

    while (q->head != q->tail && !(queue == 1 && m.ignores)) {
        uint8_t command[64];
        uint16_t status;

        memcpy(command, fake_at(q->sq + 64ull * q->head, 64), 64);
        q->head = (q->head + 1) % q->entries;
        memcpy(&m.last_id, command + 2, 2);
        if (queue == 0) {
            status = do_admin(command);
        } else {
            m.log[m.commands++ % sizeof(m.log)] = command[0];
            status = m.fail_status != 0 ? m.fail_status : do_io(command);
            m.fail_status = 0;
        }
        complete(queue, m.last_id, status);
    }
}

static void write_cc(uint32_t value)
{
    if ((value & 1) != 0 && (m.cc & 1) == 0) {
        assert_int_equal(value >> 16 & 0xff, 0x46);
        m.q[0] = (struct queue){.sq = m.asq, .cq = m.acq, .entries = (m.aqa & 0xfff) + 1, .phase = 1};
        m.q[1] = (struct queue){0};
        m.cq_created = false;
        m.csts = m.no_ready ? 0 : 1;
    } else if ((value & 1) == 0) {
        m.resets++;
        m.csts = m.no_disable ? 1 : 0;
    }
    m.cc = value;
}

static uint32_t model_read(struct fake_device *d, unsigned bar, uint32_t offset, unsigned size)
{
    (void)d;
    assert_true(bar == 0 && size == 4);
    switch (offset) {
    case 0x00:
        return (uint32_t)m.cap;
    case 0x04:
        return (uint32_t)(m.cap >> 32);
    case 0x1c:
        return m.csts;
    default:
        fail_msg("register %#x", offset);
        return 0;
    }
}

static void ring(uint32_t doorbell, uint32_t value)
{
    struct queue *q = &m.q[doorbell / 2 & 1];

    assert_true(doorbell < 4 && value < q->entries);
    if ((doorbell & 1) != 0) {
        q->cq_head = value;
        return;
    }
    q->tail = value;
    if (doorbell == 0) {
        work(0);
    }
}

static void model_write(struct fake_device *d, unsigned bar, uint32_t offset, unsigned size, uint32_t value)
{
    (void)d;
    if (bar != 0) {
        return; // MSI-X table
    }
    assert_int_equal(size, 4);
    switch (offset) {
    case 0x0c:
        m.masked |= value;
        break;
    case 0x10:
        m.masked &= ~value;
        break;
    case 0x14:
        write_cc(value);
        break;
    case 0x24:
        m.aqa = value;
        break;
    case 0x28:
    case 0x2c:
        put((uint8_t *)&m.asq + (offset - 0x28), value, 4);
        break;
    case 0x30:
    case 0x34:
        put((uint8_t *)&m.acq + (offset - 0x30), value, 4);
        break;
    default:
        assert_true(offset >= 0x1000);
        ring((offset - 0x1000) / (4u << (m.cap >> 32 & 0xf)), value);
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
    m.cap = 1ull << 37 | 2ull << 24 | 1023 | 1ull << 32; // 1 s, doorbells 8 bytes apart
    m.namespaces = 1;
    m.shift[0] = 9;
    m.shift[1] = 12;
    m.pci.read = model_read;
    m.pci.write = model_write;
    fake_pci_describe(&m.pci, (struct pci_address){0, 4, 0}, 0x1b36, 0x0010, 0x010802, 0, BAR, BAR_SIZE,
                      true);
    fake_pci_set(&m.pci, 0x3c, 2, 0x010b);
    fake_pci_reset();
    fake_pci_add(&m.pci);
    assert_int_equal(pci_enumerate(&pci, 1), 1);
}

static bool probe(const struct irq_message *message)
{
    struct disk_setup setup = fake_disk_probe_setup(&pci);

    setup.message = message;
    memset(&controller, 0, sizeof(controller));
    why = NULL;
    return nvme_probe(&setup, &controller, &why);
}

static void start(void)
{
    assert_true(probe(NULL));
    assert_true(controller.count > 0);
    disk = controller.devices[0];
    for (unsigned i = 0; i < sizeof(m.medium[0]); i++) {
        m.medium[0][i] = (uint8_t)(i / 512 * 7 + i);
        m.medium[1][i] = (uint8_t)(i / 512 * 3 + i);
    }
    m.commands = m.resets = 0;
}

static int setup(void **state)
{
    (void)state;
    make_device();
    start();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_disk_teardown();
    return 0;
}

static void serve(void)
{
    if (disk->pending || block_deadline(disk) <= fake_now_ns) {
        (void)block_service(disk);
    }
}

// The device works and interrupts, the loop serves, time passes for the steps of a reset.
static void turns(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t before = m.q[1].cq_tail;

        if ((m.csts & 1) != 0) {
            work(1);
        }
        if (m.q[1].cq_tail != before && m.masked == 0) {
            controller.interrupt(controller.arg);
        }
        serve();
        fake_now_ns += 2000000;
    }
}

static void run(struct block_device *dev, struct fake_request *f)
{
    block_submit(dev, &f->r);
    assert_int_equal(f->done, 0);
    for (unsigned i = 0; i < 10 && f->done == 0; i++) {
        turns(1);
    }
    assert_int_equal(f->done, 1);
}

// --- tests ---

static void knows_the_disk(void **state)
{
    (void)state;
    assert_string_equal(disk->model, "Fast disk");
    assert_string_equal(disk->serial, "SERIAL7");
    assert_int_equal(disk->sectors, BLOCKS);
    assert_int_equal(disk->logical_block, 512);
    assert_int_equal(disk->max_sectors, BLOCK_MAX_SECTORS);
    assert_true(disk->write_cache && disk->can_discard);
    assert_int_equal(controller.irq, DISK_IRQ_LINE);
}

static void uses_messages(void **state)
{
    const struct irq_message message = {.address = 0xfee00000, .data = 0x31, .vector = 0x31};

    (void)state;
    make_device();
    fake_pci_set(&m.pci, 0x06, 2, 0x10);
    fake_pci_set(&m.pci, 0x34, 1, 0x40);
    fake_pci_set(&m.pci, 0x40, 4, 0x00010011); // MSI-X, two entries
    fake_pci_set(&m.pci, 0x44, 4, 4);          // table in BAR 4
    fake_pci_set(&m.pci, 0x20, 4, (uint32_t)MSIX_BAR);
    m.pci.bar_size[4] = 0x1000;
    assert_true(probe(&message));
    assert_int_equal(controller.irq, DISK_IRQ_MESSAGE);
    controller.interrupt(controller.arg);
    assert_int_equal(m.masked, 0); // which must not be used with MSI-X
}

static void line_is_let_go_until_served(void **state)
{
    (void)state;
    controller.interrupt(controller.arg);
    assert_int_equal(m.masked, 1);
    serve();
    assert_int_equal(m.masked, 0);
}

static void reads_and_writes(void **state)
{
    struct fake_request w = fake_request(BLOCK_WRITE, 100, 9, FAKE_DATA_GPA + 0x200), r;

    (void)state;
    memset(fake_at(FAKE_DATA_GPA + 0x200, 9 * 512), 0xa5, 9 * 512);
    run(disk, &w);
    assert_int_equal(m.medium[0][100 * 512], 0xa5);
    assert_int_equal(m.medium[0][109 * 512 - 1], 0xa5);
    for (uint32_t sectors = 1; sectors <= BLOCK_MAX_SECTORS; sectors += sectors < 20 ? 1 : 507) {
        uint64_t gpa = FAKE_HIGH_GPA + sectors % 7 * 516;

        r = fake_request(BLOCK_READ, 77, sectors, gpa);
        run(disk, &r);
        assert_int_equal(r.r.status, BLOCK_OK);
        assert_memory_equal(fake_at(gpa, sectors * 512), m.medium[0] + 77 * 512, sectors * 512);
    }
}

static void pieces_that_meet_within_a_page_bounce(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 10, 20, 0), other = fake_request(BLOCK_READ, 40, 2, 0);

    (void)state;
    r.r.segment_count = 2;
    r.r.segments[0] = (struct block_segment){FAKE_DATA_GPA + 0x204, 512};
    r.r.segments[1] = (struct block_segment){FAKE_DATA_GPA + 0x10800, 19 * 512};
    other.r.segment_count = 2;
    other.r.segments[0] = (struct block_segment){FAKE_DATA_GPA + 0x40000, 512};
    other.r.segments[1] = (struct block_segment){FAKE_DATA_GPA + 0x50000, 512};
    block_submit(disk, &r.r);
    block_submit(disk, &other.r); // has to wait for the buffer
    turns(4);
    assert_int_equal(r.done + other.done, 2);
    assert_memory_equal(fake_at(FAKE_DATA_GPA + 0x204, 512), m.medium[0] + 10 * 512, 512);
    assert_memory_equal(fake_at(FAKE_DATA_GPA + 0x10800, 19 * 512), m.medium[0] + 11 * 512, 19 * 512);
    assert_memory_equal(fake_at(FAKE_DATA_GPA + 0x50000, 512), m.medium[0] + 41 * 512, 512);
}

static void flush_fua_discard(void **state)
{
    struct fake_request f = fake_request(BLOCK_FLUSH, 0, 0, 0), d = fake_request(BLOCK_DISCARD, 8, 16, 0),
                        w = fake_request(BLOCK_WRITE, 1, 1, FAKE_DATA_GPA);

    (void)state;
    w.r.fua = true;
    run(disk, &f);
    run(disk, &d);
    run(disk, &w);
    assert_true(m.last_fua);
    assert_memory_equal(m.log, "\x00\x09\x01", 3);
    assert_int_equal(m.medium[0][8 * 512], 0xdd);
    assert_int_equal(m.medium[0][24 * 512 - 1], 0xdd);
}

static void queues_wrap(void **state)
{
    static struct fake_request f[300];

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        f[i] = fake_request(BLOCK_READ, i, 1, FAKE_DATA_GPA + i * 512);
        block_submit(disk, &f[i].r);
    }
    turns(20);
    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(f[i].done, 1);
    }
    assert_memory_equal(fake_at(FAKE_DATA_GPA, 300 * 512), m.medium[0], 300 * 512);
    assert_int_equal(disk->counters.requests[BLOCK_READ], 300);
}

static void namespaces_are_disks(void **state)
{
    struct fake_request r;

    (void)state;
    make_device();
    m.namespaces = 2;
    start();
    assert_int_equal(controller.count, 2);
    assert_int_equal(controller.devices[1]->logical_block, 4096);
    assert_int_equal(controller.devices[1]->sectors, BLOCKS);
    r = fake_request(BLOCK_READ, 16, 8, FAKE_DATA_GPA);
    run(controller.devices[1], &r);
    assert_memory_equal(fake_at(FAKE_DATA_GPA, 4096), m.medium[1] + 16 * 512, 4096);
    r = fake_request(BLOCK_READ, 17, 8, FAKE_DATA_GPA); // not a block of that disk
    block_submit(controller.devices[1], &r.r);
    (void)block_service(controller.devices[1]);
    assert_int_equal(r.r.status, BLOCK_INVALID);
}

static void limits_and_formats_are_heeded(void **state)
{
    (void)state;
    make_device();
    m.mdts = 3;
    start();
    assert_int_equal(disk->max_sectors, 64);
    make_device();
    m.shift[0] = 11;
    assert_true(probe(NULL));
    assert_int_equal(controller.count, 0);
    make_device();
    m.metadata = 8;
    assert_true(probe(NULL));
    assert_int_equal(controller.count, 0);
}

static void reports_errors(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);

    (void)state;
    m.fail_status = 0x0281; // media error: unrecovered read
    run(disk, &r);
    assert_int_equal(r.r.status, BLOCK_IO_ERROR);
    m.fail_status = 0x0006; // internal error, may be tried again
    r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);
    run(disk, &r);
    assert_int_equal(r.r.status, BLOCK_OK);
    assert_int_equal(m.commands, 3);
    m.fail_status = 0x4006; // do not retry
    r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);
    run(disk, &r);
    assert_int_equal(r.r.status, BLOCK_IO_ERROR);
}

static void times_out_and_goes_on(void **state)
{
    struct fake_request a = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA), b;

    (void)state;
    m.ignores = true;
    block_submit(disk, &a.r);
    turns(1);
    fake_now_ns += BLOCK_TIMEOUT_NS / 2;
    b = fake_request(BLOCK_READ, 2, 1, FAKE_DATA_GPA + 512);
    block_submit(disk, &b.r);
    fake_now_ns = block_deadline(disk);
    m.ignores = false;
    serve();
    turns(12);
    assert_int_equal(m.resets, 1);
    assert_int_equal(a.r.status, BLOCK_TIMEOUT);
    assert_int_equal(a.done, 1);
    assert_int_equal(b.done, 1);
    assert_int_equal(b.r.status, BLOCK_OK);
    assert_memory_equal(fake_at(FAKE_DATA_GPA + 512, 512), m.medium[0] + 1024, 512);
}

static void ends_without_dma(struct fake_request *r)
{
    fake_now_ns = block_deadline(disk);
    for (unsigned i = 0; i < 2000 && r->done == 0; i++) {
        turns(1);
    }
    assert_int_equal(r->done, 1);
    assert_int_equal(r->r.status, BLOCK_GONE);
    assert_true(disk->failed);
    assert_int_equal(fake_pci_get(&m.pci, 4, 2) & 4, 0);
    assert_int_equal(block_deadline(disk), UINT64_MAX);
}

static void a_controller_that_does_not_reset_is_gone(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);

    (void)state;
    m.ignores = m.no_disable = true;
    block_submit(disk, &r.r);
    turns(1);
    ends_without_dma(&r);
}

static void a_pulled_controller_is_gone(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);

    (void)state;
    m.ignores = m.no_disable = true;
    block_submit(disk, &r.r);
    turns(1);
    fake_now_ns = block_deadline(disk);
    serve();
    m.csts = 0xffffffff;
    ends_without_dma(&r);
}

static void made_up_completions_are_ignored(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);

    (void)state;
    complete(1, 5, 0);
    complete(1, 0xffff, 0);
    complete(1, 0, 0);
    disk->pending = true;
    turns(1);
    assert_int_equal(disk->counters.requests[BLOCK_READ], 0);
    run(disk, &r);
    assert_int_equal(r.r.status, BLOCK_OK);
}

static void a_flood_of_completions_is_taken_in_portions(void **state)
{
    (void)state;
    // Every entry of the queue looks new, for ever: as if the device wrote them while they are read.
    for (uint32_t round = 0; round < 4; round++) {
        for (uint32_t i = 0; i < m.q[1].entries; i++) {
            complete(1, 0xffff, 0);
        }
        disk->pending = true;
        assert_true(block_service(disk)); // a portion, and it says that there may be more
    }
}

static void probe_fails_with_a_reason(void **state)
{
    (void)state;
    make_device();
    m.no_ready = true;
    assert_false(probe(NULL));
    assert_non_null(why);
    assert_int_equal(fake_pci_get(&m.pci, 4, 2) & 4, 0);
    make_device();
    m.refuses_queues = true;
    assert_false(probe(NULL));
    assert_non_null(why);
    make_device();
    m.cap |= 1ull << 48; // pages of 8 KiB at least
    assert_false(probe(NULL));
    assert_non_null(why);
    make_device();
    m.cap |= 15ull << 32; // doorbells beyond the registers
    assert_false(probe(NULL));
    assert_non_null(why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(knows_the_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(uses_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(line_is_let_go_until_served, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_and_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(pieces_that_meet_within_a_page_bounce, setup, teardown),
        cmocka_unit_test_setup_teardown(flush_fua_discard, setup, teardown),
        cmocka_unit_test_setup_teardown(queues_wrap, setup, teardown),
        cmocka_unit_test_setup_teardown(namespaces_are_disks, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_and_formats_are_heeded, setup, teardown),
        cmocka_unit_test_setup_teardown(reports_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(times_out_and_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_controller_that_does_not_reset_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pulled_controller_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(made_up_completions_are_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flood_of_completions_is_taken_in_portions, setup, teardown),
        cmocka_unit_test_setup_teardown(probe_fails_with_a_reason, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
