// SPDX-License-Identifier: Apache-2.0
// The data plane's loop on VP 0: guests' intercepts, commands, frames, timers.
//
// Waiting, completing an intercept and fetching the next one are one hypercall. It returns when an interrupt
// is pending although interrupts are off; the top of the loop then lets the interrupt in.
#include "mgmt/dataplane/dataplane.h"

#include "mgmt/block/disk_io.h"
#include "mgmt/block/disks.h"
#include "mgmt/block/mapped_disk.h"
#include "mgmt/dataplane/uplink.h"
#include "mgmt/devices/vm.h"
#include "mgmt/hvif/hvif.h"
#include "mgmt/plat.h"
#include "mgmt/rt/cpu.h"
#include "mgmt/rt/interrupt.h"
#include "mgmt/rt/time.h"
#include "mgmt/rt/wake.h"

static uint32_t go;
static uint32_t watchdog_s; // asked for by dataplane_heartbeat()
static struct dataplane_counters counters;

static bool timer_fired;                   // set by the interrupt handler
static uint64_t armed_ns = VM_NO_DEADLINE; // what the deadline timer is set to

#define DOORBELLS_A_TURN 16 // guests
static bool doorbell_rang;  // set by the interrupt handler

struct completion {     // of the intercept just served
    uint64_t partition; // 0: none, and the rest means nothing
    uint32_t vp;
    uint32_t flags;
};

// --- timers ---

static void timer_interrupt(void *arg)
{
    (void)arg;
    if (rt_vp()->index == RT_VP_DATA) {
        timer_fired = true;
    }
}

static void arm(uint64_t deadline_ns)
{
    if (deadline_ns < armed_ns) {
        armed_ns = deadline_ns;
        time_arm(deadline_ns);
    }
}

static void serve_disks(void)
{
    arm(disks_service(plat_now_ns()));
}

// True: there is more to serve.
static bool serve_pending_disks(void)
{
    if (!disks_pending()) {
        return false;
    }
    serve_disks();
    return disks_pending();
}

static void run_timers(void)
{
    uint64_t now = plat_now_ns(), next = VM_NO_DEADLINE;

    timer_fired = false;
    armed_ns = VM_NO_DEADLINE;
    for (uint32_t i = 0; i < vmset_count; i++) {
        uint64_t deadline;

        vm_run_timers(vmset_list[i], now);
        deadline = vm_next_deadline(vmset_list[i]);
        next = MIN(next, deadline);
    }
    arm(next);
    serve_disks();
}

// --- commands ---

static void attach_nics(struct dp_vm *vm)
{
    for (uint8_t i = 0; i < vm->nic_count; i++) {
        if (vm->nic[i].port != NULL) {
            void *arg;
            const struct switch_port_user *user = vm_nic_user(vm, i, &arg);

            switch_port_attach(vm->nic[i].port, user, arg);
        }
    }
}

static void detach_nics(struct dp_vm *vm)
{
    for (uint8_t i = 0; i < vm->nic_count; i++) {
        if (vm->nic[i].port != NULL) {
            switch_port_detach(vm->nic[i].port);
        }
    }
}

static void attach(struct dp_vm *vm)
{
    if (!vmset_add(vm)) {
        rt_panic("more guests than partitions"); // the control plane cannot have created so many
    }
    attach_nics(vm);
    arm(vm_next_deadline(vm));
}

// Lets go of a guest as soon as no disk has any of its memory. A disk that gives some back asks for work, and
// run_work() comes here again.
static void try_detach(struct dp_vm *vm)
{
    if (!vm_quiesce(vm)) {
        return;
    }
    detach_nics(vm);
    if (!dp_emit_detached(vm)) {
        dp_work(vm); // the ring of events is full
        return;
    }
    dp_work_forget(vm);
    vmset_remove(vm);
}

static void run_command(const struct dp_command *cmd)
{
    counters.commands++;
    if (cmd->type == DP_CMD_ATTACH) {
        attach(cmd->vm);
        return;
    }
    if (!vmset_has(cmd->vm)) {
        return;
    }
    switch (cmd->type) {
    case DP_CMD_DETACH:
        cmd->vm->detaching = true;
        try_detach(cmd->vm);
        return;
    case DP_CMD_CONSOLE:
        vm_console_changed(cmd->vm);
        break;
    case DP_CMD_ENTROPY:
        vm_entropy_filled(cmd->vm);
        break;
    case DP_CMD_POWER_BUTTON:
        vm_power_button(cmd->vm);
        break;
    default:
        break;
    }
    arm(vm_next_deadline(cmd->vm));
}

// A command may need room for its answer; without it commands wait until the control plane has polled.
static void run_commands(void)
{
    struct dp_command cmd;

    while (spsc_count(&dp_events) < dp_events.mask && spsc_pop(&dp_commands, &cmd)) {
        run_command(&cmd);
    }
    if (spsc_count(&dp_commands) > 0) {
        __atomic_store_n(&dp_events_kept, true, __ATOMIC_RELAXED); // wake us when there is room
    }
}

static void flush_kept_events(void)
{
    __atomic_store_n(&dp_events_kept, false, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < vmset_count; i++) {
        dp_flush_kept(vmset_list[i]);
    }
}

// --- everything that is not an intercept ---

