// SPDX-License-Identifier: Apache-2.0
// Start of the management partition up to the point where portable code can run.
#ifndef MGMT_RT_START_H
#define MGMT_RT_START_H

#include <keelson/abi.h>

// entry.S, on each VP. VP 0 becomes the data plane; VP 1 prepares everything and calls mgmt_main().
void rt_start(const struct mgmt_boot_info *info, uint32_t vp) __attribute__((noreturn));

// mgmt/main.c: starts the parts of the control plane. Clocks, heap, pool, log, randomness and the rings to
// the data plane work; plat_run() follows.
void mgmt_main(const struct mgmt_boot_info *info);

// Interrupts for the console's input wake the control plane from here on (plat_console_ready()).
void rt_console_init(void);

// Makes the hypervisor crash the node when either plane stops answering for `seconds`.
void rt_watchdog_start(uint32_t seconds);

#endif
