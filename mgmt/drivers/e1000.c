// SPDX-License-Identifier: Apache-2.0
// e1000 and e1000e: legacy descriptors, one ring each way, frames received into and sent from the shared buffers.
#include "mgmt/drivers/e1000.h"

#include <string.h>

#define RING 256u // descriptors; one stays unused, so that full and empty differ

// Registers (317453 "Register Descriptions"); those of the 82574 are the same where nothing else is said.
#define CTRL 0x0000
#define STATUS 0x0008
#define EECD 0x0010 // 82574
#define EERD 0x0014
#define ICR 0x00c0
#define ITR 0x00c4
#define IMS 0x00d0
#define IMC 0x00d8
#define RCTL 0x0100
#define TCTL 0x0400
#define TIPG 0x0410
#define RDBAL 0x2800
#define RDBAH 0x2804
#define RDLEN 0x2808
#define RDH 0x2810
#define RDT 0x2818
#define RDTR 0x2820
#define RADV 0x282c
#define TDBAL 0x3800
#define TDBAH 0x3804
#define TDLEN 0x3808
#define TDH 0x3810
#define TDT 0x3818
#define TIDV 0x3820
#define TXDCTL 0x3828 // 82574
#define MTA 0x5200    // 128 dwords
#define RAL0 0x5400
#define RAH0 0x5404

#define CTRL_MASTER_DISABLE BIT(2) // 82574
#define CTRL_ASDE BIT(5)
#define CTRL_SLU BIT(6)
#define CTRL_ILOS BIT(7)
#define CTRL_RST BIT(26)
#define CTRL_VME BIT(30)
#define CTRL_PHY_RST BIT(31)
#define STATUS_LU BIT(1)
#define STATUS_MASTER BIT(19) // 82574
#define EECD_LOADED BIT(9)
#define EERD_START BIT(0)
#define TXDCTL_COUNT BIT(22) // must be set
#define RAH_VALID BIT(31)

#define INT_TXDW BIT(0)
#define INT_LSC BIT(2)
#define INT_RXDMT0 BIT(4)
#define INT_RXO BIT(6)
#define INT_RXT0 BIT(7)
#define INT_ALWAYS (INT_LSC | INT_RXDMT0 | INT_RXO | INT_RXT0)

#define RCTL_EN BIT(1)
#define RCTL_UPE BIT(3) // all stations' frames: there is a switch behind it
#define RCTL_MPE BIT(4)
#define RCTL_BAM BIT(15)
#define RCTL_SECRC BIT(26) // buffer size bits 0: 2048 bytes
#define TCTL_EN BIT(1)
#define TCTL_PSP BIT(3)
#define TCTL_CT (0x10u << 4)
#define TCTL_COLD (0x40u << 12)
#define TIPG_COPPER (10u | 8u << 10 | 6u << 20)

#define ITR_INTERVAL 200u // in 256 ns: at most about 19,500 interrupts a second

#define DESC_DONE 0x01 // status, both kinds
#define RX_EOP 0x02
#define TX_EOP 0x01 // command
#define TX_IFCS 0x02
#define TX_RS 0x08

// Sent frames are collected whenever the driver runs; it asks for an interrupt only when this many are out.
#define TX_LOW_WATER (RING / 2)

#define RESET_TRIES 1000
#define EEPROM_TRIES 1000

struct rx_desc {
    uint64_t address;
    uint16_t length;
    uint16_t checksum;
    uint8_t status;
    uint8_t errors;
    uint16_t special;
};
struct tx_desc {
    uint64_t address;
    uint16_t length;
    uint8_t checksum_offset;
    uint8_t command;
    uint8_t status;
    uint8_t checksum_start;
    uint16_t special;
};
_Static_assert(sizeof(struct rx_desc) == 16 && sizeof(struct tx_desc) == 16, "legacy descriptors");

// Where the two differ.
struct model {
    struct nic_ops ops;
    bool express;          // 82574: on PCI Express, with what belongs to that
    uint32_t eerd_done;    // bit of EERD
    unsigned eerd_address; // and where it wants the address
    uint32_t ctrl_set;
};

static struct e1000 {
    struct nic nic;
    const struct model *model;
    mmio_t regs;
    volatile struct rx_desc *rx;
    volatile struct tx_desc *tx;
    uint16_t rx_index[RING]; // buffer of each descriptor
    uint16_t tx_index[RING];
    uint32_t rx_next, rx_tail; // next to look at; next to fill
    uint32_t tx_done, tx_tail; // next to be collected; next to use
    bool tx_interrupt;         // INT_TXDW is on
    bool link_changed;
} the_nic; // the node uses one

