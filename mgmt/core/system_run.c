// SPDX-License-Identifier: Apache-2.0
// What makes systems run and end: clients' requests and the guests' own.
#include <stdio.h>
#include <string.h>

#include "mgmt/core/event.h"
#include "mgmt/core/system.h"
#include "mgmt/hvif/hvif.h"

static void start_built(struct partition *p, const struct core_error *error);
static void stop_done(struct partition *p, const struct core_error *error);

static struct system *owner_of(struct partition *p)
{
    return CONTAINER_OF(p, struct system, partition);
}

static void finish(struct operation **op, const struct core_error *error)
{
    struct operation *done = *op;

    *op = NULL;
    operation_finish(done, error);
}

static enum core_status refuse(const struct system *s, const char *verb, struct core_error *error)
{
    if (s->state == SYSTEM_STOPPED) {
        return core_fail(error, CORE_ALREADY_STOPPED, "system '%s' has ended (%s)", s->id, s->exit_text);
    }
    return core_fail(error, CORE_INVALID_STATE, "system '%s' cannot be %s: it is %s%s", s->id, verb,
                     system_state_name(s->state),
                     system_busy(s) ? " and an operation on it is going on" : "");
}

bool system_busy(const struct system *s)
{
    return s->goal != SYSTEM_GOAL_NONE;
}

unsigned system_progress(const struct system *s)
{
    return partition_progress(&s->partition);
}

static void set_exit(struct system *s, enum system_exit exit, enum system_exit_cause cause, const char *text)
{
    s->exit = exit;
    s->cause = cause;
    snprintf(s->exit_text, sizeof s->exit_text, "%s", text);
}

static void close_consoles(struct system *s)
{
    for (unsigned i = 0; i < DP_CONSOLES; i++) {
        console_close(&s->com[i]);
    }
}

static void detach_consoles(struct system *s)
{
    for (unsigned i = 0; i < DP_CONSOLES; i++) {
        console_detach(&s->com[i]);
    }
}

// The system has ended; everything is back with its owner (or known to be stuck).
static void become_stopped(struct system *s)
{
    struct core_error unexpected;

    s->goal = SYSTEM_GOAL_NONE;
    s->state = SYSTEM_STOPPED;
    s->stopped_ms = plat_unix_ms();
    if (s->partition.phase == PARTITION_EMPTY) {
        partition_drop_ram(&s->partition);
    }
    system_release(s);
    core_fail(&unexpected, CORE_UNEXPECTED_EXIT, "%s", s->exit_text);
    event_post(s->exit == SYSTEM_EXIT_UNEXPECTED ? EVENT_SYSTEM_CRASHED : EVENT_SYSTEM_EXITED, s->id, "%s",
               s->exit_text);
    for (unsigned i = 0; i < DP_CONSOLES; i++) {
        notify_raise(&s->com[i].readers);
    }
    finish(&s->shutdown_op, s->exit == SYSTEM_EXIT_UNEXPECTED ? &unexpected : NULL);
    finish(&s->stop_op, NULL);
    notify_raise(&s->ended);
}

static void become_running(struct system *s)
{
    s->goal = SYSTEM_GOAL_NONE;
    s->state = SYSTEM_RUNNING;
    s->started_ms = plat_unix_ms();
    s->started_ns = plat_now_ns();
    finish(&s->start_op, NULL);
}

// --- start ---

enum core_status system_start(struct system *s, struct operation *op, struct core_error *error)
{
    if (s->state != SYSTEM_CREATED || s->goal != SYSTEM_GOAL_NONE) {
        return refuse(s, "started", error);
    }
    if (partition_admit(s->cfg.memory_bytes, error) != CORE_OK) {
        return CORE_NO_MEMORY;
    }
    s->goal = SYSTEM_GOAL_START;
    s->start_op = op;
    partition_build(&s->partition, &s->cfg, start_built);
    return CORE_OK;
}

static void attach_consoles(struct system *s)
{
    for (unsigned i = 0; i < DP_CONSOLES; i++) {
        if (s->cfg.com[i]) {
            console_attach(&s->com[i], s->partition.vm);
        }
    }
}

static void build_failed(struct system *s, const struct core_error *error)
{
    bool was_running = s->state != SYSTEM_CREATED;

    finish(&s->start_op, error);
    if (s->goal == SYSTEM_GOAL_STOP) { // cancelled by terminate
        become_stopped(s);
    } else if (was_running || s->partition.phase == PARTITION_STUCK) {
        set_exit(s, SYSTEM_EXIT_UNEXPECTED, SYSTEM_CAUSE_RESET_FAILED, error->text);
        become_stopped(s);
    } else {
        s->goal = SYSTEM_GOAL_NONE; // still CREATED: the client may try again
    }
}

