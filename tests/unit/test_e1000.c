// srcs: mgmt/drivers/e1000.c mgmt/drivers/frames.c mgmt/drivers/pci.c mgmt/drivers/nic.c mgmt/drivers/virtio_net.c mgmt/drivers/virtio_pci.c tests/unit/fake_pci.c
// SPDX-License-Identifier: Apache-2.0
// The e1000 driver against register-level models of the 82540EM and the 82574L: reset, address, both rings, interrupts.
#include "mgmt/drivers/e1000.h"
#include "tests/unit/fake_pci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define BAR 0xfe000000ull
#define BAR_SIZE 0x20000ull
#define GPA_BASE 0x40000000ull // where the NIC sees the memory below

// --- the model ---

static bool express; // an 82574L

static struct {
    struct fake_device pci;
    uint32_t regs[BAR_SIZE / 4];
    uint32_t ims;
    bool mac_in_filter, stuck_in_reset;
    bool master_off_at_reset; // what an 82574L wants

    uint16_t eeprom[3];
    uint8_t *frames, *dma;
    uint8_t sent[16][2048];
    uint16_t sent_length[16];
    unsigned sent_count;
} nic;

#define REG(offset) nic.regs[(offset) / 4]
enum { CTRL = 0, STATUS = 8, EERD = 0x14, ICR = 0xc0, IMS = 0xd0, IMC = 0xd8, RCTL = 0x100, TCTL = 0x400 };
enum { RDBAL = 0x2800, RDLEN = 0x2808, RDH = 0x2810, RDT = 0x2818 };
enum { TDBAL = 0x3800, TDLEN = 0x3808, TDH = 0x3810, TDT = 0x3818, RAL0 = 0x5400, RAH0 = 0x5404 };

static void *at_gpa(uint64_t gpa)
{
    uint64_t offset = gpa - GPA_BASE;

    if (offset < FRAME_MEMORY) {
        return nic.frames + offset;
    }
    offset -= FRAME_MEMORY;
    assert_true(offset < NIC_DMA_SIZE);
    return nic.dma + offset;
}

static uint8_t *descriptor(uint32_t ring, uint32_t index)
{
    return at_gpa(REG(ring) + (uint64_t)REG(ring + 4) * (1ull << 32) + 16ull * index);
}

static void model_reset(void)
{
    memset(nic.regs, 0, sizeof(nic.regs));
    nic.ims = 0;
    REG(STATUS) = 2 | (express ? 1u << 19 : 0); // link up, bus master
    REG(0x10) = express ? 1u << 9 : 0;          // EEPROM is loaded
    if (nic.mac_in_filter) {
        REG(RAL0) = nic.eeprom[0] | (uint32_t)nic.eeprom[1] << 16;
        REG(RAH0) = nic.eeprom[2] | 0x80000000u;
    }
}

static void model_transmit(void)
{
    while (REG(TDH) != REG(TDT)) {
        uint8_t *d = descriptor(TDBAL, REG(TDH));
        uint64_t address;
        uint16_t length;

        memcpy(&address, d, 8);
        memcpy(&length, d + 8, 2);
        assert_true((d[11] & 3) == 3); // EOP, IFCS
        assert_true(length >= 60 && length <= 1518);
        memcpy(nic.sent[nic.sent_count % 16], at_gpa(address), length);
        nic.sent_length[nic.sent_count % 16] = length;
        nic.sent_count++;
        REG(TDH) = (REG(TDH) + 1) % (REG(TDLEN) / 16);
    }
}

// Reports the frames up to the tail as sent.
static void model_finish_transmit(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        descriptor(TDBAL, i)[12] |= 1;
    }
    REG(ICR) |= 1;
}

// Puts a frame into the next descriptor; false if the driver gave none.
static bool model_receive(const void *frame, uint16_t length, uint8_t status, uint8_t errors)
{
    uint8_t *d = descriptor(RDBAL, REG(RDH));
    uint64_t address;

    if (REG(RDH) == REG(RDT)) {
        REG(ICR) |= 0x40;
        return false;
    }
    memcpy(&address, d, 8);
    memcpy(at_gpa(address), frame, length);
    memcpy(d + 8, &length, 2);
    d[12] = status;
    d[13] = errors;
    REG(RDH) = (REG(RDH) + 1) % (REG(RDLEN) / 16);
    REG(ICR) |= 0x80;
    return true;
}

