// SPDX-License-Identifier: Apache-2.0
// Inside of the NVMe driver: nvme.c runs a controller and its resets, nvme_probe.c finds out what it is.
#ifndef MGMT_DRIVERS_NVME_PRIV_H
#define MGMT_DRIVERS_NVME_PRIV_H

#include "mgmt/drivers/disk_unit.h"
#include "mgmt/drivers/nvme.h"

// Registers and commands that both use (NVMe 1.4, 3.1 and 5).
#define REG_CAP 0x00
#define REG_CC 0x14
#define REG_DOORBELLS 0x1000
#define ADMIN_IDENTIFY 0x06
#define STATUS_FAILED(s) (((s)&0x7ff) != 0)

// A controller's memory, behind struct nvme.
#define ADMIN_SQ_OFFSET 0x10000u
#define ADMIN_CQ_OFFSET 0x11000u
#define IO_SQ_OFFSET 0x12000u
#define IO_CQ_OFFSET 0x13000u
#define IDENTIFY_OFFSET 0x14000u
#define LISTS_OFFSET 0x20000u
#define LIST_SIZE 2048u // a list lies within a page

#define ADMIN_ENTRIES 8u
#define IO_ENTRIES 64u
#define ADMIN_LIMIT_NS 10000000000ull

struct nvme_command { // 4.2
    uint8_t opcode, flags;
    uint16_t id;
    uint32_t nsid;
    uint64_t reserved, metadata;
    uint64_t prp1, prp2;
    uint32_t dw10, dw11, dw12, dw13, dw14, dw15;
};
_Static_assert(sizeof(struct nvme_command) == 64, "NVMe submission queue entry");
struct nvme_completion { // 4.6
    uint32_t result, reserved;
    uint16_t sq_head, sq_id;
    uint16_t id;
    uint16_t status; // phase in bit 0
};
_Static_assert(sizeof(struct nvme_completion) == 16, "NVMe completion queue entry");

struct nvme_queue { // a pair
    volatile struct nvme_command *sq;
    volatile struct nvme_completion *cq;
    uint64_t sq_gpa, cq_gpa;
    uint32_t sq_doorbell, cq_doorbell;
    uint32_t entries, tail, head;
    uint16_t phase; // of new completions
};

enum nvme_state { NVME_READY, NVME_DISABLING, NVME_ENABLING, NVME_ADMIN, NVME_FAILED };
enum nvme_admin_step { SET_QUEUES, CREATE_CQ, CREATE_SQ, ADMIN_DONE };

struct nvme_namespace {
    struct block_device dev;
    struct nvme *controller;
    uint32_t id;
    uint32_t unit; // sectors in a logical block
};

struct nvme {
    mmio_t regs;
    struct pci_device pci;
    struct disk_unit unit;
    struct nvme_queue admin, io;
    struct nvme_namespace namespaces[DISK_PER_CONTROLLER];
    uint32_t count;
    uint8_t *memory;
    uint64_t gpa;
    uint64_t timeout_ns;
    bool line; // INTx: masked while its cause lasts
    enum nvme_state state;
    enum nvme_admin_step step;
    uint64_t began_ns, poll_ns, limit_ns;
};
_Static_assert(sizeof(struct nvme) <= ADMIN_SQ_OFFSET, "layout of the memory");

extern const struct block_ops nvme_ops;

void nvme_interrupt(void *arg);
// Cannot be described by PRPs.
bool nvme_awkward(const struct block_request *r);

// Begins to bring the controller up, whatever it does now; nvme_step() goes on until it is READY or FAILED.
void nvme_disable(struct nvme *n, uint64_t now);
void nvme_step(struct nvme *n, uint64_t now);

// Admin commands of the probe, one at a time. An answer's *status is without the phase; false: not yet.
void nvme_push(struct nvme_queue *q, const struct nvme_command *c);
void nvme_ring(const struct nvme *n, const struct nvme_queue *q);
MUST_CHECK bool nvme_admin_answer(struct nvme *n, uint16_t *status);

#endif
