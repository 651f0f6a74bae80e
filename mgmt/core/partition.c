// SPDX-License-Identifier: Apache-2.0
// Life cycle of a guest partition: the engine that runs the steps, and the short operations.
#include "mgmt/core/partition.h"

#include <stdio.h>

#include "mgmt/core/partition_steps.h"
#include "mgmt/hvif/hvif.h"

#define TURN_BUDGET_NS 500000ull // work a turn of the event loop may take
#define RETRY_NS 1000000ull

static void run_steps(struct plat_work *work);

static void retry_timer(struct plat_timer *timer)
{
    struct partition *p = CONTAINER_OF(timer, struct partition, timer);

    plat_post(&p->work, run_steps);
}

void partition_kick(struct partition *p)
{
    plat_post(&p->work, run_steps);
}

static void begin(struct partition *p, enum partition_phase phase, const struct partition_step *steps)
{
    p->phase = phase;
    p->steps = steps;
    p->step = 0;
    p->cursor = 0;
    p->retries = 0;
    partition_kick(p);
}

static void finish(struct partition *p, enum partition_phase phase)
{
    struct core_error error = p->error;
    partition_done_fn done = p->done;

    p->phase = phase;
    p->steps = NULL;
    p->done = NULL;
    done(p, &error); // may free p
}

// The current table has ended or failed.
static void table_ended(struct partition *p, bool failed)
{
    if (p->phase == PARTITION_BUILDING && failed) {
        p->keep_ram = false;
        begin(p, PARTITION_STOPPING, partition_stop_steps);
    } else if (p->phase == PARTITION_BUILDING) {
        finish(p, PARTITION_READY);
    } else {
        finish(p, failed ? PARTITION_STUCK : PARTITION_EMPTY);
    }
}

static void run_steps(struct plat_work *work)
{
    struct partition *p = CONTAINER_OF(work, struct partition, work);
    uint64_t start = plat_now_ns();

    while (p->steps != NULL && p->steps[p->step].run != NULL) {
        enum step_result result = STEP_FAIL;

        if (p->phase != PARTITION_BUILDING || !p->cancel) {
            result = p->steps[p->step].run(p);
        }
        if (result == STEP_FAIL) {
            table_ended(p, true);
            return;
        }
        if (result == STEP_WAIT) {
            return;
        }
        if (result == STEP_RETRY) {
            plat_timer_start(&p->timer, RETRY_NS, retry_timer);
            return;
        }
        if (result == STEP_NEXT) {
            p->step++;
            p->cursor = 0;
            p->retries = 0;
        }
        if (plat_now_ns() - start > TURN_BUDGET_NS) {
            partition_kick(p);
            return;
        }
    }
    if (p->steps != NULL) {
        table_ended(p, false);
    }
}

void partition_build(struct partition *p, const struct partition_config *cfg, partition_done_fn done)
{
    p->cfg = *cfg;
    p->error = (struct core_error){.status = CORE_OK};
    p->cancel = false;
    p->no_huge_pages = false;
    p->done = done;
    begin(p, PARTITION_BUILDING, partition_build_steps);
}

void partition_cancel(struct partition *p, const struct core_error *reason)
{
    if (p->phase == PARTITION_BUILDING && !p->cancel) {
        p->cancel = true;
        p->error = *reason;
        plat_timer_stop(&p->timer);
        partition_kick(p);
    }
}

void partition_stop(struct partition *p, bool keep_ram, partition_done_fn done)
{
    p->error = (struct core_error){.status = CORE_OK};
    p->keep_ram = keep_ram;
    p->done = done;
    begin(p, PARTITION_STOPPING, partition_stop_steps);
}

static void drop_disks(struct partition *p)
{
    for (unsigned i = 0; i < DP_MAX_DISKS; i++) {
        if (p->disk[i] != NULL) {
            disk_close(p->disk[i]);
            p->disk[i] = NULL;
        }
    }
    p->disks_ready = 0;
}

void partition_drop_ram(struct partition *p)
{
    drop_disks(p);
    if (p->ram_chunks > 0) {
        plat_pool_free(p->ram, p->ram_chunks);
        p->ram_chunks = 0;
    }
}

void partition_detached(struct partition *p)
{
    p->attached = false;
    p->detaching = false;
    if (p->phase == PARTITION_STOPPING) {
        partition_kick(p);
    }
}

unsigned partition_progress(const struct partition *p)
{
    return p->steps == NULL || p->step == 0 ? 0 : p->steps[p->step - 1].percent;
}

// Application processors are let go first: they wait for the SIPI of VP 0 and must not miss it.
enum core_status partition_start(struct partition *p, struct core_error *error)
{
    const struct hv_register_assoc run = {.name = HV_REG_EXPLICIT_SUSPEND};

    for (uint32_t vp = p->vps; vp-- > 0;) {
        hv_status_t status = hvif_set_registers(p->id, vp, &run, 1);

        if (status != HV_STATUS_SUCCESS) {
            return core_fail_hv(error, status, "starting a virtual processor");
        }
    }
    p->phase = PARTITION_RUNNING;
    return CORE_OK;
}

enum core_status partition_pause(struct partition *p, bool pause, struct core_error *error)
{
    hv_status_t status = hvif_set_property(p->id, HV_PROP_SUSPEND, pause);

    if (status != HV_STATUS_SUCCESS) {
        return core_fail_hv(error, status, pause ? "pausing the partition" : "resuming the partition");
    }
    return CORE_OK;
}

enum core_status partition_admit(uint64_t memory_bytes, struct core_error *error)
{
    uint64_t total, free_bytes;

    plat_pool_usage(&total, &free_bytes);
    // One chunk more: the hypervisor's own memory for the partition is deposited from the pool too.
    if (memory_bytes + PAGE_SIZE_2M > free_bytes) {
        return core_fail(error, CORE_NO_MEMORY,
                         "the system needs %llu MB of memory and %llu MB of %llu MB are free",
                         (unsigned long long)(memory_bytes >> 20), (unsigned long long)(free_bytes >> 20),
                         (unsigned long long)(total >> 20));
    }
    return CORE_OK;
}

size_t partition_describe_vp(const struct partition *p, uint32_t vp, char *buf, size_t cap)
{
    static const uint32_t names[] = {HV_REG_RIP, HV_REG_RFLAGS, HV_REG_RSP, HV_REG_RAX,
                                     HV_REG_RCX, HV_REG_RDX,    HV_REG_CR0, HV_REG_CR2,
                                     HV_REG_CR3, HV_REG_CR4,    HV_REG_EFER};
    static const char *const labels[] = {"rip", "rflags", "rsp", "rax", "rcx", "rdx",
                                         "cr0", "cr2",    "cr3", "cr4", "efer"};
    union hv_register_value values[ARRAY_LEN(names)];
    size_t n = 0;

    if (cap == 0) {
        return 0;
    }
    buf[0] = '\0';
    if (p->id == 0 || vp >= p->vps ||
        hvif_get_registers(p->id, vp, names, values, ARRAY_LEN(names)) != HV_STATUS_SUCCESS) {
        return (size_t)snprintf(buf, cap, "registers of VP %u cannot be read", (unsigned)vp);
    }
    for (size_t i = 0; i < ARRAY_LEN(names) && n < cap; i++) {
        n += (size_t)snprintf(buf + n, cap - n, "%s%s=%llx", i ? " " : "", labels[i],
                              (unsigned long long)values[i].u64);
    }
    return MIN(n, cap - 1);
}
