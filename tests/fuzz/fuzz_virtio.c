// srcs: mgmt/devices/vm.c mgmt/devices/bus.c mgmt/devices/vpci.c mgmt/devices/virtq.c mgmt/devices/virtio.c mgmt/devices/vblk.c mgmt/devices/vrng.c mgmt/devices/vcon.c mgmt/devices/vnet.c mgmt/block/block.c mgmt/devices/guest_mem.c mgmt/devices/ioapic.c mgmt/devices/uart16550.c mgmt/devices/rtc.c mgmt/devices/power.c mgmt/devices/vcpu.c mgmt/devices/walk.c mgmt/devices/io_intercept.c mgmt/devices/mmio_intercept.c mgmt/devices/exec_insn.c mgmt/devices/full_insn.c mgmt/devices/alu.c arch/x86/decode.c tests/unit/fake_hvif.c mgmt/block/ram_disk.c mgmt/block/mapped_disk.c tests/unit/fake_driver.c
// libs: zydis
// SPDX-License-Identifier: Apache-2.0
// A hostile guest with PCI devices: accesses to configuration space, ports, BARs and tables of its choice, and rings
// full of what the input says, under all four device types; one disk is memory, one is mapped by a control plane that
// answers when the input says so. The input is a list of steps.
#include <stdlib.h>
#include <string.h>

#include "mgmt/block/mapped_disk.h"
#include "mgmt/block/ram_disk.h"
#include "mgmt/rt/wake.h"
#include "tests/unit/fake_driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECTORS 256u
#define POOL_PAGES 8 // of the guest's memory that steps write

struct step {
    uint8_t kind, slot, queue, size;
    uint16_t offset;
    uint16_t extra;
    uint64_t value;
} __attribute__((packed));

static const uint8_t slots[] = {MACHINE_SLOT_DISK, MACHINE_SLOT_NIC,      MACHINE_SLOT_CONSOLE,
                                MACHINE_SLOT_RNG,  MACHINE_SLOT_DISK + 1, 0};
static struct fake_guest g;
static struct ram_disk disk;
static struct driver drivers[ARRAY_LEN(slots)];
static uint8_t medium[SECTORS * 512];

// --- the mapped disk: its grains lie in place, those of a base behind them ---

#define MAPPED_SECTORS (2 * MAPPED_LINE_SECTORS + 300)
#define GRAINS (3 * MAPPED_LINE_GRAINS)

struct wake wake_data, wake_control;
static struct mapped_disk mapped;
static struct map_line lines[3];
static struct ram_disk under;
static uint8_t under_medium[2 * GRAINS * MAPPED_GRAIN_SECTORS * 512];
static bool owned[GRAINS];
static unsigned writes;

void wake(struct wake *w)
{
    (void)w;
}

void plat_wake(void)
{
}

static void fill_line(uint64_t slot, struct map_line *line)
{
    *line = (struct map_line){.slot = slot, .valid = true};
    for (uint32_t i = 0; i < MAPPED_LINE_GRAINS; i++) {
        uint32_t grain = (uint32_t)slot * MAPPED_LINE_GRAINS + i;

        line->owned |= (uint16_t)(owned[grain] << i);
        line->data |= (uint16_t)((owned[grain] || grain % 3 == 0) << i);
        line->place[i] = owned[grain] ? grain : GRAINS + grain;
    }
}

static void set_owned(const struct map_call *call, bool value)
{
    for (uint64_t at = call->sector; at < call->sector + call->sectors; at++) {
        if (value ||
            (at % MAPPED_GRAIN_SECTORS == 0 && at + MAPPED_GRAIN_SECTORS <= call->sector + call->sectors)) {
            owned[at / MAPPED_GRAIN_SECTORS] = value;
        }
    }
}

static void answer(struct map_call *call)
{
    uint64_t slot = call->sector / MAPPED_LINE_SECTORS;

    call->status = BLOCK_OK;
    call->line_count = 0;
    if (call->op == MAP_WRITE && ++writes % 5 == 0) {
        call->status = BLOCK_NO_SPACE;
    } else if (call->op == MAP_WRITE) {
        block_copy(call->request, under_medium + call->sector * 512, true);
        set_owned(call, true);
    } else if (call->op == MAP_DISCARD) {
        set_owned(call, false);
    }
    while (call->sectors > 0 && call->op != MAP_DISCARD && call->line_count < 2 &&
           slot <= (call->sector + call->sectors - 1) / MAPPED_LINE_SECTORS) {
        fill_line(slot++, &call->lines[call->line_count++]);
    }
    mapped_disk_answer(call);
}

// One turn of the other plane, of the medium, and of the guest's devices. False: all are at rest.
static bool turn(void)
{
    struct map_call *call = mapped_disk_calls();
    bool any = call != NULL || under.device.pending || g.vm.work_queued;

    while (call != NULL) {
        struct map_call *next = call->next;

        answer(call);
        call = next;
    }
    mapped_disk_serve();
    if (under.device.pending) {
        (void)block_service(&under.device);
    }
    driver_let_work(&g);
    return any;
}

static uint8_t width(const struct step *s)
{
    return (uint8_t)(1u << (s->size & 3));
}

// Registers of the transport, by number or by address.
static void touch_bar(const struct step *s)
{
    struct driver *d = &drivers[s->slot % (ARRAY_LEN(slots) - 1)];
    uint32_t offset = s->offset % VIRTIO_BAR_SIZE;

    if (s->extra & 1) {
        (void)driver_read(d, offset, width(s));
    } else {
        driver_write(d, offset, width(s), s->value);
    }
}

