// SPDX-License-Identifier: Apache-2.0
// Inside of the AHCI driver: ahci.c runs ports and their recovery, ahci_probe.c finds them.
#ifndef MGMT_DRIVERS_AHCI_PRIV_H
#define MGMT_DRIVERS_AHCI_PRIV_H

#include "mgmt/drivers/ahci.h"
#include "mgmt/drivers/ata.h"
#include "mgmt/drivers/disk_unit.h"

// Registers that both use (AHCI 1.3.1, 3.1 and 3.3).
#define HBA_GHC 0x04
#define HBA_IS 0x08
#define GHC_INTERRUPTS BIT(1)
#define PORT_CMD 0x18
#define PORT_SSTS 0x28
#define PORT_SCTL 0x2c
#define CMD_START BIT(0)
#define CMD_FIS_ENABLE BIT(4)
#define SSTS_DET(ssts) ((ssts)&0xf)
#define SCTL_RESET 0x301u
#define SCTL_RUN 0x300u // no partial or slumber states

#define AHCI_SLOTS 8u
#define PORT_MEMORY_OFFSET 0x10000u

struct ahci_header {
    uint32_t flags; // and number of regions above bit 16
    uint32_t transferred;
    uint64_t table;
    uint32_t reserved[4];
};
_Static_assert(sizeof(struct ahci_header) == 32, "AHCI Command Header");
struct ahci_region {
    uint64_t address;
    uint32_t reserved;
    uint32_t length; // - 1
};
_Static_assert(sizeof(struct ahci_region) == 16, "AHCI Physical Region Descriptor");
struct ahci_table {
    uint8_t fis[64];
    uint8_t atapi[16];
    uint8_t reserved[48];
    struct ahci_region regions[BLOCK_MAX_SEGMENTS];
    uint64_t own[64]; // ranges of a discard, identity
    uint8_t pad[128];
};
_Static_assert(sizeof(struct ahci_table) == 0x700 && offsetof(struct ahci_table, regions) == 0x80,
               "AHCI Command Table");
struct ahci_memory {
    struct ahci_header list[32];
    uint8_t received[1024]; // 256 used
    struct ahci_table tables[AHCI_SLOTS];
};
_Static_assert(sizeof(struct ahci_memory) == 0x4000, "layout of the memory");

enum ahci_state {
    AHCI_READY,
    AHCI_STOPPING,
    AHCI_LINK_RESET,
    AHCI_LINK_WAIT,
    AHCI_SPIN_UP,
    AHCI_IDENTIFY,
    AHCI_FAILED
};
enum ahci_trouble { TROUBLE_COMMAND, TROUBLE_INTERFACE, TROUBLE_LINK };

struct ahci;
struct ahci_port {
    struct block_device dev;
    struct disk_unit unit;
    struct ata_facts facts;
    struct ahci *hba;
    mmio_t regs;
    unsigned number;
    volatile struct ahci_memory *mem;
    uint64_t mem_gpa;
    uint32_t issued; // slots given to the controller
    uint32_t seen;   // interrupt status since the last service
    bool identified; // once; later identities must be the same
    enum ahci_state state;
    enum ahci_trouble trouble;
    bool give_up;     // as soon as it has stopped
    uint32_t culprit; // slot that TROUBLE_COMMAND or _INTERFACE is about; UNIT_NONE
    uint64_t began_ns, poll_ns, limit_ns;
};

struct ahci {
    mmio_t regs;
    struct pci_device pci;
    struct ahci_port ports[DISK_PER_CONTROLLER];
    uint32_t count;
};
_Static_assert(sizeof(struct ahci) <= PORT_MEMORY_OFFSET, "layout of the memory");

static inline uint32_t ahci_get(const struct ahci_port *p, uint32_t reg)
{
    return mmio_read32(p->regs, reg);
}

static inline void ahci_put(const struct ahci_port *p, uint32_t reg, uint64_t value)
{
    mmio_write32(p->regs, reg, (uint32_t)value);
}

extern const struct block_ops ahci_ops;

void ahci_interrupt(void *arg);
void ahci_enable(void *arg);

// Begins to bring a port up; ahci_step() goes on until it is READY, its disk's facts being known, or FAILED.
void ahci_reset_link(struct ahci_port *p, uint64_t now);
void ahci_step(struct ahci_port *p, uint64_t now);

#endif
