// SPDX-License-Identifier: Apache-2.0
// /metrics in Prometheus' text format: the text, and the parts of the node that write into it.
//
// Control plane only. Each part registers one source at start-up; a request asks all of them in that order.
// Names get the prefix keelson_ and are stable: tests and dashboards know them.
#ifndef MGMT_HCS_METRICS_H
#define MGMT_HCS_METRICS_H

#include <keelson/types.h>

#define METRICS_LABELS_MAX 512 // a system's name of 128 bytes, each escaped, and some more

struct metrics; // the answer to one request

struct metrics_source {
    void (*write)(struct metrics *m);
    struct metrics_source *next; // owned by the registry
};

// Registers a source, which must stay valid; doing so again changes nothing.
void metrics_source_add(struct metrics_source *s);

// Values without labels.
// A value that only grows since boot; by convention its name ends in _total.
void metrics_counter(struct metrics *m, const char *name, uint64_t value);
// A value that goes up and down.
void metrics_gauge(struct metrics *m, const char *name, uint64_t value);

// Values with labels: first the family, once for each name, then all its samples.
void metrics_family(struct metrics *m, const char *name, const char *type); // "counter" or "gauge"
void metrics_sample(struct metrics *m, const char *labels, uint64_t value);
void metrics_sample_seconds(struct metrics *m, const char *labels, uint64_t microseconds);
// The answer cannot be complete: no memory.
void metrics_fail(struct metrics *m);
// Labels of one sample, as text; what does not fit is left out, so give it room.
struct metrics_labels {
    size_t length;
    char text[METRICS_LABELS_MAX];
};
// Appends NAME="VALUE", with the value escaped. Returns the text so far.
const char *metrics_label(struct metrics_labels *l, const char *name, const char *value);
const char *metrics_label_number(struct metrics_labels *l, const char *name, unsigned value);

#endif
