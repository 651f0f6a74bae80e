// SPDX-License-Identifier: Apache-2.0
// Processors in software for the real scheduler; see fake_machine.h.
#include "tests/unit/fake_machine.h"

#include <asm/prctl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/x86/host.h"
#include "arch/x86/policy.h"
#include "arch/x86/vlapic.h"
#include "hv/context.h"
#include "hv/exit.h"
#include "hv/sched_priv.h"
#include "hv/trace.h"
#include "hv/watchdog.h"

struct cpu cpus[HV_MAX_CPUS];
uint32_t cpu_count, cpu_first;
uint64_t host_tsc_hz = MACHINE_HZ;
struct partition *root_partition;

static uint64_t now, switches;
static bool stopping;
static sem_t to_main;

static struct processor {
    pthread_t thread;
    sem_t go;
    uint64_t armed, run_end; // ~0: not
    bool kicked;
} processors[HV_MAX_CPUS];

static struct guest {
    struct partition p;
    struct vp vp;
    bool used;
    uint64_t run, sleep; // load
    uint64_t left;       // of this turn
    uint64_t work, woken, latency;
} guests[MACHINE_VPS]; // 0 and 1: the management partition's

static struct guest *guest_of(const struct vp *vp)
{
    return CONTAINER_OF((struct vp *)(uintptr_t)vp, struct guest, vp);
}

// --- the threads ---

// The processor has nothing more to do now. Returns when it has: its timer, a kick, or the end of a VP's turn.
static void yield(struct processor *p)
{
    sem_post(&to_main);
    while (sem_wait(&p->go) != 0) {
    }
    if (stopping) {
        pthread_exit(NULL);
    }
}

static void *processor_main(void *arg)
{
    struct processor *p = arg;

    syscall(SYS_arch_prctl, ARCH_SET_GS, &cpus[p - processors]);
    while (sem_wait(&p->go) != 0) {
    }
    if (!stopping) {
        sched_loop();
    }
    return NULL;
}

static bool is_due(const struct processor *p)
{
    return p->kicked || p->armed <= now || p->run_end <= now;
}

static void resume(struct processor *p)
{
    sem_post(&p->go);
    while (sem_wait(&to_main) != 0) {
    }
}

static void run_all_due(void)
{
    for (bool any = true; any;) {
        any = false;
        for (uint32_t i = 0; i < cpu_count; i++) {
            if (is_due(&processors[i])) {
                resume(&processors[i]);
                any = true;
            }
        }
    }
}

void machine_run(uint64_t ticks)
{
    uint64_t end = now + ticks;

    run_all_due();
    while (now < end) {
        uint64_t next = end;

        for (uint32_t i = 0; i < cpu_count; i++) {
            next = MIN(next, MIN(processors[i].armed, processors[i].run_end));
        }
        for (uint32_t i = 0; i < cpu_count; i++) {
            if (cpus[i].current != NULL) {
                struct guest *g = guest_of(cpus[i].current);

                g->work += next - now;
                g->left -= MIN(next - now, g->left);
            }
        }
        now = next;
        run_all_due();
    }
}

// --- the host ---

static struct processor *here(void)
{
    return &processors[this_cpu()->index];
}

uint64_t host_tsc(void)
{
    return now;
}

void host_timer_arm(uint64_t deadline)
{
    here()->armed = deadline;
}

void host_interrupt_window(void)
{
    struct processor *p = here();

    p->kicked = false;
    if (p->armed <= now) {
        p->armed = ~0ull;
        hv_timer_interrupt();
    }
}

void host_halt(void)
{
    if (!is_due(here())) {
        yield(here());
    }
    host_interrupt_window();
}

void cpu_kick(uint32_t index)
{
    processors[index].kicked = true;
}

void cpu_serve_calls(void)
{
}

