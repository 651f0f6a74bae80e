// SPDX-License-Identifier: Apache-2.0
// Console history and the byte rings to and from the data plane.
#include "mgmt/core/console.h"

#include <stdlib.h>
#include <string.h>

void console_init(struct console *c, unsigned port)
{
    memset(c, 0, sizeof *c);
    c->present = true;
    c->port = port;
}

// Memory for the history, made when there is something to keep.
static bool have_history(struct console *c)
{
    if (c->history == NULL) {
        c->history = malloc(CONSOLE_HISTORY);
    }
    return c->history != NULL;
}

void console_free(struct console *c)
{
    free(c->history);
    c->history = NULL;
}

static unsigned pokes_pending; // consoles with poke_pending set

static void set_pending(struct console *c, bool pending)
{
    if (c->poke_pending != pending) {
        c->poke_pending = pending;
        pokes_pending += pending ? 1 : -1u;
    }
}

// Tells the data plane that a console ring changed.
static void poke(struct console *c)
{
    struct dp_command cmd = {.type = DP_CMD_CONSOLE, .vm = c->vm};

    if (!c->closing) {
        set_pending(c, !dp_send(&cmd));
    }
}

bool console_retry_needed(void)
{
    return pokes_pending > 0;
}

void console_retry(struct console *c)
{
    if (c->poke_pending) {
        poke(c);
    }
}

void console_attach(struct console *c, struct dp_vm *vm)
{
    c->vm = vm;
    c->closing = false;
}

void console_close(struct console *c)
{
    c->closing = true;
    set_pending(c, false);
}

void console_detach(struct console *c)
{
    if (c->vm != NULL) {
        console_pull(c);
        c->vm = NULL;
        notify_raise(&c->readers);
    }
}

void console_pull(struct console *c)
{
    uint64_t before = c->next;
    uint8_t byte;

    if (c->vm == NULL || spsc_count(&c->vm->com[c->port].tx) == 0 || !have_history(c)) {
        return; // without memory the bytes stay in the ring until there is some
    }
    while (c->next - before < CONSOLE_HISTORY && spsc_pop(&c->vm->com[c->port].tx, &byte)) {
        c->history[c->next++ % CONSOLE_HISTORY] = byte;
    }
    if (c->next != before) {
        poke(c); // room in tx: the guest may go on writing
        notify_raise(&c->readers);
    }
}

uint64_t console_oldest(const struct console *c)
{
    return c->next > CONSOLE_HISTORY ? c->next - CONSOLE_HISTORY : 0;
}

size_t console_read(const struct console *c, uint64_t *sequence, void *buf, size_t cap, uint64_t *lost)
{
    uint64_t oldest = console_oldest(c);
    uint64_t skipped = 0;
    size_t n = 0;

    if (*sequence > c->next) {
        *sequence = c->next;
    }
    if (*sequence < oldest) {
        skipped = oldest - *sequence;
        *sequence = oldest;
    }
    while (n < cap && *sequence < c->next) {
        size_t at = *sequence % CONSOLE_HISTORY;
        size_t run = MIN(MIN(cap - n, CONSOLE_HISTORY - at), c->next - *sequence);

        memcpy((uint8_t *)buf + n, c->history + at, run);
        n += run;
        *sequence += run;
    }
    if (lost != NULL) {
        *lost = skipped;
    }
    return n;
}

size_t console_write(struct console *c, const void *data, size_t length)
{
    const uint8_t *bytes = data;
    size_t n = 0;

    if (c->vm == NULL || c->closing) {
        return 0;
    }
    while (n < length && spsc_push(&c->vm->com[c->port].rx, &bytes[n])) {
        n++;
    }
    if (n > 0) {
        poke(c);
    }
    return n;
}
