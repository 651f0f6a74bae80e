// SPDX-License-Identifier: Apache-2.0
// The shell's session: who gets the keys (the line editor, a guest, nobody), and when the prompt is shown.
//
//            a command that takes time                      Ctrl-C, or it is finished
//   PROMPT ─────────────────────────────► WAITING ─────────────────────────────────────► PROMPT
//      ├───► HELD (a disk works) ──shell_release()──► PROMPT
//      └───► ATTACHED (console NAME) ──Ctrl-], or the system ends──► PROMPT
//
// Keys that come while a command is waited for are kept for the prompt, so that a script may be pasted.
#include "mgmt/shell/shell.h"

#include <stdio.h>
#include <string.h>

#include "mgmt/core/auth.h"
#include "mgmt/hvif/hvif.h"
#include "mgmt/plat.h"
#include "mgmt/shell/command.h"

#define INPUT_MAX 2048u
#define INTERRUPT_KEY 0x03 // Ctrl-C
#define LEAVE_KEY 0x1d     // Ctrl-]
#define CHUNK 2048u        // of guest output, queued when the last one is sent
#define GUEST_RETRY_NS 20000000ull
#define PROGRESS_NS 250000000ull

static struct {
    bool started;
    enum { PROMPT, HELD, WAITING, ATTACHED } mode;
    struct plat_source source;
    char input[INPUT_MAX]; // not yet consumed
    size_t input_length;
    bool more; // the console may hold more input

    struct line line;

    // WAITING
    struct operation *op;     // NULL: finished; it may be gone after that
    struct core_error result; // then its outcome
    struct notify op_done;
    struct plat_work op_work; // the prompt comes back from here
    struct system *subject;   // referenced
    const char *doing, *done;
    bool progress_shown;

    // ATTACHED
    struct system *guest; // referenced
    struct console *console;
    struct notify output;
    uint64_t sequence;

    struct plat_timer timer; // progress, or input that the guest did not take
} shell;

static void prompt(void)
{
    shell.mode = PROMPT;
    line_begin(&shell.line);
}

void shell_hold(void)
{
    shell.mode = HELD;
}

void shell_release(void)
{
    prompt();
}

// --- waiting for an operation ---

static void erase_progress(void)
{
    if (shell.progress_shown) {
        term_write("\r\x1b[K", 4);
        shell.progress_shown = false;
    }
}

static void show_progress(struct plat_timer *timer)
{
    char text[SYSTEM_ID_MAX + 64];

    if (system_busy(shell.subject)) {
        snprintf(text, sizeof text, "%s: %s, %u %%", shell.subject->id, shell.doing,
                 system_progress(shell.subject));
        erase_progress();
        term_print("%s", text);
        shell.progress_shown = true;
    }
    plat_timer_start(timer, PROGRESS_NS, show_progress);
}

static void stop_waiting(void)
{
    plat_timer_stop(&shell.timer);
    erase_progress();
    if (shell.op != NULL) {
        notify_remove(&shell.op->waiters, &shell.op_done);
        shell.op = NULL;
    }
    system_unref(shell.subject);
    shell.subject = NULL;
}

static void operation_ended(struct plat_work *work)
{
    (void)work;
    if (shell.mode != WAITING || shell.op != NULL) {
        return; // given up meanwhile
    }
    erase_progress();
    if (shell.result.status == CORE_OK) {
        term_print("%s: %s\n", shell.subject->id, shell.done);
    } else {
        say_error(&shell.result);
    }
    stop_waiting();
    prompt();
}

// An operation that somebody has closed is freed as soon as its listeners know.
static void take_result(void)
{
    shell.result = shell.op->error;
    notify_remove(&shell.op->waiters, &shell.op_done);
    shell.op = NULL;
    plat_post(&shell.op_work, operation_ended);
}

static void operation_notified(struct notify *n)
{
    (void)n;
    take_result();
}

void shell_wait(struct operation *op, struct system *s, const char *doing, const char *done)
{
    shell.mode = WAITING;
    shell.op = op;
    shell.subject = s;
    shell.doing = doing;
    shell.done = done;
    system_ref(s);
    notify_add(&op->waiters, &shell.op_done, operation_notified);
    if (op->state == OPERATION_DONE) {
        take_result();
    } else {
        plat_timer_start(&shell.timer, PROGRESS_NS, show_progress);
    }
}

static void give_up_waiting(void)
{
    uint64_t id = shell.op != NULL ? shell.op->id : 0;

    stop_waiting();
    if (id != 0) {
        term_print("^C: operation %llu goes on\n", (unsigned long long)id);
    }
    prompt();
}

// --- attached to a guest ---

static void detach(const char *why)
{
    plat_timer_stop(&shell.timer);
    term_on_empty(NULL);
    notify_remove(&shell.console->readers, &shell.output);
    // The guest may have left colours, or a hidden cursor.
    term_write("\x1b[0m\x1b[?25h\r\n", 12);
    term_print("[%s: %s]\n", shell.guest->id, why);
    system_unref(shell.guest);
    shell.guest = NULL;
    shell.console = NULL;
    prompt();
}

static void lost_bytes(uint64_t lost)
{
    term_print("\n[%s of older output are gone]\n", bytes_text(lost));
}

