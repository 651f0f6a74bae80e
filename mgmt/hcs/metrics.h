// SPDX-License-Identifier: Apache-2.0
// /metrics in Prometheus' text format: the text, and the parts of the node that write into it.
//
// Control plane only. Each part registers one source at start-up; a request asks all of them in that order.
// Names get the prefix keelson_ and are stable: tests and dashboards know them.
#ifndef MGMT_HCS_METRICS_H
#define MGMT_HCS_METRICS_H

#include <keelson/types.h>

struct metrics; // the answer to one request

struct metrics_source {
    void (*write)(struct metrics *m);
    struct metrics_source *next; // owned by the registry
};

// Registers a source, which must stay valid; doing so again changes nothing.
void metrics_source_add(struct metrics_source *s);

// A value that only grows since boot; by convention its name ends in _total.
void metrics_counter(struct metrics *m, const char *name, uint64_t value);
// A value that goes up and down.
void metrics_gauge(struct metrics *m, const char *name, uint64_t value);
// A counter of many things of one kind: first its name, then a value for each thing.
void metrics_family(struct metrics *m, const char *name);
struct metrics_label {
    const char *name, *value; // the value may be any text
};
void metrics_sample(struct metrics *m, const char *name, const struct metrics_label *labels, size_t count,
                    uint64_t value);

#endif
