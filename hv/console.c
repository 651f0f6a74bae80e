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
#define RESUME_ROOM 8192u // free bytes in the UART's ring at which lines are shown again
#define LOG_SHOWN 8192u   // bytes of the log that the monitor shows

static enum uart_mode mode = UART_POLLED; // until interrupts work, and again at the end
static bool ending;                       // it stays polled
static char partial[PARTIAL_MAX];         // [output lock] the shell's unfinished line
static size_t partial_len;                // [output lock]
static uint32_t hidden;                   // [output lock] log lines since the last that was shown
static spinlock_t output_lock;
static char input[INPUT_SIZE];
static uint32_t input_head, input_tail; // written by the interrupt handler; read by hypercall
static bool escaped;

void console_init(const struct boot_info *info)
{
    host_uart_init(info->com_port, info->com_irq);
}

void console_panic(void)
{
    ending = true;
    mode = UART_PANIC;
    (void)host_uart_write("", 0, mode); // what waits in the ring goes first
}

// After a panic no lock is taken: its holder has stopped. Returns what unlock_output() wants to know.
static bool lock_output(void)
{
    bool locked = mode != UART_PANIC;

    if (locked) {
        spin_lock(&output_lock);
    }
    return locked;
}

static void unlock_output(bool locked)
{
    if (locked) {
        spin_unlock(&output_lock);
    }
}

void console_end(void)
{
    bool locked = lock_output();

    ending = true;
    mode = locked ? UART_POLLED : mode;
    (void)host_uart_write("", 0, mode);
    unlock_output(locked);
}

// [output lock] How many bytes the wire takes without anybody waiting for it.
static size_t room(void)
{
    return mode == UART_RING ? host_uart_room() : SIZE_MAX;
}

// [output lock] What does not fit is lost: the caller has looked at room(), or does not care.
static void emit(const char *text, size_t len)
{
    (void)host_uart_write(text, len, mode);
}

// [output lock] One whole line above the shell's unfinished one.
static void emit_line(const char *line, size_t len)
{
    if (partial_len > 0) {
        emit("\r\x1b[K", 4);
    }
    emit(line, len);
    emit("\r\n", 2);
    emit(partial, partial_len);
}

static size_t line_size(size_t len)
{
    return len + partial_len + 6; // as emit_line() at most
}

// [output lock] Lines were hidden, and there is room again: says how many.
static void tell_hidden(void)
{
    char note[64];
    size_t n;

    if (hidden > 0 && room() >= RESUME_ROOM) {
        n = format_line(note, sizeof(note), "(%u lines not shown)", hidden);
        hidden = 0;
        emit_line(note, n);
    }
}

void console_log_line(const char *line, size_t len)
{
    bool locked = lock_output();

    tell_hidden();
    if (hidden > 0 || room() < line_size(len)) {
        hidden++;
    } else {
        emit_line(line, len);
    }
    unlock_output(locked);
}

static void track_partial(char c)
{
    if (c == '\n' || c == '\r') {
        partial_len = 0;
    } else if (partial_len < PARTIAL_MAX) {
        partial[partial_len++] = c;
    }
}

size_t console_shell_write(const char *text, size_t len)
{
    bool locked = lock_output();

    len = host_uart_write(text, len, mode);
    for (size_t i = 0; i < len; i++) {
        track_partial(text[i]);
    }
    unlock_output(locked);
    return len;
}

// --- input ---

// The end of the log, as much as fits.
static void show_log(void)
{
    uint64_t end = log_next_sequence();
    uint64_t want = MIN((uint64_t)LOG_SHOWN, room());
    uint64_t seq = end > want ? end - want : 0;
    char buf[256];

    while (seq < end) {
        size_t n = log_read(&seq, buf, MIN(sizeof(buf), end - seq));

        emit(buf, n);
        seq += n;
    }
}

static void monitor_say(const char *text, size_t len)
{
    bool locked = lock_output();

    emit(text, len);
    unlock_output(locked);
}

static void monitor_key(int key)
{
    bool locked;

    switch (key) {
    case 'd':
        monitor_dump();
        break;
    case 'l':
        locked = lock_output();
        show_log();
        unlock_output(locked);
        break;
    case 'r':
        monitor_say("\r\nmonitor: reset\r\n", 18);
        host_reset();
    default:
        monitor_say("\r\nmonitor: d dump, l log, r reset\r\n", 35);
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
    bool locked;

    host_uart_interrupt();
    locked = lock_output();
    tell_hidden();
    unlock_output(locked);
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

    if (!ending) { // somebody listens: interrupts work, if the UART has one
        mode = host_uart_has_interrupt() ? UART_RING : UART_POLLED;
    }
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
                 vp->index, (unsigned long long)vp_entries(vp), vp->exit.reason);
        }
    }
    if (this_cpu()->current != NULL) {
        virt->dump(this_cpu()->current);
    }
}

void monitor_loop(void)
{
    monitor_say("monitor: d dump, l log, r reset\r\n", 33);
    for (;;) {
        int c = host_uart_read();

        if (c >= 0) {
            monitor_key(c);
        }
        __builtin_ia32_pause();
    }
}
