// SPDX-License-Identifier: Apache-2.0
// Shared by the two halves of the entropy pool.
#ifndef MGMT_RT_ENTROPY_PRIV_H
#define MGMT_RT_ENTROPY_PRIV_H

#include <keelson/types.h>

#define ENTROPY_JITTER_WORDS 32
extern uint64_t entropy_jitter[ENTROPY_JITTER_WORDS]; // written by entropy_sample() on any VP

#endif
