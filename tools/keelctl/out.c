// SPDX-License-Identifier: Apache-2.0
// Tables, fields, units and the progress bar.
#include "tools/keelctl/out.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_SECONDS 0.1
#define BAR_WIDTH 30
#define COLUMN_GAP 2

// --- clean text ---

// Replaces control characters but those of `keep`, C1 controls in UTF-8 (C2 80 to C2 9F) among them.
static void strip_controls(char *text, const char *keep)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
        if ((*p < 0x20 && strchr(keep, *p) == NULL) || *p == 0x7f) {
            *p = '?';
        } else if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) {
            *p = p[1] = '?';
        }
    }
}

void print_clean(FILE *out, const char *fmt, const char *text)
{
    char *copy = strdup(text);

    if (copy != NULL) {
        strip_controls(copy, "");
        fprintf(out, fmt, copy);
        free(copy);
    }
}

void print_lines(FILE *out, char *text)
{
    strip_controls(text, "\n\t");
    fputs(text, out);
}

static char *format_clean(const char *fmt, va_list ap)
{
    char *text;

    if (vasprintf(&text, fmt, ap) < 0) {
        abort();
    }
    strip_controls(text, "");
    return text;
}

// --- tables ---

void table_init(struct table *t, const char *const *headers)
{
    *t = (struct table){.headers = headers};
    while (headers[t->columns] != NULL) {
        t->columns++;
    }
}

void table_cell(struct table *t, const char *fmt, ...)
{
    va_list ap;

    if (t->count == t->capacity) {
        t->capacity = t->capacity * 2 + 64;
        t->cells = realloc(t->cells, t->capacity * sizeof *t->cells);
        if (t->cells == NULL) {
            abort();
        }
    }
    va_start(ap, fmt);
    t->cells[t->count++] = format_clean(fmt, ap);
    va_end(ap);
}

// Columns on the screen, taking each code point of UTF-8 for one.
static size_t text_width(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

static size_t column_width(const struct table *t, size_t column)
{
    size_t width = text_width(t->headers[column]);

    for (size_t i = column; i < t->count; i += t->columns) {
        size_t w = text_width(t->cells[i]);

        width = w > width ? w : width;
    }
    return width;
}

static void print_row(const struct table *t, const size_t *widths, const char *const *cells)
{
    for (size_t c = 0; c < t->columns; c++) {
        bool last = c + 1 == t->columns;
        size_t width = text_width(cells[c]);
        size_t pad = last || width > widths[c] ? 0 : widths[c] - width + COLUMN_GAP;

        printf("%s%*s", cells[c], (int)pad, "");
    }
    putchar('\n');
}

void table_print(struct table *t, bool names_only)
{
    size_t *widths = calloc(t->columns, sizeof *widths);

    if (widths == NULL) {
        abort();
    }
    for (size_t c = 0; c < t->columns; c++) {
        widths[c] = column_width(t, c);
    }
    if (!names_only) {
        print_row(t, widths, t->headers);
    }
    for (size_t i = 0; i + t->columns <= t->count; i += t->columns) {
        if (names_only) {
            puts(t->cells[i]);
        } else {
            print_row(t, widths, (const char *const *)t->cells + i);
        }
    }
    for (size_t i = 0; i < t->count; i++) {
        free(t->cells[i]);
    }
    free(t->cells);
    free(widths);
}

void field(const char *name, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = format_clean(fmt, ap);
    va_end(ap);
    printf("%-14s %s\n", name, text);
    free(text);
}

// --- units ---

static char *next_buffer(void)
{
    static char buffers[8][64];
    static unsigned next;

    return buffers[next++ % 8];
}

#define BUFFER_SIZE 64

const char *bytes_text(double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    char *text = next_buffer();
    size_t unit = 0;

    while (bytes >= 1024 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, BUFFER_SIZE, unit == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return text;
}

const char *duration_text(double seconds)
{
    char *text = next_buffer();
    unsigned long s = seconds > 0 ? (unsigned long)seconds : 0;

    if (s >= 3600) {
        snprintf(text, BUFFER_SIZE, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    } else {
        snprintf(text, BUFFER_SIZE, "%lu:%02lu", s / 60, s % 60);
    }
    return text;
}

const char *time_text(const char *iso)
{
    char *text = next_buffer(), *t;

    snprintf(text, BUFFER_SIZE, "%.19s", iso != NULL && iso[0] != '\0' ? iso : "-");
    t = strchr(text, 'T');
    if (t != NULL) {
        *t = ' ';
    }
    return text;
}

double monotonic_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// --- progress ---

void progress_begin(struct progress *p, const char *label, uint64_t total, bool bytes, bool wanted)
{
    *p = (struct progress){.label = label, .total = total, .bytes = bytes, .active = wanted && isatty(2)};
    p->started = monotonic_seconds();
}

static void draw_bar(const struct progress *p, uint64_t done)
{
    unsigned filled = (unsigned)(done * BAR_WIDTH / p->total);

    fprintf(stderr, " [");
    for (unsigned i = 0; i < BAR_WIDTH; i++) {
        fputc(i < filled ? '=' : i == filled ? '>' : ' ', stderr);
    }
    fprintf(stderr, "] %3u%%", (unsigned)(done * 100 / p->total));
}

static void draw_rate(const struct progress *p, uint64_t done, double now)
{
    double rate = now > p->started ? (double)done / (now - p->started) : 0;

    fprintf(stderr, "  %s", bytes_text((double)done));
    if (p->total > 0) {
        fprintf(stderr, " of %s", bytes_text((double)p->total));
    }
    fprintf(stderr, "  %s/s", bytes_text(rate));
    if (p->total > done && rate > 0) {
        fprintf(stderr, "  %s left", duration_text((double)(p->total - done) / rate));
    }
}

void progress_update(struct progress *p, uint64_t done)
{
    double now = monotonic_seconds();

    if (!p->active || (now - p->drawn < REDRAW_SECONDS && done != p->total)) {
        return;
    }
    p->drawn = now;
    done = p->total > 0 && done > p->total ? p->total : done;
    print_clean(stderr, "\r%s", p->label);
    if (p->total > 0) {
        draw_bar(p, done);
    }
    if (p->bytes) {
        draw_rate(p, done, now);
    }
    fprintf(stderr, "\033[K"); // erases what an earlier, longer line left
    fflush(stderr);
}

void progress_end(struct progress *p)
{
    if (p->active && p->drawn > 0) {
        fprintf(stderr, "\r\033[K");
        fflush(stderr);
    }
    p->active = false;
}
