// SPDX-License-Identifier: Apache-2.0
// Adding to a report of problems.
#ifndef MGMT_STORE_REPORT_H
#define MGMT_STORE_REPORT_H

#include "mgmt/store/store.h"

void report_problem(struct store_report *report, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
