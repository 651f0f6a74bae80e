// SPDX-License-Identifier: Apache-2.0
// NVMe at boot: limits, memory, interrupt, namespaces. Control plane.
#include "mgmt/drivers/nvme_priv.h"

#include "mgmt/plat.h"

#include <string.h>

// Fields of CAP, 3.1.1.
#define CAP_ENTRIES(cap) ((uint32_t)((cap)&0xffff) + 1)
#define CAP_TIMEOUT_NS(cap) (((cap) >> 24 & 0xff) * 500000000ull)
#define CAP_STRIDE(cap) ((uint32_t)((cap) >> 32 & 0xf))
#define CAP_NVM BIT(37)
#define CAP_PAGE_MIN(cap) ((uint32_t)((cap) >> 48 & 0xf))

// Identify, 5.15.
#define IDENTIFY_NAMESPACE 0
#define IDENTIFY_CONTROLLER 1
#define IDENTIFY_ACTIVE 2

// Identify Controller, 5.15.2.2, and Identify Namespace, 5.15.2.1 (offsets).
enum { C_SERIAL = 4, C_MODEL = 24, C_MDTS = 77, C_ONCS = 520, C_VWC = 525 };
enum { N_SIZE = 0, N_FORMAT = 26, N_ATTRIBUTES = 99, N_FORMATS = 128 };
#define ONCS_DATA_SET BIT(2)

#define DISCARD_MAX (1u << 23)
#define PROBE_STEP_US 20u

static void lay_out(struct nvme *n, struct disk_memory m, uint64_t cap)
{
    uint32_t stride = 4u << CAP_STRIDE(cap);

    n->memory = m.va;
    n->gpa = m.gpa;
    n->admin = (struct nvme_queue){
        .sq = (volatile struct nvme_command *)(m.va + ADMIN_SQ_OFFSET),
        .cq = (volatile struct nvme_completion *)(m.va + ADMIN_CQ_OFFSET),
        .sq_gpa = m.gpa + ADMIN_SQ_OFFSET,
        .cq_gpa = m.gpa + ADMIN_CQ_OFFSET,
        .sq_doorbell = REG_DOORBELLS,
        .cq_doorbell = REG_DOORBELLS + stride,
        .entries = ADMIN_ENTRIES,
    };
    n->io = (struct nvme_queue){
        .sq = (volatile struct nvme_command *)(m.va + IO_SQ_OFFSET),
        .cq = (volatile struct nvme_completion *)(m.va + IO_CQ_OFFSET),
        .sq_gpa = m.gpa + IO_SQ_OFFSET,
        .cq_gpa = m.gpa + IO_CQ_OFFSET,
        .sq_doorbell = REG_DOORBELLS + 2 * stride,
        .cq_doorbell = REG_DOORBELLS + 3 * stride,
        .entries = MIN(CAP_ENTRIES(cap), IO_ENTRIES),
    };
    unit_init(&n->unit, MIN(n->io.entries - 1, UNIT_SLOTS));
    n->unit.native_fua = true;
    n->unit.bounce = m.va + DISK_BOUNCE_OFFSET;
    n->unit.bounce_gpa = m.gpa + DISK_BOUNCE_OFFSET;
    n->unit.awkward = nvme_awkward;
}

static bool bring_up(struct nvme *n)
{
    nvme_disable(n, plat_now_ns());
    while (n->state != NVME_READY && n->state != NVME_FAILED) {
        mmio_delay_us(PROBE_STEP_US);
        nvme_step(n, plat_now_ns());
    }
    return n->state == NVME_READY;
}

// Identify into the buffer, waiting. The controller is READY before and afterwards.
static const uint8_t *identify(struct nvme *n, uint32_t what, uint32_t nsid)
{
    const struct nvme_command c = {
        .opcode = ADMIN_IDENTIFY, .nsid = nsid, .prp1 = n->gpa + IDENTIFY_OFFSET, .dw10 = what};
    uint64_t end = plat_now_ns() + ADMIN_LIMIT_NS;
    uint16_t status;

    nvme_push(&n->admin, &c);
    nvme_ring(n, &n->admin);
    while (!nvme_admin_answer(n, &status)) {
        if (plat_now_ns() >= end) {
            return NULL;
        }
        mmio_delay_us(PROBE_STEP_US);
    }
    return STATUS_FAILED(status) ? NULL : n->memory + IDENTIFY_OFFSET;
}

static uint64_t little_endian(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;

    memcpy(&value, at, bytes);
    return value;
}

static uint32_t transfer_limit(uint8_t mdts)
{
    const uint32_t page_sectors = (uint32_t)PAGE_SIZE / BLOCK_SECTOR;

    // In pages, as a power of two; 0: no limit.
    return mdts == 0 || mdts > 8 ? BLOCK_MAX_SECTORS : MIN(page_sectors << mdts, BLOCK_MAX_SECTORS);
}

