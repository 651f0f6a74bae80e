// SPDX-License-Identifier: Apache-2.0
// AHCI: one command list a port, several commands outstanding, which the controller gives to the disk in turn.
//
// A port is brought up and recovered by the same steps: stop the command list, reset the link, ask the disk who it is,
// go on. After an error that is the disk's word on one command the link is left alone.
//
//   READY ──error──► STOPPING ──► READY
//     └──time-out, link──► STOPPING ──► LINK_RESET ──► LINK_WAIT ──► SPIN_UP ──► IDENTIFY ──► READY
#include "mgmt/drivers/ahci.h"

#include "mgmt/drivers/ata.h"
#include "mgmt/drivers/disk_unit.h"
#include "mgmt/plat.h"

#include <string.h>

// Generic host control, 3.1.
#define HBA_CAP 0x00
#define HBA_GHC 0x04
#define HBA_IS 0x08
#define HBA_PI 0x0c
#define HBA_CAP2 0x24
#define HBA_BOHC 0x28
#define CAP_SLOTS(cap) (((cap) >> 8 & 0x1f) + 1)
#define CAP_64BIT BIT(31)
#define GHC_AHCI BIT(31)
#define GHC_INTERRUPTS BIT(1)
#define GHC_RESET BIT(0)
#define CAP2_HANDOFF BIT(0)
#define BOHC_FIRMWARE BIT(0)
#define BOHC_OURS BIT(1)
#define BOHC_BUSY BIT(4)

// Port registers, 3.3.
#define PORTS 32u
#define PORT(n) (0x100u + 0x80u * (n))
#define PORT_LIST 0x00
#define PORT_FIS 0x08
#define PORT_IS 0x10
#define PORT_IE 0x14
#define PORT_CMD 0x18
#define PORT_TFD 0x20
#define PORT_SSTS 0x28
#define PORT_SCTL 0x2c
#define PORT_SERR 0x30
#define PORT_CI 0x38
#define CMD_START BIT(0)
#define CMD_SPIN_UP BIT(1)
#define CMD_POWER BIT(2)
#define CMD_FIS_ENABLE BIT(4)
#define CMD_CURRENT(cmd) ((cmd) >> 8 & 0x1f)
#define CMD_FIS_RUNNING BIT(14)
#define CMD_RUNNING BIT(15)
#define CMD_ACTIVE (1u << 28) // interface communication control: wake up
#define TFD_BUSY (ATA_STATUS_BSY | ATA_STATUS_DRQ)
#define TFD_ERROR(tfd) ((tfd) >> 8 & 0xff)
#define SSTS_DET(ssts) ((ssts)&0xf)
#define DET_PRESENT 3u // and communication established
#define SCTL_RESET 0x301u
#define SCTL_RUN 0x300u // no partial or slumber states

#define IS_DONE (BIT(0) | BIT(1) | BIT(2) | BIT(3)) // register, PIO setup, DMA setup, set device bits
#define IS_LINK (BIT(6) | BIT(22))                  // connection or PHY changed
#define IS_INTERFACE (BIT(26) | BIT(27) | BIT(28) | BIT(29) | BIT(4) | BIT(24))
#define IS_TASK_FILE BIT(30)
#define IS_ERROR (IS_LINK | IS_INTERFACE | IS_TASK_FILE)

// Command list and tables, 4.2.
#define SLOTS 8u
#define HEADER_FIS_DWORDS 5u
#define HEADER_WRITE BIT(6)
#define FIS_HOST_TO_DEVICE 0x27
#define FIS_COMMAND 0x80
#define REGION_LIMIT (4u << 20)

struct header {
    uint32_t flags; // and number of regions above bit 16
    uint32_t transferred;
    uint64_t table;
    uint32_t reserved[4];
};
_Static_assert(sizeof(struct header) == 32, "AHCI Command Header");
struct region {
    uint64_t address;
    uint32_t reserved;
    uint32_t length; // - 1
};
_Static_assert(sizeof(struct region) == 16, "AHCI Physical Region Descriptor");
struct table {
    uint8_t fis[64];
    uint8_t atapi[16];
    uint8_t reserved[48];
    struct region regions[BLOCK_MAX_SEGMENTS];
    uint64_t own[64]; // ranges of a discard, identity
    uint8_t pad[128];
};
_Static_assert(sizeof(struct table) == 0x700 && offsetof(struct table, regions) == 0x80,
               "AHCI Command Table");
