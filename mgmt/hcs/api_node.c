// SPDX-License-Identifier: Apache-2.0
// The node itself over HTTP: facts, the hypervisor's counters and log, reboot.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/deposit.h"
#include "mgmt/core/image.h"
#include "mgmt/hcs/api_priv.h"
#include "mgmt/hvif/hvif.h"

// --- the node ---

static void write_memory(struct json_writer *w)
{
    uint64_t total, free_bytes, heap_total, heap_used;

    plat_pool_usage(&total, &free_bytes);
    plat_heap_usage(&heap_total, &heap_used);
    json_open(w, "Memory", '{');
    json_uint(w, "TotalBytes", total);
    json_uint(w, "FreeBytes", free_bytes);
    json_uint(w, "ImageBytes", image_pool_bytes());
    json_uint(w, "HeapTotalBytes", heap_total);
    json_uint(w, "HeapUsedBytes", heap_used);
    json_close(w, '}');
}

void api_node_get(struct http_request *r)
{
    const struct core_node *node = core_node();
    struct json_writer w = {0};

    json_open(&w, NULL, '{');
    json_string(&w, "Version", node->version);
    json_string(&w, "Engine", node->engine);
    json_string(&w, "Hostname", node->hostname);
    json_string(&w, "ProcessorName", node->cpu_brand);
    json_uint(&w, "ProcessorCount", node->cpu_count);
    json_uint(&w, "TscHz", node->tsc_hz);
    json_uint(&w, "UptimeMs", core_uptime_ns() / 1000000);
    json_time(&w, "Time", plat_unix_ms());
    write_memory(&w);
    json_uint(&w, "Systems", system_count());
    json_close(&w, '}');
    api_answer(r, 200, &w);
}

static void end_node(struct http_request *r, enum core_end how)
{
    core_end(how, http_identity(r)->name);
    http_respond(r, 202, NULL, NULL, 0);
}

static void reboot(struct http_request *r)
{
    end_node(r, CORE_END_REBOOT);
}

static void power_off(struct http_request *r)
{
    end_node(r, CORE_END_POWER_OFF);
}

void api_node_reboot(struct http_request *r)
{
    api_without_options(r, reboot);
}

void api_node_poweroff(struct http_request *r)
{
    api_without_options(r, power_off);
}

// --- the hypervisor ---

static void fail_hv(struct http_request *r, hv_status_t status, const char *what)
{
    struct core_error error;

    core_fail_hv(&error, status, what);
    api_fail_core(r, &error);
}

void api_hypervisor_get(struct http_request *r)
{
    struct hv_x_info_out info;
    struct json_writer w = {0};
    hv_status_t status = hvif_info(&info);

    if (status != HV_STATUS_SUCCESS) {
        fail_hv(r, status, "asking the hypervisor");
        return;
    }
    json_open(&w, NULL, '{');
    json_uint(&w, "ProcessorCount", info.cpu_count);
    json_uint(&w, "PartitionCount", info.partition_count);
    json_uint(&w, "TscHz", info.tsc_hz);
    json_uint(&w, "TotalPages", info.total_pages);
    json_uint(&w, "HypervisorPages", info.hv_pages);
    json_uint(&w, "DepositedPages", info.deposited_pages);
    json_uint(&w, "MappedPages", info.mapped_pages);
    json_uint(&w, "IdleTsc", info.idle_tsc);
    json_uint(&w, "LogNext", info.log_next);
    json_uint(&w, "LogLevel", info.log_level);
    json_bool(&w, "ApicVirtualization", info.flags & BIT(0));
    json_bool(&w, "X2Apic", info.flags & BIT(1));
    json_bool(&w, "Msi", info.flags & BIT(2));
    json_close(&w, '}');
    api_answer(r, 200, &w);
}

static const char *owner_of(uint64_t partition)
{
    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        if (s->partition.id == partition) {
            return s->id;
        }
    }
    return "";
}

static void write_exits(struct json_writer *w, const struct hv_x_counters_out *counters)
{
    json_open(w, "Exits", '[');
    for (unsigned i = HV_CTR_EXIT0; i < HV_CTR_COUNT; i++) {
        json_uint(w, NULL, counters->value[i]);
    }
    json_close(w, ']');
}

