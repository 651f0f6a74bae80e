// SPDX-License-Identifier: Apache-2.0
// 16550A serial port backed by a pair of console rings.

#include "mgmt/devices/uart16550.h"

#include "mgmt/plat.h"

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };

#define IER_RX 0x01
#define IER_THRE 0x02
#define IER_LINE 0x04
#define IER_MODEM 0x08
#define IER_MASK 0x0f

#define IIR_NONE 0x01
#define IIR_MODEM 0x00
#define IIR_THRE 0x02
#define IIR_RX 0x04
#define IIR_TIMEOUT 0x0c
#define IIR_LINE 0x06
#define IIR_FIFO 0xc0

#define FCR_ENABLE 0x01
#define FCR_CLEAR_RX 0x02
#define FCR_CLEAR_TX 0x04
#define FCR_KEPT 0xc9

#define LCR_DLAB 0x80

#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_MASK 0x1f

#define LSR_DATA 0x01
#define LSR_OVERRUN 0x02
#define LSR_THRE 0x20
#define LSR_TEMT 0x40

#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI 0x40
#define MSR_DCD 0x80
#define MSR_TRAILING_RI 0x04

// How soon to look whether the reader drained the ring; doubles as long as it does not.
#define RECHECK_FIRST_NS 10000000ull
#define RECHECK_LAST_NS 1280000000ull

static uint8_t capacity(const struct uart16550 *uart)
{
    return uart->fcr & FCR_ENABLE ? UART_FIFO : 1;
}

static void fifo_push(struct uart_fifo *fifo, uint8_t byte)
{
    fifo->data[(fifo->first + fifo->count++) % UART_FIFO] = byte;
}

static uint8_t fifo_pop(struct uart_fifo *fifo)
{
    uint8_t byte = fifo->data[fifo->first];

    fifo->first = (fifo->first + 1) % UART_FIFO;
    fifo->count--;
    return byte;
}

static void fifo_clear(struct uart_fifo *fifo)
{
    fifo->first = 0;
    fifo->count = 0;
}

// --- interrupts ---

static uint8_t rx_trigger(const struct uart16550 *uart)
{
    static const uint8_t level[] = {1, 4, 8, 14};

    return uart->fcr & FCR_ENABLE ? level[uart->fcr >> 6] : 1;
}

// The interrupt of highest priority, PC16550D table "Interrupt Control Functions". A byte below the trigger
// level is reported as a timeout at once: four character times are nothing at our speed.
static uint8_t pending(const struct uart16550 *uart)
{
    if ((uart->ier & IER_LINE) && uart->line_error) {
        return IIR_LINE;
    }
    if ((uart->ier & IER_RX) && uart->rx.count > 0) {
        return uart->rx.count >= rx_trigger(uart) ? IIR_RX : IIR_TIMEOUT;
    }
    if ((uart->ier & IER_THRE) && uart->thre_pending) {
        return IIR_THRE;
    }
    if ((uart->ier & IER_MODEM) && uart->msr_delta) {
        return IIR_MODEM;
    }
    return IIR_NONE;
}

static void update_irq(struct uart16550 *uart)
{
    irq_set(&uart->irq, (uart->mcr & MCR_OUT2) && pending(uart) != IIR_NONE);
}

// --- the rings ---

static void start_recheck(struct uart16550 *uart)
{
    if (uart->recheck_ns == 0) {
        uart->recheck_step_ns = RECHECK_FIRST_NS;
        uart->recheck_ns = plat_now_ns() + RECHECK_FIRST_NS;
        uart->vm->timers_moved = true;
    }
}

static bool ring_put(struct uart16550 *uart, uint8_t byte)
{
    struct spsc *ring = &uart->console->tx;
    uint32_t before = ring->head;

    if (!spsc_push(ring, &byte)) {
        return false;
    }
    uart->sent++;
    // Tell the reader only when it may have seen an empty ring; it reads until there is nothing left. The
    // fence pairs push and look; should the reader's own look have been too early, the recheck tells it.
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) == before) {
        dp_emit(uart->vm, DP_EV_CONSOLE, uart->index, 0);
    }
    start_recheck(uart);
    return true;
}

static void drain_tx(struct uart16550 *uart)
{
    if (uart->tx.count == 0) {
        return;
    }
    while (uart->tx.count > 0 && ring_put(uart, uart->tx.data[uart->tx.first])) {
        (void)fifo_pop(&uart->tx);
    }
    if (uart->tx.count == 0) {
        uart->thre_pending = true;
    }
}

static void fill_rx(struct uart16550 *uart)
{
    uint8_t byte;

    if (uart->mcr & MCR_LOOP) {
        return;
    }
    while (uart->rx.count < capacity(uart) && spsc_pop(&uart->console->rx, &byte)) {
        fifo_push(&uart->rx, byte);
        uart->received++;
    }
}

void uart16550_console_changed(struct uart16550 *uart)
{
    drain_tx(uart);
    fill_rx(uart);
    update_irq(uart);
}

void uart16550_run(struct uart16550 *uart, uint64_t now_ns)
{
    if (uart->recheck_ns == 0 || now_ns < uart->recheck_ns) {
        return;
    }
    uart->recheck_ns = 0;
    drain_tx(uart);
    if (spsc_count(&uart->console->tx) > 0) {
        dp_emit(uart->vm, DP_EV_CONSOLE, uart->index, 0);
        uart->recheck_step_ns = MIN(uart->recheck_step_ns * 2, RECHECK_LAST_NS);
        uart->recheck_ns = now_ns + uart->recheck_step_ns;
    }
    update_irq(uart);
}

// --- registers ---

