// srcs: mgmt/drivers/virtio_blk.c mgmt/drivers/virtio_pci.c mgmt/drivers/disk_unit.c mgmt/block/block.c mgmt/drivers/disk.c mgmt/drivers/ata.c mgmt/drivers/ahci.c mgmt/drivers/ahci_probe.c mgmt/drivers/ide.c mgmt/drivers/nvme.c mgmt/drivers/nvme_probe.c mgmt/drivers/pci.c tests/unit/fake_pci.c tests/unit/fake_disk.c
// SPDX-License-Identifier: Apache-2.0
// The virtio-blk driver against a model of the modern PCI device: features, chains, errors, resets, lies.
#include "mgmt/drivers/virtio_blk.h"
#include "tests/unit/fake_disk.h"
#include "tests/unit/fake_pci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

#define BAR 0x800000000ull
#define BAR_SIZE 0x4000ull
#define COMMON 0x0000
#define ISR 0x1000
#define DEVICE 0x2000
#define NOTIFY 0x3000
#define MSIX_BAR 0xfe001000ull
#define SECTORS 8192u

#define F_SEG_MAX (1ull << 2)
#define F_RO (1ull << 5)
#define F_BLK_SIZE (1ull << 6)
#define F_FLUSH (1ull << 9)
#define F_DISCARD (1ull << 13)
#define F_VERSION_1 (1ull << 32)

// --- the model ---

static struct {
    struct fake_device pci;
    uint64_t offered, accepted;
    uint32_t device_select, driver_select;
    uint8_t status, isr, generation;
    uint16_t queue_max, size, vector, enable;
    uint64_t desc, driver, device;
    uint16_t taken; // of the available ring
    uint32_t notified;
    uint8_t config[64];
    uint8_t medium[SECTORS * 512];
    bool refuse_features, stuck, ignores, no_id;
    uint8_t fail_status; // the next request ends so
    unsigned resets, requests;
    uint32_t log[64]; // types
    uint16_t chain_lengths[64];
} m;

static uint16_t get16(uint64_t gpa)
{
    uint16_t v;

    memcpy(&v, fake_at(gpa, 2), 2);
    return v;
}

struct piece {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

static struct piece piece_at(uint16_t index)
{
    struct piece p;

