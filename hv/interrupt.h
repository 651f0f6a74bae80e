// SPDX-License-Identifier: Apache-2.0
// Physical interrupts of devices that the root partition drives, delivered as its virtual interrupts.
#ifndef HV_INTERRUPT_H
#define HV_INTERRUPT_H

#include "hv/vp.h"

// HvCallXMapInterrupt. Level inputs are masked when they fire and unmasked at the VP's EOI.
MUST_CHECK hv_status_t interrupt_map(const struct hv_x_map_interrupt_in *in,
                                     struct hv_x_map_interrupt_out *out);
void interrupt_console_notify(void); // console input is waiting
void monitor_dump(void);

#endif