// Facts that all namespaces share.
static bool read_controller(struct nvme *n, struct block_device *out)
{
    const uint8_t *id = identify(n, IDENTIFY_CONTROLLER, 0);

    if (id == NULL) {
        return false;
    }
    disk_copy_text(out->model, sizeof(out->model), id + C_MODEL, 40, false);
    disk_copy_text(out->serial, sizeof(out->serial), id + C_SERIAL, 20, false);
    out->write_cache = (id[C_VWC] & 1) != 0;
    out->can_discard = (little_endian(id + C_ONCS, 2) & ONCS_DATA_SET) != 0;
    out->max_discard = out->can_discard ? DISCARD_MAX : 0;
    out->max_sectors = transfer_limit(id[C_MDTS]);
    out->max_segments = BLOCK_MAX_SEGMENTS;
    out->ops = &nvme_ops;
    return true;
}

static bool read_namespace(struct nvme *n, uint32_t nsid, const struct block_device *shared)
{
    struct nvme_namespace *ns = &n->namespaces[n->count];
    const uint8_t *id = identify(n, IDENTIFY_NAMESPACE, nsid), *format;
    uint64_t blocks;
    uint8_t shift;

    if (id == NULL) {
        return false;
    }
    format = id + N_FORMATS + 4 * (id[N_FORMAT] & 0xf);
    shift = format[2];
    blocks = little_endian(id + N_SIZE, 8);
    if ((shift != 9 && shift != 12) || little_endian(format, 2) != 0 || blocks == 0 || blocks >> 52 != 0) {
        return false; // of another block size, with metadata, or empty
    }
    ns->dev = *shared;
    ns->controller = n;
    ns->id = nsid;
    ns->unit = (1u << shift) / BLOCK_SECTOR;
    ns->dev.sectors = blocks * ns->unit;
    ns->dev.logical_block = ns->dev.physical_block = 1u << shift;
    ns->dev.read_only = (id[N_ATTRIBUTES] & 1) != 0;
    n->count++;
    return true;
}

static bool find_namespaces(struct nvme *n, struct disk_controller *out)
{
    struct block_device shared = {0};
    uint32_t ids[DISK_PER_CONTROLLER];
    const uint8_t *list;

    if (!read_controller(n, &shared) || (list = identify(n, IDENTIFY_ACTIVE, 0)) == NULL) {
        return false;
    }
    memcpy(ids, list, sizeof(ids));
    for (size_t i = 0; i < ARRAY_LEN(ids) && ids[i] != 0; i++) {
        if (read_namespace(n, ids[i], &shared)) {
            out->devices[out->count++] = &n->namespaces[n->count - 1].dev;
        }
    }
    return true;
}

static void set_interrupt(struct nvme *n, const struct disk_setup *s, struct disk_controller *out)
{
    bool message = s->message != NULL && (pci_msix_set(&s->pci, 0, s->message->address, s->message->data) ||
                                          pci_msi_set(&s->pci, s->message->address, s->message->data));

    n->line = !message;
    out->irq = message ? DISK_IRQ_MESSAGE : DISK_IRQ_LINE;
    out->interrupt = nvme_interrupt;
    out->arg = n;
}

bool nvme_probe(const struct disk_setup *setup, struct disk_controller *out, const char **why)
{
    struct nvme *n = (struct nvme *)setup->memory.va;
    uint64_t base, size, cap;

    if (!pci_bar(&setup->pci, 0, &base, &size) || size < 2 * PAGE_SIZE) {
        *why = "its registers are not mapped";
        return false;
    }
    pci_enable(&setup->pci, false);
    n->pci = setup->pci;
    n->regs = mmio_map(base);
    cap = mmio_read32(n->regs, REG_CAP) | (uint64_t)mmio_read32(n->regs, REG_CAP + 4) << 32;
    if ((cap & CAP_NVM) == 0 || CAP_PAGE_MIN(cap) != 0 || CAP_ENTRIES(cap) < 2 ||
        REG_DOORBELLS + (16ull << CAP_STRIDE(cap)) > size) {
        *why = "it has no command set, page size or queues of ours";
        pci_quiesce(&setup->pci);
        return false;
    }
    n->timeout_ns = MAX(CAP_TIMEOUT_NS(cap), 500000000ull);
    lay_out(n, setup->memory, cap);
    set_interrupt(n, setup, out);
    if (!bring_up(n) || !find_namespaces(n, out)) {
        *why = "it does not come out of reset or does not say what it is";
        mmio_write32(n->regs, REG_CC, 0);
        pci_quiesce(&setup->pci);
        return false;
    }
    return true;
}