    assert_true(index < m.size);
    memcpy(&p, fake_at(m.desc + 16ull * index, 16), 16);
    return p;
}

static void give_back(uint32_t id, uint32_t length)
{
    uint16_t index = get16(m.device + 2);
    uint32_t elem[2] = {id, length};

    memcpy(fake_at(m.device + 4 + 8u * (index % m.size), 8), elem, 8);
    index++;
    memcpy(fake_at(m.device + 2, 2), &index, 2);
    m.isr |= 1;
}

// Moves one piece of data; returns the sector behind it.
static uint64_t do_piece(uint32_t type, uint64_t sector, const struct piece *p)
{
    uint8_t *data = fake_at(p->address, p->length);

    switch (type) {
    case 0:
    case 1:
        assert_int_equal((p->flags & 2) != 0, type == 0);
        assert_true(sector + p->length / 512 <= SECTORS);
        memcpy(type == 0 ? data : m.medium + sector * 512, type == 0 ? m.medium + sector * 512 : data,
               p->length);
        return sector + p->length / 512;
    case 8:
        assert_int_equal(p->length, 20);
        memcpy(data, "DISK-7\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
        return 0;
    case 11: {
        uint64_t first;
        uint32_t count;

        assert_int_equal(p->length, 16);
        memcpy(&first, data, 8);
        memcpy(&count, data + 8, 4);
        memset(m.medium + first * 512, 0xdd, count * 512);
        return 0;
    }
    default:
        fail_msg("data with request type %u", type);
        return 0;
    }
}

static void do_chain(uint16_t head)
{
    struct piece p = piece_at(head);
    uint16_t pieces = 1;
    uint64_t sector;
    uint32_t type;

    assert_true(p.length == 16 && p.flags == 1);
    memcpy(&type, fake_at(p.address, 16), 4);
    memcpy(&sector, (uint8_t *)fake_at(p.address, 16) + 8, 8);
    for (;;) {
        p = piece_at(p.next);
        pieces++;
        if ((p.flags & 1) == 0) {
            break;
        }
        if (m.fail_status == 0) {
            sector = do_piece(type, sector, &p);
        }
    }
    assert_true(p.length == 1 && p.flags == 2);
    *(uint8_t *)fake_at(p.address, 1) = type == 8 && m.no_id ? 2 : m.fail_status;
    m.fail_status = 0;
    m.chain_lengths[m.requests % 64] = pieces;
    m.log[m.requests++ % 64] = type;
    give_back(head, 1);
}

static void work(void)
{
    while (m.enable != 0 && !m.ignores && m.taken != get16(m.driver + 2)) {
        uint16_t head = get16(m.driver + 4 + 2u * (m.taken % m.size));

        m.taken++;
        do_chain(head);
    }
}

static void set_status(uint8_t value)
{
    if (value == 0) {
        m.resets++;
        m.size = m.queue_max;
        m.vector = m.enable = 0;
        m.taken = 0;
        m.accepted = 0;
        m.status = m.stuck ? m.status : 0;
        return;
    }
    m.status = m.refuse_features ? value & (uint8_t)~8 : value;
}

static uint32_t common_read(uint32_t offset)
{
    switch (offset) {
    case 0x04:
        return (uint32_t)(m.offered >> (m.device_select != 0 ? 32 : 0));
    case 0x10:
        return 0xffff; // no vector for changes of the configuration
    case 0x14:
        return m.status;
    case 0x15:
        return m.generation;
    case 0x18:
        return m.size;
    case 0x1a:
        return m.vector;
    case 0x1e:
        return 0;
    default:
        fail_msg("common register %#x", offset);
        return 0;
    }
}

static void common_write(uint32_t offset, uint32_t value)
{
    uint64_t *address = offset < 0x28 ? &m.desc : offset < 0x30 ? &m.driver : &m.device;

    switch (offset) {
    case 0x00:
        m.device_select = value;
        return;
    case 0x08:
        m.driver_select = value;
        return;
    case 0x0c:
        m.accepted |= (uint64_t)value << (m.driver_select != 0 ? 32 : 0);
        return;
    case 0x10:
        assert_int_equal(value, 0xffff);
        return;
    case 0x14:
        set_status((uint8_t)value);
        return;
    case 0x16:
        assert_int_equal(value, 0);
        return;
    case 0x18:
        m.size = (uint16_t)value;
        return;
    case 0x1a:
        m.vector = (uint16_t)value;
        return;
    case 0x1c:
        m.enable = (uint16_t)value;
        return;
    default:
        assert_true(offset >= 0x20 && offset < 0x38);
        memcpy((uint8_t *)address + offset % 8, &value, 4);
    }
}

static uint32_t model_read(struct fake_device *d, unsigned bar, uint32_t offset, unsigned size)
{
    uint32_t value = 0;

    (void)d;
    assert_int_equal(bar, 0);
    if (offset < ISR) {
        return common_read(offset);
    }
    if (offset == ISR) {
        value = m.isr;
        m.isr = 0;
        return value;
    }
    assert_true(offset >= DEVICE && offset - DEVICE + size <= sizeof(m.config));
    memcpy(&value, m.config + (offset - DEVICE), size);
    return value;
}

static void model_write(struct fake_device *d, unsigned bar, uint32_t offset, unsigned size, uint32_t value)
{
    (void)d;
    if (bar != 0) {
        return; // MSI-X table
    }
    if (offset >= NOTIFY) {
        assert_true(offset == NOTIFY && size == 2 && value == 0);
        m.notified++;
        if (m.requests == 0) {
            work(); // nobody turns the crank while the driver probes
        }
        return;
    }
    common_write(offset, value);
}

// --- fixture ---

static struct pci_device pci;
static struct disk_controller controller;
static struct block_device *disk;
static const char *why;

static void set_config(unsigned offset, uint64_t value, unsigned bytes)
{
    memcpy(m.config + offset, &value, bytes);
}

static void add_capability(unsigned at, unsigned next, uint8_t type, uint32_t offset, uint32_t length)
{
    fake_pci_set(&m.pci, at, 4, 0x09 | next << 8 | 20u << 16 | (uint32_t)type << 24);
    fake_pci_set(&m.pci, at + 4, 4, 0);
    fake_pci_set(&m.pci, at + 8, 4, offset);
    fake_pci_set(&m.pci, at + 12, 4, length);
    fake_pci_set(&m.pci, at + 16, 4, 4); // multiplier
}

static void make_device(void)
{
    memset(&m, 0, sizeof(m));
    fake_disk_setup();
    m.offered = F_VERSION_1 | F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_DISCARD | 1ull << 28 | 1ull << 29;
    m.size = m.queue_max = 256;
    set_config(0, SECTORS, 8);
    set_config(12, 126, 4);
    set_config(20, 512, 4);
    set_config(36, 4096, 4);
    set_config(40, 1, 4);
    m.pci.read = model_read;
    m.pci.write = model_write;
    fake_pci_describe(&m.pci, (struct pci_address){0, 3, 0}, 0x1af4, 0x1042, 0x010000, 0, BAR, BAR_SIZE,
                      true);
    fake_pci_set(&m.pci, 0x06, 2, 0x10);
    fake_pci_set(&m.pci, 0x34, 1, 0x40);
    add_capability(0x40, 0x54, 1, COMMON, 56);
    add_capability(0x54, 0x68, 2, NOTIFY, 64);
    add_capability(0x68, 0x7c, 3, ISR, 1);
    add_capability(0x7c, 0, 4, DEVICE, 60);
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
    return virtio_blk_probe(&setup, &controller, &why);
}

static void start(void)
{
    assert_true(probe(NULL));
    assert_int_equal(controller.count, 1);
    disk = controller.devices[0];
    for (unsigned i = 0; i < sizeof(m.medium); i++) {
        m.medium[i] = (uint8_t)(i / 512 * 7 + i);
    }
    m.resets = 0;
    m.requests = 64; // a full turn of the logs, and past the probe
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

static void turns(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        work();
        if (m.isr != 0) {
            controller.interrupt(controller.arg);
        }
        serve();
        fake_now_ns += 2000000;
    }
}

static void run(struct fake_request *f)
{
    block_submit(disk, &f->r);
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
    assert_string_equal(disk->model, "virtio-blk");
    assert_string_equal(disk->serial, "DISK-7");
    assert_int_equal(disk->sectors, SECTORS);
    assert_int_equal(disk->max_segments, BLOCK_MAX_SEGMENTS);
    assert_int_equal(disk->max_discard, 4096);
    assert_true(disk->write_cache && disk->can_discard && !disk->read_only);
    assert_int_equal(m.accepted, F_VERSION_1 | F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_DISCARD);
    assert_int_equal(m.status, 1 | 2 | 4 | 8);
    assert_int_equal(controller.irq, DISK_IRQ_LINE);
    assert_int_equal(m.vector, 0xffff);
}

static void uses_messages(void **state)
{
    const struct irq_message message = {.address = 0xfee00000, .data = 0x31, .vector = 0x31};

    (void)state;
    make_device();
    fake_pci_set(&m.pci, 0x7d, 1, 0x90);
    fake_pci_set(&m.pci, 0x90, 4, 0x00010011); // MSI-X, two entries
    fake_pci_set(&m.pci, 0x94, 4, 4);          // table in BAR 4
    fake_pci_set(&m.pci, 0x20, 4, (uint32_t)MSIX_BAR);
    m.pci.bar_size[4] = 0x1000;
    assert_true(probe(&message));
    assert_int_equal(controller.irq, DISK_IRQ_MESSAGE);
    assert_int_equal(m.vector, 0);
}

static void reads_and_writes(void **state)
{
    struct fake_request w = fake_request(BLOCK_WRITE, 100, 9, FAKE_DATA_GPA), r;

    (void)state;
    memset(fake_at(FAKE_DATA_GPA, 9 * 512), 0xa5, 9 * 512);
    run(&w);
    assert_int_equal(m.medium[100 * 512], 0xa5);
    assert_int_equal(m.medium[109 * 512 - 1], 0xa5);
    r = fake_request(BLOCK_READ, 50, 64, 0);
    r.r.segment_count = 64;
    for (unsigned i = 0; i < 64; i++) {
        r.r.segments[i] = (struct block_segment){FAKE_HIGH_GPA + i * 1028, 512};
    }
    run(&r);
    assert_int_equal(r.r.status, BLOCK_OK);
    for (unsigned i = 0; i < 64; i++) {
        assert_memory_equal(fake_at(FAKE_HIGH_GPA + i * 1028, 512), m.medium + (50 + i) * 512, 512);
    }
    assert_int_equal(m.chain_lengths[1], 66);
}

static void flush_fua_discard(void **state)
{
    struct fake_request f = fake_request(BLOCK_FLUSH, 0, 0, 0), d = fake_request(BLOCK_DISCARD, 8, 16, 0),
                        w = fake_request(BLOCK_WRITE, 1, 1, FAKE_DATA_GPA);

    (void)state;
    w.r.fua = true;
    run(&f);
    run(&d);
    run(&w);
    assert_int_equal(m.requests, 64 + 4);
    assert_true(m.log[0] == 4 && m.log[1] == 11 && m.log[2] == 1 && m.log[3] == 4);
    assert_int_equal(m.medium[8 * 512], 0xdd);
    assert_int_equal(m.medium[24 * 512 - 1], 0xdd);
}

static void without_a_cache_there_is_nothing_to_flush(void **state)
{
    struct fake_request f = fake_request(BLOCK_FLUSH, 0, 0, 0),
                        w = fake_request(BLOCK_WRITE, 1, 1, FAKE_DATA_GPA);

    (void)state;
    make_device();
    m.offered &= ~F_FLUSH;
    start();
    w.r.fua = true;
    run(&f);
    run(&w);
    assert_int_equal(f.r.status, BLOCK_OK);
    assert_int_equal(m.requests, 64 + 1);
}

static void descriptors_come_back(void **state)
{
    static struct fake_request f[200];

    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 200; i++) {
            uint32_t sectors = 1 + i % 9;

            f[i] = fake_request(BLOCK_READ, i, sectors, FAKE_DATA_GPA + i * 8192);
            f[i].r.segment_count = sectors;
            for (uint32_t s = 0; s < sectors; s++) {
                f[i].r.segments[s] = (struct block_segment){FAKE_DATA_GPA + i * 8192 + s * 512, 512};
            }
            block_submit(disk, &f[i].r);
        }
        turns(30);
        for (unsigned i = 0; i < 200; i++) {
            assert_int_equal(f[i].done, 1);
            assert_memory_equal(fake_at(FAKE_DATA_GPA + i * 8192, 512), m.medium + i * 512, 512);
        }
    }
    assert_int_equal(disk->counters.queued, 0);
}

