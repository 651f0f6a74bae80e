// SPDX-License-Identifier: Apache-2.0
// Processors in software: each runs the real sched_loop() in a thread of its own, one at a time, on a clock that the
// test moves. Guests spin or run and sleep by turns; what they got is counted exactly.
#ifndef TESTS_FAKE_MACHINE_H
#define TESTS_FAKE_MACHINE_H

#include "hv/vp.h"

#define MACHINE_HZ 1000000000ull // ticks a second
#define MACHINE_MS (MACHINE_HZ / 1000)
#define MACHINE_VPS 16

// Starts `processors` of them, with the data plane on the first and the control plane on the second, both asleep.
void machine_start(uint32_t processors);
void machine_stop(void);
// A guest of one VP, which is ready to run. `cap` and `reserve` in SHARE_UNITs.
struct vp *machine_guest(uint32_t weight, uint32_t cap, uint32_t reserve);
void machine_delete(struct vp *vp);
// From now on the VP runs for `run` ticks, then sleeps for `sleep`; run 0: it spins.
void machine_load(struct vp *vp, uint64_t run, uint64_t sleep);
struct vp *machine_data_plane(void);
struct vp *machine_control_plane(void);
void machine_limits(struct vp *vp, uint32_t cap, uint32_t reserve); // of its partition, while it runs

// Lets time pass.
void machine_run(uint64_t ticks);
uint64_t machine_work(const struct vp *vp);    // ticks that it ran since machine_count()
uint64_t machine_latency(const struct vp *vp); // longest wait since then from waking to running
uint64_t machine_switches(void);               // on all processors since then
void machine_count(void);

#endif
