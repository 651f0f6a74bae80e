// SPDX-License-Identifier: Apache-2.0
// The device models of one guest and the handling of its intercepts.
//
// Life cycle: the control plane allocates vm_devices_size() bytes (aligned to 64), points
// dp_vm.devices at them, fills the rest of dp_vm and calls vm_devices_init(); then DP_CMD_ATTACH hands
// everything to the data plane, which alone calls the functions below until DP_EV_DETACHED. None of
// them blocks or allocates. Starting the guest again after a reset is: detach, init, attach.
#ifndef MGMT_DEVICES_VM_H
#define MGMT_DEVICES_VM_H

#include "mgmt/dataplane/dp.h"
#include "mgmt/devices/guest_mem.h"
#include "mgmt/devices/machine.h"

#define VM_NO_DEADLINE UINT64_MAX

size_t vm_devices_size(void);

// Puts all devices into their reset state. COM port n exists when vm->com[n].present.
void vm_devices_init(struct dp_vm *vm);

// Serves the intercept in vm->vp[vp].msg and updates vm->vp[vp].regs. On true the caller
// completes the intercept with *wait_flags (HV_XWAIT_ADVANCE, HV_XWAIT_DIRTY); on false the VP stays
// suspended, or is gone as far as the guest is concerned: an event (DP_EV_CRASH, DP_EV_POWER_OFF,
// DP_EV_RESET) was emitted and the control plane decides.
MUST_CHECK bool vm_handle_intercept(struct dp_vm *vm, uint32_t vp, uint32_t *wait_flags);

// DP_CMD_CONSOLE: bytes were put into com[].rx, or room was made in com[].tx.
void vm_console_changed(struct dp_vm *vm);

// DP_CMD_POWER_BUTTON: raises the ACPI power button event.
void vm_power_button(struct dp_vm *vm);

// When (plat_now_ns() clock) vm_run_timers() wants to be called; VM_NO_DEADLINE: not at all. Ask again
// after every other call here; after vm_handle_intercept() only if it set vm->timers_moved. Calling too early is
// harmless.
uint64_t vm_next_deadline(const struct dp_vm *vm);
void vm_run_timers(struct dp_vm *vm, uint64_t now_ns);

// Counters for the shell and the API. Written by the data plane only; a reader on the other plane may
// see values of slightly different moments.
struct vm_counters {
    uint64_t io;              // port intercepts
    uint64_t mmio;            // memory intercepts
    uint64_t eoi;             // EOI messages
    uint64_t unclaimed_ports; // accesses to ports nobody claims
    uint64_t unclaimed_mmio;  // accesses to addresses nobody claims
    uint64_t full_decodes;    // instructions that needed the full decoder
    uint64_t injected_faults; // exceptions that emulation gave the guest
    uint64_t com_tx[MACHINE_COM_PORTS];
    uint64_t com_rx[MACHINE_COM_PORTS];
    uint64_t com_overrun[MACHINE_COM_PORTS]; // bytes a guest wrote although THRE was clear
};
void vm_get_counters(const struct dp_vm *vm, struct vm_counters *out);

#endif
