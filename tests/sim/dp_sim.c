// SPDX-License-Identifier: Apache-2.0
// The simulated data plane.
#include "tests/sim/dp_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/devices/vm.h"
#include "mgmt/plat.h"
#include "tests/sim/hvif_sim.h"

#define GUESTS_MAX 1024
#define EVENTS_MAX 4096
#define LINE_MAX_BYTES 120

struct guest {
    struct dp_vm *vm;
    bool booted, ended, detaching, button;
    char line[LINE_MAX_BYTES + 1];
    size_t length;
};

static struct guest guests[GUESTS_MAX];
static size_t guest_count;
static struct dp_event events[EVENTS_MAX];
static size_t event_head, event_tail;
static bool blocked, hold_detach;

static struct guest *find(const struct dp_vm *vm)
{
    for (size_t i = 0; i < guest_count; i++) {
        if (guests[i].vm == vm) {
            return &guests[i];
        }
    }
    return NULL;
}

void dp_sim_emit(struct dp_vm *vm, enum dp_event_type type, uint32_t arg, uint32_t code)
{
    if (event_head - event_tail == EVENTS_MAX) {
        fprintf(stderr, "dp_sim: event ring overflow\n");
        abort();
    }
    events[event_head++ % EVENTS_MAX] = (struct dp_event){.type = type, .arg = arg, .code = code, .vm = vm};
}

bool dp_poll_event(struct dp_event *event)
{
    if (event_tail == event_head) {
        return false;
    }
    *event = events[event_tail++ % EVENTS_MAX];
    return true;
}

// The real data plane dereferences all of this; so do we.
static void attach(struct dp_vm *vm)
{
    struct guest *g = &guests[guest_count];

    if (guest_count == GUESTS_MAX || find(vm) != NULL || (uintptr_t)vm % 64 != 0) {
        fprintf(stderr, "dp_sim: bad attach\n");
        abort();
    }
    for (uint32_t i = 0; i < vm->vp_count; i++) {
        uint64_t cookie = 0;

        vm->vp[i].regs->version = 1;
        if (vm->vp[i].msg->header.type != 0 || sim_hv_vp_runs(vm->partition, i) ||
            !sim_hv_register(vm->partition, i, HV_REG_X_INTERCEPT_COOKIE, &cookie) ||
            cookie != DP_COOKIE(vm, i)) {
            fprintf(stderr, "dp_sim: VP %u is not ready to be served\n", (unsigned)i);
            abort();
        }
    }
    memset(g, 0, sizeof *g);
    g->vm = vm;
    guest_count++;
}

bool dp_send(const struct dp_command *cmd)
{
    struct guest *g = find(cmd->vm);

    if (blocked) {
        return false;
    }
    if (cmd->type == DP_CMD_ATTACH) {
        attach(cmd->vm);
        return true;
    }
    if (g == NULL || g->detaching) {
        fprintf(stderr, "dp_sim: command %u for a guest that is not attached\n", (unsigned)cmd->type);
        abort();
    }
    if (cmd->type == DP_CMD_DETACH) {
        g->detaching = true;
    } else if (cmd->type == DP_CMD_POWER_BUTTON) {
        g->button = true;
    }
    return true;
}

static void say(struct guest *g, const char *text)
{
    for (; *text != '\0'; text++) {
        (void)!spsc_push(&g->vm->com[0].tx, text); // a guest without a reader loses what does not fit
    }
    dp_sim_emit(g->vm, DP_EV_CONSOLE, 0, 0);
}

static void end(struct guest *g, enum dp_event_type type, uint32_t code)
{
    g->ended = true;
    dp_sim_emit(g->vm, type, 0, code);
}

static void obey(struct guest *g)
{
    if (strcmp(g->line, "poweroff") == 0) {
        say(g, "powering off\r\n");
        end(g, DP_EV_POWER_OFF, 0);
    } else if (strcmp(g->line, "reset") == 0) {
        end(g, DP_EV_RESET, 0);
    } else if (strcmp(g->line, "triple") == 0) {
        end(g, DP_EV_CRASH, HV_MSG_UNRECOVERABLE_EXCEPTION);
    } else if (strcmp(g->line, "crash") == 0) {
        end(g, DP_EV_CRASH, HV_MSG_UNSUPPORTED_FEATURE);
    } else {
        say(g, g->line);
        say(g, "\r\n# ");
    }
}

static void boot(struct guest *g)
{
    char text[120];

    g->booted = true;
    snprintf(text, sizeof text, "simulated guest: %u VP(s), %llu MB\r\n# ", (unsigned)g->vm->vp_count,
             (unsigned long long)((g->vm->ram_low + g->vm->ram_high) >> 20));
    say(g, text);
}

static bool run_guest(struct guest *g)
{
    char c;
    bool busy = false;

    if (g->ended || !sim_hv_vp_runs(g->vm->partition, 0)) {
        return false;
    }
    if (!g->booted) {
        boot(g);
        return true;
    }
    if (g->button) {
        end(g, DP_EV_POWER_OFF, 0);
        return true;
    }
    while (!g->ended && spsc_pop(&g->vm->com[0].rx, &c)) {
        busy = true;
        if (c == '\r' || c == '\n') {
            g->line[g->length] = '\0';
            g->length = 0;
            obey(g);
        } else if (g->length < LINE_MAX_BYTES) {
            g->line[g->length++] = c;
        }
    }
    return busy;
}

static bool poll(struct plat_source *source)
{
    bool busy = false;

    (void)source;
    for (size_t i = 0; i < guest_count;) {
        if (guests[i].detaching && !hold_detach) {
            dp_sim_emit(guests[i].vm, DP_EV_DETACHED, 0, 0);
            guests[i] = guests[--guest_count];
            busy = true;
            continue;
        }
        busy |= !guests[i].detaching && run_guest(&guests[i]);
        i++;
    }
    return busy;
}

static struct plat_source source = {.poll = poll};

void dp_sim_init(void)
{
    plat_source_add(&source);
}

size_t dp_sim_attached(void)
{
    return guest_count;
}

void dp_sim_block(bool full)
{
    blocked = full;
}

void dp_sim_hold_detach(bool hold)
{
    hold_detach = hold;
}

// The simulated guest needs no device models.
size_t vm_devices_size(const struct machine_config *config)
{
    (void)config;
    return 256;
}

void vm_devices_init(struct dp_vm *vm)
{
    memset(vm->devices, 0, 256);
}
