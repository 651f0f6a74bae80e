// srcs: mgmt/drivers/ahci.c mgmt/drivers/ahci_probe.c mgmt/drivers/ata.c mgmt/drivers/disk_unit.c mgmt/block/block.c mgmt/drivers/disk.c mgmt/drivers/ide.c mgmt/drivers/nvme.c mgmt/drivers/nvme_probe.c mgmt/drivers/virtio_blk.c mgmt/drivers/virtio_pci.c mgmt/drivers/pci.c tests/unit/fake_pci.c tests/unit/fake_disk.c
// SPDX-License-Identifier: Apache-2.0
// The AHCI driver against a register-level model: command lists, errors, lost links, time-outs, another disk.
#include "mgmt/drivers/ahci.h"
#include "tests/unit/fake_disk.h"
#include "tests/unit/fake_pci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

#define BAR 0xfe000000ull
#define BAR_SIZE 0x1000ull
#define SECTORS 8192u
#define PORTS 3u // 0 empty, 1 a disk, 2 a packet device

// --- the model ---

struct port {
    uint32_t clb, clbu, fb, fbu, is, ie, cmd, tfd, ssts, sctl, serr, ci;
    bool disk, packet;
    bool halted; // by an error, until the command list is stopped
};

static struct {
    struct fake_device pci;
    uint32_t ghc, is, cap, cap2, bohc;
    struct port port[PORTS];
    uint8_t identity[512];
    uint8_t medium[SECTORS * 512];
    bool boasts; // of ports that its window has no room for
    bool hba_stuck, ignores, answers_identify, list_stuck, silent_after_reset;
    unsigned link_resets, commands;
    uint8_t log[32];
    unsigned fail_slot; // the command in this slot fails; 32: none
    uint8_t fail_tfd_error;
    uint32_t fail_is;
} m;

static uint64_t list_gpa(const struct port *p)
{
    return p->clb | (uint64_t)p->clbu << 32;
}

// Moves data by the regions of a command's table.
static void move(uint64_t table, uint32_t regions, uint8_t *data, uint32_t length, bool to_memory)
{
    uint32_t moved = 0;

    for (uint32_t i = 0; i < regions; i++) {
        uint8_t *d = fake_at(table + 0x80 + 16ull * i, 16);
        uint64_t address;
        uint32_t n;

        memcpy(&address, d, 8);
        memcpy(&n, d + 12, 4);
        n = (n & 0x3fffff) + 1;
        assert_int_equal(address & 1, 0);
        assert_int_equal(n & 1, 0);
        assert_true((m.cap & 1u << 31) != 0 || address + n <= 1ull << 32);
        assert_true(moved + n <= length);
        memcpy(to_memory ? fake_at(address, n) : data + moved, to_memory ? data + moved : fake_at(address, n),
               n);
        moved += n;
    }
    assert_int_equal(moved, length);
}

static void execute(const struct port *p, unsigned slot)
{
    uint8_t *header = fake_at(list_gpa(p) + 32ull * slot, 32), *fis;
    uint32_t flags, count;
    uint64_t table, lba;

    memcpy(&flags, header, 4);
    memcpy(&table, header + 8, 8);
    assert_int_equal(table % 128, 0);
    assert_int_equal(flags & 0x1f, 5);
    fis = fake_at(table, 64);
    assert_true(fis[0] == 0x27 && fis[1] == 0x80);
    lba = fis[4] | (uint64_t)fis[5] << 8 | (uint64_t)fis[6] << 16 | (uint64_t)fis[8] << 24 |
          (uint64_t)fis[9] << 32 | (uint64_t)fis[10] << 40;
    count = fis[12] | (uint32_t)fis[13] << 8;
    m.log[m.commands++ % sizeof(m.log)] = fis[2];
    switch (fis[2]) {
    case 0xec:
        move(table, flags >> 16, m.identity, 512, true);
        break;
    case 0x25:
    case 0x35:
    case 0x3d:
        assert_true(lba + count <= SECTORS && count > 0);
        assert_int_equal((flags & 0x40) != 0, fis[2] != 0x25);
        move(table, flags >> 16, m.medium + lba * 512, count * 512, fis[2] == 0x25);
        break;
    case 0x06: {
        uint64_t ranges[64];

        assert_true(fis[3] == 1 && count == 1 && (flags & 0x40) != 0);
        move(table, flags >> 16, (uint8_t *)ranges, 512, false);
        memset(m.medium + (ranges[0] & 0xffffffffffffull) * 512, 0xdd, (ranges[0] >> 48) * 512);
        break;
    }
    case 0xea:
        assert_int_equal(flags >> 16, 0);
        break;
    default:
        fail_msg("unexpected command %02x", fis[2]);
    }
}

