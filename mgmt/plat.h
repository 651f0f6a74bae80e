// SPDX-License-Identifier: Apache-2.0
// What the portable management code needs of its platform: time, randomness, log, memory, event loop.
//
// Two implementations: mgmt/rt/ (freestanding, in the management partition) and tests/sim/plat_host.c
// (Linux). Unless a comment says otherwise everything here belongs to the control plane, which is single
// threaded: callbacks run one after the other from plat_run() and must not block.
#ifndef MGMT_PLAT_H
#define MGMT_PLAT_H

#include <keelson/types.h>

// --- time ---
uint64_t plat_now_ns(void);             // monotonic since boot; both planes
int64_t plat_unix_ms(void);             // wall clock, UTC, slewed by SNTP; both planes
void plat_set_unix_ms(int64_t unix_ms); // first SNTP answer or the operator

// --- randomness: the node's pool (design "Entropy"); seeded before anything here is called ---
void plat_random(void *buf, size_t len);
void plat_entropy_add(const void *buf, size_t len);

// --- log: one line, no newline; goes to the console by level and to the log ring ---
enum plat_log_level { LOG_ERROR, LOG_NOTICE, LOG_WARN, LOG_INFO, LOG_DEBUG };
void plat_log(enum plat_log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3); // control plane

// --- console: true once after input arrived; read with hvif_console_read() until it gives nothing ---
bool plat_console_ready(void);

// --- guest pool: the machine's memory that is not the management partition's own heap ---
// 2 MiB chunks, physically contiguous within `count` chunks and aligned to 2 MiB (to 1 GiB if count is a
// multiple of 512 and such a run is free). Contents are undefined; the taker zeroes.
// Returns false when no such run exists. *gpa is the root GPA, plat_pool_va() its address.
MUST_CHECK bool plat_pool_alloc(size_t count, gpa_t *gpa);
void plat_pool_free(gpa_t gpa, size_t count);
void *plat_pool_va(gpa_t gpa);
void plat_pool_usage(uint64_t *total_bytes, uint64_t *free_bytes);
void plat_heap_usage(uint64_t *total_bytes, uint64_t *used_bytes);

// --- event loop ---
struct plat_timer {
    struct plat_timer *next; // owned by the loop while armed
    uint64_t deadline_ns;
    void (*fn)(struct plat_timer *);
    bool armed;
};
void plat_timer_start(struct plat_timer *t, uint64_t delay_ns, void (*fn)(struct plat_timer *));
void plat_timer_stop(struct plat_timer *t);

struct plat_work {
    struct plat_work *next; // owned by the loop while queued
    void (*fn)(struct plat_work *);
    bool queued;
};
void plat_post(struct plat_work *w, void (*fn)(struct plat_work *)); // runs soon, once; idempotent

// A poll source is called in every turn of the loop and returns true if it did something. Rings from the
// data plane and lwIP's receive path are poll sources; the loop sleeps only when none has anything to do
// and is woken by plat_wake().
struct plat_source {
    struct plat_source *next;
    bool (*poll)(struct plat_source *);
};
void plat_source_add(struct plat_source *s);
void plat_wake(void); // wake the control plane; callable from the data plane and from ISRs
void plat_run(void) __attribute__((noreturn));

#endif
