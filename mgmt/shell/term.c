// SPDX-License-Identifier: Apache-2.0
// The output queue of the shell.
#include "mgmt/shell/term.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/hvif/hvif.h"
#include "mgmt/plat.h"

#define FIRST_CAPACITY 4096u
#define QUEUE_MAX (512u << 10)
#define TEXT_MAX 2560u       // of one term_print(); a kernel command line fits
#define RETRY_NS 10000000ull // 115 bytes at 115200 baud, out of a ring of several thousand
#define CUT "\r\n[output cut]\r\n"

static char *queue;
static size_t sent, length, capacity;
static bool cut; // something was dropped and not yet said so
static struct plat_work send_work;
static struct plat_timer retry_timer;
static void (*empty_fn)(void);

static void wipe(void *data, size_t n)
{
    if (n > 0) {
        memset(data, 0, n);
    }
    __asm__ volatile("" : : "r"(data) : "memory"); // the wiping is not for nothing
}

static void release(void)
{
    free(queue);
    queue = NULL;
    sent = length = capacity = 0;
}

// --- sending ---

static void send_queue(struct plat_work *work);

static void retry(struct plat_timer *timer)
{
    (void)timer;
    send_queue(&send_work);
}

static void send_queue(struct plat_work *work)
{
    size_t taken = 1;

    (void)work;
    if (length == sent) {
        return;
    }
    while (sent < length && taken > 0) {
        if (hvif_console_put(queue + sent, length - sent, &taken) != HV_STATUS_SUCCESS) {
            taken = length - sent; // there is no console; nobody misses it
        }
        wipe(queue + sent, taken);
        sent += taken;
    }
    if (sent < length) {
        plat_timer_start(&retry_timer, RETRY_NS, retry);
        return;
    }
    release();
    if (empty_fn != NULL) {
        empty_fn();
    }
}

size_t term_pending(void)
{
    return length - sent;
}

void term_discard(void)
{
    wipe(queue, length);
    release();
    cut = false;
    plat_timer_stop(&retry_timer);
}

void term_on_empty(void (*fn)(void))
{
    empty_fn = fn;
}

// --- queueing ---

// Makes room for `n` more bytes; the old place is wiped, so realloc() will not do.
static bool reserve(size_t n)
{
    size_t wanted = MAX(capacity, (size_t)FIRST_CAPACITY);
    char *larger;

    if (length + n <= capacity) {
        return true;
    }
    while (wanted < length - sent + n) {
        wanted *= 2;
    }
    larger = wanted <= QUEUE_MAX ? malloc(wanted) : NULL;
    if (larger == NULL) {
        return false;
    }
    if (length > sent) {
        memcpy(larger, queue + sent, length - sent);
    }
    if (queue != NULL) {
        wipe(queue, length);
    }
    free(queue);
    queue = larger;
    length -= sent;
    sent = 0;
    capacity = wanted;
    return true;
}

static void append(const void *data, size_t n)
{
    memcpy(queue + length, data, n);
    length += n;
}

void term_write(const void *data, size_t n)
{
    if (!reserve(n + sizeof CUT)) {
        cut = true;
        return;
    }
    if (cut) {
        append(CUT, sizeof CUT - 1);
        cut = false;
    }
    append(data, n);
    if (!retry_timer.armed) {
        plat_post(&send_work, send_queue);
    }
}

// --- text ---

// Is the byte at text[i] one that moves the cursor or worse? C1 controls are two bytes in UTF-8: C2 80 to C2 9F.
static bool is_control(const char *text, size_t i)
{
    uint8_t c = (uint8_t)text[i], before = i > 0 ? (uint8_t)text[i - 1] : 0,
            next = (uint8_t)text[c != '\0' ? i + 1 : i];

    return c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next <= 0x9f) ||
           (before == 0xc2 && c >= 0x80 && c <= 0x9f);
}

static void write_text(const char *text)
{
    size_t begin = 0, i;

    for (i = 0; text[i] != '\0'; i++) {
        if (is_control(text, i)) {
            term_write(text + begin, i - begin);
            if (text[i] == '\n') {
                term_write("\r\n", 2);
            } else {
                term_write("?", 1);
            }
            begin = i + 1;
        }
    }
    term_write(text + begin, i - begin);
}

void term_print(const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    write_text(text);
    wipe(text, sizeof text);
}

void term_field(const char *name, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    term_print("%-14s %s\n", name, text);
}
