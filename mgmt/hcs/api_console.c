// SPDX-License-Identifier: Apache-2.0
// Guest consoles over HTTP: a WebSocket for people, plain history for scripts.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/hcs/api_priv.h"

#define CHUNK 4096u
#define INPUT_MAX 8192u // keystrokes that wait for the guest
#define RETRY_NS 20000000ull

// An open socket. Output goes from the history as fast as the client takes it; input that the guest does
// not take yet waits here, and the socket is paused until it does.
struct session {
    struct http_ws *ws;
    struct system *system; // referenced
    struct console *console;
    uint64_t sequence;
    struct notify notify;
    struct plat_timer retry;
    bool closing;
    size_t waiting;
    uint8_t input[INPUT_MAX];
};

// --- output ---

static bool send_lost(struct session *s, uint64_t lost)
{
    char text[80];

    snprintf(text, sizeof text, "\r\n[%llu bytes of older output are gone]\r\n", (unsigned long long)lost);
    return ws_send(s->ws, WS_BINARY, text, strlen(text));
}

static void pump_out(struct session *s)
{
    uint8_t chunk[CHUNK];

    while (!s->closing) {
        uint64_t from = s->sequence, lost;
        size_t space = ws_send_space(s->ws);
        size_t n = space < 128 ? 0 : console_read(s->console, &from, chunk, MIN(space - 96, CHUNK), &lost);

        if (n == 0 || (lost > 0 && s->sequence > 0 && !send_lost(s, lost)) ||
            !ws_send(s->ws, WS_BINARY, chunk, n)) {
            break;
        }
        s->sequence = from;
    }
}

static void console_changed(struct notify *notify)
{
    struct session *s = CONTAINER_OF(notify, struct session, notify);

    pump_out(s);
    if ((s->system->state == SYSTEM_STOPPED || s->system->deleted) && !s->closing &&
        s->sequence == s->console->next) {
        s->closing = true;
        ws_close(s->ws, 1000, "the system has ended");
    }
}

static void on_writable(struct http_ws *ws)
{
    struct session *s = ws_user(ws);

    console_changed(&s->notify);
}

// --- input ---

static void pump_in(struct session *s);

static void retry_input(struct plat_timer *timer)
{
    pump_in(CONTAINER_OF(timer, struct session, retry));
}

static void pump_in(struct session *s)
{
    size_t taken = console_write(s->console, s->input, s->waiting);

    memmove(s->input, s->input + taken, s->waiting - taken);
    s->waiting -= taken;
    if (s->console->vm == NULL || s->waiting == 0) {
        s->waiting = 0; // nobody there: what was typed is lost, as on a real line
        ws_resume(s->ws);
        return;
    }
    ws_pause(s->ws);
    plat_timer_start(&s->retry, RETRY_NS, retry_input);
}

static void on_message(struct http_ws *ws, int type, const void *data, size_t length)
{
    struct session *s = ws_user(ws);
    const uint8_t *bytes = data;
    size_t direct = s->waiting == 0 ? console_write(s->console, bytes, length) : 0;

    (void)type;
    bytes += direct;
    length -= direct;
    if (length > INPUT_MAX - s->waiting) {
        s->closing = true;
        ws_close(ws, 1009, "the guest does not read its console; send less at once");
        return;
    }
    memcpy(s->input + s->waiting, bytes, length);
    s->waiting += length;
    if (s->waiting > 0) {
        pump_in(s);
    }
}

static void on_close(struct http_ws *ws, int code)
{
    struct session *s = ws_user(ws);

    (void)code;
    plat_timer_stop(&s->retry);
    notify_remove(&s->console->readers, &s->notify);
    system_unref(s->system);
    free(s);
}

static const struct ws_handler handler = {
    .on_message = on_message,
    .on_writable = on_writable,
    .on_close = on_close,
};

// --- routes ---

// System and port that a request names; NULL and answered if there is no such port.
static struct console *console_of(struct http_request *r, struct system **system, uint64_t *from)
{
    char message[224];
    uint64_t port;

    *system = api_system(r);
    if (*system == NULL || !api_query_uint(r, "port", 0, DP_COM_PORTS - 1, &port) ||
        !api_query_uint(r, "from", 0, UINT64_MAX >> 1, from)) {
        return NULL;
    }
    if (!(*system)->com[port].present) {
        snprintf(message, sizeof message,
                 "the document of system '%.120s' has no $.VirtualMachine.Devices.ComPorts.%u", (*system)->id,
                 (unsigned)port);
        api_fail(r, HR_E_NOT_FOUND, message);
        return NULL;
    }
    return &(*system)->com[port];
}

void api_console_socket(struct http_request *r)
{
    struct system *system;
    uint64_t from;
    struct console *console = console_of(r, &system, &from);
    struct session *s;

    if (console == NULL) {
        return;
    }
    s = calloc(1, sizeof *s);
    if (s == NULL) {
        api_fail(r, HR_E_OUTOFMEMORY, NULL);
        return;
    }
    s->ws = http_upgrade_ws(r, &handler, s, NULL);
    if (s->ws == NULL) { // answered
        free(s);
        return;
    }
    s->system = system;
    s->console = console;
    s->sequence = MIN(from, console->next); // a larger number asks for what is new
    system_ref(system);
    notify_add(&console->readers, &s->notify, console_changed);
    console_changed(&s->notify);
}

void api_console_history(struct http_request *r)
{
    struct system *system;
    uint64_t from, lost;
    struct console *console = console_of(r, &system, &from);
    char *bytes, next[24];
    size_t n;

    if (console == NULL) {
        return;
    }
    bytes = malloc(CONSOLE_HISTORY);
    if (bytes == NULL) {
        api_fail(r, HR_E_OUTOFMEMORY, NULL);
        return;
    }
    n = console_read(console, &from, bytes, CONSOLE_HISTORY, &lost);
    snprintf(next, sizeof next, "%llu", (unsigned long long)from);
    http_add_header(r, "X-Next-Sequence", next);
    http_respond_take(r, 200, "application/octet-stream", bytes, n);
}
