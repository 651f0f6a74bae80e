// SPDX-License-Identifier: Apache-2.0
// One seed's life of a store: random work, power cuts at random writes, and a model of what must be there afterwards.
#ifndef TESTS_SIM_STORE_RUN_H
#define TESTS_SIM_STORE_RUN_H

#include <keelson/types.h>

struct store_run_options {
    uint64_t seed;
    unsigned lives;        // how often the power goes and comes back
    bool lies_about_flush; // the disk has a fault that the run must find
    uint64_t error_every;  // one in so many requests fails while the store works; 0: none
};

struct store_run_counts {
    uint64_t operations, requests, cuts, commits, transactions;
};

// NULL: everything acknowledged was there after each cut, nothing else was, and the check found nothing. Else what was
// wrong, valid until the next call.
const char *store_run(const struct store_run_options *options, struct store_run_counts *counts);

#endif
