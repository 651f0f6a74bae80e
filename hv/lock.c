// SPDX-License-Identifier: Apache-2.0
// Locks and calls to other processors.
//
// Lock order: hypervisor lock, then a scheduler queue lock, then the intercept or log lock. Interrupts are off
// whenever the hypervisor runs, so a lock is never taken from an interrupt on the same processor except
// the log lock, whose holder cannot be interrupted either.
#include "hv/cpu.h"

struct cpu cpus[HV_MAX_CPUS];
uint32_t cpu_count = 1;
uint32_t cpu_first;

struct cpu_call {
    struct cpu_call *next;
    void (*fn)(void *);
    void *arg;
    uint32_t done;
};

spinlock_t hv_big_lock;

void spin_wait(const spinlock_t *l, uint32_t ticket)
{
    while (__atomic_load_n(&l->owner, __ATOMIC_ACQUIRE) != ticket) {
        __builtin_ia32_pause();
    }
}

void hv_lock_wait(uint32_t ticket)
{
    while (__atomic_load_n(&hv_big_lock.owner, __ATOMIC_ACQUIRE) != ticket) {
        cpu_serve_calls(); // the holder may be waiting for this processor
        __builtin_ia32_pause();
    }
}

void cpu_serve_calls(void)
{
    struct cpu *c = this_cpu();
    struct cpu_call *call;

    if (__atomic_load_n(&c->calls, __ATOMIC_RELAXED) == NULL) {
        return;
    }
    call = __atomic_exchange_n(&c->calls, NULL, __ATOMIC_ACQ_REL);
    while (call != NULL) {
        struct cpu_call *next = call->next; // gone as soon as done is set

        call->fn(call->arg);
        __atomic_store_n(&call->done, 1, __ATOMIC_RELEASE);
        call = next;
    }
}

static void post_call(struct cpu *c, struct cpu_call *call)
{
    call->next = __atomic_load_n(&c->calls, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&c->calls, &call->next, call, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
    }
    cpu_kick(c->index);
}

static void wait_call(const struct cpu_call *call)
{
    while (__atomic_load_n(&call->done, __ATOMIC_ACQUIRE) == 0) {
        cpu_serve_calls();
        __builtin_ia32_pause();
    }
}

void cpu_call(uint32_t index, void (*fn)(void *), void *arg)
{
    struct cpu_call call = {.fn = fn, .arg = arg};

    if (index == this_cpu()->index) {
        fn(arg);
        return;
    }
    post_call(&cpus[index], &call);
    wait_call(&call);
}

void cpu_call_all(void (*fn)(void *), void *arg)
{
    struct cpu_call calls[HV_MAX_CPUS];
    uint32_t self = this_cpu()->index;

    for (uint32_t i = 0; i < cpu_count; i++) {
        calls[i] = (struct cpu_call){.fn = fn, .arg = arg, .done = 1};
        if (i != self && cpus[i].online) {
            calls[i].done = 0;
            post_call(&cpus[i], &calls[i]);
        }
    }
    fn(arg);
    for (uint32_t i = 0; i < cpu_count; i++) {
        wait_call(&calls[i]);
    }
}
