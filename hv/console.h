// SPDX-License-Identifier: Apache-2.0
// The serial console: multiplexes the log and the management shell, and reaches the monitor.
//
// The hypervisor owns the UART. Log lines are written whole; what the shell has on its unfinished line is
// written again after them. Nobody waits for the wire: while the UART's ring is full log lines are left out, and
// counted by a line of their own when it has drained; the log keeps them. Only until interrupts work, before the end,
// and on a machine that gives the UART no interrupt, output is polled. Ctrl-^ followed by a letter reaches the monitor
// even when the management partition is dead: h help, d dump, l log, r reset.
#ifndef HV_CONSOLE_H
#define HV_CONSOLE_H

#include "hv/cpu.h"

struct boot_info;

void console_init(const struct boot_info *info);     // early: polled output works from here on
void console_log_line(const char *line, size_t len); // [log lock]
// Returns how many bytes were taken: what the UART's ring has room for.
size_t console_shell_write(const char *text, size_t len);
size_t console_shell_read(char *buf, size_t cap);
bool console_input_pending(void);
void console_end(
    void); // before power-off and reset: what was written is on the wire, and whatever still comes is polled
void console_panic(void);                          // the same without locks: other processors have stopped
void monitor_loop(void) __attribute__((noreturn)); // after a panic: keys d, l, r

// --- log (hv/log.c) ---
extern enum log_level log_level; // lines above it stay in the ring only
// Copies log text from `sequence` on (or from the oldest kept); returns bytes and moves *sequence.
size_t log_read(uint64_t *sequence, char *buf, size_t cap);
uint64_t log_next_sequence(void);
void log_line(enum log_level level, const char *text, size_t len); // one line of another's
size_t format_text(char *buf, size_t cap, const char *fmt, __builtin_va_list ap);
size_t format_line(char *buf, size_t cap, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
