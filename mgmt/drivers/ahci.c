// SPDX-License-Identifier: Apache-2.0
// AHCI: one command list a port, several commands outstanding, which the controller gives to the disk in turn.
//
// A port is brought up and recovered by the same steps: stop the command list, reset the link, ask the disk who it is,
// go on. After an error that is the disk's word on one command the link is left alone.
//
//   READY ──error──► STOPPING ──► READY
//     └──time-out, link──► STOPPING ──► LINK_RESET ──► LINK_WAIT ──► SPIN_UP ──► IDENTIFY ──► READY
#include "mgmt/drivers/ahci_priv.h"

#include "mgmt/plat.h"

#include <string.h>

// Port registers, 3.3.
#define PORT_IS 0x10
#define PORT_IE 0x14
#define PORT_TFD 0x20
#define PORT_SERR 0x30
#define PORT_CI 0x38
#define CMD_CURRENT(cmd) ((cmd) >> 8 & 0x1f)
#define CMD_RUNNING BIT(15)
#define TFD_BUSY (ATA_STATUS_BSY | ATA_STATUS_DRQ)
#define TFD_ERROR(tfd) ((tfd) >> 8 & 0xff)
#define DET_PRESENT 3u // and communication established

#define IS_DONE (BIT(0) | BIT(1) | BIT(2) | BIT(3)) // register, PIO setup, DMA setup, set device bits
#define IS_LINK (BIT(6) | BIT(22))                  // connection or PHY changed
#define IS_INTERFACE (BIT(26) | BIT(27) | BIT(28) | BIT(29) | BIT(4) | BIT(24))
#define IS_TASK_FILE BIT(30)
#define IS_ERROR (IS_LINK | IS_INTERFACE | IS_TASK_FILE)

// Command list and tables, 4.2.
#define HEADER_FIS_DWORDS 5u
#define HEADER_WRITE BIT(6)
#define FIS_HOST_TO_DEVICE 0x27
#define FIS_COMMAND 0x80
#define REGION_LIMIT (4u << 20)

#define STOP_LIMIT_NS 500000000ull
#define LINK_HOLD_NS 2000000ull // COMRESET for at least 1 ms (10.4.2)
#define LINK_LIMIT_NS 1000000000ull
#define SPIN_UP_LIMIT_NS 20000000000ull
#define IDENTIFY_LIMIT_NS 5000000000ull
#define POLL_NS 1000000ull

// --- commands ---

// Register FIS, host to device (Serial ATA 3.0, 10.3.4).
static void put_fis(volatile struct ahci_table *t, const struct ata_command *a)
{
    const uint8_t fis[20] = {
        FIS_HOST_TO_DEVICE,
        FIS_COMMAND,
        a->command,
        a->features,
        (uint8_t)a->lba,
        (uint8_t)(a->lba >> 8),
        (uint8_t)(a->lba >> 16),
        a->device,
        (uint8_t)(a->lba >> 24),
        (uint8_t)(a->lba >> 32),
        (uint8_t)(a->lba >> 40),
        0,
        (uint8_t)a->count,
        (uint8_t)(a->count >> 8),
    };

    for (unsigned i = 0; i < sizeof(fis); i++) {
        t->fis[i] = fis[i];
    }
}

static uint64_t table_gpa(const struct ahci_port *p, uint32_t slot)
{
    return p->mem_gpa + offsetof(struct ahci_memory, tables) + slot * sizeof(struct ahci_table);
}

static void put_region(volatile struct ahci_table *t, uint32_t n, uint64_t gpa, uint32_t length)
{
    t->regions[n].address = gpa;
    t->regions[n].reserved = 0;
    t->regions[n].length = length - 1;
}

static void put_own_region(const struct ahci_port *p, uint32_t slot)
{
    put_region(&p->mem->tables[slot], 0, table_gpa(p, slot) + offsetof(struct ahci_table, own), BLOCK_SECTOR);
}

static void issue(struct ahci_port *p, uint32_t slot, uint32_t regions, bool write)
{
    volatile struct ahci_header *h = &p->mem->list[slot];

    h->flags = HEADER_FIS_DWORDS | (write ? (uint32_t)HEADER_WRITE : 0) | regions << 16;
    h->transferred = 0;
    h->table = table_gpa(p, slot);
    __atomic_thread_fence(__ATOMIC_RELEASE); // the command before the controller is told
    p->issued |= 1u << slot;
    ahci_put(p, PORT_CI, 1u << slot);
}

