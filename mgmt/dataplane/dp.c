// SPDX-License-Identifier: Apache-2.0
// Commands and events: the two rings between the control plane and the data plane's loop.
#include "mgmt/dataplane/dataplane.h"

#include "mgmt/plat.h"
#include "mgmt/rt/wake.h"

#define RING_SIZE 1024u // power of two

struct spsc dp_commands, dp_events;
bool dp_events_kept;
static struct dp_command command_slots[RING_SIZE];
static struct dp_event event_slots[RING_SIZE];

void dp_rings_init(void)
{
    spsc_init(&dp_commands, command_slots, RING_SIZE, sizeof(struct dp_command));
    spsc_init(&dp_events, event_slots, RING_SIZE, sizeof(struct dp_event));
}

// --- control plane ---

bool dp_send(const struct dp_command *cmd)
{
    if (!spsc_push(&dp_commands, cmd)) {
        return false;
    }
    wake(&wake_data);
    return true;
}

bool dp_poll_event(struct dp_event *event)
{
    if (!spsc_pop(&dp_events, event)) {
        return false;
    }
    if (__atomic_load_n(&dp_events_kept, __ATOMIC_RELAXED)) {
        wake(&wake_data); // there is room now
    }
    return true;
}

// --- data plane ---

static bool push(struct dp_vm *vm, uint32_t type, uint32_t arg, uint32_t code)
{
    struct dp_event ev = {.type = type, .arg = arg, .code = code, .vm = vm};

    if (!spsc_push(&dp_events, &ev)) {
        return false;
    }
    plat_wake();
    return true;
}

// Kept events of a type are one: a guest that stops twice before anybody looked has stopped.
static void keep(struct dp_vm *vm, uint32_t type, uint32_t arg, uint32_t code)
{
    vm->kept.types |= 1u << type;
    vm->kept.arg[type] = arg;
    vm->kept.code[type] = code;
    __atomic_store_n(&dp_events_kept, true, __ATOMIC_RELAXED);
}

void dp_emit(struct dp_vm *vm, enum dp_event_type type, uint32_t arg, uint32_t code)
{
    // What is kept goes first, so that the order of one guest's events is kept as well.
    if (vm->kept.types != 0 || !push(vm, type, arg, code)) {
        keep(vm, type, arg, code);
    }
}

void dp_flush_kept(struct dp_vm *vm)
{
    for (uint32_t type = 0; type < DP_EV_COUNT && vm->kept.types != 0; type++) {
        if ((vm->kept.types & 1u << type) == 0) {
            continue;
        }
        if (!push(vm, type, vm->kept.arg[type], vm->kept.code[type])) {
            __atomic_store_n(&dp_events_kept, true, __ATOMIC_RELAXED);
            return;
        }
        vm->kept.types &= ~(1u << type);
    }
}

bool dp_emit_detached(struct dp_vm *vm)
{
    vm->kept.types = 0; // nothing may follow: the control plane frees vm after this event
    return push(vm, DP_EV_DETACHED, 0, 0);
}