static uint32_t used(uint32_t tail, uint32_t head)
{
    return (tail - head) % RING;
}

// --- receive ---

// Gives the device every buffer that came back.
static void fill_rx(struct e1000 *e)
{
    struct frame_rings *rings = e->nic.rings;
    uint32_t tail = e->rx_tail;
    struct frame f;

    while (used(tail, e->rx_next) < RING - 1 && spsc_pop(&rings->rx_free, &f)) {
        e->rx_index[tail] = f.index;
        e->rx[tail].address = rings->memory_gpa + frame_offset(false, f.index);
        e->rx[tail].status = 0;
        tail = (tail + 1) % RING;
    }
    if (tail != e->rx_tail) {
        e->rx_tail = tail;
        __atomic_thread_fence(__ATOMIC_RELEASE); // descriptors before the doorbell
        mmio_write32(e->regs, RDT, tail);
    }
}

static bool rx_frame_good(uint8_t status, uint8_t errors, uint16_t length)
{
    return (status & RX_EOP) != 0 && errors == 0 && length >= 14 && length <= FRAME_MAX;
}

static uint32_t take_rx(struct e1000 *e)
{
    struct frame_rings *rings = e->nic.rings;
    uint32_t n = 0;

    for (; n < NIC_RX_BUDGET && e->rx_next != e->rx_tail; n++) {
        volatile struct rx_desc *d = &e->rx[e->rx_next];
        struct frame f = {.index = e->rx_index[e->rx_next]};
        uint8_t status = d->status;

        if ((status & DESC_DONE) == 0) {
            break;
        }
        __atomic_thread_fence(__ATOMIC_ACQUIRE); // status before the rest, each read once
        f.length = d->length;
        if (rx_frame_good(status, d->errors, f.length)) {
            rings->counters.rx_frames++;
            rings->counters.rx_bytes += f.length;
        } else {
            rings->counters.rx_errors++;
            f.length = 0; // the control plane gives empty frames straight back
        }
        (void)spsc_push(&rings->rx, &f);
        e->rx_next = (e->rx_next + 1) % RING;
    }
    return n;
}

// --- transmit ---

static void collect_tx(struct e1000 *e)
{
    while (e->tx_done != e->tx_tail && (e->tx[e->tx_done].status & DESC_DONE) != 0) {
        struct frame f = {.index = e->tx_index[e->tx_done]};

        (void)spsc_push(&e->nic.rings->tx_free, &f);
        e->tx_done = (e->tx_done + 1) % RING;
    }
}

static void put_tx(struct e1000 *e, const struct frame *f)
{
    struct frame_rings *rings = e->nic.rings;
    uint32_t tail = e->tx_tail;
    uint16_t length = MAX(f->length, (uint16_t)FRAME_MIN);

    if (length > f->length) {
        memset(frame_data(rings, true, f->index) + f->length, 0, length - f->length);
    }
    e->tx_index[tail] = f->index;
    e->tx[tail].address = rings->memory_gpa + frame_offset(true, f->index);
    e->tx[tail].length = length;
    e->tx[tail].checksum_offset = 0;
    e->tx[tail].command = TX_EOP | TX_IFCS | TX_RS;
    e->tx[tail].status = 0;
    e->tx_tail = (tail + 1) % RING;
    rings->counters.tx_frames++;
    rings->counters.tx_bytes += length;
}

static void send_tx(struct e1000 *e)
{
    uint32_t before = e->tx_tail;
    struct frame f;

    while (used(e->tx_tail, e->tx_done) < RING - 1 && spsc_pop(&e->nic.rings->tx, &f)) {
        if (f.length > 0 && f.length <= FRAME_MAX) {
            put_tx(e, &f);
        } else {
            (void)spsc_push(&e->nic.rings->tx_free, &f);
        }
    }
    if (e->tx_tail != before) {
        __atomic_thread_fence(__ATOMIC_RELEASE);
        mmio_write32(e->regs, TDT, e->tx_tail);
    }
}

static void choose_tx_interrupt(struct e1000 *e)
{
    bool want = used(e->tx_tail, e->tx_done) > TX_LOW_WATER;

    if (want != e->tx_interrupt) {
        e->tx_interrupt = want;
        mmio_write32(e->regs, want ? IMS : IMC, INT_TXDW);
    }
}

// --- from the data plane ---

