// SPDX-License-Identifier: Apache-2.0
// The control plane's handle on the data plane: attach guests, exchange console bytes and frames.
//
// The data plane (VP 0 of the management partition) owns NIC drivers, guest device models and the
// intercept loop. It allocates nothing: memory for what it runs comes from the control plane with the
// command that starts it and goes back with the event that ends it. Commands and events travel in two
// SPSC rings; each side rings the other's doorbell. On the host build tests/sim/dp_sim.c stands in.
#ifndef MGMT_DP_H
#define MGMT_DP_H

#include "mgmt/spsc.h"
#include <keelson/abi.h>

#define DP_MAX_VPS 8
#define DP_COM_PORTS 2

// Byte stream between a guest's serial port and the control plane; one ring each way.
struct dp_console {
    struct spsc tx; // guest -> control plane, elements of 1 byte
    struct spsc rx; // control plane -> guest
    bool present;
};

enum dp_event_type {
    DP_EV_DETACHED = 1,
    DP_EV_CONSOLE,   // bytes are in com[].tx
    DP_EV_POWER_OFF, // guest asked for S5
    DP_EV_RESET,     // guest asked for a reset
    DP_EV_CRASH,     // a VP is stopped for good: arg = vp, code = enum hv_message_type
    DP_EV_COUNT
};

struct vm_devices; // mgmt/devices/vm.h: the guest's device models

struct dp_vm { // filled by the control plane, then owned by the data plane until DP_EV_DETACHED
    uint64_t partition;
    uint32_t vp_count;
    struct {
        struct hv_register_page *regs; // mapped state pages
        const struct hv_message *msg;
    } vp[DP_MAX_VPS];
    uint8_t *ram;      // guest memory at GPA 0, virtually contiguous in the direct map
    uint64_t ram_low;  // bytes mapped from GPA 0 (at most 3 GiB)
    uint64_t ram_high; // bytes mapped from 4 GiB, following ram_low in `ram`
    struct dp_console com[DP_COM_PORTS];
    struct vm_devices *devices; // memory for the device models, initialised by vm_devices_init()
    bool timers_moved;          // by an access to a device: vm_next_deadline() may be another
    void *owner;                // control plane's system object, opaque here
    struct {                    // dp_emit()'s own, zero at first: events that found the ring full
        uint32_t types;         // bit per enum dp_event_type
        uint32_t arg[DP_EV_COUNT], code[DP_EV_COUNT];
    } kept;
};

// Value of HV_REG_X_INTERCEPT_COOKIE for VP `index` of `vm`: the data plane gets it back with each
// intercept. struct dp_vm is aligned to 64 bytes, which leaves room for the index.
#define DP_COOKIE(vm, index) ((uint64_t)(uintptr_t)(vm) | (index))
#define DP_COOKIE_VM(cookie) ((struct dp_vm *)(uintptr_t)((cookie) & ~63ull))
#define DP_COOKIE_VP(cookie) ((uint32_t)((cookie)&63))

enum dp_command_type {
    DP_CMD_ATTACH = 1,   // vm: start serving its intercepts (VPs are still explicitly suspended)
    DP_CMD_DETACH,       // vm: stop serving; answered by DP_EV_DETACHED when the data plane holds no pointer
    DP_CMD_CONSOLE,      // vm: bytes were put into com[].rx, or room was made in a com[].tx that was full
    DP_CMD_POWER_BUTTON, // vm: ask the guest to shut down
};
struct dp_command {
    uint32_t type;
    uint32_t arg;
    struct dp_vm *vm;
};

struct dp_event {
    uint32_t type;
    uint32_t arg;
    uint32_t code;
    uint32_t pad;
    struct dp_vm *vm;
};

// Control plane side. dp_send() returns false when the ring is full (try again in a later turn).
MUST_CHECK bool dp_send(const struct dp_command *cmd);
MUST_CHECK bool dp_poll_event(struct dp_event *event);

// Data plane side, for device models: tells the control plane about `vm`. Never blocks and never loses an
// event: what finds the ring full is kept with the guest and goes out later; DP_EV_CONSOLE may coalesce.
void dp_emit(struct dp_vm *vm, enum dp_event_type type, uint32_t arg, uint32_t code);

#endif