static void touch_config(const struct step *s)
{
    uint8_t slot = slots[s->slot % ARRAY_LEN(slots)];

    if (s->extra & 1) {
        (void)driver_config_read(&g, slot, s->offset & 0xfff, width(s));
    } else if ((s->offset & 0xfff) != 0x10 ||
               (s->extra & 0x100)) { // seldom: a BAR that is gone hides the rest
        driver_config_write(&g, slot, s->offset & 0xfff, width(s), (uint32_t)s->value);
    }
}

static void touch_port(const struct step *s)
{
    uint16_t port = (uint16_t)(0xcf8 + (s->offset & 7));

    if (port == 0xcf9) {
        return;
    }
    if (s->extra & 1) {
        (void)fake_in(&g, port, (uint8_t)MIN(width(s), 4));
    } else {
        fake_out(&g, port, (uint8_t)MIN(width(s), 4), (uint32_t)s->value);
    }
}

static void start_device(const struct step *s)
{
    driver_start(&drivers[s->slot % (ARRAY_LEN(slots) - 1)], &g, slots[s->slot % (ARRAY_LEN(slots) - 1)],
                 s->value);
}

// A descriptor whose address is mostly good.
static void write_descriptor(const struct step *s)
{
    struct driver *d = &drivers[s->slot % (ARRAY_LEN(slots) - 1)];
    uint64_t gpa = s->size & 0x80 ? s->value : DRIVER_BUFFERS + (s->value & (POOL_PAGES * PAGE_SIZE - 1));

    if (d->queue[s->queue & 1].descriptors != 0) {
        driver_descriptor(d, s->queue & 1, s->offset % DRIVER_QUEUE_SIZE, gpa, (uint32_t)(s->value >> 40),
                          s->extra & 7, (s->extra >> 8) % (DRIVER_QUEUE_SIZE + 1));
    }
}

static void make_available(const struct step *s)
{
    struct driver *d = &drivers[s->slot % (ARRAY_LEN(slots) - 1)];

    if (d->queue[s->queue & 1].descriptors != 0) {
        driver_make_available(d, s->queue & 1, s->offset % (DRIVER_QUEUE_SIZE + 1));
        if (s->extra & 1) {
            driver_kick(d, s->queue & 1);
        }
    }
}

// Rings and buffers as bytes.
static void poke(const struct step *s)
{
    uint64_t base = s->extra & 1 ? DRIVER_RINGS : DRIVER_BUFFERS;

    memcpy(g.vm.ram + base + s->offset % (POOL_PAGES * PAGE_SIZE - 8), &s->value, 8);
}

static void other_plane(const struct step *s)
{
    uint8_t frame[2000] = {0};
    struct switch_frame f = {.pieces = {{frame, 14}, {frame, s->extra % 1900}}, .piece_count = 2};
    void *user;
    const struct switch_port_user *ops = vm_nic_user(&g.vm, 0, &user);
    uint8_t byte;

    switch (s->offset & 3) {
    case 0:
        while (spsc_pop(&g.vm.com[DP_CONSOLE_VIRTIO].tx, &byte)) {
        }
        (void)spsc_push(&g.vm.com[DP_CONSOLE_VIRTIO].rx, &s->size);
        vm_console_changed(&g.vm);
        break;
    case 1:
        (void)spsc_push(&g.vm.entropy, &s->size);
        vm_entropy_filled(&g.vm);
        break;
    case 2:
        f.length = 14 + f.pieces[1].length;
        (void)ops->deliver(user, &f);
        ops->flush(user);
        break;
    default:
        fake.now_ns += s->value & 0xffffff;
        vm_run_timers(&g.vm, fake.now_ns);
        break;
    }
}

static void run_step(const struct step *s)
{
    static void (*const kinds[])(const struct step *) = {
        touch_bar,        touch_config,   touch_port, start_device,
        write_descriptor, make_available, poke,       other_plane,
    };

    kinds[s->kind % ARRAY_LEN(kinds)](s);
    if (s->kind & 0x80) {
        driver_let_work(&g);
    }
    if (s->kind & 0x40) {
        (void)turn();
    }
}

static void make_guest(void)
{
    static const uint8_t mac[6] = {2};

    fake_guest_init(&g, 256);
    fake_guest_add_console(&g);
    fake_guest_add_nic(&g, (struct switch_port *)&disk, mac);
    fake_guest_add_disk(&g, &disk.device);
    fake_guest_add_disk(&g, &mapped.device);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct step step;

    fake_reset();
    ram_disk_init(&disk, medium, SECTORS, false, "fuzz");
    ram_disk_init(&under, under_medium, sizeof(under_medium) / 512, false, "under");
    mapped_disk_init(&mapped, &under.device, lines, MAPPED_SECTORS, false, "mapped");
    mapped.line_count = 2; // too few
    memset(owned, 0, sizeof(owned));
    if (g.vm.ram == NULL) {
        make_guest();
    }
    memset(g.vm.ram + DRIVER_RINGS, 0, DRIVER_BUFFERS - DRIVER_RINGS + POOL_PAGES * PAGE_SIZE);
    g.vm.work_queued = false;
    vm_devices_init(&g.vm);
    for (size_t i = 0; i + 1 < ARRAY_LEN(slots); i++) {
        driver_start(&drivers[i], &g, slots[i], 0);
        driver_start(&drivers[i], &g, slots[i], drivers[i].offered); // everything that there is
    }
    for (; size >= sizeof(step); data += sizeof(step), size -= sizeof(step)) {
        memcpy(&step, data, sizeof(step));
        run_step(&step);
    }
    while (turn()) {
    }
    if (!vm_quiesce(&g.vm) || mapped.begun != 0 || mapped.parts_free != MAPPED_PARTS) {
        abort(); // nothing is in flight when all are at rest
    }
    return 0;
}
