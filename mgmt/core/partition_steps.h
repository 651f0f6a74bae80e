// SPDX-License-Identifier: Apache-2.0
// The steps of building and taking down a partition, private to mgmt/core/partition*.c.
#ifndef MGMT_CORE_PARTITION_STEPS_H
#define MGMT_CORE_PARTITION_STEPS_H

#include "mgmt/core/partition.h"

enum step_result {
    STEP_NEXT,  // done
    STEP_AGAIN, // more to do; call again when the turn's budget allows
    STEP_RETRY, // cannot go on now; call again after a millisecond
    STEP_WAIT,  // somebody will call partition_kick()
    STEP_FAIL,  // p->error says why
};

struct partition_step {
    enum step_result (*run)(struct partition *p); // NULL ends a table
    uint8_t percent;                              // progress when the step is done
};

extern const struct partition_step partition_build_steps[];
extern const struct partition_step partition_stop_steps[];

void partition_kick(struct partition *p); // go on with the current step

#endif