static void raise(unsigned index, uint32_t bits)
{
    m.port[index].is |= bits;
    m.is |= 1u << index;
}

static bool is_identify(const struct port *p, unsigned slot)
{
    uint64_t table;

    memcpy(&table, (uint8_t *)fake_at(list_gpa(p) + 32ull * slot, 32) + 8, 8);
    return ((uint8_t *)fake_at(table, 64))[2] == 0xec;
}

// Runs what is in the command list, lowest slot first, until one fails.
static void work(unsigned index)
{
    struct port *p = &m.port[index];

    for (unsigned slot = 0; slot < 32 && (p->cmd & 1) != 0 && !p->halted; slot++) {
        if ((p->ci & 1u << slot) == 0 || (m.ignores && !(m.answers_identify && is_identify(p, slot)))) {
            continue;
        }
        if (slot == m.fail_slot) {
            p->cmd = (p->cmd & ~0x1f00u) | slot << 8;
            p->tfd = 0x51u | (uint32_t)m.fail_tfd_error << 8;
            m.fail_slot = 32;
            p->halted = true;
            raise(index, m.fail_is);
            return;
        }
        if (p->packet) {
            p->tfd = 0x451;
            raise(index, 1u << 30);
            return;
        }
        execute(p, slot);
        p->ci &= ~(1u << slot);
        raise(index, 1);
    }
}

static void reset_link(struct port *p)
{
    m.link_resets++;
    p->ssts = p->disk ? 0x123 : 0;
    p->serr = 0x04010000;
    p->is |= 0x00400040;
    p->tfd = p->disk ? 0x50 : 0x7f;
    if (m.silent_after_reset) {
        p->tfd = 0xd0;
    }
}

static uint32_t *reg(struct port *p, uint32_t offset)
{
    switch (offset) {
    case 0x00:
        return &p->clb;
    case 0x04:
        return &p->clbu;
    case 0x08:
        return &p->fb;
    case 0x0c:
        return &p->fbu;
    case 0x14:
        return &p->ie;
    case 0x20:
        return &p->tfd;
    case 0x28:
        return &p->ssts;
    case 0x30:
        return &p->serr;
    case 0x38:
        return &p->ci;
    default:
        fail_msg("port register %#x", offset);
        return NULL;
    }
}

static uint32_t model_read(struct fake_device *d, unsigned bar, uint32_t offset, unsigned size)
{
    (void)d;
    assert_true(bar == 5 && size == 4);
    if (offset >= 0x100) {
        struct port *p = &m.port[(offset - 0x100) / 0x80];

        offset = (offset - 0x100) % 0x80;
        return offset == 0x10 ? p->is : offset == 0x18 ? p->cmd : offset == 0x2c ? p->sctl : *reg(p, offset);
    }
    switch (offset) {
    case 0x00:
        return m.cap;
    case 0x04:
        return m.ghc;
    case 0x08:
        return m.is;
    case 0x0c:
        return m.boasts ? 0xffffffff : (1u << PORTS) - 1;
    case 0x24:
        return m.cap2;
    case 0x28:
        return m.bohc;
    default:
        fail_msg("register %#x", offset);
        return 0;
    }
}

