// SPDX-License-Identifier: Apache-2.0
// What the measuring guest and the node that starts it agree on.
#ifndef TESTS_BENCH_GUEST_BENCH_H
#define TESTS_BENCH_GUEST_BENCH_H

#define GUEST_COUNTER 0x50000ull // GPA of the 64-bit counter of command line "count"
#define GUEST_COUNT_TICKS 2u     // instructions a count

#endif
