// SPDX-License-Identifier: Apache-2.0
// Steps that take a partition down: finalize, withdraw every page, delete, free (TLFS "Virtualization Host").
#include <stdlib.h>

#include "mgmt/core/deposit.h"
#include "mgmt/core/partition_steps.h"
#include "mgmt/hvif/hvif.h"

#define WITHDRAW_BATCH 64u
#define RETRY_MAX 5000u // milliseconds that the hypervisor may take to let go

static enum step_result stuck(struct partition *p, hv_status_t status, const char *what)
{
    core_fail_hv(&p->error, status, what);
    plat_log(LOG_ERROR, "partition %llu cannot be taken down, its memory stays reserved: %s",
             (unsigned long long)p->id, p->error.text);
    return STEP_FAIL;
}

// A hypercall that may need more time than the hypervisor gives one call.
static enum step_result after_slow_call(struct partition *p, hv_status_t status, const char *what)
{
    if (status == HV_STATUS_SUCCESS) {
        return STEP_NEXT;
    }
    if ((status == HV_STATUS_TIME_OUT || status == HV_STATUS_CALL_PENDING ||
         status == HV_STATUS_OBJECT_IN_USE) &&
        ++p->retries <= RETRY_MAX) {
        return STEP_RETRY;
    }
    return stuck(p, status, what);
}

// First the guest stands still, so that the data plane sees no more of its intercepts.
static enum step_result step_suspend(struct partition *p)
{
    hv_status_t status;

    if (p->initialized) {
        status = hvif_set_property(p->id, HV_PROP_SUSPEND, 1);
        if (status != HV_STATUS_SUCCESS) { // finalizing stops it all the same
            plat_log(LOG_WARN, "suspending partition %llu: %s", (unsigned long long)p->id,
                     hvif_status_text(status));
        }
    }
    return STEP_NEXT;
}

static enum step_result step_detach(struct partition *p)
{
    struct dp_command cmd = {.type = DP_CMD_DETACH, .vm = p->vm};

    if (!p->attached) {
        return STEP_NEXT;
    }
    if (!p->detaching) {
        if (!dp_send(&cmd)) {
            return STEP_RETRY;
        }
        p->detaching = true;
    }
    return STEP_WAIT; // partition_detached()
}

static enum step_result step_state_pages(struct partition *p)
{
    uint32_t last = p->state_pages - 1;
    hv_status_t status;

    if (p->state_pages == 0) {
        return STEP_NEXT;
    }
    status = hvif_unmap_state_page(p->id, last / 2,
                                   last % 2 ? HV_STATE_PAGE_INTERCEPT_MESSAGE : HV_STATE_PAGE_REGISTERS);
    if (status != HV_STATUS_SUCCESS) {
        return stuck(p, status, "unmapping a state page");
    }
    p->state_pages = last;
    return STEP_AGAIN;
}

static enum step_result step_finalize(struct partition *p)
{
    enum step_result result;

    if (!p->initialized) {
        return STEP_NEXT;
    }
    result = after_slow_call(p, hvif_finalize_partition(p->id), "finalizing the partition");
    if (result == STEP_NEXT) { // frees VPs and mappings into the pool
        p->initialized = false;
        p->vps = 0;
    }
    return result;
}

static enum step_result step_withdraw(struct partition *p)
{
    size_t done = 0;
    hv_status_t status;

    if (p->id == HV_PARTITION_ID_INVALID || p->pages == 0) {
        return STEP_NEXT;
    }
    status = deposit_withdraw(p->id, MIN(p->pages, WITHDRAW_BATCH), &done);
    p->pages -= MIN(done, p->pages);
    if (status == HV_STATUS_NO_RESOURCES && done == 0 && p->pages > 0) {
        plat_log(LOG_ERROR, "partition %llu keeps %llu deposited pages", (unsigned long long)p->id,
                 (unsigned long long)p->pages);
        return stuck(p, status, "withdrawing memory");
    }
    if (status != HV_STATUS_SUCCESS && status != HV_STATUS_NO_RESOURCES) {
        return after_slow_call(p, status, "withdrawing memory");
    }
    return STEP_AGAIN;
}

static enum step_result step_delete(struct partition *p)
{
    enum step_result result;

    if (p->id == HV_PARTITION_ID_INVALID) {
        deposit_reclaim_own(); // creation may have failed after deposits
        return STEP_NEXT;
    }
    result = after_slow_call(p, hvif_delete_partition(p->id), "deleting the partition");
    if (result == STEP_NEXT) {
        p->id = HV_PARTITION_ID_INVALID;
        deposit_reclaim_own();
    }
    return result;
}

static enum step_result step_free(struct partition *p)
{
    free(p->vm_block);
    p->vm_block = NULL;
    p->vm = NULL;
    if (!p->keep_ram) {
        partition_drop_ram(p);
    }
    return STEP_NEXT;
}

const struct partition_step partition_stop_steps[] = {
    {step_suspend, 5},   {step_detach, 20}, {step_state_pages, 25}, {step_finalize, 50},
    {step_withdraw, 90}, {step_delete, 95}, {step_free, 100},       {NULL, 0},
};