static void write_command(unsigned index, uint32_t value)
{
    struct port *p = &m.port[index];
    bool running = (value & 1) != 0 || (m.list_stuck && (p->cmd & 1u << 15) != 0);

    if ((value & 1) == 0 && (p->cmd & 1) != 0 && !m.list_stuck) {
        p->ci = 0;
        p->halted = false;
    }
    p->cmd = (value & ~0xdf00u) | (p->cmd & 0x1f00) | (running ? 1u << 15 : 0) |
             ((value & 0x10) != 0 ? 1u << 14 : 0);
}

static void write_port_register(unsigned index, uint32_t offset, uint32_t value)
{
    struct port *p = &m.port[index];

    switch (offset) {
    case 0x10:
        p->is &= ~(value & ~0x00400040u); // of these two the cause lies in SERR
        return;
    case 0x18:
        write_command(index, value);
        return;
    case 0x2c:
        if ((p->sctl & 0xf) == 1 && (value & 0xf) == 0) {
            reset_link(p);
        }
        p->sctl = value;
        return;
    case 0x30:
        p->serr &= ~value;
        p->is &= p->serr == 0 ? ~0x00400040u : ~0u;
        return;
    case 0x38:
        assert_true((p->cmd & 1) != 0);
        p->ci |= value;
        if (m.identity[0] != 0 && (m.ghc & 2) == 0) {
            work(index); // nobody turns the crank while the driver probes
        }
        return;
    default:
        *reg(p, offset) = value;
    }
}

static void model_write(struct fake_device *d, unsigned bar, uint32_t offset, unsigned size, uint32_t value)
{
    (void)d;
    assert_true(bar == 5 && size == 4);
    if (offset >= 0x100) {
        write_port_register((offset - 0x100) / 0x80, (offset - 0x100) % 0x80, value);
    } else if (offset == 0x04) {
        m.ghc = m.hba_stuck ? value : value & ~1u;
    } else if (offset == 0x08) {
        m.is &= ~value;
    } else if (offset == 0x28) {
        m.bohc = value & ~1u;
    } else {
        fail_msg("register %#x", offset);
    }
}

// --- fixture ---

static struct pci_device pci;
static struct disk_controller controller;
static struct block_device *disk;
static struct port *port;
static const char *why;

static void make_device(void)
{
    memset(&m, 0, sizeof(m));
    fake_disk_setup();
    m.cap = 1u << 31 | 31u << 8 | (PORTS - 1);
    m.cap2 = m.bohc = 1;
    m.fail_slot = 32;
    m.port[1].disk = m.port[2].disk = m.port[2].packet = true;
    fake_ata_identity(m.identity, SECTORS, "SATA disk", "XYZ");
    m.pci.read = model_read;
    m.pci.write = model_write;
    fake_pci_describe(&m.pci, (struct pci_address){0, 4, 0}, 0x8086, 0x2922, 0x010601, 5, BAR, BAR_SIZE,
                      false);
    fake_pci_set(&m.pci, 0x3c, 2, 0x010b);
    fake_pci_reset();
    fake_pci_add(&m.pci);
    assert_int_equal(pci_enumerate(&pci, 1), 1);
    port = &m.port[1];
}

static bool probe(const struct irq_message *message)
{
    struct disk_setup setup = fake_disk_probe_setup(&pci);

    setup.message = message;
    memset(&controller, 0, sizeof(controller));
    why = NULL;
    return ahci_probe(&setup, &controller, &why);
}

static void start(void)
{
    assert_true(probe(NULL));
    assert_int_equal(controller.count, 1);
    disk = controller.devices[0];
    assert_int_equal(m.ghc & 2, 0); // silent until its interrupt has a route
    controller.enable(controller.arg);
    for (unsigned i = 0; i < sizeof(m.medium); i++) {
        m.medium[i] = (uint8_t)(i / 512 * 7 + i);
    }
    m.commands = m.link_resets = 0;
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
    if ((m.ghc & 2) != 0 && (port->is & port->ie) != 0) {
        m.is |= 2;
        controller.interrupt(controller.arg);
        assert_int_equal(m.is, 0);
    }
    if (disk->pending || block_deadline(disk) <= fake_now_ns) {
        (void)block_service(disk);
    }
}

