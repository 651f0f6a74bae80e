// SPDX-License-Identifier: Apache-2.0
// Bounds what a partition can make the hypervisor write to the log.
#ifndef HV_LOG_LIMIT_H
#define HV_LOG_LIMIT_H

#include <keelson/types.h>

#define LOG_LIMIT_BURST 8u   // reports in a row
#define LOG_LIMIT_SECONDS 5u // after which one more is allowed

struct log_limit { // all zero: nothing reported yet
    uint32_t used;
    uint32_t left_out; // since the last report that was allowed
    uint64_t regained; // host TSC up to which reports have been given back
};

// May partition `index` cause a report (a line, or a line and a dump) now? Says first what was left out before.
MUST_CHECK bool log_limit_take(struct log_limit *l, uint16_t index);
// The partition goes away: says what was left out and not told yet.
void log_limit_end(struct log_limit *l, uint16_t index);

#endif