static void read_link(struct e1000 *e)
{
    bool up = (mmio_read32(e->regs, STATUS) & STATUS_LU) != 0;

    __atomic_store_n(&e->nic.rings->link_up, up, __ATOMIC_RELEASE);
}

static void interrupt(struct nic *nic)
{
    struct e1000 *e = CONTAINER_OF(nic, struct e1000, nic);
    uint32_t cause = mmio_read32(e->regs, ICR); // reading clears it and lets go of the line

    if (cause != 0) {
        e->link_changed |= (cause & INT_LSC) != 0;
        nic->pending = true;
    }
}

static bool service(struct nic *nic)
{
    struct e1000 *e = CONTAINER_OF(nic, struct e1000, nic);
    uint32_t received;

    if (e->link_changed) {
        e->link_changed = false;
        read_link(e);
    }
    collect_tx(e);
    send_tx(e);
    received = take_rx(e);
    fill_rx(e);
    choose_tx_interrupt(e);
    return received == NIC_RX_BUDGET;
}

static void enable(struct nic *nic)
{
    struct e1000 *e = CONTAINER_OF(nic, struct e1000, nic);

    mmio_write32(e->regs, IMS, INT_ALWAYS);
}

static const struct model e1000 = {
    .ops = {.name = "e1000", .enable = enable, .interrupt = interrupt, .service = service},
    .eerd_done = BIT(4),
    .eerd_address = 8,
    .ctrl_set = CTRL_SLU | CTRL_ASDE,
};

static const struct model e1000e = {
    .ops = {.name = "e1000e", .enable = enable, .interrupt = interrupt, .service = service},
    .express = true,
    .eerd_done = BIT(1),
    .eerd_address = 2,
    .ctrl_set = CTRL_SLU,
};

// --- start ---

// Waits until the bits of a register are as they should be; false: they do not become so.
static bool wait_for(struct e1000 *e, uint32_t reg, uint32_t bits, uint32_t value)
{
    for (unsigned i = 0; i < RESET_TRIES; i++) {
        if ((mmio_read32(e->regs, reg) & bits) == value) {
            return true;
        }
        mmio_delay_us(10);
    }
    return false;
}

static bool reset(struct e1000 *e)
{
    mmio_write32(e->regs, IMC, 0xffffffff);
    mmio_write32(e->regs, RCTL, 0);
    mmio_write32(e->regs, TCTL, 0);
    if (e->model->express) { // what it is writing to memory comes to its end first
        mmio_write32(e->regs, CTRL, mmio_read32(e->regs, CTRL) | (uint32_t)CTRL_MASTER_DISABLE);
        (void)wait_for(e, STATUS, STATUS_MASTER, 0);
    }
    mmio_write32(e->regs, CTRL, mmio_read32(e->regs, CTRL) | (uint32_t)CTRL_RST);
    mmio_delay_us(10); // registers must not be read for a microsecond
    if (!wait_for(e, CTRL, CTRL_RST, 0) ||
        (e->model->express && !wait_for(e, EECD, EECD_LOADED, EECD_LOADED))) {
        return false;
    }
    mmio_write32(e->regs, IMC, 0xffffffff);
    (void)mmio_read32(e->regs, ICR);
    return true;
}

static bool eeprom_read(struct e1000 *e, uint8_t word, uint16_t *value)
{
    mmio_write32(e->regs, EERD, EERD_START | (uint32_t)word << e->model->eerd_address);
    for (unsigned i = 0; i < EEPROM_TRIES; i++) {
        uint32_t v = mmio_read32(e->regs, EERD);

        if ((v & e->model->eerd_done) != 0) {
            *value = (uint16_t)(v >> 16);
            return true;
        }
        mmio_delay_us(10);
    }
    return false;
}

// The address filter is loaded from the EEPROM at reset; if it was not, the EEPROM's first words say it.
static bool read_mac(struct e1000 *e)
{
    uint32_t low = mmio_read32(e->regs, RAL0), high = mmio_read32(e->regs, RAH0);
    uint16_t words[3] = {(uint16_t)low, (uint16_t)(low >> 16), (uint16_t)high};

    if ((high & RAH_VALID) == 0) {
        for (uint8_t i = 0; i < 3; i++) {
            if (!eeprom_read(e, i, &words[i])) {
                return false;
            }
        }
        mmio_write32(e->regs, RAL0, words[0] | (uint32_t)words[1] << 16);
        mmio_write32(e->regs, RAH0, words[2] | (uint32_t)RAH_VALID);
    }
    for (size_t i = 0; i < 3; i++) {
        e->nic.mac[2 * i] = (uint8_t)words[i];
        e->nic.mac[2 * i + 1] = (uint8_t)(words[i] >> 8);
    }
    return (e->nic.mac[0] & 1) == 0 && (words[0] | words[1] | words[2]) != 0;
}

