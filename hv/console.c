// SPDX-License-Identifier: Apache-2.0
// Serial console: output of log and shell, input, and the monitor behind Ctrl-^.
#include "hv/console.h"

#include "arch/x86/host.h"
#include "arch/x86/virt.h"
#include "hv/interrupt.h"
#include "hv/vp.h"

#define ESCAPE_KEY 0x1e // Ctrl-^
#define PARTIAL_MAX 256
#define INPUT_SIZE 1024u

static bool sync = true;          // polled until interrupts work, and again after a panic
static char partial[PARTIAL_MAX]; // the shell's unfinished line
static size_t partial_len;
static spinlock_t output_lock;
static char input[INPUT_SIZE];
static uint32_t input_head, input_tail; // written by the interrupt handler; read by hypercall
static bool escaped;

void console_init(const struct boot_info *info)
{
    host_uart_init(info->com_port, info->com_irq);
}

void console_set_sync(void)
{
    sync = true;
}

static void emit(const char *text, size_t len)
{
    while (len > 0) {
        size_t n = host_uart_write(text, len, sync);

        if (n == 0) {
            n = host_uart_write(text, len, true); // the ring is full: wait for the wire, do not lose text
        }
        text += n;
        len -= n;
    }
}

void console_log_line(const char *line, size_t len)
{
    bool locked = !sync; // another processor may end the polling meanwhile

    if (locked) {
        spin_lock(&output_lock);
    }
    if (partial_len > 0) {
        emit("\r\x1b[K", 4);
    }
    emit(line, len);
    emit("\r\n", 2);
    emit(partial, partial_len);
    if (locked) {
        spin_unlock(&output_lock);
    }
}

static void track_partial(char c)
{
    if (c == '\n' || c == '\r') {
        partial_len = 0;
    } else if (partial_len < PARTIAL_MAX) {
        partial[partial_len++] = c;
    }
}

size_t console_shell_write(const char *text, size_t len, bool wait)
{
    spin_lock(&output_lock);
    if (wait) {
        emit(text, len);
    } else {
        len = host_uart_write(text, len, sync);
    }
    for (size_t i = 0; i < len; i++) {
        track_partial(text[i]);
    }
    spin_unlock(&output_lock);
    return len;
}

// --- input ---

static void monitor_key(int key)
{
    char buf[256];
    uint64_t seq = log_next_sequence() > 8192 ? log_next_sequence() - 8192 : 0;

    switch (key) {
    case 'd':
        monitor_dump();
        break;
    case 'l':
        for (size_t n = log_read(&seq, buf, sizeof(buf)); n > 0; n = log_read(&seq, buf, sizeof(buf))) {
            emit(buf, n);
            seq += n;
        }
        break;
    case 'r':
        emit("\r\nmonitor: reset\r\n", 18);
        host_reset();
    default:
        emit("\r\nmonitor: d dump, l log, r reset\r\n", 35);
    }
}

static void take_byte(int c)
{
    if (escaped) {
        escaped = false;
        monitor_key(c);
        return;
    }
    if (c == ESCAPE_KEY) {
        escaped = true;
        return;
    }
    if (input_head - input_tail < INPUT_SIZE) {
        input[input_head % INPUT_SIZE] = (char)c;
        __atomic_store_n(&input_head, input_head + 1, __ATOMIC_RELEASE);
    }
}

void hv_console_interrupt(void)
{
    host_uart_interrupt();
    for (int c = host_uart_read(); c >= 0; c = host_uart_read()) {
        take_byte(c);
    }
    if (console_input_pending()) {
        interrupt_console_notify();
    }
}

bool console_input_pending(void)
{
    return __atomic_load_n(&input_head, __ATOMIC_ACQUIRE) != input_tail;
}

size_t console_shell_read(char *buf, size_t cap)
{
    uint32_t head = __atomic_load_n(&input_head, __ATOMIC_ACQUIRE);
    size_t n = 0;

    sync = false; // somebody listens: interrupts work
    while (n < cap && input_tail != head) {
        buf[n++] = input[input_tail % INPUT_SIZE];
        __atomic_store_n(&input_tail, input_tail + 1, __ATOMIC_RELEASE);
    }
    return n;
}

// --- the monitor ---

void monitor_dump(void)
{
    for (uint32_t i = 0; i < cpu_count; i++) {
        struct vp *vp = cpus[i].current;

        if (vp == NULL) {
            LOGN("processor %u: idle", i);
        } else {
            LOGN("processor %u: partition %u VP %u, %llu entries, last exit %u", i, vp->partition->index,
                 vp->index, (unsigned long long)vp->entries, vp->exit.reason);
        }
    }
    if (this_cpu()->current != NULL) {
        virt->dump(this_cpu()->current);
    }
}

void monitor_loop(void)
{
    emit("monitor: d dump, l log, r reset\r\n", 33);
    for (;;) {
        int c = host_uart_read();

        if (c >= 0) {
            monitor_key(c);
        }
        __builtin_ia32_pause();
    }
}
