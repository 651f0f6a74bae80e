// SPDX-License-Identifier: Apache-2.0
// What the stages of the measured node share. Control plane only; one stage runs at a time.
#ifndef TESTS_BENCH_NODE_NODE_H
#define TESTS_BENCH_NODE_NODE_H

#include "mgmt/core/system.h"

// Prints `BENCH name hundredths`.
void bench_report(const char *name, uint64_t hundredths);
// Prints what went wrong and ends the machine. Returns where the machine takes a moment to end; the caller then stops.
void bench_give_up(const char *what, const char *why);

// A guest with one VP and the built-in kernel, of which only what `with` sets is not the standard. NULL: given up.
struct system *bench_create(const char *id, const struct system_config *with);

typedef void bench_done_fn(uint64_t end_tsc);
// Starts or ends a system and calls `done` later with the tick at which the core said that it is done. One at a time.
void bench_start(struct system *s, bench_done_fn *done);
void bench_stop(struct system *s, bench_done_fn *done);

// The stages; each calls `done` at its end.
void shares_run(void (*done)(void));
void scale_run(void (*done)(void));

#endif
