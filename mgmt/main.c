// SPDX-License-Identifier: Apache-2.0
// The control plane's start: which parts there are, and in which order they come up.
#include "mgmt/dataplane/dataplane.h"
#include "mgmt/dataplane/frame_link.h"
#include "mgmt/drivers/bring_up.h"
#include "mgmt/plat.h"
#include "mgmt/rt/start.h"

#define WATCHDOG_S 60 // generous: emulators may stop for a while

static struct frame_link nic_link;

void mgmt_main(const struct mgmt_boot_info *info)
{
    uint64_t pool_total, pool_free, heap_total, heap_used;
    struct nic *nic;

    plat_pool_usage(&pool_total, &pool_free);
    plat_heap_usage(&heap_total, &heap_used);
    plat_log(LOG_NOTICE, "management partition up: %llu MB for guests, %llu MB heap",
             (unsigned long long)(pool_free >> 20), (unsigned long long)(heap_total >> 20));
    rt_console_init();
    nic = drivers_bring_up();
    if (nic != NULL) {
        dataplane_set_nic(nic);
        frame_link_init(&nic_link, nic);
    }
    dataplane_go();
    rt_watchdog_start(WATCHDOG_S);
    (void)info;
}
