// SPDX-License-Identifier: Apache-2.0
// A guest whose work can be counted: the root's tests of weights, caps and reservations measure by it.
#include "tests/guest/kernel/guests.h"

void guest_count(void)
{
    for (;;) {
        ARGS->counter++;
    }
}
