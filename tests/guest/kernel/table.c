// SPDX-License-Identifier: Apache-2.0
// The table of micro-guests, in the order of tests.def.
#include "tests/guest/kernel/guests.h"

#define TEST(name_, ...) {#name_, guest_##name_},
#define ROOT_TEST(name_) {#name_, NULL},
const struct guest_test guest_tests[] = {
#include "tests/guest/tests.def"
};
