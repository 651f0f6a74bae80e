// SPDX-License-Identifier: Apache-2.0
// 16550A serial port backed by a pair of console rings.
//
// Source: National Semiconductor PC16550D datasheet. Transmission takes no time: a byte goes straight to
// the ring `tx`. When the ring is full, bytes wait in the 16-byte FIFO and THRE stays clear, so a driver
// that looks at THRE (all do) loses nothing however slow the reader is; a byte written although THRE is
// clear and the FIFO is full is lost as in the chip, and counted. Received bytes wait in the ring `rx`.
// The interrupt output is gated by OUT2, as PCs wire it.
#ifndef MGMT_DEVICES_UART16550_H
#define MGMT_DEVICES_UART16550_H

#include "mgmt/dataplane/dp.h"
#include "mgmt/devices/bus.h"
#include "mgmt/devices/ioapic.h"

#define UART_FIFO 16
#define UART_PORTS 8

struct uart_fifo {
    uint8_t data[UART_FIFO];
    uint8_t first, count;
};

struct uart16550 {
    struct dp_vm *vm;
    struct dp_console *console;
    uint32_t index; // of the console in vm->com
    struct irq_line irq;
    struct uart_fifo rx, tx;
    uint8_t ier, fcr, lcr, mcr, scratch;
    uint8_t msr_delta;  // low half of MSR
    uint8_t line_error; // LSR.OE
    uint8_t divisor[2];
    bool thre_pending;        // THR became empty and nobody was told
    uint64_t recheck_ns;      // look at the ring again then; 0: no need
    uint64_t recheck_step_ns; // and after that
    uint64_t sent, received, overrun;
};

extern const struct port_ops uart16550_ops;

void uart16550_init(struct uart16550 *uart, struct dp_vm *vm, uint32_t index, struct irq_line irq);

// The control plane filled rx or drained tx.
void uart16550_console_changed(struct uart16550 *uart);

// Work that waits for time: retries when a wake-up from the other plane is late. 0: none.
static inline uint64_t uart16550_deadline(const struct uart16550 *uart)
{
    return uart->recheck_ns;
}
void uart16550_run(struct uart16550 *uart, uint64_t now_ns);

#endif