// The device works, interrupts, the loop serves, steps of a recovery have their time.
static void turns(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        work(1);
        serve();
        fake_now_ns += 2000000;
    }
}

static void run(struct fake_request *f)
{
    block_submit(disk, &f->r);
    assert_int_equal(f->done, 0);
    for (unsigned i = 0; i < 20 && f->done == 0; i++) {
        turns(1);
    }
    assert_int_equal(f->done, 1);
}

// --- tests ---

static bool master(void)
{
    return (fake_pci_get(&m.pci, 4, 2) & 4) != 0;
}

static void knows_the_disk(void **state)
{
    (void)state;
    assert_string_equal(disk->model, "SATA disk");
    assert_string_equal(disk->serial, "XYZ");
    assert_int_equal(disk->sectors, SECTORS);
    assert_int_equal(disk->max_sectors, BLOCK_MAX_SECTORS);
    assert_true(disk->write_cache && disk->can_discard);
    assert_int_equal(controller.irq, DISK_IRQ_LINE);
    assert_int_equal(m.bohc & 3, 2);        // firmware has let go
    assert_int_equal(m.port[2].cmd & 1, 0); // the packet device's port is stopped again
    assert_int_equal(fake_pci_get(&m.pci, 4, 2) & 0x406, 0x406);
}

static void uses_messages(void **state)
{
    const struct irq_message message = {.address = 0xfee00000, .data = 0x31, .vector = 0x31};

    (void)state;
    make_device();
    fake_pci_set(&m.pci, 0x06, 2, 0x10);
    fake_pci_set(&m.pci, 0x34, 1, 0x80);
    fake_pci_set(&m.pci, 0x80, 4, 0x00b00005); // MSI, wide, five messages enabled
    assert_true(probe(&message));
    assert_int_equal(controller.irq, DISK_IRQ_MESSAGE);
    assert_int_equal(fake_pci_get(&m.pci, 0x82, 2) & 0x71, 0x01);
    assert_int_equal(fake_pci_get(&m.pci, 0x84, 4), 0xfee00000);
    assert_int_equal(fake_pci_get(&m.pci, 0x8c, 2), 0x31);
}

static void reads_and_writes(void **state)
{
    struct fake_request w = fake_request(BLOCK_WRITE, 100, 9, FAKE_DATA_GPA), r;

    (void)state;
    memset(fake_at(FAKE_DATA_GPA, 9 * 512), 0xa5, 9 * 512);
    run(&w);
    assert_int_equal(m.medium[100 * 512], 0xa5);
    assert_int_equal(m.medium[109 * 512 - 1], 0xa5);
    r = fake_request(BLOCK_READ, 98, 4, FAKE_HIGH_GPA);
    r.r.segment_count = 3; // pieces of any size at any address
    r.r.segments[0] = (struct block_segment){FAKE_HIGH_GPA + 4, 512};
    r.r.segments[1] = (struct block_segment){FAKE_DATA_GPA + 0x1230, 1024};
    r.r.segments[2] = (struct block_segment){FAKE_DATA_GPA, 512};
    run(&r);
    assert_int_equal(r.r.status, BLOCK_OK);
    assert_memory_equal(fake_at(FAKE_HIGH_GPA + 4, 512), m.medium + 98 * 512, 512);
    assert_memory_equal(fake_at(FAKE_DATA_GPA + 0x1230, 1024), m.medium + 99 * 512, 1024);
    assert_memory_equal(fake_at(FAKE_DATA_GPA, 512), m.medium + 101 * 512, 512);
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
    assert_int_equal(m.commands, 3);
    assert_memory_equal(m.log, "\xea\x06\x3d", 3);
    assert_int_equal(m.medium[8 * 512], 0xdd);
    assert_int_equal(m.medium[24 * 512 - 1], 0xdd);
}