void spin_wait(const spinlock_t *l, uint32_t ticket)
{
    (void)l;
    fprintf(stderr, "a lock is held across a switch (%u)\n", ticket);
    abort();
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

void panic(const char *fmt, ...)
{
    (void)fmt;
    abort();
}

uint64_t watchdog_check(uint32_t cpu, uint64_t at)
{
    (void)cpu;
    (void)at;
    return ~0ull;
}

// --- VPs ---

static void load(struct vp *vp)
{
    struct guest *g = guest_of(vp);

    switches++;
    if (g->woken != 0) {
        g->latency = MAX(g->latency, now - g->woken);
        g->woken = 0;
    }
}

// The VP computes until its turn is over or something happens here.
static void run(struct vp *vp)
{
    struct guest *g = guest_of(vp);
    struct processor *p = here();

    p->run_end = g->run == 0 ? ~0ull : now + g->left;
    if (!is_due(p)) {
        yield(p);
    }
    p->run_end = ~0ull;
    vp->exit.reason = EXIT_INTERRUPT;
}

static const struct virt_ops ops = {.vp_load = load, .vp_run = run};
const struct virt_ops *virt = &ops;

void context_take(struct vp *vp)
{
    struct cpu *c = this_cpu();

    if (c->context != NULL) {
        c->context->context_live = false;
    }
    c->context = vp;
    vp->context_live = true;
}

uint64_t vlapic_timer_expire(struct vp *vp, uint64_t at)
{
    struct guest *g = guest_of(vp);

    if (vp->apic.timer_deadline != 0 && at >= vp->apic.timer_deadline) {
        vp->apic.timer_deadline = 0;
        g->woken = at;
        __atomic_and_fetch(&vp->block, ~(uint32_t)VP_BLOCK_HALT, __ATOMIC_SEQ_CST);
    }
    return vp->apic.timer_deadline == 0 ? ~0ull : vp->apic.timer_deadline;
}

uint64_t stimer_expire(struct vp *vp, uint64_t at)
{
    (void)vp;
    (void)at;
    return ~0ull;
}

static void fall_asleep(struct vp *vp)
{
    struct guest *g = guest_of(vp);

    g->left = g->run;
    vp->apic.timer_deadline = now + g->sleep;
    vp_timers_changed(vp);
    __atomic_or_fetch(&vp->block, VP_BLOCK_HALT, __ATOMIC_SEQ_CST);
}

static enum vp_action exit_interrupt(struct vp *vp)
{
    struct guest *g = guest_of(vp);

    host_interrupt_window();
    sched_timer_check();
    if (g->run != 0 && g->left == 0) {
        fall_asleep(vp);
    }
    return VP_RESUME;
}

enum vp_action (*const exit_handlers[EXIT_REASON_COUNT])(struct vp *vp) = {[EXIT_INTERRUPT] = exit_interrupt};

void vp_serve_requests(struct vp *vp)
{
    (void)vp;
}

bool vp_before_entry(struct vp *vp)
{
    (void)vp;
    return true;
}

// --- the test's side; acts as a hypercall on the first processor would ---

static void add(struct guest *g, struct partition *p, uint32_t index)
{
    g->vp = (struct vp){.partition = p, .index = index, .next_deadline = ~0ull, .block = VP_BLOCK_EXPLICIT};
    g->used = true;
    p->vps[index] = &g->vp;
    p->vp_count++;
    sched_place(&g->vp);
}

static void set_ready(struct vp *vp)
{
    vp->block = 0;
    sched_wake(vp, true);
    processors[0].kicked = true; // the end of the hypercall
}

void machine_start(uint32_t n)
{
    memset(guests, 0, sizeof(guests));
    memset(scheds, 0, sizeof(scheds));
    memset(cpus, 0, sizeof(cpus));
    stopping = false;
    cpu_count = n;
    now = 12345 * MACHINE_MS;
    sem_init(&to_main, 0, 0);
    syscall(SYS_arch_prctl, ARCH_SET_GS, &cpus[0]);
    for (uint32_t i = 0; i < n; i++) {
        cpus[i] = (struct cpu){.self = &cpus[i], .index = i, .online = true};
        sched_init_cpu(i);
        processors[i] = (struct processor){.armed = ~0ull, .run_end = ~0ull, .kicked = true};
        sem_init(&processors[i].go, 0, 0);
        pthread_create(&processors[i].thread, NULL, processor_main, &processors[i]);
    }
    root_partition = &guests[0].p;
    guests[0].p = (struct partition){
        .is_root = true, .cpu_weight = 100, .cpu_cap = SHARE_UNIT, .cpu_reserve = SHARE_MANAGEMENT};
    add(&guests[0], root_partition, 0);
    add(&guests[1], root_partition, 1);
}

void machine_stop(void)
{
    stopping = true;
    for (uint32_t i = 0; i < cpu_count; i++) {
        sem_post(&processors[i].go);
        pthread_join(processors[i].thread, NULL);
        sem_destroy(&processors[i].go);
    }
    sem_destroy(&to_main);
}

struct vp *machine_guest(uint32_t weight, uint32_t cap, uint32_t reserve)
{
    struct guest *g = guests;

    while (g->used) {
        g++;
    }
    memset(g, 0, sizeof(*g));
    g->p.cpu_weight = weight;
    g->p.cpu_cap = cap;
    g->p.cpu_reserve = reserve;
    g->p.next_sibling = root_partition->next_sibling;
    root_partition->next_sibling = &g->p;
    add(g, &g->p, 0);
    share_assign();
    set_ready(&g->vp);
    return &g->vp;
}

void machine_delete(struct vp *vp)
{
    struct partition **at = &root_partition->next_sibling;

    vp->block |= VP_BLOCK_DEAD;
    processors[vp->cpu].kicked = true;
    scheds[vp->cpu].need_resched = true;
    run_all_due();
    sched_forget(vp);
    while (*at != vp->partition) {
        at = &(*at)->next_sibling;
    }
    *at = vp->partition->next_sibling;
    for (uint32_t i = 0; i < cpu_count; i++) {
        if (cpus[i].context == vp) {
            cpus[i].context = NULL;
        }
    }
    guest_of(vp)->used = false;
}

void machine_load(struct vp *vp, uint64_t run, uint64_t sleep)
{
    struct guest *g = guest_of(vp);

    g->run = run;
    g->left = run;
    g->sleep = sleep;
    if (vp->block == VP_BLOCK_EXPLICIT) {
        set_ready(vp);
    } else {
        processors[vp->cpu].kicked = true; // looks at its new load
    }
}

struct vp *machine_data_plane(void)
{
    return &guests[0].vp;
}

struct vp *machine_control_plane(void)
{
    return &guests[1].vp;
}

void machine_limits(struct vp *vp, uint32_t cap, uint32_t reserve)
{
    vp->partition->cpu_cap = cap;
    vp->partition->cpu_reserve = reserve;
    share_assign();
    sched_update(vp);
    processors[0].kicked = true;
}

uint64_t machine_work(const struct vp *vp)
{
    return guest_of(vp)->work;
}

uint64_t machine_latency(const struct vp *vp)
{
    return guest_of(vp)->latency;
}

uint64_t machine_switches(void)
{
    return switches;
}

void machine_count(void)
{
    switches = 0;
    for (unsigned i = 0; i < MACHINE_VPS; i++) {
        guests[i].work = guests[i].latency = 0;
    }
}

// --- the trace, which is off ---

bool trace_on;

void trace_record_left(const struct vp *vp)
{
    (void)vp;
}
