// SPDX-License-Identifier: Apache-2.0
// The log: a ring of text lines with byte sequence numbers, and a small printf.
#include <stdarg.h>

#include "arch/x86/host.h"
#include "hv/console.h"
#include "hv/screen.h"

#define RING_SIZE 65536u
#define LINE_MAX 240

enum log_level log_level = LOG_INFO;
static char ring[RING_SIZE];
static uint64_t ring_next; // sequence of the next byte
static spinlock_t log_lock;
static bool panicking;

// --- formatting: %d %i %u %x %p %c %s %%, with -, 0, width, l, ll, z ---

struct sink {
    char *buf;
    size_t cap, len;
};

static void put(struct sink *s, char c)
{
    if (s->len + 1 < s->cap) {
        s->buf[s->len] = c;
    }
    s->len++;
}

struct spec {
    bool left, zero;
    unsigned width;
    int longs;
};

static void put_padded(struct sink *s, const struct spec *sp, const char *text, size_t len)
{
    size_t pad = sp->width > len ? sp->width - len : 0;

    for (size_t i = 0; !sp->left && i < pad; i++) {
        put(s, sp->zero ? '0' : ' ');
    }
    for (size_t i = 0; i < len; i++) {
        put(s, text[i]);
    }
    for (size_t i = 0; sp->left && i < pad; i++) {
        put(s, ' ');
    }
}

static void put_number(struct sink *s, const struct spec *sp, uint64_t v, unsigned base, bool negative)
{
    char digits[24];
    size_t n = sizeof(digits);

    do {
        digits[--n] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v != 0);
    if (negative) {
        digits[--n] = '-';
    }
    put_padded(s, sp, digits + n, sizeof(digits) - n);
}

static uint64_t next_number(va_list *ap, int longs, bool is_signed)
{
    if (longs > 0) {
        return va_arg(*ap, uint64_t);
    }
    return is_signed ? (uint64_t)(int64_t)va_arg(*ap, int) : va_arg(*ap, unsigned);
}

static void put_string(struct sink *s, const struct spec *sp, const char *text)
{
    size_t len = 0;

    text = text == NULL ? "(null)" : text;
    while (text[len] != '\0') {
        len++;
    }
    put_padded(s, sp, text, len);
}

static void put_conversion(struct sink *s, const struct spec *sp, char conv, va_list *ap)
{
    int64_t v;
    char c;

    switch (conv) {
    case 'd':
    case 'i':
        v = (int64_t)next_number(ap, sp->longs, true);
        put_number(s, sp, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, v < 0);
        break;
    case 'u':
        put_number(s, sp, next_number(ap, sp->longs, false), 10, false);
        break;
    case 'x':
        put_number(s, sp, next_number(ap, sp->longs, false), 16, false);
        break;
    case 'p':
        put_number(s, sp, (uint64_t)va_arg(*ap, void *), 16, false);
        break;
    case 'c':
        c = (char)va_arg(*ap, int);
        put_padded(s, sp, &c, 1);
        break;
    case 's':
        put_string(s, sp, va_arg(*ap, const char *));
        break;
    default:
        put(s, conv);
    }
}

size_t format_text(char *buf, size_t cap, const char *fmt, va_list args)
{
    struct sink s = {.buf = buf, .cap = cap};
    va_list ap;

    va_copy(ap, args);
    for (; *fmt != '\0'; fmt++) {
        struct spec sp = {0};

        if (*fmt != '%') {
            put(&s, *fmt);
            continue;
        }
        for (fmt++; *fmt == '-' || *fmt == '0' || *fmt == '#'; fmt++) {
            sp.left |= *fmt == '-';
            sp.zero |= *fmt == '0';
            if (*fmt == '#') {
                put(&s, '0');
                put(&s, 'x');
            }
        }
        for (; *fmt >= '0' && *fmt <= '9'; fmt++) {
            sp.width = sp.width * 10 + (unsigned)(*fmt - '0');
        }
        for (; *fmt == 'l' || *fmt == 'z'; fmt++) {
            sp.longs++;
        }
        if (*fmt == '\0') {
            break;
        }
        put_conversion(&s, &sp, *fmt, &ap);
    }
    va_end(ap);
    if (cap > 0) {
        buf[MIN(s.len, cap - 1)] = '\0';
    }
    return MIN(s.len, cap == 0 ? 0 : cap - 1);
}

// --- the ring ---

size_t format_line(char *buf, size_t cap, const char *fmt, ...)
{
    va_list ap;
    size_t n;

    va_start(ap, fmt);
    n = format_text(buf, cap, fmt, ap);
    va_end(ap);
    return n;
}

static size_t timestamp(char *buf, size_t cap)
{
    uint64_t us = host_tsc_hz == 0 ? 0 : host_tsc() / (host_tsc_hz / 1000000);

    return format_line(buf, cap, "[%5llu.%06llu] ", (unsigned long long)(us / 1000000),
                       (unsigned long long)(us % 1000000));
}

void log_line(enum log_level level, const char *text, size_t len)
{
    char line[LINE_MAX + 32];
    size_t n = timestamp(line, sizeof(line));

    len = MIN(len, (size_t)LINE_MAX);
    __builtin_memcpy(line + n, text, len);
    n += len;
    if (!panicking) {
        spin_lock(&log_lock);
    }
    for (size_t i = 0; i < n; i++) {
        ring[ring_next++ % RING_SIZE] = line[i];
    }
    ring[ring_next++ % RING_SIZE] = '\n';
    if (level <= log_level) {
        console_log_line(line, n);
    }
    if (panicking) {
        screen_panic_line(line, n);
    }
    if (!panicking) {
        spin_unlock(&log_lock);
    }
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    char text[LINE_MAX + 1];
    va_list ap;
    size_t n;

    va_start(ap, fmt);
    n = format_text(text, sizeof(text), fmt, ap);
    va_end(ap);
    log_line(level, text, n);
}

size_t log_read(uint64_t *sequence, char *buf, size_t cap)
{
    uint64_t end = ring_next;
    size_t n;

    if (*sequence + RING_SIZE < end) {
        *sequence = end - RING_SIZE;
    }
    n = *sequence >= end ? 0 : (size_t)MIN(end - *sequence, (uint64_t)cap);
    for (size_t i = 0; i < n; i++) {
        buf[i] = ring[(*sequence + i) % RING_SIZE];
    }
    return n;
}

uint64_t log_next_sequence(void)
{
    return ring_next;
}

void panic(const char *fmt, ...)
{
    char text[LINE_MAX + 1];
    va_list ap;
    size_t n;

    host_stop_others();
    panicking = true; // no locks from here on: their holders have stopped
    console_panic();
    n = format_line(text, sizeof(text), "PANIC on processor %u: ", this_cpu()->index);
    va_start(ap, fmt);
    n += format_text(text + n, sizeof(text) - n, fmt, ap);
    va_end(ap);
    log_line(LOG_ERROR, text, n);
    monitor_loop();
}