static void small_queues_limit_requests(void **state)
{
    struct fake_request r;

    (void)state;
    make_device();
    m.size = m.queue_max = 8;
    start();
    assert_int_equal(disk->max_segments, 5);
    r = fake_request(BLOCK_READ, 3, 5, 0);
    r.r.segment_count = 5;
    for (unsigned i = 0; i < 5; i++) {
        r.r.segments[i] = (struct block_segment){FAKE_DATA_GPA + i * 512, 512};
    }
    run(&r);
    assert_memory_equal(fake_at(FAKE_DATA_GPA, 5 * 512), m.medium + 3 * 512, 5 * 512);
}

static void read_only_is_known(void **state)
{
    struct fake_request w = fake_request(BLOCK_WRITE, 1, 1, FAKE_DATA_GPA);

    (void)state;
    make_device();
    m.offered |= F_RO;
    start();
    run(&w);
    assert_int_equal(w.r.status, BLOCK_INVALID);
    assert_int_equal(m.requests, 64);
}

static void reports_errors(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);
    struct fake_request d = fake_request(BLOCK_DISCARD, 1, 1, 0);

    (void)state;
    m.fail_status = 1;
    run(&r);
    assert_int_equal(r.r.status, BLOCK_IO_ERROR);
    m.fail_status = 2;
    run(&d);
    assert_int_equal(d.r.status, BLOCK_UNSUPPORTED);
    m.fail_status = 77;
    r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);
    run(&r);
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
    turns(4);
    assert_int_equal(m.resets, 1);
    assert_int_equal(m.accepted, F_VERSION_1 | F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_DISCARD);
    assert_int_equal(a.r.status, BLOCK_TIMEOUT);
    assert_int_equal(b.done, 1);
    assert_int_equal(b.r.status, BLOCK_OK);
    assert_memory_equal(fake_at(FAKE_DATA_GPA + 512, 512), m.medium + 1024, 512);
}

