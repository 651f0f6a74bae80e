// srcs: mgmt/drivers/disk_bring_up.c mgmt/drivers/irq.c mgmt/drivers/pci.c mgmt/block/block.c mgmt/block/disks.c mgmt/block/gpt.c mgmt/hvif/hvif_status.c tests/unit/fake_pci.c
// SPDX-License-Identifier: Apache-2.0
// Controllers at boot: who keeps memory, who shares an interrupt, what happens to those that fail.
#include "mgmt/block/disks.h"
#include "mgmt/drivers/disk.h"
#include "mgmt/drivers/disk_bring_up.h"
#include "mgmt/hvif/hvif.h"
#include "mgmt/plat.h"
#include "tests/unit/fake_pci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTROLLERS 4u

// --- the platform ---

static unsigned chunks_out, maps;
static uint8_t next_vector;
static struct {
    rt_handler_fn *fn;
    void *arg;
} vectors[256];
static struct hv_x_map_interrupt_in last_map;
static hv_status_t map_status;
static char log_text[8192];

bool plat_pool_alloc(size_t count, gpa_t *gpa)
{
    gpa->v = (uint64_t)(uintptr_t)aligned_alloc(PAGE_SIZE_2M, count * PAGE_SIZE_2M);
    chunks_out++;
    return gpa->v != 0;
}

void plat_pool_free(gpa_t gpa, size_t count)
{
    assert_int_equal(count, 1);
    free((void *)(uintptr_t)gpa.v);
    chunks_out--;
}

void *plat_pool_va(gpa_t gpa)
{
    return (void *)(uintptr_t)gpa.v;
}

void plat_log(enum plat_log_level level, const char *fmt, ...)
{
    size_t n = strlen(log_text);
    va_list ap;

    (void)level;
    va_start(ap, fmt);
    vsnprintf(log_text + n, sizeof(log_text) - n - 1, fmt, ap);
    va_end(ap);
    strcat(log_text, "\n");
}

uint8_t rt_vector_alloc(void)
{
    return next_vector == 0 ? 0 : next_vector++;
}

void rt_vector_set(uint8_t vector, rt_handler_fn *fn, void *arg)
{
    vectors[vector].fn = fn;
    vectors[vector].arg = arg;
}

hv_status_t hvif_map_interrupt(const struct hv_x_map_interrupt_in *in, struct hv_x_map_interrupt_out *out)
{
    maps++;
    last_map = *in;
    assert_true(in->source == 2 || vectors[in->vector].fn != NULL); // a line may fire at once
    *out = (struct hv_x_map_interrupt_out){.msi_address = 0xfee01000, .msi_data = in->vector};
    return map_status;
}

// --- the driver: one disk a controller, with a partition table if it is told so ---

struct instance {
    struct block_device dev;
    uint8_t *table; // two blocks
    unsigned interrupts, enabled, reads;
};

static struct {
    bool fails, empty, messages;
    enum disk_interrupt irq;
    struct instance *made[CONTROLLERS];
    unsigned count;
    bool with_table, damaged;
    uint8_t disk[64 * 512];
    bool enabled_before_reading;
} drv;

static void drv_submit(struct block_device *dev, struct block_request *r)
{
    struct instance *i = CONTAINER_OF(dev, struct instance, dev);

    block_copy(r, drv.disk + r->sector * BLOCK_SECTOR, false);
    i->reads++;
    drv.enabled_before_reading |= i->enabled != 0;
    block_queue_push(&dev->refused, r); // done by the next service
    dev->pending = true;
}

static bool drv_service(struct block_device *dev)
{
    (void)dev;
    return false;
}

static const struct block_ops ops = {.name = "test", .submit = drv_submit, .service = drv_service};

static void drv_interrupt(void *arg)
{
    ((struct instance *)arg)->interrupts++;
}

static void drv_enable(void *arg)
{
    ((struct instance *)arg)->enabled++;
}

