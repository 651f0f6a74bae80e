// SPDX-License-Identifier: Apache-2.0
// The console UART, a 16550 (National Semiconductor PC16550D): interrupt-driven transmit ring.
//
// Writers fill the ring and whatever fits into the FIFO; the transmit interrupt drains the rest. Nobody
// waits for the line except who polls: until interrupts work, at an orderly end, and after a panic, which takes no
// lock: the processor that held it may be stopped.
#include "arch/x86/host_internal.h"

#define UART_DATA 0 // with DLAB: divisor low
#define UART_IER 1  // with DLAB: divisor high
#define UART_FCR 2  // write; reads give IIR
#define UART_LCR 3
#define UART_MCR 4
#define UART_LSR 5

#define IER_RECEIVE 0x01
#define IER_TRANSMIT 0x02
#define FCR_ENABLE_CLEAR 0x07
#define LCR_8N1 0x03
#define LCR_DLAB 0x80
#define MCR_DTR_RTS_OUT2 0x0b // OUT2 gates the interrupt line on PC boards
#define LSR_DATA 0x01
#define LSR_THR_EMPTY 0x20
#define LSR_IDLE 0x40 // the last bit has left the shift register
#define DIVISOR_115200 1
#define FIFO_BYTES 16
#define SYNC_SPINS 1000000

#define RING_BYTES 16384u // power of two

static uint16_t port; // 0: no UART
static uint8_t isa_irq;
static uint8_t ring[RING_BYTES];
static uint32_t head, tail; // free running; head - tail bytes wait
static uint8_t enabled;     // IER
static bool routed;         // the interrupt reaches us
static spinlock_t lock;

static void set_interrupts(uint8_t ier)
{
    if (enabled != ier) {
        enabled = ier;
        outb(port + UART_IER, ier);
    }
}

static bool transmitter_ready(void)
{
    return inb(port + UART_LSR) & LSR_THR_EMPTY;
}

// A transmitter that never becomes ready costs its time-out once.
static void wait_for(uint8_t status)
{
    static bool dead;

    for (unsigned i = 0; i < SYNC_SPINS && !dead; i++) {
        if (inb(port + UART_LSR) & status) {
            return;
        }
        cpu_pause();
    }
    dead = (inb(port + UART_LSR) & status) == 0;
}

// Moves bytes from the ring to the FIFO; the lock is held.
static void pump(void)
{
    if (head != tail && transmitter_ready()) {
        for (unsigned i = 0; i < FIFO_BYTES && head != tail; i++) {
            outb(port + UART_DATA, ring[tail++ % RING_BYTES]);
        }
    }
    set_interrupts(head != tail ? IER_RECEIVE | IER_TRANSMIT : IER_RECEIVE);
}

void host_uart_init(uint16_t io_port, uint8_t irq)
{
    if (io_port == 0 || inb(io_port + UART_LSR) == 0xff) {
        return; // nothing decodes the port
    }
    port = io_port;
    outb(port + UART_IER, 0);
    outb(port + UART_LCR, LCR_DLAB);
    outb(port + UART_DATA, DIVISOR_115200);
    outb(port + UART_IER, 0);
    outb(port + UART_LCR, LCR_8N1);
    outb(port + UART_FCR, FCR_ENABLE_CLEAR);
    outb(port + UART_MCR, MCR_DTR_RTS_OUT2);
    set_interrupts(IER_RECEIVE);
    isa_irq = irq;
}

void uart_route(void)
{
    if (port != 0 && isa_irq != 0) {
        struct isa_route r = ioapic_isa_route(isa_irq);
        routed = host_ioapic_route(r.gsi, HOST_VECTOR_CONSOLE, cpus[0].apic_id, r.level, r.active_low);
        if (!routed) {
            LOGW("no interrupt for the console UART: input is not seen, output is polled");
        }
    }
}

static void poll_byte(uint8_t byte)
{
    wait_for(LSR_THR_EMPTY);
    outb(port + UART_DATA, byte);
}

// What was written before comes first. The count is bounded: after a panic an interrupt handler may still move `tail`.
static size_t write_polled(const char *text, size_t len)
{
    for (uint32_t n = MIN(head - tail, RING_BYTES); n > 0; n--) {
        poll_byte(ring[tail++ % RING_BYTES]);
    }
    for (size_t i = 0; i < len; i++) {
        poll_byte((uint8_t)text[i]);
    }
    wait_for(LSR_IDLE); // the machine may be off the moment after
    return len;
}

static size_t write_ring(const char *text, size_t len)
{
    size_t accepted = MIN(len, RING_BYTES - (head - tail));

    for (size_t i = 0; i < accepted; i++) {
        ring[head++ % RING_BYTES] = (uint8_t)text[i];
    }
    pump();
    return accepted;
}

size_t host_uart_write(const char *text, size_t len, enum uart_mode mode)
{
    if (port == 0) {
        return len;
    }
    if (mode == UART_PANIC) {
        return write_polled(text, len);
    }
    spin_lock(&lock);
    len = mode == UART_POLLED ? write_polled(text, len) : write_ring(text, len);
    spin_unlock(&lock);
    return len;
}

size_t host_uart_room(void)
{
    return port == 0 ? SIZE_MAX
                     : RING_BYTES - (__atomic_load_n(&head, __ATOMIC_RELAXED) -
                                     __atomic_load_n(&tail, __ATOMIC_RELAXED));
}

bool host_uart_has_interrupt(void)
{
    return port == 0 || routed;
}

int host_uart_read(void)
{
    if (port == 0 || (inb(port + UART_LSR) & LSR_DATA) == 0) {
        return -1;
    }
    return inb(port + UART_DATA);
}

void host_uart_interrupt(void)
{
    if (port == 0) {
        return;
    }
    (void)inb(port + UART_FCR); // IIR: acknowledges the transmit interrupt
    spin_lock(&lock);
    pump();
    spin_unlock(&lock);
}