// Built, but the VPs would not run: take it down and report why.
static void run_failed(struct system *s, const struct core_error *error)
{
    finish(&s->start_op, error);
    set_exit(s, SYSTEM_EXIT_UNEXPECTED, SYSTEM_CAUSE_VP_FAILURE, error->text);
    s->goal = SYSTEM_GOAL_STOP;
    close_consoles(s);
    partition_stop(&s->partition, false, stop_done);
}

static void start_built(struct partition *p, const struct core_error *build_error)
{
    struct system *s = owner_of(p);
    bool reset = s->goal == SYSTEM_GOAL_RESET;
    struct core_error error;

    if (build_error->status != CORE_OK) {
        build_failed(s, build_error);
        return;
    }
    attach_consoles(s);
    if (partition_start(p, &error) != CORE_OK) {
        run_failed(s, &error);
        return;
    }
    become_running(s);
    event_post(reset ? EVENT_SYSTEM_RESET : EVENT_SYSTEM_STARTED, s->id,
               reset ? "reset by the guest" : "running");
}

// --- stop ---

static void stop_done(struct partition *p, const struct core_error *error)
{
    struct system *s = owner_of(p);

    if (error->status != CORE_OK) {
        plat_log(LOG_ERROR, "system '%s': %s", s->id, error->text);
    }
    if (s->goal == SYSTEM_GOAL_RESET && p->phase == PARTITION_EMPTY) {
        s->resets++;
        partition_build(p, &s->cfg, start_built);
        return;
    }
    become_stopped(s);
}

// Ends a system that has a partition, whatever it is doing.
static void stop_now(struct system *s, bool reset)
{
    s->goal = reset ? SYSTEM_GOAL_RESET : SYSTEM_GOAL_STOP;
    close_consoles(s);
    partition_stop(&s->partition, reset, stop_done);
}

static void cancel_build(struct system *s)
{
    struct core_error reason;

    s->goal = SYSTEM_GOAL_STOP;
    core_fail(&reason, CORE_TERMINATED, "system '%s' was terminated while it was starting", s->id);
    partition_cancel(&s->partition, &reason);
}

enum core_status system_terminate(struct system *s, struct operation *op, struct core_error *error)
{
    if (s->state == SYSTEM_STOPPED || s->stop_op != NULL) {
        return core_fail(error, CORE_ALREADY_STOPPED, "system '%s' %s", s->id,
                         s->state == SYSTEM_STOPPED ? "has ended" : "is being terminated");
    }
    s->stop_op = op;
    if (s->goal == SYSTEM_GOAL_STOP) {
        return CORE_OK; // ends by itself already; its own reason stays
    }
    set_exit(s, SYSTEM_EXIT_FORCED, SYSTEM_CAUSE_TERMINATED, "terminated by a client");
    if (s->partition.phase == PARTITION_BUILDING) {
        cancel_build(s);
    } else if (s->partition.phase == PARTITION_STOPPING) {
        s->goal = SYSTEM_GOAL_STOP; // in the middle of a reset, or of a failed start
    } else if (s->partition.phase == PARTITION_RUNNING) {
        stop_now(s, false);
    } else {
        become_stopped(s);
    }
    return CORE_OK;
}

enum core_status system_shutdown(struct system *s, struct operation *op, struct core_error *error)
{
    struct dp_command cmd = {.type = DP_CMD_POWER_BUTTON, .vm = s->partition.vm};

    if (s->stop_op != NULL || s->shutdown_op != NULL) {
        return core_fail(error, CORE_ALREADY_STOPPED, "system '%s' is already shutting down", s->id);
    }
    if (s->state != SYSTEM_RUNNING || s->goal != SYSTEM_GOAL_NONE) {
        return refuse(s, "shut down", error);
    }
    if (!dp_send(&cmd)) {
        return core_fail(error, CORE_LIMIT, "the data plane is busy; try again");
    }
    s->shutdown_op = op; // finished by become_stopped()
    return CORE_OK;
}

// --- pause and resume ---

static enum core_status set_paused(struct system *s, bool pause, struct operation *op,
                                   struct core_error *error)
{
    enum system_state from = pause ? SYSTEM_RUNNING : SYSTEM_PAUSED;

    if (s->state != from || s->goal != SYSTEM_GOAL_NONE) {
        return refuse(s, pause ? "paused" : "resumed", error);
    }
    if (partition_pause(&s->partition, pause, error) != CORE_OK) {
        return CORE_HYPERVISOR;
    }
    s->state = pause ? SYSTEM_PAUSED : SYSTEM_RUNNING;
    event_post(pause ? EVENT_SYSTEM_PAUSED : EVENT_SYSTEM_RESUMED, s->id, "by a client");
    operation_finish(op, NULL);
    return CORE_OK;
}

enum core_status system_pause(struct system *s, struct operation *op, struct core_error *error)
{
    return set_paused(s, true, op, error);
}

