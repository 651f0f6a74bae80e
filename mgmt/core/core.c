// SPDX-License-Identifier: Apache-2.0
// Start-up of the core, facts of the node, reboot and power-off.
#include "mgmt/core/core.h"

#include "mgmt/core/event.h"
#include "mgmt/core/network.h"
#include "mgmt/core/system.h"
#include "mgmt/hvif/hvif.h"

#define END_DELAY_NS 500000000ull

static struct core_node node;
static uint64_t started_ns;
static struct plat_timer end_timer;
static enum core_end end_how;

void core_init(const struct core_node *facts)
{
    node = *facts;
    started_ns = plat_now_ns();
    network_init(node.mac);
    system_init();
    event_post(EVENT_NODE_READY, node.hostname, "%s, %s, %u processor(s)", node.version, node.engine,
               (unsigned)node.cpu_count);
}

const struct core_node *core_node(void)
{
    return &node;
}

uint64_t core_uptime_ns(void)
{
    return plat_now_ns() - started_ns;
}

static void end_now(struct plat_timer *timer)
{
    hv_status_t status = hvif_system(end_how == CORE_END_REBOOT ? HV_X_REBOOT : HV_X_POWER_OFF, 0);

    (void)timer;
    if (status == HV_STATUS_SUCCESS) {
        return; // the simulated one comes back
    }
    plat_log(LOG_ERROR, "the hypervisor did not end the node: %s", hvif_status_text(status));
}

void core_end(enum core_end how, const char *who)
{
    end_how = how;
    event_post(EVENT_NODE_STOPPING, node.hostname, "%s by %s",
               how == CORE_END_REBOOT ? "reboot" : "power off", who);
    plat_timer_start(&end_timer, END_DELAY_NS, end_now);
}
