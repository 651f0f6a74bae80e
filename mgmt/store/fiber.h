// SPDX-License-Identifier: Apache-2.0
// Fibers: a call stack of its own for code that waits, on the control plane's one thread.
//
// A fiber runs only inside fiber_resume(), until it yields or its function returns; nothing preempts it. SQLite
// runs on one, so that it may wait for the disk while the event loop goes on.
#ifndef MGMT_STORE_FIBER_H
#define MGMT_STORE_FIBER_H

#include <keelson/types.h>

#define FIBER_STACK (128u << 10)

struct fiber;

// A fiber that will run fn(arg) when it is first resumed. NULL without memory.
struct fiber *fiber_new(void (*fn)(void *arg), void *arg);
// Runs it until it yields or ends. Not from within a fiber; not after it has ended.
void fiber_resume(struct fiber *f);
// Back to whoever resumed the running fiber.
void fiber_yield(void);
bool fiber_ended(const struct fiber *f);
// Bytes of stack that were ever used.
size_t fiber_stack_used(const struct fiber *f);
// Only one that has ended or never ran.
void fiber_free(struct fiber *f);

#endif
