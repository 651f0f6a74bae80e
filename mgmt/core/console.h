// SPDX-License-Identifier: Apache-2.0
// Console hub: what a guest's serial port said, for any number of readers, and a way to answer.
//
// Output is kept in a history ring and every byte has a sequence number, so that a reader can attach
// late, fall behind and notice what it lost. The hub outlives the guest: the last words of a crashed
// system stay readable. Control plane only.
#ifndef MGMT_CORE_CONSOLE_H
#define MGMT_CORE_CONSOLE_H

#include "mgmt/core/notify.h"
#include "mgmt/dataplane/dp.h"

#define CONSOLE_HISTORY (64u << 10) // power of two

struct console {
    bool present;               // the port exists
    uint8_t *history;           // CONSOLE_HISTORY bytes; NULL until the guest has said something
    uint64_t next;              // sequence number of the next byte
    struct dp_vm *vm;           // attached guest, NULL when none runs
    unsigned port;              // index into vm->com
    bool closing;               // the guest is going: nothing more may be said to the data plane about it
    bool poke_pending;          // the data plane's command ring was full
    struct notify_list readers; // raised when output was added or the guest went away
};

void console_init(struct console *c, unsigned port);
void console_free(struct console *c);
void console_attach(struct console *c, struct dp_vm *vm);
// Before the data plane is told to let go of the guest: no writes any more, output is still taken.
void console_close(struct console *c);
// After it has: takes the last bytes and forgets the guest.
void console_detach(struct console *c);

// Moves what the guest wrote into the history. Called for DP_EV_CONSOLE.
void console_pull(struct console *c);
// Is there a console whose data plane message did not fit? Then call console_retry() for all of them.
bool console_retry_needed(void);
void console_retry(struct console *c);
// Copies history from *sequence on and advances it. If those bytes are gone, *sequence first jumps to the
// oldest byte kept and *lost (may be NULL) says how many were skipped. A sequence number from the future
// is taken as "now". Returns the number of bytes.
size_t console_read(const struct console *c, uint64_t *sequence, void *buf, size_t cap, uint64_t *lost);
uint64_t console_oldest(const struct console *c);
// Sends bytes to the guest; returns how many were taken (0 when no guest is attached or its queue is full).
size_t console_write(struct console *c, const void *data, size_t length);

#endif