static uint32_t model_read(struct fake_device *d, unsigned bar, uint32_t offset, unsigned size)
{
    uint32_t value = REG(offset);

    (void)d;
    assert_true(bar == 0 && size == 4);
    if (offset == ICR) {
        REG(ICR) = 0;
    }
    if (offset == EERD && (value & 1) != 0 && express) {
        return (value & 0xfffcu) | 2 | (uint32_t)nic.eeprom[value >> 2 & 0x3fff] << 16;
    }
    if (offset == EERD && (value & 1) != 0) {
        return (value & 0xff00u) | 0x10 | (uint32_t)nic.eeprom[value >> 8 & 0xff] << 16;
    }
    return value;
}

static void model_write(struct fake_device *d, unsigned bar, uint32_t offset, unsigned size, uint32_t value)
{
    (void)d;
    assert_true(bar == 0 && size == 4);
    switch (offset) {
    case CTRL:
        if (express) {
            REG(STATUS) = (REG(STATUS) & ~(1u << 19)) | ((value & 4) == 0 ? 1u << 19 : 0);
        }
        if ((value & 1u << 26) != 0) {
            nic.master_off_at_reset = (REG(STATUS) & 1u << 19) == 0;
            model_reset();
            REG(CTRL) = nic.stuck_in_reset ? value : 0;
            return;
        }
        break;
    case IMS:
        nic.ims |= value;
        return;
    case IMC:
        nic.ims &= ~value;
        return;
    default:
        break;
    }
    REG(offset) = value;
    if (offset == TDT) {
        model_transmit();
    }
}

// --- fixture ---

static struct frame_rings rings;
static struct pci_device pci;
static struct nic *driver;
static const char *why;

static void make_device(void)
{
    free(nic.frames);
    free(nic.dma);
    memset(&nic, 0, sizeof(nic));
    nic.frames = calloc(1, FRAME_MEMORY);
    nic.dma = calloc(1, NIC_DMA_SIZE);
    nic.mac_in_filter = true;
    memcpy(nic.eeprom, "\x52\x54\x00\x12\x34\x56", 6);
    nic.pci.read = model_read;
    nic.pci.write = model_write;
    fake_pci_describe(&nic.pci, (struct pci_address){0, 3, 0}, 0x8086, express ? 0x10d3 : 0x100e, 0x020000, 0,
                      BAR, BAR_SIZE, false);
    fake_pci_set(&nic.pci, 0x3c, 2, 0x010b);
    fake_pci_reset();
    fake_pci_add(&nic.pci);
    model_reset();
    memset(&rings, 0, sizeof(rings));
    assert_int_equal(pci_enumerate(&pci, 1), 1);
}

static void probe(void)
{
    struct nic_memory frames = {nic.frames, GPA_BASE}, dma = {nic.dma, GPA_BASE + FRAME_MEMORY};
    struct nic_msi msi = {0};

    why = NULL;
    driver = nic_probe(&pci, &rings, frames, dma, &msi, &why);
}

static int setup(void **state)
{
    (void)state;
    make_device();
    probe();
    assert_non_null(driver);
    assert_int_equal(nic.ims, 0); // silent until its interrupt has a route
    assert_int_equal(fake_pci_get(&nic.pci, 4, 2) & 0x400, 0x400);
    nic_enable(driver, &pci);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(nic.frames);
    free(nic.dma);
    nic.frames = nic.dma = NULL;
    return 0;
}

static bool interrupted(void)
{
    if ((REG(ICR) & nic.ims) == 0) {
        return false;
    }
    driver->ops->interrupt(driver);
    return true;
}

static void send(const void *data, uint16_t length)
{
    struct frame f;

    assert_true(spsc_pop(&rings.tx_free, &f));
    memcpy(frame_data(&rings, true, f.index), data, length);
    f.length = length;
    assert_true(spsc_push(&rings.tx, &f));
}

// --- tests ---

static void starts_the_device(void **state)
{
    (void)state;
    assert_memory_equal(driver->mac, "\x52\x54\x00\x12\x34\x56", 6);
    assert_int_equal(rings.link_up, 1);
    assert_int_equal(REG(RDLEN), 4096);
    assert_int_equal(REG(RDT), 255);
    assert_true((REG(RCTL) & 2) != 0 && (REG(TCTL) & 2) != 0);
    assert_int_equal(nic.ims, 0xd4);
    assert_int_equal(fake_pci_get(&nic.pci, 4, 2) & 0x406, 0x006); // memory, master, INTx allowed
    assert_int_equal(pci.irq_line, 11);
}

