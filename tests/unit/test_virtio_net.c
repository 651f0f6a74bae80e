// srcs: mgmt/drivers/virtio_net.c mgmt/drivers/virtio_pci.c mgmt/drivers/frames.c mgmt/drivers/pci.c mgmt/drivers/nic.c mgmt/drivers/e1000.c tests/unit/fake_pci.c
// SPDX-License-Identifier: Apache-2.0
// The virtio-net driver against a model of the modern PCI device: negotiation, queues, both interrupt kinds.
#include "mgmt/drivers/virtio_net.h"
#include "tests/unit/fake_pci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define BAR 0x800000000ull // a 64-bit BAR above 4 GiB
#define BAR_SIZE 0x4000ull
#define COMMON 0x0000
#define ISR 0x1000
#define DEVICE 0x2000
#define NOTIFY 0x3000
#define MSIX_BAR 0xfe001000ull
#define GPA_BASE 0x40000000ull
#define HEADER 12

struct queue {
    uint16_t size, vector, enable, notified;
    uint64_t desc, driver, device;
    uint16_t taken; // of the available ring
};

static struct {
    struct fake_device pci;
    uint64_t offered, accepted;
    uint32_t device_select, driver_select;
    uint8_t status, isr;
    uint16_t config_vector, queue_select, queue_max;
    uint16_t link;
    bool refuse_features;
    struct queue queue[2];
    uint32_t msix[8];
    uint8_t *frames, *dma;
} dev;

// --- the model ---

static void *at_gpa(uint64_t gpa)
{
    uint64_t offset = gpa - GPA_BASE;

    if (offset < FRAME_MEMORY) {
        return dev.frames + offset;
    }
    offset -= FRAME_MEMORY;
    assert_true(offset < NIC_DMA_SIZE);
    return dev.dma + offset;
}

static uint16_t get16(uint64_t gpa)
{
    uint16_t v;

    memcpy(&v, at_gpa(gpa), 2);
    return v;
}

// Takes the next available descriptor; false when there is none.
static bool take(struct queue *q, uint16_t *id, uint8_t **data, uint32_t *length, uint16_t *flags)
{
    uint64_t address;
    uint8_t *d;

    if (q->taken == get16(q->driver + 2)) {
        return false;
    }
    *id = get16(q->driver + 4 + 2u * (q->taken % q->size));
    q->taken++;
    assert_true(*id < q->size);
    d = at_gpa(q->desc + 16ull * *id);
    memcpy(&address, d, 8);
    memcpy(length, d + 8, 4);
    memcpy(flags, d + 12, 2);
    *data = at_gpa(address);
    return true;
}

// Returns whether the driver wants an interrupt.
static bool give_back(struct queue *q, uint32_t id, uint32_t length)
{
    uint16_t index = get16(q->device + 2);
    uint32_t elem[2] = {id, length};

    memcpy(at_gpa(q->device + 4 + 8u * (index % q->size)), elem, 8);
    index++;
    memcpy(at_gpa(q->device + 2), &index, 2);
    dev.isr |= 1;
    return (get16(q->driver) & 1) == 0;
}

static bool model_receive(const void *frame, uint32_t length)
{
    uint16_t id, flags;
    uint32_t room;
    uint8_t *data;

    if (!take(&dev.queue[0], &id, &data, &room, &flags)) {
        return false;
    }
    assert_int_equal(flags, 2); // device writes
    assert_true(room >= HEADER + length);
    memset(data, 0, HEADER);
    memcpy(data + HEADER, frame, length);
    assert_true(give_back(&dev.queue[0], id, HEADER + length));
    return true;
}

static uint64_t *queue_address(uint32_t offset, unsigned *shift)
{
    struct queue *q = &dev.queue[dev.queue_select & 1];

    *shift = offset % 8 * 8;
    return offset < 0x28 ? &q->desc : offset < 0x30 ? &q->driver : &q->device;
}

static uint32_t common_read(uint32_t offset)
{
    struct queue *q = &dev.queue[dev.queue_select & 1];

    switch (offset) {
    case 0x04:
        return (uint32_t)(dev.offered >> (dev.device_select != 0 ? 32 : 0));
    case 0x10:
        return dev.config_vector;
    case 0x14:
        return dev.status;
    case 0x18:
        return dev.queue_select < 2 ? q->size : 0;
    case 0x1a:
        return q->vector;
    case 0x1e:
        return dev.queue_select;
    default:
        return 0;
    }
}

static void set_status(uint8_t value)
{
    dev.status = value;
    if (value == 0) {
        memset(dev.queue, 0, sizeof(dev.queue));
        dev.queue[0].size = dev.queue[1].size = dev.queue_max;
        dev.accepted = 0;
    }
    if (dev.refuse_features) {
        dev.status &= (uint8_t)~8;
    }
}