static bool drv_probe(const struct disk_setup *setup, struct disk_controller *out, const char **why)
{
    struct instance *i = (struct instance *)setup->memory.va;

    for (size_t n = 0; n < DISK_MEMORY_SIZE; n += 4096) {
        assert_int_equal(setup->memory.va[n], 0);
    }
    assert_true(drv.messages == (setup->message != NULL));
    if (drv.fails) {
        *why = "it says no";
        return false;
    }
    if (drv.empty) {
        return true;
    }
    i->dev = (struct block_device){.ops = &ops,
                                   .model = "Disk",
                                   .sectors = 64,
                                   .logical_block = 512,
                                   .max_sectors = 3, // reads of the table have to be cut
                                   .max_segments = 1};
    out->devices[out->count++] = &i->dev;
    out->interrupt = drv_interrupt;
    out->enable = drv_enable;
    out->arg = i;
    out->irq = drv.irq;
    out->edge_gsi = 14;
    drv.made[drv.count++] = i;
    return true;
}

static const struct disk_driver driver = {"test", drv_probe, 1};

const struct disk_driver *disk_driver_find(const struct pci_device *dev)
{
    return dev->class_code == 1 ? &driver : NULL;
}

// --- a table with one partition ---

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

static void write_table(void)
{
    uint8_t *h = drv.disk + 512, *e = drv.disk + 1024;

    memset(drv.disk, 0, sizeof(drv.disk));
    memcpy(e, &GPT_TYPE_STATE, 16);
    put(e + 32, 10, 8);
    put(e + 40, 19, 8);
    e[56] = 'S';
    memcpy(h, "EFI PART", 8);
    put(h + 8, 0x10000, 4);
    put(h + 12, 92, 4);
    put(h + 24, 1, 8);
    put(h + 40, 6, 8);
    put(h + 48, 60, 8);
    put(h + 72, 2, 8);
    put(h + 80, 16, 4);
    put(h + 84, 128, 4);
    put(h + 88, crc32(e, 16 * 128), 4);
    put(h + 16, crc32(h, 92), 4);
}

// --- fixture ---

static struct fake_device functions[CONTROLLERS];
static struct pci_device devices[CONTROLLERS];

static void machine(unsigned count, uint8_t line)
{
    fake_pci_reset();
    for (unsigned i = 0; i < count; i++) {
        memset(&functions[i], 0, sizeof(functions[i]));
        functions[i].at = (struct pci_address){0, (uint8_t)(i + 1), 0};
        fake_pci_set(&functions[i], 0x00, 4, 0x12348086);
        fake_pci_set(&functions[i], 0x04, 2, 0x0407);
        fake_pci_set(&functions[i], 0x08, 4, 0x01018000);
        fake_pci_set(&functions[i], 0x3c, 2, 0x0100u | line);
        if (drv.messages) {
            fake_pci_set(&functions[i], 0x06, 2, 0x10);
            fake_pci_set(&functions[i], 0x34, 1, 0x40);
            fake_pci_set(&functions[i], 0x40, 4, 0x00000005);
        }
        fake_pci_add(&functions[i]);
    }
    assert_int_equal(pci_enumerate(devices, CONTROLLERS), count);
}

static int setup(void **state)
{
    (void)state;
    memset(&drv, 0, sizeof(drv));
    memset(vectors, 0, sizeof(vectors));
    next_vector = 0x30;
    map_status = HV_STATUS_SUCCESS;
    chunks_out = maps = 0;
    log_text[0] = '\0';
    return 0;
}

static bool master(unsigned i)
{
    return (fake_pci_get(&functions[i], 4, 2) & 4) != 0;
}

// The disks stay in the list, hence their memory until the end.
static void *kept[16];
static unsigned kept_count;

static int keep_memory(void **state)
{
    (void)state;
    for (unsigned i = 0; i < drv.count; i++) {
        kept[kept_count++] = drv.made[i];
    }
    return 0;
}

static int free_memory(void **state)
{
    (void)state;
    while (kept_count > 0) {
        free(kept[--kept_count]);
    }
    return 0;
}

// --- tests, in this order: the list of disks grows ---