static void pet_watchdog(void)
{
    uint32_t seconds = __atomic_exchange_n(&watchdog_s, 0, __ATOMIC_RELAXED);

    if (seconds != 0 && hvif_system(HV_X_WATCHDOG, seconds) != HV_STATUS_SUCCESS) {
        rt_panic("the hypervisor refuses its watchdog");
    }
}

// The other plane rang: look at everything that it may have meant.
static void doorbell(void)
{
    if (__atomic_load_n(&dp_events_kept, __ATOMIC_RELAXED)) {
        flush_kept_events();
    }
    run_commands();
    disk_io_serve();
    mapped_disk_serve();
    pet_watchdog();
    uplink_rung();
}

// --- guests' doorbells and devices ---

_Static_assert(DP_DOORBELL_VECTOR == RT_VECTOR_GUESTS && DP_DOORBELL_VP == RT_VP_DATA,
               "where doorbells ring");

static void doorbell_interrupt(void *arg)
{
    (void)arg;
    doorbell_rang = true;
}

// Taking one may find another: the interrupt comes only with the first of a guest's.
static void take_doorbells(void)
{
    struct hv_x_doorbells_out out;

    for (unsigned n = 0; n < DOORBELLS_A_TURN; n++) {
        struct dp_vm *vm;

        if (hvif_take_doorbells(&out) != HV_STATUS_SUCCESS || out.cookie == 0) {
            doorbell_rang = false;
            return;
        }
        vm = (struct dp_vm *)(uintptr_t)out.cookie;
        if (vmset_has(vm)) { // detached meanwhile: nobody is there to hear it
            counters.doorbells++;
            vm_doorbells(vm, out.rung);
        }
    }
}

// One guest a turn, so that intercepts of others come in between.
static void run_work(void)
{
    struct dp_vm *vm = dp_work_take();

    if (vm == NULL) {
        return;
    }
    if (vm_work(vm)) {
        dp_work(vm);
    }
    if (vm->detaching) {
        try_detach(vm);
    } else {
        arm(vm_next_deadline(vm));
    }
}

// --- intercepts ---

static void serve_intercept(uint64_t cookie, struct completion *done)
{
    struct dp_vm *vm = DP_COOKIE_VM(cookie);
    uint32_t vp = DP_COOKIE_VP(cookie);

    if (!vmset_has(vm) || vp >= vm->vp_count) {
        counters.stale_cookies++; // detached meanwhile: its VP stays suspended
        return;
    }
    counters.intercepts++;
    if (vm_handle_intercept(vm, vp, &done->flags)) {
        done->partition = vm->partition;
        done->vp = vp;
    }
    if (vm->timers_moved) {
        vm->timers_moved = false;
        arm(vm_next_deadline(vm));
    }
}

static uint64_t wait_for_intercept(const struct completion *done, uint32_t seen, bool busy)
{
    bool idle = !busy && !uplink_wanted() && !timer_fired && !doorbell_rang && !dp_work_waiting() &&
                wake_prepare(&wake_data, seen);
    uint32_t flags = done->flags | (idle ? (uint32_t)HV_XWAIT_BLOCK : 0);
    uint64_t cookie;
    hv_status_t status = hvif_intercept_wait(done->partition, done->vp, flags, &cookie);

    wake_done(&wake_data);
    counters.waits += idle;
    // A refused completion names a VP that was deleted meanwhile; nothing was fetched then.
    return status == HV_STATUS_SUCCESS ? cookie : 0;
}

static void wait_for_go(void)
{
    for (;;) {
        uint32_t seen = wake_seen(&wake_data);

        if (__atomic_load_n(&go, __ATOMIC_ACQUIRE) != 0) {
            return;
        }
        if (wake_prepare(&wake_data, seen)) {
            cpu_sleep();
        }
        wake_done(&wake_data);
    }
}

void dataplane_run(void)
{
    struct completion done = {0};
    uint32_t last_seen;

    wake_init(&wake_data);
    wait_for_go();
    last_seen = wake_seen(&wake_data) - 1; // look at everything once
    for (;;) {
        uint32_t seen;
        uint64_t cookie;
        bool busy;

        cpu_take_interrupts();
        seen = wake_seen(&wake_data);
        if (seen != last_seen) {
            last_seen = seen;
            doorbell();
        }
        if (timer_fired) {
            run_timers();
        }
        if (uplink_wanted()) {
            uplink_serve();
        }
        if (doorbell_rang) {
            take_doorbells();
        }
        if (dp_work_waiting()) {
            run_work();
        }
        busy = serve_pending_disks();
        counters.turns++;
        cookie = wait_for_intercept(&done, seen, busy);
        done.partition = 0;
        if (cookie != 0) {
            serve_intercept(cookie, &done);
        }
    }
}

// --- control plane ---

void dataplane_init(void)
{
    dp_rings_init();
    rt_vector_set(RT_VECTOR_TIMER, timer_interrupt, NULL);
    rt_vector_set(RT_VECTOR_GUESTS, doorbell_interrupt, NULL);
}

void dataplane_go(void)
{
    __atomic_store_n(&go, 1, __ATOMIC_RELEASE);
    wake(&wake_data);
}

void dataplane_heartbeat(uint32_t seconds)
{
    __atomic_store_n(&watchdog_s, seconds, __ATOMIC_RELAXED);
    wake(&wake_data);
}

void dataplane_get_counters(struct dataplane_counters *out)
{
    *out = counters;
}
