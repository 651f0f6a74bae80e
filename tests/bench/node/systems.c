// SPDX-License-Identifier: Apache-2.0
// Systems of the measured node: created, started and ended through the core as any client's.
#include "tests/bench/node/node.h"

#include "mgmt/core/operation.h"

static struct {
    struct operation *op;
    struct notify notify;
    struct plat_work work;
    uint64_t end_tsc;
    bench_done_fn *done;
} current;

struct system *bench_create(const char *id, const struct system_config *with)
{
    struct system_config config = *with;
    struct system *s;
    struct core_error error;

    config.owner = "bench";
    config.kernel = "bench";
    config.vp_count = 1;
    config.weight = with->weight != 0 ? with->weight : 100;
    config.cap = with->cap != 0 ? with->cap : SYSTEM_CAP_NONE;
    if (system_create(id, &config, &s, &error) != CORE_OK) {
        bench_give_up(id, error.text);
        return NULL;
    }
    return s;
}

// The operation is freed here and not while it calls its waiters.
static void go_on(struct plat_work *work)
{
    struct operation *op = current.op;
    bool good = op->error.status == CORE_OK;

    (void)work;
    if (!good) {
        bench_give_up(op->subject, op->error.text);
    }
    operation_close(op);
    if (good) {
        current.done(current.end_tsc);
    }
}

static void ended(struct notify *n)
{
    current.end_tsc = __builtin_ia32_rdtsc();
    notify_remove(&current.op->waiters, n);
    plat_post(&current.work, go_on);
}

static void change(struct system *s, enum operation_type type, bench_done_fn *done,
                   enum core_status (*how)(struct system *, struct operation *, struct core_error *))
{
    struct core_error error;

    current.done = done;
    current.op = operation_create(type, s->id);
    if (current.op == NULL) {
        bench_give_up(s->id, "no operation is free");
        return;
    }
    notify_add(&current.op->waiters, &current.notify, ended);
    if (how(s, current.op, &error) != CORE_OK) {
        bench_give_up(s->id, error.text);
    }
}

void bench_start(struct system *s, bench_done_fn *done)
{
    change(s, OPERATION_START, done, system_start);
}

void bench_stop(struct system *s, bench_done_fn *done)
{
    change(s, OPERATION_TERMINATE, done, system_terminate);
}
