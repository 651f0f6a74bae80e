// SPDX-License-Identifier: Apache-2.0
// A back end in software: real hv/ and arch/ sources run against it on the host.
//
// fake_virt.c implements struct virt_ops; `virt` points to it. What the sources asked the back end to do is found in
// struct fake_vp. A VP's guest code is a C function that fills vp->exit, one call an entry.
#ifndef TESTS_FAKE_VIRT_H
#define TESTS_FAKE_VIRT_H

#include "arch/x86/virt.h"
#include "hv/vp.h"

struct fake_event {
    bool pending;
    enum event_type type;
    uint8_t vector;
    bool has_error;
    uint32_t error;
};

#define FAKE_REGISTERS 64

struct fake_vp { // by vp_init(), freed by vp_fini()
    struct {
        uint32_t name;
        union hv_register_value value;
    } reg[FAKE_REGISTERS];
    struct fake_event event;
    bool loaded;
    bool shadow;      // interrupts blocked for one instruction
    bool nmi_blocked; // in an NMI handler
    bool window_interrupt, window_nmi;
    bool dr_intercept;
    uint32_t exceptions;
    uint64_t tsc_offset;
    uint8_t rvi, svi;
    uint64_t eoi_exit[4];
    unsigned apic_mode;
    unsigned entries, flushes_gva, apicv_syncs, eoi_exit_updates;
};

extern const struct virt_ops fake_virt_ops;
// One entry of any VP: set by the test; the default reports EXIT_HLT.
extern void (*fake_virt_guest)(struct vp *vp);
extern unsigned fake_flushes_gpa;

struct fake_vp *fake_vp(const struct vp *vp);
uint64_t fake_reg(struct vp *vp, uint32_t name);
void fake_set_reg(struct vp *vp, uint32_t name, uint64_t value);
void fake_set_segment(struct vp *vp, uint32_t name, struct hv_segment segment);
// Takes the event that would be delivered at the next entry.
struct fake_event fake_take_event(struct vp *vp);

#endif