static uint32_t describe_data(struct ahci_port *p, uint32_t slot, const struct block_request *r)
{
    volatile struct ahci_table *t = &p->mem->tables[slot];
    const struct block_segment *segments;
    struct block_segment storage;
    uint32_t count;

    if (r->op == BLOCK_DISCARD) {
        uint64_t ranges[64];

        ata_trim_ranges(&p->facts, r, ranges);
        for (unsigned i = 0; i < ARRAY_LEN(ranges); i++) {
            t->own[i] = ranges[i];
        }
        put_own_region(p, slot);
        return 1;
    }
    _Static_assert(BLOCK_MAX_SECTORS * BLOCK_SECTOR <= REGION_LIMIT, "a segment is one region");
    count = unit_segments(&p->unit, slot, &segments, &storage);
    for (uint32_t i = 0; i < count; i++) {
        put_region(t, i, segments[i].gpa, segments[i].length);
    }
    return count;
}

static void start_waiting(struct ahci_port *p, uint64_t now)
{
    uint32_t slot;

    while ((slot = unit_next(&p->unit, now)) != UNIT_NONE) {
        const struct block_request *r = p->unit.slots[slot];
        struct ata_command a = ata_command_for(&p->facts, r, unit_step(r));

        put_fis(&p->mem->tables[slot], &a);
        issue(p, slot, a.has_data ? describe_data(p, slot, r) : 0, a.has_data && r->op != BLOCK_READ);
    }
}

// --- trouble ---

static void want_service(struct ahci_port *p)
{
    p->dev.pending = true;
}

// The next service() ends what waits.
static void fail(struct ahci_port *p)
{
    if (p->state == AHCI_STOPPING && (ahci_get(p, PORT_CMD) & CMD_RUNNING) != 0) {
        pci_quiesce(&p->hba->pci); // the only way left to end DMA for requests; the other ports will find out
    }
    ahci_put(p, PORT_IE, 0);
    ahci_put(p, PORT_CMD, ahci_get(p, PORT_CMD) & ~(uint32_t)CMD_START);
    p->state = AHCI_FAILED;
    p->dev.failed = true;
    want_service(p);
}

static void enter(struct ahci_port *p, enum ahci_state state, uint64_t now, uint64_t poll_ns,
                  uint64_t limit_ns)
{
    p->state = state;
    p->poll_ns = now + poll_ns;
    p->limit_ns = now + limit_ns;
}

static void begin_recovery(struct ahci_port *p, enum ahci_trouble trouble, uint64_t now)
{
    p->trouble = trouble;
    p->began_ns = now;
    p->dev.counters.resets += trouble == TROUBLE_LINK;
    p->give_up = trouble == TROUBLE_LINK && !unit_strike(&p->unit);
    ahci_put(p, PORT_IE, 0);
    ahci_put(p, PORT_CMD, ahci_get(p, PORT_CMD) & ~(uint32_t)CMD_START);
    enter(p, AHCI_STOPPING, now, 0, STOP_LIMIT_NS);
    want_service(p);
}

// What the stopped command list held: the command that failed, and those that never had their turn.
static void give_back(struct ahci_port *p)
{
    p->issued = 0;
    if (p->trouble == TROUBLE_LINK) {
        unit_stopped(&p->unit, p->began_ns);
        return;
    }
    for (uint32_t i = AHCI_SLOTS; i-- > 0;) {
        if (p->unit.slots[i] != NULL && i != p->culprit) {
            unit_requeue(&p->unit, i);
        }
    }
    if (p->culprit == UNIT_NONE || p->unit.slots[p->culprit] == NULL) {
        return;
    }
    if (p->trouble == TROUBLE_COMMAND) {
        unit_finish(&p->unit, p->culprit, BLOCK_IO_ERROR);
    } else {
        unit_retry(&p->unit, p->culprit, BLOCK_IO_ERROR);
    }
}

static void open_port(struct ahci_port *p)
{
    ahci_put(p, PORT_SERR, 0xffffffff);
    ahci_put(p, PORT_IS, 0xffffffff);
    p->seen = 0;
    ahci_put(p, PORT_CMD, ahci_get(p, PORT_CMD) | CMD_START);
}

