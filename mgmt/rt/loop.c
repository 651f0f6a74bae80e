// SPDX-License-Identifier: Apache-2.0
// The control plane's event loop: timers, posted work, poll sources, and sleep.
#include "mgmt/rt/loop.h"

#include "mgmt/plat.h"
#include "mgmt/rt/cpu.h"
#include "mgmt/rt/interrupt.h"
#include "mgmt/rt/time.h"
#include "mgmt/rt/wake.h"

static struct plat_timer *timers; // by deadline, earliest first
static struct plat_work *work_first, **work_last = &work_first;
static struct plat_source *sources;
static uint64_t armed_ns = UINT64_MAX; // what the deadline timer is set to
static struct loop_counters counters;

void plat_timer_start(struct plat_timer *t, uint64_t delay_ns, void (*fn)(struct plat_timer *))
{
    struct plat_timer **at = &timers;

    plat_timer_stop(t);
    t->fn = fn;
    t->deadline_ns = plat_now_ns() + delay_ns;
    t->armed = true;
    while (*at != NULL && (*at)->deadline_ns <= t->deadline_ns) {
        at = &(*at)->next;
    }
    t->next = *at;
    *at = t;
}

void plat_timer_stop(struct plat_timer *t)
{
    if (!t->armed) {
        return;
    }
    for (struct plat_timer **at = &timers; *at != NULL; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            break;
        }
    }
    t->armed = false;
}

void plat_post(struct plat_work *w, void (*fn)(struct plat_work *))
{
    if (w->queued) {
        return;
    }
    w->fn = fn;
    w->queued = true;
    w->next = NULL;
    *work_last = w;
    work_last = &w->next;
}

void plat_source_add(struct plat_source *s)
{
    s->next = sources;
    sources = s;
}

// Timers that are due now; one that starts itself again with no delay waits for the next turn.
static bool run_timers(void)
{
    uint64_t now = plat_now_ns();
    bool ran = false;

    while (timers != NULL && timers->deadline_ns <= now) {
        struct plat_timer *t = timers;

        timers = t->next;
        t->armed = false;
        t->fn(t);
        counters.timers++;
        ran = true;
    }
    return ran;
}

// What is queued now; work posted meanwhile waits for the next turn.
static bool run_work(void)
{
    struct plat_work *w = work_first;

    if (w == NULL) {
        return false;
    }
    work_first = NULL;
    work_last = &work_first;
    while (w != NULL) {
        struct plat_work *next = w->next;

        w->queued = false;
        w->fn(w);
        counters.work++;
        w = next;
    }
    return true;
}

static bool run_sources(void)
{
    bool ran = false;

    for (struct plat_source *s = sources; s != NULL; s = s->next) {
        ran |= s->poll(s);
    }
    return ran;
}

static void arm_timer(void)
{
    uint64_t deadline = timers != NULL ? timers->deadline_ns : UINT64_MAX;

    // An expiry that is too early costs one turn; an MSR write costs an exit each time.
    if (deadline < armed_ns || armed_ns <= plat_now_ns()) {
        armed_ns = deadline;
        time_arm(deadline);
    }
}

static void sleep_until_woken(uint32_t seen)
{
    cpu_cli(); // before arming: a timer that expires at once must end the sleep, not come before it
    arm_timer();
    if (wake_prepare(&wake_control, seen)) {
        counters.sleeps++;
        cpu_sleep();
    }
    wake_done(&wake_control);
    cpu_sti();
}

void loop_get_counters(struct loop_counters *out)
{
    *out = counters;
}

void plat_run(void)
{
    cpu_sti();
    for (;;) {
        uint32_t seen = wake_seen(&wake_control);
        bool ran = run_timers();

        ran |= run_work();
        ran |= run_sources();
        counters.turns++;
        if (!cpu_stack_intact(RT_VP_CONTROL)) {
            rt_panic("the control plane's stack has run over");
        }
        if (!ran && work_first == NULL) {
            sleep_until_woken(seen);
        }
    }
}
