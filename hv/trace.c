// SPDX-License-Identifier: Apache-2.0
// The trace's rings.
#include "hv/trace.h"

#include "arch/x86/virt.h"
#include "hv/cpu.h"
#include "hv/partition.h"
#include "hv/vp.h"

#define RECORDS_A_PAGE (PAGE_SIZE / (uint32_t)sizeof(struct hv_x_trace_record))

// The rest of a ring is what the writer may fill while somebody copies.
#define KEPT (TRACE_RECORDS - 64)

struct ring {
    struct hv_x_trace_record *page[TRACE_PAGES];
    uint64_t head; // records ever written
};

static struct ring rings[HV_MAX_CPUS];
static const struct virt_ops *plain; // the back end's own table
static struct virt_ops traced;
bool trace_on;

static struct hv_x_trace_record *record_at(const struct ring *r, uint64_t sequence)
{
    uint32_t at = (uint32_t)(sequence % TRACE_RECORDS);

    return &r->page[at / RECORDS_A_PAGE][at % RECORDS_A_PAGE];
}

static __attribute__((noinline)) void record(const struct vp *vp, enum hv_x_trace_type type, uint32_t reason,
                                             uint64_t a, uint64_t b)
{
    struct ring *r = &rings[this_cpu()->index];

    *record_at(r, r->head) = (struct hv_x_trace_record){
        .tsc = host_tsc(),
        .type = (uint8_t)type,
        .cpu = (uint8_t)this_cpu()->index,
        .partition = vp->partition->index,
        .vp = (uint16_t)vp->index,
        .reason = (uint16_t)reason,
        .a = a,
        .b = b,
    };
    __atomic_store_n(&r->head, r->head + 1, __ATOMIC_RELEASE);
}

static void traced_run(struct vp *vp)
{
    vp = vp_enter(plain->vp_run, vp);
    record(vp, HV_X_TRACE_EXIT, vp->exit.reason, vp_reg(vp, HV_REG_RIP), vp->exit.qual[0]);
}

static void traced_load(struct vp *vp)
{
    record(vp, HV_X_TRACE_SWITCH_IN, 0, vp->run_tsc, vp->wait_tsc);
    plain->vp_load(vp);
}

void trace_record_left(const struct vp *vp)
{
    record(vp, HV_X_TRACE_SWITCH_OUT, __atomic_load_n(&vp->block, __ATOMIC_RELAXED) & 0xffff, vp->vruntime,
           0);
}

static bool take_pages(struct ring *r)
{
    for (uint32_t i = 0; i < TRACE_PAGES; i++) {
        if (r->page[i] == NULL) {
            r->page[i] = partition_page_alloc(root_partition);
        }
        if (r->page[i] == NULL) {
            return false;
        }
    }
    return true;
}

hv_status_t trace_start(void)
{
    for (uint32_t i = 0; i < cpu_count; i++) {
        if (!take_pages(&rings[i])) {
            return HV_STATUS_INSUFFICIENT_MEMORY;
        }
    }
    if (plain == NULL) {
        plain = virt;
        traced = *plain;
        traced.vp_run = traced_run;
        traced.vp_load = traced_load;
    }
    __atomic_store_n(&virt, &traced, __ATOMIC_RELEASE);
    __atomic_store_n(&trace_on, true, __ATOMIC_RELEASE);
    return HV_STATUS_SUCCESS;
}

// A processor may be in the middle of traced_run() for long: the rings and the copy stay.
void trace_stop(void)
{
    __atomic_store_n(&trace_on, false, __ATOMIC_RELEASE);
    if (plain != NULL) {
        __atomic_store_n(&virt, plain, __ATOMIC_RELEASE);
    }
}

hv_status_t trace_read(uint32_t cpu, uint64_t sequence, struct hv_x_trace_out *out)
{
    const struct ring *r;
    uint64_t head, oldest;

    if (cpu >= cpu_count) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    r = &rings[cpu];
    head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
    oldest = head < KEPT ? 0 : head - KEPT;
    out->sequence = MIN(MAX(sequence, oldest), head);
    out->count = (uint32_t)MIN(head - out->sequence, (uint64_t)ARRAY_LEN(out->record));
    for (uint32_t i = 0; i < out->count; i++) {
        out->record[i] = *record_at(r, out->sequence + i);
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&r->head, __ATOMIC_RELAXED) - out->sequence >= TRACE_RECORDS) {
        out->count = 0; // the writer has come round: these are gone
    }
    return HV_STATUS_SUCCESS;
}