static void a_device_stuck_in_reset_is_gone(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);

    (void)state;
    m.ignores = m.stuck = true;
    block_submit(disk, &r.r);
    turns(1);
    fake_now_ns = block_deadline(disk);
    for (unsigned i = 0; i < 4000 && r.done == 0; i++) {
        turns(1);
    }
    assert_int_equal(r.done, 1);
    assert_int_equal(r.r.status, BLOCK_GONE);
    assert_int_equal(fake_pci_get(&m.pci, 4, 2) & 4, 0); // no bus master
    assert_int_equal(block_deadline(disk), UINT64_MAX);
}

static void lies_about_chains_are_ignored(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 9, 1, FAKE_DATA_GPA);
    uint16_t index;

    (void)state;
    give_back(0, 1);
    give_back(0xffffffff, 1);
    give_back(255, 1);
    turns(1);
    block_submit(disk, &r.r);
    give_back(1, 1); // the middle of the chain that is out
    turns(1);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.r.status, BLOCK_OK);
    // An index that has run away makes the driver look at the whole ring, in portions, and no longer.
    index = (uint16_t)(get16(m.device + 2) + 60000);
    memcpy(fake_at(m.device + 2, 2), &index, 2);
    disk->pending = true;
    assert_true(block_service(disk));
    for (unsigned i = 0; i < 60000 / 64 && block_service(disk); i++) {
    }
    assert_false(block_service(disk));
}