static void takes_the_address_from_the_eeprom(void **state)
{
    (void)state;
    make_device();
    nic.mac_in_filter = false;
    model_reset();
    probe();
    assert_non_null(driver);
    assert_memory_equal(driver->mac, "\x52\x54\x00\x12\x34\x56", 6);
    assert_int_equal(REG(RAL0), 0x12005452);
    assert_int_equal(REG(RAH0), 0x80005634);
}

static void serves_stations_behind_the_switch(void **state)
{
    (void)state;
    assert_true((REG(RCTL) & 8) != 0); // every station's frames
}

static void resets_an_82574_as_it_wants(void **state)
{
    (void)state;
    assert_string_equal(driver->ops->name, "e1000e");
    assert_true(nic.master_off_at_reset);
    assert_int_equal(REG(CTRL) & 4, 0);
    assert_int_equal(REG(CTRL) & 0x40, 0x40); // link up
    assert_int_equal(REG(0x3828) & 1u << 22, 1u << 22);
}

static void refuses_a_dead_device(void **state)
{
    (void)state;
    make_device();
    nic.stuck_in_reset = true;
    probe();
    assert_null(driver);
    assert_non_null(why);
    assert_int_equal(fake_pci_get(&nic.pci, 4, 2) & 0x404, 0x400); // no DMA, no interrupts
}

static void receives_in_order(void **state)
{
    struct frame f;
    uint8_t frame[64];

    (void)state;
    for (uint8_t i = 0; i < 10; i++) {
        memset(frame, i, sizeof(frame));
        assert_true(model_receive(frame, 64, 3, 0));
    }
    assert_true(interrupted());
    assert_true(driver->pending);
    assert_false(driver->ops->service(driver));
    for (uint8_t i = 0; i < 10; i++) {
        assert_true(spsc_pop(&rings.rx, &f));
        assert_int_equal(f.length, 64);
        assert_int_equal(frame_data(&rings, false, f.index)[63], i);
        assert_true(spsc_push(&rings.rx_free, &f));
    }
    assert_false(spsc_pop(&rings.rx, &f));
    assert_int_equal(rings.counters.rx_frames, 10);
    assert_int_equal(rings.counters.rx_bytes, 640);
}

static void goes_round_the_ring_many_times(void **state)
{
    struct frame f;
    uint32_t got = 0, frame[16] = {0};

    (void)state;
    for (uint32_t i = 0; i < 3000; i++) {
        frame[0] = i;
        assert_true(model_receive(frame, sizeof(frame), 3, 0));
        if (i % 7 == 0) {
            while (driver->ops->service(driver)) {
            }
            while (spsc_pop(&rings.rx, &f)) {
                assert_int_equal(*(uint32_t *)(void *)frame_data(&rings, false, f.index), got);
                got++;
                assert_true(spsc_push(&rings.rx_free, &f));
            }
        }
    }
    assert_int_equal(got, 2997); // the last that a service call followed
}

static void bounded_work_in_a_call(void **state)
{
    uint8_t frame[64] = {0};

    (void)state;
    for (unsigned i = 0; i < NIC_RX_BUDGET + 1; i++) {
        assert_true(model_receive(frame, 64, 3, 0));
    }
    assert_true(driver->ops->service(driver)); // more to do
    assert_int_equal(spsc_count(&rings.rx), NIC_RX_BUDGET);
    assert_false(driver->ops->service(driver));
    assert_int_equal(spsc_count(&rings.rx), NIC_RX_BUDGET + 1);
}

static void damaged_frames_come_empty(void **state)
{
    uint8_t frame[2048] = {0};
    struct frame f;

    (void)state;
    assert_true(model_receive(frame, 64, 3, 1));   // CRC error
    assert_true(model_receive(frame, 64, 1, 0));   // no end of packet
    assert_true(model_receive(frame, 1900, 3, 0)); // too long
    assert_true(model_receive(frame, 8, 3, 0));    // too short
    assert_true(model_receive(frame, 1518, 3, 0));
    driver->ops->service(driver);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(spsc_pop(&rings.rx, &f));
        assert_int_equal(f.length, 0);
    }
    assert_true(spsc_pop(&rings.rx, &f));
    assert_int_equal(f.length, 1518);
    assert_int_equal(rings.counters.rx_errors, 4);
}

