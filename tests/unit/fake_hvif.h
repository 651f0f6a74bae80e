// SPDX-License-Identifier: Apache-2.0
// What the device models need of the world, under a test's control: registers, interrupts, time, events.
#ifndef TESTS_UNIT_FAKE_HVIF_H
#define TESTS_UNIT_FAKE_HVIF_H

#include "mgmt/devices/vm.h"
#include "mgmt/hvif/hvif.h"
#include "mgmt/vswitch/port.h"

#define FAKE_MAX_INTERRUPTS 64
#define FAKE_MAX_EVENTS 64
#define FAKE_RAM (2ull << 20)

struct fake {
    struct hv_assert_interrupt_in interrupts[FAKE_MAX_INTERRUPTS];
    uint32_t interrupt_count;
    hv_status_t interrupt_status;

    union hv_register_value system[10]; // ES CS SS DS FS GS CR0 CR3 CR4 EFER, as asked for
    uint64_t pending;                   // HV_REG_PENDING_INTERRUPTION last set; 0 none
    uint64_t cr2;
    hv_status_t register_status;

    struct dp_event events[FAKE_MAX_EVENTS];
    uint32_t event_count;
    uint32_t work_count;   // calls of dp_work()
    uint64_t doorbell[64]; // GPAs

    struct switch_port *sent_to; // the last frame of switch_send(), and how many there were
    struct switch_frame sent;    // its pieces are gone
    uint8_t sent_bytes[70000];
    uint32_t sent_count, flush_count;

    uint64_t now_ns;
    int64_t unix_ms;
};
extern struct fake fake;

// A guest with FAKE_RAM bytes of RAM, two serial ports with rings of `ring` bytes, one VP.
struct fake_guest {
    struct dp_vm vm;
    struct hv_register_page regs;
    struct hv_message msg;
    uint8_t tx[2][4096], rx[2][64];
    uint8_t entropy[64];
    uint8_t console_tx[64], console_rx[64];
};

void fake_reset(void);
void fake_guest_init(struct fake_guest *g, uint32_t ring);
// Its device models start anew, with one disk more, that they serve themselves.
void fake_guest_add_disk(struct fake_guest *g, struct block_device *device);
void fake_guest_add_console(struct fake_guest *g); // with rings of 64 bytes
void fake_guest_add_nic(struct fake_guest *g, struct switch_port *port, const uint8_t mac[6]);
void fake_guest_free(struct fake_guest *g);

// Flat 64-bit mode with 4-level paging: the first 2 MiB mapped to themselves, and virtual 0xfec00000 and
// 0xfed00000 to the same physical addresses. Tables lie at 0x10000.
void fake_guest_long_mode(struct fake_guest *g);
// Flat 32-bit protected mode without paging; 16-bit real mode.
void fake_guest_protected_mode(struct fake_guest *g);
void fake_guest_real_mode(struct fake_guest *g);

// Message for the VP; the header follows the mode that was set.
void fake_io(struct fake_guest *g, uint16_t port, uint8_t size, bool out, bool string, bool rep);
void fake_mmio(struct fake_guest *g, uint64_t gpa, bool write, const uint8_t *bytes, uint8_t length);
// Serves it; returns what vm_handle_intercept() returned.
bool fake_serve(struct fake_guest *g, uint32_t *flags);

// One port access through a complete intercept.
uint32_t fake_in(struct fake_guest *g, uint16_t port, uint8_t size);
void fake_out(struct fake_guest *g, uint16_t port, uint8_t size, uint32_t value);

#endif
