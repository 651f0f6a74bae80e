// SPDX-License-Identifier: Apache-2.0
#include "mgmt/core/keeper.h"

static const struct keeper *present;

const struct keeper *keeper(void)
{
    return present;
}

void keeper_set(const struct keeper *k)
{
    present = k;
}