static void go_on(struct ahci_port *p)
{
    p->state = AHCI_READY;
    ahci_put(p, PORT_IE, IS_DONE | IS_ERROR);
}

void ahci_reset_link(struct ahci_port *p, uint64_t now)
{
    ahci_put(p, PORT_SCTL, SCTL_RESET);
    enter(p, AHCI_LINK_RESET, now, LINK_HOLD_NS, 0);
}

static void stopped(struct ahci_port *p, uint64_t now)
{
    give_back(p);
    if (p->give_up) {
        fail(p);
    } else if (p->trouble == TROUBLE_LINK || (ahci_get(p, PORT_TFD) & TFD_BUSY) != 0 ||
               SSTS_DET(ahci_get(p, PORT_SSTS)) != DET_PRESENT) {
        ahci_reset_link(p, now);
    } else {
        open_port(p);
        go_on(p);
    }
}

static void ask_identity(struct ahci_port *p, uint64_t now)
{
    const struct ata_command a = {.command = ATA_IDENTIFY_DEVICE, .has_data = true};

    open_port(p);
    put_fis(&p->mem->tables[0], &a);
    put_own_region(p, 0);
    issue(p, 0, 1, false);
    enter(p, AHCI_IDENTIFY, now, POLL_NS, IDENTIFY_LIMIT_NS);
}

// The disk has said who it is. Another one than before must not get what was meant for that.
static void take_identity(struct ahci_port *p)
{
    struct block_device found = {0};
    struct ata_facts facts;
    uint8_t identity[ATA_IDENTIFY_SIZE];
    const char *why;

    p->issued = 0;
    for (unsigned i = 0; i < sizeof(identity); i++) {
        identity[i] = ((volatile uint8_t *)p->mem->tables[0].own)[i];
    }
    if (!ata_identify(identity, &facts, &found, &why)) {
        fail(p);
        return;
    }
    if (!p->identified) {
        p->facts = facts;
        found.counters = p->dev.counters;
        p->dev = found;
        p->unit.native_fua = facts.fua;
        p->identified = true;
    } else if (memcmp(found.serial, p->dev.serial, sizeof(found.serial)) != 0 ||
               memcmp(found.model, p->dev.model, sizeof(found.model)) != 0 ||
               found.sectors != p->dev.sectors) {
        fail(p);
        return;
    }
    go_on(p);
}

// --- recovery, a step at a time ---

static bool step_done(struct ahci_port *p)
{
    switch (p->state) {
    case AHCI_STOPPING:
        return (ahci_get(p, PORT_CMD) & CMD_RUNNING) == 0;
    case AHCI_LINK_RESET:
        return true;
    case AHCI_LINK_WAIT:
        return SSTS_DET(ahci_get(p, PORT_SSTS)) == DET_PRESENT;
    case AHCI_SPIN_UP:
        return (ahci_get(p, PORT_TFD) & TFD_BUSY) == 0;
    case AHCI_IDENTIFY:
        return (ahci_get(p, PORT_CI) & 1) == 0;
    default:
        return false;
    }
}

static void next_step(struct ahci_port *p, uint64_t now)
{
    switch (p->state) {
    case AHCI_STOPPING:
        stopped(p, now);
        break;
    case AHCI_LINK_RESET:
        ahci_put(p, PORT_SCTL, SCTL_RUN);
        enter(p, AHCI_LINK_WAIT, now, POLL_NS, LINK_LIMIT_NS);
        break;
    case AHCI_LINK_WAIT:
        ahci_put(p, PORT_SERR, 0xffffffff); // the task file is updated only then
        enter(p, AHCI_SPIN_UP, now, POLL_NS, SPIN_UP_LIMIT_NS);
        break;
    case AHCI_SPIN_UP:
        ask_identity(p, now);
        break;
    case AHCI_IDENTIFY:
        take_identity(p);
        break;
    default:
        break;
    }
}

void ahci_step(struct ahci_port *p, uint64_t now)
{
    if (now < p->poll_ns) {
        return;
    }
    if (p->state == AHCI_IDENTIFY && (ahci_get(p, PORT_IS) & (IS_INTERFACE | IS_TASK_FILE)) != 0) {
        fail(p);
    } else if (step_done(p)) {
        next_step(p, now);
    } else if (now >= p->limit_ns) {
        fail(p);
    } else {
        p->poll_ns = now + POLL_NS;
    }
}

