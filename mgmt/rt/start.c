// SPDX-License-Identifier: Apache-2.0
// What happens on each VP between its entry and its loop.
#include "mgmt/rt/start.h"

#include "mgmt/dataplane/dataplane.h"
#include "mgmt/hvif/hvif.h"
#include "mgmt/hvif/hvif_call.h"
#include "mgmt/plat.h"
#include "mgmt/rt/cpu.h"
#include "mgmt/rt/entropy.h"
#include "mgmt/rt/interrupt.h"
#include "mgmt/rt/memory.h"
#include "mgmt/rt/time.h"
#include "mgmt/rt/wake.h"

#include <reent.h>

static struct _reent control_reent;

static void start_control(const struct mgmt_boot_info *info)
{
    struct rt_vp *vp = rt_vp();

    _REENT_INIT_PTR(&control_reent);
    vp->reent = &control_reent;
    hvif_call_init(info->hypercall_page);
    if (info->magic != MGMT_BOOT_MAGIC || info->vp_count != RT_VPS) {
        rt_panic("the hypervisor's boot information is of another version");
    }
    time_init(info->tsc_hz, info->boot.tsc_at_time, info->boot.unix_time);
    wake_init(&wake_control);
    if (!memory_init(info)) {
        rt_panic("not enough memory");
    }
    entropy_init(info);
    dataplane_init();
    mgmt_main(info);
    plat_run();
}

void rt_start(const struct mgmt_boot_info *info, uint32_t vp)
{
    cpu_init(vp, info);
    if (vp == RT_VP_DATA) {
        dataplane_run();
    }
    start_control(info);
    rt_panic("the control plane has ended");
}

// --- console ---

static bool console_input; // atomic

static void console_interrupt(void *arg)
{
    (void)arg;
    __atomic_store_n(&console_input, true, __ATOMIC_RELEASE);
    plat_wake();
}

bool plat_console_ready(void)
{
    return __atomic_exchange_n(&console_input, false, __ATOMIC_ACQ_REL);
}

void rt_console_init(void)
{
    const struct hv_x_map_interrupt_in in = {
        .source = 3,
        .vp_index = RT_VP_CONTROL,
        .vector = RT_VECTOR_CONSOLE,
    };
    struct hv_x_map_interrupt_out out;
    hv_status_t status;

    rt_vector_set(RT_VECTOR_CONSOLE, console_interrupt, NULL);
    status = hvif_map_interrupt(&in, &out);
    if (status != HV_STATUS_SUCCESS) {
        plat_log(LOG_ERROR, "console: no input: %s", hvif_status_text(status));
    }
}

// --- watchdog ---

static struct plat_timer watchdog_timer;
static uint32_t watchdog_s;

static void pet_watchdogs(struct plat_timer *t)
{
    hv_status_t status = hvif_system(HV_X_WATCHDOG, watchdog_s);

    if (status != HV_STATUS_SUCCESS) {
        plat_log(LOG_ERROR, "watchdog: %s", hvif_status_text(status));
    }
    dataplane_heartbeat(watchdog_s); // the data plane has one of its own
    plat_timer_start(t, watchdog_s * 1000000000ull / 4, pet_watchdogs);
}

void rt_watchdog_start(uint32_t seconds)
{
    watchdog_s = seconds;
    pet_watchdogs(&watchdog_timer);
}