static void common_write(uint32_t offset, uint32_t value)
{
    struct queue *q = &dev.queue[dev.queue_select & 1];
    unsigned shift;
    uint64_t *address;

    switch (offset) {
    case 0x00:
        dev.device_select = value;
        return;
    case 0x08:
        dev.driver_select = value;
        return;
    case 0x0c:
        dev.accepted |= (uint64_t)value << (dev.driver_select != 0 ? 32 : 0);
        return;
    case 0x10:
        dev.config_vector = (uint16_t)value;
        return;
    case 0x14:
        set_status((uint8_t)value);
        return;
    case 0x16:
        dev.queue_select = (uint16_t)value;
        return;
    case 0x18:
        q->size = (uint16_t)value;
        return;
    case 0x1a:
        q->vector = (uint16_t)value;
        return;
    case 0x1c:
        q->enable = (uint16_t)value;
        return;
    default:
        address = queue_address(offset, &shift);
        *address = (*address & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
    }
}

static uint32_t model_read(struct fake_device *d, unsigned bar, uint32_t offset, unsigned size)
{
    static const uint8_t mac[6] = {0x52, 0x54, 0, 0xab, 0xcd, 0xef};

    (void)d;
    (void)size;
    assert_int_equal(bar, 4);
    if (offset == ISR) {
        uint8_t isr = dev.isr;

        dev.isr = 0;
        return isr;
    }
    if (offset >= DEVICE && offset < DEVICE + 6) {
        return mac[offset - DEVICE];
    }
    return offset == DEVICE + 6 ? dev.link : common_read(offset);
}

static void model_write(struct fake_device *d, unsigned bar, uint32_t offset, unsigned size, uint32_t value)
{
    (void)d;
    (void)size;
    if (bar == 1) {
        dev.msix[offset / 4] = value;
    } else if (offset >= NOTIFY) {
        assert_int_equal((offset - NOTIFY) / 4, value); // multiplier 4
        dev.queue[value].notified++;
    } else {
        common_write(offset, value);
    }
}

static void capability(unsigned at, unsigned next, uint8_t type, uint32_t offset, uint32_t length)
{
    fake_pci_set(&dev.pci, at, 4, 0x09 | next << 8 | 20u << 16 | (uint32_t)type << 24);
    fake_pci_set(&dev.pci, at + 4, 4, 4); // BAR 4
    fake_pci_set(&dev.pci, at + 8, 4, offset);
    fake_pci_set(&dev.pci, at + 12, 4, length);
    fake_pci_set(&dev.pci, at + 16, 4, 4);
}

// --- fixture ---

static struct frame_rings rings;
static struct pci_device pci;
static struct nic *driver;
static const char *why;

static void make_device(void)
{
    free(dev.frames);
    free(dev.dma);
    memset(&dev, 0, sizeof(dev));
    dev.frames = calloc(1, FRAME_MEMORY);
    dev.dma = calloc(1, NIC_DMA_SIZE);
    dev.offered = BIT(5) | BIT(15) | BIT(16) | BIT(32) | BIT(35);
    dev.queue_max = 256;
    dev.link = 1;
    dev.pci.read = model_read;
    dev.pci.write = model_write;
    fake_pci_describe(&dev.pci, (struct pci_address){0, 2, 0}, 0x1af4, 0x1000, 0x020000, 4, BAR, BAR_SIZE,
                      true);
    fake_pci_describe(&dev.pci, (struct pci_address){0, 2, 0}, 0x1af4, 0x1000, 0x020000, 1, MSIX_BAR, 0x1000,
                      false);
    fake_pci_set(&dev.pci, 6, 2, 0x10); // capabilities
    fake_pci_set(&dev.pci, 0x34, 1, 0x40);
    capability(0x40, 0x54, 1, COMMON, 56);
    capability(0x54, 0x68, 3, ISR, 1);
    capability(0x68, 0x7c, 4, DEVICE, 16);
    capability(0x7c, 0x90, 2, NOTIFY, 0x1000);
    fake_pci_set(&dev.pci, 0x90, 4, 0x11 | 2u << 16); // MSI-X: three entries, table in BAR 1
    fake_pci_set(&dev.pci, 0x94, 4, 1);
    fake_pci_reset();
    fake_pci_add(&dev.pci);
    memset(&rings, 0, sizeof(rings));
    assert_int_equal(pci_enumerate(&pci, 1), 1);
}

static void probe(bool with_msi)
{
    struct nic_memory frames = {dev.frames, GPA_BASE}, dma = {dev.dma, GPA_BASE + FRAME_MEMORY};
    struct nic_msi msi = {.available = with_msi, .address = 0xfee01000, .data = 0x4041};

    why = NULL;
    driver = virtio_net_probe(&pci, &rings, frames, dma, &msi, &why);
    if (driver != NULL) {
        assert_int_equal(fake_pci_get(&dev.pci, 4, 2) & 0x400, 0x400); // silent so far
        nic_enable(driver, &pci);
    }
}

static int setup(void **state)
{
    (void)state;
    make_device();
    probe(true);
    assert_non_null(driver);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(dev.frames);
    free(dev.dma);
    dev.frames = dev.dma = NULL;
    return 0;
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

static void negotiates_and_starts(void **state)
{
    (void)state;
    assert_int_equal(dev.accepted, BIT(5) | BIT(16) | BIT(32)); // only what the driver knows
    assert_int_equal(dev.status, 1 | 2 | 4 | 8);
    assert_memory_equal(driver->mac, "\x52\x54\x00\xab\xcd\xef", 6);
    assert_true(dev.queue[0].enable && dev.queue[1].enable);
    assert_int_equal(get16(dev.queue[0].driver + 2), 256); // all buffers are offered
    assert_int_equal(dev.queue[0].notified, 1);
    assert_int_equal(rings.link_up, 1);
}

static void uses_messages(void **state)
{
    (void)state;
    assert_true(driver->uses_msi);
    assert_int_equal(dev.msix[0], 0xfee01000);
    assert_int_equal(dev.msix[2], 0x4041);
    assert_int_equal(dev.msix[3], 0);
    assert_int_equal(fake_pci_get(&dev.pci, 0x92, 2) & 0xc000, 0x8000); // enabled, not masked
    assert_int_equal(fake_pci_get(&dev.pci, 4, 2) & 0x406, 0x406);      // the line is off
    assert_int_equal(dev.config_vector, 0);
    assert_int_equal(dev.queue[1].vector, 0);
}

static void falls_back_to_the_line(void **state)
{
    (void)state;
    make_device();
    probe(false);
    assert_non_null(driver);
    assert_false(driver->uses_msi);
    assert_int_equal(fake_pci_get(&dev.pci, 4, 2) & 0x406, 0x006);
    assert_int_equal(dev.config_vector, 0xffff);
    driver->pending = false;
    driver->ops->interrupt(driver); // somebody else's
    assert_false(driver->pending);
    dev.isr = 1;
    driver->ops->interrupt(driver);
    assert_true(driver->pending);
    assert_int_equal(dev.isr, 0);
}

static void refuses_without_version_1(void **state)
{
    (void)state;
    make_device();
    dev.offered &= ~BIT(32);
    probe(true);
    assert_null(driver);
    assert_non_null(why);
    make_device();
    dev.refuse_features = true;
    probe(true);
    assert_null(driver);
    assert_int_equal(fake_pci_get(&dev.pci, 4, 2) & 4, 0); // no DMA
}

static void refuses_without_modern_capabilities(void **state)
{
    (void)state;
    make_device();
    fake_pci_set(&dev.pci, 0x34, 1, 0x90);
    probe(true);
    assert_null(driver);
    assert_non_null(why);
    make_device();
    fake_pci_set(&dev.pci, 0x48, 4, 0xfffffff0u); // common configuration beyond its BAR
    probe(true);
    assert_null(driver);
}

static void receives_for_a_long_time(void **state)
{
    uint32_t got = 0, frame[16] = {0};
    struct frame f;

    (void)state;
    for (uint32_t i = 0; i < 70000; i++) { // further than the 16-bit indices reach
        frame[0] = i;
        assert_true(model_receive(frame, sizeof(frame)));
        driver->ops->interrupt(driver);
        assert_false(driver->ops->service(driver));
        while (spsc_pop(&rings.rx, &f)) {
            assert_int_equal(f.length, sizeof(frame));
            assert_int_equal(*(uint32_t *)(void *)frame_data(&rings, false, f.index), got);
            got++;
            assert_true(spsc_push(&rings.rx_free, &f));
        }
    }
    assert_int_equal(got, 70000);
}

static void starved_then_fed(void **state)
{
    uint8_t frame[64] = {0};
    struct frame f;
    unsigned n = 0;

    (void)state;
    while (model_receive(frame, 64)) {
        n++;
    }
    assert_int_equal(n, 256);
    while (driver->ops->service(driver)) {
    }
    assert_false(model_receive(frame, 64));
    while (spsc_pop(&rings.rx, &f)) {
        assert_true(spsc_push(&rings.rx_free, &f));
    }
    driver->ops->service(driver);
    assert_true(model_receive(frame, 64));
}

static void wild_lengths_and_ids_are_harmless(void **state)
{
    struct frame f;

    (void)state;
    give_back(&dev.queue[0], 70000, 64 + HEADER); // no such buffer
    give_back(&dev.queue[0], 3, 0xffffffff);
    give_back(&dev.queue[0], 3, 64 + HEADER); // that one the driver has by now
    give_back(&dev.queue[0], 4, 5);
    driver->ops->service(driver);
    assert_true(spsc_pop(&rings.rx, &f));
    assert_int_equal(f.index, 3);
    assert_int_equal(f.length, 0);
    assert_true(spsc_pop(&rings.rx, &f));
    assert_int_equal(f.index, 4);
    assert_int_equal(f.length, 0);
    assert_false(spsc_pop(&rings.rx, &f));
}

static void more_than_was_given_does_not_come_back(void **state)
{
    uint16_t far = 40000;

    (void)state;
    memcpy(at_gpa(dev.queue[1].device + 2), &far, 2); // nothing was sent
    driver->ops->service(driver);
    assert_int_equal(spsc_count(&rings.tx_free), 256);
}

static void refuses_a_doorbell_outside_its_window(void **state)
{
    (void)state;
    make_device();
    fake_pci_set(&dev.pci, 0x8c, 4, 0x1000); // multiplier: queue 1 rings behind the end
    probe(true);
    assert_null(driver);
}

static void capabilities_in_a_circle(void **state)
{
    (void)state;
    make_device();
    fake_pci_set(&dev.pci, 0x41, 1, 0x40); // the first one names itself, and the others are not found
    probe(true);
    assert_null(driver);
}

static void sends_and_pads(void **state)
{
    uint16_t id, flags;
    uint32_t length;
    uint8_t *data;
    static const uint8_t zero[48];

    (void)state;
    memset(frame_data(&rings, true, 0), 0xee, 100);
    send("short frame...", 14);
    driver->ops->service(driver);
    assert_int_equal(dev.queue[1].notified, 1);
    assert_true(take(&dev.queue[1], &id, &data, &length, &flags));
    assert_int_equal(length, HEADER + 60);
    assert_int_equal(flags, 0);
    assert_memory_equal(data, zero, HEADER);
    assert_memory_equal(data + HEADER, "short frame...", 14);
    assert_memory_equal(data + HEADER + 14, zero, 46);
    assert_int_equal(spsc_count(&rings.tx_free), 255);
    assert_false(give_back(&dev.queue[1], id, 0)); // no interrupt for one frame
    driver->ops->service(driver);
    assert_int_equal(spsc_count(&rings.tx_free), 256);
}

static void asks_for_an_interrupt_when_many_are_out(void **state)
{
    uint16_t id, flags;
    uint32_t length;
    uint8_t *data;

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        send("frame of sixty bytes, more or less, with what belongs to it..", 60);
    }
    driver->ops->service(driver);
    assert_true(take(&dev.queue[1], &id, &data, &length, &flags));
    assert_true(give_back(&dev.queue[1], id, 0));
    while (take(&dev.queue[1], &id, &data, &length, &flags)) {
        give_back(&dev.queue[1], id, 0);
    }
    driver->ops->service(driver);
    assert_int_equal(spsc_count(&rings.tx_free), 256);
}

static void small_queues(void **state)
{
    uint8_t frame[64] = {0};
    unsigned n = 0;

    (void)state;
    make_device();
    dev.queue_max = 100; // not a power of two: 64 are used
    probe(true);
    assert_non_null(driver);
    assert_int_equal(spsc_count(&rings.tx_free), 64);
    while (model_receive(frame, 64)) {
        n++;
    }
    assert_int_equal(n, 64);
}

static void link_changes_are_seen(void **state)
{
    (void)state;
    dev.link = 0;
    driver->ops->interrupt(driver);
    driver->ops->service(driver);
    assert_int_equal(rings.link_up, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(negotiates_and_starts),
        TEST(uses_messages),
        TEST(falls_back_to_the_line),
        TEST(refuses_without_version_1),
        TEST(refuses_without_modern_capabilities),
        TEST(receives_for_a_long_time),
        TEST(starved_then_fed),
        TEST(wild_lengths_and_ids_are_harmless),
        TEST(more_than_was_given_does_not_come_back),
        TEST(refuses_a_doorbell_outside_its_window),
        TEST(capabilities_in_a_circle),
        TEST(sends_and_pads),
        TEST(asks_for_an_interrupt_when_many_are_out),
        TEST(small_queues),
        TEST(link_changes_are_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
