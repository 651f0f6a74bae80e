// SPDX-License-Identifier: Apache-2.0
// What the Linux implementation of mgmt/plat.h offers beyond it: one turn of the loop, files, a settable clock.
#ifndef TESTS_SIM_PLAT_HOST_H
#define TESTS_SIM_PLAT_HOST_H

#include "mgmt/plat.h"

// One turn of the event loop: due timers, posted work, sources, files. Sleeps at most timeout_ms if nothing
// is due (with the settable clock it does not sleep). Returns true if anything ran.
bool plat_host_step(int timeout_ms);
// Turns until *done or until timeout_ms of real time have passed; returns *done.
bool plat_host_run_until(const bool *done, int timeout_ms);
// Turns until nothing is runnable without waiting.
void plat_host_settle(void);

// From now on monotonic time stands still and moves only by plat_host_advance(), which runs due timers.
void plat_host_manual_clock(void);
void plat_host_advance_ms(uint64_t ms);

// Timers armed and work queued; for leak checks.
size_t plat_host_armed(void);
void plat_host_log_level(enum plat_log_level level); // default LOG_WARN; KEELSON_LOG=0..4 overrides
void plat_host_log_off(void);                        // for tests in which errors are the rule

// File descriptors: fn is called with the poll(2) events that are ready. Changing events is cheap.
struct plat_fd {
    struct plat_fd *next;
    int fd;
    short events;
    short index; // private
    void (*fn)(struct plat_fd *f, short revents);
    void *user;
};
void plat_fd_add(struct plat_fd *f);
void plat_fd_remove(struct plat_fd *f);

#endif