static void several_are_out_the_rest_waits(void **state)
{
    struct fake_request f[20];

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        f[i] = fake_request(BLOCK_READ, i, 1, FAKE_DATA_GPA + i * 512);
        block_submit(disk, &f[i].r);
    }
    assert_int_equal(port->ci, 0xff);
    turns(3);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(f[i].done, 1);
    }
    assert_memory_equal(fake_at(FAKE_DATA_GPA, 20 * 512), m.medium, 20 * 512);
}

static void an_error_hits_one_command(void **state)
{
    struct fake_request f[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        f[i] = fake_request(BLOCK_READ, i, 1, FAKE_DATA_GPA + i * 512);
        block_submit(disk, &f[i].r);
    }
    m.fail_slot = 1;
    m.fail_is = 1u << 30;
    m.fail_tfd_error = 0x40;
    turns(8);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(f[i].done, 1);
        assert_int_equal(f[i].r.status, i == 1 ? BLOCK_IO_ERROR : BLOCK_OK);
    }
    assert_int_equal(m.link_resets, 0);
    assert_int_equal(m.commands, 3); // none of the good ones twice
}

static void damage_on_the_cable_is_tried_again(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 5, 1, FAKE_DATA_GPA);

    (void)state;
    m.fail_slot = 0;
    m.fail_is = 1u << 27;
    run(&r);
    assert_int_equal(r.r.status, BLOCK_OK);
    assert_memory_equal(fake_at(FAKE_DATA_GPA, 512), m.medium + 5 * 512, 512);
}

static void a_disk_left_busy_has_its_link_reset(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 5, 1, FAKE_DATA_GPA);

    (void)state;
    m.fail_slot = 0;
    m.fail_is = 1u << 30;
    block_submit(disk, &r.r);
    work(1);
    port->tfd |= 0x80;
    turns(8);
    assert_int_equal(r.r.status, BLOCK_IO_ERROR);
    assert_int_equal(m.link_resets, 1);
    assert_int_equal(m.log[0], 0xec); // it is asked who it is before it gets more
    r = fake_request(BLOCK_READ, 5, 1, FAKE_DATA_GPA);
    run(&r);
    assert_int_equal(r.r.status, BLOCK_OK);
}

static void times_out_and_goes_on(void **state)
{
    struct fake_request a = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA), b;

    (void)state;
    m.ignores = true;
    block_submit(disk, &a.r);
    turns(1);
    fake_now_ns += BLOCK_TIMEOUT_NS / 2;
    b = fake_request(BLOCK_WRITE, 2, 1, FAKE_DATA_GPA);
    block_submit(disk, &b.r);
    fake_now_ns = block_deadline(disk);
    m.ignores = false;
    serve();
    turns(12);
    assert_int_equal(a.r.status, BLOCK_TIMEOUT);
    assert_int_equal(a.done, 1);
    assert_int_equal(b.r.status, BLOCK_OK); // its time was not over
    assert_int_equal(b.done, 1);
    assert_int_equal(m.link_resets, 1);
    assert_int_equal(disk->counters.resets, 1);
}

static void another_disk_gets_nothing(void **state)
{
    struct fake_request r = fake_request(BLOCK_WRITE, 1, 1, FAKE_DATA_GPA);

    (void)state;
    m.ignores = true;
    block_submit(disk, &r.r);
    turns(1);
    fake_ata_identity(m.identity, SECTORS, "SATA disk", "OTHER");
    port->serr = 0x04010000; // somebody changed the disk
    raise(1, 0x00400040);
    m.ignores = false;
    port->halted = true;
    turns(12);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.r.status, BLOCK_GONE);
    assert_true(disk->failed);
    assert_int_equal(m.log[0], 0xec);
    assert_int_equal(m.commands, 1);
    assert_int_equal(port->cmd & 1, 0);
    assert_true(master()); // the other ports go on
}

static void a_pulled_disk_is_gone(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);

    (void)state;
    m.ignores = true;
    block_submit(disk, &r.r);
    port->disk = false;
    port->ssts = 0;
    port->serr = 0x00010000;
    raise(1, 0x00400000);
    turns(600); // 1.2 s of waiting for the link
    assert_int_equal(r.r.status, BLOCK_GONE);
    assert_int_equal(block_deadline(disk), UINT64_MAX);
    r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);
    run(&r);
    assert_int_equal(r.r.status, BLOCK_GONE);
}

