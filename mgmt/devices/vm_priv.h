// SPDX-License-Identifier: Apache-2.0
// What the device models of one guest consist of. Private to mgmt/devices.
#ifndef MGMT_DEVICES_VM_PRIV_H
#define MGMT_DEVICES_VM_PRIV_H

#include "mgmt/devices/bus.h"
#include "mgmt/devices/full_insn.h"
#include "mgmt/devices/ioapic.h"
#include "mgmt/devices/power.h"
#include "mgmt/devices/rtc.h"
#include "mgmt/devices/uart16550.h"
#include "mgmt/devices/vm.h"

#define PLAIN_CACHE_SIZE 16 // power of two
#define INSN_CACHE_SIZE 8

struct vm_devices {
    struct guest_mem mem;
    struct bus bus;
    struct ioapic ioapic;
    struct uart16550 uart[MACHINE_COM_PORTS];
    struct rtc rtc;
    struct power power;
    bool reported; // power request was emitted
    struct vm_counters counters;
    struct plain_cache { // by RIP: what the small decoder made of an instruction (mmio_intercept.c)
        uint64_t bytes[2];
        uint8_t length; // of the bytes that there were; 0: slot is empty
        uint8_t mode;
        struct insn insn;
    } plain_cache[PLAIN_CACHE_SIZE];
    struct insn_cache {
        uint8_t bytes[DECODE_MAX_INSN];
        uint8_t length; // of the bytes compared; 0: slot is empty
        uint8_t mode;
        struct full_insn insn;
    } insn_cache[INSN_CACHE_SIZE];
    uint32_t insn_cache_next;
};

#endif
