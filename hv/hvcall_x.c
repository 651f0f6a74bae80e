// SPDX-License-Identifier: Apache-2.0
// Keelson's own hypercalls, 0xF000..0xF0FF: for the management partition alone (see <keelson/abi.h>);
// HvCallXInterceptWait is in hv/intercept.c.
#include "arch/x86/host.h"
#include "hv/console.h"
#include "hv/frames.h"
#include "hv/hvcall.h"
#include "hv/interrupt.h"
#include "hv/sched.h"
#include "hv/trace.h"
#include "hv/watchdog.h"

hv_status_t hvcall_x_map_interrupt(struct hvcall *c)
{
    return interrupt_map(c->in, c->out);
}

hv_status_t hvcall_x_console_write(struct hvcall *c)
{
    const struct hv_x_console_in *in = c->in;
    const char *text = (const char *)(in + 1);
    struct hv_x_console_in *out = c->out;

    if (in->length > c->var_len || in->length > HV_X_CONSOLE_MAX) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    out->length = in->length;
    if ((in->flags & HV_X_CONSOLE_LOG) != 0) {
        log_line((enum log_level)MIN(in->flags >> 8, (uint32_t)LOG_DEBUG), text, in->length);
    } else {
        out->length = (uint32_t)console_shell_write(text, in->length);
    }
    return HV_STATUS_SUCCESS;
}

hv_status_t hvcall_x_console_read(struct hvcall *c)
{
    const struct hv_x_console_in *in = c->in;
    struct hv_x_console_in *out = c->out;

    out->length = (uint32_t)console_shell_read((char *)(out + 1), MIN(in->length, HV_X_CONSOLE_MAX));
    return HV_STATUS_SUCCESS;
}

hv_status_t hvcall_x_read_log(struct hvcall *c)
{
    const struct hv_x_log_in *in = c->in;
    struct hv_x_log_out *out = c->out;

    out->sequence = in->sequence;
    out->length = (uint32_t)log_read(&out->sequence, (char *)out->text, sizeof(out->text));
    return HV_STATUS_SUCCESS;
}

hv_status_t hvcall_x_trace(struct hvcall *c)
{
    const struct hv_x_trace_in *in = c->in;

    switch (in->action) {
    case HV_X_TRACE_STOP:
        trace_stop();
        return HV_STATUS_SUCCESS;
    case HV_X_TRACE_START:
        return trace_start();
    case HV_X_TRACE_READ:
        return trace_read(in->cpu, in->sequence, c->out);
    default:
        return HV_STATUS_INVALID_PARAMETER;
    }
}

static hv_status_t dump_vp(uint32_t value)
{
    for (struct partition *p = root_partition; p != NULL; p = p->next_sibling) {
        uint32_t vp = value & 0xff;

        if (p->index == value >> 8 && vp < HV_MAX_VPS_PER_PARTITION && p->vps[vp] != NULL) {
            vp_access_begin(p->vps[vp]);
            virt->dump(p->vps[vp]);
            vp_access_end(p->vps[vp]);
            return HV_STATUS_SUCCESS;
        }
    }
    return HV_STATUS_NOT_FOUND;
}

hv_status_t hvcall_x_system_control(struct hvcall *c)
{
    const struct hv_x_system_in *in = c->in;

    switch (in->action) {
    case HV_X_POWER_OFF:
        console_end();
        LOGN("power off");
        host_power_off();
    case HV_X_REBOOT:
        console_end();
        LOGN("reboot");
        host_reset();
    case HV_X_SET_LOG_LEVEL:
        if (in->value > LOG_DEBUG) {
            return HV_STATUS_INVALID_PARAMETER;
        }
        log_level = (enum log_level)in->value;
        return HV_STATUS_SUCCESS;
    case HV_X_WATCHDOG:
        if (in->value > WATCHDOG_MAX_S) {
            return HV_STATUS_INVALID_PARAMETER;
        }
        watchdog_set(c->vp, in->value);
        sched_watchdog();
        return HV_STATUS_SUCCESS;
    case HV_X_DUMP:
        return dump_vp(in->value);
    default:
        return HV_STATUS_INVALID_PARAMETER;
    }
}

static uint64_t state_of(const struct vp *vp)
{
    uint32_t b = __atomic_load_n(&vp->block, __ATOMIC_RELAXED) & ~(uint32_t)VP_BLOCK_CAPPED;

    return b & (VP_BLOCK_EXPLICIT | VP_BLOCK_PARTITION) ? 2
           : b & VP_BLOCK_INTERCEPT                     ? 3
           : b & VP_BLOCK_WAIT_SIPI                     ? 4
           : b != 0                                     ? 1
                                                        : 0;
}

static void add_vp(const struct vp *vp, uint64_t *value)
{
    value[HV_CTR_RUN_TSC] += vp->run_tsc;
    value[HV_CTR_ENTRIES] += vp_entries(vp);
    value[HV_CTR_INTERRUPTS] += vp->interrupts;
    value[HV_CTR_HYPERCALLS] += vp->exits[EXIT_HYPERCALL];
    value[HV_CTR_SWITCHES] += vp->switches;
    value[HV_CTR_WAIT_TSC] += vp->wait_tsc;
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++) {
        value[HV_CTR_EXIT0 + i] += vp->exits[i];
    }
}

hv_status_t hvcall_x_get_counters(struct hvcall *c)
{
    const struct hv_x_counters_in *in = c->in;
    struct hv_x_counters_out *out = c->out;
    struct partition *p = partition_lookup(c->vp->partition, in->partition);

    if (p == NULL) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    if (in->vp_index != HV_VP_INDEX_ANY) {
        if (in->vp_index >= HV_MAX_VPS_PER_PARTITION || p->vps[in->vp_index] == NULL) {
            return HV_STATUS_INVALID_VP_INDEX;
        }
        add_vp(p->vps[in->vp_index], out->value);
        out->value[HV_CTR_STATE] = state_of(p->vps[in->vp_index]);
        return HV_STATUS_SUCCESS;
    }
    for (uint32_t i = 0; i < HV_MAX_VPS_PER_PARTITION; i++) {
        if (p->vps[i] != NULL) {
            add_vp(p->vps[i], out->value);
        }
    }
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++) {
        out->value[HV_CTR_EXIT0 + i] += p->exits[i];
    }
    return HV_STATUS_SUCCESS;
}

hv_status_t hvcall_x_get_info(struct hvcall *c)
{
    struct hv_x_info_out *out = c->out;
    struct frame_counts frames;

    frame_counts(&frames);
    out->cpu_count = cpu_working();
    out->partition_count = partition_count();
    out->tsc_hz = host_tsc_hz;
    out->total_pages = frames.total;
    out->hv_pages = frames.hv;
    out->deposited_pages = frames.pool;
    out->mapped_pages = frames.mapped;
    for (uint32_t i = cpu_first; i < cpu_count; i++) {
        out->idle_tsc += cpus[i].idle_tsc;
    }
    out->log_next = log_next_sequence();
    out->log_level = log_level;
    out->flags = virt_caps.apicv ? 1 : 0;
    return HV_STATUS_SUCCESS;
}