static void controllers_share_a_line(void **state)
{
    (void)state;
    drv.irq = DISK_IRQ_LINE;
    machine(2, 11);
    disks_bring_up(devices, 2);
    assert_int_equal(maps, 1);
    assert_int_equal(last_map.source, 0);
    assert_int_equal(last_map.gsi, 11);
    assert_int_equal(last_map.vector, 0x30);
    vectors[0x30].fn(vectors[0x30].arg);
    assert_int_equal(drv.made[0]->interrupts, 1);
    assert_int_equal(drv.made[1]->interrupts, 1);
    assert_int_equal(drv.made[1]->enabled, 1);
    assert_int_equal(fake_pci_get(&functions[0], 4, 2) & 0x400, 0); // INTx allowed
    assert_false(drv.enabled_before_reading);
    assert_string_equal(drv.made[1]->dev.name, "disk1");
}

static void partitions_are_read_and_logged(void **state)
{
    struct block_device *part;

    (void)state;
    write_table();
    drv.irq = DISK_IRQ_EDGE;
    machine(1, 0xff);
    disks_bring_up(devices, 1);
    assert_int_equal(last_map.source, 1);
    assert_int_equal(last_map.gsi, 14);
    part = disks_find("disk2p1");
    assert_non_null(part);
    assert_int_equal(part->first, 10);
    assert_int_equal(part->sectors, 10);
    assert_non_null(strstr(log_text, "disk2: Disk, 0 MiB, test at 00:01.0\n"));
    assert_non_null(strstr(log_text, "disk2p1: S, 0 MiB\n"));
    assert_int_equal(drv.made[0]->reads, 3); // header, and four sectors in two pieces
    assert_int_equal(chunks_out, 1);         // the driver's
}

static void damage_is_logged(void **state)
{
    (void)state;
    write_table();
    drv.disk[1024 + 3] ^= 1;
    drv.irq = DISK_IRQ_EDGE;
    machine(1, 0xff);
    disks_bring_up(devices, 1);
    assert_non_null(strstr(log_text, "disk3: its partition table is damaged and so is the backup\n"));
    assert_null(disks_find("disk3p1"));
}

static void messages_come_first(void **state)
{
    (void)state;
    drv.messages = true;
    drv.irq = DISK_IRQ_MESSAGE;
    machine(1, 11);
    disks_bring_up(devices, 1);
    assert_int_equal(last_map.source, 2);
    vectors[last_map.vector].fn(vectors[last_map.vector].arg);
    assert_int_equal(drv.made[0]->interrupts, 1);
}

static void without_a_route_a_disk_is_a_failed_one(void **state)
{
    (void)state;
    drv.irq = DISK_IRQ_LINE;
    machine(1, 0xff); // firmware gave it no line
    disks_bring_up(devices, 1);
    assert_true(drv.made[0]->dev.failed);
    assert_int_equal(drv.made[0]->enabled, 0);
    assert_non_null(strstr(log_text, "cannot be used"));
    assert_int_equal(chunks_out, 1); // it may still write there
}

static void failing_and_empty_controllers_give_everything_back(void **state)
{
    (void)state;
    drv.fails = true;
    machine(1, 11);
    disks_bring_up(devices, 1);
    assert_int_equal(chunks_out, 0);
    assert_false(master(0));
    assert_non_null(strstr(log_text, "test 8086:1234 at 00:01.0 cannot be used: it says no\n"));
    drv.fails = false;
    drv.empty = true;
    machine(1, 11);
    disks_bring_up(devices, 1);
    assert_int_equal(chunks_out, 0);
    assert_false(master(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(controllers_share_a_line, setup, keep_memory),
        cmocka_unit_test_setup_teardown(partitions_are_read_and_logged, setup, keep_memory),
        cmocka_unit_test_setup_teardown(damage_is_logged, setup, keep_memory),
        cmocka_unit_test_setup_teardown(messages_come_first, setup, keep_memory),
        cmocka_unit_test_setup_teardown(without_a_route_a_disk_is_a_failed_one, setup, keep_memory),
        cmocka_unit_test_setup_teardown(failing_and_empty_controllers_give_everything_back, setup,
                                        keep_memory),
    };

    return cmocka_run_group_tests(tests, NULL, free_memory);
}
