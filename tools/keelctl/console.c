// SPDX-License-Identifier: Apache-2.0
// keelctl system console: joins the terminal, or a pipe, with a guest's serial port.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "tools/keelctl/json.h"
#include "tools/keelctl/operation.h"
#include "tools/keelctl/out.h"
#include "tools/keelctl/ws.h"

#define LEAVE_KEY 0x1d // Ctrl-]
#define PIECE 512      // of input in one message; the node queues 8 KiB before it stops taking more
#define QUEUE_MAX 4096 // unsent bytes beyond which input is not read
#define ONLY_NEW "4611686018427387904" // a sequence number no console reaches: 2^62
#define CLOSE_SECONDS 2.0

static volatile sig_atomic_t told_to_end;
static sigset_t signals_before; // the session's

static void on_signal(int number)
{
    (void)number;
    told_to_end = 1;
}

struct session {
    struct ws *ws;
    bool terminal; // standard input is one, and raw
    bool input_ended;
    bool output_failed;
    double last_output;
    double idle; // seconds of silence after the end of input that end the session; 0: none do
};

// --- output ---

static void write_out(void *arg, const uint8_t *data, size_t length)
{
    struct session *s = arg;

    s->last_output = monotonic_seconds();
    while (length > 0 && !s->output_failed) {
        ssize_t n = write(1, data, length);

        if (n > 0) {
            data += n;
            length -= (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd p = {.fd = 1, .events = POLLOUT};

            poll(&p, 1, -1);
        } else if (errno != EINTR) {
            s->output_failed = true;
        }
    }
}

// --- input ---

// Passes keys on; false when the user wants to leave.
static bool take_input(struct session *s)
{
    char keys[PIECE], *leave = NULL;
    ssize_t n = read(0, keys, sizeof keys);

    if (n <= 0) {
        s->input_ended = n == 0 || (errno != EINTR && errno != EAGAIN);
        s->last_output = monotonic_seconds();
        return !(s->terminal && s->input_ended); // a terminal that hangs up
    }
    if (s->terminal) {
        leave = memchr(keys, LEAVE_KEY, (size_t)n);
        n = leave != NULL ? leave - keys : n;
    }
    if (n > 0) {
        ws_send(s->ws, keys, (size_t)n);
    }
    return leave == NULL;
}

// --- the loop ---

static bool idle_over(const struct session *s)
{
    return s->idle > 0 && s->input_ended && monotonic_seconds() - s->last_output >= s->idle;
}

static int poll_timeout(const struct session *s)
{
    return s->idle > 0 && s->input_ended ? 100 : -1;
}

// Signals that end the session arrive in here alone, so that none comes between a look at told_to_end and the wait.
static void wait_for(struct pollfd *p, nfds_t count, int timeout_ms)
{
    struct timespec timeout = {.tv_nsec = timeout_ms * 1000000l}; // below a second

    ppoll(p, count, timeout_ms < 0 ? NULL : &timeout, &signals_before);
}

// Runs until the user leaves (true) or the connection ends (false).
static bool run(struct session *s)
{
    while (ws_step(s->ws)) {
        bool takes = !s->input_ended && ws_queued(s->ws) < QUEUE_MAX;
        struct pollfd p[2] = {{.fd = ws_socket(s->ws), .events = POLLIN},
                              {.fd = takes ? 0 : -1, .events = POLLIN}};

        if (ws_wants_write(s->ws)) {
            p[0].events |= POLLOUT;
        }
        wait_for(p, 2, poll_timeout(s));
        if (told_to_end || s->output_failed || idle_over(s)) {
            return true;
        }
        if (takes && p[1].revents != 0 && !take_input(s)) {
            return true;
        }
    }
    return false;
}

// Sends what is queued and says good-bye, but not for long.
static void leave(struct session *s)
{
    double deadline = monotonic_seconds() + CLOSE_SECONDS;

    ws_close(s->ws);
    while (ws_step(s->ws) && monotonic_seconds() < deadline) {
        struct pollfd p = {.fd = ws_socket(s->ws),
                           .events = ws_wants_write(s->ws) ? POLLIN | POLLOUT : POLLIN};

        poll(&p, 1, 100);
    }
}

// --- the terminal ---

static void make_raw(const struct termios *saved)
{
    struct termios raw = *saved;

    cfmakeraw(&raw);
    tcsetattr(0, TCSADRAIN, &raw);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigset_t ending;

    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    sigaddset(&ending, SIGINT);
    sigprocmask(SIG_BLOCK, &ending, &signals_before);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static enum status ended(const struct session *s, const char *id)
{
    unsigned code = ws_close_code(s->ws);

    if (code == 1000) {
        if (s->terminal) {
            fprintf(stderr, "[%s has ended]\n", id);
        }
        return STATUS_OK;
    }
    complain("the connection to the console was lost (%u)", code);
    return STATUS_UNREACHABLE;
}

static enum status attach(struct client *c, struct session *s, const char *id, const char *path)
{
    enum status status;
    struct termios saved;

    s->ws = ws_open(c, path, write_out, s, &status);
    if (s->ws == NULL) {
        return status;
    }
    catch_signals();
    s->terminal = isatty(0) && tcgetattr(0, &saved) == 0;
    if (s->terminal) {
        fprintf(stderr, "[console of %s; Ctrl-] leaves]\n", id);
        make_raw(&saved);
    }
    if (run(s)) {
        leave(s);
        status = STATUS_OK;
    } else {
        status = STATUS_FAILED; // replaced below, once the terminal is usable
    }
    if (s->terminal) {
        tcsetattr(0, TCSADRAIN, &saved);
        fputc('\n', stderr);
    }
    if (status != STATUS_OK) {
        status = ended(s, id);
    }
    ws_free(s->ws);
    sigprocmask(SIG_SETMASK, &signals_before, NULL);
    return status;
}

// --- commands ---

// "?port=P&from=N" of the options; false and said if they are wrong.
static bool console_query(const struct options *o, char query[64])
{
    uint64_t port = 0, from = 0;

    if ((o->port != NULL && !parse_number("port", o->port, 2, &port)) ||
        (o->from != NULL && !parse_number("from", o->from, UINT64_MAX >> 2, &from))) {
        return false;
    }
    if (o->fresh) {
        snprintf(query, 64, "?port=%u&from=" ONLY_NEW, (unsigned)port);
    } else {
        snprintf(query, 64, "?port=%u&from=%llu", (unsigned)port, (unsigned long long)from);
    }
    return true;
}

static char *console_path(const char *id, const char *what, const char *query)
{
    char suffix[128];

    snprintf(suffix, sizeof suffix, "/console%s%s", what, query);
    return client_path("/v1/systems/", id, suffix);
}

enum status system_console(struct client *c, const struct options *o, char **arguments)
{
    struct session s = {.last_output = monotonic_seconds()};
    enum status status;
    uint64_t idle = 0;
    char query[64], *path;

    if (!console_query(o, query) || (o->idle != NULL && !parse_number("idle", o->idle, 86400, &idle))) {
        return STATUS_USAGE;
    }
    s.idle = (double)idle;
    path = console_path(arguments[0], "", query);
    status = attach(c, &s, arguments[0], path);
    free(path);
    return status;
}

enum status system_history(struct client *c, const struct options *o, char **arguments)
{
    char query[64], *path;
    enum status status;
    struct answer a;

    if (!console_query(o, query)) {
        return STATUS_USAGE;
    }
    path = console_path(arguments[0], "/history", query);
    status = client_request(c, "GET", path, NULL, &a);
    if (status == STATUS_OK && a.body != NULL) {
        fwrite(a.body, 1, a.length, stdout);
    }
    answer_free(&a);
    free(path);
    return status;
}