static void probe_fails_with_a_reason(void **state)
{
    static const struct {
        unsigned offset;
        uint64_t value;
        unsigned bytes;
    } bad[] = {{0, 0, 8}, {0, UINT64_MAX, 8}, {20, 1024, 4}, {20, 0, 4}};

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        make_device();
        set_config(bad[i].offset, bad[i].value, bad[i].bytes);
        assert_false(probe(NULL));
        assert_non_null(why);
        assert_int_equal(fake_pci_get(&m.pci, 4, 2) & 4, 0);
    }
    make_device();
    m.offered &= ~F_VERSION_1;
    assert_false(probe(NULL));
    make_device();
    m.refuse_features = true;
    assert_false(probe(NULL));
    make_device();
    m.size = m.queue_max = 2;
    assert_false(probe(NULL));
    make_device();
    m.status = 1;
    m.stuck = true;
    assert_false(probe(NULL));
    make_device();
    fake_pci_set(&m.pci, 0x34, 1, 0x54); // no common configuration
    assert_false(probe(NULL));
    make_device();
    m.no_id = true; // a device without a name is as good
    assert_true(probe(NULL));
    assert_string_equal(controller.devices[0]->serial, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(knows_the_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(uses_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_and_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(flush_fua_discard, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_cache_there_is_nothing_to_flush, setup, teardown),
        cmocka_unit_test_setup_teardown(descriptors_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(small_queues_limit_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(read_only_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(reports_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(times_out_and_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_device_stuck_in_reset_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(lies_about_chains_are_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(probe_fails_with_a_reason, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