struct port_memory {
    struct header list[32];
    uint8_t received[1024]; // 256 used
    struct table tables[SLOTS];
};
_Static_assert(sizeof(struct port_memory) == 0x4000, "layout of the memory");

#define PORT_MEMORY_OFFSET 0x10000u
#define BOUNCE_OFFSET 0x80000u // for controllers that address 32 bits, one a port
#define BOUNCE_SECTORS 128u
#define REACH_32 (1ull << 32)

#define STOP_LIMIT_NS 500000000ull
#define LINK_HOLD_NS 2000000ull // COMRESET for at least 1 ms (10.4.2)
#define LINK_LIMIT_NS 1000000000ull
#define LINK_PROBE_NS 30000000ull // at boot: an empty port is decided after this
#define SPIN_UP_LIMIT_NS 20000000000ull
#define IDENTIFY_LIMIT_NS 5000000000ull
#define POLL_NS 1000000ull
#define PROBE_STEP_US 20u
#define HBA_RESET_TRIES 50000u // of 20 us: 1 s (10.4.3)
#define HANDOFF_TRIES 100000u  // 2 s (10.6.3)

enum state { READY, STOPPING, LINK_RESET, LINK_WAIT, SPIN_UP, IDENTIFY, FAILED };
enum trouble { TROUBLE_COMMAND, TROUBLE_INTERFACE, TROUBLE_LINK };

struct ahci;
struct ahci_port {
    struct block_device dev;
    struct disk_unit unit;
    struct ata_facts facts;
    struct ahci *hba;
    mmio_t regs;
    unsigned number;
    volatile struct port_memory *mem;
    uint64_t mem_gpa;
    uint32_t issued; // slots given to the controller
    uint32_t seen;   // interrupt status since the last service
    bool identified; // once; later identities must be the same
    enum state state;
    enum trouble trouble;
    uint32_t culprit; // slot that TROUBLE_COMMAND or _INTERFACE is about; UNIT_NONE
    uint64_t began_ns, poll_ns, limit_ns, link_limit_ns;
};

struct ahci {
    mmio_t regs;
    struct pci_device pci;
    struct ahci_port ports[DISK_PER_CONTROLLER];
    uint32_t count;
};
_Static_assert(sizeof(struct ahci) <= PORT_MEMORY_OFFSET, "layout of the memory");

static uint32_t get(const struct ahci_port *p, uint32_t reg)
{
    return mmio_read32(p->regs, reg);
}

static void put(const struct ahci_port *p, uint32_t reg, uint64_t value)
{
    mmio_write32(p->regs, reg, (uint32_t)value);
}

// --- commands ---

// Register FIS, host to device (Serial ATA 3.0, 10.3.4).
static void put_fis(volatile struct table *t, const struct ata_command *a)
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
    return p->mem_gpa + offsetof(struct port_memory, tables) + slot * sizeof(struct table);
}

static void put_region(volatile struct table *t, uint32_t n, uint64_t gpa, uint32_t length)
{
    t->regions[n].address = gpa;
    t->regions[n].reserved = 0;
    t->regions[n].length = length - 1;
}

static void put_own_region(const struct ahci_port *p, uint32_t slot)
{
    put_region(&p->mem->tables[slot], 0, table_gpa(p, slot) + offsetof(struct table, own), BLOCK_SECTOR);
}

static void issue(struct ahci_port *p, uint32_t slot, uint32_t regions, bool write)
{
    volatile struct header *h = &p->mem->list[slot];

    h->flags = HEADER_FIS_DWORDS | (write ? (uint32_t)HEADER_WRITE : 0) | regions << 16;
    h->transferred = 0;
    h->table = table_gpa(p, slot);
    __atomic_thread_fence(__ATOMIC_RELEASE); // the command before the controller is told
    p->issued |= 1u << slot;
    put(p, PORT_CI, 1u << slot);
}