// More of the guest's output as soon as the last is on its way; the history holds what we do not take.
static void guest_output(void)
{
    uint8_t chunk[CHUNK];
    bool first = shell.sequence == 0;
    uint64_t lost;
    size_t n;

    if (shell.mode != ATTACHED || term_pending() > 0) {
        return;
    }
    n = console_read(shell.console, &shell.sequence, chunk, sizeof chunk, &lost);
    if (lost > 0 && !first) {
        lost_bytes(lost);
    }
    if (n > 0) {
        term_write(chunk, n);
    } else if (shell.guest->deleted) {
        detach("the system was deleted");
    } else if (shell.guest->state == SYSTEM_STOPPED) {
        detach(shell.guest->exit_text);
    }
}

static void guest_notified(struct notify *n)
{
    (void)n;
    guest_output();
}

void shell_attach(struct system *s, unsigned port)
{
    shell.mode = ATTACHED;
    shell.guest = s;
    shell.console = &s->com[port];
    shell.sequence = 0;
    system_ref(s);
    term_print("[%s: serial port %u, Ctrl-] leaves]\n", s->id, port);
    notify_add(&shell.console->readers, &shell.output, guest_notified);
    term_on_empty(guest_output); // the line above is in the queue
}

static void consume(size_t n)
{
    memmove(shell.input, shell.input + n, shell.input_length - n);
    shell.input_length -= n;
}

static void guest_takes_again(struct plat_timer *timer)
{
    (void)timer;
    plat_wake();
}

static bool feed_guest(void)
{
    const char *leave = memchr(shell.input, LEAVE_KEY, shell.input_length);
    size_t n = leave != NULL ? (size_t)(leave - shell.input) : shell.input_length;
    size_t taken = console_write(shell.console, shell.input, n);

    if (shell.console->vm == NULL || (leave != NULL && taken < n)) {
        taken = n; // nobody reads; or the operator wants out of a guest that does not
    }
    if (taken == 0 && shell.input_length == INPUT_MAX) {
        taken = n; // keys for a guest that does not read must not keep Ctrl-] from being seen
        term_write("\a", 1);
    }
    consume(taken);
    if (leave != NULL) {
        consume(1);
        term_discard();
        detach("detached");
    } else if (taken < n && !shell.timer.armed) {
        plat_timer_start(&shell.timer, GUEST_RETRY_NS, guest_takes_again);
    }
    return taken > 0 || leave != NULL;
}

// --- commands ---

// A setting's command without a value only shows it.
static bool changes_something(const struct call *c)
{
    return c->command->changes && (c->command->maximum == 0 || c->argument[0] != NULL);
}

// What was asked for, without secrets: no command takes one.
static void audit(const struct call *c)
{
    char action[160];
    size_t n = (size_t)snprintf(action, sizeof action, "%s%s%s", c->command->noun,
                                c->command->verb[0] ? " " : "", c->command->verb);

    for (size_t i = 0; i < COMMAND_ARGUMENTS_MAX && c->argument[i] != NULL && n < sizeof action; i++) {
        n += (size_t)snprintf(action + n, sizeof action - n, " %s", c->argument[i]);
    }
    auth_audit("admin", "serial console", action, "allowed");
}

static void run(const char *text)
{
    static struct words words; // too large for the stack; one at a time
    struct call call;

    line_remember(&shell.line, text);
    words_split(&words, text, strlen(text));
    if ((words.count > 0 || words.problem != NULL) && command_parse(&words, &call)) {
        if (changes_something(&call)) {
            audit(&call);
        }
        call.command->run(&call);
    }
    if (shell.mode == PROMPT) {
        prompt();
    }
}

static bool feed_line(void)
{
    size_t n = 0;

    while (n < shell.input_length && shell.mode == PROMPT) {
        enum line_event event = line_key(&shell.line, (uint8_t)shell.input[n++]);

        if (event == LINE_ENTER) {
            run(shell.line.text);
            break; // let others run between two commands
        }
        if (event == LINE_COMPLETE) {
            complete(&shell.line);
        } else if (event == LINE_INTERRUPT) {
            term_discard();
            term_write("^C\r\n", 4);
            prompt();
        }
    }
    consume(n);
    return n > 0;
}

static bool feed_wait(void)
{
    const char *key = memchr(shell.input, INTERRUPT_KEY, shell.input_length);

    if (key == NULL) {
        return false;
    }
    consume((size_t)(key - shell.input) + 1);
    give_up_waiting();
    return true;
}

// --- input ---

static bool read_input(void)
{
    size_t n = 0;

    shell.more = plat_console_ready() || shell.more;
    if (!shell.more || shell.input_length == INPUT_MAX) {
        return false;
    }
    if (hvif_console_read(shell.input + shell.input_length, INPUT_MAX - shell.input_length, &n) !=
            HV_STATUS_SUCCESS ||
        n == 0) {
        shell.more = false;
    }
    shell.input_length += n;
    return n > 0;
}

static bool poll_console(struct plat_source *source)
{
    bool did = read_input();

    (void)source;
    if (shell.input_length == 0) {
        return did;
    }
    switch (shell.mode) {
    case PROMPT:
        return feed_line() || did;
    case HELD:
        return did;
    case WAITING:
        return feed_wait() || did;
    case ATTACHED:
        return (!shell.timer.armed && feed_guest()) || did;
    }
    return did;
}

void shell_start(void)
{
    if (shell.started) {
        return;
    }
    shell.started = true;
    shell.more = true; // what was typed before
    shell.line.prompt = "keelson> ";
    shell.source.poll = poll_console;
    plat_source_add(&shell.source);
    term_print("Type help for the list of commands.\n");
    prompt();
}