static void transmit(struct uart16550 *uart, uint8_t byte)
{
    uart->thre_pending = false;
    if (uart->mcr & MCR_LOOP) {
        if (uart->rx.count < capacity(uart)) {
            fifo_push(&uart->rx, byte);
        } else {
            uart->line_error |= LSR_OVERRUN;
        }
        uart->thre_pending = true;
    } else if (uart->tx.count == 0 && ring_put(uart, byte)) {
        uart->thre_pending = true;
    } else if (uart->tx.count < capacity(uart)) {
        fifo_push(&uart->tx, byte);
        start_recheck(uart);
    } else {
        uart->overrun++;
    }
}

static uint8_t receive(struct uart16550 *uart)
{
    uint8_t byte = uart->rx.count > 0 ? fifo_pop(&uart->rx) : 0;

    fill_rx(uart);
    return byte;
}

static void write_ier(struct uart16550 *uart, uint8_t value)
{
    // Enabling the THRE interrupt while THR is empty raises it, however often; drivers test for that.
    if ((value & IER_THRE) && !(uart->ier & IER_THRE) && uart->tx.count == 0) {
        uart->thre_pending = true;
    }
    uart->ier = value & IER_MASK;
}

static void write_fcr(struct uart16550 *uart, uint8_t value)
{
    bool switched = (value ^ uart->fcr) & FCR_ENABLE; // PC16550D: changing modes clears both FIFOs

    if (switched || (value & FCR_CLEAR_RX)) {
        fifo_clear(&uart->rx);
    }
    if (switched || (value & FCR_CLEAR_TX)) {
        drain_tx(uart); // what the guest wrote is not thrown away while the reader can still take it
        uart->overrun += uart->tx.count;
        fifo_clear(&uart->tx);
        uart->thre_pending = true;
    }
    uart->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
    fill_rx(uart);
}

static uint8_t modem_lines(const struct uart16550 *uart)
{
    uint8_t mcr = uart->mcr;

    if (!(mcr & MCR_LOOP)) {
        return MSR_CTS | MSR_DSR | MSR_DCD; // a terminal that is always there
    }
    return (uint8_t)((mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
                     (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void write_mcr(struct uart16550 *uart, uint8_t value)
{
    uint8_t before = modem_lines(uart);
    uint8_t changed;

    uart->mcr = value & MCR_MASK;
    changed = before ^ modem_lines(uart);
    // RI counts when it goes away, the others when they change.
    uart->msr_delta |= (uint8_t)((changed & (MSR_CTS | MSR_DSR | MSR_DCD)) >> 4);
    if (changed & before & MSR_RI) {
        uart->msr_delta |= MSR_TRAILING_RI;
    }
    fill_rx(uart);
}

static uint8_t read_iir(struct uart16550 *uart)
{
    uint8_t iir = pending(uart);

    if (iir == IIR_THRE) {
        uart->thre_pending = false; // reading IIR with this source acknowledges it
    }
    return iir | (uart->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct uart16550 *uart)
{
    uint8_t lsr = uart->line_error;

    uart->line_error = 0;
    if (uart->rx.count > 0) {
        lsr |= LSR_DATA;
    }
    if (uart->tx.count == 0) {
        lsr |= LSR_THRE | LSR_TEMT;
    }
    return lsr;
}

static uint8_t read_msr(struct uart16550 *uart)
{
    uint8_t msr = modem_lines(uart) | uart->msr_delta;

    uart->msr_delta = 0;
    return msr;
}

static uint8_t read_register(struct uart16550 *uart, uint16_t reg)
{
    bool dlab = uart->lcr & LCR_DLAB;

    switch (reg) {
    case REG_DATA:
        return dlab ? uart->divisor[0] : receive(uart);
    case REG_IER:
        return dlab ? uart->divisor[1] : uart->ier;
    case REG_IIR_FCR:
        return read_iir(uart);
    case REG_LCR:
        return uart->lcr;
    case REG_MCR:
        return uart->mcr;
    case REG_LSR:
        return read_lsr(uart);
    case REG_MSR:
        return read_msr(uart);
    default:
        return uart->scratch;
    }
}

static void write_register(struct uart16550 *uart, uint16_t reg, uint8_t value)
{
    bool dlab = uart->lcr & LCR_DLAB;

    switch (reg) {
    case REG_DATA:
    case REG_IER:
        if (dlab) {
            uart->divisor[reg] = value;
        } else if (reg == REG_DATA) {
            transmit(uart, value);
        } else {
            write_ier(uart, value);
        }
        break;
    case REG_IIR_FCR:
        write_fcr(uart, value);
        break;
    case REG_LCR:
        uart->lcr = value;
        break;
    case REG_MCR:
        write_mcr(uart, value);
        break;
    case REG_SCRATCH:
        uart->scratch = value;
        break;
    default: // LSR and MSR are read-only
        break;
    }
}

static uint8_t uart_read(void *dev, uint16_t offset)
{
    struct uart16550 *uart = dev;
    uint8_t value = read_register(uart, offset);

    update_irq(uart);
    return value;
}

static void uart_write(void *dev, uint16_t offset, uint8_t value)
{
    struct uart16550 *uart = dev;

    write_register(uart, offset, value);
    update_irq(uart);
}

const struct port_ops uart16550_ops = {.read = uart_read, .write = uart_write};

void uart16550_init(struct uart16550 *uart, struct dp_vm *vm, uint32_t index, struct irq_line irq)
{
    *uart = (struct uart16550){
        .vm = vm,
        .console = &vm->com[index],
        .index = index,
        .irq = irq,
        .mcr = 0,
        .divisor = {12, 0}, // 9600 baud
    };
}