static void starved_then_fed(void **state)
{
    uint8_t frame[64] = {0};
    struct frame f;
    unsigned n = 0;

    (void)state;
    while (model_receive(frame, 64, 3, 0)) {
        n++;
    }
    assert_int_equal(n, 255);
    while (driver->ops->service(driver)) {
    }
    // One spare buffer was left; the control plane holds the others.
    assert_true(model_receive(frame, 64, 3, 0));
    assert_false(model_receive(frame, 64, 3, 0));
    assert_true(interrupted()); // overrun is reported
    driver->ops->service(driver);
    while (spsc_pop(&rings.rx, &f)) {
        assert_true(spsc_push(&rings.rx_free, &f));
    }
    driver->ops->service(driver);
    for (n = 0; model_receive(frame, 64, 3, 0); n++) {
    }
    assert_int_equal(n, 255);
}

static void sends_and_pads(void **state)
{
    uint8_t big[1514];

    (void)state;
    memset(frame_data(&rings, true, 0), 0xee, FRAME_BUFFER_SIZE); // what must not leak out
    memset(big, 7, sizeof(big));
    send("short frame...", 14);
    send(big, sizeof(big));
    driver->ops->service(driver);
    assert_int_equal(nic.sent_count, 2);
    assert_int_equal(nic.sent_length[0], 60);
    assert_memory_equal(nic.sent[0], "short frame...", 14);
    assert_int_equal(nic.sent[0][14], 0);
    assert_int_equal(nic.sent[0][59], 0);
    assert_int_equal(nic.sent_length[1], 1514);
    assert_memory_equal(nic.sent[1], big, sizeof(big));
    assert_int_equal(spsc_count(&rings.tx_free), 254);
    model_finish_transmit();
    assert_false(interrupted()); // two frames are not worth one
    driver->ops->service(driver);
    assert_int_equal(spsc_count(&rings.tx_free), 256);
}

static void asks_for_an_interrupt_when_many_are_out(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        send("frame of sixty bytes, more or less, with what belongs to it..", 60);
    }
    driver->ops->service(driver);
    assert_int_equal(nic.sent_count, 255); // one descriptor stays free
    model_finish_transmit();
    assert_true(interrupted());
    driver->ops->service(driver);
    assert_int_equal(nic.sent_count, 256);
    model_finish_transmit();
    assert_false(interrupted());
    driver->ops->service(driver);
    assert_int_equal(spsc_count(&rings.tx_free), 256);
}

static void absurd_lengths_are_not_sent(void **state)
{
    struct frame f;

    (void)state;
    assert_true(spsc_pop(&rings.tx_free, &f));
    f.length = 1519;
    assert_true(spsc_push(&rings.tx, &f));
    driver->ops->service(driver);
    assert_int_equal(nic.sent_count, 0);
    assert_int_equal(spsc_count(&rings.tx_free), 256);
}

static void link_changes_are_seen(void **state)
{
    (void)state;
    REG(STATUS) = 0;
    REG(ICR) |= 4;
    assert_true(interrupted());
    driver->ops->service(driver);
    assert_int_equal(rings.link_up, 0);
    REG(STATUS) = 2;
    REG(ICR) |= 4;
    assert_true(interrupted());
    driver->ops->service(driver);
    assert_int_equal(rings.link_up, 1);
}

static void foreign_interrupts_are_no_work(void **state)
{
    (void)state;
    driver->pending = false;
    driver->ops->interrupt(driver); // the line is shared, and it was somebody else
    assert_false(driver->pending);
}

static int setup_e1000(void **state)
{
    express = false;
    return setup(state);
}

static int setup_e1000e(void **state)
{
    express = true;
    return setup(state);
}

#define E1000(fn) cmocka_unit_test_setup_teardown(fn, setup_e1000, teardown)
#define E1000E(fn) cmocka_unit_test_setup_teardown(fn, setup_e1000e, teardown)
#define BOTH(fn) E1000(fn), E1000E(fn)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(starts_the_device),
        BOTH(takes_the_address_from_the_eeprom),
        BOTH(serves_stations_behind_the_switch),
        E1000E(resets_an_82574_as_it_wants),
        BOTH(refuses_a_dead_device),
        BOTH(receives_in_order),
        BOTH(goes_round_the_ring_many_times),
        BOTH(bounded_work_in_a_call),
        BOTH(damaged_frames_come_empty),
        BOTH(starved_then_fed),
        BOTH(sends_and_pads),
        BOTH(asks_for_an_interrupt_when_many_are_out),
        BOTH(absurd_lengths_are_not_sent),
        BOTH(link_changes_are_seen),
        BOTH(foreign_interrupts_are_no_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
