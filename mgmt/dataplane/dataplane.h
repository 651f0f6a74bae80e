// SPDX-License-Identifier: Apache-2.0
// Inside of the data plane: set-up by the control plane, and the loop that runs on VP 0.
//
//   rings        dp_send() --commands--> loop --events--> dp_poll_event()
//   doorbells    wake(&wake_data)                         plat_wake()
//
// The loop runs with interrupts off and lets pending ones in at one place, so interrupt handlers never run
// beside device models or drivers.
#ifndef MGMT_DATAPLANE_DATAPLANE_H
#define MGMT_DATAPLANE_DATAPLANE_H

#include "mgmt/dataplane/dp.h"

#define DATAPLANE_MAX_VMS 1024u // as many as the hypervisor has partitions

// --- set-up, control plane, before dataplane_go() ---
void dataplane_init(void);
void dataplane_go(void); // VP 0 starts working

// --- VP 0 ---
void dataplane_run(void) __attribute__((noreturn));

// --- counters for the shell ---
struct dataplane_counters {
    uint64_t turns, waits, intercepts, stale_cookies, commands, events, doorbells;
};
void dataplane_get_counters(struct dataplane_counters *out);

// Asks the loop to show that it lives; it then pets its hypervisor watchdog (HV_X_WATCHDOG).
void dataplane_heartbeat(uint32_t watchdog_s);

// --- shared by the files of this folder ---
extern struct spsc dp_commands, dp_events;
extern bool dp_events_kept; // atomic: some guest has events that found the ring full
void dp_flush_kept(struct dp_vm *vm);
MUST_CHECK bool dp_emit_detached(struct dp_vm *vm); // false when the ring is full
void dp_rings_init(void);

// --- guests whose device models want a turn (dataplane/work.c): first in, first out, VP 0 only ---
extern struct dp_vm *dp_work_first; // NULL: none waits
struct dp_vm *dp_work_take(void);   // NULL: none
void dp_work_forget(struct dp_vm *vm);

static inline bool dp_work_waiting(void)
{
    return dp_work_first != NULL;
}

// --- guests being served (dataplane/vmset.c): a set with constant-time lookup, VP 0 only ---
MUST_CHECK bool vmset_add(struct dp_vm *vm); // false when full
void vmset_remove(struct dp_vm *vm);
bool vmset_find(const struct dp_vm *vm);
extern const struct dp_vm *vmset_recent;            // found last: intercepts of one guest come in a row
extern struct dp_vm *vmset_list[DATAPLANE_MAX_VMS]; // the first vmset_count are valid, in no order
extern uint32_t vmset_count;

static inline bool vmset_has(const struct dp_vm *vm)
{
    return vm != NULL && (vm == vmset_recent || vmset_find(vm));
}

#endif