static uint32_t describe_data(struct ahci_port *p, uint32_t slot, const struct block_request *r)
{
    volatile struct table *t = &p->mem->tables[slot];
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
    if ((get(p, PORT_CMD) & CMD_RUNNING) != 0 && p->identified) {
        pci_quiesce(&p->hba->pci); // the only way left to end its DMA; the other ports will find out
    }
    put(p, PORT_IE, 0);
    p->state = FAILED;
    p->dev.failed = true;
    want_service(p);
}

static void enter(struct ahci_port *p, enum state state, uint64_t now, uint64_t poll_ns, uint64_t limit_ns)
{
    p->state = state;
    p->poll_ns = now + poll_ns;
    p->limit_ns = now + limit_ns;
}

static void begin_recovery(struct ahci_port *p, enum trouble trouble, uint64_t now)
{
    p->trouble = trouble;
    p->began_ns = now;
    p->dev.counters.resets += trouble == TROUBLE_LINK;
    if (trouble == TROUBLE_LINK && !unit_strike(&p->unit)) {
        fail(p);
        return;
    }
    put(p, PORT_IE, 0);
    put(p, PORT_CMD, get(p, PORT_CMD) & ~(uint32_t)CMD_START);
    enter(p, STOPPING, now, 0, STOP_LIMIT_NS);
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
    for (uint32_t i = SLOTS; i-- > 0;) {
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
    put(p, PORT_SERR, 0xffffffff);
    put(p, PORT_IS, 0xffffffff);
    p->seen = 0;
    put(p, PORT_CMD, get(p, PORT_CMD) | CMD_START);
}

static void go_on(struct ahci_port *p)
{
    p->state = READY;
    put(p, PORT_IE, IS_DONE | IS_ERROR);
}

static void reset_link(struct ahci_port *p, uint64_t now)
{
    put(p, PORT_SCTL, SCTL_RESET);
    enter(p, LINK_RESET, now, LINK_HOLD_NS, 0);
}

static void stopped(struct ahci_port *p, uint64_t now)
{
    give_back(p);
    if (p->trouble == TROUBLE_LINK || (get(p, PORT_TFD) & TFD_BUSY) != 0 ||
        SSTS_DET(get(p, PORT_SSTS)) != DET_PRESENT) {
        reset_link(p, now);
        return;
    }
    open_port(p);
    go_on(p);
}

static void ask_identity(struct ahci_port *p, uint64_t now)
{
    const struct ata_command a = {.command = ATA_IDENTIFY_DEVICE, .has_data = true};

    open_port(p);
    put_fis(&p->mem->tables[0], &a);
    put_own_region(p, 0);
    issue(p, 0, 1, false);
    enter(p, IDENTIFY, now, POLL_NS, IDENTIFY_LIMIT_NS);
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
    case STOPPING:
        return (get(p, PORT_CMD) & CMD_RUNNING) == 0;
    case LINK_RESET:
        return true;
    case LINK_WAIT:
        return SSTS_DET(get(p, PORT_SSTS)) == DET_PRESENT;
    case SPIN_UP:
        return (get(p, PORT_TFD) & TFD_BUSY) == 0;
    case IDENTIFY:
        return (get(p, PORT_CI) & 1) == 0;
    default:
        return false;
    }
}

static void next_step(struct ahci_port *p, uint64_t now)
{
    switch (p->state) {
    case STOPPING:
        stopped(p, now);
        break;
    case LINK_RESET:
        put(p, PORT_SCTL, SCTL_RUN);
        enter(p, LINK_WAIT, now, POLL_NS, p->link_limit_ns);
        break;
    case LINK_WAIT:
        put(p, PORT_SERR, 0xffffffff); // the task file is updated only then
        enter(p, SPIN_UP, now, POLL_NS, SPIN_UP_LIMIT_NS);
        break;
    case SPIN_UP:
        ask_identity(p, now);
        break;
    case IDENTIFY:
        take_identity(p);
        break;
    default:
        break;
    }
}

