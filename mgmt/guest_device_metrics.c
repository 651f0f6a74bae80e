// SPDX-License-Identifier: Apache-2.0
// What the device models count for each guest. The data plane writes these while they are read: values of one sample
// may be of slightly different moments.
#include "mgmt/guest_device_metrics.h"

#include "mgmt/core/system.h"
#include "mgmt/block_metrics.h"
#include "mgmt/devices/vm.h"
#include "mgmt/hcs/metrics.h"

// A counter of struct vm_counters, and its name.
struct device_counter {
    const char *name;
    size_t offset;
};
#define COUNTER(name, field)                                                                                 \
    {                                                                                                        \
        name, offsetof(struct vm_counters, field)                                                            \
    }

static void write_counter(struct metrics *m, const struct device_counter *counter)
{
    metrics_family(m, counter->name, "counter");
    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        struct metrics_labels l = {0};
        struct vm_counters counters;

        if (s->partition.attached) {
            vm_get_counters(s->partition.vm, &counters);
            metrics_sample(m, metrics_label(&l, "system", s->id),
                           *(const uint64_t *)((const uint8_t *)&counters + counter->offset));
        }
    }
}

static void write_system_disks(struct metrics *m, struct system *s, bool bytes)
{
    for (unsigned i = 0; i < s->partition.disks_ready; i++) {
        struct metrics_labels l = {0};

        metrics_label(&l, "system", s->id);
        metrics_label_number(&l, "disk", i);
        block_metrics_operations(m, &l, &disk_device(s->partition.disk[i])->counters, bytes);
    }
}

static void write_disks(struct metrics *m, const char *name, bool bytes)
{
    metrics_family(m, name, "counter");
    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        write_system_disks(m, s, bytes);
    }
}

static void guest_device_metrics(struct metrics *m)
{
    static const struct device_counter counters[] = {
        COUNTER("guest_port_accesses_total", io),
        COUNTER("guest_mmio_accesses_total", mmio),
        COUNTER("guest_unclaimed_ports_total", unclaimed_ports),
        COUNTER("guest_unclaimed_mmio_total", unclaimed_mmio),
        COUNTER("guest_full_decodes_total", full_decodes),
        COUNTER("guest_injected_faults_total", injected_faults),
    };

    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        write_counter(m, &counters[i]);
    }
    write_disks(m, "guest_disk_requests_total", false);
    write_disks(m, "guest_disk_bytes_total", true);
}

void guest_device_metrics_init(void)
{
    static struct metrics_source source = {.write = guest_device_metrics};

    metrics_source_add(&source);
}
