// SPDX-License-Identifier: Apache-2.0
// AHCI at boot: the controller taken from firmware and reset, its ports looked at. Control plane.
#include "mgmt/drivers/ahci_priv.h"

#include "mgmt/plat.h"

#include <string.h>

// Generic host control, 3.1.
#define HBA_CAP 0x00
#define HBA_PI 0x0c
#define HBA_CAP2 0x24
#define HBA_BOHC 0x28
#define CAP_SLOTS(cap) (((cap) >> 8 & 0x1f) + 1)
#define CAP_64BIT BIT(31)
#define GHC_AHCI BIT(31)
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
#define CMD_SPIN_UP BIT(1)
#define CMD_POWER BIT(2)
#define CMD_ACTIVE (1u << 28) // interface communication control: wake up

#define BOUNCE_OFFSET 0x80000u // for controllers that address 32 bits, one a port
#define BOUNCE_SECTORS 128u
#define REACH_32 (1ull << 32)

#define LINK_HOLD_US 2000u
#define LINK_FOUND_US 30000u // a disk answers a COMRESET within 10 ms (Serial ATA 3.0, 8.4.1)
#define PROBE_STEP_US 20u
#define HBA_RESET_TRIES 50000u // of 20 us: 1 s (10.4.3)
#define HANDOFF_TRIES 100000u  // 2 s (10.6.3)

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
    unit_init(&p->unit, MIN(slots, AHCI_SLOTS));
    p->mem = (volatile struct ahci_memory *)(m.va + PORT_MEMORY_OFFSET + index * sizeof(struct ahci_memory));
    p->mem_gpa = m.gpa + PORT_MEMORY_OFFSET + index * sizeof(struct ahci_memory);
    if (!wide) {
        p->unit.bounce = m.va + BOUNCE_OFFSET + (size_t)index * BOUNCE_SECTORS * BLOCK_SECTOR;
        p->unit.bounce_gpa = m.gpa + BOUNCE_OFFSET + (uint64_t)index * BOUNCE_SECTORS * BLOCK_SECTOR;
        p->unit.reach = REACH_32;
    }
}

static void set_addresses(const struct ahci_port *p, bool wide)
{
    const uint64_t list = p->mem_gpa, received = p->mem_gpa + offsetof(struct ahci_memory, received);

    ahci_put(p, PORT_LIST, list);
    ahci_put(p, PORT_FIS, received);
    if (wide) {
        ahci_put(p, PORT_LIST + 4, list >> 32);
        ahci_put(p, PORT_FIS + 4, received >> 32);
    }
    ahci_put(p, PORT_CMD, CMD_FIS_ENABLE | CMD_SPIN_UP | CMD_POWER | CMD_ACTIVE);
}

// Brings a port up; false: there is no disk, and the port is silent again.
static bool probe_port(struct ahci_port *p, bool wide)
{
    set_addresses(p, wide);
    ahci_reset_link(p, plat_now_ns());
    while (p->state != AHCI_READY && p->state != AHCI_FAILED) {
        mmio_delay_us(PROBE_STEP_US);
        ahci_step(p, plat_now_ns());
    }
    if (p->state == AHCI_FAILED) {
        ahci_put(p, PORT_CMD, ahci_get(p, PORT_CMD) & ~(uint32_t)(CMD_START | CMD_FIS_ENABLE));
        return false;
    }
    p->dev.ops = &ahci_ops;
    p->dev.max_segments = BLOCK_MAX_SEGMENTS;
    p->dev.max_sectors = wide ? p->dev.max_sectors : MIN(p->dev.max_sectors, BOUNCE_SECTORS);
    return true;
}

static mmio_t port_registers(const struct ahci *a, unsigned n)
{
    return (mmio_t){a->regs.base + PORT(n)};
}

static void control_links(const struct ahci *a, uint32_t ports, uint32_t value)
{
    for (unsigned n = 0; n < PORTS; n++) {
        if ((ports & 1u << n) != 0) {
            mmio_write32(port_registers(a, n), PORT_SCTL, value);
        }
    }
}

// The ports among these that something is plugged into; all are asked at once, as empty ones never answer.
static uint32_t find_links(const struct ahci *a, uint32_t ports)
{
    uint32_t found = 0;

    for (unsigned n = 0; n < PORTS; n++) {
        if ((ports & 1u << n) != 0) {
            mmio_write32(port_registers(a, n), PORT_CMD, (uint32_t)(CMD_SPIN_UP | CMD_POWER) | CMD_ACTIVE);
        }
    }
    control_links(a, ports, SCTL_RESET);
    mmio_delay_us(LINK_HOLD_US);
    control_links(a, ports, SCTL_RUN);
    mmio_delay_us(LINK_FOUND_US);
    for (unsigned n = 0; n < PORTS; n++) {
        if ((ports & 1u << n) != 0 && SSTS_DET(mmio_read32(port_registers(a, n), PORT_SSTS)) != 0) {
            found |= 1u << n;
        }
    }
    return found;
}

// Ports that the controller says it has, and whose registers lie within its window.
static uint32_t implemented_ports(const struct ahci *a, uint64_t size)
{
    uint32_t ports = mmio_read32(a->regs, HBA_PI);

    while (ports != 0 && PORT(32u - (unsigned)__builtin_clz(ports)) > size) {
        ports &= ~(1u << (31 - __builtin_clz(ports)));
    }
    return ports;
}

static void probe_ports(struct ahci *a, uint64_t size, struct disk_memory memory, struct disk_controller *out)
{
    uint32_t cap = mmio_read32(a->regs, HBA_CAP), ports = find_links(a, implemented_ports(a, size));
    bool wide = (cap & CAP_64BIT) != 0;

    for (unsigned n = 0; n < PORTS && a->count < DISK_PER_CONTROLLER; n++) {
        struct ahci_port *p = &a->ports[a->count];

        if ((ports & 1u << n) == 0) {
            continue;
        }
        memset(p, 0, sizeof(*p));
        p->hba = a;
        p->number = n;
        p->regs = port_registers(a, n);
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
    probe_ports(a, size, setup->memory, out);
    out->interrupt = ahci_interrupt;
    out->enable = ahci_enable;
    out->arg = a;
    out->irq = setup->message != NULL &&
                       pci_msi_set(&setup->pci, setup->message->address, setup->message->data)
                   ? DISK_IRQ_MESSAGE
                   : DISK_IRQ_LINE;
    return true;
}