enum core_status system_resume(struct system *s, struct operation *op, struct core_error *error)
{
    return set_paused(s, false, op, error);
}

uint64_t system_cpu_100ns(const struct system *s)
{
    struct hv_x_counters_out counters;
    struct hv_x_info_out info;

    if (s->partition.phase != PARTITION_RUNNING ||
        hvif_counters(s->partition.id, HV_VP_INDEX_ANY, &counters) != HV_STATUS_SUCCESS ||
        hvif_info(&info) != HV_STATUS_SUCCESS || info.tsc_hz == 0) {
        return 0;
    }
    return (uint64_t)((unsigned __int128)counters.value[HV_CTR_RUN_TSC] * 10000000u / info.tsc_hz);
}

// --- what guests do ---

static void guest_crashed(struct system *s, uint32_t vp, uint32_t message)
{
    bool triple = message == HV_MSG_UNRECOVERABLE_EXCEPTION;
    const char *what = triple                                        ? "triple fault"
                       : message == HV_MSG_INVALID_VP_REGISTER_VALUE ? "processor state was refused"
                                                                     : "processor did what is not supported";
    char registers[160];
    char text[CORE_TEXT_MAX];

    partition_describe_vp(&s->partition, vp, registers, sizeof registers);
    snprintf(text, sizeof text, "VP %u stopped, %s (message 0x%08x): %s", (unsigned)vp, what,
             (unsigned)message, registers);
    (void)!hvif_system(HV_X_DUMP,
                       (uint32_t)(s->partition.id & 0xffff) << 8 | vp); // the low bits are its index
    set_exit(s, SYSTEM_EXIT_UNEXPECTED, triple ? SYSTEM_CAUSE_TRIPLE_FAULT : SYSTEM_CAUSE_VP_FAILURE, text);
    stop_now(s, false);
}

static void guest_event(struct system *s, const struct dp_event *ev)
{
    if (s->goal != SYSTEM_GOAL_NONE || s->partition.phase != PARTITION_RUNNING) {
        return; // it is on its way out, or not yet in
    }
    if (ev->type == DP_EV_POWER_OFF) {
        set_exit(s, SYSTEM_EXIT_GRACEFUL, SYSTEM_CAUSE_POWER_OFF, "powered off by the guest");
        stop_now(s, false);
    } else if (ev->type == DP_EV_RESET && s->stop_on_reset) {
        set_exit(s, SYSTEM_EXIT_GRACEFUL, SYSTEM_CAUSE_RESET, "reset by the guest (StopOnReset)");
        stop_now(s, false);
    } else if (ev->type == DP_EV_RESET) {
        stop_now(s, true);
    } else if (ev->type == DP_EV_CRASH) {
        guest_crashed(s, ev->arg, ev->code);
    }
}

static void pull_consoles(struct system *s)
{
    for (unsigned i = 0; i < DP_CONSOLES; i++) {
        console_pull(&s->com[i]);
    }
}

// The guest's entropy device is empty. It asks at most once in VRNG_ASK_NS, so a greedy guest costs little.
static void give_entropy(struct system *s)
{
    struct dp_vm *vm = s->partition.vm;
    struct dp_command cmd = {.type = DP_CMD_ENTROPY, .vm = vm};
    uint8_t bytes[256];

    if (!s->partition.attached || s->partition.detaching) {
        return;
    }
    plat_random(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes && spsc_push(&vm->entropy, &bytes[i]); i++) {
    }
    memset(bytes, 0, sizeof bytes);
    (void)!dp_send(&cmd); // command ring full: the device asks again
}

static void dispatch(const struct dp_event *ev)
{
    struct partition *p = ev->vm->owner;
    struct system *s = owner_of(p);

    if (ev->type == DP_EV_DETACHED) {
        detach_consoles(s);
        partition_detached(p);
    } else if (ev->type == DP_EV_CONSOLE) {
        pull_consoles(s);
    } else if (ev->type == DP_EV_ENTROPY) {
        give_entropy(s);
    } else {
        guest_event(s, ev);
    }
}

#define EVENTS_A_TURN 64

static bool poll_data_plane(struct plat_source *source)
{
    struct dp_event ev;
    unsigned n = 0;

    (void)source;
    while (n < EVENTS_A_TURN && dp_poll_event(&ev)) {
        dispatch(&ev);
        n++;
    }
    for (struct system *s = system_next(NULL); s != NULL && console_retry_needed(); s = system_next(s)) {
        for (unsigned i = 0; i < DP_CONSOLES; i++) {
            console_retry(&s->com[i]);
        }
    }
    return n > 0;
}

static struct plat_source data_plane_source = {.poll = poll_data_plane};

void system_init(void)
{
    plat_source_add(&data_plane_source);
}