// Four resets without an answer; other ports of the controller are not disturbed.
static void a_silent_disk_is_given_up(void **state)
{
    struct fake_request f[8];

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        f[i] = fake_request(BLOCK_READ, i, 1, FAKE_DATA_GPA);
    }
    m.ignores = true;
    for (unsigned i = 0; i < 8 && !disk->failed; i++) {
        block_submit(disk, &f[i].r);
        turns(1);
        fake_now_ns = block_deadline(disk);
        m.answers_identify = true;
        turns(12);
    }
    assert_true(disk->failed);
    assert_int_equal(f[0].r.status, BLOCK_TIMEOUT);
    assert_int_equal(f[3].done, 1);
    assert_int_equal(m.link_resets, 3);
    assert_int_equal(port->cmd & 1, 0);
    assert_true(master());
}

static void a_port_that_does_not_stop_loses_its_dma(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);

    (void)state;
    m.ignores = m.list_stuck = true;
    block_submit(disk, &r.r);
    turns(1);
    fake_now_ns = block_deadline(disk);
    turns(300);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.r.status, BLOCK_GONE);
    assert_false(master());
}

static void nonsense_from_the_device_is_survived(void **state)
{
    struct fake_request r = fake_request(BLOCK_READ, 1, 1, FAKE_DATA_GPA);

    (void)state;
    raise(1, 1u << 30); // an error of no command
    port->cmd |= 0x1f00;
    turns(4);
    run(&r);
    assert_int_equal(r.r.status, BLOCK_OK);
    block_submit(disk, &r.r);
    port->cmd = (port->cmd & ~0x1f00u) | 0x1e00; // blames a slot that was never used
    raise(1, 1u << 30);
    turns(12);
    assert_int_equal(r.done, 2);
    assert_int_equal(r.r.status, BLOCK_OK);
}

static void narrow_controllers_bounce(void **state)
{
    struct fake_request r;

    (void)state;
    make_device();
    m.cap &= ~(1u << 31);
    start();
    assert_int_equal(disk->max_sectors, 128);
    r = fake_request(BLOCK_READ, 9, 128, FAKE_HIGH_GPA);
    run(&r);
    assert_memory_equal(fake_at(FAKE_HIGH_GPA, 128 * 512), m.medium + 9 * 512, 128 * 512);
    assert_int_equal(port->clbu, 0);
}

static void probe_fails_with_a_reason(void **state)
{
    (void)state;
    make_device();
    m.hba_stuck = true;
    assert_false(probe(NULL));
    assert_non_null(why);
    make_device();
    fake_pci_set(&m.pci, 0x24, 4, 0);
    assert_false(probe(NULL));
    assert_non_null(why);
    make_device();
    m.boasts = true;
    fake_pci_describe(&m.pci, (struct pci_address){0, 4, 0}, 0x8086, 0x2922, 0x010601, 5, BAR, 0x200, false);
    assert_true(probe(NULL));
    assert_int_equal(controller.count, 1);
    make_device();
    m.silent_after_reset = true; // a disk that never becomes ready is as good as none
    assert_true(probe(NULL));
    assert_int_equal(controller.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(knows_the_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(uses_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_and_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(flush_fua_discard, setup, teardown),
        cmocka_unit_test_setup_teardown(several_are_out_the_rest_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_hits_one_command, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_on_the_cable_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_disk_left_busy_has_its_link_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(times_out_and_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(another_disk_gets_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pulled_disk_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_disk_is_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_port_that_does_not_stop_loses_its_dma, setup, teardown),
        cmocka_unit_test_setup_teardown(nonsense_from_the_device_is_survived, setup, teardown),
        cmocka_unit_test_setup_teardown(narrow_controllers_bounce, setup, teardown),
        cmocka_unit_test_setup_teardown(probe_fails_with_a_reason, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