// --- answers ---

static void acknowledge(struct ahci_port *p)
{
    uint32_t is = ahci_get(p, PORT_IS);

    if ((is & IS_LINK) != 0) {
        ahci_put(p, PORT_SERR, 0xffffffff); // their cause (3.3.5)
    }
    ahci_put(p, PORT_IS, is);
    p->seen |= is;
}

static void collect(struct ahci_port *p)
{
    uint32_t done = p->issued & ~ahci_get(p, PORT_CI);

    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    p->issued &= ~done;
    for (uint32_t i = 0; i < AHCI_SLOTS; i++) {
        if ((done & 1u << i) != 0 && p->unit.slots[i] != NULL) {
            unit_finish(&p->unit, i, BLOCK_OK);
        }
    }
}

static void look_at_errors(struct ahci_port *p, uint32_t seen, uint64_t now)
{
    uint32_t current = CMD_CURRENT(ahci_get(p, PORT_CMD));
    bool damaged = (TFD_ERROR(ahci_get(p, PORT_TFD)) & ATA_ERROR_ICRC) != 0;

    if ((seen & IS_LINK) != 0) {
        begin_recovery(p, TROUBLE_LINK, now);
        return;
    }
    // Commands run in turn, so the current one failed; a controller that names another is not believed.
    p->culprit = current < AHCI_SLOTS && (p->issued & 1u << current) != 0 ? current : UNIT_NONE;
    begin_recovery(p, (seen & IS_INTERFACE) != 0 || damaged ? TROUBLE_INTERFACE : TROUBLE_COMMAND, now);
    if (p->culprit == UNIT_NONE && p->issued != 0) {
        p->trouble = TROUBLE_LINK; // nobody to blame: everything once more
    }
}

static void serve_ready(struct ahci_port *p, uint64_t now)
{
    uint32_t seen;

    acknowledge(p);
    seen = p->seen;
    p->seen = 0;
    if ((seen & IS_ERROR) != 0) {
        // The list stops at an error: what it has dropped by now was done before.
        collect(p);
        look_at_errors(p, seen, now);
        return;
    }
    collect(p);
    if (unit_expired(&p->unit, now)) {
        begin_recovery(p, TROUBLE_LINK, now);
    }
}

// --- from the data plane ---

static struct ahci_port *port_of(struct block_device *dev)
{
    return CONTAINER_OF(dev, struct ahci_port, dev);
}

static bool service(struct block_device *dev)
{
    struct ahci_port *p = port_of(dev);
    uint64_t now = plat_now_ns();

    if (p->state == AHCI_READY) {
        serve_ready(p, now);
    }
    if (p->state != AHCI_READY && p->state != AHCI_FAILED) {
        ahci_step(p, now);
    }
    if (p->state == AHCI_READY) {
        start_waiting(p, now);
    }
    if (p->state == AHCI_FAILED) {
        unit_gone(&p->unit);
    }
    return false;
}

static void submit(struct block_device *dev, struct block_request *request)
{
    struct ahci_port *p = port_of(dev);

    block_queue_push(&p->unit.waiting, request);
    if (p->state == AHCI_READY) {
        start_waiting(p, plat_now_ns());
    }
}

static uint64_t deadline(const struct block_device *dev)
{
    const struct ahci_port *p = CONTAINER_OF(dev, const struct ahci_port, dev);

    switch (p->state) {
    case AHCI_READY:
        return unit_deadline(&p->unit);
    case AHCI_FAILED:
        return UINT64_MAX;
    default:
        return p->poll_ns;
    }
}

void ahci_interrupt(void *arg)
{
    struct ahci *a = arg;
    uint32_t is = mmio_read32(a->regs, HBA_IS);

    for (uint32_t i = 0; i < a->count; i++) {
        if ((is & 1u << a->ports[i].number) != 0) {
            acknowledge(&a->ports[i]);
            want_service(&a->ports[i]);
        }
    }
    mmio_write32(a->regs, HBA_IS, is); // after the ports' own (5.6.2)
}

void ahci_enable(void *arg)
{
    struct ahci *a = arg;

    mmio_write32(a->regs, HBA_GHC, mmio_read32(a->regs, HBA_GHC) | (uint32_t)GHC_INTERRUPTS);
}

const struct block_ops ahci_ops = {
    .name = "ahci", .submit = submit, .service = service, .deadline = deadline};