static void step(struct ahci_port *p, uint64_t now)
{
    if (now < p->poll_ns) {
        return;
    }
    if (p->state == IDENTIFY && (get(p, PORT_IS) & (IS_INTERFACE | IS_TASK_FILE)) != 0) {
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
    uint32_t is = get(p, PORT_IS);

    if ((is & IS_LINK) != 0) {
        put(p, PORT_SERR, 0xffffffff); // their cause (3.3.5)
    }
    put(p, PORT_IS, is);
    p->seen |= is;
}

static void collect(struct ahci_port *p)
{
    uint32_t done = p->issued & ~get(p, PORT_CI);

    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    p->issued &= ~done;
    for (uint32_t i = 0; i < SLOTS; i++) {
        if ((done & 1u << i) != 0 && p->unit.slots[i] != NULL) {
            unit_finish(&p->unit, i, BLOCK_OK);
        }
    }
}

static void look_at_errors(struct ahci_port *p, uint32_t seen, uint64_t now)
{
    uint32_t current = CMD_CURRENT(get(p, PORT_CMD));
    bool damaged = (TFD_ERROR(get(p, PORT_TFD)) & ATA_ERROR_ICRC) != 0;

    if ((seen & IS_LINK) != 0) {
        begin_recovery(p, TROUBLE_LINK, now);
        return;
    }
    // Commands run in turn, so the current one failed; a controller that names another is not believed.
    p->culprit = current < SLOTS && (p->issued & 1u << current) != 0 ? current : UNIT_NONE;
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

    if (p->state == READY) {
        serve_ready(p, now);
    }
    if (p->state != READY && p->state != FAILED) {
        step(p, now);
    }
    if (p->state == READY) {
        start_waiting(p, now);
    }
    if (p->state == FAILED) {
        unit_gone(&p->unit);
    }
    return false;
}

static void submit(struct block_device *dev, struct block_request *request)
{
    struct ahci_port *p = port_of(dev);

    block_queue_push(&p->unit.waiting, request);
    if (p->state == READY) {
        start_waiting(p, plat_now_ns());
    }
}

static uint64_t deadline(const struct block_device *dev)
{
    const struct ahci_port *p = CONTAINER_OF(dev, const struct ahci_port, dev);

    switch (p->state) {
    case READY:
        return unit_deadline(&p->unit);
    case FAILED:
        return UINT64_MAX;
    default:
        return p->poll_ns;
    }
}

static void interrupt(void *arg)
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

static void enable(void *arg)
{
    struct ahci *a = arg;

    mmio_write32(a->regs, HBA_GHC, mmio_read32(a->regs, HBA_GHC) | (uint32_t)GHC_INTERRUPTS);
}

static const struct block_ops ops = {
    .name = "ahci", .submit = submit, .service = service, .deadline = deadline};

// --- start ---

static void take_from_firmware(struct ahci *a)
{
    if ((mmio_read32(a->regs, HBA_CAP2) & CAP2_HANDOFF) == 0) {
        return;
    }
    mmio_write32(a->regs, HBA_BOHC, mmio_read32(a->regs, HBA_BOHC) | (uint32_t)BOHC_OURS);
    for (unsigned i = 0; i < HANDOFF_TRIES; i++) {
        if ((mmio_read32(a->regs, HBA_BOHC) & (BOHC_FIRMWARE | BOHC_BUSY)) == 0) {
            return;
        }
        mmio_delay_us(PROBE_STEP_US);
    }
}

static bool reset_hba(struct ahci *a)
{
    mmio_write32(a->regs, HBA_GHC, (uint32_t)GHC_AHCI);
    mmio_write32(a->regs, HBA_GHC, (uint32_t)(GHC_AHCI | GHC_RESET));
    for (unsigned i = 0; i < HBA_RESET_TRIES; i++) {
        mmio_delay_us(PROBE_STEP_US);
        if ((mmio_read32(a->regs, HBA_GHC) & GHC_RESET) == 0) {
            mmio_write32(a->regs, HBA_GHC, (uint32_t)GHC_AHCI);
            return true;
        }
    }
    return false;
}

static void lay_out(struct ahci_port *p, struct disk_memory m, uint32_t index, uint32_t slots, bool wide)
{
    unit_init(&p->unit, MIN(slots, SLOTS));
    p->mem = (volatile struct port_memory *)(m.va + PORT_MEMORY_OFFSET + index * sizeof(struct port_memory));
    p->mem_gpa = m.gpa + PORT_MEMORY_OFFSET + index * sizeof(struct port_memory);
    if (!wide) {
        p->unit.bounce = m.va + BOUNCE_OFFSET + (size_t)index * BOUNCE_SECTORS * BLOCK_SECTOR;
        p->unit.bounce_gpa = m.gpa + BOUNCE_OFFSET + (uint64_t)index * BOUNCE_SECTORS * BLOCK_SECTOR;
        p->unit.reach = REACH_32;
    }
}

static void set_addresses(const struct ahci_port *p, bool wide)
{
    const uint64_t list = p->mem_gpa, received = p->mem_gpa + offsetof(struct port_memory, received);

    put(p, PORT_LIST, list);
    put(p, PORT_FIS, received);
    if (wide) {
        put(p, PORT_LIST + 4, list >> 32);
        put(p, PORT_FIS + 4, received >> 32);
    }
    put(p, PORT_CMD, CMD_FIS_ENABLE | CMD_SPIN_UP | CMD_POWER | CMD_ACTIVE);
}

// Brings a port up; false: there is no disk, and the port is silent again.
static bool probe_port(struct ahci_port *p, bool wide)
{
    set_addresses(p, wide);
    p->link_limit_ns = LINK_PROBE_NS;
    reset_link(p, plat_now_ns());
    while (p->state != READY && p->state != FAILED) {
        mmio_delay_us(PROBE_STEP_US);
        step(p, plat_now_ns());
    }
    if (p->state == FAILED) {
        put(p, PORT_CMD, get(p, PORT_CMD) & ~(uint32_t)(CMD_START | CMD_FIS_ENABLE));
        return false;
    }
    p->link_limit_ns = LINK_LIMIT_NS;
    p->dev.ops = &ops;
    p->dev.max_segments = BLOCK_MAX_SEGMENTS;
    p->dev.max_sectors = wide ? p->dev.max_sectors : MIN(p->dev.max_sectors, BOUNCE_SECTORS);
    return true;
}

static void probe_ports(struct ahci *a, struct disk_memory memory, struct disk_controller *out)
{
    uint32_t cap = mmio_read32(a->regs, HBA_CAP), implemented = mmio_read32(a->regs, HBA_PI);
    bool wide = (cap & CAP_64BIT) != 0;

    for (unsigned n = 0; n < PORTS && a->count < DISK_PER_CONTROLLER; n++) {
        struct ahci_port *p = &a->ports[a->count];

        if ((implemented & 1u << n) == 0) {
            continue;
        }
        memset(p, 0, sizeof(*p));
        p->hba = a;
        p->number = n;
        p->regs = (mmio_t){a->regs.base + PORT(n)};
        lay_out(p, memory, a->count, CAP_SLOTS(cap), wide);
        if (probe_port(p, wide)) {
            out->devices[out->count++] = &p->dev;
            a->count++;
        }
    }
}

bool ahci_probe(const struct disk_setup *setup, struct disk_controller *out, const char **why)
{
    struct ahci *a = (struct ahci *)setup->memory.va;
    uint64_t base, size;

    if (!pci_bar(&setup->pci, 5, &base, &size) || size < PORT(1)) {
        *why = "its registers are not mapped";
        return false;
    }
    pci_enable(&setup->pci, false);
    a->pci = setup->pci;
    a->regs = mmio_map(base);
    take_from_firmware(a);
    if (!reset_hba(a)) {
        *why = "it does not come out of reset";
        return false;
    }
    if ((mmio_read32(a->regs, HBA_CAP) & CAP_64BIT) == 0 && setup->memory.gpa + DISK_MEMORY_SIZE > REACH_32) {
        *why = "there is no memory within its reach";
        return false;
    }
    probe_ports(a, setup->memory, out);
    out->interrupt = interrupt;
    out->enable = enable;
    out->arg = a;
    out->irq = setup->message != NULL &&
                       pci_msi_set(&setup->pci, setup->message->address, setup->message->data)
                   ? DISK_IRQ_MESSAGE
                   : DISK_IRQ_LINE;
    return true;
}