static void start_rx(struct e1000 *e, uint64_t rings_gpa)
{
    for (uint32_t i = 0; i < 128; i++) {
        mmio_write32(e->regs, MTA + 4 * i, 0);
    }
    mmio_write32(e->regs, RDBAL, (uint32_t)rings_gpa);
    mmio_write32(e->regs, RDBAH, (uint32_t)(rings_gpa >> 32));
    mmio_write32(e->regs, RDLEN, RING * sizeof(struct rx_desc));
    mmio_write32(e->regs, RDH, 0);
    mmio_write32(e->regs, RDT, 0);
    mmio_write32(e->regs, RDTR, 0);
    mmio_write32(e->regs, RADV, 0);
    mmio_write32(e->regs, RCTL, RCTL_EN | RCTL_BAM | RCTL_UPE | RCTL_MPE | RCTL_SECRC);
    fill_rx(e);
}

static void start_tx(struct e1000 *e, uint64_t rings_gpa)
{
    uint64_t gpa = rings_gpa + RING * sizeof(struct rx_desc);

    mmio_write32(e->regs, TDBAL, (uint32_t)gpa);
    mmio_write32(e->regs, TDBAH, (uint32_t)(gpa >> 32));
    mmio_write32(e->regs, TDLEN, RING * sizeof(struct tx_desc));
    mmio_write32(e->regs, TDH, 0);
    mmio_write32(e->regs, TDT, 0);
    mmio_write32(e->regs, TIDV, 0);
    mmio_write32(e->regs, TIPG, TIPG_COPPER);
    if (e->model->express) {
        mmio_write32(e->regs, TXDCTL, mmio_read32(e->regs, TXDCTL) | (uint32_t)TXDCTL_COUNT);
    }
    mmio_write32(e->regs, TCTL, TCTL_EN | TCTL_PSP | TCTL_CT | TCTL_COLD);
}

static struct nic *probe(const struct model *model, const struct pci_device *dev, struct frame_rings *rings,
                         struct nic_memory frames, struct nic_memory dma, const char **why)
{
    struct e1000 *e = &the_nic;
    uint64_t base, size;
    uint32_t ctrl;

    memset(e, 0, sizeof(*e));
    if (!pci_bar(dev, 0, &base, &size) || size < 0x20000) {
        *why = "its registers are not mapped";
        return NULL;
    }
    pci_enable(dev, false);
    e->regs = mmio_map(base);
    e->model = model;
    e->nic.ops = &model->ops;
    e->nic.rings = rings;
    if (!reset(e) || !read_mac(e)) {
        *why = "it does not come out of reset or has no address";
        pci_quiesce(dev);
        return NULL;
    }
    memset(dma.va, 0, 2 * RING * sizeof(struct rx_desc));
    e->rx = (volatile struct rx_desc *)dma.va;
    e->tx = (volatile struct tx_desc *)(dma.va + RING * sizeof(struct rx_desc));
    frame_rings_init(rings, frames.va, frames.gpa, 0, FRAME_BUFFERS, FRAME_BUFFERS);
    ctrl = mmio_read32(e->regs, CTRL) &
           ~(uint32_t)(CTRL_MASTER_DISABLE | CTRL_ILOS | CTRL_VME | CTRL_PHY_RST);
    mmio_write32(e->regs, CTRL, ctrl | e->model->ctrl_set);
    start_rx(e, dma.gpa);
    start_tx(e, dma.gpa);
    read_link(e);
    mmio_write32(e->regs, ITR, ITR_INTERVAL);
    return &e->nic;
}

// The 82540EM knows messages, its emulations do not; the 82574's INTx line does as well.
struct nic *e1000_probe(const struct pci_device *dev, struct frame_rings *rings, struct nic_memory frames,
                        struct nic_memory dma, const struct nic_msi *msi, const char **why)
{
    (void)msi;
    return probe(&e1000, dev, rings, frames, dma, why);
}

struct nic *e1000e_probe(const struct pci_device *dev, struct frame_rings *rings, struct nic_memory frames,
                         struct nic_memory dma, const struct nic_msi *msi, const char **why)
{
    (void)msi;
    return probe(&e1000e, dev, rings, frames, dma, why);
}