static void write_partition(struct json_writer *w, uint64_t id)
{
    struct hv_memory_balance_out balance = {0};
    struct hv_x_counters_out counters = {0};

    // A partition that vanishes in between shows as zeros.
    (void)!hvif_memory_balance(id, &balance);
    (void)!hvif_counters(id, HV_VP_INDEX_ANY, &counters);
    json_open(w, NULL, '{');
    json_uint(w, "Id", id);
    json_string(w, "SystemId", owner_of(id));
    json_uint(w, "PoolPagesInUse", balance.in_use);
    json_uint(w, "PoolPagesAvailable", balance.available);
    json_uint(w, "RunTsc", counters.value[HV_CTR_RUN_TSC]);
    json_uint(w, "Entries", counters.value[HV_CTR_ENTRIES]);
    json_uint(w, "Interrupts", counters.value[HV_CTR_INTERRUPTS]);
    json_uint(w, "Hypercalls", counters.value[HV_CTR_HYPERCALLS]);
    json_uint(w, "Switches", counters.value[HV_CTR_SWITCHES]);
    write_exits(w, &counters);
    json_close(w, '}');
}

void api_hypervisor_partitions(struct http_request *r)
{
    struct json_writer w = {0};
    uint64_t id = 0;

    json_open(&w, NULL, '{');
    json_open(&w, "Partitions", '[');
    while (hvif_next_child(id, &id) == HV_STATUS_SUCCESS && id != HV_PARTITION_ID_INVALID) {
        write_partition(&w, id);
    }
    json_close(&w, ']');
    json_close(&w, '}');
    api_answer(r, 200, &w);
}

// --- the trace ---

#define TRACE_FEED 16 // pages at a time: rings of four processors

// The hypervisor's rings come from this partition's own pool.
static hv_status_t start_trace(void)
{
    const struct hv_x_trace_in in = {.action = HV_X_TRACE_START};
    hv_status_t status = hvif_trace(&in, NULL);
    size_t done;

    for (unsigned tries = 0; status == HV_STATUS_INSUFFICIENT_MEMORY && tries < 64; tries++) {
        status = deposit_pages(HV_PARTITION_ID_SELF, TRACE_FEED, &done);
        if (status == HV_STATUS_SUCCESS || done > 0) {
            status = hvif_trace(&in, NULL);
        }
    }
    return status;
}

static void trace_on(struct http_request *r)
{
    hv_status_t status = start_trace();

    if (status != HV_STATUS_SUCCESS) {
        fail_hv(r, status, "starting the trace");
        return;
    }
    http_respond(r, 204, NULL, NULL, 0);
}

static void trace_off(struct http_request *r)
{
    hv_status_t status = hvif_trace(&(struct hv_x_trace_in){.action = HV_X_TRACE_STOP}, NULL);

    if (status != HV_STATUS_SUCCESS) {
        fail_hv(r, status, "stopping the trace");
        return;
    }
    http_respond(r, 204, NULL, NULL, 0);
}

void api_trace_start(struct http_request *r)
{
    api_without_options(r, trace_on);
}

void api_trace_stop(struct http_request *r)
{
    api_without_options(r, trace_off);
}

// What one call of the hypervisor returns: with X-Next-Sequence the client asks for more.
void api_trace_read(struct http_request *r)
{
    static struct hv_x_trace_out out; // too large for the stack; one caller at a time
    struct hv_x_trace_in in = {.action = HV_X_TRACE_READ};
    uint64_t cpu;
    char next[24];
    hv_status_t status;

    if (!api_query_uint(r, "cpu", 0, UINT32_MAX, &cpu) ||
        !api_query_uint(r, "from", 0, UINT64_MAX >> 1, &in.sequence)) {
        return;
    }
    in.cpu = (uint32_t)cpu;
    status = hvif_trace(&in, &out);
    if (status == HV_STATUS_INVALID_PARAMETER) {
        api_fail(r, HR_E_INVALIDARG, "cpu: the node has no such processor");
        return;
    }
    if (status != HV_STATUS_SUCCESS) {
        fail_hv(r, status, "reading the trace");
        return;
    }
    snprintf(next, sizeof next, "%llu", (unsigned long long)out.sequence + out.count);
    http_add_header(r, "X-Next-Sequence", next);
    http_respond(r, 200, "application/octet-stream", out.record,
                 MIN((size_t)out.count, ARRAY_LEN(out.record)) * sizeof out.record[0]);
}

void api_hypervisor_log(struct http_request *r)
{
    static struct hv_x_log_out out; // too large for the stack; one caller at a time
    char next[24];
    uint64_t from;
    hv_status_t status;

    if (!api_query_uint(r, "from", 0, UINT64_MAX >> 1, &from)) {
        return;
    }
    status = hvif_read_log(from, &out);
    if (status != HV_STATUS_SUCCESS) {
        fail_hv(r, status, "reading the log");
        return;
    }
    snprintf(next, sizeof next, "%llu", (unsigned long long)out.sequence + out.length);
    http_add_header(r, "X-Next-Sequence", next);
    http_respond(r, 200, "text/plain; charset=utf-8", out.text, MIN(out.length, sizeof out.text));
}
