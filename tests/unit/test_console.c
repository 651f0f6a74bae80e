// srcs: hv/console.c hv/log.c
// SPDX-License-Identifier: Apache-2.0
// The serial console: whole lines around the shell's row, and what happens when the wire is slower than the log.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/host.h"
#include "arch/x86/virt.h"
#include "hv/console.h"
#include "hv/interrupt.h"
#include "hv/screen.h"

#define RING 16384u

static char wire[1 << 20]; // everything that was sent
static size_t wire_len, queued;
static unsigned polled; // bytes written by polling
static bool has_interrupt = true;

// --- the UART ---

void host_uart_init(uint16_t port, uint8_t irq)
{
    (void)port;
    (void)irq;
}

size_t host_uart_write(const char *text, size_t len, enum uart_mode mode)
{
    bool sync = mode != UART_RING;
    size_t n = sync ? len : MIN(len, RING - queued);

    queued = sync ? 0 : queued + n;
    polled += sync ? (unsigned)n : 0;
    memcpy(wire + wire_len, text, n);
    wire_len += n;
    return n;
}

size_t host_uart_room(void)
{
    return RING - queued;
}

bool host_uart_has_interrupt(void)
{
    return has_interrupt;
}

void host_uart_interrupt(void)
{
    queued -= MIN(queued, 16u);
}

static const char *typed = "";

int host_uart_read(void)
{
    return *typed == '\0' ? -1 : *typed++;
}

// --- the rest of the hypervisor ---

struct cpu cpus[HV_MAX_CPUS];
uint32_t cpu_count;
const struct virt_ops *virt;
uint64_t host_tsc_hz = 1000000000;

uint64_t host_tsc(void)
{
    return 0;
}

void host_stop_others(void)
{
}

void host_reset(void)
{
    fail_msg("reset");
    __builtin_trap();
}

void spin_wait(const spinlock_t *l, uint32_t ticket)
{
    (void)l;
    fail_msg("a lock is taken twice (%u)", ticket);
}

void screen_panic_line(const char *line, size_t len)
{
    (void)line;
    (void)len;
}

void interrupt_console_notify(void)
{
}

// --- the tests ---

static int setup(void **state)
{
    char buf[2048];

    (void)state;
    has_interrupt = true;
    while (console_shell_read(buf, sizeof(buf)) > 0) { // also: from now on the console is interrupt driven
    }
    while (queued > 0) {
        hv_console_interrupt();
    }
    (void)console_shell_write("\r\n", 2);
    wire_len = queued = polled = 0;
    return 0;
}

static void line(const char *text)
{
    log_line(LOG_ERROR, text, strlen(text));
}

static bool on_wire(const char *text)
{
    wire[wire_len] = '\0';
    return strstr(wire, text) != NULL;
}

static unsigned count(const char *text)
{
    unsigned n = 0;

    wire[wire_len] = '\0';
    for (const char *at = strstr(wire, text); at != NULL; at = strstr(at + 1, text)) {
        n++;
    }
    return n;
}

static void test_line_around_the_shells_row(void **state)
{
    (void)state;
    assert_int_equal(console_shell_write("keelson> sys", 12), 12);
    line("hello");
    assert_true(on_wire("keelson> sys\r\x1b[K[    0.000000] hello\r\nkeelson> sys"));
}

// Fills the ring; returns how many lines were shown.
static unsigned flood(unsigned lines)
{
    unsigned before = count("line ");
    char text[32];

    for (unsigned i = 0; i < lines; i++) {
        snprintf(text, sizeof(text), "line %u.", i);
        line(text);
    }
    return count("line ") - before;
}

static void test_flood(void **state)
{
    uint64_t from = log_next_sequence();
    static char kept[65536];
    char note[64];
    unsigned shown;

    (void)state;
    shown = flood(1000);
    assert_in_range(shown, 400, 999);
    assert_int_equal(polled, 0); // nobody waited
    assert_int_equal(count("not shown"), 0);
    while (queued > RING / 2 + 16) {
        hv_console_interrupt();
    }
    assert_int_equal(count("not shown"), 0);
    line("between"); // still hidden: only a drained ring shows lines again
    assert_false(on_wire("between"));
    hv_console_interrupt();
    snprintf(note, sizeof(note), "\r\n(%u lines not shown)\r\n", 1001 - shown);
    assert_true(on_wire(note));
    line("afterwards");
    assert_true(on_wire("afterwards"));
    assert_int_equal(count("not shown"), 1);
    assert_int_equal(wire[wire_len - 1], '\n'); // whole lines only
    // The log has them all.
    kept[log_read(&from, kept, sizeof(kept) - 1)] = '\0';
    assert_non_null(strstr(kept, "line 999.\n"));
    assert_non_null(strstr(kept, "between\n"));
}

static void test_next_line_tells(void **state)
{
    (void)state;
    (void)flood(1000);
    queued = 0;
    line("afterwards");
    assert_true(on_wire("lines not shown)\r\n[    0.000000] afterwards\r\n"));
}

static void test_shell_gets_what_fits(void **state)
{
    static char text[2 * RING];

    (void)state;
    memset(text, 'x', sizeof(text));
    assert_int_equal(console_shell_write(text, sizeof(text)), RING);
    assert_int_equal(console_shell_write(text, 10), 0);
    assert_int_equal(polled, 0);
}

static void test_monitor_shows_what_fits(void **state)
{
    (void)state;
    line("a line of the log");
    wire_len = queued = 0;
    typed = "\x1el";
    hv_console_interrupt();
    assert_true(on_wire("a line of the log\n"));
    assert_in_range(wire_len, 20, 8192);
    queued = RING - 100;
    wire_len = 0;
    typed = "\x1el";
    hv_console_interrupt();
    assert_in_range(wire_len, 100, 116);
    assert_int_equal(polled, 0);
}

static void test_without_interrupt_it_polls(void **state)
{
    char buf[8];

    (void)state;
    has_interrupt = false;
    (void)console_shell_read(buf, sizeof(buf));
    assert_int_equal(flood(1000), 1000);
    assert_int_equal(count("not shown"), 0);
    assert_in_range(polled, 1000, sizeof(wire));
}

// The last test: it stays polled, also when a reader comes late.
static void test_end_and_panic_poll(void **state)
{
    char buf[8];

    (void)state;
    (void)flood(1000);
    assert_int_equal(polled, 0);
    console_end();
    assert_int_equal(queued, 0);
    (void)console_shell_read(buf, sizeof(buf));
    line("power off");
    assert_true(on_wire("lines not shown)\r\n[    0.000000] power off\r\n"));
    console_panic();
    line("last words");
    assert_true(on_wire("power off\r\n[    0.000000] last words\r\n"));
    assert_int_equal(queued, 0);
}

#define CASE(fn) cmocka_unit_test_setup(fn, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_line_around_the_shells_row),
        CASE(test_flood),
        CASE(test_next_line_tells),
        CASE(test_shell_gets_what_fits),
        CASE(test_monitor_shows_what_fits),
        CASE(test_without_interrupt_it_polls),
        CASE(test_end_and_panic_poll),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
